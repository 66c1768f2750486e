"""packaging/migrate.sh: from a host with sshd and fail2ban, and from a Containarium jump server, to a real gateway."""
import os
import subprocess

import pytest

from harness.incus import REPO
from harness.user import make_key

MIGRATE = REPO / "packaging/migrate.sh"


def migrate(rig, *arguments):
    env = {**os.environ, "CONTAINARIUM": str(rig.bin / "containarium")}
    return subprocess.run([MIGRATE, "--socket", rig.run_dir / "control.sock", *map(str, arguments)], capture_output=True,
                          text=True, timeout=120, env=env, stdin=subprocess.DEVNULL)


class Host:
    """A made-up host: passwd, shells, home folders, fail2ban's files."""

    def __init__(self, root):
        self.root, self.uid = root, 1000
        (root / "etc/fail2ban/jail.d").mkdir(parents=True)
        self.write("etc/shells", "# valid\n/bin/sh\n/bin/bash\n")
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n")

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def add(self, name, keys=None, shell="/bin/bash", uid=None, file=".ssh/authorized_keys"):
        if f"\n{name}:" not in (text := (self.root / "etc/passwd").read_text()):
            self.write("etc/passwd", f"{text}{name}:x:{uid or self.uid}:100::/home/{name}:{shell}\n")
            self.uid += 1
        if keys is not None:
            self.write(f"home/{name}/{file}", keys)


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "host")


@pytest.fixture
def key(tmp_path):
    """key("name") -> (private key, its line)."""
    def make(name, kind="ed25519"):
        path = make_key(tmp_path / f"key-{name}", kind, comment=f"{name} with blanks")
        return path, open(f"{path}.pub").read().strip()
    return make


@pytest.fixture
def gone(rig):
    """Accounts that a test makes, deleted afterwards."""
    names = []
    yield names.append
    for name in names:
        rig.cli("delete", name, "--force")


def test_everybody_who_can_log_in_and_nobody_else(rig, host, key, gone):
    (one, one_line), (_, two_line), (three, three_line) = key("one"), key("two", "ecdsa"), key("three", "rsa")
    gone("mig-one"), gone("mig-two")
    host.add("mig-one", f"# laptop\n\n{one_line}\r\n  from=\"127.0.0.0/8,!192.0.2.1\",no-pty {two_line}\n")
    host.add("mig-two", three_line, file=".ssh/authorized_keys2")
    host.add("mig-daemon", one_line, uid=998)
    host.add("mig-off", one_line, shell="/usr/sbin/nologin")
    host.add("mig-odd", one_line, shell="/opt/odd-shell")
    dry = migrate(rig, "--root", host.root)
    assert dry.returncode == 0, dry.stderr
    assert "2 users taken over, 0 things not taken; nothing was changed" in dry.stderr
    assert dry.stdout.count("containarium create") == 2 and "create mig-one --ssh-key - --lazy" in dry.stdout
    assert not {"mig-daemon", "mig-off", "mig-odd"} & set(dry.stdout.split())
    assert rig.cli("info", "mig-one").returncode == 3

    for _ in range(2):  # safe to repeat
        run = migrate(rig, "--root", host.root, "--apply")
        assert run.returncode == 0, run.stderr
        keys = rig.json("keys", "list", "mig-one")
        assert len(keys) == 2 and {k["comment"] for k in keys} == {"one with blanks", "two with blanks"}
        assert 'from="127.0.0.0/8,!192.0.2.1",no-pty' in str(keys)
    for name, private in (("mig-one", one), ("mig-two", three)):
        user = rig.person(name, private)
        assert user.ctl("whoami").stdout.startswith(name.encode()), name
        rig.users.remove(user)


