"""-L, -D, -R and -A through the direct door: they mean what they mean in the box, and are carried by its own sshd."""
import re
import socket
import subprocess

import pytest

from harness.boxserver import exchange, forwarding, server_in_box, socks5
from harness.rig import free_port
from harness.terminal import Terminal
from harness.wait import until


def test_local_forward_reaches_the_boxs_loopback(alice):
    here = free_port()
    with server_in_box(alice) as there, forwarding(alice, "-L", f"{here}:localhost:{there}", listens=here):
        for size in (1, 2, 100, 5000, 200000):
            data = bytes(i % 251 for i in range(size))
            if size < 1000:  # one read on the other side: the answer is the whole upside down
                assert exchange(socket.create_connection(("127.0.0.1", here)), data) == data[::-1]
            else:
                assert len(exchange(socket.create_connection(("127.0.0.1", here)), data)) == size


def test_dynamic_forward_resolves_names_in_the_box(alice):
    here = free_port()
    with server_in_box(alice) as there, forwarding(alice, "-D", str(here), listens=here):
        for name in ("localhost", "127.0.0.1"):
            sock, code = socks5(here, name, there)
            assert code == 0
            assert exchange(sock, b"abc") == b"cba"
        sock, code = socks5(here, "localhost", 9)  # nobody listens: a refusal, and the connection lives
        sock.close()
        assert code != 0
        sock, code = socks5(here, alice.box, there)
        sock.close()
        assert code != 0, "its own name means the jump door, where this port is closed"
        sock, code = socks5(here, "localhost", there)
        assert code == 0 and exchange(sock, b"xy") == b"yx"


def test_remote_forward_leads_back_to_the_laptop(alice):
    there = 9103
    with socket.create_server(("127.0.0.1", 0)) as laptop:
        here = laptop.getsockname()[1]
        with forwarding(alice, "-R", f"{there}:127.0.0.1:{here}"):
            until(lambda: f":{there}" in alice.ok("ss -Hltn"), what="the box does not listen")
            client = alice.open(f"exec 3<>/dev/tcp/127.0.0.1/{there}; echo from the box >&3; head -n 1 <&3")
            laptop.settimeout(20)
            connection, _ = laptop.accept()
            with connection:
                assert connection.recv(100) == b"from the box\n"
                connection.sendall(b"from the laptop\n")
                assert client.stdout.readline() == b"from the laptop\n"
            assert client.wait(20) == 0
        until(lambda: f":{there}" not in alice.ok("ss -Hltn"), what="the box still listens")


def test_remote_forward_to_any_port(alice):
    """Port 0: the client is told which; and ten at once get ten."""
    options = [word for n in range(10) for word in ("-R", f"0:127.0.0.1:{9 + n}")]
    with alice.open("echo up; cat", options=options) as ssh:
        assert ssh.stdout.readline() == b"up\n"
        listening = alice.ok("ss -Hltn")
        ssh.stdin.close()
        assert ssh.wait(20) == 0
        ports = re.findall(rb"Allocated port (\d+) for remote forward", ssh.stderr.read())
    assert len(set(ports)) == 10
    assert all(f":{port.decode()} " in listening for port in ports)


def test_remote_forward_the_box_refuses(alice):
    run = alice.ssh("true", options=["-o", "ExitOnForwardFailure=yes", "-R", "22:127.0.0.1:9"])
    assert run.returncode == 255 and b"remote port forwarding failed for listen port 22" in run.stderr
    assert alice.ok("echo alive", options=["-R", "22:127.0.0.1:9"]) == "alive\n"


@pytest.fixture
def agent(alice, tmp_path, monkeypatch):
    path = tmp_path / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    until(path.exists, what="ssh-agent does not listen")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    subprocess.run(["ssh-add", "-q", alice.key], check=True)
    yield
    process.terminate()
    process.wait()


def test_agent_is_forwarded_only_when_asked(alice, agent):
    assert alice.fingerprint in alice.ok("ssh-add -l", options=["-A"])
    assert alice.ssh("ssh-add -l").returncode == 2  # no agent


def test_agent_is_used_by_many_at_once(alice, agent):
    out = alice.ok("for i in $(seq 20); do ssh-add -l & done; wait", options=["-A"])
    assert out.count(alice.fingerprint) == 20


def test_forwards_are_on_record(rig, alice):
    here = free_port()
    with forwarding(alice, "-L", f"{here}:localhost:9", "-R", "9104:127.0.0.1:9", listens=here):
        until(lambda: ":9104" in alice.ok("ss -Hltn"), what="the box does not listen")
        socket.create_connection(("127.0.0.1", here)).close()
        until(lambda: any(r["target"] == "direct-tcpip localhost:9" for r in rig.audit(user=alice.name, event="open")),
              what="the local forward is not in the audit trail")
        assert any(r["target"] == "tcpip-forward localhost:9104" for r in rig.audit(user=alice.name, event="open"))


def test_a_unix_socket_is_refused_with_a_word_on_the_terminal(rig, alice, tmp_path):
    """libssh carries no direct-streamlocal@openssh.com. OpenSSH prints no reason of its own; a person gets ours, once."""
    path = tmp_path / "socket"
    with Terminal(alice.argv(options=["-tt", "-L", f"{path}:/tmp/none"])) as t:
        t.expect(rb"\$ ", timeout=60)
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as s:
                until(path.exists, what="ssh listens")
                s.connect(str(path))
                s.settimeout(20)
                assert s.recv(10) == b""
        t.expect(rb"unix socket.*jump door only: ssh -J")
        t.send(b"echo still he''re; exit\r")
        assert b"jump door" not in t.expect(rb"(?s)(.*)still here\r\n")[1]
        assert t.wait() == 0
    assert rig.gateway.log_lines("channel_refused", "ssh -J")


def test_without_a_terminal_output_stays_as_it_is(alice, tmp_path):
    path = tmp_path / "socket"
    with alice.open("cat", options=["-L", f"{path}:/tmp/none"]) as cat:
        until(path.exists, what="ssh listens")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(path))
            s.settimeout(20)
            assert s.recv(10) == b""
        cat.stdin.write(b"same\n")
        cat.stdin.close()
        assert cat.stdout.read() == b"same\n" and cat.wait(20) == 0
        assert b"containarium:" not in cat.stderr.read()
