"""The interactive console: `ssh ctl@gateway` on a terminal, used as a person would."""
import json
import re

import pytest

from harness.terminal import Terminal
from harness.user import make_key
from harness.wait import until

PROMPT = rb"@ctl> "


@pytest.fixture(scope="module")
def admin(rig):
    user = rig.user("chief", "--lazy", "--role", "admin")
    yield user
    rig.delete(user)


@pytest.fixture(scope="module")
def people(rig):
    users = [rig.user(name, "--lazy") for name in ("shell-ann", "shell-abe")]
    yield users
    for user in users:
        rig.delete(user)


def console(user, rows=24, columns=100, env=None):
    return Terminal(["ssh", "-F", user.config, "-p", str(user.rig.port), "ctl@127.0.0.1"], rows=rows, columns=columns,
                    env=env)


def plain(data):
    """What is left without escape sequences."""
    return re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", data)


def test_greeting_command_and_farewell(admin):
    for farewell in (b"exit\r", b"quit\r", b"\x04"):
        with console(admin) as t:
            greeting = t.expect(rb"(?s)you are chief, role admin\.\r\n(.*?)chief@ctl> ")
            assert b"help" in greeting[1] and b"Tab" in greeting[1]
            t.send(b"whoami\r")
            t.expect(rb"chief \(admin\), from 127\.0\.0\.1:\d+\r\n.*" + PROMPT)
            t.send(farewell)
            assert t.wait() == 0


def test_errors_name_the_nearest_word_and_the_console_goes_on(admin):
    with console(admin) as t:
        t.expect(PROMPT)
        for line, answer in ((b"lst", rb'Did you mean "list"'), (b"list --jsn", rb"Did you mean --json"),
                             (b"'open", rb"a quote is not closed"), (b"info nosuch", rb"no such user: nosuch"),
                             (b"unban alice", rb'Did you mean "bans remove"'), (b"keys add chief x.pub", rb"paste what"),
                             (b"containarium whoami", rb"chief \(admin\)"), (b"", rb"")):
            t.send(line + b"\r")
            t.expect(answer)
            t.expect(PROMPT)


def test_history_and_editing(admin):
    with console(admin) as t:
        t.expect(PROMPT)
        t.send(b"version\r")
        t.expect(rb"store schema")
        t.expect(PROMPT)
        t.send(b"\x1b[A\r")  # up
        t.expect(rb"store schema")
        t.expect(PROMPT)
        t.send(b"hoami\x01w\r")  # to the beginning
        t.expect(rb"chief \(admin\)")
        t.expect(PROMPT)
        t.send(b"some nonsense\x15whoami\r")  # all away
        t.expect(rb"chief \(admin\)")


def test_tab_completes(admin, people):
    with console(admin) as t:
        t.expect(PROMPT)
        for typed, line in ((b"wh\t\r", rb"chief \(admin\)"),
                            (b"keys li\tshell-an\t\r", rb"shell-ann@laptop"),
                            (b"list --js\t\r", rb'"shell-ann"')):
            t.send(typed)
            t.expect(line)
            t.expect(PROMPT)
        t.send(b"info shell-a\t")
        t.expect(rb"(?s)shell-abe\s+shell-ann\r\n.*" + PROMPT)
        t.send(b"nn\r")
        t.expect(rb"User:\s+shell-ann")
        t.expect(PROMPT)
        t.send(b"create --role \t")
        t.expect(rb"(?s)user\s+operator\s+admin\r\n")
        t.send(b"\x15keys \t")
        t.expect(rb"(?s)list\s+add\s+remove\s+replace\s+sync\r\n")


def test_completion_tells_nobody_more_than_they_may_know(rig, admin, people):
    ann = people[0]
    words = ann.ctl("complete", "--", "").stdout.decode().split()
    assert "keys" in words and "list" not in words and "create" not in words and "cert" not in words
    for asked in (["info", ""], ["audit", "--user", ""], ["info", "shell-a"], ["keys", "list", "shell-ab"]):
        got = ann.ctl("complete", "--", *[repr(word) for word in asked]).stdout.decode().split()
        assert set(got) <= {"shell-ann"}, asked
    got = admin.ctl("complete", "--", "info", "shell-a").stdout.decode().split()
    assert got == ["shell-abe", "shell-ann"]
    before = len(rig.audit())
    admin.ctl("complete", "--", "info", "shell-a")
    assert not [r for r in rig.audit()[before:] if "complete" in r["target"]], "keys pressed are no events"


def test_a_question_and_its_answers(admin, rig):
    rig.user("shell-gone", "--lazy")
    with console(admin) as t:
        t.expect(PROMPT)
        for answer, says in ((b"n\r", rb"nothing was changed"), (b"\x03", rb"interrupted, nothing was changed"),
                             (b"y\r", rb"Deleted|deleted")):
            t.send(b"delete shell-gone\r")
            t.expect(rb"\[y/N\] ")
            t.send(answer)
            t.expect(says)
            t.expect(PROMPT)
    assert rig.cli("info", "shell-gone").returncode == 3
    rig.users = [u for u in rig.users if u.name != "shell-gone"]


