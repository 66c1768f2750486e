"""Clients that do not wait for the box: everything they ask for before it is awake is answered once it is, and a
connection that waits longer than they would stays alive."""
import asyncio
import os
import subprocess

import asyncssh
import paramiko
import pytest

from harness.proxy import Proxy
from harness.wait import until


SLOW = "/etc/systemd/system/ssh.service.d/slow.conf"


@pytest.fixture(scope="module")
def pat(rig):
    """A user whose box takes five seconds longer to come up than others."""
    user = rig.user("pat")
    user.ok(f"sudo mkdir -p $(dirname {SLOW}) && printf '[Service]\\nExecStartPre=/bin/sleep 5\\n' | sudo tee {SLOW}")
    yield user
    rig.delete(user)


@pytest.fixture
def asleep(rig, pat):
    rig.incus.stop(pat.box)


def test_a_wait_longer_than_the_clients_patience(pat, asleep, door):
    """Two keepalives unanswered and OpenSSH would give up; the gateway answers them while it waits."""
    pat.write_config(ServerAliveInterval=1, ServerAliveCountMax=2)
    try:
        run = pat.ssh("cat", door=door, stdin=b"said early", timeout=120)
    finally:
        pat.write_config()
    assert (run.returncode, run.stdout) == (0, b"said early"), run.stderr


def test_the_gateway_speaks_while_it_waits(make_rig):
    """Its own keepalives go out as well: a NAT in between forgets who says nothing."""
    rig = make_rig(gateway={"keepalive": "1s"})
    user = rig.user("nat")
    user.ok(f"sudo mkdir -p $(dirname {SLOW}) && printf '[Service]\\nExecStartPre=/bin/sleep 5\\n' | sudo tee {SLOW}")
    rig.incus.stop(user.box)
    run = user.ssh("echo up", options=["-vvv"], timeout=120)
    assert run.stdout == b"up\n"
    waited = run.stderr.split(b"Authenticated to", 1)[1].split(b"exit-status", 1)[0]
    assert b"keepalive@openssh.com" in waited, waited[-3000:]


def test_everything_asked_before_the_box_is_awake(rig, pat, asleep):
    """One connection, all at once: programs with data, a terminal, a subsystem, forwards both ways."""
    data = os.urandom(500_000)

    async def terminal(connection):
        process = await connection.create_process("stty size; echo $LANG", term_type="xterm", term_size=(99, 33),
                                                  env={"LANG": "C.UTF-8"})
        return await process.stdout.read()

    async def program(connection, n):
        done = await connection.run(f"cat; exit {n}", input=data + bytes([n]), encoding=None)
        return done.stdout == data + bytes([n]) and done.exit_status == n

    async def files(connection):
        async with connection.start_sftp_client() as sftp:
            return await sftp.realpath(".")

    async def greeting(connection, host):
        reader, writer = await connection.open_connection(host, 22)
        line = await reader.readline()
        writer.close()
        return line

    async def remote(connection):
        listener = await connection.start_server(lambda *_: (lambda reader, writer: None), "127.0.0.1", 0)
        port = listener.get_port()
        listener.close()
        return port

    async def main():
        async with asyncssh.connect("127.0.0.1", rig.port, username=pat.name, client_keys=[str(pat.key)],
                                    known_hosts=str(pat.known_hosts), config=None, agent_path=None,
                                    keepalive_interval=1, keepalive_count_max=3) as connection:
            return await asyncio.wait_for(asyncio.gather(
                terminal(connection), *(program(connection, n) for n in range(4)), files(connection),
                greeting(connection, pat.box), remote(connection)), 120)

    screen, *programs, home, greeted, port = asyncio.run(main())
    assert screen.split() == ["33", "99", "C.UTF-8"]
    assert programs == [True] * 4
    assert home == f"/home/{pat.name}"
    assert greeted.startswith(b"SSH-2.0-OpenSSH")
    assert port > 0


def test_packets_sent_without_waiting_for_answers(rig, pat, asleep):
    """All requests of a session and its data in one breath, as RFC 4254 allows: nothing is lost or reordered."""
    transport = paramiko.Transport(("127.0.0.1", rig.port))
    try:
        transport.start_client(timeout=20)
        transport.auth_publickey(pat.name, paramiko.Ed25519Key.from_private_key_file(str(pat.key)))
        channel = transport.open_session(timeout=20)
        channel.settimeout(120)
        send = transport._send_user_message

        def request(kind, *values):
            m = paramiko.Message()
            m.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
            m.add_int(channel.remote_chanid)
            m.add_string(kind)
            m.add_boolean(False)
            for value in values:
                m.add_string(value)
            send(m)
        for n in range(20):
            request("env", f"LC_N{n}", str(n))
        request("exec", "env | grep -c ^LC_N; cat; exit 9")
        channel.sendall(b"one\ntwo\n")
        channel.shutdown_write()
        assert channel.makefile("rb").read() == b"20\none\ntwo\n"
        assert channel.recv_exit_status() == 9
    finally:
        transport.close()


@pytest.fixture
def proxy(incus):
    host, port = incus.url.removeprefix("https://").split(":")
    proxy = Proxy(host, int(port))
    yield proxy
    proxy.close()


@pytest.mark.parametrize("alone", [True, False], ids=["only channel", "beside a session"])
def test_a_wake_that_fails_says_so(make_rig, incus, proxy, tmp_path, alone):
    """To a session on stderr; to a jump in the disconnect message if it was all the connection had, else in the log."""
    rig = make_rig(incus={"url": proxy.url, "timeout": "2s"}, box={"wake_deadline": "4s"})
    user = rig.user("ned")
    mux = ["-o", f"ControlPath={tmp_path}/mux"]
    incus.stop(user.box)
    proxy.refusing()
    try:
        if alone:
            run = user.ssh(door="jump")
            assert run.returncode == 255 and b"cannot be woken" in run.stderr, run.stderr
            return
        with user.open(options=["-M", "-N", *mux]) as master:
            until(lambda: user.ssh(options=["-O", "check", *mux]).returncode == 0, 30, "the master is up")
            session = user.ssh("true", options=mux)
            assert session.returncode == 255 and b"cannot be woken" in session.stderr, session.stderr
            jump = subprocess.run(["ssh", "-F", user.config, *mux, "-p", str(rig.port), "-W", f"{user.box}:22",
                                   f"{user.name}@127.0.0.1"], capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
            assert jump.returncode != 0
            assert rig.gateway.log_lines("forward_refused", "cannot be woken")
            proxy.passing()
            assert user.ok("echo alive", options=mux) == "alive\n", "the same connection"
            user.ssh(options=["-O", "exit", *mux])
            master.wait(20)
    finally:
        proxy.passing()
