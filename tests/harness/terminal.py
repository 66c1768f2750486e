"""A program on a terminal of its own, driven like a person would: look, type, resize the window."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time


class Terminal:
    def __init__(self, argv, rows=24, columns=80, stderr=None, env=None):
        self._master, slave = pty.openpty()
        self._set_size(slave, rows, columns)
        self.seen = b""

        def take_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(list(map(str, argv)), stdin=slave, stdout=slave,
                                        stderr=slave if stderr is None else stderr, preexec_fn=take_terminal, env=env)
        os.close(slave)

    @staticmethod
    def _set_size(fd, rows, columns):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns, expect):
        """Until the program shows it: OpenSSH's client misses a signal that comes just before its poll(2)."""
        self._set_size(self._master, rows, columns)
        for _ in range(10):
            self.process.send_signal(signal.SIGWINCH)
            try:
                return self.expect(expect, timeout=2)
            except AssertionError:
                continue
        return self.expect(expect, timeout=1)

    def send(self, data):
        os.write(self._master, data)

    def read(self, timeout):
        """Whatever comes within `timeout` seconds, b"" if nothing does or the program has ended."""
        ready, _, _ = select.select([self._master], [], [], timeout)
        if not ready:
            return b""
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: the other side is closed
            return b""
        self.seen += data
        return data

    def expect(self, pattern, timeout=20.0):
        """Reads until the regular expression is in what was seen since the last match; returns the match."""
        end = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match
            if time.monotonic() > end:
                raise AssertionError(f"waited {timeout:g} s for {pattern!r}; seen: {self.seen!r}")
            if not self.read(0.2) and self.process.poll() is not None and not self.read(0.2):
                match = re.search(pattern, self.seen)
                assert match, f"the program ended ({self.process.returncode}) without {pattern!r}; seen: {self.seen!r}"

    def wait(self, timeout=20.0):
        end = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.1)
        assert self.process.poll() is not None, f"still running after {timeout:g} s; seen: {self.seen!r}"
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
