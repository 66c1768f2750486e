"""What may not pass is refused, says no more than it should, and is on record."""
import contextlib
import re
import socket
import subprocess
import threading
from pathlib import Path

import paramiko
import pytest

from harness.user import make_key


def login_view(user, name, key):
    """What a client sees of a login attempt, with what it brought along itself taken out."""
    argv = ["ssh", "-F", user.config, "-v", "-o", f"IdentityFile={key}", "-p", str(user.rig.port), f"{name}@127.0.0.1",
            "true"]
    user.write_config(IdentityFile="none")
    run = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    user.write_config()
    shown = [line for line in run.stderr.splitlines() if not line.startswith("debug1:")]
    exchange = [line for line in run.stderr.splitlines() if re.match(r"debug1: (Auth|Offer|Server acc|Next|send|rece|No more)", line)]
    hide = [(re.escape(name), "NAME"), (re.escape(str(key)), "KEY"), (r"SHA256:\S+", "SHA256")]
    for pattern, word in hide:
        shown = [re.sub(pattern, word, line) for line in shown]
        exchange = [re.sub(pattern, word, line) for line in exchange]
    return run.returncode, shown, exchange


@pytest.fixture(scope="module")
def stranger_key(tmp_path_factory):
    return make_key(tmp_path_factory.mktemp("stranger") / "id_ed25519")


def test_wrong_key_and_unknown_user_look_the_same(rig, alice, bob, stranger_key):
    wrong_key = login_view(alice, "alice", stranger_key)
    views = {
        "unknown user": login_view(alice, "nobody-here", stranger_key),
        "unknown user, known key": login_view(alice, "nobody-here", bob.key),
        "somebody else's key": login_view(alice, "alice", bob.key),
        "name that can be nobody's": login_view(alice, "No_Such.User", stranger_key),
        "reserved name": login_view(alice, "root", alice.key),
        "console with an unknown key": login_view(alice, "ctl", stranger_key),
        "malformed invitation": login_view(alice, "join+nothing", stranger_key),
    }
    assert wrong_key[0] == 255 and "Permission denied (publickey)" in wrong_key[1][-1]
    assert {what: view for what, view in views.items() if view != wrong_key} == {}


def test_refused_logins_are_on_record(rig, alice, stranger_key):
    fingerprint = subprocess.run(["ssh-keygen", "-lf", f"{stranger_key}.pub"], capture_output=True, text=True,
                                 check=True).stdout.split()[1]
    for name in ("alice", "ghost"):
        login_view(alice, name, stranger_key)
        record = rig.audit(user=name, event="auth-failed")[-1]
        assert record["fingerprint"] == fingerprint and record["address"].startswith("127.0.0.1:")
        assert rig.control.log_lines("Failed publickey for", name, "127.0.0.1")


def test_a_name_cannot_forge_a_log_line(rig, alice, stranger_key):
    login_view(alice, 'x" level=error event=forged msg="', stranger_key)
    assert not re.search(r"^\S*level=error .*event=forged", rig.control.text(), re.M)
    assert not re.search(r"^\S*level=error .*event=forged", rig.gateway.text(), re.M)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_kinds_of_keys_work(rig, new_user, kind, tmp_path):
    user = new_user(f"kind-{kind}", "--lazy", key=make_key(tmp_path / f"id_{kind}", kind))
    assert user.ctl("whoami").returncode == 0


def test_passwords_are_impossible(rig, alice):
    transport = paramiko.Transport(("127.0.0.1", rig.port))
    try:
        transport.start_client(timeout=10)
        with pytest.raises(paramiko.BadAuthenticationType) as none:
            transport.auth_none("alice")
        assert none.value.allowed_types == ["publickey"]
        with pytest.raises(paramiko.BadAuthenticationType) as password:
            transport.auth_password("alice", "alice", fallback=False)
        assert password.value.allowed_types == ["publickey"]
    finally:
        transport.close()


