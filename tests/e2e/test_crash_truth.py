"""Whatever is killed, and when: every session that reached a box has its record, and the trail is whole."""
import collections
import random
import re
import signal
import subprocess
import threading
import time

import pytest

from harness.daemon import status_of
from harness.wait import until

SECONDS = 25  # of load
WORKERS = 6   # people who log in again and again
BETWEEN = 0.4  # seconds between two kills, on average


@pytest.fixture
def mortal(make_rig):
    return make_rig(limits={"logins": "100000", "logins_per_source": "100000"}, bans={"silent": "32", "never": "127.0.0.0/8"})


class Load(threading.Thread):
    """Logs in through either door until told to stop; what fails was killed, or met a gap."""

    def __init__(self, user, stop, counts):
        super().__init__(daemon=True)
        self.user, self.stop, self.counts = user, stop, counts

    def run(self):
        n = 0
        while not self.stop.is_set():
            n += 1
            try:
                run = self.user.ssh(f"sleep 0.{n % 4}; echo {n}", door=("direct", "jump")[n % 2], timeout=60)
                self.counts["done" if run.returncode == 0 else "broken"] += 1
            except subprocess.TimeoutExpired:
                self.counts["hung"] += 1


def kill_something(rig, rng, counts):
    what = rng.choices(["connection", "control", "listener"], [6, 2, 1])[0]
    if what == "connection":
        children = rig.gateway.children()
        if not children:
            return
        pid = rng.choice(children)
        if status_of(pid):
            subprocess.run(["kill", "-KILL", str(pid)], stderr=subprocess.DEVNULL)
    elif what == "control":
        rig.control.kill(signal.SIGKILL)
        rig.control.start()
    else:
        rig.gateway.kill(signal.SIGKILL)
        rig.gateway.start()
    counts[f"killed {what}"] += 1


def boxes_own_record(rig, user):
    """(host, port) of each login the box's own sshd has logged."""
    rig.ok("start", user.name)
    log = rig.incus.text(user.box, "journalctl", "-q", "-o", "cat", "-u", "ssh")
    return set(re.findall(rf"Accepted publickey for {user.name} from ([\d.]+) port (\d+) ", log))


def test_killed_at_random_under_load(mortal, capsys):
    rng = random.Random(20261124)
    user = mortal.user("ines")
    user.ok("true")
    counts, stop = collections.Counter(), threading.Event()
    workers = [Load(user, stop, counts) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        stop.wait(rng.uniform(0, 2 * BETWEEN))
        kill_something(mortal, rng, counts)
    stop.set()
    for worker in workers:
        worker.join(90)
        assert not worker.is_alive()
    for daemon, start in ((mortal.control, mortal.start_control), (mortal.gateway, mortal.start_gateway)):
        if not daemon.running:
            start()
    until(lambda: user.ssh("true").returncode == 0, 30, "it works again")
    recorded = {re.fullmatch(r"via ([\d.]+):(\d+)", row["reason"]).groups()
                for row in mortal.audit(user="ines", event="open") if row["reason"]}
    reached = boxes_own_record(mortal, user)
    sessions = {row["session"] for row in mortal.audit(user="ines", event="login")}
    with capsys.disabled():
        print(f"\n    {dict(counts)}; logins the box saw {len(reached)}, of them recorded {len(reached & recorded)}; "
              f"logins recorded {len(sessions)}")
    assert counts["done"] > 10 and counts["killed control"] and counts["killed connection"], counts
    assert reached - recorded == set(), "a session without its record"
    assert mortal.json("audit", "verify")["whole"] is True

    def all_closed():
        ended = {row["session"] for row in mortal.audit(user="ines", event="logout")}
        return sessions <= ended and not mortal.json("sessions", "list")
    until(all_closed, 45, "every login has its end")
    reasons = collections.Counter(row["reason"] for row in mortal.audit(user="ines", event="logout"))
    assert reasons["lost"] > 0, reasons
