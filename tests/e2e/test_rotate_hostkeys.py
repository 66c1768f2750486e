"""packaging/rotate-hostkeys.sh: whoever has the lines of `begin`, or an export made since, sees no change at `finish`."""
import signal
import subprocess
from pathlib import Path

import pytest

from harness.incus import REPO
from harness.rig import GATEWAY_USER
from harness.wait import until


@pytest.fixture
def own(make_rig):
    rig = make_rig()
    return rig, rig.user("rotate", "--lazy")


def rotate(rig, verb, *options):
    return subprocess.run([REPO / "packaging/rotate-hostkeys.sh", verb, "--dir", rig.host_key_dir, "--host", "127.0.0.1",
                           "--port", str(rig.port), *map(str, options)], capture_output=True, text=True, timeout=60)


def shown(rig, kind="ed25519"):
    """The host key a client sees."""
    run = subprocess.run(["ssh-keyscan", "-p", str(rig.port), "-t", kind, "127.0.0.1"], capture_output=True, text=True,
                         timeout=30)
    return run.stdout.split()[-1] if run.stdout else None


def test_both_keys_are_known_before_the_change(own):
    rig, user = own
    old = shown(rig)
    begun = rotate(rig, "begin")
    assert begun.returncode == 0, begun.stderr
    assert shown(rig) == old and user.ctl("whoami").returncode == 0, "nothing has changed yet"
    lines = begun.stdout.splitlines()
    assert len(lines) == 6 and all(line.startswith(f"[127.0.0.1]:{rig.port} ") for line in lines)
    assert rotate(rig, "show").stdout == begun.stdout
    again = rotate(rig, "begin")
    assert again.returncode == 1 and "there are new keys already" in again.stderr
    new = Path(rig.host_key_dir / "ssh_host_ed25519_key.next")
    assert new.owner() == GATEWAY_USER and new.stat().st_mode & 0o777 == 0o600
    coming = Path(f"{new}.pub").read_text().split()[1]
    exported = rig.ok("export", user.name, "--jump-ip", "127.0.0.1")
    assert old in exported and coming in exported

    finished = rotate(rig, "finish")
    assert finished.returncode == 0, finished.stderr
    rig.gateway.process.send_signal(signal.SIGHUP)
    until(lambda: shown(rig) == coming, 15, "the new key is in force")
    refused = user.ctl("whoami")
    assert refused.returncode == 255 and b"REMOTE HOST IDENTIFICATION HAS CHANGED" in refused.stderr
    user.known_hosts.write_text(begun.stdout)
    assert user.ctl("whoami").returncode == 0
    kept, = rig.host_key_dir.glob("ssh_host_ed25519_key.old-*.pub")
    assert kept.read_text().split()[1] == old
    assert old not in rig.ok("export", user.name, "--jump-ip", "127.0.0.1")
    assert rotate(rig, "finish").returncode == 1


def test_abort_and_bad_arguments(own, tmp_path):
    rig, user = own
    assert "nothing was begun" in rotate(rig, "abort").stderr
    before = sorted(p.name for p in rig.host_key_dir.iterdir())
    assert rotate(rig, "begin").returncode == 0
    assert rotate(rig, "abort").returncode == 0
    assert sorted(p.name for p in rig.host_key_dir.iterdir()) == before
    for options, says in ((["--dir", tmp_path / "none"], "there is no folder"), (["--dir", tmp_path], "there is no host key"),
                          (["--port", "0"], "--port 0")):
        run = rotate(rig, "begin", *options)
        assert run.returncode == 1 and says in run.stderr
    assert user.ctl("whoami").returncode == 0
