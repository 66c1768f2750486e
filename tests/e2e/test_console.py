"""`ssh ctl@gateway VERB`: the same verbs as on the host; the key says who you are, the role what you may do."""
import json

import pytest



@pytest.fixture(scope="module")
def admin(rig):
    user = rig.user("chief", "--lazy", "--role", "admin")
    yield user
    rig.delete(user)


@pytest.fixture(scope="module")
def plain(rig):
    user = rig.user("plain", "--lazy")
    yield user
    rig.delete(user)


def test_whoami(rig, admin, plain):
    for user, role in ((admin, b"admin"), (plain, b"user")):
        run = user.ctl("whoami")
        assert run.returncode == 0 and user.name.encode() in run.stdout and role in run.stdout


def test_version_and_help(plain):
    assert plain.ctl("version").returncode == 0
    assert b"whoami" in plain.ctl("help").stdout
    assert plain.ctl("help").returncode == 0


def test_admin_sees_everybody(rig, admin, plain):
    over_ssh = json.loads(admin.ctl("list", "--json").stdout)
    on_the_host = rig.json("list")
    assert json.dumps(over_ssh).count('"plain"') == json.dumps(on_the_host).count('"plain"') == 1


def test_plain_users_see_themselves_only(plain, admin):
    assert plain.ctl("info").returncode == 0
    for verb in (["list"], ["info", "chief"], ["delete", "chief", "--force"], ["keys", "list", "chief"],
                 ["audit", "--user", "chief"], ["create", "mallory", "--ssh-key", "-"], ["config", "show"]):
        run = plain.ctl(*verb)
        assert run.returncode == 4, (verb, run.stdout, run.stderr)
        assert b"SHA256" not in run.stdout


def test_users_cannot_learn_who_else_exists(plain, admin):
    """Somebody who exists and somebody who does not get the same answer."""
    one, other = (plain.ctl("info", name) for name in ("chief", "nosuch"))
    assert one.returncode == other.returncode
    assert one.stderr.replace(b"chief", b"X") == other.stderr.replace(b"nosuch", b"X")


def test_exit_codes(rig, admin):
    for verb, status in ((["no-such-verb"], 2), (["info"], 0), (["info", "nosuch"], 3), (["list", "--bogus"], 2)):
        assert admin.ctl(*verb).returncode == status, verb
        if verb != ["info"]:
            assert rig.cli(*verb).returncode == status, verb


def test_create_by_stdin_and_delete(rig, admin, tmp_path):
    made = rig.person("by-console")
    run = admin.ctl("create", made.name, "--ssh-key", "-", "--lazy", stdin=made.public_key.read_bytes())
    assert run.returncode == 0, run.stderr
    assert made.ctl("whoami").returncode == 0
    record = [r for r in rig.audit(user=made.name) if r["event"] == "account-created"][-1]
    assert record["actor"] == "chief"
    assert admin.ctl("delete", made.name).returncode != 0, "off a terminal it needs --force"
    assert admin.ctl("delete", made.name, "--force").returncode == 0
    assert made.ctl("whoami").returncode == 255
    rig.users.remove(made)


def test_files_of_the_server_are_out_of_reach(rig, admin):
    run = admin.ctl("create", "filereader", "--ssh-key", "/etc/passwd", "--lazy")
    assert run.returncode == 2 and b"write - for" in run.stderr
    run = admin.ctl("export", "chief", "--output", "/tmp/containarium-e2e-must-not-exist")
    assert run.returncode != 0


def test_console_has_no_forwarding(rig, admin):
    run = admin.ssh(options=["-l", "ctl", "-W", "chief-container:22"])
    assert run.returncode == 255
    assert rig.audit(user="chief", event="refused")


def test_own_keys(plain, tmp_path, rig):
    from harness.user import make_key
    key = make_key(tmp_path / "extra", comment="extra")
    assert plain.ctl("keys", "add", stdin=key.with_suffix(".pub").read_bytes()).returncode == 0
    assert b"extra" in plain.ctl("keys", "list").stdout
    assert plain.ctl("keys", "remove", "extra").returncode == 0
    assert b"extra" not in plain.ctl("keys", "list").stdout


def test_hostile_words(admin):
    for words in (["'unclosed"], ["$(id)"], ["; id"], ["\x1b[2J"], ["a" * 30_000]):
        run = admin.ctl(*words)
        assert run.returncode == 2, (words, run.returncode, run.stderr)
        assert b"uid=" not in run.stdout and b"\x1b" not in run.stderr
