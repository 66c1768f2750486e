"""A whole gateway of one's own: configuration, host keys, both daemons on a free port, in one private folder."""
import ipaddress
import itertools
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from . import schema
from .daemon import Daemon
from .incus import REPO
from .user import User, make_key
from .wait import until

CONTROL_USER = "containarium-test"
GATEWAY_USER = "containarium-test-gw"


def make_users():
    for name in (CONTROL_USER, GATEWAY_USER):
        try:
            pwd.getpwnam(name)
        except KeyError:
            subprocess.run(["useradd", "-r", "-M", "-s", "/usr/sbin/nologin", name], check=True)


def binaries():
    """Where the three programs are: $CONTAINARIUM_BIN, or a build folder in its usual place."""
    places = [os.environ.get("CONTAINARIUM_BIN"), REPO / "build/bin"]
    for place in places:
        if place and (Path(place) / "containariumd").exists():
            return Path(place)
    raise FileNotFoundError("containariumd is not built: cmake -B build && cmake --build build, or set CONTAINARIUM_BIN")


def free_port():
    """A port that is free on both loopback addresses, and below those the kernel gives to outgoing connections: one of
    them could take it before the server that it is for."""
    while True:
        port = random.randrange(10240, 32768)
        with socket.socket() as four, socket.socket(socket.AF_INET6) as six:
            try:
                four.bind(("127.0.0.1", port))
                six.bind(("::1", port))
                return port
            except OSError:
                continue


