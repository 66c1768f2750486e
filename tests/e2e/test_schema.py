"""Every verb once with --json on a real box, and what it prints against docs/schema. The harness checks each answer of
every other test as well (tests/harness/schema.py); here it is seen that no verb is left out."""
import json
import subprocess

import jsonschema
import pytest

from harness import schema
from harness.https import curl
from harness.keyserver import KeyServer
from harness.rig import Rig, free_port
from harness.user import make_key


@pytest.fixture(scope="module")
def web(temp):
    with KeyServer(temp / "schema-keys") as web:
        yield web


@pytest.fixture(scope="module")
def gw(incus, temp, web):
    """A gateway with the HTTPS interface that fetches keys from `web`."""
    ca = temp / "schema-keys-ca.crt"
    ca.write_bytes(web.ca.read_bytes())
    port = free_port()
    rig = Rig(incus, temp, control={"listen_tls": f"127.0.0.1:{port}"},
              enrol={"fetch_allow": "127.0.0.1", "fetch_ca": ca}).start()
    rig.tls_port, rig.certs = port, rig.folder / "certs"
    yield rig
    rig.stop()


@pytest.fixture
def seen():
    """seen(door): the verbs whose schema has held since the test began."""
    before = dict(schema.applied)

    def since(door):
        return {verb for (verb, where), n in schema.applied.items() if where == door and n > before.get((verb, where), 0)}

    return since


