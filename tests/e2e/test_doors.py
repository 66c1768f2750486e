"""Both doors carry programs exactly: who and where, exit statuses, streams, end of input, bulk."""
import hashlib
import os
import signal
import subprocess

import pytest

MEGA = 1_000_000


def test_lands_in_own_box(alice, door):
    assert alice.ok("whoami; hostname; id -u", door=door).split() == ["alice", "alice-container", "1000"]


def test_sudo_works(alice, door):
    assert alice.ok("sudo -n id -u", door=door) == "0\n"


def test_by_ipv6(alice, door):
    assert alice.ok("whoami", door=door, host="::1") == "alice\n"


@pytest.mark.parametrize("status", [0, 1, 2, 127, 255])
def test_exit_status(alice, door, status):
    assert alice.ssh(f"exit {status}", door=door).returncode == status


def test_command_not_found_is_127(alice, door):
    run = alice.ssh("no-such-program-anywhere", door=door)
    assert run.returncode == 127 and b"no-such-program-anywhere" in run.stderr


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV"])
def test_killed_by_signal_is_told_as_plain_ssh_tells_it(alice, door, name):
    """OpenSSH prints nothing and exits 255 on exit-signal; the jump door is plain ssh end to end."""
    seen = {d: alice.ssh(f"kill -{name} $$", door=d) for d in ("jump", door)}
    assert seen[door].returncode == seen["jump"].returncode == 255
    assert seen[door].stdout == seen["jump"].stdout == b""
    assert seen[door].stderr == seen["jump"].stderr


def test_stdout_and_stderr_stay_apart(alice, door):
    every_byte = bytes(range(256))
    octal = "".join(f"\\{b:03o}" for b in every_byte)
    run = alice.ssh(f"printf '{octal}'; printf '{octal}{octal}' >&2", door=door)
    assert (run.returncode, run.stdout, run.stderr) == (0, every_byte, every_byte * 2)


def test_no_output_at_all(alice, door):
    run = alice.ssh("true", door=door)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_much_stderr(alice, door):
    run = alice.ssh("head -c 3000000 /dev/zero >&2; echo done", door=door)
    assert run.stdout == b"done\n" and run.stderr == bytes(3 * MEGA)


@pytest.mark.parametrize("size", [0, 1, 2, 100, 5000, 200_000])
def test_cat_gives_back_what_it_gets(alice, door, size):
    data = os.urandom(size)
    run = alice.ssh("cat", door=door, stdin=data)
    assert run.returncode == 0 and run.stdout == data


def test_half_close(alice, door):
    """sort answers only after its input has ended, and then everything must still come."""
    lines = [f"{n:07d}\n".encode() for n in range(50_000)]
    run = alice.ssh("sort -r", door=door, stdin=b"".join(lines), options=["-o", "ConnectTimeout=20"])
    assert run.returncode == 0 and run.stdout == b"".join(reversed(lines))


def test_output_after_the_input_was_refused(alice, door):
    """The program closes its stdin early; what it prints and its status still arrive."""
    run = alice.ssh("exec <&-; sleep 0.3; echo still here; exit 7", door=door, stdin=os.urandom(MEGA))
    assert (run.returncode, run.stdout) == (7, b"still here\n")


def test_50_megabytes_up_and_down(alice, door):
    data = os.urandom(50 * MEGA)
    want = hashlib.sha256(data).hexdigest()
    up = alice.ssh("tee /tmp/bulk | sha256sum", door=door, stdin=data, timeout=120)
    assert up.returncode == 0 and up.stdout.decode().split()[0] == want
    down = alice.ssh("cat /tmp/bulk; rm /tmp/bulk", door=door, timeout=120)
    assert down.returncode == 0 and hashlib.sha256(down.stdout).hexdigest() == want


def test_20_megabytes_both_ways_at_once(alice, door):
    data = os.urandom(20 * MEGA)
    run = alice.ssh("cat", door=door, stdin=data, timeout=120)
    assert run.returncode == 0 and hashlib.sha256(run.stdout).digest() == hashlib.sha256(data).digest()


def test_a_reader_that_is_slow_loses_nothing(alice, door):
    """More is sent than any window or socket buffer holds while nobody reads; back-pressure must hold it."""
    with alice.open("seq 1 2000000", door=door, stdin=subprocess.DEVNULL) as ssh:
        first = ssh.stdout.read(1)
        with pytest.raises(subprocess.TimeoutExpired):  # it cannot be over: most of it must still be on its way
            ssh.wait(1.5)
        rest = b"".join(iter(lambda: ssh.stdout.read(65536), b""))
        assert ssh.wait(60) == 0
    want = "".join(f"{n}\n" for n in range(1, 2_000_001)).encode()
    assert hashlib.sha256(first + rest).digest() == hashlib.sha256(want).digest()


def test_signal_of_the_client_ends_the_program(alice, door):
    """ssh dies; the program in the box gets its SIGHUP or broken pipe and ends too."""
    with alice.open("echo $$; exec sleep 1234", door=door) as ssh:
        pid = ssh.stdout.readline().decode().strip()
        ssh.send_signal(signal.SIGKILL)
    # Without a terminal sshd only closes the pipes; sleep does not notice, as with plain ssh. The session is over.
    alice.ok(f"kill {pid}", door=door)


def test_many_sessions_on_one_connection(alice, door, tmp_path):
    """ControlMaster: ten programs at once on one connection, and a failing one ends none of the others."""
    master = tmp_path / "master"
    options = ["-o", f"ControlPath={master}"]
    with alice.open(door=door, options=[*options, "-M", "-N"]) as first:
        try:
            subprocess.run(["sh", "-c", f"for i in $(seq 100); do test -S {master} && exit; sleep 0.1; done; exit 1"],
                           check=True)
            runs = [alice.open(f"cat; exit {n}", door=door, options=options) for n in range(10)]
            for n, run in enumerate(runs):
                out, err = run.communicate(f"{n}".encode() * 1000, timeout=30)
                assert (run.returncode, out, err) == (n, f"{n}".encode() * 1000, b"")
        finally:
            alice.ssh(door=door, options=[*options, "-O", "exit"])  # SIGTERM just before its poll(2) would be missed


def test_environment_is_passed(alice, door):
    environment = dict(os.environ, LANG="en_US.UTF-8", LC_TIME="de_DE.UTF-8")
    argv = alice.argv("echo $LANG $LC_TIME", door=door, options=["-o", "SendEnv=LANG LC_TIME"])
    run = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert run.stdout == "en_US.UTF-8 de_DE.UTF-8\n"


def test_stdin_from_nowhere(alice, door):
    assert alice.ok("cat; echo end", door=door, options=["-n"]) == "end\n"
