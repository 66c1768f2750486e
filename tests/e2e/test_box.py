"""The box itself: unprivileged, limited, its own, and alone on its network."""
import json
import re
import urllib.error

import pytest

from harness.wait import until


@pytest.fixture(scope="module")
def boxed(rig):
    user = rig.user("boxed", "--memory", "768MiB", "--cpu", "1", "--disk-quota", "3GB", "--no-autostart")
    yield user
    rig.delete(user)


def test_incus_configuration(rig, boxed):
    config = rig.incus.instance(boxed.box)["expanded_config"]
    nic = rig.incus.instance(boxed.box)["expanded_devices"]["eth0"]
    assert config.get("security.privileged", "false") != "true"
    assert config["security.nesting"] == "true" and config["security.idmap.isolated"] == "true"
    assert config["boot.autostart"] == "false"
    for key in ("security.port_isolation", "security.mac_filtering", "security.ipv4_filtering"):
        assert nic[key] == "true", key


def test_autostart_is_on_by_default(rig, alice):
    assert rig.incus.instance(alice.box)["expanded_config"]["boot.autostart"] == "true"


def test_root_in_the_box_is_nobody_on_the_host(rig, boxed, alice):
    maps = {user.name: user.ok("cat /proc/self/uid_map").split() for user in (boxed, alice)}
    for inside, outside, count in maps.values():
        assert inside == "0" and int(outside) >= 100_000 and int(count) >= 65_536
    (_, a, n), (_, b, m) = maps.values()
    assert int(a) + int(n) <= int(b) or int(b) + int(m) <= int(a), "the two boxes' ranges overlap"


def test_limits_are_seen_inside(boxed):
    memory = int(re.search(r"MemTotal:\s+(\d+) kB", boxed.ok("cat /proc/meminfo")).group(1)) * 1024
    assert memory == 768 * 1024 * 1024
    assert boxed.ok("nproc") == "1\n"


def test_disk_quota_holds(rig, boxed):
    """btrfs shows the pool's size in df; the quota is what a write runs into."""
    rig.incus.rescan_quotas()
    assert rig.incus.instance(boxed.box)["expanded_devices"]["root"]["size"] in ("3GB", "3000000000", "3000000000B")
    run = boxed.ssh("head -c 3500000000 /dev/zero > big; s=$?; rm -f big; exit $s", timeout=120)
    assert run.returncode != 0 and (b"quota" in run.stderr.lower() or b"space" in run.stderr.lower())


def test_memory_limit_holds(boxed):
    """The program that takes too much dies, the box and its sshd do not."""
    run = boxed.ssh("python3 -c 'x = bytearray(1500_000_000)'; echo after $?", timeout=120)
    assert run.returncode == 255 or b"after 0" not in run.stdout
    assert boxed.ok("echo alive") == "alive\n"


def test_host_keys_differ(rig, boxed, alice):
    one, other = (rig.incus.host_keys(user.box) for user in (boxed, alice))
    assert one and other and not set(one) & set(other)


def test_machine_ids_differ(boxed, alice):
    assert boxed.ok("cat /etc/machine-id") != alice.ok("cat /etc/machine-id")


def test_address_is_the_recorded_one(rig, boxed):
    address = rig.incus.address(boxed.box)
    assert address in boxed.ok("ip -4 -o addr show eth0")
    assert address in rig.ok("info", boxed.name)


CONNECT = """python3 - <<'END'
import socket, sys
try:
    socket.create_connection((%r, %d), timeout=2)
    print("open")
except OSError as e:
    print("closed:", e)
END"""


def reaches(user, host, port):
    return user.ok(CONNECT % (host, port)).strip() == "open"


def test_boxes_do_not_reach_each_other(rig, boxed, alice):
    assert alice.ok("ss -ltn | grep -c :22").strip() != "0", "the premise: something listens"
    assert not reaches(boxed, rig.incus.address(alice.box), 22)
    assert not reaches(alice, rig.incus.address(boxed.box), 22)
    assert boxed.ssh(f"ping -c 1 -W 1 {rig.incus.address(alice.box)}").returncode != 0


