"""PROXY protocol: behind a real HAProxy the client's own address counts, and nobody else can claim one."""
import os
import signal
import socket
import subprocess

import pytest

from harness.rig import Rig, free_port
from harness.wait import until

CONFIGURATION = """
global
    log stdout format raw local0
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"""
SERVICE = """
listen {name}
    bind {address}:{port}
    server gateway 127.0.0.1:{gateway} {option}
"""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class Balancer:
    """HAProxy in front of a gateway: self.ports[version, family]."""

    def __init__(self, rig, folder):
        folder.mkdir(exist_ok=True)
        self.ports = {}
        text = CONFIGURATION
        for version, option in (("v1", "send-proxy"), ("v2", "send-proxy-v2")):
            for family, address in (("IPv4", "127.0.0.1"), ("IPv6", "::1")):
                port = self.ports[version, family] = free_port()
                text += SERVICE.format(name=f"{version}-{family}", address=address, port=port, gateway=rig.port,
                                       option=option)
        (folder / "haproxy.cfg").write_text(text)
        self._log = open(folder / "haproxy.log", "wb")
        self._process = subprocess.Popen(["haproxy", "-f", folder / "haproxy.cfg"], stdin=subprocess.DEVNULL,
                                         stdout=self._log, stderr=self._log)
        for (_, family), port in self.ports.items():
            host = "127.0.0.1" if family == "IPv4" else "::1"
            until(lambda: _answers(host, port), 15, "haproxy and the gateway answer")

    def close(self):
        os.kill(self._process.pid, signal.SIGTERM)
        self._process.wait(10)
        self._log.close()


def _answers(host, port):
    try:
        with socket.create_connection((host, port), timeout=5) as s:
            return s.recv(64).startswith(b"SSH-2.0-")
    except OSError:
        return False


@pytest.fixture(scope="module")
def behind(incus, temp):
    """A gateway that believes a balancer on 127.0.0.1, and nobody else."""
    rig = Rig(incus, temp, gateway={"proxy_protocol_from": "127.0.0.1/32"})
    rig.start_control()
    rig.gateway.start()  # it greets only those who say whom they bring
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def balancer(behind):
    balancer = Balancer(behind, behind.folder / "haproxy")
    yield balancer
    balancer.close()


@pytest.fixture(scope="module")
def quinn(behind):
    user = behind.person("quinn")
    behind.ok("create", "quinn", "--ssh-key", user.public_key, "--lazy")
    return user


def address_of(row):
    """Without the port: 192.0.2.7:40000, [2001:db8::7]:40000."""
    return row["address"].rpartition(":")[0].strip("[]")


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_the_clients_own_address_is_on_record(behind, balancer, quinn, version, family):
    host, bind = ("127.0.0.1", "127.0.0.77") if family == "IPv4" else ("::1", "::1")
    port = balancer.ports[version, family]
    before = len(behind.audit(user="quinn", event="login"))
    run = subprocess.run(["ssh", "-F", quinn.config, "-p", str(port), "-b", bind,
                          "-o", f"HostKeyAlias=[127.0.0.1]:{behind.port}", f"quinn@{host}", "cat"],
                         input=b"x" * 100_000, capture_output=True, timeout=120)
    assert run.returncode == 0 and run.stdout == b"x" * 100_000, run.stderr
    rows = behind.audit(user="quinn", event="login")
    assert len(rows) == before + 1 and address_of(rows[-1]) == bind
    assert f"Accepted publickey for quinn from {bind} port " in behind.control.text()
    until(lambda: f"from={bind} user=quinn" in behind.gateway.text(), what="the end is logged with its address")


@pytest.mark.parametrize("header", [
    b"SSH-2.0-OpenSSH_9.2\r\n", b"PROXY TCP4 192.0.2.7 203.0.113.1 1\r\n", b"PROXY TCP4 " + b"1" * 200,
    SIGNATURE + b"\x21\x11\xff\xff" + bytes(5000), SIGNATURE + b"\x22\0\0\0", bytes(300),
], ids=["none", "short line", "endless line", "too long", "unknown command", "zeros"])
def test_a_balancer_that_says_nothing_right_is_refused(behind, header):
    """No header, or a bad one: not a byte is answered, and the log says why."""
    before = len(behind.gateway.log_lines("connection_closed"))
    with socket.create_connection(("127.0.0.1", behind.port), timeout=20) as s:
        s.sendall(header)
        try:
            assert s.recv(100) == b""
        except ConnectionResetError:
            pass
    line = until(lambda: behind.gateway.log_lines("connection_closed")[before:], what="it is logged")[0]
    assert "PROXY" in line and "level=info" in line


def test_a_health_check_that_only_connects_is_no_error(behind):
    errors = len(behind.gateway.log_lines("level=error"))
    before = len(behind.gateway.log_lines("connection_closed"))
    socket.create_connection(("127.0.0.1", behind.port), timeout=20).close()
    until(lambda: behind.gateway.log_lines("connection_closed")[before:], what="its end is logged")
    assert len(behind.gateway.log_lines("level=error")) == errors


@pytest.mark.parametrize("header", [SIGNATURE + b"\x20\0\0\0", b"PROXY UNKNOWN\r\n"], ids=["v2 LOCAL", "v1 UNKNOWN"])
def test_the_balancers_own_connection_is_served(behind, header):
    with socket.create_connection(("127.0.0.1", behind.port), timeout=20) as s:
        s.sendall(header)
        assert s.recv(100).startswith(b"SSH-2.0-")


@pytest.mark.parametrize("header", [
    b"PROXY TCP4 192.0.2.7 203.0.113.1 40000 22\r\n",
    SIGNATURE + b"\x21\x11\0\x0c\xc0\0\x02\x07\xcb\0\x71\x01\x9c\x40\0\x16",
], ids=["v1", "v2"])
def test_nobody_else_can_claim_an_address(behind, header):
    """From an address that is not listed a header is no identification string: the connection ends."""
    with socket.create_connection(("127.0.0.1", behind.port), timeout=40, source_address=("127.0.0.2", 0)) as s:
        assert s.recv(100).startswith(b"SSH-2.0-")
        s.sendall(header)
        try:
            while s.recv(4096):
                pass
        except ConnectionResetError:
            pass
    assert "192.0.2.7" not in behind.gateway.text() + behind.control.text()


def test_others_are_served_without_a_header(behind, quinn):
    assert quinn.ssh("true", options=["-b", "127.0.0.3"]).returncode == 0
    assert address_of(behind.audit(user="quinn", event="login")[-1]) == "127.0.0.3"
