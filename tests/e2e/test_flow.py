"""Flow control: windows are kept, a channel that stands still stands alone, and limits refuse without ending anything."""
import hashlib
import os
import threading

import paramiko
import pytest
from paramiko.common import MSG_CHANNEL_DATA, cMSG_CHANNEL_CLOSE, cMSG_CHANNEL_DATA, cMSG_CHANNEL_FAILURE, \
    cMSG_CHANNEL_REQUEST, cMSG_CHANNEL_SUCCESS

from harness.wait import until

WINDOW = 4 << 20  # the most that may lie in the gateway for one channel and direction: a receive window of libssh


class Client(paramiko.Transport):
    """paramiko without its own lower bounds, so that any window and packet size can be asked for."""

    def _sanitize_window_size(self, size):
        return self.default_window_size if size is None else size

    def _sanitize_packet_size(self, size):
        return self.default_max_packet_size if size is None else size


@pytest.fixture
def connected(rig, alice):
    """connected() -> a transport logged in as alice; connected(through=t) -> one inside t, end to end with her box."""
    transports = []

    def connect(through=None, gateway=rig, user=alice):
        way = ("127.0.0.1", gateway.port) if through is None else \
            through.open_channel("direct-tcpip", (user.box, 22), ("127.0.0.1", 0), timeout=30)
        transport = Client(way)
        transports.append(transport)
        transport.start_client(timeout=30)
        transport.auth_publickey(user.name, paramiko.Ed25519Key.from_private_key_file(str(user.key)))
        return transport

    yield connect
    for transport in reversed(transports):
        transport.close()


def start(transport, command, **sizes):
    channel = transport.open_session(timeout=30, **sizes)
    channel.settimeout(60)
    channel.exec_command(command)
    return channel


def works(transport):
    """A megabyte there and back on a channel of its own."""
    data = os.urandom(1 << 20)
    channel = start(transport, "cat")
    sender = threading.Thread(target=lambda: (channel.sendall(data), channel.shutdown_write()))
    sender.start()
    got = channel.makefile("rb").read()
    sender.join()
    return got == data and channel.recv_exit_status() == 0


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("Pss:"))


def raw(transport, code, channel, *values):
    m = paramiko.Message()
    m.add_byte(code)
    m.add_int(channel.remote_chanid)
    for value in values:
        if isinstance(value, bool):
            m.add_boolean(value)
        else:
            m.add_string(value)
    transport._send_user_message(m)


def own_process(rig, transport):
    """The connection process that serves the transport: the one that came with it."""
    port = transport.sock.getsockname()[1]
    line = until(lambda: rig.gateway.log_lines("event=accepted", f"port={port} "), what="the login is logged")[-1]
    return int(line.split("conn=")[1].split()[0])


@pytest.mark.parametrize("standing", ["head -c 300M /dev/zero", "sleep 300"], ids=["reader", "writer"])
def test_a_standing_channel_stands_alone(rig, connected, door, standing):
    """One channel's client does not read, or its program does not; the others of the connection go on, and what lies in
    between is bounded by windows."""
    gateway = connected()
    pid = own_process(rig, gateway)
    other = gateway if door == "direct" else connected(through=gateway)
    stalled_at = gateway if door == "direct" else connected(through=gateway)
    assert works(other)
    before = pss(pid)
    channel = start(stalled_at, standing)
    if standing.startswith("sleep"):
        channel.settimeout(5)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += channel.send(bytes(32768))
        assert sent > 1 << 20, "the window was open at first"
    for _ in range(3):
        assert works(other)
    # The gateway's own buffer for the channel, the leg's, and what malloc keeps.
    assert pss(pid) - before < 4 * WINDOW
    channel.close()
    assert works(other)


def test_a_client_that_ignores_the_window(rig, connected):
    """Sixty MB into a program that reads nothing: memory stays bounded, whether the connection lives or not."""
    transport = connected()
    pid = own_process(rig, transport)
    channel = start(transport, "sleep 300")
    before = pss(pid)
    try:
        for _ in range(60 * 32):
            raw(transport, cMSG_CHANNEL_DATA, channel, bytes(32000))
        grown = pss(pid) - before
    except (OSError, EOFError, FileNotFoundError):
        grown = 0  # it was ended for it
    assert grown < 4 * WINDOW


@pytest.mark.parametrize("way", ["up", "down"])
def test_rekeying_in_mid_transfer(alice, door, way):
    """RekeyLimit 1M: a dozen key exchanges in each of a dozen megabytes, nothing lost."""
    data = os.urandom(12_000_000)
    options = ["-o", "RekeyLimit=1M"]
    if way == "up":
        run = alice.ssh("sha256sum", door=door, options=options, stdin=data, timeout=120)
        assert run.stdout.decode().split()[0] == hashlib.sha256(data).hexdigest(), run.stderr
    else:
        alice.ok("cat > rekey-file", stdin=data)
        run = alice.ssh("cat rekey-file; rm rekey-file", door=door, options=options, timeout=120)
        assert hashlib.sha256(run.stdout).digest() == hashlib.sha256(data).digest(), run.stderr
    assert run.returncode == 0


