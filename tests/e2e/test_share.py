"""A box that somebody else may enter: alice, with her own key, in bob's box, and not a moment longer than agreed."""
import hashlib
import json
import subprocess
import time

import pytest

from harness.rig import Rig
from harness.user import make_key
from harness.wait import until


class Guest:
    """One who logs in as alice+bob, with an ssh_config of their own for that."""

    def __init__(self, user, owner, key=None):
        self.user, self.owner, self.rig = user, owner, user.rig
        self.config, known_hosts = (user.home / f"{name}-{owner.name}" for name in ("config", "known_hosts"))
        keys = self.rig.incus.host_keys(owner.box)
        known_hosts.write_text(self.rig.known_hosts + "".join(f"{owner.box} {key}\n" for key in keys))
        self.config.write_text(user.config.read_text().replace(f" {user.known_hosts}\n", f" {known_hosts}\n")
                               .replace(f" {user.key}\n", f" {key or user.key}\n"))

    def argv(self, *command, door="direct", options=(), key=None):
        login, port = f"{self.user.name}+{self.owner.name}@127.0.0.1", self.rig.port
        way = ["-p", str(port), login] if door == "direct" else \
            ["-J", f"{login}:{port}", f"{self.owner.name}@{self.owner.box}"]
        return ["ssh", "-F", str(self.config), *options, *(["-i", str(key)] if key else []), *way, *command]

    def ssh(self, *command, timeout=60, **options):
        return subprocess.run(self.argv(*command, **options), input=b"", capture_output=True, timeout=timeout)

    def ok(self, *command, **options):
        run = self.ssh(*command, **options)
        assert run.returncode == 0, run.stderr.decode(errors="replace")
        return run.stdout.decode()

    def open(self, *command, **options):
        return subprocess.Popen(self.argv(*command, **options), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, bufsize=0)


@pytest.fixture
def guest(rig, alice, bob):
    """Alice, where bob's box is shared with her."""
    rig.ok("share", "bob", "with", "alice")
    yield Guest(alice, bob)
    rig.cli("unshare", "bob", "with", "alice")


def managed_keys(rig, user):
    return rig.incus.text(user.box, "cat", f"/home/{user.name}/.ssh/authorized_keys")


def test_she_is_bob_in_there(guest, door):
    assert guest.ok("id -un; hostname", door=door) == "bob\nbob-container\n"
    assert guest.user.ok("hostname", door=door) == "alice-container\n", "her own box is still hers"


def test_forwards_and_files_work_as_in_ones_own(guest, door):
    """A file sent, and a port of bob's box reached: the login is all that differs."""
    sent = bytes(range(256)) * 4000
    run = subprocess.run(guest.argv("cat > got && sha256sum < got", door=door), input=sent, capture_output=True,
                         timeout=60)
    assert run.stdout.split()[0].decode() == hashlib.sha256(sent).hexdigest(), run.stderr
    assert guest.owner.ok("stat -c %U got; rm got") == "bob\n"
    with guest.open("python3 -m http.server -b 127.0.0.1 8765 2>&1", door=door):
        until(lambda: guest.ssh(options=["-W", "localhost:8765"]).returncode == 0, 20, "the port answers")
        guest.owner.ok("pkill -f 'http.server -b 127.0.0.1 8765'")


def test_it_leads_to_that_box_only(guest, rig):
    for target in ("alice-container:22", "bob-dev.incus:22", f"{rig.incus.address('alice-container')}:22"):
        run = guest.ssh(options=["-W", target])
        assert run.returncode != 0, target
    reasons = [r["reason"] for r in rig.audit(user="alice", event="refused")]
    assert any("this login leads to bob-container" in reason for reason in reasons), reasons
    plain = guest.user.ssh(options=["-W", f"{guest.owner.box}:22"])
    assert plain.returncode != 0, "alice's own login does not lead there"


