"""-L, -D, -R and -A through the direct door: they mean what they mean in the box, and are carried by its own sshd."""
import contextlib
import socket
import subprocess

import pytest

from harness.rig import free_port
from harness.wait import until

# The box has no web server; it has Python. Answers each connection with what it was sent, upside down.
ECHO = """
import socket
s = socket.create_server(("127.0.0.1", PORT))
print("ready", flush=True)
while True:
    c, _ = s.accept()
    with c:
        while data := c.recv(65536):
            c.sendall(data[::-1])
"""


@contextlib.contextmanager
def server_in_box(user, port):
    process = user.open("exec", "python3", "-c", f"'{ECHO.replace('PORT', str(port))}'")
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.wait()


def accepts(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def forwarding(user, *options, listens=None):
    process = user.open(options=["-N", "-o", "ExitOnForwardFailure=yes", *options])
    try:
        if listens:
            until(lambda: accepts(listens), what="ssh does not listen")
        yield process
    finally:
        process.terminate()
        process.wait()


def exchange(sock, data):
    with sock:
        sock.settimeout(20)
        sock.sendall(data)
        got = b""
        while len(got) < len(data):
            piece = sock.recv(65536)
            assert piece, "the forward ended early"
            got += piece
        return got


def socks5(port, name, target_port):
    """A SOCKS connection that leaves the name to the other side."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    sock.sendall(b"\5\1\0")
    assert sock.recv(2) == b"\5\0"
    sock.sendall(b"\5\1\0\3" + bytes([len(name)]) + name.encode() + target_port.to_bytes(2, "big"))
    answer = sock.recv(10)  # OpenSSH closes in place of an error code
    return sock, answer[1] if answer else None


def test_local_forward_reaches_the_boxs_loopback(alice):
    here, there = free_port(), 9101
    with server_in_box(alice, there), forwarding(alice, "-L", f"{here}:localhost:{there}", listens=here):
        for size in (1, 2, 100, 5000, 200000):
            data = bytes(i % 251 for i in range(size))
            if size < 1000:  # one read on the other side: the answer is the whole upside down
                assert exchange(socket.create_connection(("127.0.0.1", here)), data) == data[::-1]
            else:
                assert len(exchange(socket.create_connection(("127.0.0.1", here)), data)) == size


def test_dynamic_forward_resolves_names_in_the_box(alice):
    here, there = free_port(), 9102
    with server_in_box(alice, there), forwarding(alice, "-D", str(here), listens=here):
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
