"""A machine that exists already as a user's box: the static driver, with an OpenSSH server of the test's own."""
import pwd
import subprocess

import pytest

from harness.rig import free_port
from harness.user import make_key
from harness.wait import until

ACCOUNT = "ctn-static"  # a Unix account, since the machine is this host


@pytest.fixture(scope="module")
def account():
    subprocess.run(["useradd", "-M", "-d", "/", "-s", "/bin/bash", ACCOUNT], check=True)
    subprocess.run(["usermod", "-p", "*", ACCOUNT], check=True)  # not locked: sshd would refuse it
    yield pwd.getpwnam(ACCOUNT)
    subprocess.run(["userdel", ACCOUNT], check=True)


@pytest.fixture(scope="module")
def machine(account, tmp_path_factory):
    """An sshd on loopback, as it might run anywhere: its port, host key and authorized_keys file."""
    folder = tmp_path_factory.mktemp("machine")
    port, host_key, keys = free_port(), make_key(folder / "host_key"), folder / "authorized_keys"
    config = folder / "sshd_config"
    config.write_text(f"ListenAddress 127.0.0.1:{port}\nHostKey {host_key}\nPidFile none\nStrictModes no\nUsePAM no\n"
                      f"PasswordAuthentication no\nAuthorizedKeysFile {keys}\n")
    keys.write_text("")
    for passage in (folder, folder.parent, folder.parent.parent):  # sshd reads the keys as the user
        passage.chmod(0o755)
    subprocess.run(["mkdir", "-p", "/run/sshd"], check=True)
    process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", config], stderr=open(folder / "log", "wb"))
    until(lambda: b"Server listening" in (folder / "log").read_bytes(), what="sshd listens")
    yield {"port": port, "host_key": f"{host_key}.pub", "keys": keys}
    process.terminate()
    process.wait()


@pytest.fixture
def user(rig, machine):
    user = rig.person(ACCOUNT)
    made = rig.ok("create", ACCOUNT, "--ssh-key", user.public_key, "--static", f"127.0.0.1:{machine['port']}",
                  "--host-key", machine["host_key"])
    gateway_key = next(line.strip() for line in made.splitlines() if line.strip().startswith("ssh-ed25519")
                       and "containarium-gateway" in line)
    machine["keys"].write_text(f"{gateway_key}\n{user.public_key.read_text()}")
    host_key = " ".join(open(machine["host_key"]).read().split()[:2])
    user.known_hosts.write_text(f"{rig.known_hosts}{user.box} {host_key}\n")
    yield user
    rig.delete(user)


def test_both_doors_lead_to_the_machine(user, door):
    assert user.ok("whoami", door=door) == f"{ACCOUNT}\n"
    assert user.ssh("exit 7", door=door).returncode == 7


def test_it_has_no_times_of_its_own(rig, user):
    """It is not ours to put to sleep."""
    for verb in (("idle", ACCOUNT), ("idle", "set", ACCOUNT, "--freeze", "1s")):
        run = rig.cli(*verb)
        assert run.returncode == 5 and b"existing machine" in run.stderr
    assert rig.json("info", ACCOUNT)["idle"] is None and "Sleep:" not in rig.ok("info", ACCOUNT)


def test_direct_door_needs_the_gateways_key_there(user, machine):
    machine["keys"].write_text(user.public_key.read_text())
    run = user.ssh("true")
    assert run.returncode == 255 and b"does not let the gateway in" in run.stderr
    assert user.ok("whoami", door="jump") == f"{ACCOUNT}\n"


def test_a_machine_with_another_host_key_is_not_entered(rig, machine, tmp_path):
    user = rig.person(ACCOUNT)
    other = make_key(tmp_path / "other")
    rig.ok("create", ACCOUNT, "--ssh-key", user.public_key, "--static", f"127.0.0.1:{machine['port']}", "--host-key",
           f"{other}.pub")
    try:
        run = user.ssh("true")
        assert run.returncode == 255 and b"host key" in run.stderr
    finally:
        rig.delete(user)


def test_a_machine_that_is_down_is_said_to_be(make_rig, account):
    rig = make_rig(box={"wake_deadline": "2s"})
    user = rig.person(ACCOUNT)
    rig.ok("create", ACCOUNT, "--ssh-key", user.public_key, "--static", f"127.0.0.1:{free_port()}")
    run = user.ssh("true")
    assert run.returncode == 255 and ACCOUNT.encode() in run.stderr, run.stderr


@pytest.mark.parametrize("where", ["", "no-such-host.example", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", "256.1.1.1"])
def test_bad_addresses_are_refused(rig, where, tmp_path):
    key = make_key(tmp_path / "key")
    run = rig.cli("create", "nobody-static", "--ssh-key", f"{key}.pub", "--static", where)
    assert run.returncode == 2 and b"--static" in run.stderr
    assert rig.cli("info", "nobody-static").returncode == 3
