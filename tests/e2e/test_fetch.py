"""Keys off the web: over https only, from who may be asked only, and never without bound."""
import subprocess

import pytest

from harness.keyserver import KeyServer, redirect, silent_port


@pytest.fixture
def web(tmp_path):
    tmp_path.chmod(0o755)
    with KeyServer(tmp_path / "web") as web:
        yield web


@pytest.fixture
def gate(make_rig, web, temp):
    ca = temp / "keys-ca.crt"  # where the daemon's user can read it
    ca.write_bytes(web.ca.read_bytes())
    return make_rig(enrol={"fetch_allow": "127.0.0.1", "fetch_ca": ca})


def page_of(*users):
    """As such sites print it: without comments."""
    return b"".join(b" ".join(user.public_key.read_bytes().split()[:2]) + b"\n" for user in users)


def fails(run, status, says):
    assert run.returncode == status and says in run.stderr.decode(), run


def test_create_with_a_url(gate, web):
    fern = gate.person("fern")
    web.pages["/fern.keys"] = page_of(fern)
    gate.ok("create", "fern", "--ssh-key", f"{web.url}/fern.keys", "--lazy")
    assert fern.ctl("whoami").stdout.startswith(b"fern")
    (key,) = gate.json("keys", "list", "fern")
    assert (key["fingerprint"], key["comment"]) == (fern.fingerprint, f"{web.url}/fern.keys")
    (added,) = gate.audit(event="key-added")
    assert added["target"] == f"{web.url}/fern.keys"


def test_a_user_adds_their_own(gate, web):
    fern = gate.user("fern", "--lazy")
    other = gate.person("other")
    fido = b"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t\n"
    web.pages["/moved"] = redirect("/fern")
    web.pages["/fern"] = page_of(other) + fido
    run = fern.ctl("keys", "add", f"{web.url}/moved")
    assert run.returncode == 0 and b"1 of the keys" in run.stderr and b"FIDO" in run.stderr, run
    assert {key["fingerprint"] for key in gate.json("keys", "list", "fern")} == {fern.fingerprint, other.fingerprint}


def test_sync(gate, web):
    fern = gate.user("fern", "--lazy")
    old, new = gate.person("old"), gate.person("new")
    fails(gate.cli("keys", "sync", "fern"), 3, "came off the web")
    web.pages["/fern"] = page_of(old)
    gate.ok("keys", "add", "fern", f"{web.url}/fern")
    web.pages["/fern"] = page_of(new)
    assert gate.json("keys", "sync", "fern") == {"user": "fern", "added": 1, "removed": 1, "sessions_ended": 0}
    assert {key["fingerprint"] for key in gate.json("keys", "list", "fern")} == {fern.fingerprint, new.fingerprint}
    assert old.ctl("whoami").returncode == 255
    assert fern.ctl("keys", "sync").stdout.startswith(b"Nothing to change")
    for page, status in ((b"", 2), (None, 3), (b"<html>\n", 2)):
        web.pages["/fern"] = page
        assert gate.cli("keys", "sync", "fern").returncode == status, page
    assert len(gate.json("keys", "list", "fern")) == 2, "a page that is broken shuts nobody out"


def test_what_is_refused(gate, web):
    web.pages["/loop"] = redirect("/loop")
    web.pages["/plain"] = redirect(f"http://127.0.0.1:{gate.port}/")
    web.pages["/file"] = redirect("file:///etc/passwd")
    web.pages["/inside"] = redirect("https://127.0.0.2:1/")
    web.pages["/metadata"] = redirect("https://169.254.169.254/latest/meta-data/")
    web.pages["/html"] = b"<html><body>Log in first</body></html>\n"
    web.pages["/empty"] = b""
    web.pages["/long"] = b"# comment\n" * 30000

    def broken(handler):
        handler.send_error(500)
    web.pages["/broken"] = broken
    for path, status, says in (
            ("/loop", 1, "redirects more than 3 times"), ("/plain", 4, "something else than https"),
            ("/file", 4, "something else than https"), ("/inside", 4, "leads to 127.0.0.2, which is no public address"),
            ("/metadata", 4, "169.254.169.254"), ("/html", 2, "/html"), ("/empty", 2, "/empty"),
            ("/long", 1, "longer than 262144 bytes"), ("/broken", 1, "HTTP status 500"), ("/none", 3, "is the name right?")):
        fails(gate.cli("create", "fern", "--ssh-key", f"{web.url}{path}", "--lazy"), status, says)
    assert web.seen.count("/loop") == 4
    for source, says in ((web.url.replace("https", "http"), "https:// only"), ("github:../x", "user name of that site"),
                         (web.url.replace("//", "//me:secret@"), "cannot be fetched"), ("https://[::1]:1/x", "no public address")):
        run = gate.cli("create", "fern", "--ssh-key", source, "--lazy")
        assert run.returncode != 0 and says in run.stderr.decode(), run
    assert gate.json("list") == []


def test_only_certificates_that_are_trusted(make_rig, gate, web, tmp_path):
    with KeyServer(tmp_path / "other") as other:
        fails(gate.cli("create", "fern", "--ssh-key", f"{other.url}/x", "--lazy"), 4, "is not to be trusted")
        assert other.seen == []
    fails(make_rig(enrol={"fetch_allow": "127.0.0.1"}).cli("create", "fern", "--ssh-key", f"{web.url}/x", "--lazy"), 4,
          "is not to be trusted")  # by the system's authorities


def test_a_certificate_for_another_name(gate, web):
    run = gate.cli("create", "fern", "--ssh-key", web.url.replace("127.0.0.1", "localhost") + "/x", "--lazy")
    fails(run, 4, "is not to be trusted")
    assert web.seen == []


def test_private_addresses_are_refused_unless_listed(make_rig, web):
    rig = make_rig()
    fails(rig.cli("create", "fern", "--ssh-key", f"{web.url}/x", "--lazy"), 4, "leads to 127.0.0.1, which is no public")
    assert web.seen == []


def test_others_are_served_while_a_server_is_silent(gate):
    fern = gate.user("fern", "--lazy")
    with silent_port() as s:
        url = f"https://127.0.0.1:{s.getsockname()[1]}/x"
        with subprocess.Popen(gate.cli_argv("keys", "add", "fern", url), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as slow:
            assert fern.ctl("whoami").returncode == 0
            assert slow.poll() is None, "it still waits, and she did not"
            _, said = slow.communicate(timeout=60)
        assert slow.returncode == 1 and b"did not answer within 10 seconds" in said, said