class Rig:
    all = []  # that were made and not stopped yet
    _numbers = itertools.count()

    def __init__(self, incus, folder, /, **overrides):
        """Keeps to a folder of its own in `folder`. `overrides`: section=dict of keys that differ from the test
        configuration."""
        self.number = next(Rig._numbers)
        self.incus = incus
        self.bin = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix=f"rig{self.number}.", dir=folder))
        self.port = free_port()
        self.state_dir, self.run_dir = self.folder / "state", self.folder / "run"
        self.host_key_dir, self.config = self.folder / "hostkeys", self.folder / "containarium.conf"
        self.users = []
        self._make_folders()
        self.known_hosts = self._make_host_keys()
        self.sections = self._configuration(overrides)
        self.write_config()
        self.control = Daemon([self.bin / "containariumd", "--config", self.config], CONTROL_USER,
                              self.folder / "control.log")
        self.gateway = Daemon([self.bin / "containarium-gateway", "--config", self.config], GATEWAY_USER,
                              self.folder / "gateway.log")
        Rig.all.append(self)

    # ---- what is on disk -----------------------------------------------------------------------------------------

    def _make_folders(self):
        os.chmod(self.folder, 0o755)
        for folder, user, mode in ((self.state_dir, CONTROL_USER, 0o700), (self.run_dir, CONTROL_USER, 0o755),
                                   (self.host_key_dir, GATEWAY_USER, 0o755)):
            folder.mkdir()
            shutil.chown(folder, user)
            os.chmod(folder, mode)

    def _make_host_keys(self):
        lines = []
        for kind in ("ed25519", "ecdsa", "rsa"):
            path = self.host_key_dir / f"ssh_host_{kind}_key"
            make_key(path, kind)
            shutil.chown(path, GATEWAY_USER)
            kind_and_blob = " ".join(Path(f"{path}.pub").read_text().split()[:2])
            lines += [f"[{host}]:{self.port} {kind_and_blob}\n" for host in ("127.0.0.1", "::1")]
        return "".join(lines)

    def _configuration(self, overrides):
        # Rigs side by side share the subnet and must not give the same address twice: the first one lives to the end,
        # the others have its places in turn.
        subnet = ipaddress.ip_network(self.incus.subnet)
        places = subnet.num_addresses // 32 - 2
        first = subnet[16 + 32 * (self.number and 1 + (self.number - 1) % places)]
        sections = {
            "gateway": {"listen": f"127.0.0.1:{self.port} [::1]:{self.port}", "host_key_dir": self.host_key_dir},
            "control": {"state_dir": self.state_dir, "run_dir": self.run_dir, "gateway_user": GATEWAY_USER,
                        "public_host": "127.0.0.1", "public_port": self.port,
                        "backup_dir": self.state_dir / "backups"},
            "incus": {"url": self.incus.url, "certificate": self.incus.cert_dir / "client.crt",
                      "key": self.incus.cert_dir / "client.key",
                      "server_certificate": self.incus.cert_dir / "server.crt", "project": self.incus.project,
                      "network": self.incus.network, "pool": self.incus.pool, "image": self.incus.image},
            "box": {"subnet": self.incus.subnet, "address_first": first, "disk": "2GB", "memory": "512MB"},
            "log": {"level": "info"},
        }
        for section, keys in overrides.items():
            sections.setdefault(section, {}).update(keys)
        return sections

    def write_config(self):
        self.config.write_text("".join(
            f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()) + "\n"
            for section, keys in self.sections.items()))

    @property
    def database(self):
        return self.state_dir / "containarium.db"

    # ---- life ----------------------------------------------------------------------------------------------------

    def start(self):
        self.start_control()
        self.start_gateway()
        return self

    def start_control(self):
        self.control.start()
        until(self._control_answers, 15, "containariumd answers")

    def start_gateway(self):
        self.gateway.start()
        until(self._gateway_greets, 15, "containarium-gateway greets")

    def _control_answers(self):
        assert self.control.running, f"containariumd ended ({self.control.process.returncode}):\n{self.control.text()}"
        return self.cli("version").returncode == 0

    def _gateway_greets(self):
        assert self.gateway.running, f"the gateway ended ({self.gateway.process.returncode}):\n{self.gateway.text()}"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as s:
                return s.recv(64).startswith(b"SSH-2.0-")
        except OSError:
            return False

    def stop(self):
        """Ends both, removes the users' boxes; fails if a process or a box is left."""
        Rig.all.remove(self)
        left = self.gateway.end() + self.control.end()
        for user in self.users:
            self.incus.delete(user.box)
        boxes = [user.box for user in self.users if user.box in self.incus.instances()]
        assert not left, f"processes that did not end on SIGTERM: {left}"
        assert not boxes, f"boxes left over: {boxes}"

    def log_marks(self):
        return len(self.control.text()), len(self.gateway.text())

    def logs(self, marks=(0, 0)):
        """What both have logged since the marks."""
        return (f"---- containariumd\n{self.control.text()[marks[0]:]}\n"
                f"---- containarium-gateway\n{self.gateway.text()[marks[1]:]}\n")

    # ---- the command line ----------------------------------------------------------------------------------------

    def cli_argv(self, *arguments):
        return [str(self.bin / "containarium"), "--socket", str(self.run_dir / "control.sock"),
                *map(str, arguments)]

    def cli(self, *arguments, stdin=b"", timeout=120):
        """As root on the host. .stdout and .stderr are bytes."""
        run = subprocess.run(self.cli_argv(*arguments), input=stdin, capture_output=True, timeout=timeout)
        return schema.check(arguments, run)

    def ok(self, *arguments, **options):
        run = self.cli(*arguments, **options)
        assert run.returncode == 0, f"containarium {arguments}: {run.returncode}: " \
                                    f"{run.stdout.decode(errors='replace')}{run.stderr.decode(errors='replace')}"
        return run.stdout.decode()

    def json(self, *arguments):
        return json.loads(self.ok(*arguments, "--json"))

    def audit(self, **filters):
        """Records of the audit trail as dicts, oldest first: audit(user="alice", event="login")."""
        options = [word for key, value in filters.items() for word in (f"--{key}", str(value))]
        text = self.ok("audit", *options, "--limit", "0", "--format", "jsonl")
        return [json.loads(line) for line in text.splitlines()]

    # ---- users ---------------------------------------------------------------------------------------------------

    def person(self, name, key=None):
        """Somebody with a key, not known to the gateway (yet)."""
        user = User(self, name, self.folder / "home" / name, key)
        self.users.append(user)
        return user

    def user(self, name, *options, key=None):
        """Somebody with an account, and a box unless --lazy is among the options."""
        user = self.person(name, key)
        try:
            self.ok("create", name, "--ssh-key", user.public_key, *options)
            if "--lazy" not in options:
                user.trust_box()
        except BaseException:
            # A half-made user would be in the way of the next try.
            self.cli("delete", name, "--force")
            self.users.remove(user)
            raise
        return user

    def delete(self, user):
        self.ok("delete", user.name, "--force")
        self.users.remove(user)

    def kill_control(self):
        self.control.kill(signal.SIGKILL)
