"""The start-up script on a server: a container with systemd, with a loop disk as the data disk.

The script is the one Terraform renders, but for the package's address, which is a file here. It installs the real
package and Incus, makes the image, starts the gateway; boxes run in that Incus, in the container. The tests go on where
the one before ended: a first start, a second run, a server cut off, and another server with the same disk.
"""
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import REPO, startup_scripts
from harness.user import make_key
from harness.wait import until

NAME = "startup-test"
URL = "https://example.com/containarium.deb"
CACHE = Path("/var/cache/containarium")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")

pytestmark = [
    pytest.mark.incus,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not (REPO / "packaging/deb.sh").exists(), reason="this tree has no packaging/deb.sh"),
    pytest.mark.skipif(shutil.which("dh") is None, reason="needs debhelper, to build the package"),
]

# systemd mounts "cpu,cpuacct" together; where the machine has them apart, liblxc does not find them in the container.
MOUNT_CONTROLLERS = """
mount -o remount,rw /sys/fs/cgroup
while IFS=: read -r _ names _; do
    case $names in '' | name=*) continue ;; esac
    place=/sys/fs/cgroup/$names
    grep -q " $place cgroup" /proc/mounts && continue
    [ ! -L "$place" ] || rm "$place"
    mkdir -p "$place" && mount -t cgroup -o "$names" cgroup "$place"
done </proc/self/cgroup
"""


class Server:
    """A container that stands for a server; its data disks are loop devices of this machine."""

    def __init__(self, incus, folder):
        self.incus, self.folder = incus, folder
        self.disks = {}

    def cli(self, *arguments, check=True, timeout=300):
        result = subprocess.run(["incus", *map(str, arguments), "--project", "default"], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=timeout)
        assert not check or result.returncode == 0, f"incus {arguments}: {result.stdout}{result.stderr}"
        return result

    def disk(self, name, size="12G"):
        subprocess.run(["truncate", "-s", size, self.folder / name], check=True)
        self.disks[name] = subprocess.run(["losetup", "--find", "--show", self.folder / name], check=True, text=True,
                                          capture_output=True).stdout.strip()
        return self.disks[name]

    def make(self):
        """A new server, with nothing on it but Debian."""
        self.delete()
        # Mounting a disk takes privileges that the tests' own project rightly refuses.
        self.cli("init", self.incus.image, NAME, "--no-profiles", "-s", self.incus.pool, "-n", self.incus.network,
                 "-c", "security.privileged=true", "-c", "security.nesting=true")
        # What was downloaded and bootstrapped before.
        for name, path in (("apt-archives", "/var/cache/apt/archives"), ("image", "/var/cache/containarium/image")):
            (CACHE / name).mkdir(parents=True, exist_ok=True)
            self.cli("config", "device", "add", NAME, name, "disk", f"source={CACHE / name}", f"path={path}")
        self.start()

    def attach(self, name):
        """As the cloud does: the disk has the name that udev makes of its device name."""
        if "data" in self.incus.query(f"/1.0/instances/{NAME}")["devices"]:
            self.cli("config", "device", "remove", NAME, "data")
        self.cli("config", "device", "add", NAME, "data", "unix-block", f"source={self.disks[name]}",
                 f"path={self.disks[name]}")
        link = f"L+ /dev/disk/by-id/google-containarium-data - - - - {self.disks[name]}"
        self.sh(f"printf '%s\\n' 'd /dev/disk/by-id 0755' '{link}' >/etc/tmpfiles.d/disk.conf && "
                "systemd-tmpfiles --create disk.conf")

    def start(self):
        self.cli("start", NAME)
        until(lambda: self.sh("systemctl is-active ssh.service", check=False).returncode == 0, 60, "sshd runs")
        until(lambda: self.address, 30, "the server has an address")
        self.sh(MOUNT_CONTROLLERS)
        # Packages of a container that lives for two minutes need not be on its disk before the next is unpacked.
        self.sh("echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/test")

    def cut_off(self):
        self.cli("stop", "--force", NAME)

    def delete(self):
        self.cli("delete", "--force", NAME, check=False)

    @property
    def address(self):
        network = self.incus.query(f"/1.0/instances/{NAME}/state")["network"]["eth0"]
        return next((a["address"] for a in network["addresses"] if a["family"] == "inet"), None)

    def sh(self, script, check=True, timeout=60):
        result = self.cli("exec", NAME, "--", "bash", "-c", script, check=False, timeout=timeout)
        assert not check or result.returncode == 0, f"{script}: {result.stdout}{result.stderr}"
        return result

    def out(self, script):
        return self.sh(script).stdout.strip()

    def run_startup(self):
        return self.sh("DISK_WAIT=1 /root/startup.sh 2>&1", check=False, timeout=300)

    @property
    def state(self):
        return self.out("cat /run/containarium-startup/state")

    def pids(self):
        return self.out("systemctl show --value -p MainPID containariumd containarium-gateway incus ssh")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """olivia's, who is in Terraform's variables, and bob's."""
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_key(folder / name) for name in ("olivia", "bob")}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    subprocess.run([REPO / "packaging/deb.sh", "--output", folder], check=True, stdin=subprocess.DEVNULL,
                   capture_output=True, timeout=300)
    return next(folder.glob("containarium_*.deb"))


