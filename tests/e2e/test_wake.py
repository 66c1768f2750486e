"""A sleeping box is woken by the connection itself, once for everybody, and nothing said meanwhile is lost."""
import hashlib
import os
import socket
import subprocess

import pytest

from harness.rig import Rig
from harness.wait import until


@pytest.fixture(scope="module")
def sleeper(rig):
    user = rig.user("sleeper")
    yield user
    rig.delete(user)


def sleep(rig, user, how):
    """Brings the box from running into the state `how`."""
    rig.incus.stop(user.box) if how == "stopped" else rig.incus.freeze(user.box)
    assert rig.incus.status(user.box) == how.capitalize()


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_wakes(rig, sleeper, door, how):
    sleep(rig, sleeper, how)
    assert sleeper.ok("hostname", door=door) == f"{sleeper.box}\n"
    assert rig.incus.status(sleeper.box) == "Running"
    last = rig.audit(user=sleeper.name, event="box-started")[-1]
    assert last["box"] == sleeper.box and last["reason"].lower() == how


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_early_data_is_not_lost(rig, sleeper, door, how):
    """What the client sends before the box is awake arrives, all of it and in order."""
    data = os.urandom(3_000_000)
    sleep(rig, sleeper, how)
    run = sleeper.ssh("sha256sum", door=door, stdin=data)
    assert run.returncode == 0, run.stderr
    assert run.stdout.decode().split()[0] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("how", ["awake", "frozen", "stopped"])
def test_what_the_box_says_first_is_not_lost(rig, sleeper, how):
    """sshd greets before it is spoken to: its identification string must come through every jump."""
    for _ in range(1 if how == "stopped" else 5):
        if how != "awake":
            sleep(rig, sleeper, how)
        with sleeper.open(options=["-W", f"{sleeper.box}:22"]) as jump:
            assert jump.stdout.readline().startswith(b"SSH-2.0-OpenSSH")
            jump.stdin.close()
            jump.wait(20)


def test_fifty_logins_start_it_once(rig, sleeper, lifecycle):
    sleep(rig, sleeper, "stopped")
    started = len(rig.audit(user=sleeper.name, event="box-started"))
    logins = [sleeper.open(f"echo {n}", door="jump" if n % 5 == 0 else "direct", stdin=subprocess.DEVNULL)
              for n in range(50)]
    for n, login in enumerate(logins):
        out, err = login.communicate(timeout=90)
        assert (login.returncode, out) == (0, f"{n}\n".encode()), err.decode(errors="replace")
    assert len(rig.audit(user=sleeper.name, event="box-started")) == started + 1
    assert lifecycle.count("instance-started", sleeper.box) == 1


def test_the_client_that_gives_up_leaves_nothing_behind(rig, sleeper):
    """Killed while the box starts: the wake goes on, its connection process ends, the next login is served."""
    sleep(rig, sleeper, "stopped")
    login = sleeper.open("echo never")
    until(lambda: rig.json("sessions", "list", sleeper.name), 10, "the login is there")
    login.kill()
    login.wait()
    until(lambda: not rig.json("sessions", "list", sleeper.name), 10, "its session is closed")
    assert sleeper.ok("echo next") == "next\n"


def test_a_stop_by_its_user_and_the_next_login(rig, sleeper, door):
    """poweroff inside the box ends the session; the next login starts the box again."""
    sleeper.ssh("sudo systemctl poweroff", door=door)
    until(lambda: rig.incus.status(sleeper.box) == "Stopped", 20, "the box powers off")
    assert sleeper.ok("echo back", door=door) == "back\n"


def test_cli_stop_start_freeze(rig, sleeper):
    for verb, status in (("freeze", "Frozen"), ("start", "Running"), ("stop", "Stopped"), ("stop", "Stopped"),
                         ("start", "Running"), ("start", "Running"), ("restart", "Running")):
        rig.ok(verb, sleeper.name)
        assert rig.incus.status(sleeper.box) == status, verb


@pytest.fixture(scope="module")
def hasty(incus, temp):
    """A gateway that waits five seconds for a box and lets users jump to one more port."""
    rig = Rig(incus, temp, box={"wake_deadline": "5s", "jump_ports": "22 8080"}).start()
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def max_(hasty):
    return hasty.user("max")


def test_a_box_that_has_no_sshd(hasty, max_, door):
    """Refused with the reason within the deadline, instead of waiting for ever."""
    max_.ok("sudo systemctl stop ssh.service")
    try:
        run = max_.ssh("true", door=door, timeout=30)
        assert run.returncode == 255 and b"does not answer" in run.stderr
    finally:
        hasty.incus.exec(max_.box, "systemctl", "start", "ssh.service")
    assert max_.ok("echo again", door=door) == "again\n"


def test_port_that_nobody_listens_on(hasty, max_):
    rig, user = hasty, max_
    run = user.forward(f"{user.box}:8080")
    assert run.returncode != 0 and b"8080" in run.stderr + rig.control.text().encode()
    server = user.open("echo hi | timeout 20 python3 -c 'import socket,sys\n"
                       "s=socket.create_server((\"0.0.0.0\",8080)); print(\"up\",flush=True)\n"
                       "c,_=s.accept(); c.sendall(sys.stdin.buffer.read())'", stdin=subprocess.DEVNULL)
    try:
        assert server.stdout.readline() == b"up\n"
        assert user.forward(f"{user.box}:8080").stdout == b"hi\n"
    finally:
        server.communicate(timeout=30)


def test_address_of_ones_own_box_is_a_jump_target(rig, sleeper):
    address = rig.incus.address(sleeper.box)
    with sleeper.open(options=["-W", f"{address}:22"]) as jump:
        assert jump.stdout.readline().startswith(b"SSH-2.0-OpenSSH")
        jump.stdin.close()
        jump.wait(20)
    with socket.create_connection((address, 22), timeout=5) as plain:  # from the host; the test's own premise
        assert plain.recv(8) == b"SSH-2.0-"
