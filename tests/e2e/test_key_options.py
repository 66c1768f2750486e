"""Options of keys, with sshd's names and meaning, at both doors and at the console."""
import socket
import subprocess

import pytest

from harness.boxserver import exchange, forwarding, server_in_box
from harness.rig import free_port
from harness.user import make_key
from harness.wait import until


@pytest.fixture
def with_options(rig, alice, tmp_path):
    """with_options('no-pty') -> alice with one more key, which has these options."""
    made = []

    def make(options):
        key = make_key(tmp_path / f"key{len(made)}", comment=f"limited{len(made)}")
        line = f"{options} {key.with_suffix('.pub').read_text()}"
        rig.ok("keys", "add", "alice", "-", stdin=line.encode())
        made.append(f"limited{len(made)}")
        user = type(alice)(rig, "alice", tmp_path / f"home{len(made)}", key)
        user.trust_box()
        return user

    yield make
    for comment in made:
        rig.ok("keys", "remove", "alice", comment)


def test_they_are_listed(rig, alice, with_options):
    with_options('no-pty,from="127.0.0.0/8"')
    assert 'no-pty,from="127.0.0.0/8"' in rig.ok("keys", "list", "alice")
    keys = rig.json("keys", "list", "alice")
    assert [key["options"] for key in keys if key["comment"] == "limited0"] == ['no-pty,from="127.0.0.0/8"']


@pytest.mark.parametrize("line, says", [
    ('environment="A=1"', "not known here"), ("no-ptyy", "not known here"), ('from="*.example.com"', "not looked up"),
    ("command=ls", "double quotes"), ('expiry-time="soon"', "is no time"),
])
def test_what_is_not_known_is_refused(rig, alice, tmp_path, line, says):
    key = make_key(tmp_path / "key")
    before = rig.json("keys", "list", "alice")
    run = rig.cli("keys", "add", "alice", "-", stdin=f"{line} {key.with_suffix('.pub').read_text()}".encode())
    assert run.returncode == 2 and says in run.stderr.decode(), run.stderr
    assert rig.json("keys", "list", "alice") == before


def test_from(rig, with_options, door):
    user = with_options('from="127.0.0.5,127.0.1.0/24"')
    assert user.ssh("true", door="direct", options=["-b", "127.0.0.5"]).returncode == 0
    run = user.ssh("true", door=door)
    assert run.returncode == 255 and b"Permission denied" in run.stderr
    assert "may not be used from 127.0.0.1" in rig.audit(user="alice", event="auth-failed")[-1]["reason"]


def test_expiry_time(rig, with_options):
    assert with_options('expiry-time="20990101"').ssh("true").returncode == 0
    run = with_options('expiry-time="20200101"').ssh("true")
    assert run.returncode == 255 and b"Permission denied" in run.stderr
    assert "expired at 2020-01-01" in rig.audit(user="alice", event="auth-failed")[-1]["reason"]


def test_forced_command(with_options, door):
    user = with_options("command=\"echo \\\"it's forced\\\"; echo \\\"$SSH_ORIGINAL_COMMAND\\\"; exit 3\"")
    run = user.ssh("rm -rf 'a b' $HOME; echo no", door=door)
    assert run.stdout.decode() == "it's forced\nrm -rf 'a b' $HOME; echo no\n" and run.returncode == 3
    assert user.ssh(door=door).stdout.decode() == "it's forced\n\n"  # a shell was asked for: no original command
    assert user.ctl("whoami").returncode != 0, "a key for one command does not administrate"


def test_sftp_is_forced_as_well(with_options, tmp_path):
    user = with_options('command="echo forced"')
    run = subprocess.run(["sftp", "-F", user.config, "-P", str(user.rig.port), "-b", "/dev/stdin", "alice@127.0.0.1"],
                         input=b"ls\n", capture_output=True, timeout=60)
    assert run.returncode != 0


def test_no_pty(with_options, alice, door):
    user = with_options("no-pty")
    argv = ["-tt"]
    run = user.ssh("tty", door=door, options=argv)
    assert b"not a tty" in run.stdout or b"PTY allocation request failed" in run.stderr
    assert b"/dev/pts" not in run.stdout
    assert b"/dev/pts" in alice.ssh("tty", door=door, options=argv).stdout


def test_no_port_forwarding(rig, with_options, alice):
    user = with_options("no-port-forwarding")
    assert user.ssh("true").returncode == 0, "the box is open"
    assert user.ssh("true", door="jump").returncode != 0, "a jump is a forward"
    assert "no-port-forwarding" in rig.audit(user="alice", event="refused")[-1]["reason"]
    run = user.ssh("true", options=["-R", "0:localhost:9", "-o", "ExitOnForwardFailure=yes"])
    assert run.returncode == 255 and b"remote port forwarding failed" in run.stderr


def test_permitopen(with_options, alice):
    with server_in_box(alice) as allowed, server_in_box(alice) as other:
        user = with_options(f'permitopen="localhost:{allowed}"')
        ports = {target: free_port() for target in (allowed, other)}
        options = [word for target, port in ports.items() for word in ("-L", f"{port}:localhost:{target}")]
        with forwarding(user, *options, listens=ports[other]):
            assert exchange(socket.create_connection(("127.0.0.1", ports[allowed]), timeout=20), b"abc") == b"cba"
            with pytest.raises((AssertionError, OSError)):
                exchange(socket.create_connection(("127.0.0.1", ports[other]), timeout=20), b"abc")


def test_no_agent_forwarding(with_options, alice, tmp_path, monkeypatch):
    path = tmp_path / "agent.sock"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        until(path.exists, what="ssh-agent listens")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        assert alice.ssh("ssh-add -l", options=["-A"]).returncode == 1, "an agent without keys"
        assert with_options("no-agent-forwarding").ssh("ssh-add -l", options=["-A"]).returncode == 2, "no agent"
    finally:
        agent.terminate()
        agent.wait()


def test_the_box_obeys_them_too(rig, alice, with_options):
    """In a jump the box's own sshd decides: its copy has the options, without from=, whose addresses it cannot see."""
    with_options('from="127.0.0.0/8",no-pty')
    assert "no-pty ssh-ed25519" in alice.ok("cat .ssh/authorized_keys")
    assert "from=" not in alice.ok("cat .ssh/authorized_keys")


def test_new_options_replace_old_ones(rig, alice, tmp_path):
    key = make_key(tmp_path / "key", comment="changing")
    text = key.with_suffix(".pub").read_text()
    rig.ok("keys", "add", "alice", "-", stdin=text.encode())
    rig.ok("keys", "add", "alice", "-", stdin=f"no-pty {text}".encode())
    (options,) = [k["options"] for k in rig.json("keys", "list", "alice") if k["comment"] == "changing"]
    rig.ok("keys", "remove", "alice", "changing")
    assert options == "no-pty"
