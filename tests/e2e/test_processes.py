"""What runs has no more rights than it needs, as the kernel sees it."""
import os
import pwd
import socket
import subprocess
from pathlib import Path

import pytest

from harness.daemon import status_of
from harness.rig import CONTROL_USER, GATEWAY_USER

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")


def descriptors(pid):
    """What each descriptor of a process leads to."""
    return {int(fd.name): os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}


def assert_unprivileged(pid, user):
    status = status_of(pid)
    assert set(status["Uid"].split()) == {str(pwd.getpwnam(user).pw_uid)}
    assert status["NoNewPrivs"] == "1"
    assert not status.get("Groups", ""), "no supplementary groups"
    for name in CAPABILITIES:
        assert int(status[name], 16) == 0, name


@pytest.fixture(params=["unauthenticated", "direct", "jump"])
def connection(rig, alice, request):
    """The process id of a connection in each stage of its life."""
    before = set(rig.gateway.children())
    if request.param == "unauthenticated":
        holder = socket.create_connection(("127.0.0.1", rig.port))
        assert holder.recv(4) == b"SSH-"
    else:
        holder = alice.open("echo in; exec cat", door=request.param)
        assert holder.stdout.readline() == b"in\n"
    (pid,) = set(rig.gateway.children()) - before
    yield pid
    if request.param == "unauthenticated":
        holder.close()
    else:
        holder.communicate(timeout=10)


def test_connection_process_is_confined(connection):
    assert_unprivileged(connection, GATEWAY_USER)
    assert status_of(connection)["Seccomp"] == "2"


def test_connection_process_holds_sockets_only(connection):
    for fd, target in descriptors(connection).items():
        assert target.startswith(("socket:", "pipe:", "anon_inode:[event")) or (fd <= 2 and target), (fd, target)
        if fd > 2:
            assert not target.startswith("/"), f"an open file: {fd} -> {target}"


def test_connection_process_dumps_no_core_and_is_not_dumpable(connection):
    limits = Path(f"/proc/{connection}/limits").read_text()
    assert any(line.startswith("Max core file size") and line.split()[4:6] == ["0", "0"] for line in limits.splitlines())
    assert os.stat(f"/proc/{connection}/environ").st_uid == 0, "PR_SET_DUMPABLE 0 makes what is in /proc/PID root's"


def test_connections_do_not_see_each_others_sockets(rig, alice):
    """A child closes what it inherits: a connection holds none of another's descriptors."""
    before = set(rig.gateway.children())
    with alice.open("echo in; exec cat") as one, alice.open("echo in; exec cat") as other:
        for session in (one, other):
            assert session.stdout.readline() == b"in\n"
        first, second = set(rig.gateway.children()) - before
        sockets = [{t for t in descriptors(pid).values() if t.startswith("socket:")} for pid in (first, second)]
        listening = {t for t in descriptors(rig.gateway.pid).values() if t.startswith("socket:")}
        assert not sockets[0] & sockets[1] and not (sockets[0] | sockets[1]) & listening
        for session in (one, other):
            session.communicate(timeout=10)


def test_listener(rig):
    assert_unprivileged(rig.gateway.pid, GATEWAY_USER)


def test_control_plane(rig):
    assert_unprivileged(rig.control.pid, CONTROL_USER)


def test_gateway_user_is_no_administrator(rig, alice):
    """A taken-over connection process could reach control.sock by its path, if it could open sockets to it."""
    argv = ["setpriv", f"--reuid={GATEWAY_USER}", f"--regid={GATEWAY_USER}", "--clear-groups", *rig.cli_argv("list")]
    run = subprocess.run(argv, capture_output=True, timeout=10)
    assert run.returncode != 0 and b"alice" not in run.stdout


def test_other_users_are_not_either(rig):
    for argv in (rig.cli_argv("list"), rig.cli_argv("create", "mallory", "--ssh-key", "-")):
        run = subprocess.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *argv],
                             capture_output=True, timeout=10)
        assert run.returncode == 4 and run.stdout == b"", run.stderr


def test_only_the_gateway_may_speak_on_its_socket(rig):
    """root may do as it likes; everybody else is turned away by the kernel's word about the peer."""
    script = ("import socket, sys\n"
              "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(5)\n"
              f"s.connect('{rig.run_dir}/gateway.sock')\n"
              "s.send(b'{\"t\":\"admit\",\"id\":1,\"version\":1,\"address\":\"192.0.2.1\",\"port\":1}')\n"
              "sys.stdout.write(repr(s.recv(4096)))\n")
    run = subprocess.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "/usr/bin/python3", "-c",
                          script], capture_output=True, text=True, timeout=10)
    assert "admitted" not in run.stdout, run.stdout


def test_protocol_violation_ends_the_link(rig):
    """Messages out of order, as a taken-over process could send them: an OPEN before any login."""
    script = ("import socket, sys\n"
              "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(5)\n"
              f"s.connect('{rig.run_dir}/gateway.sock')\n"
              "s.send(b'{\"t\":\"open\",\"id\":3,\"kind\":\"direct-tcpip\",\"host\":\"alice-container\",\"port\":22,"
              "\"tty\":false,\"leg\":false}')\n"
              "sys.stdout.write(repr(s.recv(4096)))\n")
    run = subprocess.run(["setpriv", f"--reuid={GATEWAY_USER}", f"--regid={GATEWAY_USER}", "--clear-groups",
                          "/usr/bin/python3", "-c", script], capture_output=True, text=True, timeout=10)
    assert run.stdout == "b''" and rig.control.log_lines("link_violation"), run.stdout + run.stderr


def test_gateway_cannot_read_the_store_or_incus_key(rig):
    for path in (rig.database, rig.incus.cert_dir / "client.key"):
        run = subprocess.run(["setpriv", f"--reuid={GATEWAY_USER}", f"--regid={GATEWAY_USER}", "--clear-groups",
                              "cat", path], capture_output=True, timeout=10)
        assert run.returncode != 0 and run.stdout == b""
