"""The way VS Code's Remote-SSH goes: a shell that reads its script from stdin starts a server that outlives nothing but
the connection, prints its port between markers, and everything after that is SOCKS (or -L) to this port."""
import concurrent.futures
import os
import re
import socket

import pytest

from harness.boxserver import exchange, socks5
from harness.rig import free_port

# As the installer does it: says who it is, looks around, starts the server in the background, prints its port.
SCRIPT = """
set -u
echo "0b1c: running"
VSCODE_ARCH=$(uname -m)
mkdir -p "$HOME/.vscode-server" && rm -f "$HOME/.vscode-server/port"
cat > "$HOME/.vscode-server/server.py" <<'SERVER'
import socket, sys, threading
def serve(c):
    with c:
        while data := c.recv(65536):
            c.sendall(data)
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
SERVER
setsid python3 "$HOME/.vscode-server/server.py" > "$HOME/.vscode-server/port" 2>&1 < /dev/null &
SERVER=$!
while [ ! -s "$HOME/.vscode-server/port" ]; do sleep 0.05; done
echo "0b1c: start"
echo "listeningOn==$(cat "$HOME/.vscode-server/port")=="
echo "osReleaseId==$(. /etc/os-release; echo "$ID")=="
echo "arch==$VSCODE_ARCH=="
echo "pid==$SERVER=="
echo "0b1c: end"
"""


def through(way, here, there):
    """A connection to the box's port `there` the way the editor makes one."""
    if way == "-L":
        return socket.create_connection(("127.0.0.1", here), timeout=20)
    sock, code = socks5(here, "127.0.0.1", there)
    assert code == 0
    return sock


def answer(process):
    """The lines between the markers, as a dict."""
    seen = {}
    for raw in iter(process.stdout.readline, b""):
        line = raw.decode().strip()
        if line == "0b1c: end":
            return seen
        if match := re.fullmatch(r"(\w+)==(.*)==", line):
            seen[match[1]] = match[2]
    raise AssertionError("the script's answer ended early")


@pytest.mark.interop("VS Code Remote-SSH", "script on stdin, then -D, more sessions")
@pytest.mark.parametrize("command", [(), ("bash",), ("sh",)], ids=["shell", "bash", "sh"])
def test_remote_ssh(alice, door, command):
    here = free_port()
    with alice.open(*command, door=door, options=["-T", "-D", str(here), "-o", "ConnectTimeout=15"]) as ssh:
        try:
            ssh.stdin.write(SCRIPT.encode())
            seen = answer(ssh)
            assert seen["osReleaseId"] == "debian" and seen["arch"] == os.uname().machine
            there = int(seen["listeningOn"])
            # The editor, its file watcher, its terminals, each on a connection of its own, at the same time.
            data = [os.urandom(400_000) for _ in range(5)]
            with concurrent.futures.ThreadPoolExecutor(5) as pool:
                got = pool.map(lambda d: pump(through("-D", here, there), d), data)
                assert list(got) == data
            # The shell still reads: the editor keeps it to learn when the connection ends.
            ssh.stdin.write(b"echo still here\n")
            assert ssh.stdout.readline() == b"still here\n"
            ssh.stdin.write(f"kill {seen['pid']}; exit 0\n".encode())
            assert ssh.wait(20) == 0
        finally:
            ssh.kill()


@pytest.mark.interop("VS Code Remote-SSH", "reconnect by -L to the server that runs")
def test_reconnect(alice, door):
    seen = {}
    try:
        with alice.open("bash", door=door, options=["-T"]) as first:
            first.stdin.write(SCRIPT.encode())
            seen = answer(first)
            first.kill()  # the laptop's lid closes
        here, there = free_port(), int(seen["listeningOn"])
        with alice.open("echo up; cat", door=door, options=["-T", "-L", f"{here}:127.0.0.1:{there}"]) as again:
            assert again.stdout.readline() == b"up\n"
            assert exchange(through("-L", here, there), b"hello again") == b"hello again"
            again.stdin.close()
            assert again.wait(20) == 0
    finally:
        alice.ssh(f"kill {seen.get('pid', 0)}")


def pump(sock, data):
    """Sends all while it receives: an echo of more than the windows hold."""
    with sock, concurrent.futures.ThreadPoolExecutor(1) as pool:
        sock.settimeout(30)
        sent = pool.submit(sock.sendall, data)
        got = bytearray()
        while len(got) < len(data):
            piece = sock.recv(65536)
            assert piece, "the connection ended early"
            got += piece
        sent.result()
        return bytes(got)
