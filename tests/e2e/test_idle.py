"""Boxes that nobody is in fall asleep: frozen, then stopped; never under a session, and a login always wins."""
import itertools
import json
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


# ---- times of a box's own

numbers = itertools.count(1)


def times(rig, user, verb="idle"):
    """{"freeze": (milliseconds or None for never, is it the box's own?), "stop": ...}"""
    return {step: (one["after_ms"], one["own"]) for step, one in rig.json(verb, user.name)["idle"].items()}


@pytest.fixture(scope="module")
def wakeful(incus, temp):
    """Nothing falls asleep here unless its box says so; in there is nan, who has said nothing."""
    rig = Rig(incus, temp, box={"idle_freeze": "0s", "idle_stop": "0s"}).start()
    rig.user("nan")
    yield rig
    rig.stop()


@pytest.fixture
def lou(wakeful):
    user = wakeful.user(f"lou{next(numbers)}")  # a name of each test's own: the audit trail outlives the user
    yield user
    wakeful.delete(user)


def test_a_box_has_times_of_its_own(wakeful, lou):
    """Asked for while it lies idle, it falls asleep there and then: the time counts from its last use."""
    run = wakeful.cli("idle", "set", lou.name, "--freeze", "1s")
    assert run.returncode == 0 and run.stdout.decode().splitlines() == [
        "STEP    AFTER  FROM", "freeze  1s     own", "stop    never  configuration"]
    until(is_(wakeful, lou, "Frozen"), 20, "it is frozen")
    assert lou.ok("echo back") == "back\n"
    until(is_(wakeful, lou, "Frozen"), 20, "it is frozen after its next use as well")
    wakeful.ok("idle", "set", lou.name, "--stop", "2s")
    until(is_(wakeful, lou, "Stopped"), 30, "it is stopped, too")
    assert times(wakeful, lou) == times(wakeful, lou, "info") == {"freeze": (1000, True), "stop": (2000, True)}
    assert "Sleep:          frozen after 1s (own), stopped after 2s (own)" in wakeful.ok("info", lou.name)
    records = wakeful.audit(user=lou.name, event="box-changed")
    assert [(r["box"], r["reason"]) for r in records] == [(lou.box, "idle freeze 1s"), (lou.box, "idle stop 2s")]
    assert wakeful.incus.status("nan-container") == "Running", "the others sleep as the configuration says: never"


def test_not_under_a_session_that_is_there_already(wakeful, lou):
    with lou.open("echo in; exec cat") as live:
        assert live.stdout.readline() == b"in\n"
        wakeful.ok("idle", "set", lou.name, "--freeze", "0s", "--stop", "1s")
        before = time.monotonic()
        until(lambda: time.monotonic() - before > 3, 5, "three times the limit passes")
        live.stdin.write(b"still here\n")
        assert live.stdout.readline() == b"still here\n"
        live.stdin.close()
        assert live.wait(10) == 0
    until(is_(wakeful, lou, "Stopped"), 30, "it is stopped once they left")
    assert [r["reason"] for r in wakeful.audit(user=lou.name, event="box-stopped")] == ["Stopped"]


def test_a_stop_before_the_freeze(wakeful, lou):
    """Allowed here as in the configuration, and means the same: the box is not frozen on its way."""
    run = wakeful.cli("idle", "set", lou.name, "--freeze", "1h", "--stop", "1s")
    assert run.returncode == 0 and b"the stop comes first" in run.stderr
    until(is_(wakeful, lou, "Stopped"), 30, "it is stopped")
    assert [r["reason"] for r in wakeful.audit(user=lou.name, event="box-stopped")] == ["Stopped"]


def test_before_the_box_is_made(wakeful):
    user = wakeful.user("lazy", "--lazy")
    wakeful.ok("idle", "set", user.name, "--freeze", "1s")
    assert user.ok("echo first") == "first\n"
    until(is_(wakeful, user, "Frozen"), 20, "it has them from its first login on")
    wakeful.delete(user)


