"""The command line from elsewhere: over the user's own ssh. Same text, same files, same exit codes as on the host."""
import json
import os
import subprocess

import pytest

from harness import schema
from harness.terminal import Terminal
from harness.user import make_key


@pytest.fixture(scope="module")
def admin(rig):
    user = rig.user("chief", "--lazy", "--role", "admin")
    yield user
    rig.delete(user)


@pytest.fixture
def laptop(rig, admin, tmp_path):
    """laptop(VERB...) runs containarium --server in a folder of its own."""

    def run(*words, stdin=b"", user=admin, server=f"127.0.0.1:{rig.port}", env=None, cwd=tmp_path):
        done = subprocess.run([rig.bin / "containarium", "--server", server, *map(str, words)], input=stdin, cwd=cwd,
                              capture_output=True, timeout=60, env=environment(user, env))
        return schema.check(words, done, "ssh")

    run.folder = tmp_path
    return run


def environment(user, more=None):
    keep = {key: value for key, value in os.environ.items() if not key.startswith("CONTAINARIUM")}
    return {**keep, "CONTAINARIUM_SSH": f"ssh -F {user.config}", **(more or {})}


def both(rig, laptop, *words, stdin=b""):
    """Runs it there and here; gives the first after comparing status and texts."""
    there, here = laptop(*words, stdin=stdin), rig.cli(*words, stdin=stdin)
    assert (there.returncode, there.stderr) == (here.returncode, here.stderr), words
    return there, here


def test_same_text_and_status_as_on_the_host(rig, laptop, admin):
    for words in (["help"], ["help", "create"], ["keys", "list", "chief"], ["config", "show"], ["lst"],
                  ["info", "nosuch"], ["list", "--bogus"], ["keys", "remove", "chief", "nosuch"]):
        there, here = both(rig, laptop, *words)
        assert there.stdout == here.stdout, words
    assert laptop("whoami").stdout.startswith(b"chief (admin)")


def test_files_of_the_laptop_are_read(rig, laptop):
    key = make_key(laptop.folder / "by file")
    run = laptop("create", "remote-file", "--ssh-key", "by file.pub", "--lazy")
    try:
        assert run.returncode == 0, run.stderr
        shown = json.loads(laptop("keys", "list", "remote-file", "--json").stdout)
        assert json.dumps(shown).count("SHA256:") == 1
    finally:
        assert laptop("delete", "remote-file", "--force").returncode == 0
    run = laptop("create", "remote-file", "--ssh-key", "missing.pub", "--lazy")
    assert run.returncode == 2 and b"missing.pub" in run.stderr and b"No such file" in run.stderr
    assert key.exists()


def test_standard_input_is_read(rig, laptop, admin):
    key = make_key(laptop.folder / "second", comment="second")
    run = laptop("keys", "add", "chief", stdin=key.with_suffix(".pub").read_bytes())
    assert run.returncode == 0, run.stderr
    assert laptop("keys", "remove", "chief", "second").returncode == 0
    assert laptop("keys", "add", "chief", stdin=b"").returncode == 2
    big = laptop("keys", "add", "chief", stdin=b"x" * 1_000_000)
    assert big.returncode == 2 and b"longer than" in big.stderr


def test_files_are_written_on_the_laptop(rig, laptop, admin):
    run = laptop("export", "chief", "--output", "chief.conf")
    assert run.returncode == 0, run.stderr
    written = laptop.folder / "chief.conf"
    assert "Host chief-dev" in written.read_text() and written.stat().st_mode & 0o777 == 0o600
    run = laptop("export", "chief", "--output", "no/such/folder/chief.conf")
    assert run.returncode == 1 and b"cannot write no/such/folder/chief.conf" in run.stderr


def test_a_question_is_asked_on_the_laptops_terminal(rig, laptop, admin):
    key = make_key(laptop.folder / "k")
    assert laptop("create", "remote-ask", "--ssh-key", "k.pub", "--lazy").returncode == 0
    assert laptop("delete", "remote-ask").returncode == 2, "off a terminal it is not asked"
    argv = [rig.bin / "containarium", "--server", f"127.0.0.1:{rig.port}", "delete", "remote-ask"]
    for answer, status in ((b"n\n", 1), (b"y\n", 0)):
        with Terminal(argv, env=environment(admin)) as t:
            t.expect(rb"\[y/N\]")
            t.send(answer)
            assert t.wait() == status
    assert laptop("info", "remote-ask").returncode == 3
    assert key.exists()


