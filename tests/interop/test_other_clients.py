"""Clients that are not OpenSSH, as installed by a distribution: PuTTY, Dropbear, curl."""
import base64
import hashlib
import os
import shutil
import socket
import subprocess

import pytest

from harness.boxserver import accepts, exchange, server_in_box
from harness.rig import free_port
from harness.wait import until

BOX_PORT = 22


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1_000_000))
    return path


def run(*argv, status=0, **keywords):
    keywords = {"input": b"", **keywords}
    done = subprocess.run(list(map(str, argv)), capture_output=True, timeout=90, **keywords)
    assert done.returncode == status, (argv, done.returncode, done.stdout[-500:], done.stderr[-2000:])
    return done


# ---- PuTTY -----------------------------------------------------------------------------------------------------------

class Putty:
    """plink, psftp and pscp with the key in PuTTY's own format and the host keys pinned by fingerprint."""

    def __init__(self, user, door, keys, home):
        self.environment = dict(os.environ, HOME=str(home))
        ppk = home / "key.ppk"
        run("puttygen", user.key, "-o", ppk, "-O", "private", env=self.environment)

        def options(where, port):
            digest = hashlib.sha256(base64.b64decode(keys[where]["ssh-ed25519"])).digest()
            return ["-batch", "-P", port, "-i", ppk, "-hostkey",
                    "SHA256:" + base64.b64encode(digest).decode().rstrip("=")]
        gateway = options("gateway", user.rig.port)
        self.options, self.host = gateway, f"{user.name}@127.0.0.1"
        if door == "jump":
            proxy = ["plink", *gateway, "-nc", "%host:%port", f"{user.name}@127.0.0.1"]
            self.options = [*options("box", BOX_PORT), "-proxycmd", " ".join(map(str, proxy))]
            self.host = f"{user.name}@{user.box}"

    def run(self, program, *arguments, **keywords):
        return run(program, *self.options, *arguments, env=self.environment, **keywords)


@pytest.fixture
def putty(alice, door, box_known_hosts, tmp_path):
    return Putty(alice, door, box_known_hosts, tmp_path)


@pytest.mark.interop("PuTTY plink", "exec: stdin, stdout, stderr, exit status")
def test_plink(putty):
    done = putty.run("plink", "-ssh", putty.host, "cat; echo err >&2; exit 7", input=b"in\n", status=7)
    assert done.stdout == b"in\n" and b"err" in done.stderr


