"""Libraries programs are written with: paramiko, asyncssh, and ssh2 for Node.js."""
import asyncio
import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import asyncssh
import paramiko
import pytest

from harness.boxserver import server_in_box

HERE = Path(__file__).parent
BOX_PORT = 22


# ---- paramiko --------------------------------------------------------------------------------------------------------

def paramiko_connect(user, keys, where, host, port, sock=None):
    client = paramiko.SSHClient()
    name = host if port == 22 else f"[{host}]:{port}"
    key = paramiko.Ed25519Key(data=base64.b64decode(keys[where]["ssh-ed25519"]))
    client.get_host_keys().add(name, "ssh-ed25519", key)
    client.connect(host, port, user.name, key_filename=str(user.key), sock=sock, allow_agent=False, look_for_keys=False,
                   timeout=30)
    return client


@pytest.fixture
def with_paramiko(alice, door, box_known_hosts):
    clients = [paramiko_connect(alice, box_known_hosts, "gateway", "127.0.0.1", alice.rig.port)]
    if door == "jump":
        channel = clients[0].get_transport().open_channel("direct-tcpip", (alice.box, BOX_PORT), ("127.0.0.1", 0))
        clients.append(paramiko_connect(alice, box_known_hosts, "box", alice.box, BOX_PORT, channel))
    yield clients[-1]
    for client in reversed(clients):
        client.close()


@pytest.mark.interop("paramiko", "exec: stdin, stdout, stderr, exit status")
def test_paramiko_exec(with_paramiko):
    stdin, stdout, stderr = with_paramiko.exec_command("cat; echo err >&2; exit 7", timeout=30)
    stdin.write(b"in\0\xff")
    stdin.channel.shutdown_write()
    assert stdout.read() == b"in\0\xff" and stderr.read() == b"err\n"
    assert stdout.channel.recv_exit_status() == 7


@pytest.mark.interop("paramiko", "interactive shell, window change")
def test_paramiko_shell(with_paramiko):
    channel = with_paramiko.invoke_shell("xterm", 81, 25)
    channel.settimeout(30)
    channel.resize_pty(99, 33)
    channel.sendall(b"stty size; exit 3\n")
    text = b""
    while data := channel.recv(4096):
        text += data
    assert b"33 99" in text and channel.recv_exit_status() == 3


@pytest.mark.interop("paramiko", "sftp")
def test_paramiko_sftp(with_paramiko):
    data = os.urandom(500_000)
    with with_paramiko.open_sftp() as sftp:
        with sftp.open("paramiko-file", "wb") as file:
            file.set_pipelined(True)
            file.write(data)
        assert sftp.stat("paramiko-file").st_size == len(data)
        with sftp.open("paramiko-file", "rb") as file:
            assert file.read() == data
        sftp.remove("paramiko-file")


@pytest.mark.interop("paramiko", "direct-tcpip")
def test_paramiko_forward(with_paramiko, alice):
    with server_in_box(alice) as there:
        channel = with_paramiko.get_transport().open_channel("direct-tcpip", ("127.0.0.1", there), ("127.0.0.1", 0))
        channel.settimeout(30)
        channel.sendall(b"abc")
        assert channel.recv(100) == b"cba"
        channel.close()


# ---- asyncssh --------------------------------------------------------------------------------------------------------

def with_asyncssh(user, door, use):
    """Runs use(connection) on a connection through the door."""
    options = {"username": user.name, "client_keys": [str(user.key)], "known_hosts": str(user.known_hosts),
               "config": None, "agent_path": None}

    async def main():
        async with asyncssh.connect("127.0.0.1", user.rig.port, **options) as gateway:
            if door == "direct":
                return await use(gateway)
            async with asyncssh.connect(user.box, BOX_PORT, tunnel=gateway, **options) as box:
                return await use(box)
    return asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.interop("asyncssh", "exec: stdin, stdout, stderr, exit status")
