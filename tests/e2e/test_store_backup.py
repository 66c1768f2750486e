"""The disaster recovery drill: a backup while people log in, the state destroyed, restored on an empty place, verified,
and they log in again. docs/operations.md has the same by hand."""
import hashlib
import os
import re
import shutil
import subprocess

import pytest

from harness.incus import REPO
from harness.rig import CONTROL_USER
from harness.user import make_key
from harness.wait import until


def daemon(rig, *arguments):
    """containariumd for one task, as root."""
    return subprocess.run([rig.bin / "containariumd", "--config", rig.config, *map(str, arguments)], capture_output=True,
                          text=True, timeout=60)


def destroy(rig):
    """As a lost disk does it: everything below the state directory is gone."""
    for entry in rig.state_dir.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@pytest.fixture
def filled(make_rig, tmp_path):
    """A gateway with two accounts, three keys and a trail, and its users."""
    own = make_rig()
    alice, bob = own.user("drill", "--lazy", "--role", "admin"), own.user("drill-two", "--lazy")
    second = make_key(tmp_path / "second", comment="drill@phone")
    own.ok("keys", "add", alice.name, f"{second}.pub")
    own.ok("limits", "set", bob.name, "--sessions", "7")
    own.ok("bans", "add", "203.0.113.7", "--for", "7d")
    assert b"drill" in alice.ctl("whoami").stdout
    return own, alice, bob


def test_drill(filled, tmp_path):
    rig, alice, bob = filled
    file = tmp_path / "store.backup"
    made = rig.json("store", "backup", file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert made["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest() and made["bytes"] == file.stat().st_size
    assert (made["accounts"], made["keys"], made["boxes"]) == (2, 3, 2)
    checked = rig.json("store", "verify", file)
    assert checked == made
    assert not list(rig.state_dir.glob("*.scratch"))
    limits = rig.json("limits", bob.name)
    later = rig.user("too-late", "--lazy")
    head = rig.json("audit", "head")

    run = daemon(rig, "--restore", file)
    assert run.returncode == 1 and "in use by containariumd: stop it first" in run.stderr
    assert rig.ok("whoami")
    rig.gateway.end()
    rig.control.end()
    destroy(rig)
    run = daemon(rig, "--verify", file)
    assert run.returncode == 0, run.stderr
    assert "2 accounts, 3 keys" in run.stdout and "audit trail whole" in run.stdout
    run = daemon(rig, "--restore", file)
    assert run.returncode == 0, run.stderr
    assert {p.owner() for p in rig.state_dir.iterdir()} == {CONTROL_USER}, "the daemon must be able to read it"
    rig.start()

    assert rig.json("audit", "verify")["records"] > made["records"]
    assert b"drill" in alice.ctl("whoami").stdout, "the key still lets in"
    assert alice.ctl("keys", "list", "drill").stdout.count(b"SHA256:") == 2
    assert rig.json("limits", bob.name) == limits
    assert "203.0.113.7" in rig.ok("bans", "list")
    told, = rig.audit(event="store-restored")
    assert told["actor"] == "root@host" and told["target"].startswith("backup of 20")
    assert rig.cli("info", "too-late").returncode == 3, "what came after the backup is not in it"
    assert later.ctl("whoami").returncode == 255
    assert rig.json("audit", "head")["key"] == head["key"]
    rig.users.remove(later)


def test_the_drill_script(rig, tmp_path):
    """Any user can run it, beside whatever else runs here; what it made is gone afterwards."""
    file, folder = tmp_path / "store.backup", tmp_path / "tmp"
    records = rig.json("store", "backup", file)["records"]
    folder.mkdir()
    command = [REPO / "packaging/drill.sh", file, "--bin", rig.bin]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "TMPDIR": str(folder)})
    assert run.returncode == 0 and "the backup restores" in run.stdout, run.stdout + run.stderr
    assert int(re.search(r"whole: (\d+) records", run.stdout)[1]) > records, "the restore is on record as well"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "TMPDIR": str(folder)})
    assert run.returncode == 1 and "no backup that would restore" in run.stderr
    assert list(folder.iterdir()) == []



def test_a_restore_keeps_what_was_there(filled, tmp_path):
    rig, alice, _ = filled
    file = tmp_path / "store.backup"
    rig.ok("store", "backup", file)
    rig.user("newer", "--lazy")
    rig.control.end()
    run = daemon(rig, "--restore", file)
    assert run.returncode == 0, run.stderr
    aside, = rig.state_dir.glob("containarium.db.before-*")
    assert str(aside) in run.stdout and aside.stat().st_mode & 0o777 == 0o700
    rig.start_control()
    assert rig.cli("info", "newer").returncode == 3
    assert str(aside) in rig.audit(event="store-restored")[0]["reason"]
    # And back again, by hand: what was kept is a whole store.
    rig.control.end()
    for name in ("containarium.db", "containarium.db.audit-key"):
        os.replace(aside / name, rig.state_dir / name)
    rig.start_control()
    assert rig.json("audit", "verify")["whole"] and rig.ok("info", "newer")


