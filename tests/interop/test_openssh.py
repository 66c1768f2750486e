"""OpenSSH's own ways to use a connection, the same through both doors. Tools that ride on it: test_openssh_tools.py."""
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from harness.boxserver import accepts, exchange, forwarding, server_in_box, socks5
from harness.rig import free_port
from harness.wait import until

CLIENT = "OpenSSH"


@pytest.mark.interop(CLIENT, "exec: stdin, stdout, stderr, exit status")
def test_exec(alice, door):
    run = alice.ssh("cat; echo err >&2; exit 7", door=door, stdin=b"in\0\xff")
    assert (run.stdout, run.returncode) == (b"in\0\xff", 7) and b"err\n" in run.stderr


@pytest.mark.interop(CLIENT, "-L")
def test_local_forward(alice, door):
    here = free_port()
    with server_in_box(alice) as there, forwarding(alice, "-L", f"{here}:localhost:{there}", listens=here, door=door):
        assert exchange(socket.create_connection(("127.0.0.1", here)), b"abc") == b"cba"


@pytest.mark.interop(CLIENT, "-L of a unix socket", doors=["jump"])
def test_streamlocal_forward(alice, tmp_path):
    """libssh has no such channel, so it needs the jump door; the refusal of the other says so: test_refused.py."""
    here = tmp_path / "socket"
    server = alice.open("rm -f /tmp/s; exec python3 -c "
                        "'import socket; s = socket.socket(socket.AF_UNIX); s.bind(\"/tmp/s\"); s.listen(); "
                        "c = s.accept()[0]; c.sendall(c.recv(100)[::-1])'")
    try:
        until(lambda: alice.ssh("test -S /tmp/s").returncode == 0, what="the box's server listens")
        with forwarding(alice, "-L", f"{here}:/tmp/s", door="jump"):
            until(here.exists, what="ssh listens")
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(here))
                s.settimeout(20)
                s.sendall(b"abc")
                assert s.recv(100) == b"cba"
    finally:
        server.kill()
        server.wait()


@pytest.mark.interop(CLIENT, "-D")
def test_dynamic_forward(alice, door):
    here = free_port()
    with server_in_box(alice) as there, forwarding(alice, "-D", str(here), listens=here, door=door):
        sock, code = socks5(here, "localhost", there)
        assert code == 0 and exchange(sock, b"abc") == b"cba"


@pytest.mark.interop(CLIENT, "-R")
def test_remote_forward(alice, door):
    there = {"direct": 9203, "jump": 9213}[door]
    with socket.create_server(("127.0.0.1", 0)) as laptop:
        with forwarding(alice, "-R", f"{there}:127.0.0.1:{laptop.getsockname()[1]}", door=door):
            until(lambda: f":{there}" in alice.ok("ss -Hltn"), what="the box listens")
            client = alice.open(f"exec 3<>/dev/tcp/127.0.0.1/{there}; head -n 1 <&3")
            laptop.settimeout(20)
            with laptop.accept()[0] as connection:
                connection.sendall(b"from the laptop\n")
                assert client.stdout.readline() == b"from the laptop\n"
            assert client.wait(20) == 0


@pytest.mark.interop(CLIENT, "-A")
def test_agent(alice, door, tmp_path, monkeypatch):
    path = tmp_path / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        until(path.exists, what="ssh-agent listens")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        subprocess.run(["ssh-add", "-q", alice.key], check=True)
        assert alice.fingerprint in alice.ok("ssh-add -l", door=door, options=["-A"])
    finally:
        process.terminate()
        process.wait()


@pytest.mark.interop(CLIENT, "-W", doors=["jump"])
def test_stdio_forward(alice):
    assert alice.forward(f"{alice.box}:22").stdout.startswith(b"SSH-2.0-OpenSSH")


@pytest.mark.interop(CLIENT, "ControlMaster, 100 sessions")
def test_control_master(alice, door, tmp_path):
    """A hundred sessions one after the other and ten at a time over one connection; a refused channel ends nothing."""
    mux = ["-o", f"ControlPath={tmp_path}/mux"]
    with alice.open(door=door, options=["-M", "-N", *mux]) as master:
        try:
            until(lambda: alice.ssh(door=door, options=["-O", "check", *mux]).returncode == 0, 30, "the master is up")
            for first in range(0, 100, 10):
                batch = [alice.open(f"echo {n}; exit {n}", door=door, options=mux) for n in range(first, first + 10)]
                for n, process in enumerate(batch, first):
                    out, _ = process.communicate(timeout=60)
                    assert (out, process.returncode) == (f"{n}\n".encode(), n)
            refused = alice.ssh(door=door, options=[*mux, "-W", "localhost:9"])
            assert refused.returncode != 0
            assert alice.ok("echo alive", door=door, options=mux) == "alive\n"
        finally:
            alice.ssh(door=door, options=["-O", "exit", *mux])
            master.wait(20)


@pytest.mark.interop("autossh", "-L, and again after the connection was lost")
def test_autossh(alice, door):
    here = free_port()
    environment = dict(os.environ, AUTOSSH_GATETIME="0", AUTOSSH_POLL="5", AUTOSSH_FIRST_POLL="5")
    with server_in_box(alice) as there:
        command = alice.argv(door=door, options=["-M", "0", "-N", "-o", "ExitOnForwardFailure=yes",
                                                 "-L", f"{here}:localhost:{there}"])
        with subprocess.Popen(["autossh", *command[1:]], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as autossh:
            try:
                until(lambda: accepts(here), 30, "autossh listens")
                assert exchange(socket.create_connection(("127.0.0.1", here)), b"abc") == b"cba"
                (ssh,) = Path(f"/proc/{autossh.pid}/task/{autossh.pid}/children").read_text().split()
                os.kill(int(ssh), signal.SIGKILL)
                # It dies, its listener with it; the next one is another process.
                until(lambda: Path(f"/proc/{autossh.pid}/task/{autossh.pid}/children").read_text().split()
                      not in ([ssh], []), 30, "autossh starts another ssh")
                until(lambda: accepts(here), 30, "autossh listens again")
                assert exchange(socket.create_connection(("127.0.0.1", here)), b"abc") == b"cba"
            finally:
                autossh.terminate()


@pytest.mark.interop("sshfs", "write, read, list, rename")
@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="no /dev/fuse here")
def test_sshfs(alice, door, tmp_path):
    *options, host = alice.target(door)
    options = [word for k, o in zip(options[::2], options[1::2])
               for word in (["-p", o] if k == "-p" else ["-o", f"ssh_command=ssh -F {alice.config} -J {o}"])]
    mount = tmp_path / "box"
    mount.mkdir()
    data = os.urandom(1_000_000)
    subprocess.run(["sshfs", "-F", alice.config, *options, f"{host}:", mount], check=True, timeout=60,
                   stdin=subprocess.DEVNULL)
    try:
        (mount / "sshfs-file").write_bytes(data)
        (mount / "sshfs-file").rename(mount / f"sshfs-{door}")
        assert f"sshfs-{door}" in os.listdir(mount)
        assert (mount / f"sshfs-{door}").read_bytes() == data
        assert alice.ok(f"wc -c < sshfs-{door}").strip() == str(len(data))
        (mount / f"sshfs-{door}").unlink()
    finally:
        subprocess.run(["fusermount3", "-u", mount], check=True)