def test_boxes_do_not_reach_the_hosts_ports(rig, boxed, make_rig):
    """A gateway that listens everywhere, Incus' API, and anything else on the host's bridge address."""
    other = make_rig(gateway={"listen": "0.0.0.0:%d" % 0}, start=False)
    other.sections["gateway"]["listen"] = f"0.0.0.0:{other.port}"
    other.write_config()
    other.start()
    assert not reaches(boxed, rig.incus.bridge, other.port)
    assert not reaches(boxed, rig.incus.bridge, 8443)
    host_address = boxed_host_address()
    assert host_address is None or not reaches(boxed, host_address, other.port)


def boxed_host_address():
    """The host's address towards the world, which is not the bridge's."""
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            return s.getsockname()[0]
        except OSError:
            return None


def test_boxes_do_not_reach_the_metadata_service(boxed):
    assert not reaches(boxed, "169.254.169.254", 80)


def test_boxes_resolve_names(rig, boxed):
    """DNS of the bridge answers (with what the host knows; localhost names suffice here)."""
    assert reaches(boxed, rig.incus.bridge, 53)


def test_a_lease_that_comes_late_is_waited_for(rig, boxed):
    """systemd tells of no change while what it started for the last one still runs."""
    shell = lambda script: rig.incus.exec(boxed.box, "sh", "-c", script, check=False).stdout.decode().strip()
    lease = shell("ls /run/systemd/netif/leases/*")
    shell(f"rm -f /run/containarium/resolv.conf; mv {lease} /run/lease-aside")
    until(lambda: shell("systemctl is-active containarium-resolv.service") == "activating", 20, "it waits")
    shell(f"mv /run/lease-aside {lease}")
    until(lambda: shell("cat /etc/resolv.conf").startswith(f"nameserver {rig.incus.bridge}"), 20, "it has written")


def test_a_box_cannot_take_anothers_address(rig, boxed, alice):
    """MAC and IPv4 filtering: packets with a neighbour's address do not leave."""
    stolen = rig.incus.address(alice.box)
    boxed.ok(f"sudo ip addr add {stolen}/32 dev eth0")
    try:
        assert boxed.ssh(f"ping -c 1 -W 1 -I {stolen} {rig.incus.bridge}").returncode != 0
        assert alice.ok("echo mine", door="jump") == "mine\n"
    finally:
        boxed.ok(f"sudo ip addr del {stolen}/32 dev eth0")


def test_users_cannot_touch_each_others_project(rig):
    """The certificate of the control plane sees its project only; Incus enforces that, not we."""
    import ssl
    import urllib.request
    context = ssl._create_unverified_context()
    context.load_cert_chain(rig.incus.cert_dir / "client.crt", rig.incus.cert_dir / "client.key")

    def ask(path, method="GET", body=None):
        request = urllib.request.Request(rig.incus.url + path, method=method,
                                         data=json.dumps(body).encode() if body else None)
        try:
            with urllib.request.urlopen(request, context=context, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as e:
            return e.code, {}

    assert ask(f"/1.0/instances?project={rig.incus.project}")[0] == 200
    assert ask("/1.0/instances?project=default")[0] >= 400
    privileged = {"name": "evil", "source": {"type": "none"}, "config": {"security.privileged": "true"}}
    host_disk = {"name": "evil", "source": {"type": "none"},
                 "devices": {"h": {"type": "disk", "source": "/", "path": "/host"}}}
    for body in (privileged, host_disk):
        status, answer = ask(f"/1.0/instances?project={rig.incus.project}", "POST", body)
        if status == 202:
            status, answer = ask(answer["operation"] + "/wait?timeout=20")
            assert answer["metadata"]["status_code"] >= 400, body
    assert "evil" not in rig.incus.instances()


def test_docker_socket_or_not_the_box_is_clean(boxed):
    """No unit failed in a fresh box."""
    failed = boxed.ok("systemctl list-units --failed --plain --no-legend")
    assert failed == "", failed


def test_pinned_cores(rig, new_user):
    """0-0 is a list of cores, 1 a number of them."""
    user = new_user("pinned", "--cpu", "0-1")
    assert rig.incus.instance(user.box)["config"]["limits.cpu"] == "0-1"
