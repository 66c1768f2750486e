"""Daemons come and go, live sessions stay: the connection processes carry them."""
import signal
import socket
import subprocess

import pytest

from harness.daemon import status_of
from harness.wait import until


@pytest.fixture(scope="module")
def mortal(incus, temp):
    """A gateway whose daemons are killed."""
    from harness.rig import Rig
    rig = Rig(incus, temp).start()
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def carol(mortal):
    return mortal.user("carol")


@pytest.fixture
def live(carol, door):
    """A session that answers every line."""
    with carol.open("echo in; exec cat", door=door) as session:
        assert session.stdout.readline() == b"in\n"
        yield session
        session.kill()


def answers(session, word):
    session.stdin.write(word + b"\n")
    return session.stdout.readline() == word + b"\n"


def sessions(rig, user):
    listed = rig.json("sessions", "list", user.name)
    return {one["id"]: one for one in listed}


@pytest.fixture
def control_again(mortal):
    yield
    if not mortal.control.running:
        mortal.start_control()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_sessions_outlive_the_control_plane(mortal, carol, live, control_again, signum):
    before = sessions(mortal, carol)
    assert len(before) >= 1
    mortal.control.kill(signum)
    assert answers(live, b"while it is down")
    mortal.start_control()
    assert answers(live, b"after it is back")
    until(lambda: set(before) <= set(sessions(mortal, carol)), 15, "the session is attached again, with its number")
    assert [sessions(mortal, carol)[i]["since"] for i in before] == [before[i]["since"] for i in before]
    live.stdin.close()
    assert live.wait(10) == 0
    until(lambda: not set(before) & set(sessions(mortal, carol)), 10, "the session's end is noticed")
    for number in before:
        assert [r for r in mortal.audit(user=carol.name, event="logout") if r["session"] == number]


def test_new_channels_after_a_restart(mortal, carol, door, tmp_path, control_again):
    """One connection, kept by a ControlMaster: channels open while the control plane is back, not while it is gone."""
    options = ["-o", f"ControlPath={tmp_path}/master"]
    with carol.open("echo in; exec cat", door=door, options=[*options, "-M"]) as master:
        try:
            assert master.stdout.readline() == b"in\n"
            mortal.kill_control()
            mortal.start_control()
            run = carol.ssh("echo again", door=door, options=options)
            assert (run.returncode, run.stdout) == (0, b"again\n"), run.stderr
            assert answers(master, b"and the first one lives")
        finally:
            master.kill()


def test_login_without_a_control_plane_is_refused_with_the_reason(mortal, carol, door, control_again):
    mortal.kill_control()
    run = carol.ssh("true", door=door)
    assert run.returncode == 255 and b"control plane is not running" in run.stderr, run.stderr
    mortal.start_control()
    assert carol.ok("echo back", door=door) == "back\n"


def test_cli_without_a_control_plane_says_what_to_do(mortal, control_again):
    mortal.kill_control()
    run = mortal.cli("list")
    assert run.returncode == 1 and b"containariumd" in run.stderr


def test_sessions_that_did_not_come_back_are_closed(mortal, carol):
    """Their processes died while the control plane was down: after the grace their rows are closed as lost."""
    with carol.open("echo in; exec cat") as session:
        assert session.stdout.readline() == b"in\n"
        number = max(sessions(mortal, carol))
        mortal.kill_control()
        session.kill()
    until(lambda: not mortal.gateway.children(), 10, "the connection process ends")
    mortal.start_control()
    until(lambda: [r for r in mortal.audit(user=carol.name, event="logout") if r["session"] == number], 45,
          "the lost session is closed", every=0.5)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_sessions_outlive_the_listener(mortal, carol, live, signum):
    mortal.gateway.kill(signum)
    assert answers(live, b"no listener")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", mortal.port), timeout=2)
    mortal.start_gateway()
    assert answers(live, b"a new one")
    assert carol.ok("echo new login") == "new login\n"
    live.stdin.close()
    assert live.wait(10) == 0


def test_hangup_starts_the_listener_anew(mortal, carol, live):
    """SIGHUP: same process id, same sockets, a fresh layout of memory; nobody is refused meanwhile."""
    pid = mortal.gateway.pid
    mortal.gateway.process.send_signal(signal.SIGHUP)
    for n in range(10):
        assert carol.ssh("true").returncode == 0
    assert mortal.gateway.running and mortal.gateway.pid == pid
    assert answers(live, b"still here")


def test_a_killed_connection_process_ends_only_its_own_session(mortal, carol, live):
    others = set(mortal.gateway.children())
    with carol.open("echo in; exec cat") as victim:
        assert victim.stdout.readline() == b"in\n"
        (pid,) = set(mortal.gateway.children()) - others
        subprocess.run(["kill", "-KILL", str(pid)], check=True)
        assert victim.wait(10) == 255
    # Its sockets close, and the client ends, before the kernel calls it dead.
    until(lambda: not (status := status_of(pid)) or status["State"].startswith("Z"), 10, "it is dead")
    assert answers(live, b"not me")


def test_nothing_grows_with_connections(mortal, carol):
    """After many connections neither daemon holds more descriptors or processes than before."""
    def held():
        return [len(list((mortal_fd(d.pid)).iterdir())) for d in (mortal.control, mortal.gateway)]
    carol.ssh("true")
    until(lambda: not mortal.gateway.children(), 10, "connections end")
    before = held()
    for n in range(15):
        carol.ssh("true", door="jump" if n % 3 == 0 else "direct")
    until(lambda: not mortal.gateway.children(), 10, "connections end")
    until(lambda: held() <= before, 10, f"descriptors go back to {before}")


def mortal_fd(pid):
    from pathlib import Path
    return Path(f"/proc/{pid}/fd")
