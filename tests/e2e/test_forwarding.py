"""-L, -D, -R and -A through the direct door: they mean what they mean in the box, and are carried by its own sshd."""
import socket
import subprocess

import pytest

from harness.boxserver import exchange, forwarding, server_in_box, socks5
from harness.rig import free_port
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
