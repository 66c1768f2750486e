#!/usr/bin/python3
"""How long until a login's first byte of output: box stopped, frozen, awake, not made yet; through both doors.

Beside each, in the same run and in turns (A B A B), what the same costs by hand: `incus start` or `incus create`, then
waiting for the box's sshd, then ssh straight to its address. Medians; nothing is asserted.
"""
import argparse
import socket
import subprocess
import time

from measure import first_byte, gateway, machine, median, report, spread, table, timed


def until_sshd_answers(address):
    """Polls as a patient script would, every 5 ms."""
    while True:
        try:
            with socket.create_connection((address, 22), timeout=0.5) as s:
                if s.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.005)


class Bench:
    def __init__(self, rig, rounds):
        self.rig, self.incus, self.rounds = rig, rig.incus, rounds
        self.user = rig.user("bench")
        self.address = self.incus.address(self.user.box)
        self.trust_address(self.user, self.address)
        self.figures = {}

    def trust_address(self, user, address):
        keys = self.incus.host_keys(user.box)
        with open(user.known_hosts, "a") as f:
            f.writelines(f"{address} {key}\n" for key in keys)

    def note(self, name, value):
        self.figures.setdefault(name, []).append(value)

    def plain_ssh(self, user=None, address=None):
        user = user or self.user
        return ["ssh", "-F", user.config, f"{user.name}@{address or self.address}", "echo up"]

    def through(self, door):
        return first_byte(self.user.argv("echo up", door=door))

    # ---- one round of each ---------------------------------------------------------------------------------------

    def awake(self):
        for door in ("direct", "jump"):
            self.note(f"awake {door}", self.through(door))
            self.note("awake by hand", first_byte(self.plain_ssh()))

    def frozen(self):
        for door in ("direct", "jump"):
            self.incus.freeze(self.user.box)
            self.note(f"frozen {door}", self.through(door))
            self.incus.freeze(self.user.box)
            began = time.monotonic()
            self.note("frozen incus start", timed(self.incus.run, "start", self.user.box))
            until_sshd_answers(self.address)
            first_byte(self.plain_ssh())
            self.note("frozen by hand", (time.monotonic() - began) * 1000)

    def stopped(self):
        for door in ("direct", "jump"):
            self.stop()
            self.note(f"stopped {door}", self.through(door))
            self.stop()
            began = time.monotonic()
            self.note("stopped incus start", timed(self.incus.run, "start", self.user.box))
            until_sshd_answers(self.address)
            self.note("stopped until sshd", (time.monotonic() - began) * 1000)
            first_byte(self.plain_ssh())
            self.note("stopped by hand", (time.monotonic() - began) * 1000)

    def stop(self):
        """Cleanly, as a box that slept: a killed file system has more to do at its start."""
        self.incus.run("stop", self.user.box)

    def new(self, n):
        for door in ("direct", "jump"):
            user = self.rig.user(f"new{n}-{door}", "--lazy")
            user.write_config(StrictHostKeyChecking="accept-new")
            self.note(f"new {door}", first_byte(user.argv("echo up", door=door)))
            self.rig.delete(user)
            self.note("new by hand", self.create_by_hand(f"hand{n}-{door}"))

    def create_by_hand(self, name):
        """The same box from the same image with the same first boot, made with Incus' own command line."""
        user = self.rig.person(name)
        user.write_config(StrictHostKeyChecking="accept-new")
        address = self.address.rsplit(".", 2)[0] + ".15.200"
        keys = user.public_key.read_bytes()
        began = time.monotonic()
        self.incus.run("create", self.incus.image, user.box, "--storage", self.incus.pool, "--device",
                       f"eth0,ipv4.address={address}")
        for path, data in (("user", f"{name}\n".encode()), ("user_keys", keys), ("authorized_keys", b"")):
            self.incus.run("file", "push", "-", f"{user.box}/etc/containarium/{path}", stdin=data)
        self.incus.run("start", user.box)
        until_sshd_answers(address)
        while subprocess.run(list(map(str, self.plain_ssh(user, address))), stdin=subprocess.DEVNULL,
                             capture_output=True).returncode != 0:
            time.sleep(0.02)
        took = (time.monotonic() - began) * 1000
        self.incus.delete(user.box)
        self.rig.users.remove(user)
        return took

    def run(self):
        for door in ("direct", "jump"):  # not counted: caches
            self.through(door)
        for n in range(self.rounds):
            self.awake()
            self.frozen()
            self.stopped()
            self.new(n)
            print(f"round {n + 1} of {self.rounds} done", flush=True)


def aims(figures):
    m = {name: median(values) for name, values in figures.items()}
    found = []
    for door in ("direct", "jump"):
        found.append((f"stopped, {door}: within incus start + until sshd answers + 300 ms", m[f"stopped {door}"],
                      m["stopped until sshd"] + 300))
        found.append((f"frozen, {door}: within awake + 50 ms", m[f"frozen {door}"], m[f"awake {door}"] + 50))
    return found


def show(figures):
    rows = []
    for state in ("awake", "frozen", "stopped", "new"):
        rows.append([state] + [spread(figures[f"{state} {door}"]) for door in ("direct", "jump", "by hand")])
    print()
    table(["box is", "gateway, direct", "gateway, jump", "by hand (incus + ssh)"], rows)
    print("\nmilliseconds to the first byte of output: median (least-most)")
    print("by hand, in parts: stopped: incus start", spread(figures["stopped incus start"]), "ms, until sshd answers",
          spread(figures["stopped until sshd"]), "ms; frozen: incus start", spread(figures["frozen incus start"]), "ms\n")
    for what, is_, aim in aims(figures):
        print(f"{'reached' if is_ <= aim else 'MISSED '}  {what}: {is_:.0f} ms against {aim:.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="write the figures there instead of printing them")
    options = parser.parse_args()
    print(machine())
    with gateway() as rig:
        bench = Bench(rig, options.rounds)
        bench.run()
    show(bench.figures)
    report("wake", {"rounds": options.rounds, "milliseconds": bench.figures,
                    "aims": [{"what": w, "is": i, "aim": a, "reached": i <= a} for w, i, a in aims(bench.figures)]},
           options.json)


if __name__ == "__main__":
    main()
