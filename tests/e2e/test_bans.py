"""Failures become bans where they happen, and nowhere else."""
import asyncio
import concurrent.futures
import json
import socket
import sqlite3
import subprocess

import asyncssh
import pytest

from harness import flood
from harness.user import make_key
from harness.wait import until

OFFICE, CAFE = "127.0.0.10", "127.0.0.20"  # two addresses people come from


def create(rig, name, key, *options):
    """An account whose logins need no box: nothing is opened in this file."""
    rig.ok("create", name, "--ssh-key", key, "--static", "127.0.0.1:9", *options)


@pytest.fixture
def guarded(make_rig):
    rig = make_rig(bans={"window": "1m", "duration": "1h"}, gateway={"max_unauthenticated_per_source": "50"})
    rig.stranger = make_key(rig.folder / "stranger")
    return rig


@pytest.fixture
def carol(guarded):
    user = guarded.person("carol")
    create(guarded, "carol", user.public_key)
    return user


async def _auth(rig, name, key, address):
    connection = await asyncssh.connect("127.0.0.1", rig.port, username=name, client_keys=[str(key)], known_hosts=None,
                                        local_addr=(address, 0), config=None, agent_path=None)
    connection.close()
    await connection.wait_closed()


def enters(rig, name, key, address):
    """Whether a connection from `address` gets past authentication; nothing is opened. False, or why not, if not."""
    try:
        asyncio.run(_auth(rig, name, key, address))
        return True
    except asyncssh.PermissionDenied:
        return False
    except (asyncssh.DisconnectError, OSError) as reason:
        return str(reason)


def fail(rig, name, address, times):
    for _ in range(times):
        assert enters(rig, name, rig.stranger, address) is False
    return until(lambda: len(rig.audit(user=name, event="login-failed")) >= times, what="the failures are on record")


def test_three_failures_ban_the_name_at_its_source(guarded, carol):
    fail(guarded, "carol", OFFICE, 3)
    said = enters(guarded, "carol", carol.key, OFFICE)
    assert "logins as carol from 127.0.0.10 are not accepted until" in said, said
    assert enters(guarded, "carol", carol.key, CAFE) is True, "elsewhere she is no stranger"
    (ban,) = guarded.json("bans", "list")
    assert (ban["user"], ban["from"], ban["by"], ban["reason"]) == ("carol", OFFICE, "gateway", "3 failed logins")
    assert guarded.audit(event="banned")[-1]["user"] == "carol"


def on_disk(rig, event):
    """Records of the event that are committed: another reader of the database sees only those."""
    with sqlite3.connect(f"file:{rig.database}?mode=ro", uri=True) as db:
        (count,) = db.execute("SELECT count(*) FROM audit WHERE event = ? AND user != ''", (event,)).fetchone()
    db.close()
    return count


def test_a_ban_survives_a_restart(guarded, carol):
    fail(guarded, "carol", OFFICE, 2)
    until(lambda: on_disk(guarded, "login-failed") == 2, what="both are committed; nobody had to wait for that")
    guarded.control.kill()
    guarded.start_control()
    fail(guarded, "carol", OFFICE, 1)  # the two before are counted again
    until(lambda: guarded.json("bans", "list") and on_disk(guarded, "banned"), what="the third one bans")
    guarded.control.kill()
    guarded.start_control()
    assert "not accepted until" in enters(guarded, "carol", carol.key, OFFICE)


def test_several_keys_before_the_right_one_are_no_failure(guarded, carol):
    others = [make_key(guarded.folder / f"other{n}") for n in range(5)]
    options = [word for key in others for word in ("-i", str(key))]
    for _ in range(4):
        run = subprocess.run(["ssh", "-F", carol.config, *options, "-p", str(guarded.port), "ctl@127.0.0.1", "whoami"],
                             capture_output=True, timeout=60)
        assert run.returncode == 0, run.stderr
    assert len(guarded.audit(event="auth-failed")) >= 4, "the others were offered"
    assert guarded.json("bans", "list") == [] and [r for r in guarded.audit(event="login-failed") if r["user"]] == []


def test_who_has_come_from_there_is_not_shut_out_by_others(guarded, carol):
    assert enters(guarded, "carol", carol.key, OFFICE) is True
    fail(guarded, "carol", OFFICE, 3)
    assert guarded.json("bans", "list"), "the name is banned there, for strangers"
    assert enters(guarded, "carol", carol.key, OFFICE) is True
    second = make_key(guarded.folder / "second")
    guarded.ok("keys", "add", "carol", f"{second}.pub")
    assert enters(guarded, "carol", second, OFFICE) is not True, "a key that never came from there is a stranger's"


def test_many_names_ban_the_source_at_the_listener(guarded, carol):
    counts = flood.run("fail", guarded.port, count=40, names=5, sources=1, parallel=4)
    assert counts["denied"] >= 15
    until(lambda: [b for b in guarded.json("bans", "list") if b["user"] == "" and b["from"] == "127.64.0.1"],
          what="the source is banned")

    def turned_away():
        with socket.create_connection(("127.0.0.1", guarded.port), source_address=("127.64.0.1", 0), timeout=10) as s:
            return b"not accepted until" in s.recv(300)
    until(turned_away, what="the listener turns it away with the reason")
    assert enters(guarded, "carol", carol.key, CAFE) is True
    guarded.ok("bans", "remove", "127.64.0.1")
    until(lambda: not turned_away(), what="lifted, it gets in again")