def test_without_a_share_the_words_tell_nothing(rig, alice, bob):
    """Bob is there and eve is not; neither counts as a failed login, so that nobody is banned over a share."""
    said = []
    for owner in ("bob", "eve"):
        argv = ["ssh", "-F", str(alice.config), "-p", str(rig.port), f"alice+{owner}@127.0.0.1", "true"]
        for _ in range(6):
            run = subprocess.run(argv, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
            assert run.returncode == 255
        said.append(run.stderr.decode().replace(owner, "___"))
    assert said[0] == said[1] and "there is no box of ___ that is shared with alice" in said[0]
    assert alice.ok("true") == ""
    refusal = rig.audit(user="alice", event="refused")[-1]
    assert refusal["target"] == "alice+eve" and "no box of eve" in refusal["reason"]
    # A key of somebody else's is a wrong key, whatever follows the name.
    run = subprocess.run(["ssh", "-F", str(bob.config), "-p", str(rig.port), "alice+bob@127.0.0.1", "true"],
                         capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    assert b"Permission denied" in run.stderr and b"shared" not in run.stderr


def test_taken_back_it_ends_what_is_live(rig, alice, bob, guest, door):
    own = alice.open("cat")
    own.stdin.write(b"x")
    own.stdout.read(1)
    with guest.open("echo in; exec cat", door=door) as live:
        assert live.stdout.readline() == b"in\n"
        assert "(shared with alice)" in managed_keys(rig, bob)
        shown = [s for s in rig.json("sessions", "list", "bob") if s["user"] == "alice"]
        assert [(s["login"], s["box"]) for s in shown] == [("alice+bob", "bob-container")]
        result = rig.json("unshare", "bob-container", "with", "alice")
        assert live.wait(10) == 255
        assert result["sessions_ended"] == 1
        assert b"this box is not shared with you any more" in live.stderr.read()
    own.stdin.write(b"y")
    assert own.stdout.read(1) == b"y", "her session in her own box goes on"
    own.communicate()
    assert "alice" not in managed_keys(rig, bob)
    assert guest.ssh("true", door=door).returncode == 255
    assert rig.cli("unshare", "bob", "with", "alice").returncode == 3


def test_it_ends_when_its_time_is_over(rig, bob, guest, door):
    with guest.open("echo in; exec cat", door=door) as live:
        assert live.stdout.readline() == b"in\n"
        rig.ok("share", "bob", "with", "alice", "--until", "6s")
        assert 'expiry-time="' in managed_keys(rig, bob)
        assert live.wait(20) == 255
        assert b"the time for which this box was shared with you is over" in live.stderr.read()
    assert guest.ssh("true", door=door).returncode == 255
    end = until(lambda: [r for r in rig.audit(user="bob", event="unshared") if r["actor"] == "gateway"], 10, "its record")
    assert (end[-1]["target"], end[-1]["reason"]) == ("alice", "its time was over")
    until(lambda: "(shared with" not in managed_keys(rig, bob), 20, "the box has forgotten her key")
    assert rig.json("shares", "bob") == []


def test_it_ends_while_the_control_plane_is_down(make_rig, incus):
    rig = make_rig()
    owner, user = rig.user("olga"), rig.user("gina", "--lazy")
    rig.ok("share", "olga", "with", "gina")
    guest = Guest(user, owner)
    with guest.open("echo in; exec cat") as live:
        assert live.stdout.readline() == b"in\n"
        rig.ok("share", "olga", "with", "gina", "--until", "6s")
        gone = time.monotonic() + 6
        rig.kill_control()
        live.stdin.write(b"bytes flow\n")
        assert live.stdout.readline() == b"bytes flow\n"
        until(lambda: time.monotonic() > gone, 10, "its time is over")
        rig.start_control()
        assert live.wait(20) == 255
    assert rig.json("shares") == []
    until(lambda: rig.audit(user="gina", event="logout"), 60, "its end is recorded")


def test_the_trail_names_both(rig, alice, bob, guest):
    guest.ok("true")
    login = rig.audit(user="alice", event="login")[-1]
    assert (login["user"], login["target"], login["box"]) == ("alice", "alice+bob", "bob-container")
    opened = rig.audit(user="alice", event="open")[-1]
    assert (opened["user"], opened["box"], opened["fingerprint"]) == ("alice", "bob-container", alice.fingerprint)
    logout = until(lambda: [r for r in rig.audit(user="alice", event="logout") if r["session"] == login["session"]],
                   10, "the logout")[0]
    assert logout["box"] == "bob-container"
    shared = rig.audit(user="bob", event="shared")[-1]
    assert (shared["actor"], shared["box"], shared["target"]) == ("root@host", "bob-container", "alice")
    # Bob sees who was in his box, on his own; alice's other doings are none of his business.
    lines = [json.loads(line) for line in bob.ctl("audit", "--format", "jsonl").stdout.splitlines()]
    assert any(r["user"] == "alice" and r["session"] == login["session"] for r in lines)
    assert all(r["user"] == "bob" or r["box"] == "bob-container" for r in lines)
    assert "Accepted publickey for alice+bob from 127.0.0.1" in rig.control.text()


def test_owners_share_by_themselves(rig, alice, bob):
    """No administrator needed; who else there is, bob does not learn."""
    run = bob.ctl("share", "with", "alice", "--until", "8h")
    assert run.returncode == 0 and b"bob-container is shared with alice until " in run.stdout
    assert b"alice+bob@127.0.0.1" in run.stderr
    assert Guest(alice, bob).ok("hostname") == "bob-container\n"
    assert bob.ctl("share", "with", "nobody-here").returncode == 0
    shares = json.loads(bob.ctl("shares", "--json").stdout)
    assert [(s["box"], s["user"], s["by"]) for s in shares] == \
        [("bob-container", "alice", "bob"), ("bob-container", "nobody-here", "bob")]
    assert [s["owner"] for s in json.loads(alice.ctl("shares", "--json").stdout)] == ["bob"]
    assert [s["user"] for s in rig.json("info", "bob")["shared_with"]] == ["alice", "nobody-here"]
    assert "Shared with:    nobody-here" in rig.ok("info", "bob-container")
    for words in (("share", "alice", "with", "bob"), ("unshare", "alice", "with", "bob"), ("shares", "alice")):
        assert bob.ctl(*words).returncode == 4, words
    assert alice.ctl("unshare", "bob", "with", "alice").returncode == 4, "it is not hers to manage"
    for name in ("alice", "nobody-here"):
        assert bob.ctl("unshare", "with", name).returncode == 0


def test_who_gets_the_name_later_does_not_get_in(rig, bob):
    bob.ctl("share", "with", "zoe")
    zoe = rig.user("zoe", "--lazy")
    assert Guest(zoe, bob).ssh("true").returncode == 255
    rig.delete(zoe)
    bob.ctl("unshare", "with", "zoe")


def test_her_keys_in_his_box_follow_hers(rig, alice, bob, guest, tmp_path):
    second = make_key(tmp_path / "second", comment="alice@second")
    alice.ctl("keys", "add", stdin=second.with_suffix(".pub").read_bytes())
    until(lambda: "alice@second (shared with alice)" in managed_keys(rig, bob), 20, "his box has her new key")
    with guest.open("echo in; exec cat", door="jump", key=second) as live:
        assert live.stdout.readline() == b"in\n"
        rig.ok("keys", "remove", "alice", "alice@second")
        until(lambda: "alice@second" not in managed_keys(rig, bob), 20, "and has it no more")
        live.kill()
    assert guest.ok("true") == ""


def test_options_of_ones_key_hold_in_anothers_box(rig, bob, new_user, tmp_path, door):
    """Of somebody whom no failures of other tests keep from coming with a new key."""
    user = new_user(f"bound-{door}", "--lazy")
    key = make_key(tmp_path / "bound", comment="bound key")
    rig.cli("keys", "add", user.name, "-", stdin=b'command="echo only this" ' + key.with_suffix(".pub").read_bytes())
    rig.ok("share", "bob", "with", user.name)
    try:
        run = Guest(user, bob, key).ssh("id", door=door)
        assert run.stdout == b"only this\n", run.stderr
    finally:
        rig.ok("unshare", "bob", "with", user.name)


def test_a_ban_of_alice_is_one_of_alice_bob(rig, guest):
    with guest.open("echo in; exec cat") as live:
        assert live.stdout.readline() == b"in\n"
        rig.ok("bans", "add", "--user", "alice")
        try:
            assert live.wait(10) == 255
            assert guest.ssh("true").returncode == 255
        finally:
            rig.ok("bans", "remove", "--user", "alice")
    assert guest.ok("true") == ""


def test_accounts_that_go(rig):
    owner, user = rig.user("otto"), rig.user("gus", "--lazy")
    rig.ok("share", "otto", "with", "gus")
    guest = Guest(user, owner)
    assert guest.ok("id -un") == "otto\n"
    rig.delete(user)
    until(lambda: "gus" not in managed_keys(rig, owner), 20, "the box has forgotten his key")
    assert [s["user"] for s in rig.json("shares", "otto")] == ["gus"], "what he shared is otto's to see"
    again = rig.user("gus", "--lazy")
    guest = Guest(again, owner)
    assert guest.ssh("true").returncode == 255, "another gus"
    rig.ok("share", "otto", "with", "gus")
    with guest.open("echo in; exec cat") as live:
        assert live.stdout.readline() == b"in\n"
        rig.delete(owner)
        assert live.wait(10) == 255
    assert rig.json("shares") == []
    rig.delete(again)


def test_a_guest_keeps_the_box_awake(incus, temp):
    rig = Rig(incus, temp, box={"idle_freeze": "1s", "idle_stop": "0s"}).start()
    try:
        owner, user = rig.user("oleg"), rig.user("gerd", "--lazy")
        rig.ok("share", "oleg", "with", "gerd")
        guest = Guest(user, owner)
        until(lambda: incus.status(owner.box) == "Frozen", 20, "nobody is in")
        with guest.open("echo in; exec cat", door="jump") as live:
            assert live.stdout.readline() == b"in\n", "the guest's login wakes it"
            before = time.monotonic()
            until(lambda: time.monotonic() - before > 3, 5, "three times the limit passes")
            assert incus.status(owner.box) == "Running"
            live.stdin.close()
            assert live.wait(10) == 0
        until(lambda: incus.status(owner.box) == "Frozen", 20, "nobody is in any more")
    finally:
        rig.stop()


def test_her_export_leads_there(rig, alice, bob, guest, tmp_path):
    config = tmp_path / "config"
    config.write_text(rig.ok("export", "alice", "--jump-ip", "127.0.0.1", "--port", rig.port, "--key", alice.key)
                      + "\nHost *\n    BatchMode yes\n    StrictHostKeyChecking yes\n"
                      "    UserKnownHostsFile /dev/null\n    GlobalKnownHostsFile /dev/null\n")
    run = subprocess.run(["ssh", "-F", config, "bob-dev", "id -un; hostname"], capture_output=True, timeout=60,
                         stdin=subprocess.DEVNULL)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"bob\nbob-container\n", b"")
