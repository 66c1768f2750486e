"""Clients that do not play by the rules: before, during and after authentication, with raw sockets and paramiko."""
import socket
import threading
import time

import paramiko
import pytest
from paramiko.common import cMSG_CHANNEL_FAILURE, cMSG_CHANNEL_REQUEST, cMSG_USERAUTH_SUCCESS

from harness.rig import Rig
from harness.wait import until


@pytest.fixture(scope="module")
def strict(incus, temp):
    """A gateway that gives clients two seconds and few places."""
    rig = Rig(incus, temp, gateway={"login_grace": "2s", "max_unauthenticated": "8", "early_drop": "100", "known_reserve": "0",
                                               "max_auth_failures": "3"}).start()
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def judy(strict):
    return strict.user("judy")


@pytest.fixture(autouse=True)
def still_serving(strict, judy):
    """Whatever a test did: the listener is the same process and honest users get in."""
    pid = strict.gateway.pid
    crashes = len(strict.gateway.log_lines("connection_crashed"))
    yield
    assert strict.gateway.running and strict.gateway.pid == pid
    assert judy.ok("echo fine") == "fine\n"
    assert len(strict.gateway.log_lines("connection_crashed")) == crashes


def connect(rig):
    s = socket.create_connection(("127.0.0.1", rig.port), timeout=10)
    return s


def read_to_end(s, timeout=10):
    """Everything until the server closes; fails if it does not."""
    s.settimeout(timeout)
    data = b""
    try:
        while chunk := s.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), bytes(4096),
    b"SSH-1.5-old\r\n", b"SSH-2.0-" + b"x" * 10_000 + b"\r\n", b"\xff" * 100_000, b"SSH-2.0-x\r\n" + b"\xff" * 40_000,
    b"SSH-2.0-x\r\n" + bytes(40_000), b"\n" * 5000,
], ids=["http", "tls", "zeros", "ssh1", "endless-id", "ones", "id-then-ones", "id-then-zeros", "newlines"])
def test_garbage_ends_the_connection(strict, garbage):
    with connect(strict) as s:
        try:
            s.sendall(garbage)
        except OSError:
            pass
        read_to_end(s)
    until(lambda: not strict.gateway.children(), 5, "its process ends")


def test_a_client_that_says_nothing_is_ended(strict):
    with connect(strict) as s:
        began = time.monotonic()
        read_to_end(s)
        assert 1.5 < time.monotonic() - began < 6


def test_a_client_that_never_authenticates_is_ended(strict, judy):
    transport = paramiko.Transport(("127.0.0.1", strict.port))
    try:
        transport.start_client(timeout=5)
        until(lambda: not transport.is_active(), 6, "the gateway ends it")
    finally:
        transport.close()


def test_a_slow_drip_is_ended_too(strict):
    """One byte now and then is no login."""
    with connect(strict) as s:
        began = time.monotonic()
        try:
            for byte in b"SSH-2.0-drip" * 100:
                s.sendall(bytes([byte]))
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - began < 6


def test_too_many_unauthenticated_are_refused_and_others_get_in_afterwards(strict, judy):
    sockets = [connect(strict) for _ in range(8)]
    try:
        for s in sockets:
            assert s.recv(4) == b"SSH-"
        with connect(strict) as late:
            assert b"busy" in read_to_end(late)
        run = judy.ssh("true")
        assert run.returncode == 255
    finally:
        for s in sockets:
            s.close()
    until(lambda: judy.ssh("true").returncode == 0, 10, "places are free again")


def session_of(rig, user=None):
    transport = paramiko.Transport(("127.0.0.1", rig.port))
    transport.start_client(timeout=10)
    if user is not None:
        transport.auth_publickey(user.name, paramiko.Ed25519Key.from_private_key_file(str(user.key)))
    return transport


def message(kind, *fields):
    m = paramiko.Message()
    m.add_byte(kind)
    for field in fields:
        if isinstance(field, bool):
            m.add_boolean(field)
        elif isinstance(field, int):
            m.add_int(field)
        else:
            m.add_string(field)
    return m


def refuses(transport):
    """No session can be opened: the open fails or the connection ends."""
    try:
        transport.open_session(timeout=4)
    except (paramiko.SSHException, EOFError):
        return True
    return False


def test_channel_before_authentication(strict):
    transport = session_of(strict)
    try:
        assert refuses(transport)
    finally:
        transport.close()


def test_success_claimed_by_the_client(strict):
    """CVE-2018-10933: a USERAUTH_SUCCESS from the client must not authenticate it."""
    transport = session_of(strict)
    try:
        transport._send_message(message(cMSG_USERAUTH_SUCCESS))
        assert refuses(transport)
        assert not transport.is_authenticated()
    finally:
        transport.close()
    assert not strict.gateway.log_lines("event=accepted", 'client="SSH-2.0-paramiko')


def test_channel_request_for_a_channel_that_is_not_there(strict, judy):
    transport = session_of(strict, judy)
    try:
        for number in (0, 7, 0xffffffff):
            transport._send_user_message(message(cMSG_CHANNEL_REQUEST, number, "shell", True))
        # The connection may end over it; if it lives, it still opens sessions. Nothing may crash either way.
        try:
            transport.open_session(timeout=10).close()
        except (paramiko.SSHException, EOFError):
            assert not transport.is_active()
    finally:
        transport.close()
    assert judy.ctl("whoami").returncode == 0
    assert not strict.gateway.log_lines("event=connection_crashed")


