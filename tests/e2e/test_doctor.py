"""doctor: everything well on a healthy host; what is broken is named, with the way to mend it, and nothing else is."""
import json
import os

import pytest

from harness.proxy import Proxy


def checks(rig, status=0):
    run = rig.cli("doctor", "--json")
    assert run.returncode == status, run.stdout.decode()
    result = json.loads(run.stdout)
    assert result["well"] is (status == 0)
    return {check["check"]: check for check in result["checks"]}


def failed(found):
    return {name for name, check in found.items() if check["level"] == "fail"}


def test_all_is_well(rig, alice):
    rig.incus.rescan_quotas()
    found = checks(rig)
    for name in ("incus", "project", "profile", "network", "image", "pool", "boxes", "gateway", "disk", "permissions",
                 "host keys"):
        assert found[name]["level"] == "ok", found[name]
    assert "clock" in found
    text = rig.ok("doctor")
    assert f"Incus {rig.incus.query('/1.0')['environment']['server_version']} answers" in text
    assert str(rig.port) in text


@pytest.fixture
def sick(make_rig):
    """sick(section={...}) -> a gateway with something wrong in its configuration."""
    return make_rig


@pytest.mark.parametrize("key, check, mend", [
    ("image", "image", "image.sh"), ("network", "network", "incus-setup.sh"), ("pool", "pool", "incus-setup.sh"),
    ("project", "project", "incus-setup.sh"), ("profile", "profile", "incus-setup.sh"),
])
def test_what_is_missing_in_incus(sick, key, check, mend):
    found = checks(sick(incus={key: "no-such-thing"}), status=1)
    assert check in failed(found) and mend in found[check]["mend"], found
    assert "gateway" not in failed(found)


def test_incus_is_down(sick, incus):
    host, port = incus.url.removeprefix("https://").split(":")
    proxy = Proxy(host, int(port))
    rig = sick(incus={"url": proxy.url, "timeout": "5s"})
    assert not failed(checks(rig))
    proxy.refusing()
    found = checks(rig, status=1)
    assert failed(found) == {"incus"} and "systemctl status incus" in found["incus"]["mend"]
    proxy.close()


def test_gateway_is_down(sick):
    rig = sick(start=False)
    rig.start_control()
    found = checks(rig, status=1)
    assert failed(found) == {"gateway"} and "containarium-gateway" in found["gateway"]["mend"]
    rig.start_gateway()
    assert not failed(checks(rig))


def test_permissions_and_host_keys(sick):
    rig = sick()
    os.chmod(rig.database, 0o644)
    key = rig.host_key_dir / "ssh_host_ed25519_key"
    os.chmod(key, 0o640)
    found = checks(rig, status=1)
    assert failed(found) == {"permissions", "host keys"}
    assert str(rig.database) in found["permissions"]["text"] and "chmod 600" in found["host keys"]["mend"]
    os.chmod(rig.database, 0o600)
    os.chmod(key, 0o600)
    assert not failed(checks(rig))


def test_a_box_that_is_gone(sick):
    rig = sick()
    user = rig.user("gone")
    rig.incus.delete(user.box)
    found = checks(rig)
    assert found["boxes"]["level"] == "warn" and user.box in found["boxes"]["text"]
    rig.delete(user)


def test_over_ssh_for_operators(rig, new_user, alice):
    operator = new_user("medic", "--lazy", "--role", "operator")
    assert operator.ctl("doctor").returncode == 0
    assert alice.ctl("doctor").returncode == 4
