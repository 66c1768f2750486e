"""delete --backup and restore: the same box, for the same keys, with the same host keys, from one file."""
import hashlib
import os
import signal
import subprocess

import pytest

from harness.rig import CONTROL_USER, Rig
from harness.user import make_key
from harness.wait import until


@pytest.fixture(scope="module")
def vault(incus, temp):
    """A gateway with a folder for backups of its own."""
    rig = Rig(incus, temp).start()
    yield rig
    rig.stop()


def backups(rig):
    folder = rig.state_dir / "backups"
    return sorted(os.listdir(folder)) if folder.exists() else []


def leftovers(rig):
    """Images in Incus that were only on their way."""
    images = rig.incus.query(f"/1.0/images?recursion=1&project={rig.incus.project}")
    return [i["fingerprint"] for i in images if "containarium.box" in i["properties"]]


def fill(user):
    """Something of everything a box has: a file, an owner, a mode, a link, a package's file, a capability."""
    user.ok("mkdir -p work && head -c 3000000 /dev/urandom > work/data && ln -s data work/link && chmod 640 work/data && "
            "echo hello | sudo tee /srv/system >/dev/null && sudo chown 1000:33 /srv/system && "
            "mkfifo work/fifo && touch 'work/odd name\u00e9' && sync")


LOOK = ("cd; sha256sum work/data; stat -c '%n %a %u:%g %F' work/* /srv/system; readlink work/link; cat /srv/system; "
        "cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub; sudo cat /etc/shadow | sha256sum")


def test_there_and_back(vault, tmp_path):
    user = vault.user("trip", "--memory", "640MB", "--cpu", "1", "--disk-quota", "3GB", "--no-autostart")
    second = make_key(tmp_path / "second", comment="trip@phone")
    vault.ok("keys", "add", user.name, f"{second}.pub")
    vault.ok("idle", "set", user.name, "--freeze", "2h", "--stop", "never")
    fill(user)
    before, keys = user.ok(LOOK), vault.incus.host_keys(user.box)
    file = tmp_path / "trip.backup"
    with user.open("echo in; exec cat") as live:
        assert live.stdout.readline() == b"in\n"
        run = vault.cli("delete", user.name, "--force", f"--backup={file}")
        assert run.returncode == 0, run.stderr
        assert live.wait(20) == 255
    assert user.box not in vault.incus.instances() and vault.cli("info", user.name).returncode == 3
    assert file.stat().st_mode & 0o777 == 0o600
    assert hashlib.sha256(file.read_bytes()).hexdigest().encode() in run.stderr, "the sum said is the file's"
    assert not leftovers(vault)
    assert user.ssh("true").returncode == 255

    vault.ok("restore", file)
    assert not leftovers(vault)
    assert vault.incus.host_keys(user.box) == keys
    assert user.ok(LOOK, door="jump") == before, "strict host key checking, with the known_hosts of before"
    assert user.ok(LOOK, door="direct") == before
    user.key = second
    user.write_config()
    assert user.ok("whoami") == "trip\n"
    info = vault.json("info", user.name)
    assert (info["memory"], info["cpu"], info["disk"], info["autostart"]) == (640_000_000, "1", 3_000_000_000, False)
    assert info["image"] == vault.incus.image and len(info["keys"]) == 2
    assert info["idle"] == {"freeze": {"after_ms": 7_200_000, "own": True}, "stop": {"after_ms": None, "own": True}}
    config = vault.incus.instance(user.box)["config"]
    assert config["limits.memory"] == "640000000B" and config["security.idmap.isolated"] == "true"
    assert not [key for key in config if key.startswith("user.")]
    events = [r["event"] for r in vault.audit(user=user.name)]
    assert "box-exported" in events and events.index("account-deleted") < len(events) - events[::-1].index("account-created")
    assert "whole" in vault.ok("audit", "verify")
    vault.ok("restart", user.name)
    assert user.ok(LOOK) == before
    vault.delete(user)


def test_on_the_gateway_and_over_ssh(vault):
    """Without a file name the backup stays in the gateway's folder, and ssh ctl@ can do all of it."""
    boss = vault.user("boss", "--lazy", "--role", "admin")
    user = vault.user("kept", "--role", "operator")
    user.ok("echo kept > note; sync")
    run = boss.ctl("delete", user.name, "--backup=here", "--force")
    assert run.returncode == 2 and b"cannot be written from here" in run.stderr
    assert user.ok("cat note") == "kept\n"
    run = boss.ctl("delete", user.name, "--backup", "--force", timeout=120)
    assert run.returncode == 0, run.stderr
    name, = [name for name in backups(vault) if name.startswith("kept-")]
    assert f"restore {name}".encode() in run.stdout
    path = vault.state_dir / "backups" / name
    assert path.stat().st_mode & 0o777 == 0o600 and path.owner() == CONTROL_USER
    for wrong in ("../containarium.db", "nothing.backup", ".", ""):
        assert boss.ctl("restore", f"'{wrong}'").returncode == 3, wrong
    run = boss.ctl("restore", name, "--json", timeout=120)
    assert run.returncode == 0, run.stderr
    assert user.ok("cat note") == "kept\n"
    assert vault.json("info", user.name)["role"] == "user", "a role does not come out of a file"
    assert boss.ctl("restore", name).returncode == 5, "there is one of that name"
    assert not leftovers(vault)
    vault.ok("delete", user.name, "--force")
    vault.ok("restore", name, "--role", "operator")  # the same file again, by its bare name on the host
    assert vault.json("info", user.name)["role"] == "operator"
    vault.delete(user)
    vault.delete(boss)