@pytest.mark.parametrize("damage, says", [
    (lambda d: d[:-1], "cut off"), (lambda d: d[:len(d) // 2], "cut off"), (lambda d: d[:700], "cut off"),
    (lambda d: b"", "no backup of the store"), (lambda d: b"x" * 4096, "no backup of the store"),
    (lambda d: d[:len(d) // 2] + bytes([d[len(d) // 2] ^ 1]) + d[len(d) // 2 + 1:], "the SHA-256 of containarium.db is"),
    (lambda d: d + b"\0", "something follows its end"),
], ids=["last-byte", "half", "after-the-key", "empty", "other", "one-bit", "longer"])
def test_a_damaged_file_is_refused_with_the_reason(rig, tmp_path, damage, says):
    file = tmp_path / "store.backup"
    rig.ok("store", "backup", file)
    file.write_bytes(damage(file.read_bytes()))
    run = rig.cli("store", "verify", file)
    assert run.returncode == 2 and says in run.stderr.decode(), run.stderr
    before = rig.database.stat().st_ino
    run = daemon(rig, "--verify", file)
    assert run.returncode == 1 and says in run.stderr
    assert rig.database.stat().st_ino == before and not list(rig.state_dir.glob("*.scratch"))


def test_a_damaged_file_does_not_replace_anything(filled, tmp_path):
    rig, alice, _ = filled
    file = tmp_path / "store.backup"
    rig.ok("store", "backup", file)
    os.truncate(file, file.stat().st_size - 3000)
    rig.control.end()
    before = {p.name: p.read_bytes() for p in rig.state_dir.iterdir() if p.is_file()}
    run = daemon(rig, "--restore", file)
    assert run.returncode == 1 and "cut off" in run.stderr
    assert {p.name: p.read_bytes() for p in rig.state_dir.iterdir() if p.is_file()} == before
    rig.start_control()
    assert b"drill" in alice.ctl("whoami").stdout


def test_a_full_disk_leaves_no_file_that_looks_like_a_backup(rig, tmp_path):
    """The file's disk is full, not the store's."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=True)
    try:
        run = rig.cli("store", "backup", small / "store.backup")
        assert run.returncode == 1 and b"no backup was made" in run.stderr and b"No space left" in run.stderr, run.stderr
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True)
    assert rig.ok("store", "backup", tmp_path / "store.backup")


def test_arguments(rig, tmp_path):
    file = tmp_path / "store.backup"
    file.write_text("mine")
    assert b"exists" in rig.cli("store", "backup", file).stderr and file.read_text() == "mine"
    assert rig.cli("store", "backup", tmp_path / "no" / "folder").returncode != 0
    assert rig.cli("store", "verify", tmp_path / "nothing").returncode != 0
    assert rig.cli("store", "verify", tmp_path).returncode != 0
    assert rig.cli("store", "verify").returncode == 2
    for arguments in (["--restore", tmp_path], ["--restore", tmp_path / "nothing"]):
        run = daemon(rig, *arguments)
        assert run.returncode == 1 and str(tmp_path) in run.stderr
    run = daemon(rig, "--restore", file, "--verify", file)
    assert run.returncode == 2 and "one of" in run.stderr


def test_over_ssh_it_stays_on_the_gateway(make_rig):
    rig = make_rig(start=False)
    rig.sections["control"]["backup_dir"] = rig.state_dir / "backups"
    rig.write_config()
    rig.start()
    boss, user = rig.user("boss", "--lazy", "--role", "admin"), rig.user("plain", "--lazy", "--role", "operator")
    assert user.ctl("store", "backup").returncode == 4, "it holds everybody's secrets"
    run = boss.ctl("store", "backup", "here")
    assert run.returncode == 2 and b"cannot be written from here" in run.stderr
    run = boss.ctl("store", "backup")
    assert run.returncode == 0, run.stderr
    name, = os.listdir(rig.state_dir / "backups")
    path = rig.state_dir / "backups" / name
    assert name.startswith("containarium.db-") and path.stat().st_mode & 0o777 == 0o600
    assert b"whole and signed" in boss.ctl("store", "verify", name).stdout
    assert any(r["target"] == "store backup" for r in rig.audit(event="command"))


def test_logins_go_on_meanwhile(filled, tmp_path):
    """With a database large enough that a copy takes a while."""
    rig, alice, _ = filled
    rig.control.end()
    # Bulk outside the trail: pages that must be copied and checked, without making a trail of a million records.
    subprocess.run(["sqlite3", rig.database, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 400000) "
                    "INSERT INTO known_sources SELECT '10.' || i, hex(randomblob(60)), 1 FROM n"], check=True)
    shutil.chown(rig.database, CONTROL_USER)
    rig.start_control()
    file = tmp_path / "store.backup"
    with subprocess.Popen(rig.cli_argv("store", "backup", file), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as backup:
        until(lambda: list(rig.state_dir.glob("*.scratch/containarium.db")) or backup.poll() is not None, 20,
              "the copy has begun")
        during = 0
        while backup.poll() is None:
            assert b"drill" in alice.ctl("whoami").stdout
            during += 1
        assert backup.returncode == 0, backup.stderr.read()
    assert during > 0
    logins = [r["seq"] for r in rig.audit(event="login")]
    assert rig.json("store", "verify", file)["last"] < logins[-1]
    assert rig.json("audit", "verify")["whole"]
