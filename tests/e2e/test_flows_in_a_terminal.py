"""Whole stories on terminals, from the first keystroke: a newcomer, the morning's check, a ban, a second laptop."""
import contextlib
import re
import shlex
import subprocess

import pytest

from harness.terminal import Terminal
from harness.user import User, make_key
from harness.wait import until

PROMPT = rb"@ctl> "
SHELL = rb"carol@carol-container:~\$ "
LONG = "abcdefghij-klmnopqrs-tuvwxyz-01"  # as long as a name may be
XTERM = {"TERM": "xterm-256color", "PATH": "/usr/bin:/bin"}
VT220 = {**XTERM, "TERM": "vt220"}  # whose prompt bash does not paint


@pytest.fixture
def gate(make_rig):
    return make_rig()


def text_of(data):
    return re.sub(r"\r+\n", "\n", data.decode())


def run_to_its_end(argv, **env):
    """All that a program leaves on a terminal of 80 columns."""
    with Terminal(argv, env={**XTERM, **env}) as t:
        assert t.wait(60) == 0, t.seen
        while t.read(0.5):
            pass
        return text_of(t.seen)


def on_host(gate, *words, **env):
    return run_to_its_end(gate.cli_argv(*words), **env)


def laptop(gate, home, address, name="carol"):
    """A machine that has never been here: a key of its own, an address of its own, and no known_hosts."""
    user = User(gate, name, home)
    user.known_hosts.unlink()
    user.write_config(StrictHostKeyChecking="ask", BatchMode="no", BindAddress=address)
    return user


def at(user, line, columns=80):
    """`ssh ...`, typed at that machine."""
    words = shlex.split(line)
    return Terminal([words[0], "-F", user.config, *words[1:]], columns=columns, env=VT220)


def what_stays(data):
    """The lines on the screen once those that were written over are gone."""
    return text_of(re.sub(rb"[^\n]*\r\x1b\[K|\x1b\[\?2004h", b"", data)).splitlines()


def line_of(screen, words):
    (line,) = re.findall(rf"^ *(ssh -p \d+ \S*{re.escape(words)})(?:  .*)?$", screen, re.M)
    return line


def join(user, line, fingerprint):
    """Runs an invitation's line, answers ssh's question with the fingerprint; what the gateway says then."""
    with at(user, line) as t:
        t.expect(rb"authenticity of host")
        t.send(fingerprint.encode() + b"\n")
        said = t.expect(rb"(?s)list of known hosts\.\r+\n(.*)Connection to 127\.0\.0\.1 closed")
        assert t.wait() == 0
        return text_of(said[1])


def invited(screen):
    """The line to run and the fingerprint to expect, off the screen of `invite`."""
    return line_of(screen, "@127.0.0.1"), re.search(r"SHA256:\S+", screen)[0]


def in_shell(t, leaves):
    t.send(leaves + b"\r")


# ---- a newcomer


def test_a_new_user(gate, tmp_path):
    gate.person("carol")  # whose box is to be removed in the end
    carol = laptop(gate, tmp_path / "laptop", "127.0.0.11")
    line, fingerprint = invited(on_host(gate, "invite", "carol"))
    welcome = join(carol, line, fingerprint)
    assert "You are carol here" in welcome and carol.fingerprint in welcome

    shell = line_of(welcome, "carol@127.0.0.1")
    with at(carol, shell) as t:
        t.expect(rb"\[\d/5\] [^\r]* \.\.\. \d+\.\ds")
        before = t.expect(rb"(?s)(.*)" + SHELL, timeout=60)[1]
        made, where = what_stays(before)[-2:]
        assert re.fullmatch(r"Your box is ready: 2 cores, 512MB of memory, 2GB of disk\.", made), before
        assert where == f"To look after it: {line_of(welcome, 'ctl@127.0.0.1 help')}"
        in_shell(t, b"exit")
        assert t.wait() == 0
    with at(carol, shell) as t:
        assert b"..." not in t.expect(rb"(?s)(.*)" + SHELL)[1], "the second time there is nothing to wait for"
        in_shell(t, b"exit 7")
        assert t.wait() == 7

    with at(carol, shell.replace("carol@", "ctl@")) as t:
        greeting = t.expect(rb"(?s)(.*)" + PROMPT)[1].decode()
        assert "you are carol" in greeting and "help" in greeting
        for typed, answer in ((b"status", rb'Did you mean "info"'), (b"inf\t", rb"Memory: +\d+MB / 512MB"),
                              (b"\x1b[A", rb"Memory: +\d+MB / 512MB"), (b"\xc3\xa4 \xe6\x97\xa5\xe6\x9c\xac",
                              "no such verb: ä".encode()), (b"export", rb"Host carol-dev"),
                              (b"whoami zzz", rb'"zzz" is one word too many')):
            t.send(typed + b"\r")
            t.expect(answer)
            t.expect(PROMPT)
        t.send(b"half a line\x03")
        t.expect(rb"\^C\r\n.*" + PROMPT)
        t.send(b"\x04")
        assert t.wait() == 0