def test_never_and_reset(drowsy, ida):
    """In a place where all others freeze after a second."""
    user = drowsy.user("vera")
    until(is_(drowsy, user, "Frozen"), 20, "it is frozen as the others are")
    drowsy.ok("idle", "set", user.name, "--freeze", "never")
    assert drowsy.incus.status(user.box) == "Frozen", "other times wake nothing"
    user.ok("true")
    for _ in range(2):
        ida.ok("true")
        until(is_(drowsy, ida, "Frozen"), 20, "a neighbour's box is used later and frozen")
    assert drowsy.incus.status(user.box) == "Running"
    assert times(drowsy, user) == {"freeze": (None, True), "stop": (None, False)}
    drowsy.ok("idle", "set", user.name, "--reset")
    until(is_(drowsy, user, "Frozen"), 20, "it is frozen as before")
    assert times(drowsy, user) == {"freeze": (1000, False), "stop": (None, False)}
    assert drowsy.audit(user=user.name, event="box-changed")[-1]["reason"] == "idle reset"
    drowsy.delete(user)


def test_own_times_outlive_the_control_plane(make_rig):
    """Boxes that slept are made to run while it is dead; back again, it treats each by its own times."""
    rig = make_rig(box={"idle_freeze": "1s"})
    usual, awake, stops = rig.user("usual"), rig.user("awake"), rig.user("stops")
    rig.ok("idle", "set", awake.name, "--freeze", "never", "--stop", "never")
    rig.ok("idle", "set", stops.name, "--freeze", "never", "--stop", "1s")
    rig.ok("start", awake.name)
    until(is_(rig, usual, "Frozen"), 30, "one is frozen")
    until(is_(rig, stops, "Stopped"), 30, "one is stopped")
    rig.kill_control()
    rig.incus.run("resume", usual.box)
    rig.incus.run("start", stops.box)
    rig.start_control()
    until(is_(rig, usual, "Frozen"), 60, "it is frozen again, as the configuration says")
    until(is_(rig, stops, "Stopped"), 60, "it is stopped again, by its own time")
    assert rig.incus.status(awake.box) == "Running", "that one stays awake"
    assert times(rig, awake) == {"freeze": (None, True), "stop": (None, True)}
    assert times(rig, stops) == {"freeze": (None, True), "stop": (1000, True)}
    assert times(rig, usual) == {"freeze": (1000, False), "stop": (86_400_000, False)}


def test_who_may_see_and_set_them(wakeful, lou):
    boss = wakeful.user("boss", "--lazy", "--role", "operator")
    assert b"freeze  never  configuration" in lou.ctl("idle").stdout
    for refused in (("idle", "nan"), ("idle", "set", "--freeze", "never"), ("idle", "set", lou.name, "--freeze", "1s"),
                    ("idle", "set", "nan", "--reset")):
        assert lou.ctl(*refused).returncode == 4, refused
    run = boss.ctl("idle", "set", lou.name, "--freeze", "2h", "--json")
    assert run.returncode == 0 and json.loads(run.stdout) == {
        "user": lou.name, "box": lou.box, "idle": {"freeze": {"after_ms": 7_200_000, "own": True},
                                                   "stop": {"after_ms": None, "own": False}}}
    record = wakeful.audit(user=lou.name, event="box-changed")[-1]
    assert (record["actor"], record["reason"]) == (boss.name, "idle freeze 2h")
    assert b"freeze  2h     own" in lou.ctl("idle").stdout
    wakeful.delete(boss)


@pytest.mark.parametrize("arguments, says", [
    ([], "give --freeze, --stop, or --reset"),
    (["--freeze"], "needs a value"),
    (["--freeze", "soon"], '--freeze: "soon" does not fit; accepted: never, and durations up to 365d'),
    (["--freeze", "30"], "--freeze"),
    (["--stop", "-1s"], "--stop"),
    (["--freeze", "1h", "--stop", "366d"], '--stop: "366d" does not fit'),
    (["--freeze", "99999999999999999999d"], "--freeze"),
    (["--sleep", "1h"], "--sleep"),
    (["1h"], "1h"),
])
def test_bad_times_change_nothing(wakeful, arguments, says):
    run = wakeful.cli("idle", "set", "nan", *arguments)
    assert run.returncode == 2 and says in run.stderr.decode(), run.stderr
    assert "own" not in wakeful.ok("idle", "nan") and not wakeful.audit(user="nan", event="box-changed")


def test_never_means_never(rig, alice):
    """The shared gateway has the defaults: half an hour, a day."""
    config = rig.ok("config", "show")
    assert "idle_freeze = 30m" in config and "idle_stop = 1d" in config
