"""Errors of the configuration name file, line and key and say what is accepted; both daemons check alike."""
import subprocess

import pytest

DAEMONS = ("containariumd", "containarium-gateway")

GOOD = """\
[gateway]
listen = 127.0.0.1:2222 [::1]:2222
login_grace = 20s
[box]
disk = 30GB
cpu = 0-3
memory = 4096MiB
"""

BAD = [
    ("[box]\ndisk = 20 potatoes\n", 2, "[box] disk", ["20 potatoes", "8GB"]),
    ("[box]\n\n# a comment\ncpu = many\n", 4, "[box] cpu", ["many", "0-3"]),
    ("[box]\nautostart = perhaps\n", 2, "[box] autostart", ["perhaps", "yes"]),
    ("[box]\nsubnet = 10.0.0.0/28\n", 2, "[box] subnet", ["/28", "20"]),
    ("[box]\njump_ports = 22 99999\n", 2, "[box] jump_ports", ["99999"]),
    ("[gateway]\nlogin_grace = 20\n", 2, "[gateway] login_grace", ["20", "30s"]),
    ("[gateway]\nlisten = everywhere\n", 2, "[gateway] listen", ["everywhere", ":22"]),
    ("[gateway]\nmax_auth_failures = 0\n", 2, "[gateway] max_auth_failures", ["0", "100"]),
    ("[gateway]\nlogin_gracee = 20s\n", 2, "login_gracee", ["login_grace"]),
    ("[gatewya]\nlisten = 127.0.0.1:22\n", 1, "gatewya", ["gateway"]),
    ("[incus]\nurl = http://127.0.0.1:8443\n", 2, "[incus] url", ["https://"]),
    ("[control]\nstate_dir = var/lib\n", 2, "[control] state_dir", ["var/lib", "/"]),
    ("[log]\nlevel = loud\n", 2, "[log] level", ["loud", "debug info warn error"]),
    ("[box\ndisk = 20GB\n", 1, "", []),
    ("just words\n", 1, "", []),
]


def check(bin_dir, daemon, path):
    return subprocess.run([bin_dir / daemon, "--config", path, "--check"], capture_output=True, text=True, timeout=10)


@pytest.fixture(params=DAEMONS)
def daemon(request):
    return request.param


def test_good_file_passes_silently(bin_dir, daemon, tmp_path):
    path = tmp_path / "containarium.conf"
    path.write_text(GOOD)
    run = check(bin_dir, daemon, path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.parametrize("text, line, key, words", BAD, ids=[b[2] or b[0].split()[0] for b in BAD])
def test_error_names_file_line_key_and_what_is_accepted(bin_dir, daemon, tmp_path, text, line, key, words):
    path = tmp_path / "containarium.conf"
    path.write_text(text)
    run = check(bin_dir, daemon, path)
    assert run.returncode == 2
    assert f"{path}:{line}:" in run.stderr and key in run.stderr, run.stderr
    for word in words:
        assert word in run.stderr, run.stderr


def test_all_errors_are_told_at_once(bin_dir, daemon, tmp_path):
    path = tmp_path / "containarium.conf"
    path.write_text("[box]\ndisk = x\ncpu = y\nmemory = z\n")
    assert len(check(bin_dir, daemon, path).stderr.strip().splitlines()) == 3


def test_missing_file_is_named(bin_dir, daemon, tmp_path):
    run = check(bin_dir, daemon, tmp_path / "nowhere.conf")
    assert run.returncode == 2 and "nowhere.conf" in run.stderr


def test_does_not_start_with_a_bad_file(bin_dir, daemon, tmp_path):
    path = tmp_path / "containarium.conf"
    path.write_text(BAD[0][0])
    run = subprocess.run([bin_dir / daemon, "--config", path], capture_output=True, text=True, timeout=10)
    assert run.returncode == 2 and "20 potatoes" in run.stderr


def test_dump_reads_back_the_same(bin_dir, tmp_path):
    path, again = tmp_path / "containarium.conf", tmp_path / "again.conf"
    path.write_text(GOOD)
    dump = subprocess.run([bin_dir / "containariumd", "--config", path, "--dump"], capture_output=True, text=True,
                          check=True).stdout
    again.write_text(dump)
    assert "disk = 30GB" in dump and "login_grace = 20s" in dump
    assert subprocess.run([bin_dir / "containariumd", "--config", again, "--dump"], capture_output=True, text=True,
                          check=True).stdout == dump


@pytest.mark.parametrize("mode", ["missing", "readable by others", "garbage"])
def test_host_keys(make_rig, mode):
    rig = make_rig(start=False)
    keys = list(rig.host_key_dir.glob("ssh_host_*_key"))
    for key in keys:
        if mode == "missing":
            key.unlink()
        elif mode == "garbage":
            key.write_text("rubbish\n")
        else:
            key.chmod(0o644)
    rig.gateway.start()
    assert rig.gateway.process.wait(10) != 0
    assert str(rig.host_key_dir) in rig.gateway.text()
    assert {"missing": "ssh-keygen", "garbage": "cannot be read", "readable by others": "chmod 600"}[mode] \
        in rig.gateway.text()


def test_port_in_use_is_named(rig, make_rig):
    other = make_rig(start=False, gateway={"listen": f"127.0.0.1:{rig.port}"})
    other.gateway.start()
    assert other.gateway.process.wait(10) != 0
    assert f"127.0.0.1:{rig.port}" in other.gateway.text()