def test_behind_one_address(guarded, failures=1000):
    """200 people log in from an office; somebody there fails a thousand times, under their names. Nobody else is
    refused, before, meanwhile or after. tests/bench/admission.py does it with ten thousand."""
    people = {}
    for n in range(200):
        name = f"user{n}"
        people[name] = make_key(guarded.folder / name, comment=name)
        create(guarded, name, f"{people[name]}.pub")
    source = "127.64.0.1"  # where flood's only source is

    def everybody():
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda item: (item[0], enters(guarded, *item, source)), people.items()))
        return [(name, result) for name, result in results if result is not True]

    assert everybody() == []
    attacker = flood.start("fail", guarded.port, count=failures, seconds=240, parallel=2, names=200)
    assert everybody() == []
    counts = json.loads(attacker.communicate(timeout=300)[0])
    assert counts["tried"] == failures and counts["exchanged"] == failures, counts
    assert everybody() == []
    assert [b for b in guarded.json("bans", "list") if b["user"] == ""] == [], "the office is not banned as a whole"
    assert len(guarded.json("bans", "list")) > 100, "the names are, for strangers there"


def test_repeaters_stay_longer(make_rig):
    rig = make_rig(bans={"window": "1m", "duration": "1s", "growth": "100"})
    rig.stranger = make_key(rig.folder / "stranger")
    fail(rig, "mallory", OFFICE, 3)

    def second():
        enters(rig, "mallory", rig.stranger, OFFICE)
        return len(rig.json("bans", "list", "--history")) == 2
    until(second, 30, "a second ban, once the first is over", every=0.3)
    first, last = sorted(rig.json("bans", "list", "--history"), key=lambda b: b["id"])
    assert first["state"] == "over" and last["state"] == "in force"


def test_by_hand(guarded, carol):
    argv = ["ssh", "-F", carol.config, "-b", OFFICE, "-p", str(guarded.port), "ctl@127.0.0.1", "audit", "--follow"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as session:
        until(lambda: guarded.json("sessions", "list"), what="she is in")
        made = guarded.ok("bans", "add", OFFICE, "--for", "2h", "--reason", "lost laptop")
        assert "1 live connection ended" in made
        _, said = session.communicate(timeout=20)
    assert b"blocked by your administrator" in said
    with socket.create_connection(("127.0.0.1", guarded.port), source_address=(OFFICE, 0), timeout=10) as s:
        assert b"not accepted until" in s.recv(300), "at once, on the listener"
    again = guarded.cli("bans", "add", OFFICE)
    assert again.returncode == 5 and b"banned already" in again.stderr
    guarded.ok("bans", "remove", OFFICE)
    assert guarded.cli("bans", "remove", OFFICE).returncode == 3
    until(lambda: enters(guarded, "carol", carol.key, OFFICE) is True, what="lifted")
    guarded.ok("bans", "add", "--user", "carol", "--forever")
    assert "logins as carol are not accepted; ask your administrator" in enters(guarded, "carol", carol.key, CAFE)
    guarded.ok("bans", "remove", "--user", "carol")
    guarded.ok("bans", "add", "127.0.0.0/27")
    assert enters(guarded, "carol", carol.key, OFFICE) is not True
    history = guarded.json("bans", "list", "--history")
    assert [b["state"] for b in history] == ["in force", "lifted", "lifted"] and history[-1]["reason"] == "lost laptop"
    assert [r["actor"] for r in guarded.audit(event="unbanned")] == ["root@host"] * 2


def test_nobody_locks_themselves_out(guarded):
    admin = guarded.person("root-of-all")
    create(guarded, "boss", admin.public_key, "--role", "admin")
    run = admin.ctl("bans", "add", "127.0.0.0/8")
    assert run.returncode == 5 and b"shut you out" in run.stderr


@pytest.mark.parametrize("arguments, says", [
    ([], "say whom"), (["300.1.1.1"], "is no address"), (["10.0.0.1/8"], "without bits beyond"), (["host"], "is no address"),
    (["10.0.0.1", "--for", "soon"], "--for"), (["10.0.0.1", "--for", "0s"], "a second at least"),
    (["10.0.0.1", "--for", "1h", "--forever"], "exclude"), (["--user", "a b"], "no login name"),
])
def test_bad_input_changes_nothing(guarded, arguments, says):
    run = guarded.cli("bans", "add", *arguments)
    assert run.returncode == 2 and says in run.stderr.decode(), run.stderr
    assert guarded.json("bans", "list", "--history") == []


def test_status_counts(guarded, carol):
    fail(guarded, "carol", OFFICE, 3)
    status = guarded.json("bans", "status")
    assert status["currently_failed"] >= 3 and status["total_failed"] >= 3
    assert status["currently_banned"] == status["total_banned"] == 1
    assert "Currently banned:  1" in guarded.ok("bans", "status")


def test_an_allow_list_shuts_out_the_rest(make_rig):
    rig = make_rig(gateway={"allow_from": "127.0.0.1 127.0.0.32/28"})
    user = rig.person("dave")
    create(rig, "dave", user.public_key)
    assert enters(rig, "dave", user.key, "127.0.0.33") is True
    assert enters(rig, "dave", user.key, CAFE) is not True
