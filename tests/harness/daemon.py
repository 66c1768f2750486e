"""One daemon as its own unprivileged user, as its unit file would start it: process, log, its end."""
import os
import pwd
import signal
import subprocess
from pathlib import Path

from .wait import until


def status_of(pid):
    """/proc/PID/status as a dict; {} if there is no such process (any more)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def group_members(pgid):
    """Live processes of a process group (zombies are as good as gone)."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == pgid and fields[0] not in "ZX":
            found.append(int(entry))
    return found


class Daemon:
    def __init__(self, argv, user, log):
        self.argv, self.user, self.log = [str(a) for a in argv], user, Path(log)
        self.process = None
        self.groups = []  # process groups we started: connection processes outlive their listener

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self):
        account = pwd.getpwnam(self.user)
        unprivileged = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups",
                        "--inh-caps=-all", "--no-new-privs"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(unprivileged + self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, cwd="/")
        self.groups.append(self.process.pid)

    def kill(self, signum=signal.SIGKILL):
        """Ends the daemon's own process and only that."""
        self.process.send_signal(signum)
        self.process.wait(20)

    def end(self):
        """Ends it with everything it started; returns what is left over (nothing, one hopes)."""
        if self.running:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for group in self.groups:
            if group_members(group):
                os.killpg(group, signal.SIGTERM)
        try:
            until(lambda: not any(group_members(g) for g in self.groups), 5, "connection processes end on SIGTERM")
        except AssertionError:
            pass
        left = [pid for g in self.groups for pid in group_members(g)]
        for group in self.groups:
            if group_members(group):
                os.killpg(group, signal.SIGKILL)
        return left

    def children(self):
        """Processes of the daemon's group other than itself: for the gateway, its connections."""
        return [pid for g in self.groups for pid in group_members(g) if pid != self.process.pid]

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_lines(self, *words):
        """Log lines that contain all of `words`."""
        return [line for line in self.text().splitlines() if all(word in line for word in words)]