def test_a_long_line_and_a_window_that_changes(gate, tmp_path):
    gate.person("carol")
    carol = laptop(gate, tmp_path / "laptop", "127.0.0.11")
    gate.ok("create", "carol", "--lazy", "--ssh-key", carol.public_key)
    carol.write_config(StrictHostKeyChecking="accept-new", BindAddress="127.0.0.11")
    with at(carol, f"ssh -p {gate.port} ctl@127.0.0.1", columns=50) as t:
        t.expect(PROMPT)
        t.send(b"whoami " + b"x" * 90)
        t.expect(rb"x{20}")
        # Two rows up, where 80 columns have 108 characters, and all of the old line away.
        t.resize(24, 80, expect=rb"\r\x1b\[1A\x1b\[J.*carol@ctl> whoami x")


# ---- the morning


@pytest.fixture
def night(gate, tmp_path):
    """A gateway where something has happened: a box in use from an IPv6 address, refusals, a ban."""
    ann = gate.user(LONG)
    ann.ctl("list")
    gate.user("bob", "--lazy")
    stranger = laptop(gate, tmp_path / "stranger", "127.0.0.12", name="bob")
    stranger.write_config(StrictHostKeyChecking="accept-new", BindAddress="127.0.0.12")
    for _ in range(3):
        assert stranger.ssh("true").returncode == 255
    until(lambda: gate.json("bans", "list"), what="a ban")
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(subprocess.Popen(ann.argv("cat", host="::1"), stdin=subprocess.PIPE))
        until(lambda: gate.json("sessions", "list"), what="a live session")
        yield gate
        live.stdin.close()
        assert live.wait(20) == 0


MORNING = (("security", "status"), ("doctor",), ("list",), ("sessions", "list"),
           ("audit", "summary", "--since", "yesterday"), ("audit", "--event", "auth-failed", "--since", "1d"),
           ("bans", "list"), ("bans", "list", "--history"), ("keys", "list", LONG))


def test_an_admins_morning(night):
    for words in MORNING:
        screen = re.sub(r"\x1b\[\d*m", "", on_host(night, *words))
        # What is copied as one word, or as one command, is not cut.
        wide = [line for line in screen.splitlines() if len(line) > 80 and "To mend it" not in line]
        assert not wide, (words, wide)
        assert not re.search(r" $", screen, re.M), (words, screen)
        for date in re.findall(r"\b\d{4}-\d\d-\d\d\S*", screen):
            assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", date), (words, date)
    status = on_host(night, "security", "status")
    assert re.search(r"Bans in force: .*1.* \(1 ever\)", status) and "bans list" in status
    assert "3 failed" in status, "probes of the port are no failed logins"
    assert re.search(r"^(All is well|Nothing failed; warnings: \d+)\.$", on_host(night, "doctor"), re.M)
    for words in MORNING:
        for line in night.ok(*words).splitlines():
            assert "\x1b" not in line, "a pipe gets neither colours nor a layout"
    assert len(night.ok("sessions", "list").splitlines()) == 2


def test_colours_are_for_terminals_that_want_them(gate):
    assert "\x1b[32mok\x1b[0m" in on_host(gate, "doctor")
    assert "\x1b" not in on_host(gate, "doctor", NO_COLOR="1")
    assert "\x1b" not in on_host(gate, "doctor", TERM="dumb")
    assert "\x1b[" in on_host(gate, "doctor", NO_COLOR="")
    chief = gate.user("chief", "--lazy", "--role", "admin")
    for options, coloured in (([], True), (["-o", "SetEnv=NO_COLOR=1"], False)):
        screen = run_to_its_end(["ssh", "-F", chief.config, *options, "-p", gate.port, "-t", "ctl@127.0.0.1", "doctor"])
        assert ("\x1b[32m" in screen) is coloured, screen


# ---- a ban


