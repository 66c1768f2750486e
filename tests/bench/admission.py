#!/usr/bin/python3
"""A valid login while others knock: latencies, memory and refusals under each kind of flood, beside OpenSSH's sshd.

usage: admission.py [--seconds S] [--logins N] [--nat N]    # --seconds 0: only the office

Prints, for each flood, the median and 99th percentile of a login (ssh -N, time to authenticated) from a source people
come from, how many were refused, the listener's and the connection processes' memory at its peak, and the logins of sshd
with MaxStartups 60:30:100. Floods come from 64 or 20,000 loopback addresses and end by themselves.
"""
import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import asyncssh  # noqa: E402

from harness import flood  # noqa: E402
from harness.daemon import group_members  # noqa: E402
from harness.rig import free_port  # noqa: E402
from harness.user import make_key  # noqa: E402
from harness.wait import until  # noqa: E402
from measure import gateway  # noqa: E402

FLOODS = {
    "none": None,
    "1,000 connections a second, 64 sources": ("silent", dict(count=100_000, rate=1000, sources=64)),
    "1,000 connections a second, 20,000 sources": ("silent", dict(count=100_000, rate=1000, sources=20_000)),
    "10,000 half-open, 20,000 sources": ("silent", dict(count=10_000, rate=5000, sources=20_000)),
    "slow identification strings, 5,000": ("slow", dict(count=5_000, rate=2000, sources=20_000)),
    "endless key exchanges, 64 sources": ("kex", dict(count=10_000_000, parallel=16, sources=64)),
    "failing logins, 64 sources": ("fail", dict(count=10_000_000, parallel=16, sources=64, names=50)),
}


OFFICE = "127.64.0.1"  # where a flood with one source comes from


async def login(port, name, key, address=None):
    began = time.monotonic()
    try:
        connection = await asyncio.wait_for(
            asyncssh.connect("127.0.0.1", port, username=name, client_keys=[key], known_hosts=None, config=None,
                             agent_path=None, kex_algs=["curve25519-sha256"],
                             local_addr=address and (address, 0)), 30)
    except (OSError, asyncssh.Error, asyncio.TimeoutError):
        return None
    took = time.monotonic() - began
    connection.close()
    await connection.wait_closed()
    return took * 1000


def logins(port, name, key, count, seconds):
    """Latencies in ms, and how many were refused."""
    async def all_of_them():
        results, end = [], time.monotonic() + seconds
        for _ in range(count):
            if time.monotonic() > end:
                break
            results.append(await login(port, name, key))
            await asyncio.sleep(0.05)
        return results
    results = asyncio.run(all_of_them())
    good = sorted(r for r in results if r is not None)
    return good, len(results) - len(good)


class Memory(threading.Thread):
    """The most that processes of the groups held together, in MiB of proportional set size."""

    def __init__(self, groups):
        super().__init__(daemon=True)
        self.groups, self.peak, self.processes, self.over = groups, 0, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.5):
            pids = [pid for group in self.groups() for pid in group_members(group)]
            total = 0
            for pid in pids:
                try:
                    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                except OSError:
                    continue
                total += next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
            self.peak, self.processes = max(self.peak, total / 1024), max(self.processes, len(pids))


def measure(title, port, name, key, groups, options):
    memory = Memory(groups)
    memory.start()
    running = FLOODS[title] and flood.start(FLOODS[title][0], port, seconds=options.seconds, **FLOODS[title][1])
    time.sleep(1 if running else 0)
    good, refused = logins(port, name, key, options.logins, options.seconds - 2)
    counts = json.loads(running.communicate(timeout=options.seconds + 60)[0]) if running else {}
    memory.over.set()
    memory.join()
    if good:
        p99 = good[min(len(good) - 1, int(len(good) * 0.99))]
        latency = f"p50 {statistics.median(good):7.0f} ms  p99 {p99:7.0f} ms"
    else:
        latency = "no login at all               "
    held = f"{memory.processes} processes, {memory.peak:.0f} MiB at most; " if memory.processes else ""
    print(f"      {latency}  {len(good)} in, {refused} refused; {held}flood: "
          f"{counts.get('connected', 0)} connected, {counts.get('exchanged', 0)} exchanged", flush=True)


class Sshd:
    """OpenSSH's own, with as many places, for the same user and key."""

    def __init__(self, folder, key):
        self.port = free_port()
        make_key(folder / "host_key")
        (folder / "keys").write_text(Path(f"{key}.pub").read_text())
        (folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder / 'host_key'}\nPidFile none\nStrictModes no\nUsePAM no\n"
            f"PasswordAuthentication no\nAuthorizedKeysFile {folder / 'keys'}\nMaxStartups 60:30:100\nLogLevel ERROR\n"
            f"LoginGraceTime 30\nPermitRootLogin yes\n")
        subprocess.run(["mkdir", "-p", "/run/sshd"], check=True)
        self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"],
                                        stderr=open(folder / "log", "wb"), start_new_session=True)
        until(lambda: subprocess.run(["bash", "-c", f": </dev/tcp/127.0.0.1/{self.port}"], stderr=subprocess.DEVNULL)
              .returncode == 0, what="sshd listens")

    def close(self):
        self.process.terminate()
        self.process.wait()


def behind_one_address(rig, failures):
    """The office: 200 people, one attacker."""
    keys = {}
    for n in range(200):
        keys[f"user{n}"] = str(make_key(rig.folder / f"user{n}"))
        rig.ok("create", f"user{n}", "--ssh-key", f"{keys[f'user{n}']}.pub", "--static", "127.0.0.1:9")

    async def everybody():
        return [name for name, key in keys.items() if await login(rig.port, name, key, OFFICE) is None]

    refused = len(asyncio.run(everybody()))
    attacker = flood.start("fail", rig.port, count=failures, seconds=900, parallel=4, names=200, sources=1)
    rounds = 0
    while attacker.poll() is None:
        refused += len(asyncio.run(everybody()))
        rounds += 1
    counts = json.loads(attacker.communicate()[0])
    bans = rig.json("bans", "list")
    print(f"behind one address: {counts['exchanged']} failed logins in "
          f"{counts['seconds']:.0f} s; {(rounds + 1) * 200} valid ones from beside, {refused} refused; {len(bans)} names "
          f"banned there, {len([b for b in bans if not b['user']])} addresses")


def floods(options):
    with gateway(bans={"never": "127.64.0.0/10"}) as rig, tempfile.TemporaryDirectory() as folder:
        user = rig.person("judy")
        rig.ok("create", "judy", "--ssh-key", user.public_key, "--static", "127.0.0.1:9")
        asyncio.run(login(rig.port, "judy", str(user.key)))  # the source is known from now on
        sshd = Sshd(Path(folder), user.key)
        try:
            for title in FLOODS:
                print(title)
                measure(title, rig.port, "judy", str(user.key), lambda: rig.gateway.groups, options)
                until(lambda: len(rig.gateway.children()) < 5, 60, "the flood's connections have ended")
                print("    sshd", end="")
                measure(title, sshd.port, "root", str(user.key), lambda: [], options)  # its children leave its group
        finally:
            sshd.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--logins", type=int, default=100)
    parser.add_argument("--nat", type=int, default=10_000, help="failed logins in the office; 0 leaves it out")
    options = parser.parse_args()
    if options.seconds:
        floods(options)
    if options.nat:
        with gateway(gateway={"max_unauthenticated_per_source": "50"}) as rig:
            behind_one_address(rig, options.nat)


if __name__ == "__main__":
    main()
