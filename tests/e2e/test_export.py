"""What `export` prints, pasted into an ssh_config, is all a laptop needs: no question, no trust on first use."""
import subprocess

import pytest


@pytest.fixture
def laptop(rig, alice, tmp_path):
    """An ssh_config that holds the exported text and nothing else."""
    config = tmp_path / "config"
    config.write_text(rig.ok("export", "alice", "--jump-ip", "127.0.0.1", "--port", rig.port, "--key", alice.key))
    return config


def ssh(config, *words, options=()):
    """No known_hosts file at all, and no question allowed."""
    return subprocess.run(["ssh", "-F", config, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
                           "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null",
                           *options, *words], capture_output=True, timeout=60, stdin=subprocess.DEVNULL)


def with_defaults(config):
    """-o reaches only the last hop: the same for both, from the file."""
    config.write_text(config.read_text() + "\nHost *\n    BatchMode yes\n    StrictHostKeyChecking yes\n"
                      "    UserKnownHostsFile /dev/null\n    GlobalKnownHostsFile /dev/null\n")
    return config


def test_no_question_is_asked(laptop):
    run = ssh(with_defaults(laptop), "alice-dev", "whoami; hostname")
    assert (run.returncode, run.stdout, run.stderr) == (0, b"alice\nalice-container\n", b"")


def test_its_header_and_hosts(rig, laptop):
    text = laptop.read_text()
    assert "# User: alice" in text and "# Generated: " in text
    assert "Host containarium-jump" in text and "ProxyJump containarium-jump" in text
    assert str(rig.port) in text


def test_a_gateway_with_another_key_is_not_trusted(rig, laptop, make_rig):
    other = make_rig()
    laptop.write_text(laptop.read_text().replace(f"Port {rig.port}", f"Port {other.port}"))
    run = ssh(with_defaults(laptop), "alice-dev", "true")
    assert run.returncode == 255 and b"verification failed" in run.stderr


def test_a_box_with_another_key_is_not_trusted(rig, new_user, tmp_path):
    user = new_user("rekeyed")
    config = with_defaults(tmp_path / "config") if (tmp_path / "config").write_text(
        rig.ok("export", user.name, "--jump-ip", "127.0.0.1", "--port", rig.port, "--key", user.key)) else None
    assert ssh(config, "rekeyed-dev", "true").returncode == 0
    rig.incus.exec(user.box, "sh", "-c", "rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh")
    run = ssh(config, "rekeyed-dev", "true")
    assert run.returncode == 255 and b"verification failed" in run.stderr
    run = user.ssh("true")
    assert run.returncode == 255 and b"key" in run.stderr.lower(), "nor does the gateway itself trust it"


def test_survives_a_stopped_box(rig, alice, laptop):
    rig.incus.stop(alice.box)
    assert ssh(with_defaults(laptop), "alice-dev", "echo up").stdout == b"up\n"


def test_own_ssh_config_over_ssh(rig, alice, tmp_path):
    """Without --jump-ip the configured public host is used."""
    config = tmp_path / "config"
    run = alice.ctl("export", "--key", str(alice.key))
    assert run.returncode == 0, run.stderr
    config.write_bytes(run.stdout)
    assert ssh(with_defaults(config), "alice-dev", "whoami").stdout == b"alice\n"


def test_output_file(rig, alice, tmp_path):
    path = tmp_path / "alice.conf"
    rig.ok("export", "alice", "--jump-ip", "127.0.0.1", "--port", rig.port, "--key", alice.key, "--output", path)
    assert "Host alice-dev" in path.read_text()


def test_bad_host_cannot_inject(rig, alice):
    run = rig.cli("export", "alice", "--jump-ip", "x\n    ProxyCommand touch /tmp/pwned")
    assert run.returncode == 2 and b"ProxyCommand" not in run.stdout
