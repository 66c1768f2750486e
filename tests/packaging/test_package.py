"""The Debian package on a machine of its own: a container with systemd, in which the units really run.

The tests go on where the one before ended: an older version is installed, set up, upgraded under live sessions,
reloaded, stopped dead, removed and purged. Users' boxes are the machine's own sshd (the static driver), so no Incus is
needed inside. The older version has the same programs; dpkg replaces them all the same.
"""
import hashlib
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from harness.user import make_key
from harness.wait import until

REPO = Path(__file__).resolve().parents[2]
NAME = "package-test"
DAEMONS = ["containariumd", "containarium-gateway"]
pytestmark = [
    pytest.mark.incus,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("dh") is None, reason="needs debhelper"),
]


def build(output, **environment):
    run = subprocess.run([REPO / "packaging/deb.sh", "--output", output], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=500, env={**os.environ, **environment})
    assert run.returncode == 0, run.stdout + run.stderr
    return sorted(Path(output).glob("*.deb"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """containarium_*.deb and its debug symbols."""
    return build(tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def older(packages, tmp_path_factory):
    """The same with a lower version."""
    folder = tmp_path_factory.mktemp("older")
    subprocess.run(["dpkg-deb", "-R", packages[1], folder / "tree"], check=True)
    control = folder / "tree/DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("".join(f"{'Version: 0.0.9' if l.startswith('Version:') else l}\n" for l in lines))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", folder / "tree", folder / "older.deb"], check=True,
                   stdout=subprocess.DEVNULL)
    return folder / "older.deb"


def test_the_same_sources_give_the_same_bytes(packages, tmp_path):
    elsewhere = tmp_path / "another-place"
    elsewhere.mkdir()
    again = build(tmp_path / "again", TMPDIR=str(elsewhere), TZ="Pacific/Kiritimati", LC_ALL="C")
    assert [p.name for p in packages] == [p.name for p in again]
    for one, other in zip(packages, again):
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest(), one.name


@pytest.mark.skipif(shutil.which("lintian") is None, reason="needs lintian")
def test_lintian_finds_nothing(packages):
    run = subprocess.run(["lintian", "--allow-root", "--display-info", "--fail-on=error,warning,info", *packages],
                         capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_packaged_image_is_that_of_the_sources(incus, packages, tmp_path):
    """The same files with the same modes: else every host would build its boxes' image anew after an upgrade."""
    subprocess.run(["dpkg-deb", "-x", packages[1], tmp_path], check=True)
    run = subprocess.run([tmp_path / "usr/share/containarium/image.sh", "--alias", incus.image, "--project", incus.project,
                          "--network", incus.network, "--pool", incus.pool], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and f"image {incus.image} is there and current" in run.stdout, run.stdout + run.stderr


# ---- the machine ---------------------------------------------------------------------------------------------------


class Machine:
    def __init__(self, incus):
        self.incus = incus

    def sh(self, script, check=True, timeout=180):
        run = subprocess.run(["incus", "exec", "--project", self.incus.project, NAME, "--", "sh", "-c", script],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        assert not check or run.returncode == 0, f"{script}: {run.returncode}: {run.stdout}{run.stderr}"
        return run

    def out(self, script):
        """For what can be asked twice: on a loaded host `incus exec` now and then ends well without its output."""
        for _ in range(5):
            said, end, _ = self.sh(f"set -e; {script}\necho; echo =end=").stdout.rpartition("\n=end=")
            if end:
                return said.strip()
        raise AssertionError(f"no output in five tries: {script}")

    def push(self, path, to):
        self.incus.run("file", "push", "-q", path, f"{NAME}{to}")

    def apt(self, words):
        return self.sh(f"DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends -o Acquire::Retries=3 {words}", timeout=300)

    def unit(self, name, prop):
        return self.out(f"systemctl show --value -p {prop} {name}")

    def pid(self, daemon):
        return self.unit(f"{daemon}.service", "MainPID")

    def active(self, daemon):
        return self.unit(f"{daemon}.service", "ActiveState") == "active"

    def address(self):
        state = self.incus.query(f"/1.0/instances/{NAME}/state?project={self.incus.project}")
        found = [a["address"] for a in state["network"]["eth0"]["addresses"] if a["family"] == "inet"]
        return found[0] if found else None


@pytest.fixture(scope="module")
def machine(incus):
    incus.delete(NAME)
    incus.run("launch", incus.image, NAME)
    machine = Machine(incus)
    try:
        until(lambda: machine.sh("systemctl is-active ssh.service", check=False).returncode == 0, 60, "sshd runs")
        until(machine.address, 30, "the machine has an address")
        # The host's own sshd moves away from port 22, as on every gateway.
        machine.sh("echo Port 2200 >/etc/ssh/sshd_config.d/port.conf; ssh-keygen -A; systemctl restart ssh")
        yield machine
    finally:
        incus.delete(NAME)


class Person:
    """alice, an account of the machine, with a key; at the gateway her box is that machine."""

    def __init__(self, machine, folder):
        self.machine, self.address = machine, machine.address()
        self.key = make_key(folder / "alice")
        self.config = folder / "ssh_config"
        self.config.write_text(f"Host *\n IdentityFile {self.key}\n IdentitiesOnly yes\n BatchMode yes\n"
                               f" StrictHostKeyChecking no\n UserKnownHostsFile {folder}/known_hosts\n LogLevel ERROR\n")
        machine.sh("useradd -m -s /bin/sh alice && usermod -p '*' alice && mkdir -m 700 ~alice/.ssh")
        machine.push(f"{self.key}.pub", "/root/alice.pub")

    def enrol(self):
        made = self.machine.out("containarium create alice --ssh-key /root/alice.pub --role admin --static 127.0.0.1:2200 "
                                "--host-key /etc/ssh/ssh_host_ed25519_key.pub")
        gateway_key = next(line.strip() for line in made.splitlines() if line.strip().startswith("ssh-ed25519"))
        self.machine.sh(f"{{ cat /root/alice.pub; echo '{gateway_key}'; }} >~alice/.ssh/authorized_keys; "
                        "chown -R alice: ~alice/.ssh")

    def argv(self, *words):
        return ["ssh", "-F", self.config, *words]

    def ssh(self, *words):
        return subprocess.run(self.argv(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def ctl(self, *words):
        return self.ssh(f"ctl@{self.address}", *words)


class Session:
    """A live one: what goes in comes back."""

    def __init__(self, person, *words):
        self.process = subprocess.Popen(person.argv(*words, "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.lives()

    def lives(self):
        line = os.urandom(8).hex().encode() + b"\n"
        self.process.stdin.write(line)
        self.process.stdin.flush()
        got = self.process.stdout.readline()
        assert got == line, (got, self.process.poll(), got or self.process.stderr.read())

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)


@pytest.fixture(scope="module")
def alice(machine, tmp_path_factory):
    return Person(machine, tmp_path_factory.mktemp("alice"))


@pytest.fixture
def sessions(alice):
    """One through each door."""
    live = [Session(alice, f"alice@{alice.address}"),
            Session(alice, "-J", f"alice@{alice.address}", "alice@alice-container")]
    yield live
    for session in live:
        session.close()


# ---- its life --------------------------------------------------------------------------------------------------------


def test_installation_starts_nothing(machine, older):
    machine.push(older, "/root/older.deb")
    machine.apt("update")
    machine.apt("install /root/older.deb nftables")
    assert machine.unit("containarium.target", "UnitFileState") == "disabled"
    for unit in ("containarium.target", "containariumd.service", "containarium-gateway.service", "containarium-gateway.socket"):
        assert machine.unit(unit, "ActiveState") == "inactive"
    assert machine.out("stat -c '%U %a' /var/lib/containarium /etc/containarium/hostkeys") == \
        "containarium 700\ncontainarium-gateway 755"
    assert machine.sh("containariumd --check && containarium-gateway --check").stdout == ""


def test_setup_ends_with_a_login(machine, alice):
    said = machine.out("containarium-setup --no-boxes --user boss")
    assert f"\n    ssh boss@{alice.address}\n" in said
    alice.enrol()
    run = alice.ssh(f"alice@{alice.address}", "id -un; cat /proc/sys/kernel/hostname")
    assert run.stdout.split() == ["alice", NAME], run.stderr
    run = alice.ctl("whoami")
    assert run.returncode == 0 and "alice" in run.stdout, run.stderr
    assert machine.unit("containarium.target", "UnitFileState") == "enabled"


def test_setup_again_changes_nothing(machine):
    key = machine.out("cat /etc/containarium/hostkeys/*.pub /etc/containarium/containarium.conf")
    machine.sh("containarium-setup --no-boxes --user boss")
    assert machine.out("cat /etc/containarium/hostkeys/*.pub /etc/containarium/containarium.conf") == key


def test_setup_moves_to_another_port_and_back(machine, alice):
    for port in ("2222", "22"):
        machine.sh(f"containarium-setup --no-boxes --user boss --port {port}")
        listening = machine.out("ss -Hltn | awk '{ print $4 }'").split()
        assert [a for a in listening if a.endswith((":22", ":2222"))] == [f"0.0.0.0:{port}", f"[::]:{port}"]
        run = alice.ssh("-p", port, f"alice@{alice.address}", "id -un")
        assert run.stdout == "alice\n", run.stderr


@pytest.mark.parametrize("arguments, complaint", [
    ("--port 0", "--port 0"), ("--user root", "--user root"), ("--port 2200 --no-boxes --user boss", "port 2200 is taken"),
    ("", "Incus is not installed"),
])
def test_setup_says_what_is_wrong(machine, arguments, complaint):
    before = machine.out("cat /etc/containarium/containarium.conf")
    run = machine.sh(f"systemctl stop containarium.target; containarium-setup {arguments}; code=$?; "
                     "systemctl start containarium.target; exit $code", check=False)
    assert run.returncode == 1 and complaint in run.stderr, run.stderr
    assert machine.out("cat /etc/containarium/containarium.conf") == before


def test_the_daemons_are_confined(machine):
    for daemon, user in zip(DAEMONS, ("containarium", "containarium-gateway")):
        status = dict(line.split(":\t", 1) for line in machine.out(f"cat /proc/{machine.pid(daemon)}/status").splitlines()
                      if ":\t" in line)
        uid = machine.out(f"id -u {user}")
        assert status["Uid"].split() == [uid] * 4
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == int(status["CapAmb"], 16) == 0
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        assert machine.sh(f"nsenter -t {machine.pid(daemon)} -m -- touch /etc/x", check=False).returncode != 0
    gateway = machine.pid("containarium-gateway")
    links = machine.out(f"cat /proc/{gateway}/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in links] == ["lo"]
    assert machine.out(f"nsenter -t {gateway} -m -- stat -c %a /var/lib/containarium") == "0"  # systemd's empty stand-in


def test_the_target_stops_and_starts_everything(machine, alice):
    machine.sh("systemctl stop containarium.target")
    until(lambda: machine.sh("ss -Hltn 'sport = :22'").stdout == "", 20, "the port is closed")
    assert alice.ctl("version").returncode == 255
    assert not any(machine.active(daemon) for daemon in DAEMONS), "a connection must not bring it back"
    machine.sh("systemctl start containarium.target")
    assert alice.ctl("version").returncode == 0


def test_the_firewall_unit_loads_its_rules(machine):
    machine.sh("mkdir -p /var/lib/containarium-setup; echo 'table inet containarium_x { chain c { }; }' "
               ">/var/lib/containarium-setup/firewall-x.nft")
    machine.sh("systemctl start containarium-firewall@x.service")
    assert "chain c" in machine.out("nft list table inet containarium_x")
    machine.sh("systemctl stop containarium-firewall@x.service; nft delete table inet containarium_x; "
               "rm -r /var/lib/containarium-setup")


def test_the_journal_knows_levels_and_sshds_words(machine):
    lines = [json.loads(line) for line in machine.out("journalctl -o json -u containariumd -p warning").splitlines()]
    own = [line for line in lines if "prog=containariumd" in line["MESSAGE"]]
    assert own and all(line["PRIORITY"] in "34" and "level=info" not in line["MESSAGE"] for line in own)
    assert "Accepted publickey for alice from" in machine.out("journalctl -o cat -u containariumd")


def test_an_upgrade_keeps_live_sessions_and_refuses_nobody(machine, alice, sessions, packages):
    machine.push(packages[1], "/root/new.deb")
    before = {daemon: machine.pid(daemon) for daemon in DAEMONS}
    done, logins = threading.Event(), []

    def log_in():  # as long as the upgrade takes
        while not done.is_set():
            logins.append(alice.ssh("-J", f"alice@{alice.address}", "alice@alice-container", "true"))

    thread = threading.Thread(target=log_in)
    thread.start()
    try:
        machine.apt("install /root/new.deb")
    finally:
        done.set()
        thread.join()
    assert machine.out("dpkg-query -W -f '${Version}' containarium") != "0.0.9"
    for session in sessions:
        session.lives()
    for daemon in DAEMONS:
        assert machine.active(daemon) and machine.pid(daemon) != before[daemon]
        assert machine.out(f"readlink /proc/{machine.pid(daemon)}/exe") == f"/usr/sbin/{daemon}"
    # The sessions still run the program that is gone, and nobody else does.
    until(lambda: machine.out("for pid in $(pgrep -u containarium-gateway); do readlink /proc/$pid/exe; done; true").count(
        "/usr/sbin/containarium-gateway (deleted)") == 2, 20, "two processes of the old version")
    assert [run.stderr for run in logins if run.returncode != 0] == [] and len(logins) > 1
    started = [int(machine.unit(f"{daemon}.service", "ExecMainStartTimestampMonotonic")) for daemon in DAEMONS]
    assert started[0] < started[1], "the control plane comes first"
    live = json.loads(alice.ctl("sessions", "list", "--json").stdout)
    assert len([s for s in live if s["user"] == "alice"]) >= 2, live  # they came back to the new one


def test_reload_reads_the_configuration_anew(machine, alice, sessions):
    before = {daemon: machine.pid(daemon) for daemon in DAEMONS}
    machine.sh("sed -i 's/^.control.$/&\\npublic_host = reloaded.example/' /etc/containarium/containarium.conf; "
               "sed -i '/^public_host = 10/d' /etc/containarium/containarium.conf")
    machine.sh("systemctl reload containariumd containarium-gateway")
    until(lambda: "reloaded.example" in machine.sh("containarium config show", check=False).stdout, 20, "the new value")
    assert {daemon: machine.pid(daemon) for daemon in DAEMONS} == before
    until(lambda: alice.ctl("version").returncode == 0, 20, "the gateway is back")
    for session in sessions:
        session.lives()


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_wrong_configuration_stops_neither_reload_nor_restart_halfway(machine, daemon, sessions):
    before = machine.pid(daemon)
    machine.sh("cp -p /etc/containarium/containarium.conf /root/good; echo '[nonsense]' >>/etc/containarium/containarium.conf")
    try:
        run = machine.sh(f"systemctl reload {daemon}", check=False)
        assert run.returncode != 0 and machine.active(daemon) and machine.pid(daemon) == before
        assert "nonsense" in machine.out(f"journalctl -o cat -n 20 -u {daemon}")
    finally:
        machine.sh("cp -p /root/good /etc/containarium/containarium.conf")
    machine.sh(f"systemctl reload {daemon}")
    for session in sessions:
        session.lives()


@pytest.mark.parametrize("daemon", DAEMONS)
def test_the_watchdog_ends_a_daemon_that_stands_still(machine, alice, sessions, daemon):
    folder = f"/run/systemd/system/{daemon}.service.d"
    machine.sh(f"mkdir -p {folder}; printf '[Service]\\nWatchdogSec=1\\n' >{folder}/watchdog.conf; "
               f"systemctl daemon-reload; systemctl restart {daemon}")
    try:
        stopped, restarts = machine.pid(daemon), int(machine.unit(f"{daemon}.service", "NRestarts"))
        pings = set()
        until(lambda: pings.add(machine.unit(f"{daemon}.service", "WatchdogTimestampMonotonic")) or len(pings) > 6, 30,
              "3 s of life, a sign of it every half second")
        assert machine.pid(daemon) == stopped and machine.active(daemon), "it was ended although its loop turns"
        machine.sh(f"kill -STOP {stopped}")
        until(lambda: machine.active(daemon) and machine.pid(daemon) not in ("0", stopped), 30, f"{daemon} runs again")
        assert int(machine.unit(f"{daemon}.service", "NRestarts")) == restarts + 1
        assert "Watchdog timeout" in machine.out(f"journalctl -o cat -n 30 -u {daemon}")
    finally:
        machine.sh(f"rm -r {folder}; systemctl daemon-reload; systemctl restart {daemon}")
    for session in sessions:
        session.lives()
    until(lambda: alice.ctl("version").returncode == 0, 20, "logins work")


def test_removal_ends_everything_and_keeps_what_is_the_administrators(machine, sessions):
    machine.apt("remove containarium")
    for session in sessions:
        assert session.process.wait(20) == 255
    assert machine.sh("pgrep -u containarium,containarium-gateway", check=False).stdout == ""
    assert machine.sh("ss -Hltn 'sport = :22'").stdout == ""
    machine.sh("test -s /var/lib/containarium/containarium.db && test -s /etc/containarium/containarium.conf && "
               "test -s /etc/containarium/hostkeys/ssh_host_ed25519_key")
    assert machine.sh("ls /usr/share/containarium /usr/sbin/containariumd", check=False).stdout == ""


def test_installed_again_it_goes_on(machine, alice):
    machine.apt("install /root/new.deb")
    machine.sh("systemctl start containarium.target")
    run = alice.ssh(f"alice@{alice.address}", "id -un")
    assert run.stdout == "alice\n", run.stderr
    machine.apt("remove containarium")


def test_purge_leaves_the_users_numbers_and_nothing_else(machine):
    machine.apt("purge containarium")
    left = machine.out("find / -xdev -path '*containarium*' ! -path '/proc/*' ! -path '/sys/*' ! -path '/tmp/*' | sort")
    # The image of the boxes, which this machine is, has files of that name of its own.
    of_the_image = ("containarium-firstboot", "containarium-resolv", "/usr/lib/containarium", "10-containarium.conf",
                    "journald.conf.d/containarium.conf", "udev-trigger.service.d/containarium.conf", "/run/containarium")
    assert [p for p in left.splitlines() if not any(part in p for part in of_the_image)] == [], left
    assert machine.sh("getent passwd containarium containarium-gateway").stdout.count("\n") == 2
