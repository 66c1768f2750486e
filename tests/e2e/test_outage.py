"""Incus is down, the disk is full: people are told, nothing is done without a record, and all heals by itself."""
import subprocess
import time

import pytest

from harness.proxy import Proxy
from harness.rig import CONTROL_USER, Rig


# ---- Incus ---------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def proxy(incus):
    host, port = incus.url.removeprefix("https://").split(":")
    proxy = Proxy(host, int(port))
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def behind(incus, temp, proxy):
    """A gateway that reaches Incus through the proxy."""
    rig = Rig(incus, temp, incus={"url": proxy.url, "timeout": "5s"}, box={"wake_deadline": "20s"}).start()
    yield rig
    proxy.passing()
    rig.stop()


@pytest.fixture(scope="module")
def dora(behind):
    return behind.user("dora")


@pytest.fixture
def broken(proxy, request):
    yield getattr(proxy, request.param)
    proxy.passing()


BROKEN = pytest.mark.parametrize("broken", ["refusing", "hanging"], indirect=True)


@BROKEN
def test_wake_while_incus_is_down(behind, dora, proxy, door, broken):
    behind.incus.stop(dora.box)
    broken()
    began = time.monotonic()
    run = dora.ssh("echo ran", door=door, timeout=60)
    assert run.returncode == 255 and run.stdout == b""
    assert b"cannot be woken" in run.stderr and b"try again" in run.stderr, run.stderr
    assert time.monotonic() - began < 30, "it must not hang for ever"
    proxy.passing()
    assert dora.ok("echo ran", door=door) == "ran\n", "recovery without a restart of ours"


@BROKEN
def test_first_login_while_incus_is_down(behind, proxy, broken):
    user = behind.user(f"erin-{broken.__name__}", "--lazy")
    broken()
    run = user.ssh("echo ran", timeout=60)
    assert run.returncode == 255 and run.stdout == b"" and b"try again" in run.stderr, run.stderr
    proxy.passing()
    assert user.ok("echo ran") == "ran\n"
    behind.delete(user)


@BROKEN
def test_live_sessions_do_not_need_incus(behind, dora, proxy, door, broken):
    with dora.open("echo in; exec cat", door=door) as live:
        assert live.stdout.readline() == b"in\n"
        broken()
        live.stdin.write(b"still here\n")
        assert live.stdout.readline() == b"still here\n"
        live.stdin.close()
        assert live.wait(10) == 0


@BROKEN
def test_commands_while_incus_is_down(behind, dora, proxy, broken):
    broken()
    for verb in (["start", dora.name], ["stop", dora.name]):
        run = behind.cli(*verb, timeout=60)
        assert run.returncode == 1 and b"Incus" in run.stderr, (verb, run.stderr)
    assert dora.name in behind.ok("list"), "what the store knows is listed all the same"
    proxy.passing()
    behind.ok("start", dora.name)


@BROKEN
def test_create_while_incus_is_down_can_be_repeated(behind, proxy, broken):
    user = behind.person(f"finn-{broken.__name__}")
    broken()
    run = behind.cli("create", user.name, "--ssh-key", user.public_key, timeout=60)
    assert run.returncode == 1 and run.stderr
    proxy.passing()
    behind.ok("create", user.name, "--ssh-key", user.public_key)
    user.trust_box()
    assert user.ok("whoami", door="jump") == f"{user.name}\n"
    behind.delete(user)


def test_incus_goes_away_in_the_middle_of_a_start(behind, dora, proxy):
    behind.incus.stop(dora.box)
    login = dora.open("echo ran", stdin=subprocess.DEVNULL)
    time.sleep(0.3)  # somewhere in the middle; wherever it is, the outcome must be one of the two
    proxy.refusing()
    out, err = login.communicate(timeout=60)
    assert (login.returncode, out) == (0, b"ran\n") or (login.returncode == 255 and out == b"" and err), (out, err)
    proxy.passing()
    assert dora.ok("echo ran") == "ran\n"


def test_a_start_that_cannot_work_is_told_in_incus_words(make_rig, incus, dora):
    """Somebody else has the box's address: no retry helps, and the reason is what an administrator needs."""
    rig = make_rig(incus={"timeout": "8s"}, box={"wake_deadline": "8s", "address_first": incus.address(dora.box)})
    assert incus.status(dora.box) == "Running"
    user = rig.person("twin")
    run = rig.cli("create", user.name, "--ssh-key", user.public_key)
    assert run.returncode == 1 and b"already" in run.stderr and b"eth0" in run.stderr, run.stderr


def test_another_server_on_incus_port_is_not_talked_to(make_rig, incus, tmp_path):
    """The certificate is pinned: somebody else's answers are refused, whatever name they bear."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", tmp_path / "key", "-out", tmp_path / "crt"], check=True, capture_output=True)
    rig = make_rig(incus={"server_certificate": copy_for(CONTROL_USER, tmp_path / "crt", incus.cert_dir)})
    user = rig.person("greta")
    run = rig.cli("create", user.name, "--ssh-key", user.public_key)
    assert run.returncode != 0 and b"certificate" in run.stderr.lower(), run.stderr
    assert user.box not in incus.instances()


def copy_for(owner, path, folder):
    """tmp_path is root's own; the daemon needs to read it."""
    target = folder / f"other-{path.name}"
    target.write_bytes(path.read_bytes())
    target.chmod(0o644)
    return target


# ---- the disk --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def small(incus, temp):
    """A gateway whose store lies on a disk of 48 MB."""
    rig = Rig(incus, temp)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs", rig.state_dir], check=True)
    subprocess.run(["chown", f"{CONTROL_USER}:", rig.state_dir], check=True)
    rig.start()
    yield rig
    rig.stop()
    subprocess.run(["umount", rig.state_dir], check=True)


@pytest.fixture(scope="module")
def hugo(small):
    return small.user("hugo")


@pytest.fixture
def full(small):
    """Fills the disk to the last byte; gives it back afterwards."""
    ballast = small.state_dir / "ballast"

    def fill():
        with open(ballast, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass

    fill.free = lambda: ballast.unlink(missing_ok=True)
    yield fill
    fill.free()


def test_full_disk_refuses_logins_with_the_reason(small, hugo, full, door):
    full()
    run = hugo.ssh("touch /tmp/ran; echo ran", door=door)
    assert run.returncode == 255 and run.stdout == b""
    assert b"disk" in run.stderr and b"full" in run.stderr, run.stderr
    full.free()
    assert hugo.ok("ls /tmp/ran 2>&1 || true", door=door).strip().endswith("No such file or directory")
    assert hugo.ok("echo ran", door=door) == "ran\n"


def test_full_disk_refuses_commands_that_change_something(small, hugo, full):
    full()
    run = small.cli("stop", hugo.name)
    assert run.returncode != 0 and run.stderr
    assert small.incus.status(hugo.box) == "Running", "without a record it is not begun"
    assert hugo.name in small.ok("list"), "reading goes on"
    full.free()
    small.ok("stop", hugo.name)
    small.ok("start", hugo.name)


def test_disk_fills_up_during_a_session(small, hugo, full, door):
    """What is open goes on; a new channel is an access too and needs its record."""
    with hugo.open("echo in; exec cat", door=door) as live:
        assert live.stdout.readline() == b"in\n"
        full()
        live.stdin.write(b"still here\n")
        assert live.stdout.readline() == b"still here\n"
        live.stdin.close()
        assert live.wait(10) == 0
    full.free()
    assert hugo.ok("echo ran", door=door) == "ran\n"


def test_trail_is_whole_after_all_that(small, hugo):
    assert "whole" in small.ok("audit", "verify")
