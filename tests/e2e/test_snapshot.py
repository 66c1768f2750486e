"""snapshot: the disk comes back, the keys and limits of today stay, and nobody is left in a box that was put back."""
import subprocess

import pytest

from harness.terminal import Terminal
from harness.user import make_key
from harness.wait import until


@pytest.fixture(scope="module")
def snap(rig):
    user = rig.user("snap")
    yield user
    rig.delete(user)


@pytest.fixture(autouse=True)
def tidy(rig, snap):
    yield
    for one in rig.json("snapshot", "list", snap.name):
        rig.ok("snapshot", "delete", snap.name, one["name"])


def names(rig, user):
    return [one["name"] for one in rig.json("snapshot", "list", user.name)]


def test_there_and_back(rig, snap, door):
    snap.ok("echo first > note; sync")
    rig.ok("snapshot", "create", snap.name, "before")
    assert names(rig, snap) == ["before"]
    snap.ok("echo second > note; rm -f /etc/motd; sync", door=door)
    with snap.open("echo in; exec cat", door=door) as live:
        assert live.stdout.readline() == b"in\n"
        out = rig.ok("snapshot", "restore", snap.name, "before", "--force")
        assert "before restored" in out
        assert live.wait(20) == 255
        if door == "direct":
            assert b"snapshot before" in live.stderr.read(), "it is told why"
    assert snap.ok("cat note", door=door) == "first\n"
    events = [r["event"] for r in rig.audit(user=snap.name)]
    assert "snapshot-created" in events and "snapshot-restored" in events
    assert rig.audit(user=snap.name, event="snapshot-restored")[-1]["target"] == "before"


def test_a_key_removed_since_stays_removed(rig, snap, tmp_path):
    """The old disk has the old authorized_keys: letting them in again would undo a revocation."""
    lost = make_key(tmp_path / "lost", comment="snap@lost")
    rig.ok("keys", "add", snap.name, f"{lost}.pub")
    rig.ok("snapshot", "create", snap.name, "with-lost-key")
    rig.ok("keys", "remove", snap.name, "snap@lost")
    rig.ok("resize", snap.name, "--memory", "700MB")
    rig.ok("snapshot", "restore", snap.name, "with-lost-key", "--force")
    keys = rig.incus.text(snap.box, "cat", f"/home/{snap.name}/.ssh/authorized_keys", "/etc/containarium/user_keys")
    assert "snap@lost" not in keys and "snap@laptop" in keys
    assert rig.incus.instance(snap.box)["config"]["limits.memory"] == "700000000B", "limits are today's"
    assert snap.ok("echo in", door="jump") == "in\n"


@pytest.mark.parametrize("how, after", [("stop", "Stopped"), ("freeze", "Running")])
def test_restore_of_a_sleeping_box(rig, snap, how, after):
    rig.ok("snapshot", "create", snap.name, "asleep")
    rig.ok(how, snap.name)
    rig.ok("snapshot", "restore", snap.name, "asleep", "--force")
    assert rig.incus.status(snap.box) == after
    assert snap.ok("echo in") == "in\n"


def test_users_keep_their_own(rig, snap, alice):
    snap.ok("echo mine > mine; sync")
    run = snap.ctl("snapshot", "create", "own")
    assert run.returncode == 0, run.stderr
    assert b"own" in snap.ctl("snapshot", "list").stdout
    snap.ok("rm mine; sync")
    run = snap.ctl("snapshot", "restore", "own", "--force")
    assert run.returncode == 0, run.stderr  # the console is not a session in the box: it sees its own end
    assert snap.ok("cat mine") == "mine\n"
    assert snap.ctl("snapshot", "list", alice.name).returncode == 4
    assert snap.ctl("snapshot", "restore", alice.name, "own", "--force").returncode == 4
    assert snap.ctl("snapshot", "delete", "own").returncode == 0
    assert names(rig, snap) == []


def test_asks_on_a_terminal(rig, snap):
    rig.ok("snapshot", "create", snap.name, "asked")
    snap.ok("echo kept > asked; sync")
    run = rig.cli("snapshot", "restore", snap.name, "asked")
    assert run.returncode == 2 and b"--force" in run.stderr
    with Terminal(rig.cli_argv("snapshot", "restore", snap.name, "asked")) as terminal:
        terminal.expect(rb"losing what was written since.*\[y/N\] ")
        terminal.send(b"n\n")
        assert terminal.wait() == 1
    assert snap.ok("cat asked") == "kept\n"
    with Terminal(rig.cli_argv("snapshot", "restore", snap.name, "asked")) as terminal:
        terminal.expect(rb"\[y/N\] ")
        terminal.send(b"y\n")
        terminal.expect(rb"asked restored", timeout=60)
        assert terminal.wait() == 0
    assert snap.ssh("cat asked").returncode == 1


@pytest.mark.parametrize("words, status, says", [
    (["create", "snap", "two words"], 2, b"snapshot name"),
    (["create", "snap", "../up"], 2, b"snapshot name"),
    (["create", "snap", "x" * 64], 2, b"63"),
    (["create", "snap", ""], 2, b"snapshot name"),
    (["restore", "snap", "nothing", "--force"], 3, b"nothing"),
    (["delete", "snap", "nothing"], 3, b"snapshot list"),
    (["restore", "snap"], 2, b"missing"),
    (["list", "nobody"], 3, b"nobody"),
])
def test_refusals(rig, snap, words, status, says):
    run = rig.cli("snapshot", *words)
    assert run.returncode == status and says in run.stderr, run.stderr


def test_a_name_is_taken_once(rig, snap):
    rig.ok("snapshot", "create", snap.name, "once")
    run = rig.cli("snapshot", "create", snap.name, "once")
    assert run.returncode == 5 and b"already" in run.stderr


def test_a_wrong_name_ends_nobodys_session(rig, snap):
    with snap.open("echo in; exec cat") as live:
        assert live.stdout.readline() == b"in\n"
        assert rig.cli("snapshot", "restore", snap.name, "nothing", "--force").returncode == 3
        live.stdin.write(b"still here\n")
        assert live.stdout.readline() == b"still here\n"
        live.stdin.close()
        assert live.wait(10) == 0


def test_so_many_and_no_more(rig, snap):
    for n in range(5):
        rig.ok("snapshot", "create", snap.name, f"n{n}")
    run = rig.cli("snapshot", "create", snap.name, "n5")
    assert run.returncode == 1 and b"max_snapshots" in run.stderr
    assert names(rig, snap) == [f"n{n}" for n in range(5)], "oldest first"


def test_a_login_during_a_restore_gets_the_restored_box(rig, snap):
    snap.ok("echo first > note; sync")
    rig.ok("snapshot", "create", snap.name, "race")
    snap.ok("echo second > note; sync")
    restore = subprocess.Popen(rig.cli_argv("snapshot", "restore", snap.name, "race", "--force"),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: rig.incus.status(snap.box) != "Running", 20, "it is being restored", every=0.01)
    assert snap.ok("cat note") == "first\n"
    assert restore.wait(60) == 0


def test_static_boxes_are_not_ours(rig, tmp_path):
    key = make_key(tmp_path / "stat")
    rig.ok("create", "stat", "--ssh-key", f"{key}.pub", "--static", "192.0.2.7")
    for verb in (["snapshot", "create", "stat"], ["resize", "stat", "--cpu", "2"], ["autostart", "stat", "on"]):
        run = rig.cli(*verb)
        assert run.returncode == 5 and b"existing machine" in run.stderr, (verb, run.stderr)
    rig.ok("delete", "stat", "--force")