@pytest.fixture(scope="module")
def dear(vault):
    user = vault.user("dear")
    user.ok("echo dear > note; sync")
    yield user
    vault.delete(user)


def still_there(vault, user):
    return user.ok("cat note") == "dear\n" and vault.json("info", user.name)["phase"] == "ready"


@pytest.mark.parametrize("arguments, status, says", [
    (["--backup=/proc/none"], 2, b"cannot make"),
    (["--backup=/dev/full"], 2, b"exists"),
    (["--backup="], 2, b"value"),
])
def test_nothing_is_deleted_without_a_place_for_the_backup(vault, dear, arguments, status, says):
    run = vault.cli("delete", dear.name, "--force", *arguments)
    assert run.returncode == status and says in run.stderr, run.stderr
    assert still_there(vault, dear)


def test_nothing_is_deleted_when_the_disk_is_full(vault, dear, temp):
    small = temp / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=True)
    try:
        run = vault.cli("delete", dear.name, "--force", f"--backup={small}/dear.backup")
        assert run.returncode == 1 and b"No space left" in run.stderr and b"Nothing was deleted" in run.stderr
        assert os.listdir(small) == [], "half a backup is none"
        assert not leftovers(vault)
    finally:
        subprocess.run(["umount", small], check=True)
    assert still_there(vault, dear)
    assert vault.audit(user=dear.name, event="box-failed")


def test_nothing_is_deleted_when_the_control_plane_dies(vault, dear, tmp_path):
    """Killed while the backup is being made; the same command again does all of it."""
    file = tmp_path / "dear.backup"
    command = subprocess.Popen(vault.cli_argv("delete", dear.name, "--force", f"--backup={file}"), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen = b""
    while b"Packing" not in seen:
        line = command.stderr.readline()
        assert line, "the command ended early"
        seen += line
    vault.kill_control()
    assert command.wait(20) == 1
    assert not file.exists()
    vault.start_control()
    assert still_there(vault, dear)
    until(lambda: vault.cli("delete", dear.name, "--force", f"--backup={tmp_path / 'again'}").returncode == 0 or
          (tmp_path / "again").unlink(missing_ok=True), 120, "Incus has finished what it was at", every=2)
    assert not leftovers(vault)
    vault.ok("restore", tmp_path / "again")
    assert still_there(vault, dear)


def test_the_caller_may_leave(vault, dear, tmp_path):
    """Ctrl-C at the command line: what was begun goes on to its end, with a whole backup."""
    file = tmp_path / "left.backup"
    command = subprocess.Popen(vault.cli_argv("delete", dear.name, "--force", f"--backup={file}"), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen = b""
    while b"Packing" not in seen:
        line = command.stderr.readline()
        assert line, "the command ended early"
        seen += line
    command.send_signal(signal.SIGINT)
    command.wait(10)
    until(lambda: vault.cli("info", dear.name).returncode == 3, 60, "the account is gone")
    assert dear.box not in vault.incus.instances()
    vault.ok("restore", file)
    assert still_there(vault, dear)


def damaged(good):
    middle = len(good) // 2
    return {"cut": good[:middle], "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1:],
            "rubbish": os.urandom(5000), "empty": b""}


def test_damaged_backups_restore_nothing(vault, dear, tmp_path):
    file, bad = tmp_path / "dear.backup", tmp_path / "bad.backup"
    vault.ok("delete", dear.name, "--force", f"--backup={file}")
    for damage, content in damaged(file.read_bytes()).items():
        bad.write_bytes(content)
        run = vault.cli("restore", bad)
        assert run.returncode != 0 and run.stderr, damage
        assert vault.cli("info", dear.name).returncode == 3, f"{damage}: no half of it is left"
        assert dear.box not in vault.incus.instances() and not leftovers(vault), damage
    vault.ok("restore", file)
    assert still_there(vault, dear)


def test_an_image_is_no_backup(vault, tmp_path):
    fingerprint = next(i["fingerprint"] for i in vault.incus.query(
        f"/1.0/images?recursion=1&project={vault.incus.project}") if i["aliases"])
    vault.incus.run("image", "export", fingerprint, tmp_path / "image")
    file, = tmp_path.iterdir()
    run = vault.cli("restore", file)
    assert run.returncode == 2 and b"not a backup" in run.stderr, run.stderr
    images = vault.incus.query(f"/1.0/images?recursion=1&project={vault.incus.project}")
    assert fingerprint in [i["fingerprint"] for i in images], "it was there before, and stays"
