"""A database that is newer, damaged or not ours is refused with the reason and left byte for byte as it was."""
import contextlib
import hashlib
import shutil
import sqlite3

import pytest

from harness.rig import CONTROL_USER


@pytest.fixture
def stopped(make_rig):
    """A gateway with a database, its control plane ended cleanly."""
    rig = make_rig(start=False)
    rig.start_control()
    user = rig.user("ivy", "--lazy")
    rig.users.remove(user)
    rig.control.end()
    return rig


def snapshot(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@contextlib.contextmanager
def changed(path):
    """Commits, and leaves neither a write-ahead log nor shared memory."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        yield db


def newer(path):
    with changed(path) as db:
        db.execute("PRAGMA user_version = 9999")


def foreign(path):
    path.unlink()
    with changed(path) as db:
        db.execute("CREATE TABLE photos (name TEXT)")


def foreign_with_the_same_names(path):
    with changed(path) as db:
        db.execute("PRAGMA application_id = 77")


def garbage(path):
    path.write_bytes(b"this is no database at all, " * 1000)


def damaged_header(path):
    data = bytearray(path.read_bytes())
    data[:32] = bytes(32)
    path.write_bytes(data)


def damaged_schema(path):
    data = bytearray(path.read_bytes())
    data[100:160] = b"\xff" * 60
    path.write_bytes(data)


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2 // 4096 * 4096 + 100])


def a_table_missing(path):
    with changed(path) as db:
        name = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'audit%'")][0]
        db.execute(f"DROP TABLE {name}")


@pytest.mark.parametrize("damage, word", [
    (newer, "newer"), (foreign, "containarium"), (foreign_with_the_same_names, "containarium"), (garbage, "database"),
    (damaged_header, "database"), (damaged_schema, "database"), (cut, "database"), (a_table_missing, ""),
])
def test_refused_and_left_as_it_was(stopped, damage, word):
    damage(stopped.database)
    shutil.chown(stopped.database, CONTROL_USER)
    stopped.database.chmod(0o600)
    before = snapshot(stopped.state_dir)
    stopped.control.log.write_text("")
    stopped.control.start()
    assert stopped.control.process.wait(15) != 0
    said = stopped.control.text()
    assert str(stopped.database) in said and word in said.lower(), said
    assert snapshot(stopped.state_dir) == before


def test_unreadable_state_folder_is_named(make_rig):
    rig = make_rig(start=False)
    rig.state_dir.chmod(0o000)
    shutil.chown(rig.state_dir, "root")
    rig.control.start()
    assert rig.control.process.wait(15) != 0
    assert str(rig.state_dir) in rig.control.text()


def test_users_survive_a_restart(make_rig):
    rig = make_rig()
    user = rig.user("jack", "--lazy")
    rig.kill_control()
    rig.start_control()
    assert user.name in rig.ok("list") and user.ctl("whoami").returncode == 0
    assert "whole" in rig.ok("audit", "verify")


def test_database_is_private(rig):
    for path in rig.state_dir.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