@pytest.fixture(scope="module")
def script(terraform, package, keys, tmp_path_factory):
    plan = terraform.plan(
        "one-spot-server", storage_driver="btrfs", load_balancer=True,
        box={"disk": "2GB", "memory": "512MB", "image_source": "mirror"},
        gateway_admins={"olivia": Path(f"{keys['olivia']}.pub").read_text().strip()},
        install={"deb_url": URL, "sha256": hashlib.sha256(package.read_bytes()).hexdigest()})
    text = startup_scripts(plan)["containarium-1"]
    assert URL in text
    path = tmp_path_factory.mktemp("script") / "startup.sh"
    path.write_text(text.replace(URL, "file:///root/containarium.deb"))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def server(incus, tmp_path_factory):
    # What Incus' own package sets where systemd reads it; systemd in containers needs it.
    before = INOTIFY.read_text()
    INOTIFY.write_text(str(max(1024, int(before))))
    server = Server(incus, tmp_path_factory.mktemp("disks"))
    yield server
    server.delete()
    for device in server.disks.values():
        subprocess.run(["losetup", "--detach", device], check=False)
    for image in server.folder.iterdir():
        image.unlink()
    INOTIFY.write_text(before)


def boxes(server):
    lines = server.out("incus list --project containarium -f csv -c ns").splitlines()
    return {name: status.capitalize() for name, status in (line.split(",") for line in lines)}


def bring(server, script, package):
    server.cli("file", "push", "-q", script, f"{NAME}/root/startup.sh")
    server.cli("file", "push", "-q", package, f"{NAME}/root/containarium.deb")


@pytest.fixture(scope="module")
def ssh(server, keys, tmp_path_factory):
    """ssh(who, *command) as a user's laptop, to which the gateway's host key must stay the same for good."""
    known = tmp_path_factory.mktemp("laptop") / "known_hosts"

    def run(target, *command, key="olivia", port=22, popen=False, stdin=""):
        argv = ["ssh", "-F", "none", "-i", keys[key], "-p", str(port), "-o", "IdentitiesOnly=yes",
                "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={known}",
                "-o", "HostKeyAlias=gateway", "-o", "LogLevel=ERROR", f"{target}@{server.address}", *command]
        if popen:
            return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=90)
    return run


def test_a_first_start_on_a_blank_disk(server, script, package):
    server.disk("data")
    server.make()
    server.attach("data")
    bring(server, script, package)
    # As a cloud's image may have it.
    server.sh("printf 'Port 22\\nListenAddress 0.0.0.0:22\\n' >/etc/ssh/sshd_config.d/50-cloud.conf; "
              "systemctl restart ssh")
    result = server.run_startup()
    assert result.returncode == 0, result.stdout
    assert "creating a btrfs file system" in result.stdout
    assert server.state.startswith("ready: since ")


def test_ports_are_the_gateways_and_the_administrators(server):
    listening = server.out("ss -Hltnp")
    by_port = {line.split()[3].rsplit(":", 1)[1]: line for line in listening.splitlines()
               if not line.split()[3].startswith(("127.", "[::1]", "10.178."))}
    assert set(by_port) == {"22", "2200", "2201"}, listening
    assert '"sshd"' in by_port["2200"] and '"sshd"' not in by_port["22"]


def test_a_user_lands_in_a_box(server, ssh):
    result = ssh("olivia", "hostname; echo precious >kept; sync")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "olivia-container"
    assert server.out("incus config device get olivia-container root size --project containarium") == "2000000000B"


def test_a_box_reaches_no_metadata(ssh):
    result = ssh("olivia", "curl -sS --max-time 5 http://169.254.169.254/computeMetadata/v1/")
    assert result.returncode == 7, result.stdout + result.stderr  # refused at once, not lost