# Never anybody's: refused by policy, before anything is tried.
FORBIDDEN = {
    "another user's box": "bob-container:22",
    "another user's box, as Incus calls it": "bob-container.incus:22",
    "another user's alias": "bob-dev:22",
    "loopback, as if to jump": "127.0.0.1:22",
    "loopback by name, as if to jump": "localhost:22",
    "loopback, IPv6, as if to jump": "[::1]:22",
    "metadata": "169.254.169.254:80",
    "metadata, IPv4 in IPv6": "[::ffff:169.254.169.254]:80",
    "metadata by name": "metadata.google.internal:80",
    "metadata, capitals and a final dot": "Metadata.Google.Internal.:80",
    "metadata of EC2, IPv6": "[fd00:ec2::254]:80",
    "link-local, IPv6": "[fe80::1]:22",
    "own box, port that is not open": "alice-container:23",
    "own box, port 0": "alice-container:0",
    "nothing at all": ":22",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_jump_target_is_refused_and_logged(rig, alice, bob, what):
    check_refused(rig, alice, FORBIDDEN[what])


def test_gateways_own_bridge_and_neighbours_address(rig, alice, bob):
    check_refused(rig, alice, f"{rig.incus.bridge}:22")
    check_refused(rig, alice, f"{rig.incus.bridge}:8443")
    check_refused(rig, alice, f"{rig.incus.address(bob.box)}:22")
    check_refused(rig, alice, f"[::ffff:{rig.incus.address(bob.box)}]:22")


@contextlib.contextmanager
def login(user):
    """Raw direct-tcpip opens: ssh -W would resolve and check what it is told before the gateway sees it."""
    transport = paramiko.Transport(("127.0.0.1", user.rig.port))
    try:
        transport.start_client(timeout=10)
        transport.auth_publickey(user.name, paramiko.Ed25519Key.from_private_key_file(str(user.key)))
        yield transport
    finally:
        transport.close()


def check_refused(rig, user, target):
    before = len(rig.audit(user=user.name, event="refused"))
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    with login(user) as transport, pytest.raises((paramiko.SSHException, EOFError)):
        transport.open_channel("direct-tcpip", (host, int(port)), ("127.0.0.1", 40000), timeout=10)
    refused = rig.audit(user=user.name, event="refused")
    assert len(refused) == before + 1, "not in the audit trail"
    assert host in refused[-1]["target"] and refused[-1]["reason"]
    assert rig.control.log_lines("event=refused", f"user={user.name}", host)


# Whatever of these leads anywhere leads to the box's own loopback, through its own sshd, never to the host's.
LOOPBACKS = ["127.0.0.1", "127.1.2.3", "localhost", "localhost.", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::",
             "2130706433", "0x7f.1", "127.1", "ip6-localhost"]


@pytest.fixture(scope="module")
def canary():
    """A server on every address of the host that says who it is to whoever reaches it."""
    server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    reached = []

    def serve():
        while True:
            try:
                client, peer = server.accept()
            except OSError:
                return
            reached.append(peer)
            client.sendall(b"canary\n")
            client.close()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1], reached
    server.close()


@pytest.mark.parametrize("host", LOOPBACKS)
def test_the_hosts_loopback_is_out_of_reach(rig, alice, canary, host):
    port, reached = canary
    count = len(reached)
    with login(alice) as transport:
        try:
            channel = transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 40000), timeout=20)
            channel.settimeout(5)
            assert channel.recv(100) == b""
        except (paramiko.SSHException, EOFError):
            pass
    assert len(reached) == count, "the host's own port was reached"
    tried = [r for r in rig.audit(user="alice") if r["event"] in ("open", "refused") and r["target"].endswith(f":{port}")]
    assert tried and host in tried[-1]["target"], "not in the audit trail"


def test_the_hosts_own_addresses_are_out_of_reach(rig, alice, canary):
    port, reached = canary
    count = len(reached)
    addresses = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    for address in addresses:
        with login(alice) as transport, pytest.raises((paramiko.SSHException, EOFError)):
            transport.open_channel("direct-tcpip", (address, port), ("127.0.0.1", 40000), timeout=20)
    assert len(reached) == count


def test_refusal_of_a_jump_tells_the_reason(rig, alice, bob):
    run = subprocess.run(["ssh", "-F", alice.config, "-J", f"alice@127.0.0.1:{rig.port}", "alice@bob-container"],
                         capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    assert run.returncode == 255 and b"alice-container" in run.stderr, run.stderr


def test_other_ways_to_forward_are_refused_or_in_the_box(rig, alice, tmp_path):
    """-R, -L to a socket file, tun devices: the connection survives their refusal."""
    for options in (["-R", "0:127.0.0.1:1"], ["-R", f"/tmp/x.{rig.port}:127.0.0.1:1"], ["-w", "0:0"]):
        run = alice.ssh("echo alive", options=options)
        assert run.returncode == 0 and run.stdout == b"alive\n", (options, run.stderr)
    assert not Path(f"/tmp/x.{rig.port}").exists()


def test_ssh_keys_of_old_algorithms_are_refused(rig, alice):
    """ssh-rsa with SHA-1, CBC, SHA-1 MACs and small groups are not negotiated."""
    for option in ("Ciphers=aes128-cbc", "MACs=hmac-sha1 -oCiphers=aes128-ctr", "KexAlgorithms=diffie-hellman-group14-sha1",
                   "HostKeyAlgorithms=ssh-rsa"):
        said = []
        for _ in range(5):  # on a busy machine the gateway sometimes closes before its own offer has left
            run = alice.ssh("true", options=["-o", *option.split()])
            assert run.returncode == 255, option
            said.append(run.stderr)
            if b"no matching" in run.stderr:
                break
        assert b"no matching" in said[-1], (option, said)