def test_what_it_prints_can_be_run(rig, host, key, gone):
    """The dry run's lines are commands for a shell, whatever stands in a comment or option."""
    _, line = key("quote")
    gone("mig-quoted")
    host.add("mig-quoted", f"""command="echo \\"it's $HOME; true\\"" {line} 'quoted' $(touch /tmp/no) `id`\n""")
    dry = migrate(rig, "--root", host.root)
    assert dry.returncode == 0, dry.stderr
    function = f'containarium() {{ {rig.bin}/containarium --socket {rig.run_dir}/control.sock "$@"; }}\n'
    subprocess.run(["bash", "-euo", "pipefail", "-c", function + dry.stdout], check=True, capture_output=True, timeout=60)
    entry, = rig.json("keys", "list", "mig-quoted")
    assert entry["comment"].endswith("""'quoted' $(touch /tmp/no) `id`""")
    assert """echo \\"it's $HOME; true\\\"""" in entry["options"]


def test_what_cannot_be_taken_is_named_with_its_line(rig, host, key, gone):
    (_, good), (_, second) = key("good"), key("second")
    gone("mig-part")
    blob = good.split()[1]
    host.add("mig-part", "\n".join([
        "# first", f"environment=\"A=B\" {good}", f"cert-authority {good}", f"ssh-ed25519 {blob[:-8]} cut", "rubbish",
        f"restrict,pty,permitopen=\"localhost:5432\" {second}", f"tunnel=\"0\",no-pty {good}"]) + "\n")
    host.add("Mig_Name", good)
    host.add("admin", good)
    host.add("mig-none", "# nothing\n")
    host.add("mig-nofile")
    for options in ([], ["--apply"]):
        run = migrate(rig, "--root", host.root, *options)
        assert run.returncode == 1
        file = "/home/mig-part/.ssh/authorized_keys"
        for says in (f"{file}:2: option environment is not known", f"{file}:3: certificates of users",
                     f"{file}:4: this is no public key", f"{file}:5: this is no public key",
                     f"{file}:7: option tunnel is not known", "Mig_Name: a user is called with", "admin: the gateway keeps",
                     "mig-none: there is no key", "mig-nofile: there is no key"):
            assert says in run.stderr, (says, run.stderr)
        assert "1 users taken over, 9 things not taken" in run.stderr
    entry, = rig.json("keys", "list", "mig-part")
    assert entry["options"] == 'restrict,pty,permitopen="localhost:5432"'


