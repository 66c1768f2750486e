"""image list and use: what new boxes are made of; and a build that stays packaging/image.sh's."""
import pytest

from harness.rig import Rig

ALIAS, OTHER = "containarium-test-current", "containarium-test-other"


@pytest.fixture(scope="module")
def gallery(incus, temp):
    """A gateway with an alias of its own, and a second image that can be told from the first."""
    built = incus.query(f"/1.0/images/aliases/{incus.image}?project={incus.project}")["target"]
    incus.run("image", "alias", "create", ALIAS, built)
    rig = Rig(incus, temp, incus={"image": ALIAS}).start()
    maker = rig.user("maker")
    maker.ok("echo other | sudo tee /etc/which >/dev/null; sudo rm -f /etc/ssh/ssh_host_* /etc/machine-id "
             "/var/lib/containarium/firstboot.done; sudo userdel -rf maker 2>/dev/null; sync", door="jump")
    incus.stop(maker.box)
    incus.run("publish", maker.box, "--alias", OTHER, "--compression", "none", timeout=300)
    rig.delete(maker)
    yield rig
    rig.stop()
    for alias in (ALIAS, OTHER):
        target = incus.query(f"/1.0/images/aliases/{alias}?project={incus.project}")["target"]
        incus.run("image", "alias", "delete", alias)
        if target != built:
            incus.run("image", "delete", target)


def current(rig):
    return [image["fingerprint"] for image in rig.json("image", "list") if image["current"]]


def test_list(gallery):
    table = gallery.ok("image", "list")
    assert ALIAS in table or gallery.incus.image in table
    assert OTHER in table
    image = next(i for i in gallery.json("image", "list") if i["alias"] == OTHER)
    assert image["size"] > 100_000_000 and len(image["fingerprint"]) == 64 and image["backup_of"] == ""


def test_use_and_back(gallery):
    first = gallery.incus.query(f"/1.0/images/aliases/{ALIAS}?project={gallery.incus.project}")["target"]
    out = gallery.ok("image", "use", OTHER)
    assert "New boxes" in out
    user = gallery.user("newer")
    assert user.ok("cat /etc/which; whoami", door="jump") == "other\nnewer\n"
    gallery.ok("image", "use", first[:12])
    again = gallery.user("older")
    assert again.ssh("cat /etc/which").returncode == 1
    assert user.ok("cat /etc/which") == "other\n", "boxes that are there stay what they are"
    for one in (user, again):
        gallery.delete(one)


@pytest.mark.parametrize("words, status, says", [
    (["use", "no-such-image"], 3, b"packaging/image.sh"), (["use"], 2, b"missing"), (["make"], 2, b"no such verb"),
])
def test_refusals(gallery, words, status, says):
    run = gallery.cli("image", *words)
    assert run.returncode == status and says in run.stderr, run.stderr


def test_who_may(gallery):
    user = gallery.user("plain", "--lazy")
    assert user.ctl("image", "list").returncode == 4
    assert user.ctl("image", "use", OTHER).returncode == 4
    gallery.delete(user)
