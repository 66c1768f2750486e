"""Servers in a box and ways to them: what the tests of forwards stand on."""
import contextlib
import socket

from .wait import until

# The box has no web server; it has Python. Answers each connection with what it was sent, upside down. It ends with
# the session that started it.
ECHO = """
import os, socket, sys, threading
def serve(c):
    with c:
        while data := c.recv(65536):
            c.sendall(data[::-1])
def listen():
    while True:
        threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
s = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=listen, daemon=True).start()
print(s.getsockname()[1], flush=True)
sys.stdin.read()
os._exit(0)
"""


@contextlib.contextmanager
def server_in_box(user):
    """A server on the box's loopback; gives its port."""
    process = user.open("exec", "python3", "-c", f"'{ECHO}'")
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def accepts(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def forwarding(user, *options, listens=None, door="direct"):
    """ssh -N with options, up once it accepts at the local port `listens`."""
    process = user.open(door=door, options=["-N", "-o", "ExitOnForwardFailure=yes", *options])
    try:
        if listens:
            until(lambda: accepts(listens), 30, what="ssh listens")
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