def test_the_gateway_has_the_last_word(rig, host, key, gone, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", tmp_path / "short"], check=True)
    _, line = key("long")
    gone("mig-short"), gone("mig-taken")
    host.add("mig-short", (tmp_path / "short.pub").read_text() + line + "\n")
    host.add("mig-taken", line)
    run = migrate(rig, "--root", host.root, "--apply")
    assert run.returncode == 1 and "mig-short/.ssh/authorized_keys:1:" in run.stderr and "RSA" in run.stderr
    assert "mig-taken/.ssh/authorized_keys:1:" in run.stderr and "can belong to one account only" in run.stderr
    assert len(rig.json("keys", "list", "mig-short")) == 1 and rig.cli("info", "mig-taken").returncode == 3


def test_somebody_elses_account_is_not_added_to(rig, host, key, new_user):
    user = new_user("mig-same", "--lazy")
    host.add("mig-same", key("stranger")[1])
    run = migrate(rig, "--root", host.root, "--apply")
    assert run.returncode == 1 and "has an account of this name with other keys" in run.stderr
    assert [k["fingerprint"] for k in rig.json("keys", "list", "mig-same")] == [user.fingerprint]


def test_users_and_places_that_are_named(rig, host, key):
    _, line = key("named")
    host.add("mig-a", line, file="keys/mig-a", shell="/usr/sbin/nologin")
    host.add("mig-b", line)
    host.write("etc/ssh/keys/mig-b", line)
    run = migrate(rig, "--root", host.root, "mig-a", "--keys", "%h/keys/%u")
    assert run.returncode == 0 and "create mig-a" in run.stdout and "mig-b" not in run.stdout
    run = migrate(rig, "--root", host.root, "mig-b", "mig-ghost", "--keys", "/etc/ssh/keys/%u")
    assert run.returncode == 1 and "create mig-b" in run.stdout and "mig-ghost: there is no such user" in run.stderr


def test_fail2ban_becomes_configuration(rig, host, tmp_path):
    host.write("etc/fail2ban/jail.conf", "[DEFAULT]\nignoreip = 127.0.0.1/8 ::1\nbantime = 10m\nfindtime = 10m\nmaxretry = 5\n"
               "[apache]\nmaxretry = 99\n")
    host.write("etc/fail2ban/jail.local", "[DEFAULT]\nignoreip = 127.0.0.1/8, 192.0.2.0/24\n   2001:db8::/32 vpn.example # ours\n"
               "bantime = 1h 30m\n; bantime = 9h\n[sshd]\nenabled = true\nmaxretry = 4\n")
    host.write("etc/fail2ban/jail.d/ssh.local", "[sshd]\nfindtime = 900\n")
    run = migrate(rig, "--root", host.root)
    assert run.returncode == 1 and "vpn.example is a name" in run.stderr
    lines = run.stdout[run.stdout.index("[bans]"):]
    assert lines.splitlines() == ["[bans]", "never = 127.0.0.0/8 192.0.2.0/24 2001:db8::/32", "duration = 5400s",
                                  "window = 900s", "failures = 4"]
    config = tmp_path / "containarium.conf"
    config.write_text(lines)
    check = subprocess.run([rig.bin / "containariumd", "--config", config, "--check"], capture_output=True, text=True)
    assert check.returncode == 0, check.stderr

    host.write("etc/fail2ban/jail.d/ssh.local", "[sshd]\nbantime = -1\n")
    run = migrate(rig, "--root", host.root)
    assert 'bantime: "-1" is no time here' in run.stderr and "duration" not in run.stdout


def test_a_host_without_anything(rig, host, tmp_path):
    run = migrate(rig, "--root", host.root)
    assert run.returncode == 0 and run.stdout == "" and "0 users" in run.stderr
    run = migrate(rig, "--root", tmp_path / "nowhere")
    assert run.returncode == 1 and "cannot read" in run.stderr


def test_boxes_of_a_jump_server_stay_where_they_are(rig, make_rig, host):
    """A real container that another has made, and its user's account on the host, as Containarium leaves them."""
    user = rig.user("mig-box")
    user.ok("echo kept > note; sync")
    host.add("mig-box", user.public_key.read_text(), shell="/usr/sbin/nologin")
    host.add("mig-boxless", user.public_key.read_text())
    other = make_rig()
    options = ("--root", host.root, "--boxes", "--project", rig.incus.project)
    dry = migrate(other, *options)
    assert dry.returncode == 0 and "--static" in dry.stdout and "mig-boxless" not in dry.stdout, dry.stderr
    run = migrate(other, *options, "--apply")
    assert run.returncode == 0, run.stderr
    moved = other.person("mig-box", user.key)
    moved.known_hosts.write_text(other.known_hosts + "".join(
        f"{moved.box} {key}\n" for key in rig.incus.host_keys(user.box)))
    assert moved.ok("cat note", door="jump") == "kept\n"
    refused = moved.ssh("true")
    assert refused.returncode == 255 and b"does not let the gateway in" in refused.stderr, "until its key is in the box"
    command, = run.stdout.splitlines()
    assert "tee -a /home/mig-box/.ssh/authorized_keys" in command
    command = command.replace("/home/mig-box/.ssh/authorized_keys", "/etc/containarium/authorized_keys")  # of our image
    subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.DEVNULL, timeout=30)
    assert moved.ok("cat note") == "kept\n"
    other.users.remove(moved)  # the box is the first gateway's
    other.ok("delete", "mig-box", "--force")
    assert user.ok("cat note") == "kept\n"
    rig.delete(user)
