"""Terminals: size, window changes, keys, and what a person sees while a box wakes."""
import re
import subprocess
import time

from harness.terminal import Terminal


def test_a_terminal_of_the_right_size(alice, door):
    with Terminal(alice.argv("tty; stty size; echo $TERM", door=door, options=["-tt"]), rows=37, columns=123) as t:
        t.expect(rb"/dev/pts/\d+\r\n37 123\r\n\S+\r\n")
        assert t.wait() == 0


def test_window_change(alice, door):
    """The terminal in the box is asked: bash loses a WINCH that it traps now and then."""
    with Terminal(alice.argv("while :; do stty size; sleep 0.1; done", door=door, options=["-tt"]),
                  rows=24, columns=80) as t:
        t.expect(rb"24 80")
        t.resize(51, 171, expect=rb"51 171")
        t.resize(10, 20, expect=rb"10 20")


def test_shell_on_a_terminal(alice, door):
    with Terminal(alice.argv(door=door, options=["-tt"])) as t:
        t.send(b"echo $((6*7)) on $(hostname)\n")
        t.expect(rb"42 on alice-container")
        t.send(b"exit 3\n")
        assert t.wait() == 3


def test_interrupt_key(alice, door):
    with Terminal(alice.argv(door=door, options=["-tt"])) as t:
        t.send(b"echo started; sleep 1000; echo over\n")
        t.expect(rb"started\r\n")
        time.sleep(0.2)  # the shell needs a moment to hand the terminal to sleep
        t.send(b"\x03")
        t.send(b"echo al''ive\n")
        t.expect(rb"alive")
        t.send(b"exit 0\n")
        assert t.wait() == 0


def test_shell_without_a_terminal_reads_its_script_from_stdin(alice, door):
    """As VS Code and Ansible do."""
    run = alice.ssh(door=door, stdin=b"echo one; tty; exit 5\n", options=["-T"])
    assert run.returncode == 5 and run.stdout == b"one\nnot a tty\n"


def test_wait_is_shown_on_a_terminal(rig, new_user):
    """While it waits there is a line on stderr, renewed; it is wiped before the box speaks, and stdout is clean."""
    user = new_user("wait-tty")
    rig.incus.stop(user.box)
    argv = user.argv("echo hello", options=["-tt", "-v"])
    with Terminal(argv, stderr=subprocess.PIPE) as t:
        stderr = b""
        while chunk := t.process.stderr.read1(65536):
            stderr += chunk
        t.expect(rb"hello\r\n")
        assert t.wait() == 0
        assert t.seen == b""
    assert re.search(rb"(Waking|Starting|\[\d/\d\]).*\.\.\.", stderr), stderr
    shown_lines = re.findall(rb"\r\033\[K([^\r\n]*\.\.\. [\d.]+s)", stderr)
    assert len(shown_lines) >= 2, f"not updated: {shown_lines}"
    assert re.search(rb"\r\033\[K(debug|$|Transferred|Connection)", stderr), "the line was not wiped"


def test_nothing_is_added_without_a_terminal(rig, new_user, door):
    user = new_user("wait-quiet")
    rig.incus.stop(user.box)
    run = user.ssh(r"printf 'a\0b\r\n\033[K'; printf 'e\0\n' >&2", door=door)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"a\0b\r\n\033[K", b"e\0\n")


def test_an_awake_box_is_not_said_to_be_woken(alice):
    for _ in range(3):
        with Terminal(alice.argv("echo hello", options=["-tt"]), stderr=subprocess.PIPE) as t:
            t.expect(rb"hello\r\n")
            assert t.wait() == 0
            assert b"Waking" not in t.process.stderr.read()
