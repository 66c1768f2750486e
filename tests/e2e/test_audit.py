"""The trail: a row for everything that matters, durable, whole, and as sshd's readers know it."""
import contextlib
import sqlite3
import subprocess

import pytest

from harness.wait import until


def test_every_login_has_a_row(rig, alice, door):
    before = len(rig.audit(user="alice", event="login"))
    for _ in range(3):
        alice.ok("true", door=door)
    rows = rig.audit(user="alice", event="login")[before:]
    assert len(rows) == 3
    for row in rows:
        assert row["fingerprint"] == alice.fingerprint and row["address"].startswith("127.0.0.1:")
        assert row["session"] and "OpenSSH" in row["reason"]
    assert len({row["session"] for row in rows}) == 3


def test_a_session_is_told_from_login_to_logout(rig, alice):
    data = b"x" * 100_000
    alice.ok("cat; exit 0", stdin=data)
    session = rig.audit(user="alice", event="login")[-1]["session"]
    until(lambda: [r for r in rig.audit(user="alice", event="logout") if r["session"] == session], 5, "the logout")
    story = [r for r in rig.audit(user="alice") if r["session"] == session]
    assert [r["event"] for r in story] == ["login", "open", "channel-closed", "logout"]
    assert story[1]["target"] == "session" and story[1]["box"] == "alice-container"
    assert story[2]["bytes_in"] >= len(data) and story[2]["bytes_out"] >= len(data)
    assert story[2]["reason"] == "exit 0"
    assert story[3]["bytes_in"] >= len(data)


def test_a_jump_names_its_target(rig, alice):
    alice.ok("true", door="jump")
    assert rig.audit(user="alice", event="open")[-1]["target"] == "direct-tcpip alice-container:22"


def test_failed_exit_is_recorded(rig, alice):
    alice.ssh("exit 42")
    until(lambda: rig.audit(user="alice", event="channel-closed")[-1]["reason"] == "exit 42", 5, "exit 42")


def test_commands_are_recorded_with_their_actor(rig, alice):
    rig.ok("start", "alice")
    alice.ctl("start")
    starts = [r for r in rig.audit(event="command", user="alice") if r["target"].startswith("start")]
    assert starts[-2]["actor"].startswith("root@") and starts[-2]["address"] == "local"
    assert starts[-1]["actor"] in ("alice", "") and starts[-1]["address"].startswith("127.0.0.1:")


def test_the_journal_speaks_sshds_words(rig, alice):
    alice.ok("true")
    assert rig.control.log_lines("Accepted publickey for alice from 127.0.0.1")


def test_filters_and_formats(rig, alice, door):
    alice.ok("true", door=door)
    assert rig.audit(user="nobody-at-all", event="login") == []
    assert {r["event"] for r in rig.audit(event="login")} == {"login"}
    assert rig.audit(since="1h") and rig.audit(until="2020-01-01") == []
    csv = rig.ok("audit", "--format", "csv", "--user", "alice").splitlines()
    assert csv[0].startswith("seq,time,event") and len(csv) > 2
    assert "EVENT" in rig.ok("audit", "--user", "alice")
    assert rig.cli("audit", "--event", "logn").returncode == 2


def test_it_is_whole(rig, alice):
    alice.ok("true")
    assert "whole" in rig.ok("audit", "verify")


@pytest.mark.parametrize("forgery", [
    "UPDATE {t} SET user = 'mallory' WHERE seq = (SELECT max(seq) - 1 FROM {t})",
    "DELETE FROM {t} WHERE seq = (SELECT max(seq) - 1 FROM {t})",
    "DELETE FROM {t} WHERE seq = (SELECT max(seq) FROM {t})",
], ids=["edit", "removal", "cut tail"])
def test_forgery_is_found(make_rig, forgery):
    rig = make_rig()
    user = rig.user("kim", "--lazy")
    for _ in range(3):
        user.ctl("whoami")
    assert "whole" in rig.ok("audit", "verify")
    rig.kill_control()
    with contextlib.closing(sqlite3.connect(rig.database)) as db, db:
        (table,) = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type='table' AND sql LIKE '%hash%' "
                                             "AND sql LIKE '%event%'")]
        triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type='trigger'").fetchall()
        for name, _ in triggers:  # they keep a hand from slipping; who forges takes them away and puts them back
            db.execute(f"DROP TRIGGER {name}")
        db.execute(forgery.format(t=table))
        for _, sql in triggers:
            db.execute(sql)
    subprocess.run(["chown", "--reference", rig.state_dir, *rig.state_dir.iterdir()], check=True)
    rig.start_control()
    run = rig.cli("audit", "verify")
    assert run.returncode != 0 and b"whole" not in run.stdout, run.stdout + run.stderr


def test_the_login_is_on_disk_before_the_client_is_told(make_rig):
    """Killed right after a client was let in, the trail still has the login."""
    rig = make_rig()
    user = rig.user("lena", "--lazy")
    with user.open(options=["-l", "ctl", "-N", "-v"]) as login:
        for line in login.stderr:
            if b"Authenticated to" in line:
                rig.kill_control()
                break
        login.kill()
    rig.start_control()
    assert rig.audit(user=user.name, event="login")
