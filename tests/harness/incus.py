"""Root's own view of Incus: the facts the product has to agree with. The product itself only has its certificate."""
import json
import os
import subprocess
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


class Incus:
    """One Incus project with its network, pool, image and restricted certificate."""

    def __init__(self, project, network, subnet, pool, image, cert_dir, made_here):
        self.project, self.network, self.subnet, self.pool, self.image = project, network, subnet, pool, image
        self.cert_dir = Path(cert_dir)
        self.made_here = made_here

    @classmethod
    def prepare(cls, temp, owner):
        """Uses what CONTAINARIUM_TEST_INCUS_DIR points at, or sets up a project for the tests (see close())."""
        env = os.environ.get
        given = env("CONTAINARIUM_TEST_INCUS_DIR")
        self = cls(
            env("CONTAINARIUM_TEST_INCUS_PROJECT", "containarium-test"),
            env("CONTAINARIUM_TEST_INCUS_NETWORK", "ctntest0"),
            env("CONTAINARIUM_TEST_INCUS_SUBNET", "10.179.0.0/20"),
            env("CONTAINARIUM_TEST_INCUS_POOL", "containarium-test"),
            env("CONTAINARIUM_TEST_INCUS_IMAGE", "containarium-box"),
            given or temp / "incus",
            made_here=not given,
        )
        if self.made_here:
            self._script("incus-setup.sh", *self._names(), "--subnet", self.subnet, "--pool-size", "20GiB",
                         "--cert-dir", self.cert_dir, "--owner", owner)
            self._script("image.sh", "--alias", self.image, *self._names())
        else:
            subprocess.run(["chown", f"{owner}:", self.cert_dir / "client.key"], check=True)
        return self

    def close(self):
        if self.made_here and not os.environ.get("CONTAINARIUM_TEST_KEEP"):
            self._script("incus-setup.sh", *self._names(), "--cert-dir", self.cert_dir, "--down")

    def _names(self):
        return ["--project", self.project, "--network", self.network, "--pool", self.pool]

    @staticmethod
    def _script(name, *arguments):
        run = subprocess.run([REPO / "packaging" / name, *map(str, arguments)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1200)
        assert run.returncode == 0, f"packaging/{name} failed:\n{run.stdout.decode(errors='replace')}"

    @property
    def url(self):
        return (self.cert_dir / "url").read_text().strip()

    @property
    def bridge(self):
        return self.query(f"/1.0/networks/{self.network}")["config"]["ipv4.address"].split("/")[0]

    # ---- the command line of Incus ------------------------------------------------------------------------------

    def run(self, *arguments, stdin=None, check=True, timeout=120):
        run = subprocess.run(["incus", *map(str, arguments), "--project", self.project],
                             input=stdin if stdin is not None else b"", capture_output=True, timeout=timeout)
        assert not check or run.returncode == 0, f"incus {arguments}: {run.stderr.decode(errors='replace')}"
        return run

    def query(self, path, method="GET", data=None):
        """One call of the REST API, by its socket; operations are waited for."""
        argv = ["incus", "query", "--wait", "-X", method]
        if data is not None:
            argv += ["-d", json.dumps(data)]
        run = subprocess.run(argv + [path], capture_output=True, timeout=120)
        assert run.returncode == 0, f"incus query {path}: {run.stderr.decode(errors='replace')}"
        return json.loads(run.stdout) if run.stdout.strip() else None

    def instances(self):
        """Name -> status of every box of the project."""
        return {i["name"]: i["status"]
                for i in self.query(f"/1.0/instances?recursion=1&project={self.project}")}

    def instance(self, name):
        return self.query(f"/1.0/instances/{name}?project={self.project}")

    def status(self, name):
        return self.instances().get(name)

    def address(self, name):
        return self.instance(name)["expanded_devices"]["eth0"]["ipv4.address"]

    def exec(self, name, *argv, stdin=None, check=True):
        """Runs argv as root in the box; .stdout is bytes."""
        run = subprocess.run(["incus", "exec", "--project", self.project, name, "--", *argv],
                             input=stdin if stdin is not None else b"", capture_output=True, timeout=60)
        assert not check or run.returncode == 0, f"in {name}: {argv}: {run.stderr.decode(errors='replace')}"
        return run

    def text(self, name, *argv):
        return self.exec(name, *argv).stdout.decode()

    def host_keys(self, name):
        """The box's public host keys as Incus sees them on its disk: the truth that known_hosts files are made of."""
        keys = []
        for kind in ("ed25519", "ecdsa"):
            text = self.run("file", "pull", f"{name}/etc/ssh/ssh_host_{kind}_key.pub", "-").stdout.decode()
            keys.append(" ".join(text.split()[:2]))
        return keys

    def stop(self, name):
        if self.status(name) != "Stopped":
            self.run("stop", "--force", name)

    def freeze(self, name):
        self.run("pause", name)

    def rescan_quotas(self):
        """btrfs stops enforcing quotas when it loses count, which some kernels (seen: 6.18) do as a snapshot that was
        restored is cleaned up; a rescan makes it count again."""
        pool = f"/var/lib/incus/storage-pools/{self.pool}"
        if self.query(f"/1.0/storage-pools/{self.pool}")["driver"] == "btrfs":
            subprocess.run(["btrfs", "quota", "rescan", "-w", pool], check=True, capture_output=True, timeout=60)

    def delete(self, name):
        self.run("delete", "--force", name, check=False)


class Lifecycle:
    """Incus' own word on what was done to boxes while it listens: [("instance-started", "alice-container"), ...]"""

    def __init__(self, incus):
        self._file = open(os.path.join(incus.cert_dir, "lifecycle.log"), "w+b", buffering=0)
        self._process = subprocess.Popen(["incus", "monitor", "--project", incus.project, "--type", "lifecycle",
                                          "--format", "json"], stdin=subprocess.DEVNULL, stdout=self._file,
                                         stderr=subprocess.DEVNULL)
        self._incus = incus
        self._wait_until_listening()

    def _wait_until_listening(self):
        from .wait import until
        path = f"/1.0/profiles/default?project={self._incus.project}"

        def heard():
            self._incus.query(path, "PATCH", {"description": self._incus.query(path)["description"]})
            return self._events()
        until(heard, 10, "incus monitor listens", every=0.2)

    def _events(self):
        self._file.seek(0)
        return [json.loads(line) for line in self._file.read().splitlines() if line.strip().endswith(b"}")]

    def events(self):
        found = []
        for event in self._events():
            data = event["metadata"]
            found.append((data["action"], data.get("source", "").split("?")[0].rsplit("/", 1)[-1]))
        return found

    def count(self, action, name):
        return self.events().count((action, name))

    def close(self):
        self._process.terminate()
        self._process.wait()
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