def test_a_ban_is_lifted(gate, tmp_path):
    gate.person("carol")
    carol = laptop(gate, tmp_path / "laptop", "127.0.0.12")
    wrong = make_key(tmp_path / "wrong")
    gate.ok("create", "carol", "--ssh-key", carol.public_key)
    carol.write_config(StrictHostKeyChecking="accept-new", BatchMode="no", BindAddress="127.0.0.12", IdentityFile=wrong)
    shell = f"ssh -p {gate.port} carol@127.0.0.1"
    for _ in range(3):
        with at(carol, shell) as t:
            t.expect(rb"Permission denied \(publickey\)")
            assert t.wait() == 255
    until(lambda: gate.json("bans", "list"), what="the third one bans")
    carol.write_config(StrictHostKeyChecking="accept-new", BatchMode="no", BindAddress="127.0.0.12")
    with at(carol, shell, columns=200) as t:
        t.expect(rb"logins as carol from 127\.0\.0\.12 are not accepted until \S+Z, after 3 failed logins; ask your adm")
        assert t.wait() == 255
    near_miss = gate.cli("bans", "remove", "--user", "carol")
    assert near_miss.returncode == 3 and b"bans remove 127.0.0.12 --user carol" in near_miss.stderr
    screen = on_host(gate, "bans", "list")
    advice = re.search(r"To lift it: containarium (.*)", screen)[1]
    assert "The ban is lifted" in on_host(gate, *shlex.split(advice))
    with at(carol, shell) as t:
        t.expect(SHELL, timeout=60)
        in_shell(t, b"exit")
        assert t.wait() == 0
    assert "Nobody is banned" in on_host(gate, "bans", "list")


def test_a_name_that_was_invented_is_no_command(gate, tmp_path):
    """What strangers try to log in as ends up in a line that administrators copy into a root shell."""
    stranger = laptop(gate, tmp_path / "stranger", "127.0.0.12")
    for name, advice in (("x;reboot", "--user 'x;reboot'"), ("$(reboot)", "--user '$(reboot)'"), ("x'$(reboot)'", None)):
        stranger.write_config(StrictHostKeyChecking="accept-new", BindAddress="127.0.0.12", User=f'"{name}"')
        for _ in range(3):
            argv = ["ssh", "-F", stranger.config, "-p", str(gate.port), "127.0.0.1", "true"]
            assert subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60).returncode == 255
        until(lambda: gate.json("bans", "list"), what="a ban")
        screen = on_host(gate, "bans", "list")
        if advice is None:
            assert "To lift" not in screen
        else:
            command = re.search(r"To lift it: containarium (.*)", screen)[1]
            assert command.endswith(advice), screen
            assert "The ban is lifted" in on_host(gate, *shlex.split(command))


# ---- a second laptop


def test_a_second_laptop(gate, tmp_path):
    gate.person("carol")
    old, new = (laptop(gate, tmp_path / name, address) for name, address in (("old", "127.0.0.11"),
                                                                            ("new", "127.0.0.12")))
    join(old, *invited(on_host(gate, "invite", "carol")))
    shell, console = (f"ssh -p {gate.port} {name}@127.0.0.1" for name in ("carol", "ctl"))
    with at(old, console) as t:
        t.expect(PROMPT)
        t.send(b"invite\r")
        screen = text_of(t.expect(rb"(?s)other machine(.*)" + PROMPT)[1])
    welcome = join(new, *invited(screen))
    assert re.search(rf"(?s)Welcome back, carol\..*{re.escape(new.fingerprint)}.*others:.*{re.escape(old.fingerprint)}",
                     welcome), welcome
    with at(old, shell) as lost, at(new, console) as t:
        lost.expect(SHELL, timeout=60)
        t.expect(PROMPT)
        t.send(b"keys list\r")
        listed = t.expect(rb"(?s)FINGERPRINT(.*)" + PROMPT)[1].decode()
        day = re.search(r"joined-\S+", listed)[0]
        assert f"{day}-2 " in listed, "two keys of a day have two names"
        assert re.search(rf"The one you use now: {re.escape(new.fingerprint)}\r\n", listed)
        t.send(f"keys remove {day}\r".encode())
        t.expect(rb"Removed from carol: " + re.escape(old.fingerprint.encode()))
        t.expect(rb"1 live session ended")
        t.expect(PROMPT)
        lost.expect(rb"the key of this session was removed")
        assert lost.wait() == 255
        t.send(f"keys remove {day}-2\r".encode())
        t.expect(rb"this is the last key of carol")
        t.expect(PROMPT)
    assert [key["fingerprint"] for key in gate.json("keys", "list", "carol")] == [new.fingerprint]
    with at(old, shell) as t:
        t.expect(rb"Permission denied \(publickey\)")
    with at(new, shell) as t:
        t.expect(SHELL, timeout=60)
        in_shell(t, b"exit")
        assert t.wait() == 0
