"""tests/bench/flood.c: many clients that do not log in, from as many loopback addresses as wanted."""
import json
import os
import subprocess
from pathlib import Path

from .incus import REPO


def program():
    return Path(os.environ.get("CONTAINARIUM_BUILD", REPO / "build")) / "tests/flood"


def start(mode, port, **options):
    """flood(..., count=100, seconds=5, rate=50, sources=10, names=3), running; communicate() it."""
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return subprocess.Popen([program(), mode, str(port), *words], stdout=subprocess.PIPE)


def run(mode, port, **options):
    """Runs it to its end; gives its counts."""
    process = start(mode, port, **options)
    out, _ = process.communicate(timeout=options.get("seconds", 10) + 60)
    assert process.returncode == 0
    return json.loads(out)
