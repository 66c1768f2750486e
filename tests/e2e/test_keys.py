"""Keys come and go at once: at the gateway, in the box, and for sessions that came in with them."""
import subprocess

import pytest

from harness.user import User, make_key


@pytest.fixture(scope="module")
def keeper(rig):
    user = rig.user("keeper")
    yield user
    rig.delete(user)


@pytest.fixture
def second(rig, keeper, tmp_path):
    """The same person on another laptop, whose key is not known yet."""
    laptop = User(rig, keeper.name, tmp_path / "laptop2", make_key(tmp_path / "id2", comment="laptop2"))
    laptop.trust_box()
    yield laptop
    rig.cli("keys", "remove", keeper.name, laptop.fingerprint)


def inner(outer, laptop, *command):
    """A jump whose first hop uses `outer`'s key and whose second hop uses `laptop`'s."""
    proxy = f"ssh -F {outer.config} -p {outer.rig.port} -W %h:%p {outer.name}@127.0.0.1"
    return subprocess.run(["ssh", "-F", laptop.config, "-o", f"ProxyCommand={proxy}", f"{laptop.name}@{laptop.box}",
                           *command], capture_output=True, timeout=30, stdin=subprocess.DEVNULL)


def test_added_key_works_at_once(rig, keeper, second, door):
    assert second.ssh("true", door=door).returncode == 255
    rig.ok("keys", "add", keeper.name, second.public_key)
    assert second.ok("whoami", door=door) == "keeper\n"
    assert keeper.ok("whoami", door=door) == "keeper\n"


def test_removed_key_is_refused_at_once(rig, keeper, second, door):
    rig.ok("keys", "add", keeper.name, second.public_key)
    second.ok("true", door=door)
    rig.ok("keys", "remove", keeper.name, second.fingerprint)
    run = second.ssh("true", door=door)
    assert run.returncode == 255 and b"Permission denied (publickey)" in run.stderr
    assert keeper.ok("whoami", door=door) == "keeper\n"


def test_removed_key_is_refused_by_the_box_itself(rig, keeper, second):
    rig.ok("keys", "add", keeper.name, second.public_key)
    assert inner(keeper, second, "echo in").stdout == b"in\n"
    rig.ok("keys", "remove", keeper.name, "laptop2")
    run = inner(keeper, second, "echo in")
    assert run.returncode == 255 and b"Permission denied" in run.stderr and run.stdout == b""


def test_live_session_of_a_removed_key_is_cut(rig, keeper, second, door):
    rig.ok("keys", "add", keeper.name, second.public_key)
    with second.open("echo in; cat", door=door) as cut, keeper.open("echo in; cat", door=door) as stays:
        assert cut.stdout.readline() == stays.stdout.readline() == b"in\n"
        rig.ok("keys", "remove", keeper.name, second.fingerprint)
        assert cut.wait(10) == 255
        stays.stdin.write(b"still here\n")
        assert stays.stdout.readline() == b"still here\n"
        stays.stdin.close()
        assert stays.wait(10) == 0


@pytest.mark.parametrize("state", ["frozen", "stopped"])
def test_keys_of_a_sleeping_box(rig, keeper, second, state):
    """The change is in the box by the time it wakes; the command does not fail because the box sleeps."""
    rig.incus.freeze(keeper.box) if state == "frozen" else rig.incus.stop(keeper.box)
    rig.ok("keys", "add", keeper.name, second.public_key)
    assert second.ok("whoami", door="jump") == "keeper\n"
    rig.incus.freeze(keeper.box) if state == "frozen" else rig.incus.stop(keeper.box)
    rig.ok("keys", "remove", keeper.name, second.fingerprint)
    assert inner(keeper, second, "true").returncode == 255
    assert keeper.ok("whoami", door="jump") == "keeper\n"


def test_own_lines_of_authorized_keys_survive(rig, keeper, second, tmp_path):
    friend = make_key(tmp_path / "friend").with_suffix(".pub").read_text().strip()
    keeper.ok(f"echo '{friend}' >> ~/.ssh/authorized_keys")
    rig.ok("keys", "add", keeper.name, second.public_key)
    assert keeper.ok("grep -c friend ~/.ssh/authorized_keys") == "1\n"
    assert keeper.ok("stat -c '%a %U' ~/.ssh/authorized_keys") == "600 keeper\n"


def test_adding_twice_is_no_error_and_list_shows_them(rig, keeper, second):
    for _ in range(2):
        rig.ok("keys", "add", keeper.name, second.public_key)
    shown = rig.ok("keys", "list", keeper.name)
    assert shown.count(second.fingerprint) == 1 and shown.count(keeper.fingerprint) == 1


def test_key_from_standard_input(rig, keeper, second):
    rig.ok("keys", "add", keeper.name, "-", stdin=second.public_key.read_bytes())
    assert second.ok("echo in") == "in\n"


def test_replace(rig, keeper, second):
    rig.ok("keys", "replace", keeper.name, second.public_key)
    try:
        assert second.ok("echo in", door="jump") == "in\n"
        assert keeper.ssh("true").returncode == 255
    finally:
        rig.ok("keys", "replace", keeper.name, keeper.public_key)
    assert keeper.ok("echo in", door="jump") == "in\n"


def test_last_key_needs_force(rig, keeper):
    run = rig.cli("keys", "remove", keeper.name, keeper.fingerprint)
    assert run.returncode != 0 and b"--force" in run.stderr
    assert keeper.ok("echo in") == "in\n"


def test_a_key_has_one_owner(rig, keeper, alice):
    run = rig.cli("keys", "add", keeper.name, alice.public_key)
    assert run.returncode == 5 and b"alice" in run.stderr


@pytest.mark.parametrize("text, word", [
    (b"", b"key"), (b"rubbish\n", b"key"),
    (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", b"private"),
    (b"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t x\n", b"sk-"),
])
def test_bad_keys_are_refused_with_the_reason(rig, keeper, text, word):
    run = rig.cli("keys", "add", keeper.name, "-", stdin=text)
    assert run.returncode != 0 and word in run.stderr.lower(), run.stderr
