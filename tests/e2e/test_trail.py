"""The trail as a whole: followed, counted, exported, verified elsewhere, kept for as long as is said."""
import hashlib
import json
import re
import sqlite3
import struct
import subprocess

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from harness.wait import until

FIELDS = ("seq", "time", "event", "user", "actor", "fingerprint", "address", "session", "box", "target", "bytes_in",
          "bytes_out", "duration_ms", "reason")


def record_hash(previous, record):
    """As docs/audit.md says: the hash before, then every field with its length."""
    digest = hashlib.sha256(previous)
    for name in FIELDS:
        value = record[name]
        data = struct.pack(">Q", value) if isinstance(value, int) else value.encode()
        digest.update(struct.pack(">I", len(data)) + data)
    return digest.digest()


def verify(lines, key=None):
    """Verifies an export with nothing of ours; gives the number of records."""
    first, *records, last = (json.loads(line) for line in lines)
    at, seq = bytes.fromhex(first["anchor"]["hash"]), first["anchor"]["seq"]
    for record in records:
        seq += 1
        at = record_hash(at, record)
        assert record["seq"] == seq and record["hash"] == at.hex(), f"broken at {seq}"
    head = last["head"]
    assert head["seq"] == seq and head["hash"] == at.hex(), "the end is missing"
    signed = b"containarium audit 1".ljust(24, b"\0") + b"H" + struct.pack(">Q", seq) + at
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(key or head["key"])).verify(bytes.fromhex(head["signature"]), signed)
    return len(records)


def test_export_is_verified_elsewhere(rig, alice, tmp_path):
    alice.ok("true")
    key = rig.json("audit", "head")["key"]
    lines = rig.ok("audit", "export").splitlines()
    assert verify(lines, key) > 3
    rig.ok("audit", "export", "--output", tmp_path / "trail.jsonl")
    assert verify((tmp_path / "trail.jsonl").read_text().splitlines(), key) >= verify(lines, key)
    for change in (lambda t: t[:5] + t[6:], lambda t: t[:-2] + t[-1:], lambda t: [*t[:3], t[3].replace("alice", "mallory"), *t[4:]]):
        changed = change(list(lines))
        if changed != lines:
            with pytest.raises((AssertionError, InvalidSignature)):
                verify(changed, key)
    with pytest.raises(InvalidSignature):
        verify(lines, "00" * 31 + "01")


def test_follow_tells_as_it_happens(rig, alice):
    argv = rig.cli_argv("audit", "--follow", "--user", "alice", "--event", "login", "--format", "jsonl", "--limit", "0")
    before = len(rig.audit(user="alice", event="login"))
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as follow:
        for _ in range(before):
            follow.stdout.readline()
        alice.ok("true")
        assert json.loads(follow.stdout.readline())["event"] == "login"
        alice.ok("true", door="jump")
        assert json.loads(follow.stdout.readline())["user"] == "alice"
        follow.terminate()


def test_a_user_follows_their_own_only(rig, alice, bob):
    """What bob did or had done to him, and what guests did in his box."""
    argv = ["ssh", "-F", bob.config, "-p", str(rig.port), "ctl@127.0.0.1", "audit", "--follow", "--format", "jsonl"]
    rows = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as follow:
        follow.stdout.readline()
        alice.ok("true")
        rig.ok("autostart", "bob", "on")
        while not rows or rows[-1]["event"] != "command" or "autostart" not in rows[-1]["target"]:
            rows.append(json.loads(follow.stdout.readline()))
        follow.terminate()
    assert [r for r in rows if "bob" not in (r["user"], r["actor"]) and r["box"] != bob.box] == []


def test_summary(rig, alice):
    alice.ok("true")
    summary = rig.json("audit", "summary", "--since", "1h")
    (counted,) = [u for u in summary["users"] if u["user"] == "alice"]
    assert counted["logins"] == len(rig.audit(user="alice", event="login", since="1h"))
    assert counted["last_login"] == rig.audit(user="alice", event="login")[-1]["time"]
    assert summary["unique_users_today"] >= 1
    assert re.search(r"^alice +\d+ +20", rig.ok("audit", "summary"), re.M)


def test_verify_lets_others_in_meanwhile(rig, alice):
    assert rig.json("audit", "verify")["whole"] is True
    assert alice.ssh("true").returncode == 0


def test_the_trail_names_what_the_box_saw(rig, alice, door):
    """The address and port of each connection to the box are in the trail and in the box's own log."""
    alice.ok("true", door=door)
    via = rig.audit(user="alice", event="open")[-1]["reason"]
    host, port = re.fullmatch(r"via ([\d.]+):(\d+)", via).groups()
    until(lambda: alice.ok(f"sudo journalctl -q -o cat -u ssh | grep 'Accepted publickey for alice from {host} port {port} ' || true"),
          what="the box's sshd logged it")


def test_a_mark_without_its_key(make_rig):
    """Whoever writes the database but has not the key cannot cut the trail: the control plane does not start on it."""
    rig = make_rig()
    user = rig.person("hal")
    rig.ok("create", "hal", "--ssh-key", user.public_key, "--static", "127.0.0.1:9")
    rig.control.kill()
    with sqlite3.connect(rig.database) as db:
        db.execute("UPDATE audit_head SET seq = 0, hash = zeroblob(32)")
    db.close()
    rig.control.start()
    rig.control.process.wait(20)
    assert rig.control.process.returncode == 1 and "not signed with its key" in rig.control.text()
    subprocess.run([rig.bin / "containariumd", "--config", rig.config, "--new-audit-key"], check=True)
    subprocess.run(["chown", "-R", "--reference", rig.state_dir, rig.state_dir], check=True)
    rig.start_control()
    assert rig.audit(event="audit-key-renewed")[0]["actor"] == "root@host"
    assert rig.json("audit", "verify")["whole"], "only the mark was wrong"
    rig.control.kill()
    with sqlite3.connect(rig.database) as db:
        db.executescript("DROP TRIGGER audit_no_update; UPDATE audit SET user = 'eve' WHERE seq = 1;"
                         "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN"
                         "  SELECT RAISE(ABORT, 'the audit trail is append-only'); END;")
    db.close()
    rig.start_control()
    run = rig.cli("audit", "verify")
    assert run.returncode == 5 and b"broken at 1" in run.stderr and b"Keep a copy" in run.stderr
