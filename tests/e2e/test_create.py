"""create, list, info, delete on the real thing, and a control plane that is killed at every step of a creation."""
import random
import re
import subprocess
import threading
import time

import pytest

from harness.wait import until


def test_create_prints_steps_and_details(rig, new_user):
    user = rig.person("printed")
    try:
        run = rig.cli("create", user.name, "--ssh-key", user.public_key, "-v")
        assert run.returncode == 0, run.stderr
        steps = re.findall(rb"\[(\d)/(\d)\]", run.stdout + run.stderr)
        assert steps and [int(n) for n, _ in steps][0] == 1 and steps[-1][0] == steps[-1][1]
        assert f"ssh -p {rig.port} printed@127.0.0.1".encode() in run.stdout
        again = rig.cli("create", user.name, "--ssh-key", user.public_key)
        assert again.returncode == 0, again.stderr
        user.trust_box()
        assert user.ok("whoami") == "printed\n"
    finally:
        rig.delete(user)


def test_list_and_info(rig, alice):
    table = rig.ok("list")
    assert re.search(r"NAME\s+USER\s+STATE\s+IP", table) and "alice-container" in table
    info = rig.ok("info", "alice")
    for word in ("alice-container", "Running", rig.incus.address(alice.box), "2GB"):
        assert word in info


def test_delete_takes_everything_but_the_trail(rig):
    user = rig.user("deleted")
    with user.open("echo in; cat") as live:
        assert live.stdout.readline() == b"in\n"
        assert rig.cli("delete", user.name).returncode != 0, "off a terminal it needs --force"
        rig.delete(user)
        assert live.wait(10) == 255
    assert user.box not in rig.incus.instances()
    assert user.ssh("true").returncode == 255
    assert rig.cli("info", user.name).returncode == 3
    events = [r["event"] for r in rig.audit(user=user.name)]
    assert "account-created" in events and "account-deleted" in events and "box-deleted" in events


def test_name_can_be_used_again(rig):
    for _ in range(2):
        user = rig.user("phoenix")
        assert user.ok("whoami", door="jump") == "phoenix\n"
        rig.delete(user)


@pytest.mark.parametrize("arguments, word", [
    (["Alice"], b"user name"), (["root"], b"reserved"), (["warm-1"], b"reserved"), (["a" * 32], b"user name"),
    (["dash-"], b"user name"), (["ok", "--memory", "20 potatoes"], b"8GiB"), (["ok", "--disk-quota", "50"], b"500MB"),
    (["ok", "--cpu", "many"], b"0-3"), (["ok", "--ssh-kye", "x"], b"--ssh-key"), ([], b"USER"),
])
def test_usage_errors_say_what_is_accepted(rig, alice, arguments, word):
    run = rig.cli("create", *arguments, "--ssh-key", alice.public_key)
    assert run.returncode == 2 and word in run.stderr, run.stderr


def test_missing_image_is_named(rig):
    user = rig.person("imageless")
    run = rig.cli("create", user.name, "--ssh-key", user.public_key, "--image", "no-such-image")
    assert run.returncode != 0 and b"no-such-image" in run.stderr
    assert user.box not in rig.incus.instances()
    rig.ok("delete", user.name, "--force")
    rig.users.remove(user)


# ---- killed while creating ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def fragile(incus, temp):
    """A gateway whose control plane is killed again and again."""
    from harness.rig import Rig
    rig = Rig(incus, temp).start()
    yield rig
    rig.stop()


def kill_at_step(rig, user, step):
    """Starts a create and kills containariumd when the line "[step/n]" appears; None if there is no such step."""
    create = subprocess.Popen(rig.cli_argv("create", user.name, "--ssh-key", user.public_key, "-v"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = b""
    for line in create.stdout:
        text += line
        if b"[%d/" % step in line:
            rig.kill_control()
            break
    create.communicate(timeout=60)
    return create.returncode, text


def check_repaired(rig, user):
    """Whatever the crash left, the same create again makes it whole."""
    rig.start_control()
    rig.ok("list")
    rig.cli("info", user.name)
    rig.ok("create", user.name, "--ssh-key", user.public_key)
    boxes = [name for name in rig.incus.instances() if user.name in name]
    assert boxes == [user.box]
    assert rig.ok("list").count(user.box) == 1
    assert rig.incus.status(user.box) == "Running" and "Running" in rig.ok("info", user.name)
    user.trust_box()
    assert user.ok("whoami; sudo -n id -u", door="jump").split() == [user.name, "0"]
    assert user.ok("whoami; sudo -n id -u", door="direct").split() == [user.name, "0"]
    assert "whole" in rig.ok("audit", "verify")
    rig.delete(user)


@pytest.mark.parametrize("step", range(1, 7))
def test_killed_at_a_step_of_create(fragile, step):
    user = fragile.person(f"step{step}")
    status, text = kill_at_step(fragile, user, step)
    if fragile.control.running:
        fragile.delete(user)
        assert status == 0, text
        assert step > 3, f"only {step - 1} steps were printed:\n{text.decode()}"
        pytest.skip(f"create has no step {step}")
    assert status != 0, "the command must not claim success"
    check_repaired(fragile, user)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_a_random_moment_of_create(fragile, seed):
    delay = random.Random(seed).uniform(0.0, 0.75) + 0.6 * seed
    user = fragile.person(f"moment{seed}")
    killer = threading.Timer(delay, fragile.kill_control)
    killer.start()
    run = fragile.cli("create", user.name, "--ssh-key", user.public_key)
    killer.join()
    print(f"killed after {delay:.2f} s; create said {run.returncode}")
    check_repaired(fragile, user)


def test_killed_during_a_first_login(fragile):
    user = fragile.user("lazykill", "--lazy")
    login = user.open("echo in", stdin=subprocess.DEVNULL)
    until(lambda: fragile.incus.status(user.box), 30, "the box begins to exist", every=0.01)
    time.sleep(0.2)
    fragile.kill_control()
    fragile.start_control()
    out, err = login.communicate(timeout=60)
    assert (login.returncode, out) == (0, b"in\n") or (login.returncode == 255 and out == b"" and err), (out, err)
    assert user.ok("whoami") == f"{user.name}\n"
    check_repaired_box_only(fragile, user)


def check_repaired_box_only(rig, user):
    assert [name for name in rig.incus.instances() if user.name in name] == [user.box]
    rig.delete(user)
    assert user.box not in rig.incus.instances()


def test_killed_during_delete(fragile):
    """A deletion that was begun can only be finished."""
    user = fragile.user("delkill")
    killer = threading.Timer(0.15, fragile.kill_control)
    killer.start()
    fragile.cli("delete", user.name, "--force")
    killer.join()
    fragile.start_control()
    run = fragile.cli("delete", user.name, "--force")
    assert run.returncode in (0, 3), run.stderr
    assert user.box not in fragile.incus.instances()
    assert fragile.cli("info", user.name).returncode == 3
    fragile.users.remove(user)