def test_a_key_is_pasted(admin, people, tmp_path):
    key = make_key(tmp_path / "pasted", comment="pasted").with_suffix(".pub").read_bytes()
    with console(admin) as t:
        t.expect(PROMPT)
        t.send(b"keys add shell-ann\r")
        t.expect(rb"Ctrl-D")
        t.send(key.replace(b"\n", b"\r") + b"\x04")
        t.expect(rb"Added to shell-ann")
        t.expect(PROMPT)
    assert b"pasted" in admin.ctl("keys", "list", "shell-ann").stdout
    assert admin.ctl("keys", "remove", "shell-ann", "pasted").returncode == 0


def test_keys_typed_ahead_are_not_lost(admin):
    with console(admin) as t:
        t.send(b"whoami\rversion\r")  # before the greeting
        t.expect(rb"chief \(admin\)")
        t.expect(rb"store schema")
        t.expect(PROMPT)


def test_ctrl_c_gives_a_new_line(admin):
    with console(admin) as t:
        t.expect(PROMPT)
        t.send(b"delete everything\x03")
        t.expect(rb"\^C\r\n.*" + PROMPT)
        t.send(b"whoami\r")
        t.expect(rb"chief \(admin\)")


def test_window_changes(admin):
    with console(admin, columns=40) as t:
        t.expect(PROMPT)
        t.send(b"x" * 60)
        t.expect(rb"x{20}")
        t.resize(30, 120, expect=rb"chief@ctl> x{60}")
        t.send(b"\x15whoami\r")
        t.expect(rb"chief \(admin\)")


def test_a_terminal_without_escape_sequences(admin):
    with console(admin, env={"TERM": "dumb", "PATH": "/usr/bin:/bin"}) as t:
        t.expect(PROMPT)
        t.send(b"whomai\x7f\x7f\x7fami\r")
        t.expect(rb"chief \(admin\)")
        t.expect(PROMPT)
        assert b"\x1b" not in t.seen


def test_hostile_keys(admin):
    """Every byte there is, and sequences that never end: the console stays what it is."""
    with console(admin) as t:
        t.expect(PROMPT)
        noise = bytes(b for b in range(1, 256) if b not in (3, 4, 10, 13))
        t.send(noise + b"\x1b[" + b"9;" * 1500 + b"\x1b[<0;1;1M\x1bOP\x1b]0;x\x07\xff\xfe" + b"\x03")
        t.expect(rb"\^C\r\n.*" + PROMPT)
        t.send(b"whoami\r")
        t.expect(rb"chief \(admin\)")


def test_two_consoles_in_one_connection(admin, tmp_path):
    path = tmp_path / "master"
    argv = ["ssh", "-F", admin.config, "-p", str(admin.rig.port), "-S", path, "-o", "ControlMaster=auto", "ctl@127.0.0.1"]
    with Terminal(argv) as one:
        one.expect(PROMPT)
        with Terminal(argv) as other:
            other.expect(PROMPT)
            other.send(b"whoami\r")
            other.expect(rb"chief \(admin\)")
            one.send(b"version\r")
            one.expect(rb"store schema")
            other.send(b"\x04")
            assert other.wait() == 0
        one.send(b"\x04")
        assert one.wait() == 0


def test_a_restart_of_the_control_plane_ends_it_in_words(make_rig):
    rig = make_rig()
    chief = rig.user("chief", "--lazy", "--role", "admin")
    with console(chief) as t:
        t.expect(PROMPT)
        rig.kill_control()
        t.expect(rb"the control plane ended")
        assert t.wait() == 1
    rig.start_control()


def test_without_a_terminal_it_is_help(admin):
    run = admin.ctl(stdin=b"whoami\n")
    assert run.returncode == 0 and b"Usage:" in run.stdout and b"\x1b" not in run.stdout
    assert json.loads(admin.ctl("whoami", "--json").stdout)["name"] == "chief"


def test_ctrl_c_stops_waiting_and_the_command_goes_on(new_user, admin, lifecycle):
    user = new_user("shell-busy")
    before = lifecycle.count("instance-started", user.box)
    with console(admin) as t:
        t.expect(PROMPT)
        t.send(b"restart shell-busy\r")
        t.expect(rb"\.\.\.")
        t.send(b"\x03")
        t.expect(rb"(?s)goes on to its end.*" + PROMPT)
        t.send(b"whoami\r")
        t.expect(rb"chief \(admin\)")
    until(lambda: lifecycle.count("instance-started", user.box) > before, 60, "the restart came to its end")
