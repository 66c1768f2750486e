"""resize: other limits while the box runs, read where they count: in the box's own cgroup and quota."""
import pytest

from harness.wait import until

MEMORY_LIMIT = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
PAGE = 4096


@pytest.fixture(scope="module")
def rita(rig):
    user = rig.user("rita", "--memory", "512MB", "--cpu", "1", "--disk-quota", "1500MB")
    yield user
    rig.delete(user)


def memory_limit(user):
    return int(user.ok(MEMORY_LIMIT))


def writes(user, size):
    """Does a file of so many bytes fit?"""
    run = user.ssh(f"head -c {size} /dev/zero > big && sync big; s=$?; rm -f big; exit $s", timeout=120)
    return run.returncode == 0


def test_limits_change_under_a_live_session(rig, rita):
    rig.incus.rescan_quotas()
    rig.ok("resize", rita.name, "--memory", "512MB", "--cpu", "1", "--disk", "1500MB")
    assert memory_limit(rita) == 512_000_000 // PAGE * PAGE and rita.ok("nproc") == "1\n"
    assert not writes(rita, 1_700_000_000), "the premise: the quota holds"
    with rita.open("echo in; exec cat") as live:
        assert live.stdout.readline() == b"in\n"
        booted = rita.ok("uptime -s; cat /proc/sys/kernel/random/boot_id")
        out = rig.ok("resize", rita.name, "--cpu", "2", "--memory", "1GiB", "--disk", "3GB", "-v")
        assert "1 core -> 2 cores" in out and "512MB -> 1GiB" in out and "1500MB -> 3GB" in out
        assert memory_limit(rita) == 1 << 30
        until(lambda: rita.ok("nproc") == "2\n", 20, "Incus has given it the second core")
        assert writes(rita, 1_700_000_000)
        live.stdin.write(b"still here\n")
        assert live.stdout.readline() == b"still here\n"
        assert rita.ok("uptime -s; cat /proc/sys/kernel/random/boot_id") == booted, "no restart"
        live.stdin.close()
        assert live.wait(10) == 0
    info = rig.json("info", rita.name)
    assert (info["cpu"], info["memory"], info["disk"]) == ("2", 1 << 30, 3_000_000_000)
    assert rig.audit(user=rita.name, event="box-changed")[-1]["reason"] == "cpu 2 memory 1GiB disk 3GB"


def test_one_limit_leaves_the_others(rig, rita):
    rig.ok("resize", rita.name, "--memory", "2GB", "--cpu", "2", "--disk", "3GB")
    result = rig.json("resize", rita.name, "--memory", "1GB")
    assert result["was"] == {"cpu": "2", "memory": 2_000_000_000, "disk": 3_000_000_000}
    assert result["limits"] == {"cpu": "2", "memory": 1_000_000_000, "disk": 3_000_000_000}
    config = rig.incus.instance(rita.box)
    assert config["config"]["limits.cpu"] == "2" and config["devices"]["root"]["size"] == "3000000000B"
    again = rig.json("resize", rita.name, "--memory", "1GB")
    assert again["limits"] == again["was"] == result["limits"]


def test_memory_below_use_needs_force(rig, rita):
    rig.ok("resize", rita.name, "--memory", "1GB")
    with rita.open("python3 -c 'import sys; x = bytearray(300_000_000); print(1, flush=True); sys.stdin.read()'") as hog:
        assert hog.stdout.readline() == b"1\n"
        run = rig.cli("resize", rita.name, "--memory", "200MB")
        assert run.returncode == 1 and b"--force" in run.stderr and b"uses" in run.stderr, run.stderr
        assert memory_limit(rita) == 1_000_000_000 // PAGE * PAGE
        assert rig.json("info", rita.name)["memory"] == 1_000_000_000
        rig.ok("resize", rita.name, "--memory", "600MB")
        assert memory_limit(rita) == 600_000_000 // PAGE * PAGE
        hog.stdin.close()
        assert hog.wait(10) == 0
    rig.ok("resize", rita.name, "--memory", "256MB", "--force")
    assert memory_limit(rita) == 256_000_000 // PAGE * PAGE
    rig.ok("resize", rita.name, "--memory", "1GB")


def test_disk_only_grows(rig, rita):
    before = rig.json("info", rita.name)["disk"]
    run = rig.cli("resize", rita.name, "--disk", "1GB", "--memory", "700MB")
    assert run.returncode == 5 and b"only grow" in run.stderr
    info = rig.json("info", rita.name)
    assert (info["disk"], info["memory"]) == (before, 1_000_000_000), "all or nothing"


def test_asleep_is_no_obstacle(rig, rita):
    for verb, status in (("freeze", "Frozen"), ("stop", "Stopped")):
        rig.ok(verb, rita.name)
        rig.ok("resize", rita.name, "--memory", "640MB" if verb == "freeze" else "768MB")
        assert rig.incus.status(rita.box) == status, "a resize wakes nobody"
        assert memory_limit(rita) == (640_000_000 if verb == "freeze" else 768_000_000) // PAGE * PAGE
    assert rig.json("info", rita.name)["memory"] == 768_000_000


def test_pinned(rig, rita):
    rig.ok("resize", rita.name, "--cpu", "0-0")
    until(lambda: rita.ok("nproc; grep Cpus_allowed_list /proc/self/status").split() == ["1", "Cpus_allowed_list:", "0"],
          20, "pinned to core 0")
    rig.ok("resize", rita.name, "--cpu", "2")


def test_who_may(rig, rita):
    run = rita.ctl("resize", rita.name, "--memory", "64GB")
    assert run.returncode == 4, run.stderr
    assert rig.cli("resize", "nobody", "--cpu", "1").returncode == 3


def test_lazy_box_is_made_with_the_new_limits(rig, new_user):
    user = new_user("late", "--lazy")
    run = rig.cli("resize", user.name, "--cpu", "1")
    assert run.returncode == 3 and b"no box yet" in run.stderr
