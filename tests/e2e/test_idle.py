"""Boxes that nobody is in fall asleep: frozen, then stopped; never under a session, and a login always wins."""
import random
import subprocess
import time

import pytest

from harness.rig import Rig
from harness.wait import until


@pytest.fixture(scope="module")
def drowsy(incus, temp):
    """Freezes after a second without a session."""
    rig = Rig(incus, temp, box={"idle_freeze": "1s", "idle_stop": "0s"}).start()
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def ida(drowsy):
    return drowsy.user("ida")


def is_(rig, user, status):
    return lambda: rig.incus.status(user.box) == status


def idle_column(rig, user):
    line = next(line for line in rig.ok("list").splitlines() if line.startswith(user.box))
    return line.split()[8:]


def test_freezes_after_the_last_session(drowsy, ida, door):
    with ida.open("echo in; exec cat", door=door) as one, ida.open("echo in; exec cat", door=door) as other:
        assert one.stdout.readline() == other.stdout.readline() == b"in\n"
        assert idle_column(drowsy, ida) == ["in", "use"]
        one.stdin.close()
        assert one.wait(10) == 0
        before = time.monotonic()
        until(lambda: time.monotonic() - before > 3, 5, "three times the limit passes")
        assert drowsy.incus.status(ida.box) == "Running", "never under a live session"
        other.stdin.write(b"still here\n")
        assert other.stdout.readline() == b"still here\n"
        other.stdin.close()
        assert other.wait(10) == 0
    until(is_(drowsy, ida, "Frozen"), 20, "it is frozen")
    record = until(lambda: drowsy.audit(user=ida.name, event="box-stopped"), 10, "that is recorded")[-1]
    assert (record["actor"], record["reason"]) == ("idle", "Frozen")
    assert idle_column(drowsy, ida)[0].endswith("s")


def test_what_ran_goes_on_after_the_wake(drowsy, ida):
    pid = ida.ok("nohup sleep 1000 >/dev/null 2>&1 & echo $!").strip()
    until(is_(drowsy, ida, "Frozen"), 20, "it is frozen")
    assert ida.ok(f"cat /proc/{pid}/comm; kill {pid}") == "sleep\n"


def test_the_console_keeps_no_box_awake(drowsy, ida):
    """ssh ctl@gateway is not a session in the box."""
    ida.ok("true")
    console = subprocess.Popen(["ssh", "-F", str(ida.config), "-p", str(drowsy.port), "ctl@127.0.0.1", "keys", "add"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(is_(drowsy, ida, "Frozen"), 20, "it is frozen with a console session open")
    console.communicate(b"")
    assert drowsy.incus.status(ida.box) == "Frozen"


def test_start_by_an_administrator_counts_as_use(drowsy, ida):
    until(is_(drowsy, ida, "Frozen"), 20, "it is frozen")
    drowsy.ok("start", ida.name)
    until(is_(drowsy, ida, "Frozen"), 20, "it is frozen again")


def test_a_login_that_comes_while_it_falls_asleep_wins(drowsy, ida):
    """Logins around the very moment of the freeze, from both sides of it: all get in, and none is frozen under."""
    chance = random.Random(7)
    for _ in range(12):
        ida.ok("true")
        time.sleep(chance.uniform(0.8, 1.5))  # no condition to wait for: any moment around the freeze will do
        with ida.open("echo in; exec cat", door=chance.choice(["direct", "jump"])) as live:
            assert live.stdout.readline() == b"in\n"
            for n in range(10):
                assert drowsy.incus.status(ida.box) == "Running"
                live.stdin.write(b"%d\n" % n)
                assert live.stdout.readline() == b"%d\n" % n
            live.stdin.close()
            assert live.wait(10) == 0
    frozen = drowsy.audit(user=ida.name, event="box-stopped")
    woken = drowsy.audit(user=ida.name, event="box-started")
    assert len(frozen) >= 5 and len(woken) >= 5, "the rounds did meet freezes"


def test_a_box_stopped_from_within_is_left_alone(drowsy, ida):
    ida.ssh("sudo systemctl poweroff")
    until(is_(drowsy, ida, "Stopped"), 20, "it powers off")
    before = time.monotonic()
    until(lambda: time.monotonic() - before > 3, 5, "three times the limit passes")
    assert drowsy.incus.status(ida.box) == "Stopped"
    assert ida.ok("echo back") == "back\n"


def test_slept_boxes_stay_asleep_when_the_host_comes_back(drowsy, ida):
    """Incus starts at boot what has boot.autostart, so that is taken away with the sleep and given back with the wake."""
    def autostart():
        return drowsy.incus.instance(ida.box)["config"]["boot.autostart"]

    with ida.open("echo in; exec cat") as live:
        assert live.stdout.readline() == b"in\n"
        until(lambda: autostart() == "true", 10, "it is awake, so it is up after a crash")
        live.stdin.close()
        assert live.wait(10) == 0
    until(lambda: autostart() == "false", 20, "it sleeps, and so it does after a crash")
    assert drowsy.incus.status(ida.box) == "Frozen"
    assert drowsy.json("info", ida.name)["autostart"], "what was asked for stands"
    drowsy.ok("autostart", ida.name, "off")
    ida.ok("true")
    assert autostart() == "false"
    drowsy.ok("autostart", ida.name, "on")


def test_stops_later(make_rig):
    rig = make_rig(box={"idle_freeze": "1s", "idle_stop": "4s"})
    user = rig.user("stella")
    user.ok("true")
    until(is_(rig, user, "Frozen"), 20, "it is frozen first")
    until(is_(rig, user, "Stopped"), 30, "it is stopped later")
    until(lambda: [r["reason"] for r in rig.audit(user=user.name, event="box-stopped")] == ["Frozen", "Stopped"], 10,
          "both are recorded")
    assert user.ok("echo back") == "back\n"


def test_restart_of_the_control_plane(make_rig):
    """Who was in the box is still in it, though their processes have to come back first; who was not, was not."""
    rig = make_rig(box={"idle_freeze": "1s"})
    here, away = rig.user("here"), rig.user("away")
    away.ok("true")
    with here.open("echo in; exec cat") as live:
        assert live.stdout.readline() == b"in\n"
        rig.kill_control()
        if rig.incus.status(away.box) == "Frozen":
            rig.incus.run("resume", away.box)  # as a host that starts it would
        rig.start_control()
        until(is_(rig, away, "Frozen"), 60, "the box that ran without anybody in it is frozen")
        assert rig.incus.status(here.box) == "Running"
        live.stdin.write(b"still here\n")
        assert live.stdout.readline() == b"still here\n"
        live.stdin.close()
        assert live.wait(10) == 0
    until(is_(rig, here, "Frozen"), 20, "the other one too, now")


def test_never_means_never(rig, alice):
    """The shared gateway has the defaults: half an hour, a day."""
    config = rig.ok("config", "show")
    assert "idle_freeze = 30m" in config and "idle_stop = 1d" in config
