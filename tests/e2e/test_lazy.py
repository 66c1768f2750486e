"""An account without a box gets it at the first login, in the same connection, once."""
import re
import subprocess

import pytest

from harness.terminal import Terminal


def test_first_login_creates(rig, new_user):
    user = new_user("lazy-direct", "--lazy")
    assert rig.incus.status(user.box) is None
    run = user.ssh("whoami; hostname", timeout=90)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{user.name}\n{user.box}\n".encode(), b"")
    assert [r["event"] for r in rig.audit(user=user.name)].count("box-created") == 1
    assert rig.incus.status(user.box) == "Running"


def test_first_login_creates_by_jump(rig, new_user):
    """The box's host key cannot be known before the box is; afterwards it is the one that was shown."""
    user = new_user("lazy-jump", "--lazy")
    user.write_config(StrictHostKeyChecking="accept-new")
    run = user.ssh("hostname", door="jump", timeout=90)
    assert run.returncode == 0 and run.stdout == f"{user.box}\n".encode(), run.stderr
    shown = user.known_hosts.read_text()
    user.write_config()
    user.trust_box()
    assert any(key in shown for key in rig.incus.host_keys(user.box))
    assert user.ok("echo same", door="jump") == "same\n"


def test_creation_is_shown_to_a_person(rig, new_user):
    user = new_user("lazy-tty", "--lazy")
    with Terminal(user.argv("echo made", options=["-tt"]), stderr=subprocess.PIPE) as t:
        stderr = t.process.stderr.read()
        t.expect(rb"made\r\n")
        assert t.wait() == 0 and t.seen == b""
    assert re.search(rb"\[\d/\d\] \w", stderr), stderr  # which ones depends on how fast they are over


def test_ten_first_logins_create_one_box(rig, new_user, lifecycle):
    user = new_user("lazy-ten", "--lazy")
    user.write_config(StrictHostKeyChecking="accept-new")
    logins = [user.open(f"echo {n}", door="jump" if n % 5 == 0 else "direct", stdin=subprocess.DEVNULL)
              for n in range(10)]
    for n, login in enumerate(logins):
        out, err = login.communicate(timeout=90)
        assert (login.returncode, out) == (0, f"{n}\n".encode()), err.decode(errors="replace")
    assert lifecycle.count("instance-created", user.box) == 1
    assert lifecycle.count("instance-started", user.box) == 1
    assert len(rig.audit(user=user.name, event="box-created")) == 1


def test_early_data_of_a_first_login(rig, new_user):
    user = new_user("lazy-early", "--lazy")
    data = bytes(range(256)) * 4000
    assert user.ssh("cat", stdin=data, timeout=90).stdout == data


@pytest.mark.parametrize("door", ["direct"])
def test_deleted_behind_our_back_and_made_again(rig, new_user, door):
    """Somebody deleted the box in Incus: the next login says what is the case or repairs it, and never hangs."""
    user = new_user("lazy-gone")
    rig.incus.delete(user.box)
    run = user.ssh("hostname", door=door, timeout=90)
    if run.returncode == 0:
        assert run.stdout == f"{user.box}\n".encode()
    else:
        assert run.returncode == 255 and user.box.encode() in run.stderr