def test_rekeying_while_both_ways_are_busy(alice, door):
    data = os.urandom(8_000_000)
    run = alice.ssh("cat", door=door, options=["-o", "RekeyLimit=1M"], stdin=data, timeout=120)
    assert run.returncode == 0 and run.stdout == data


@pytest.mark.parametrize("sizes", [{"window_size": 1}, {"max_packet_size": 11}, {"window_size": 7, "max_packet_size": 3},
                                   {"window_size": 1 << 30, "max_packet_size": 1 << 20}],
                         ids=["window of 1", "packets of 11", "both tiny", "both huge"])
def test_any_window_and_packet_size(connected, sizes):
    """What the client can take is what it gets, in no bigger pieces and not a byte beyond the window."""
    transport = connected()
    count = 400 if "window_size" in sizes and sizes["window_size"] < 100 else 100_000
    channel = transport.open_session(timeout=30, **sizes)
    channel.settimeout(60)
    pieces = []

    def note(channel, m):
        data = m.get_binary()
        pieces.append(len(data))
        channel._feed(data)
    transport._channel_handler_table = {**transport._channel_handler_table, MSG_CHANNEL_DATA: note}
    channel.exec_command(f"head -c {count} /dev/zero | tr '\\0' x; exit 3")
    got = b""
    while piece := channel.recv(65536):
        got += piece
    assert got == b"x" * count and channel.recv_exit_status() == 3
    assert max(pieces) <= min(sizes.get("max_packet_size", 1 << 30), sizes.get("window_size", 1 << 30))


@pytest.mark.parametrize("size", [0, 1, 11, 32768])
def test_packets_of_any_size_from_the_client(connected, size):
    transport = connected()
    channel = start(transport, "wc -c")
    channel.sendall(b"x" * 30_000)  # the window begins small and grows
    for _ in range(20):
        until(lambda: channel.out_window_size >= size, what="the window is wide enough for one packet")
        channel.out_window_size -= size
        raw(transport, cMSG_CHANNEL_DATA, channel, b"x" * size)
    channel.shutdown_write()
    assert channel.makefile("rb").read() == f"{30_000 + 20 * size}\n".encode()


def test_data_after_close_is_ignored(connected):
    transport = connected()
    channel = start(transport, "cat")
    raw(transport, cMSG_CHANNEL_CLOSE, channel)
    for _ in range(3):
        raw(transport, cMSG_CHANNEL_DATA, channel, b"too late")
    assert works(transport)


@pytest.fixture
def answers(connected):
    """(transport, channel, [True, False, ...]): what requests on the channel were answered."""
    transport = connected()
    channel = transport.open_session(timeout=30)
    channel.settimeout(60)
    seen = []
    transport._channel_handler_table = {**transport._channel_handler_table,
                                        ord(cMSG_CHANNEL_SUCCESS): lambda channel, m: seen.append(True),
                                        ord(cMSG_CHANNEL_FAILURE): lambda channel, m: seen.append(False)}
    return transport, channel, seen


@pytest.mark.parametrize("count, size", [(100, 5), (40, 1000)], ids=["too many", "too large"])
def test_environment_is_bounded(answers, count, size):
    """What does not fit is refused one by one; what was accepted is there, and the program runs."""
    transport, channel, seen = answers
    for n in range(count):
        raw(transport, cMSG_CHANNEL_REQUEST, channel, "env", True, f"LC_N{n:03}", "v" * size)
    until(lambda: len(seen) == count, 20, "every request is answered")
    accepted = seen.count(True)
    assert 0 < accepted < count and seen == [True] * accepted + [False] * (count - accepted)
    raw(transport, cMSG_CHANNEL_REQUEST, channel, "exec", True, "env | grep -c ^LC_N")
    assert channel.makefile("rb").read() == f"{accepted}\n".encode()


def test_too_many_channels_are_refused_and_the_rest_go_on(make_rig, connected):
    rig = make_rig(gateway={"max_channels": "5"})
    user = rig.user("many")
    transport = connected(gateway=rig, user=user)
    channels = [start(transport, "cat") for _ in range(5)]
    for _ in range(3):
        with pytest.raises(paramiko.ChannelException):
            transport.open_session(timeout=30)
    assert rig.gateway.log_lines("channel_refused", "max_channels is 5")
    for n, channel in enumerate(channels):
        channel.sendall(f"{n}".encode())
        assert channel.recv(10) == f"{n}".encode()
    channels.pop().close()

    def another():
        try:
            return works(transport)
        except paramiko.ChannelException:
            return False  # the closed one is not through yet
    until(another, 20, "there is room again")
