"""The README's first command on a real machine: up, a login, up again, down, nothing left."""
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
QUICKSTART = REPO / "packaging/quickstart.sh"
PORT = "2377"
MADE = ["/var/lib/containarium-quickstart", "/var/lib/containarium", "/run/containarium", "/etc/containarium",
        "/var/log/containarium", "/usr/local/bin/containarium", "/usr/local/sbin/containariumd",
        "/usr/local/sbin/containarium-gateway", "/usr/local/sbin/containarium-setup", "/usr/local/share/containarium",
        "/usr/local/lib/systemd/system/containariumd.service", "/usr/local/share/man/man1/containarium.1"]


def run(*argv, timeout=900, **keywords):
    return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, **keywords)


def has_project():
    return run("incus", "project", "show", "containarium").returncode == 0


pytestmark = [
    pytest.mark.incus,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


@pytest.fixture(scope="module")
def machine():
    if has_project() or any(os.path.exists(p) for p in MADE):
        pytest.skip("containarium is set up on this machine already")
    yield
    run(QUICKSTART, "--down", "--force")


@pytest.fixture(scope="module")
def caller(machine):
    """An ordinary user who types sudo, without an SSH key as yet."""
    name = "ctnquick"
    shutil.rmtree(f"/home/{name}", ignore_errors=True)
    run("userdel", name)
    run("useradd", "-m", "-s", "/bin/bash", name)
    yield pwd.getpwnam(name)
    run("userdel", "-r", name)


@pytest.fixture(scope="module")
def up(caller):
    result = run(QUICKSTART, "--port", PORT, env={**os.environ, "SUDO_USER": caller.pw_name})
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def pasted(up, caller, *command, port=PORT):
    """The line that was printed, as the caller would run it."""
    line = next(l.strip() for l in up.splitlines() if l.strip().startswith("ssh -p"))
    assert f"-p {port} {caller.pw_name}@" in line
    return run("setpriv", "--reuid", caller.pw_uid, "--regid", caller.pw_gid, "--init-groups", "env",
               f"HOME={caller.pw_dir}", *line.split()[:1], "-o", "BatchMode=yes", "-o",
               "StrictHostKeyChecking=accept-new", *line.split()[1:], *command, timeout=120)


def test_steps_are_numbered_and_timed(up):
    assert " 1  Install packages" in up
    assert "done in " in up
    assert "Ready after" in up


def test_the_printed_line_lands_in_ones_own_box(up, caller):
    result = pasted(up, caller, "id -un; hostname; sudo -n id -u")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [caller.pw_name, f"{caller.pw_name}-container", "0"]


def test_the_daemons_are_nobody_special(up):
    for program, user in (("containariumd", "containarium"), ("containarium-gateway", "containarium-gateway")):
        pid = run("pgrep", "-o", "-u", user, "-f", f"sbin/{program} ").stdout.strip()
        status = Path(f"/proc/{pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in status
        assert "CapBnd:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
    assert oct(os.stat("/var/lib/containarium").st_mode)[-3:] == "700"
    assert oct(os.stat("/etc/containarium/hostkeys/ssh_host_ed25519_key").st_mode)[-3:] == "600"
    assert oct(os.stat("/etc/containarium/incus/client.key").st_mode)[-3:] == "600"


def test_again_changes_nothing(up, caller):
    before = run("pgrep", "-u", "containarium").stdout
    host_key = Path("/etc/containarium/hostkeys/ssh_host_ed25519_key.pub").read_text()
    result = run(QUICKSTART, "--port", PORT, env={**os.environ, "SUDO_USER": caller.pw_name})
    assert result.returncode == 0, result.stdout + result.stderr
    assert run("pgrep", "-u", "containarium").stdout == before
    assert Path("/etc/containarium/hostkeys/ssh_host_ed25519_key.pub").read_text() == host_key
    assert pasted(up, caller, "true").returncode == 0


def test_down_leaves_nothing(up):
    images = run("incus", "image", "list", "-f", "csv").stdout
    result = run(QUICKSTART, "--down")
    assert result.returncode == 0, result.stdout + result.stderr
    assert not [p for p in MADE if os.path.exists(p)]
    for name in ("containarium", "containarium-gateway"):
        with pytest.raises(KeyError):
            pwd.getpwnam(name)
    if run("incus", "list").returncode == 0:  # else it had started Incus itself, and has stopped it
        assert not has_project()
        assert run("incus", "network", "show", "ctnbr0").returncode != 0
        # The image was there before it, made for the other tests.
        assert run("incus", "image", "list", "-f", "csv").stdout == images
    again = run(QUICKSTART, "--down")
    assert again.returncode == 0
    assert "nothing to remove" in again.stdout