def test_asyncssh_exec(alice, door):
    async def use(connection):
        return await connection.run("cat; echo err >&2; exit 7", input=b"in\0\xff", encoding=None)
    done = with_asyncssh(alice, door, use)
    assert (done.stdout, done.stderr, done.exit_status) == (b"in\0\xff", b"err\n", 7)


@pytest.mark.interop("asyncssh", "signal")
def test_asyncssh_signal(alice, door):
    async def use(connection):
        process = await connection.create_process("echo up; exec sleep 100")
        assert await process.stdout.readline() == "up\n"
        process.send_signal("TERM")
        return await process.wait()
    assert with_asyncssh(alice, door, use).exit_signal[0] == "TERM"


@pytest.mark.interop("asyncssh", "sftp")
def test_asyncssh_sftp(alice, door, tmp_path):
    (tmp_path / "up").write_bytes(os.urandom(500_000))

    async def use(connection):
        async with connection.start_sftp_client() as sftp:
            await sftp.put(str(tmp_path / "up"), "asyncssh-file")
            await sftp.get("asyncssh-file", str(tmp_path / "back"))
            await sftp.remove("asyncssh-file")
    with_asyncssh(alice, door, use)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "up").read_bytes()


@pytest.mark.interop("asyncssh", "many channels at once")
def test_asyncssh_many(alice, door):
    """MaxSessions of the box's own sshd is 10 by default: through the jump door ten at a time is its answer."""
    async def use(connection):
        runs = [connection.run(f"echo {n}; exit {n}") for n in range(10)]
        return [(done.stdout, done.exit_status) for done in await asyncio.gather(*runs)]
    assert with_asyncssh(alice, door, use) == [(f"{n}\n", n) for n in range(10)]


@pytest.mark.interop("asyncssh", "direct-tcpip and a remote listener")
def test_asyncssh_forwards(alice, door):
    async def use(connection):
        with server_in_box(alice) as there:
            reader, writer = await connection.open_connection("127.0.0.1", there)
            writer.write(b"abc")
            assert await reader.readexactly(3) == b"cba"
            writer.close()
        met = asyncio.get_running_loop().create_future()

        async def accepted(reader, writer):
            met.set_result(await reader.readline())
            writer.close()
        listener = await connection.start_server(lambda *_: accepted, "127.0.0.1", 0)
        await connection.run(f"echo from the box > /dev/tcp/127.0.0.1/{listener.get_port()}", check=True)
        assert await met == b"from the box\n"
        listener.close()
    with_asyncssh(alice, door, use)


# ---- ssh2 for Node.js ------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def ssh2():
    """The folder npm put ssh2 in; outside the sources, kept for the next run."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("no node or npm here")
    folder = Path(os.environ.get("CONTAINARIUM_CACHE", "/var/cache/containarium")) / "npm"
    if not (folder / "node_modules/ssh2/package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([npm, "install", "--prefix", folder, "--ignore-scripts", "--omit=optional", "--no-audit",
                        "--no-fund", "ssh2@1.17.0"], check=True, capture_output=True, timeout=240,
                       stdin=subprocess.DEVNULL)
    return folder


@pytest.mark.interop("Node.js ssh2", "exec, shell, sftp, direct-tcpip, forwarded-tcpip")
def test_node(alice, door, ssh2, box_known_hosts):
    with server_in_box(alice) as there:
        job = {"user": alice.name, "key": alice.key.read_text(), "port": alice.rig.port, "door": door,
               "box": alice.box, "echo": there, "keys": box_known_hosts}
        done = subprocess.run(["node", HERE / "ssh2_client.js"], input=json.dumps(job).encode(), capture_output=True,
                              timeout=90, env=dict(os.environ, NODE_PATH=str(ssh2 / "node_modules")))
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert done.stdout.split() == [b"exec", b"shell", b"sftp", b"direct-tcpip", b"forwarded-tcpip"]
