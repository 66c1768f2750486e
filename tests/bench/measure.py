"""Shared by the benches: a gateway to measure, clocks, CPU accounts, tables."""
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.incus import Incus  # noqa: E402
from harness.rig import CONTROL_USER, Rig, make_users  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def gateway(**overrides):
    """A started gateway on an Incus project of the tests; everything is removed afterwards."""
    if os.geteuid() != 0:
        sys.exit("run this as root: it drives Incus and starts the daemons as their own users")
    make_users()
    folder = Path(tempfile.mkdtemp(prefix="containarium-bench."))
    folder.chmod(0o755)
    incus = Incus.prepare(folder, CONTROL_USER)
    overrides.setdefault("limits", {"logins": "100000", "logins_per_source": "100000"})  # one user stands for many
    rig = Rig(incus, folder, **overrides)
    try:
        yield rig.start()
    finally:
        rig.stop()
        incus.close()
        shutil.rmtree(folder, ignore_errors=True)


def first_byte(argv):
    """Milliseconds from starting argv to the first byte on its stdout; it must end well."""
    began = time.monotonic()
    with subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, bufsize=0) as run:
        byte = run.stdout.read(1)
        took = (time.monotonic() - began) * 1000
        out, err = run.communicate(timeout=120)
        assert byte and run.returncode == 0, f"{argv}: {run.returncode}: {err.decode(errors='replace')}"
    return took


def timed(function, *arguments):
    """Milliseconds a call takes."""
    began = time.monotonic()
    function(*arguments)
    return (time.monotonic() - began) * 1000


def children(pid):
    """Its children, those included that have ended and were not waited for yet: their CPU is in nobody's account."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid):
    """CPU a process and its ended, waited-for children have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(f) for f in fields[11:15]) / TICK


def pss_kib(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def median(values):
    return statistics.median(values)


def spread(values, digits=0):
    """"123 (110-150)": median and range."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * w for w in widths], *rows]:
        print("  ".join(str(cell).ljust(w) for cell, w in zip(row, widths)).rstrip())


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True).stderr.strip()
    return {"cores": os.cpu_count(), "cpu": model, "kernel": platform.release(), "ssh": ssh,
            "load": os.getloadavg()[0]}


def rounded(value):
    """Three digits are all that such a measurement has."""
    if isinstance(value, float):
        return round(value, 3 if abs(value) < 10 else 1)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def report(name, figures, path):
    """Prints the figures as JSON, or writes them to a file."""
    text = json.dumps(rounded({"bench": name, "machine": machine(), **figures}))
    if path:
        Path(path).write_text(text + "\n")
    else:
        print("\n" + text)
