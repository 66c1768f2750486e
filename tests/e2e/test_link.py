"""A connection process that was taken over: what it may say to the control plane, and what saying more costs it."""
import json
import os
import pwd
import socket

import pytest

from harness.rig import GATEWAY_USER
from harness.user import make_key


class Link:
    """gateway.sock as a connection process has it: one JSON object a packet. Its user is what the kernel says."""

    def __init__(self, rig, user=GATEWAY_USER):
        os.seteuid(pwd.getpwnam(user).pw_uid)
        try:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.socket.settimeout(20)
            self.socket.connect(str(rig.run_dir / "gateway.sock"))
        finally:
            os.seteuid(0)

    def send(self, message, **fields):
        self.socket.send(json.dumps({"t": message, **fields}).encode())

    def receive(self):
        """The next message with its descriptors closed; None at the end of the link."""
        try:
            data, fds, _, _ = socket.recv_fds(self.socket, 65536, 4)
        except ConnectionResetError:
            return None
        for fd in fds:
            os.close(fd)
        return json.loads(data) if data else None

    def until(self, kind):
        while (message := self.receive()) is not None:
            if message["t"] == kind:
                return message
        raise AssertionError(f"the link ended before {kind}")

    def ended(self):
        while self.receive() is not None:
            pass
        return True

    def admit(self):
        self.send("admit", id=1, version=2, address="192.0.2.7", port=4711)
        assert self.receive()["t"] == "admitted"
        return self

    def login(self, user):
        self.admit()
        self.send("login", id=2, login=user.name, key=user.public_key.read_text().split()[1], client="SSH-2.0-test",
                  kex_ms=1, auth_ms=1)
        assert self.receive()["t"] == "welcome"
        return self

    def open(self, number, host):
        self.send("open", id=number, kind="direct-tcpip", host=host, port=22, leg=False)


@pytest.fixture
def link(rig):
    links = []

    def make():
        links.append(Link(rig))
        return links[-1]

    yield make
    for one in links:
        one.socket.close()
    assert rig.control.running and rig.cli("version").returncode == 0


def test_other_users_may_not_speak_at_all(rig, link):
    assert Link(rig, "nobody").ended()


@pytest.mark.parametrize("what", ["nothing", "not JSON", "unknown", "too early", "a field too many", "the other side's"])
def test_what_is_not_in_the_table_ends_the_link(link, what):
    one = link()
    if what == "nothing":
        pass
    elif what == "not JSON":
        one.socket.send(b"\xff{")
    elif what == "unknown":
        one.send("shutdown")
    elif what == "too early":
        one.open(1, "alice-container")
    elif what == "a field too many":
        one.send("admit", id=1, version=2, address="192.0.2.7", port=1, root=True)
    else:
        one.send("kick", text="x")
    if what == "nothing":
        one.socket.shutdown(socket.SHUT_WR)
    assert one.ended()


def test_login_twice_is_refused(alice, bob, link):
    one = link().login(alice)
    one.send("login", id=3, login=bob.name, key=bob.public_key.read_text().split()[1], client="x", kex_ms=1,
             auth_ms=1)
    assert one.ended()


def test_an_id_is_asked_about_once_at_a_time(rig, alice, link):
    """Two OPENs of one id: the answer of the first would make the control plane forget the second."""
    rig.incus.stop(alice.box)
    one = link().login(alice)
    one.open(7, alice.box)
    one.open(7, alice.box)
    assert one.ended()
    assert alice.ok("echo in") == "in\n"  # the start went on, and who waited for it was not missed


def test_who_was_told_to_end_opens_nothing_more(rig, new_user, link, tmp_path):
    """A removed key ends its sessions whether their processes obey or not."""
    user = new_user("kicked")
    spare = make_key(tmp_path / "spare", comment="spare")
    rig.ok("keys", "add", user.name, f"{spare}.pub")
    one = link().login(user)
    one.open(1, user.box)
    assert one.until("opened")["id"] == 1
    rig.ok("keys", "remove", user.name, user.fingerprint)
    one.until("kick")
    one.open(2, user.box)
    assert one.until("refused")["id"] == 2


def test_too_many_opens_at_once_are_refused(alice, link):
    one = link().login(alice)
    for number in range(100, 300):
        one.open(number, "alice-container")
    answers = [message["t"] for message in (one.receive() for _ in range(200)) if message["t"] != "progress"]
    assert set(answers) <= {"opened", "refused"} and "opened" in answers