def test_server_can_be_a_variable(rig, laptop, admin):
    env = environment(admin, {"CONTAINARIUM_SERVER": f"127.0.0.1:{rig.port}"})
    run = subprocess.run([rig.bin / "containarium", "whoami"], capture_output=True, env=env, timeout=30)
    assert run.returncode == 0 and run.stdout.startswith(b"chief (admin)")
    # What is said on the command line is stronger: this asks the host.
    run = subprocess.run([*rig.cli_argv("whoami")], capture_output=True, env=env, timeout=30)
    assert run.stdout.startswith(b"root@host")


def test_who_may_not_log_in_is_told_by_ssh(rig, laptop):
    stranger = rig.person("stranger")
    rig.users.remove(stranger)
    run = laptop("list", user=stranger)
    assert run.returncode == 255 and b"Permission denied" in run.stderr and b"ctl@127.0.0.1" in run.stderr


@pytest.mark.parametrize("server", ["", "-oProxyCommand=id", "host:", "host:x", "[::1", "[::1]x", ":22"])
def test_bad_servers_are_refused(laptop, server):
    run = laptop("list", server=server)
    assert run.returncode == 2 and b"--server" in run.stderr


def test_a_server_reaches_no_file_that_was_not_named(rig, tmp_path):
    """Whatever is at the other end: it may read and write what the arguments name, and nothing else."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "old").write_text("old")
    evil = tmp_path / "evil.py"
    evil.write_text("""
import os, struct, sys
def send(frame): os.write(1, struct.pack(">I", len(frame)) + frame)
def take():
    head = sys.stdin.buffer.read(4)
    return sys.stdin.buffer.read(struct.unpack(">I", head)[0])
take()
send(b"Fsecret"); got = take()
for path in (b"secret", b"named/../secret", b"named/.hidden", b"named/sub/x", b"/tmp/x", b"named/old", b"../x", b"fresh"):
    send(b"S" + path + b"\\0evil")
send(b"Snamed/new\\0good")
send(b"Y"); saved = take()
send(b"E" + got + b"\\n" + saved)
send(b"X0")
""")
    env = {**os.environ, "CONTAINARIUM_SSH": f"/usr/bin/python3 {evil}"}
    run = subprocess.run([rig.bin / "containarium", "--server", "h", "delete", "named"], cwd=tmp_path, env=env,
                         capture_output=True, timeout=30)
    assert b"not among the arguments" in run.stderr and b"cannot write" in run.stderr
    assert run.returncode == 1, "what could not be written is a failure, whatever the other end says"
    assert (tmp_path / "secret").read_text() == "secret" and (tmp_path / "named" / "old").read_text() == "old"
    assert sorted(p.name for p in (tmp_path / "named").iterdir()) == ["new", "old"]
    assert not (tmp_path / "fresh").exists()


def test_what_is_no_gateway_is_said_to_be_none(rig, tmp_path):
    for answer, status in (("SSH-2.0-x hello", 255), ("", 255)):
        script = tmp_path / "other.sh"
        script.write_text(f"#!/bin/sh\nprintf '%s' '{answer}'\n")
        script.chmod(0o755)
        run = subprocess.run([rig.bin / "containarium", "--server", "h", "list"], capture_output=True, timeout=30,
                             env={**os.environ, "CONTAINARIUM_SSH": str(script)})
        assert run.returncode == status and b"no answer from ctl@h" in run.stderr


def test_sftp_to_the_console_is_refused_in_words(rig, admin):
    run = subprocess.run(["sftp", "-F", admin.config, "-P", str(rig.port), "-b", "-", "ctl@127.0.0.1"], input=b"ls\n",
                         capture_output=True, timeout=30)
    assert run.returncode != 0 and b"no files" in run.stderr


def test_a_broken_conversation_ends_it_alone(rig, admin):
    """Bytes that are no frames, frames out of turn, half a frame and gone: this channel ends, the gateway does not."""
    for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", b"\xff\xff\xff\xffR", b"\0\0\0\1I", b"\0\0\0\3R{}", b"\0\0\x10",
                 b"\0\0\0\5X0000"):
        run = subprocess.run(["ssh", "-F", admin.config, "-p", str(rig.port), "-s", "ctl@127.0.0.1", "containarium"],
                             input=sent, capture_output=True, timeout=30)
        assert run.returncode != 0, sent
    assert admin.ctl("whoami").returncode == 0