@pytest.mark.parametrize("kind", ["x11", "forwarded-tcpip", "tun@openssh.com", "direct-streamlocal@openssh.com", "",
                                  "bogus", "a" * 300])
def test_unknown_channel_types_are_refused_and_the_connection_lives(strict, judy, kind):
    transport = session_of(strict, judy)
    try:
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel(kind, ("127.0.0.1", 1), ("127.0.0.1", 1), timeout=5)
        assert exec_on(transport, "echo alive") == (b"alive\n", 0)
    finally:
        transport.close()


@pytest.mark.parametrize("kind", ["tcpip-forward", "cancel-tcpip-forward", "streamlocal-forward@openssh.com",
                                  "bogus@example.com", "no-more-sessions@openssh.com2", ""])
def test_global_requests_are_refused_and_the_connection_lives(strict, judy, kind):
    transport = session_of(strict, judy)
    try:
        data = ("127.0.0.1", 1) if "tcpip" in kind else None
        assert transport.global_request(kind, data, wait=True) is None
        assert exec_on(transport, "echo alive") == (b"alive\n", 0)
    finally:
        transport.close()


def exec_on(transport, command):
    channel = transport.open_session(timeout=10)
    channel.settimeout(20)
    channel.exec_command(command)
    out = channel.makefile("rb").read()
    return out, channel.recv_exit_status()


@pytest.mark.parametrize("kind", ["winadj@putty.projects.tartarus.org", "x11-req", "bogus", ""])
def test_unknown_channel_requests_are_refused_and_the_channel_lives(strict, judy, kind):
    transport = session_of(strict, judy)
    try:
        channel = transport.open_session(timeout=10)
        channel.settimeout(20)
        failed = threading.Event()
        transport._channel_handler_table = {**transport._channel_handler_table,  # its own would close the channel
                                            ord(cMSG_CHANNEL_FAILURE): lambda channel, m: failed.set()}
        x11 = (False, "MIT-MAGIC-COOKIE-1", "0" * 32, 0) if kind == "x11-req" else ()
        transport._send_user_message(message(cMSG_CHANNEL_REQUEST, channel.remote_chanid, kind, True, *x11))
        assert failed.wait(5), "neither success nor failure was answered"
        channel.exec_command("echo alive")
        assert channel.makefile("rb").read() == b"alive\n"
    finally:
        transport.close()


def test_second_program_on_one_channel_is_refused(strict, judy):
    transport = session_of(strict, judy)
    try:
        channel = transport.open_session(timeout=10)
        channel.exec_command("cat")
        with pytest.raises(paramiko.SSHException):
            channel.exec_command("echo second")
    finally:
        transport.close()


def test_too_many_failures_end_the_connection(strict):
    transport = session_of(strict)
    attempts = 0
    try:
        for _ in range(20):
            attempts += 1
            transport.auth_publickey("judy", paramiko.ECDSAKey.generate())
    except paramiko.AuthenticationException:
        # paramiko sends the signature at once, without a probe: each is a failure
        pass
    except (paramiko.SSHException, EOFError):
        pass
    try:
        while transport.is_active() and attempts < 20:
            attempts += 1
            try:
                transport.auth_publickey("judy", paramiko.ECDSAKey.generate())
            except paramiko.AuthenticationException:
                continue
            except (paramiko.SSHException, EOFError):
                break
    finally:
        transport.close()
    assert attempts <= 5, f"{attempts} attempts were possible, 3 are allowed"


def test_switching_the_user_between_attempts(strict, judy):
    """RFC 4252 section 5: a change of the name starts anew or ends; it never mixes two people's rights."""
    transport = session_of(strict)
    key = paramiko.Ed25519Key.from_private_key_file(str(judy.key))
    try:
        with pytest.raises((paramiko.SSHException, EOFError)):
            transport.auth_publickey("somebodyelse", key)
        try:
            transport.auth_publickey("judy", key)
            assert exec_on(transport, "whoami") == (b"judy\n", 0)
        except (paramiko.SSHException, EOFError):
            pass
    finally:
        transport.close()


def test_authenticating_again_changes_nothing(strict, judy):
    """RFC 4252 section 5.3: requests after success should be ignored; ending the connection is as safe."""
    transport = session_of(strict, judy)
    try:
        transport._send_message(message(b"\x32", "root", "ssh-connection", "none"))
        assert exec_on(transport, "whoami") == (b"judy\n", 0)
    except (paramiko.SSHException, EOFError):
        assert not transport.is_active()
    finally:
        transport.close()


def test_many_channels_at_once(strict, judy):
    transport = session_of(strict, judy)
    results = []

    def run(n):
        results.append(exec_on(transport, f"echo {n}; exit {n}") == (f"{n}\n".encode(), n))

    try:
        threads = [threading.Thread(target=run, args=(n,)) for n in range(40)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        assert results == [True] * 40
    finally:
        transport.close()


def test_flood_of_global_requests_does_not_grow_the_process(strict, judy):
    """Replies that are never read must not pile up without bound."""
    transport = session_of(strict, judy)
    try:
        assert exec_on(transport, "true")[1] == 0
        (pid,) = strict.gateway.children()
        before = resident(pid)
        for _ in range(20_000):
            transport._send_user_message(message(b"\x50", "keepalive@openssh.com", True))
        assert resident(pid) - before < 16 << 20
        assert exec_on(transport, "echo alive") == (b"alive\n", 0)
    finally:
        transport.close()


def resident(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("Pss:"))
