"""A user of the gateway with a laptop: a key, an ssh_config, and OpenSSH's own programs."""
import subprocess
from pathlib import Path

from . import schema

DOORS = ("direct", "jump")


def make_key(path, kind="ed25519", comment=None):
    options = ["-b", "3072"] if kind == "rsa" else []
    for old in (Path(path), Path(f"{path}.pub")):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-C", comment or Path(path).name, "-f", path],
                   check=True)
    return Path(path)


class User:
    """`name` logs in at `rig` with `key`; everything of theirs lies in `home`."""

    def __init__(self, rig, name, home, key=None):
        self.rig, self.name, self.home = rig, name, Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.key = Path(key) if key else make_key(self.home / "id_ed25519", comment=f"{name}@laptop")
        self.known_hosts = self.home / "known_hosts"
        self.config = self.home / "ssh_config"
        self.known_hosts.write_text(rig.known_hosts)
        self.write_config()

    @property
    def public_key(self):
        return Path(f"{self.key}.pub")

    @property
    def box(self):
        return f"{self.name}-container"

    @property
    def fingerprint(self):
        return subprocess.run(["ssh-keygen", "-lf", self.public_key], capture_output=True, text=True,
                              check=True).stdout.split()[1]

    def write_config(self, **extra):
        """What both hops of a jump take from one file; command line options reach only the last hop."""
        options = {
            "IdentityFile": self.key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "90",
            **extra,
        }
        self.config.write_text("Host *\n" + "".join(f"    {k} {v}\n" for k, v in options.items()))

    def trust_box(self):
        """Puts the box's real host keys, read off its disk, into known_hosts."""
        keys = self.rig.incus.host_keys(self.box)
        self.known_hosts.write_text(self.rig.known_hosts + "".join(f"{self.box} {key}\n" for key in keys))

    def target(self, door, host=None):
        """Arguments of ssh that lead through one of the two doors."""
        at_gateway = f"{self.name}@{host or '127.0.0.1'}"
        port = str(self.rig.port)
        if door == "direct":
            return ["-p", port, at_gateway]
        return ["-J", f"{at_gateway}:{port}" if host is None else f"{self.name}@[{host}]:{port}",
                f"{self.name}@{self.box}"]

    def argv(self, *command, door="direct", options=(), host=None):
        return ["ssh", "-F", str(self.config), *options, *self.target(door, host), *command]

    def ssh(self, *command, door="direct", options=(), stdin=b"", timeout=60, host=None):
        """Runs ssh to its end. .stdout and .stderr are bytes."""
        return subprocess.run(self.argv(*command, door=door, options=options, host=host), input=stdin,
                              capture_output=True, timeout=timeout)

    def ok(self, *command, **arguments):
        """Same, and must succeed; returns stdout as text."""
        run = self.ssh(*command, **arguments)
        assert run.returncode == 0, f"ssh {command}: {run.returncode}: {run.stderr.decode(errors='replace')}"
        return run.stdout.decode()

    def open(self, *command, door="direct", options=(), **popen):
        """Starts ssh with pipes; the caller waits for it."""
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
        return subprocess.Popen(self.argv(*command, door=door, options=options), bufsize=0, **streams)

    def forward(self, target, stdin=b"", timeout=30):
        """ssh -W: a jump to any HOST:PORT at all."""
        return self.ssh(options=["-W", target], stdin=stdin, timeout=timeout)

    def ctl(self, *command, stdin=b"", timeout=60):
        """ssh ctl@gateway VERB."""
        argv = ["ssh", "-F", str(self.config), "-p", str(self.rig.port), "ctl@127.0.0.1", *command]
        run = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout)
        return schema.check(" ".join(command).split(), run, door="ssh")