@pytest.mark.interop("PuTTY plink", "-L")
def test_plink_local_forward(putty, alice):
    here = free_port()
    with server_in_box(alice) as there:
        argv = ["plink", "-ssh", *map(str, putty.options), "-N", "-L", f"{here}:127.0.0.1:{there}", putty.host]
        with subprocess.Popen(argv, env=putty.environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as plink:
            try:
                until(lambda: accepts(here), 30, "plink listens")
                assert exchange(socket.create_connection(("127.0.0.1", here)), b"abc") == b"cba"
            finally:
                plink.kill()


@pytest.mark.interop("PuTTY psftp", "put, get, rename, remove")
def test_psftp(putty, file, tmp_path):
    script = tmp_path / "script"
    script.write_text(f"put {file} psftp-up\nmv psftp-up psftp-moved\nget psftp-moved {tmp_path}/back\n"
                      "rm psftp-moved\nquit\n")
    putty.run("psftp", "-b", script, putty.host)
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


@pytest.mark.interop("PuTTY pscp", "both modes")
@pytest.mark.parametrize("mode", ["-scp", "-sftp"])
def test_pscp(putty, file, tmp_path, mode):
    putty.run("pscp", "-q", mode, file, f"{putty.host}:pscp-file")
    putty.run("pscp", "-q", mode, f"{putty.host}:pscp-file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


# ---- Dropbear --------------------------------------------------------------------------------------------------------

class Dropbear:
    """dbclient with its own key format and known_hosts; hops are joined by commas."""

    def __init__(self, user, door, keys, home):
        self.environment = dict(os.environ, HOME=str(home))
        key = home / "key"
        run("dropbearconvert", "openssh", "dropbear", user.key, key)
        (home / ".ssh").mkdir(mode=0o700)
        (home / ".ssh/known_hosts").write_text("".join(
            f"{host} ssh-ed25519 {keys[where]['ssh-ed25519']}\n"
            for host, where in (("127.0.0.1", "gateway"), (user.box, "box"))))
        gateway = f"{user.name}@127.0.0.1"
        # For a hop it runs itself, by the name it was called.
        self.argv = [shutil.which("dbclient"), "-i", str(key)]
        self.host = [f"{gateway}^{user.rig.port},{user.name}@{user.box}^{BOX_PORT}"] if door == "jump" else \
            ["-p", str(user.rig.port), gateway]


@pytest.fixture
def dropbear(alice, door, box_known_hosts, tmp_path):
    return Dropbear(alice, door, box_known_hosts, tmp_path)


@pytest.mark.interop("Dropbear dbclient", "exec: stdin, stdout, stderr, exit status")
def test_dbclient(dropbear):
    done = run(*dropbear.argv, *dropbear.host, "cat; echo err >&2; exit 7", env=dropbear.environment, input=b"in\n",
               status=7)
    assert done.stdout == b"in\n" and b"err" in done.stderr


@pytest.mark.interop("Dropbear dbclient", "much data both ways")
def test_dbclient_data(dropbear, file):
    done = run(*dropbear.argv, *dropbear.host, "cat", env=dropbear.environment, input=file.read_bytes())
    assert done.stdout == file.read_bytes()


@pytest.mark.interop("Dropbear dbclient", "-L")
def test_dbclient_local_forward(dropbear, alice):
    here = free_port()
    with server_in_box(alice) as there:
        # Options stand before the host; with several hops dbclient hands them to the last one.
        argv = [*dropbear.argv, "-N", "-L", f"{here}:127.0.0.1:{there}", *dropbear.host]
        with subprocess.Popen(argv, env=dropbear.environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as dbclient:
            try:
                until(lambda: accepts(here), 30, "dbclient listens")
                assert exchange(socket.create_connection(("127.0.0.1", here)), b"abc") == b"cba"
            finally:
                dbclient.terminate()


# ---- curl with libssh2 -----------------------------------------------------------------------------------------------

def curl(user, *arguments):
    """curl with the user's home folder in the place of ~, and host keys from their known_hosts."""
    folder = user.home / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "known_hosts").write_text(user.rig.known_hosts)
    home = f"sftp://{user.name}@127.0.0.1:{user.rig.port}/~"
    return subprocess.run(["curl", "-sS", "--key", user.key, "--pubkey", user.public_key,
                           *(str(a).replace("~", home) for a in arguments)],
                          capture_output=True, timeout=90, env=dict(os.environ, HOME=str(user.home)))


def curl_is_old():
    """libssh2 before 1.11 knows neither an AEAD cipher nor an encrypt-then-MAC."""
    words = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.split()
    version = next((w.split("/")[1] for w in words if w.startswith("libssh2/")), None)
    if version is None:
        pytest.skip("curl has no libssh2 here")
    return tuple(map(int, version.split(".")[:2])) < (1, 11)


@pytest.mark.interop("curl", "sftp")
def test_curl(make_rig, file, tmp_path):
    macs = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256"
    user = make_rig(gateway={"macs": macs} if curl_is_old() else {}).user("carla", "--lazy")
    up = curl(user, "-T", file, "~/curl-file")
    assert up.returncode == 0, up.stderr
    down = curl(user, "-o", tmp_path / "back", "~/curl-file")
    assert down.returncode == 0, down.stderr
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert curl(user, "~/no-such-file").returncode == 78, "curl's own status for a file not found"


def test_an_old_curl_needs_a_mac_of_its_own(alice):
    """By default the gateway offers no MAC that libssh2 1.10 knows; docs/interop.md says what to add."""
    if not curl_is_old():
        pytest.skip("this curl knows modern algorithms")
    assert curl(alice, "~/any").returncode == 2, "curl's status for a session that cannot be set up"
