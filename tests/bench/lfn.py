#!/usr/bin/python3
"""Bulk copies over a long way: the gateway beside OpenSSH's sshd at 40 and 100 ms round trip, both directions.

The distance is a relay on loopback that hands every byte on half a round trip after it came, in order and without any
limit of its own, so what is measured is the protocol's: how much each side lets be on its way (channel windows). The
segments below it are loopback's; the kernel's own TCP is the same for both servers. At 0 ms the relay's ceiling is seen.
"""
import argparse
import collections
import multiprocessing
import selectors
import socket
import time

from login import REMOTE, SINK_PORT, SOURCE_PORT, BASTION_USER, Bench
from measure import gateway, machine, median, report, table

PIECE = 1 << 18


class Direction:
    """Bytes of one direction of a connection: read at once, written when they are due."""

    def __init__(self, source, target, delay):
        self.source, self.target, self.delay = source, target, delay
        self.queue = collections.deque()  # (due, bytes); b"" is the end
        self.ended = self.closed = False

    def read(self):
        try:
            data = self.source.recv(PIECE)
        except OSError:
            data = b""
        self.ended = self.ended or not data
        self.queue.append((time.monotonic() + self.delay, data))

    def write(self, now):
        """Writes what is due; returns when it wants to be called again: a time, or None."""
        while self.queue and not self.closed:
            due, data = self.queue[0]
            if due > now:
                return due
            try:
                sent = self.target.send(data) if data else self.target.shutdown(socket.SHUT_WR) or 0
            except BlockingIOError:
                return now + 0.0005
            except OSError:
                self.closed = self.ended = True
                return None
            if sent < len(data):
                self.queue[0] = (due, data[sent:])
            else:
                self.queue.popleft()
                self.closed = not data
        return None


def serve(listener, target, delay):
    """A process of its own: the relay must not share a core's turn with the bench."""
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    directions = []
    while True:
        now = time.monotonic()
        wanted = [due for due in (d.write(now) for d in directions) if due is not None]
        directions = [d for d in directions if not d.closed]
        timeout = max(0, min(wanted) - time.monotonic()) if wanted else None
        for key, _ in selector.select(timeout):
            if key.data is None:
                directions += accept(selector, listener, target, delay)
            else:
                key.data.read()
                if key.data.ended:
                    selector.unregister(key.fileobj)


def accept(selector, listener, target, delay):
    client, _ = listener.accept()
    server = socket.create_connection(target)
    pair = [Direction(client, server, delay), Direction(server, client, delay)]
    for one in pair:
        one.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.source.setblocking(False)
        selector.register(one.source, selectors.EVENT_READ, one)
    return pair


class Distance:
    """A port on loopback that is `milliseconds` of round trip away from `target`."""

    def __init__(self, target, milliseconds):
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._process = multiprocessing.Process(target=serve, args=(listener, target, milliseconds / 2000), daemon=True)
        self._process.start()
        listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._process.terminate()
        self._process.join()


def ways(bench, port, way, far):
    """name -> argv of the same copy through each server, which is at far[name]."""
    user, options = bench.user, ["-o", "Ciphers=aes128-gcm@openssh.com"]

    def ssh(name, alias, login, *more):
        return ["ssh", "-F", user.config, *options, "-p", far[name].port, "-o", f"HostKeyAlias={alias}",
                *more[:-1], f"{login}@127.0.0.1", *more[-1:]]
    gateway_key, bastion_key = f"[127.0.0.1]:{bench.rig.port}", f"[127.0.0.1]:{bench.bastion.port}"
    return {
        "gateway, jump": ssh("gateway", gateway_key, user.name, "-W", f"{user.box}:{port}", ":")[:-1],
        "sshd, jump": ssh("bastion", bastion_key, BASTION_USER, "-W", f"{bench.address}:{port}", ":")[:-1],
        "gateway, direct": ssh("gateway", gateway_key, user.name, REMOTE[way]),
        "sshd of the box": ssh("box", bench.address, user.name, REMOTE[way]),
    }


def measure(bench, round_trips, megabytes, rounds):
    figures = {}
    for milliseconds in round_trips:
        targets = {"gateway": ("127.0.0.1", bench.rig.port), "bastion": ("127.0.0.1", bench.bastion.port),
                   "box": (bench.address, 22)}
        with Distance(targets["gateway"], milliseconds) as a, Distance(targets["bastion"], milliseconds) as b, \
                Distance(targets["box"], milliseconds) as c:
            far = {"gateway": a, "bastion": b, "box": c}
            for way in ("up", "down"):
                port = SINK_PORT if way == "up" else SOURCE_PORT
                for _ in range(rounds):
                    for name, argv in ways(bench, port, way, far).items():
                        began = time.monotonic()
                        (bench.upload if way == "up" else bench.download)(argv, megabytes)
                        figures.setdefault((milliseconds, way, name), []).append(megabytes / (time.monotonic() - began))
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--round-trips", type=int, nargs="+", default=[0, 40, 100], metavar="MS")
    parser.add_argument("--megabytes", type=int, default=64, help="size of one copy, MiB; its start is in the figure")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write the figures there instead of printing them")
    options = parser.parse_args()
    print(machine())
    with gateway(box={"jump_ports": f"22 {SINK_PORT}-{SOURCE_PORT}"}) as rig:
        bench = Bench(rig)
        try:
            figures = measure(bench, options.round_trips, options.megabytes, options.rounds)
        finally:
            bench.bastion.close()
    print("\nbulk copy, MiB/s, medians")
    other = {"gateway, jump": "sshd, jump", "gateway, direct": "sshd of the box"}
    rows = []
    for (milliseconds, way, name), values in figures.items():
        if name in other:
            theirs = median(figures[milliseconds, way, other[name]])
            rows.append([f"{milliseconds} ms", way, name, f"{median(values):.1f}", f"{theirs:.1f}",
                         f"{median(values) / theirs:.2f}"])
    table(["round trip", "direction", "way", "gateway", "sshd", "ratio"], rows)
    report("lfn", {"bulk_mib_per_s": {f"{ms} ms, {way}, {name}": values for (ms, way, name), values in figures.items()}},
           options.json)


if __name__ == "__main__":
    main()