def first_line(argv):
    """What a verb prints that does not end by itself."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as running:
        line = running.stdout.readline().decode()
        running.terminate()
    return line


def box_and_limits(gw, user):
    gw.json("create", user.name, "--ssh-key", user.public_key)
    user.trust_box()
    gw.json("list")
    for verb in ("freeze", "start", "stop", "start", "restart", "info", "limits", "export"):
        gw.json(verb, user.name)
    gw.json("export", user.name, "--output", user.home / "exported", "--known-hosts", user.home / "hosts")
    gw.json("autostart", user.name, "on")
    gw.json("resize", user.name, "--memory", "600MB")
    gw.json("limits", "set", user.name, "--sessions", 9)
    gw.json("idle", "set", user.name, "--freeze", "never", "--stop", "2h")
    gw.json("idle", user.name)
    for words in (["create", user.name, "one"], ["list", user.name], ["restore", user.name, "one", "--force"],
                  ["delete", user.name, "one"]):
        gw.json("snapshot", *words)


def keys_and_names(gw, user, web):
    second = make_key(user.home / "second", comment="second")
    web.pages["/keys"] = make_key(user.home / "third").with_suffix(".pub").read_bytes()
    gw.json("keys", "add", user.name, f"{second}.pub")
    gw.json("keys", "add", user.name, f"{web.url}/keys")
    gw.json("keys", "sync", user.name)
    gw.json("keys", "remove", user.name, "second")
    gw.json("keys", "replace", user.name, user.public_key)
    assert len(gw.json("keys", "list", user.name)) == 1
    gw.json("role", user.name, "operator")
    gw.json("invite", "later")
    gw.json("invites", "list")
    gw.json("invites", "revoke", "later")
    gw.json("create", "lazy", "--ssh-key", f"{second}.pub", "--lazy")
    gw.json("info", "lazy")
    gw.json("list")
    gw.json("share", user.name, "with", "lazy", "--until", "8h")
    assert gw.json("shares") and gw.json("info", user.name)["shared_with"]
    gw.json("unshare", user.name, "with", "lazy")
    gw.json("delete", "lazy", "--force")


def who_is_in(gw, user):
    with user.open("echo in; exec cat") as live:
        assert live.stdout.readline() == b"in\n"
        (session,) = gw.json("sessions", "list")
        assert session["user"] == user.name
        assert gw.json("info", user.name)["sessions"] == 1 and gw.json("list")
        gw.json("sessions", "kill", user.name, "all")
        live.wait(20)
    gw.json("bans", "add", "203.0.113.9")
    gw.json("bans", "list")
    gw.json("bans", "remove", "203.0.113.9")
    gw.json("bans", "list", "--history")
    gw.json("bans", "status")
    assert gw.json("security", "status")["last_logins"]


def trail(gw, folder):
    assert gw.json("audit") and gw.audit()
    for verb in ("verify", "summary", "head"):
        gw.json("audit", verb)
    gw.ok("audit", "export")
    gw.json("audit", "export", "--output", folder / "trail.jsonl")
    for line in (folder / "trail.jsonl").read_text().splitlines():
        schema.check_line("audit export", line)
    schema.check_line("audit", first_line(gw.cli_argv("audit", "--follow", "--json")))


def the_host(gw):
    assert gw.json("image", "list")
    gw.json("image", "use", gw.incus.image)
    gw.cli("doctor", "--json")
    gw.json("cert", "generate", "--server-ip", "127.0.0.1", "--output-dir", gw.certs)
    gw.json("cert", "server", "--server-ip", "127.0.0.1")
    gw.json("cert", "client", "robot", "--role", "operator")
    gw.json("cert", "client", "robot", "--role", "operator", "--output-dir", gw.folder / "robot")
    gw.json("cert", "revoke", "robot")
    gw.json("cert", "list")
    gw.json("store", "verify", gw.json("store", "backup")["file"])
    gw.json("config", "show")
    gw.json("whoami")
    gw.json("version")
    assert json.loads(gw.ok("complete", "--json", "--", "keys", "")) == ["list", "add", "remove", "replace", "sync"]
    assert [c["name"] for c in gw.json("help", "keys", "add")["commands"]] == ["keys add"]
    assert len(gw.json("help")["commands"]) == len(schema.verbs())


def test_every_verb_on_the_host(gw, web, tmp_path, seen):
    user = gw.person("shown")
    box_and_limits(gw, user)
    keys_and_names(gw, user, web)
    who_is_in(gw, user)
    trail(gw, tmp_path)
    the_host(gw)
    backup = gw.json("delete", user.name, "--force", "--backup")["backup"]
    gw.json("restore", backup["file"])
    gw.json("delete", user.name, "--force")
    left_out = set(schema.verbs()) - seen("host")
    assert not left_out, "verbs that this test does not call: add them above"


@pytest.mark.parametrize("words, status", [
    (["info", "nobody"], 3), (["lst"], 2), (["list", "--bogus"], 2), (["limits", "set", "nobody", "--sessions", "x"], 3),
    (["help", "nothing"], 3), (["keys", "--help"], 0), (["list", "--help"], 0), (["invites", "revoke", "99"], 3),
    (["restore", "/nothing"], 2), (["audit", "--event", "nothing"], 2), (["cert", "revoke", "nobody"], 3),
    (["keys"], 2), (["info"], 2), (["bans", "add", "203.0.113.9", "--for", "x"], 2),
])
def test_what_fails_says_so_in_one_shape(gw, words, status, seen):
    run = gw.cli(*words, "--json")
    assert run.returncode == status, run
    assert seen("host") == ({"error"} if status else {"help"})


def test_json_is_no_part_of_a_name(gw):
    assert b"keys needs a verb" in gw.cli("keys", "--json").stderr
    assert b'Did you mean "list"?' in gw.cli("lst", "--json").stderr


def test_the_console_prints_the_same(gw, seen):
    user = gw.user("console", "--lazy")
    for words in ("whoami", "info", "keys list", "limits", "sessions list", "audit", "invites list", "version", "help",
                  "complete", "export --jump-ip 127.0.0.1"):
        run = user.ctl(*words.split(), "--json")
        assert run.returncode == 0, run
    assert user.ctl("list", "--json").returncode == 4
    gw.delete(user)
    assert seen("ssh") == {"whoami", "info", "keys list", "limits", "sessions list", "audit", "invites list", "version",
                           "help", "complete", "export", "error"}


def test_https_answers_as_the_openapi_document_says(gw, seen):
    gw.ok("cert", "generate", "--server-ip", "127.0.0.1", "--output-dir", gw.certs, "--force")
    document = curl(gw, "/openapi.json")[2]
    user = gw.user("https", "--lazy")
    second = make_key(user.home / "second", comment="second").with_suffix(".pub").read_text()
    for verb, body, status in (
            ("list", {}, 200), ("info", {"args": ["https"]}, 200), ("info", {"args": ["nobody"]}, 404),
            ("keys add", {"args": ["https", "-"], "stdin": second}, 200), ("keys list", {"args": ["https"]}, 200),
            ("keys add", {"args": ["https"], "options": {"bogus": True}}, 400), ("limits", {"args": ["https"]}, 200),
            ("audit", {"options": {"user": "https"}}, 200), ("audit", {"options": {"format": "csv"}}, 200),
            ("security status", {}, 200), ("config show", {}, 200), ("version", {}, 200), ("help", {}, 200),
            ("export", {"args": ["https"], "options": {"output": "out.conf"}}, 200),
            ("delete", {"args": ["https"]}, 400)):
        path = "/v1/" + verb.replace(" ", "/")
        got = curl(gw, path, body)
        assert got[:2] == (0, status), (verb, got)
        at = f"#/paths/{path.replace('/', '~1')}/post/responses/{status}/content/application~1json/schema"
        says = jsonschema.Draft202012Validator({**document, "$ref": at})
        says.validate(got[2])
        if status == 200:
            assert not says.is_valid({**got[2], "result": {"unheard-of": 1}}), verb
    gw.delete(user)
    assert {"list", "info", "keys add", "audit", "help", "export", "error"} <= seen("https")