def test_the_balancers_port_is_the_gateway_too(ssh, keys):
    made = ssh("ctl", "create", "bob", "--ssh-key", "-", "--no-autostart", port=2201,
               stdin=Path(f"{keys['bob']}.pub").read_text())
    assert made.returncode == 0, made.stderr
    assert ssh("bob", "hostname", key="bob", port=2201).stdout == "bob-container\n"
    assert ssh("ctl", "stop", "bob", port=2201).returncode == 0


def test_a_second_run_changes_nothing(server, ssh):
    session = ssh("olivia", "cat", popen=True)
    session.stdin.write(b"before\n")
    session.stdin.flush()
    assert session.stdout.readline() == b"before\n"
    before = server.pids()
    result = server.run_startup()
    assert result.returncode == 0, result.stdout
    for words in ("creating", "installing", "fetching"):
        assert words not in result.stdout, result.stdout
    assert server.pids() == before
    session.stdin.write(b"after\n")
    session.stdin.flush()
    assert session.stdout.readline() == b"after\n"
    session.stdin.close()
    assert session.wait(20) == 0


def test_a_server_that_was_cut_off_finds_everything(server, ssh):
    """And a configuration that was changed by hand is kept beside what the variables say now."""
    records = server.out("containarium audit verify")
    server.sh("echo '# mine' >>/etc/containarium/containarium.conf; "
              "sed -i \"s/^BOX_MEMORY=.*/BOX_MEMORY='1GB'/\" /root/startup.sh; sync")
    server.cut_off()
    server.start()
    # Before the script has run nothing may have started on the boot disk.
    assert server.sh("systemctl is-active incus containariumd containarium-gateway", check=False).stdout.split() == \
        ["inactive"] * 3
    assert not server.sh("ls /var/lib/incus/database /var/lib/containarium/containarium.db", check=False).stdout
    assert '"sshd"' in server.out("ss -Hltnp sport = :2200") and not server.out("ss -Hltnp sport = :22")
    result = server.run_startup()
    assert result.returncode == 0 and "was changed by hand and is kept" in result.stdout, result.stdout
    assert "# mine" in server.out("cat /etc/containarium/containarium.conf")
    assert "memory = 1GB" in server.out("cat /etc/containarium/containarium.conf.new")
    until(lambda: boxes(server)["olivia-container"] == "Running", 30, "a box that starts with its server runs")
    assert boxes(server)["bob-container"] == "Stopped"
    assert ssh("olivia", "cat kept").stdout == "precious\n"
    assert server.out("containarium audit verify").startswith("The audit trail is whole")
    assert int(server.out("containarium audit verify").split()[-2]) > int(records.split()[-2])


def test_another_server_without_a_disk_refuses(server, ssh, script, package):
    server.make()
    bring(server, script, package)
    result = server.run_startup()
    assert result.returncode != 0
    assert "refused: there is no data disk" in result.stdout
    assert server.state.startswith("failed: look at the data disk: there is no data disk")
    # Administrators get in all the same, and users meet no sshd of the server's.
    assert '"sshd"' in server.out("ss -Hltnp sport = :2200") and not server.out("ss -Hltnp sport = :22")
    assert server.sh("command -v containarium incusd", check=False).stdout == ""


def test_another_server_with_foreign_data_refuses(server):
    foreign = server.disk("foreign", "64M")
    subprocess.run(["mkfs.ext4", "-q", "-L", "backup", foreign], check=True)
    before = hashlib.sha256(Path(foreign).read_bytes()).digest()
    server.attach("foreign")
    result = server.run_startup()
    assert result.returncode != 0
    assert "holds ext4" in result.stdout and "it is not touched" in result.stdout, result.stdout
    assert hashlib.sha256(Path(foreign).read_bytes()).digest() == before


def test_another_server_with_the_disk_has_the_boxes(server, ssh):
    """The boot disk is gone with all that was installed; users notice nothing, not even another host key."""
    # Users get other numbers here.
    server.sh("useradd --system --user-group first-come")
    server.attach("data")
    result = server.run_startup()
    assert result.returncode == 0, result.stdout
    assert "creating" not in result.stdout
    assert server.state.startswith("ready: since ")
    until(lambda: boxes(server)["olivia-container"] == "Running", 30, "a box that starts with its server runs")
    result = ssh("olivia", "cat kept")
    assert result.stdout == "precious\n", result.stderr
    assert server.out("containarium audit verify").startswith("The audit trail is whole")
    assert "# mine" in server.out("cat /etc/containarium/containarium.conf")
