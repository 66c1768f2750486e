"""What the gateway offers and what it lets through: algorithms, strict key exchange, host keys."""
import re
import socket
import subprocess

import pytest

from harness.wait import until

# ssh-audit before 3.0 does not know these yet, or knows them from the time they were an experiment; it warns of both.
TOO_NEW_FOR_OLD_AUDIT = {"mlkem768x25519-sha256", "sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com",
                         "kex-strict-s-v00@openssh.com"}


def negotiated(user, *options):
    """What `ssh -v` says was agreed on, as a dict; and the whole of its words."""
    run = user.ssh("true", options=["-v", *options])
    words = run.stderr.decode()
    assert run.returncode == 0, words
    return dict(re.findall(r"kex: (algorithm|host key algorithm|server->client cipher): (\S+)", words)), words


def test_ssh_audit_has_neither_failure_nor_warning(rig):
    run = subprocess.run(["ssh-audit", "-n", "-b", "-l", "warn", "-p", str(rig.port), "127.0.0.1"],
                         capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    all_of_it = subprocess.run(["ssh-audit", "-n", "-b", "-p", str(rig.port), "127.0.0.1"], capture_output=True,
                               text=True, timeout=60, stdin=subprocess.DEVNULL).stdout
    for part in ("kex", "key", "enc", "mac"):
        assert f"({part}) " in all_of_it, f"ssh-audit saw no {part}:\n{all_of_it}"
    findings = re.findall(r"^\((\w+)\) (\S+) .*\[(fail|warn)\] (.*)$", run.stdout, re.M)
    left = [f for f in findings if not (f[1] in TOO_NEW_FOR_OLD_AUDIT and
                                        f[3] in ("unknown algorithm", "using experimental algorithm"))]
    assert not left, left


def test_post_quantum_key_exchange_is_preferred(alice):
    seen, words = negotiated(alice)
    assert seen["algorithm"] in ("mlkem768x25519-sha256", "sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com")
    assert seen["host key algorithm"] == "ssh-ed25519"


@pytest.mark.parametrize("method", ["mlkem768x25519-sha256", "sntrup761x25519-sha512@openssh.com", "curve25519-sha256"])
def test_key_exchange_methods(alice, method):
    known = subprocess.run(["ssh", "-Q", "kex"], capture_output=True, text=True, check=True).stdout.split()
    if method not in known:
        pytest.skip(f"this ssh does not know {method}")
    assert negotiated(alice, "-o", f"KexAlgorithms={method}")[0]["algorithm"] == method


def test_offered_to_everybody(rig):
    """Read off the wire: the methods an old client does not know are offered, and strict key exchange is."""
    with socket.create_connection(("127.0.0.1", rig.port), timeout=20) as s:
        s.sendall(b"SSH-2.0-reader\r\n")
        data = b""
        # Identification string, then SSH_MSG_KEXINIT: its packet's length, then 6 lists of algorithms we look at.
        while b"\n" not in data or len(data) < data.index(b"\n") + 5 + int.from_bytes(
                data[data.index(b"\n") + 1:data.index(b"\n") + 5], "big"):
            piece = s.recv(4096)
            assert piece
            data += piece
    for name in (b"mlkem768x25519-sha256,", b"sntrup761x25519-sha512@openssh.com,", b"kex-strict-s-v00@openssh.com"):
        assert name in data, name
    for name in (b"nistp", b"sha1", b"cbc", b"ssh-rsa,", b"group14"):
        assert name not in data, name


def test_algorithms_are_configurable(make_rig):
    rig = make_rig(gateway={"ciphers": "aes256-gcm@openssh.com", "kex": "curve25519-sha256,ecdh-sha2-nistp256",
                            "hostkey_algorithms": "ecdsa-sha2-nistp256"})
    user = rig.user("kex", "--lazy")
    run = user.ctl("whoami")
    assert run.returncode == 0, run.stderr
    words = subprocess.run(["ssh", "-v", "-F", user.config, "-p", str(rig.port), "-o", "KexAlgorithms=ecdh-sha2-nistp256",
                            "ctl@127.0.0.1", "whoami"], capture_output=True, timeout=30,
                           stdin=subprocess.DEVNULL).stderr.decode()
    assert "kex: algorithm: ecdh-sha2-nistp256" in words and "host key algorithm: ecdsa-sha2-nistp256" in words
    assert "cipher: aes256-gcm@openssh.com" in words


@pytest.mark.parametrize("key", ["kex", "ciphers", "macs", "hostkey_algorithms"])
def test_an_unknown_algorithm_is_an_error(make_rig, key):
    rig = make_rig(start=False, gateway={key: "rot13"})
    rig.start_control()
    rig.gateway.start()
    until(lambda: not rig.gateway.running, what="the gateway ends")
    assert "rot13" in rig.gateway.text() and key in rig.gateway.text()


def test_the_boxs_host_keys_are_not_announced_to_the_client(rig, alice):
    """The box's sshd announces its host keys to the gateway (hostkeys-00@openssh.com). A client that learned them would
    take the box's keys for the gateway's."""
    before = alice.known_hosts.read_text()
    run = alice.ssh("sleep 0.5; echo done", options=["-vvv", "-o", "UpdateHostKeys=yes"])
    assert run.returncode == 0 and run.stdout == b"done\n"
    box_keys = [line.split()[2] for line in before.splitlines() if line.startswith(alice.box)]
    assert box_keys
    assert b"hostkeys-00@openssh.com" not in run.stderr, "neither the box's nor, with libssh, the gateway's own"
    assert alice.known_hosts.read_text() == before
