"""The HTTPS interface: curl, openssl s_client and the command line against mutual TLS. Who gets in, as whom, and what
hostile clients cannot do."""
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from harness import schema
from harness.https import curl
from harness.rig import Rig, free_port
from harness.terminal import Terminal
from harness.user import make_key
from harness.wait import until

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def gw(incus, temp):
    """A gateway with the HTTPS interface, and the certificates of `cert generate` in gw.certs."""
    port = free_port()
    rig = Rig(incus, temp, control={"listen_tls": f"127.0.0.1:{port} [::1]:{port}"}).start()
    rig.tls_port, rig.certs = port, rig.folder / "certs"
    rig.ok("cert", "generate", "--server-ip", "127.0.0.1", "--server-ip", "::1", "--server-name", "localhost",
           "--output-dir", rig.certs)
    yield rig
    rig.stop()


def issue(gw, name, *options):
    """A client certificate with the authority in a folder of its own."""
    folder = gw.folder / f"certs-{name}"
    gw.ok("cert", "client", name, "--output-dir", folder, "--force", *options)
    return folder


def s_client(gw, *options):
    """openssl s_client, with a request on its input. Gives everything it printed."""
    run = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gw.tls_port}", "-ign_eof", *map(str, options)],
                         input=b"GET /v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", capture_output=True, timeout=60)
    return run.stdout + run.stderr


@pytest.fixture
def cli(gw, tmp_path):
    def run(*words, stdin=b"", certs=None, server=f"127.0.0.1:{gw.tls_port}"):
        done = subprocess.run(cli_argv(gw, *words, certs=certs, server=server), input=stdin, cwd=tmp_path,
                              env=clean_environment(), capture_output=True, timeout=60)
        return schema.check(words, done, "https")

    run.folder = tmp_path
    return run


def cli_argv(gw, *words, certs=None, server=None):
    return [str(gw.bin / "containarium"), *map(str, words), "--server", server or f"127.0.0.1:{gw.tls_port}",
            "--certs-dir", str(certs or gw.certs)]


def clean_environment():
    return {key: value for key, value in os.environ.items()
            if not key.startswith("CONTAINARIUM") and not key.lower().endswith("_proxy")}


def context_of(gw, certs=None):
    context = ssl.create_default_context(cafile=gw.certs / "ca.crt")
    context.load_cert_chain((certs or gw.certs) / "client.crt", (certs or gw.certs) / "client.key")
    return context


# ---- certificates


def test_generate_makes_six_files_of_ones_own(gw):
    names = ["ca.crt", "ca.key", "client.crt", "client.key", "server.crt", "server.key"]
    assert sorted(p.name for p in gw.certs.iterdir()) == names
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in gw.certs.iterdir())
    for name, purpose in (("server", "sslserver"), ("client", "sslclient")):
        run = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", gw.certs / "ca.crt",
                              gw.certs / f"{name}.crt"], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    shown = subprocess.run(["openssl", "x509", "-in", gw.certs / "server.crt", "-noout", "-text"], capture_output=True,
                           text=True).stdout
    assert "IP Address:127.0.0.1" in shown and "DNS:localhost" in shown and "prime256v1" in shown


def test_generate_overwrites_nothing(gw, tmp_path):
    before = {p.name: p.read_bytes() for p in gw.certs.iterdir()}
    run = gw.cli("cert", "generate", "--server-ip", "127.0.0.1", "--output-dir", gw.certs)
    assert run.returncode == 5 and b"--force" in run.stderr
    assert {p.name: p.read_bytes() for p in gw.certs.iterdir()} == before
    (tmp_path / "client.key").write_text("precious")
    run = gw.cli("cert", "client", "overwriter", "--role", "operator", "--output-dir", tmp_path)
    assert run.returncode == 1 and b"client.key: File exists" in run.stderr
    assert (tmp_path / "client.key").read_text() == "precious"
    gw.ok("cert", "revoke", "overwriter")


def test_files_that_cannot_be_written_leave_no_authority(make_rig):
    rig = make_rig()
    run = rig.cli("cert", "generate", "--server-ip", "127.0.0.1", "--output-dir", "/proc/none")
    assert run.returncode == 1 and b"cannot write" in run.stderr
    assert rig.cli("cert", "list").returncode == 3
    assert not (rig.state_dir / "tls").exists()


@pytest.mark.parametrize("options", [
    ["--server-ip", "256.1.1.1", "--output-dir", "x"], ["--server-name", "a b", "--output-dir", "x"],
    ["--output-dir", "x"], ["--server-ip", "127.0.0.1"], ["--server-ip", "127.0.0.1", "--output-dir", ""],
    ["--server-ip", "127.0.0.1", "--output-dir", "x", "--days", "0"],
    ["--server-ip", "127.0.0.1", "--output-dir", "x", "--days", "ten"],
    ["--server-ip", "127.0.0.1", "--output-dir", "x", "--role", "root"]])
def test_bad_wishes_are_usage_errors(gw, options):
    assert gw.cli("cert", "generate", *options).returncode == 2


def test_client_wishes(gw):
    assert gw.cli("cert", "client", "nobody-here").returncode == 3, "the role user needs an account"
    assert gw.cli("cert", "client", "a/b", "--role", "admin").returncode == 2
    assert gw.cli("cert", "client", "ok", "--role", "root").returncode == 2
    assert gw.cli("cert", "revoke", "nobody-here").returncode == 3
    text = gw.ok("cert", "client", "piped", "--role", "operator")
    assert text.count("BEGIN CERTIFICATE") == 2 and text.count("BEGIN PRIVATE KEY") == 1
    listed = [c for c in gw.json("cert", "list")["certificates"] if c["name"] == "piped"]
    assert [c["state"] for c in listed] == ["valid"] and listed[0]["role"] == "operator"


# ---- who gets in


def test_a_good_certificate_gets_in(gw):
    for host in ("127.0.0.1", "[::1]", "localhost"):
        assert curl(gw, "/v1/version", {}, host=host)[:2] == (0, 200)
    for version in ("-tls1_2", "-tls1_3"):
        text = s_client(gw, version, "-cert", gw.certs / "client.crt", "-key", gw.certs / "client.key", "-CAfile",
                        gw.certs / "ca.crt", "-verify_return_error")
        assert b"HTTP/1.1 200 OK" in text and b'"commands"' in text, text
    assert curl(gw, "/v1/version", {}, ca="/etc/ssl/certs/ca-certificates.crt")[0] == 60, "clients check the server too"


def refused_everywhere(gw, *options, certs=None):
    """Nothing is answered, neither to curl nor to s_client."""
    status, code, answer = curl(gw, "/v1/version", {}, certs=certs or Path("/nonexistent"))
    assert status != 0 and code == 0 and answer == ""
    text = s_client(gw, *options)
    assert b"HTTP/" not in text and b"commands" not in text, text
    return text


def test_no_certificate(gw):
    marks = gw.log_marks()
    refused_everywhere(gw)
    until(lambda: "it showed no certificate" in gw.logs(marks), what="the refusal is logged")


def test_another_authoritys_certificate(gw, make_rig, tmp_path):
    other = make_rig()
    other.ok("cert", "generate", "--server-ip", "127.0.0.1", "--output-dir", tmp_path / "other")
    certs = tmp_path / "other"
    refused_everywhere(gw, "-cert", certs / "client.crt", "-key", certs / "client.key", certs=certs)
    make_self_signed(tmp_path / "self")
    refused_everywhere(gw, "-cert", tmp_path / "self/client.crt", "-key", tmp_path / "self/client.key",
                       certs=tmp_path / "self")


def make_self_signed(folder):
    folder.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    folder / "client.key", "-out", folder / "client.crt", "-days", "2", "-subj",
                    "/O=containarium/OU=admin/CN=admin"], check=True, capture_output=True)


def sign(gw, folder, subject, *options, start="20250101000000Z", end="20250201000000Z", extensions="clientAuth"):
    """A certificate of our authority that our own verbs would not make: openssl ca."""
    folder.mkdir()
    (folder / "ca.conf").write_text(f"""
[ca]
default_ca = here
[here]
database = {folder}/index
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = any
unique_subject = no
x509_extensions = ext
[any]
commonName = optional
organizationName = optional
organizationalUnitName = optional
UID = optional
[ext]
extendedKeyUsage = {extensions}
""")
    (folder / "index").write_text("")
    (folder / "serial").write_text("4D4D\n")
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    folder / "client.key", "-out", folder / "request", "-subj", subject], check=True, capture_output=True)
    run = subprocess.run(["openssl", "ca", "-batch", "-config", folder / "ca.conf", "-cert", gw.certs / "ca.crt",
                          "-keyfile", gw.certs / "ca.key", "-in", folder / "request", "-out", folder / "client.crt",
                          "-startdate", start, "-enddate", end, "-notext", *options], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return folder


def test_an_expired_certificate(gw, tmp_path):
    certs = sign(gw, tmp_path / "expired", "/O=containarium/OU=admin/CN=late")
    refused_everywhere(gw, "-cert", certs / "client.crt", "-key", certs / "client.key", certs=certs)
    until(lambda: [r for r in gw.audit(user="late", event="auth-failed") if "expired" in r["reason"]],
          what="it is in the audit trail")


def test_a_certificate_for_something_else(gw, tmp_path):
    """The server's own certificate, or any not meant for clients, opens nothing."""
    certs = sign(gw, tmp_path / "server", "/O=containarium/OU=admin/CN=x", start="20260101000000Z", end="20350101000000Z",
                 extensions="serverAuth")
    refused_everywhere(gw, "-cert", certs / "client.crt", "-key", certs / "client.key", certs=certs)


def test_a_revoked_certificate(gw):
    certs = issue(gw, "lost-laptop", "--role", "admin")
    assert curl(gw, "/v1/whoami", {}, certs=certs)[:2] == (0, 200)
    gw.ok("cert", "revoke", "lost-laptop")
    refused_everywhere(gw, "-cert", certs / "client.crt", "-key", certs / "client.key", certs=certs)
    assert [c["state"] for c in gw.json("cert", "list")["certificates"] if c["name"] == "lost-laptop"] == ["revoked"]
    events = [r["event"] for r in gw.audit(user="lost-laptop")]
    assert events[:2] == ["key-added", "key-removed"] and "auth-failed" in events
    assert curl(gw, "/v1/whoami", {})[:2] == (0, 200), "others are not touched"


def test_revocation_cuts_live_connections(gw):
    certs = issue(gw, "lost-phone", "--role", "operator")
    connection = http.client.HTTPSConnection("127.0.0.1", gw.tls_port, context=context_of(gw, certs), timeout=20)
    connection.request("POST", "/v1/whoami", b"{}", JSON)
    assert connection.getresponse().read()
    gw.ok("cert", "revoke", "lost-phone")
    assert connection.sock.recv(1) == b"", "the connection was cut"
    connection.close()


def test_old_tls_is_refused(gw):
    for version in ("-tls1", "-tls1_1"):
        text = refused_everywhere(gw, version, "-cipher", "DEFAULT:@SECLEVEL=0", "-cert", gw.certs / "client.crt", "-key",
                                  gw.certs / "client.key")
        assert b"Cipher is (NONE)" in text
    text = s_client(gw, "-tls1_2", "-cipher", "AES128-SHA:AES256-SHA", "-cert", gw.certs / "client.crt", "-key",
                    gw.certs / "client.key")
    assert b"Cipher is (NONE)" in text, "no forward secrecy, no answer"


def test_plain_http_is_refused(gw):
    with socket.create_connection(("127.0.0.1", gw.tls_port), timeout=20) as s:
        s.sendall(b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/" not in s.recv(1024)


# ---- as whom


def test_a_certificate_never_has_more_than_its_subject_says(gw, tmp_path):
    valid = {"start": "20260101000000Z", "end": "20350101000000Z"}
    for number, (subject, role) in enumerate((("/CN=plain", "user"), ("/CN=x/OU=superuser", "user"),
                                              ("/CN=x/OU=admin/OU=user", "user"), ("/CN=x/OU=operator", "operator"))):
        certs = sign(gw, tmp_path / str(number), subject, **valid)
        assert curl(gw, "/v1/whoami", {}, certs=certs)[2]["result"]["role"] == role, subject
        assert curl(gw, "/v1/create", {"args": ["x"]}, certs=certs)[1] == 403
    for number, subject in enumerate(("/OU=admin", "/CN=a/CN=b/OU=admin", "/CN=a/OU=admin/UID=alice",
                                      "/CN=a/OU=admin/UID=999999")):
        certs = sign(gw, tmp_path / f"nobody{number}", subject, **valid)
        assert curl(gw, "/v1/whoami", {}, certs=certs)[1] == 403, subject


def test_an_accounts_certificate_is_that_account(gw):
    user, other = gw.user("tls-alice", "--lazy"), gw.user("tls-bob", "--lazy")
    certs = issue(gw, "tls-alice")
    assert curl(gw, "/v1/whoami", {}, certs=certs)[2]["result"]["name"] == "tls-alice"
    assert curl(gw, "/v1/info", {}, certs=certs)[1] == 200
    assert curl(gw, "/v1/info", {"args": ["tls-bob"]}, certs=certs)[1] == 403
    assert curl(gw, "/v1/list", {}, certs=certs)[1] == 403
    assert gw.cli("cert", "client", "tls-alice", "--role", "admin").returncode == 5, "not more than the account has"
    record = gw.audit(user="tls-alice", event="refused")[-1]
    assert record["actor"] == "tls-alice" and record["fingerprint"].startswith("X509:")
    gw.delete(user)
    assert curl(gw, "/v1/whoami", {}, certs=certs)[1] == 403, "the account is gone"
    again = gw.user("tls-alice", "--lazy")
    assert curl(gw, "/v1/whoami", {}, certs=certs)[1] == 403, "a namesake is somebody else"
    gw.delete(again)
    gw.delete(other)


def test_an_accounts_role_is_looked_up_anew(gw):
    chief = gw.user("tls-chief", "--lazy", "--role", "admin")
    certs = issue(gw, "tls-chief", "--role", "operator")
    assert curl(gw, "/v1/whoami", {}, certs=certs)[2]["result"]["role"] == "operator", "the lesser of both"
    gw.delete(chief)


def test_what_a_machine_does_is_recorded(gw):
    certs = issue(gw, "deploy", "--role", "operator")
    assert curl(gw, "/v1/list", {}, certs=certs)[1] == 200
    record = [r for r in gw.audit(event="command") if r["actor"] == "cert:deploy"][-1]
    assert record["target"] == "list --json" and record["address"].startswith("127.0.0.1:")
    assert record["fingerprint"].startswith("X509:")


# ---- JSON


def test_status_and_result(gw):
    status, code, answer = curl(gw, "/v1/version", {})
    assert (status, code, answer["exit"]) == (0, 200, 0) and answer["result"]["version"]
    for path, body, code, exit_status in (("/v1/info", {"args": ["nosuch"]}, 404, 3), ("/v1/info", {}, 400, 2),
                                          ("/v1/list", {"options": {"bogus": True}}, 400, 2),
                                          ("/v1/lst", {}, 404, 2), ("/v1/list", {"x": 1}, 400, 2)):
        got = curl(gw, path, body)
        assert got[1] == code and got[2]["exit"] == exit_status and got[2]["error"]["text"], (path, got)
    assert "Did you mean \"list\"" in curl(gw, "/v1/lst", {})[2]["error"]["text"]
    assert curl(gw, "/v1/list", None)[1] == 405 and curl(gw, "/nothing", None)[1] == 404
    assert curl(gw, "/v1/audit", {"options": {"format": "csv"}})[2]["stdout"].startswith("seq,time")


def test_pages_of_a_browser_may_not_ask(gw):
    """A browser would show the certificate it holds for any page: neither a form nor a script gets an answer."""
    for more in (["-H", "Content-Type: text/plain"], ["-H", "Content-Type: application/x-www-form-urlencoded"],
                 ["-H", "Content-Type:"], ["-H", "Content-Type: application/json", "-H", "Origin: https://evil.example"]):
        assert curl(gw, "/v1/version", {}, more=more)[1] == 415, more
    assert curl(gw, "/v1/version", {}, more=["-H", "Content-Type: application/json; charset=utf-8"])[1] == 200


def test_files_and_input_travel_in_the_request(gw, tmp_path):
    key = make_key(tmp_path / "k").with_suffix(".pub").read_text()
    for name, options, more in (("tls-file", {"ssh-key": "laptop.pub"}, {"files": {"laptop.pub": key}}),
                                ("tls-stdin", {"ssh-key": ["-"]}, {"stdin": key})):
        got = curl(gw, "/v1/create", {"args": [name], "options": {**options, "lazy": True}, **more})
        assert got[1] == 200, got
        assert curl(gw, "/v1/delete", {"args": [name], "options": {"force": True}})[1] == 200
    got = curl(gw, "/v1/create", {"args": ["tls-host"], "options": {"ssh-key": "/etc/passwd", "lazy": True}})
    assert got[1] == 400 and "did not come along" in got[2]["error"]["text"], "never a file of the server"
    got = curl(gw, "/v1/delete", {"args": ["tls-host"]})
    assert got[1] == 404
    written = "/tmp/containarium-e2e-must-not-exist"
    got = curl(gw, "/v1/export", {"args": ["tls-host"], "options": {"output": written}})
    assert not Path(written).exists() and got[1] == 404


def test_openapi_is_the_command_table(gw):
    served = curl(gw, "/openapi.json")[2]
    printed = json.loads(subprocess.run([gw.bin / "containariumd", "--openapi"], capture_output=True, check=True).stdout)
    assert served == printed and served["openapi"].startswith("3.")
    verbs = gw.json("help")["commands"]
    assert sorted(served["paths"]) == sorted("/v1/" + v["name"].replace(" ", "/") for v in verbs)
    for verb in verbs:
        post = served["paths"]["/v1/" + verb["name"].replace(" ", "/")]["post"]
        schema = post["requestBody"]["content"]["application/json"]["schema"]["properties"]
        assert sorted(schema["options"]["properties"]) == sorted(o["name"] for o in verb["options"])
    assert curl(gw, "/v1")[2]["commands"] == verbs


# ---- the command line over it


def test_same_text_and_status_as_on_the_host(gw, cli):
    for words in (["help"], ["help", "create"], ["config", "show"], ["lst"], ["info", "nosuch"],
                  ["list", "--bogus"], ["cert", "list"], ["keys"]):
        there, here = cli(*words), gw.cli(*words)
        assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr), words
    assert cli("whoami").stdout.startswith(b"cert:admin (admin)")


def test_files_input_and_output_of_the_laptop(gw, cli):
    make_key(cli.folder / "k", comment="one")
    second = make_key(cli.folder / "second", comment="second").with_suffix(".pub")
    run = cli("create", "tls-cli", "--ssh-key", "k.pub", "--lazy")
    assert run.returncode == 0, run.stderr
    assert cli("keys", "add", "tls-cli", stdin=second.read_bytes()).returncode == 0
    assert b"second" in cli("keys", "list", "tls-cli").stdout
    run = cli("keys", "add", "tls-cli", stdin=b"x" * 1_000_000)
    assert run.returncode == 2 and b"longer than" in run.stderr
    assert cli("keys", "add", "tls-cli", "missing.pub").returncode == 2
    run = cli("export", "tls-cli", "--output", "out.conf")
    assert run.returncode == 0 and "Host tls-cli-dev" in (cli.folder / "out.conf").read_text(), run.stderr
    run = cli("cert", "client", "by-tls", "--role", "operator", "--output-dir", "more")
    assert run.returncode == 0 and (cli.folder / "more/client.key").exists(), run.stderr
    assert cli("delete", "tls-cli").returncode == 2, "off a terminal it is not asked"
    with Terminal(cli_argv(gw, "delete", "tls-cli"), env=clean_environment()) as t:
        t.expect(rb"\[y/N\]")
        t.send(b"yes\n")
        assert t.wait() == 0
    assert cli("info", "tls-cli").returncode == 3


def test_refusals_are_explained(gw, cli, tmp_path):
    run = cli("list", certs=tmp_path)
    assert run.returncode == 2 and b"ca.crt" in run.stderr
    shutil.copytree(gw.certs, tmp_path / "mixed")
    make_self_signed(tmp_path / "self")
    shutil.copy(tmp_path / "self/client.crt", tmp_path / "mixed")
    shutil.copy(tmp_path / "self/client.key", tmp_path / "mixed")
    run = cli("list", certs=tmp_path / "mixed")
    assert run.returncode == 1 and b"another authority's" in run.stderr, run.stderr
    run = cli("list", server=f"127.0.0.1:{free_port()}")
    assert run.returncode == 1 and b"listen_tls" in run.stderr
    run = cli("list", server=f"127.0.0.2:{gw.tls_port}")
    assert run.returncode == 1, "nobody listens there"
    run = subprocess.run([gw.bin / "containarium", "list", "--certs-dir", gw.certs], env=clean_environment(),
                         capture_output=True, timeout=30)
    assert run.returncode == 2 and b"--server" in run.stderr


def test_a_long_answer_waits_for_its_reader(gw, cli):
    """More than the queue holds: whoever reads slowly gets all of it, and whoever stops reading ends it."""
    connection = http.client.HTTPSConnection("127.0.0.1", gw.tls_port, context=context_of(gw), timeout=60)
    padding = "x" * 900
    for _ in range(2000):
        connection.request("POST", "/v1/audit", json.dumps({"options": {"user": padding, "limit": 1}}), JSON)
        connection.getresponse().read()
    connection.close()
    words = ("audit", "--limit", "0", "--format", "jsonl", "--until", "2100-01-01")
    here = gw.cli(*words).stdout
    assert len(here) > 1_500_000
    with subprocess.Popen(cli_argv(gw, *words), stdout=subprocess.PIPE, env=clean_environment()) as process:
        first = process.stdout.read(100)
        assert gw.cli("version").returncode == 0, "others are served meanwhile"
        there = first + process.stdout.read()
        assert process.wait() == 0
    assert there.startswith(here) or here.startswith(there[:1_500_000])
    run = subprocess.run(" ".join(cli_argv(gw, *words)) + " | head -1; echo ${PIPESTATUS[0]}", shell=True,
                         executable="/bin/bash", env=clean_environment(), capture_output=True, timeout=60)
    assert run.stdout.count(b"\n") == 2 and run.stdout.endswith(b"\n141\n"), run
    assert curl(gw, "/v1/audit", {"options": {"limit": 5}})[1] == 200


# ---- hostile clients


@contextlib.contextmanager
def crowd(gw, count):
    """Connections that say nothing."""
    sockets = [socket.create_connection(("127.0.0.1", gw.tls_port), timeout=30) for _ in range(count)]
    yield sockets
    for s in sockets:
        s.close()


def test_who_says_nothing_keeps_nobody_out(gw):
    with crowd(gw, 60) as sockets:
        for _ in range(3):
            assert curl(gw, "/v1/version", {})[:2] == (0, 200)
        assert gw.cli("version").returncode == 0
        for s in sockets:
            assert s.recv(1) == b"", "cut when its time was over, or when it had to give way"


def test_logged_in_and_silent_is_cut_as_well(gw):
    raw = socket.create_connection(("127.0.0.1", gw.tls_port), timeout=90)
    with context_of(gw).wrap_socket(raw, server_hostname="127.0.0.1") as s:
        s.sendall(b"POST /v1/version HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        assert s.recv(1024) == b""


def test_many_connections_at_once_are_all_answered(gw):
    with contextlib.ExitStack() as stack:
        connections = [http.client.HTTPSConnection("127.0.0.1", gw.tls_port, context=context_of(gw), timeout=60)
                       for _ in range(40)]
        for connection in connections:
            stack.callback(connection.close)
            connection.request("POST", "/v1/version", b"{}", JSON)
        assert [c.getresponse().status for c in connections] == [200] * 40


@pytest.mark.parametrize("request_text", [
    b"POST /v1/version HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
    b"POST /v1/version HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20000 + b"\r\n\r\n",
    b"DELETE /v1/version HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/version HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"\0\xff\xfe\r\n\r\n", b"POST\r\n\r\n"])
def test_bad_requests_end_their_connection(gw, request_text):
    raw = socket.create_connection(("127.0.0.1", gw.tls_port), timeout=60)
    with context_of(gw).wrap_socket(raw, server_hostname="127.0.0.1") as s:
        s.sendall(request_text)
        answer = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while chunk := s.recv(65536):
                answer += chunk
        assert b" 200 " not in answer.split(b"\r\n")[0]
    assert curl(gw, "/v1/version", {})[:2] == (0, 200)


def test_bad_conversations_are_refused(gw):
    certs = issue(gw, "eaves", "--role", "admin")
    for path, body, code in (("/conversation", {}, 400), ("/conversation", {"argv": [1]}, 400),
                             ("/conversation", {"argv": ["a\0b"]}, 400), ("/conversation/", {}, 404),
                             ("/conversation/0123", {"input": "", "end": True}, 404)):
        assert curl(gw, path, body)[1] == code, body
    # One that waits for a file is its holder's alone.
    text = curl(gw, "/conversation", {"argv": ["create", "tls-c", "--ssh-key", "k.pub", "--lazy"]})[2]
    if isinstance(text, dict):
        event = text
    else:
        event = json.loads(text.strip().splitlines()[-1])
    assert event["want"] == "file" and event["path"] == "k.pub"
    assert curl(gw, f"/conversation/{event['conversation']}", {"fault": "no"}, certs=certs)[1] == 404
    status, code, text = curl(gw, f"/conversation/{event['conversation']}", {"file": "!!"})
    assert code == 200 and json.loads(text.strip().splitlines()[-1])["exit"] == 2
    assert gw.cli("info", "tls-c").returncode == 3


# ---- the daemon's side


def test_nothing_listens_before_there_are_certificates(make_rig, tmp_path):
    port = free_port()
    rig = make_rig(control={"listen_tls": f"127.0.0.1:{port}"})
    with socket.socket() as s:
        assert s.connect_ex(("127.0.0.1", port)) != 0
    rig.tls_port, rig.certs = port, tmp_path / "certs"
    rig.ok("cert", "generate", "--server-ip", "127.0.0.1", "--output-dir", rig.certs)
    assert curl(rig, "/v1/version", {})[:2] == (0, 200), "at once, without a restart"
    old = tmp_path / "old"
    shutil.copytree(rig.certs, old)
    rig.ok("cert", "generate", "--server-ip", "127.0.0.1", "--output-dir", rig.certs, "--force")
    assert curl(rig, "/v1/version", {})[:2] == (0, 200)
    assert curl(rig, "/v1/version", {}, certs=old)[1] == 0, "certificates of the old authority are void"
    rig.ok("cert", "server", "--server-name", "localhost")
    assert curl(rig, "/v1/version", {}, host="localhost")[:2] == (0, 200)
    assert curl(rig, "/v1/version", {})[0] == 60, "it shows the new one"


def test_certificates_of_ones_own(gw, make_rig, tmp_path):
    """Files named in the configuration; a list of revoked ones that changes is honoured without a restart."""
    shutil.copytree(gw.state_dir / "tls", tmp_path / "own")
    folder = make_rig(start=False).folder / "own"
    shutil.copytree(tmp_path / "own", folder)
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, "containarium-test")
    port = free_port()
    keys = {"certificate": "server.crt", "key": "server.key", "client_ca": "ca.crt", "crl": "crl.pem"}
    rig = make_rig(control={f"tls_{key}": folder / name for key, name in keys.items()}, start=False)
    rig.control.argv += ["--listen-tls", f"127.0.0.1:{port}"]
    rig.start()
    rig.tls_port, rig.certs = port, gw.certs
    certs = issue(gw, "elsewhere", "--role", "operator")
    assert curl(rig, "/v1/list", {}, certs=certs)[1] == 200
    gw.ok("cert", "revoke", "elsewhere")
    shutil.copy(gw.state_dir / "tls/crl.pem", folder / "crl.pem")
    assert curl(rig, "/v1/list", {}, certs=certs)[1] == 0


def test_a_reload_switches_it_on_and_off(make_rig, tmp_path):
    rig = make_rig()
    rig.tls_port, rig.certs = free_port(), tmp_path / "certs"
    rig.ok("cert", "generate", "--server-ip", "127.0.0.1", "--output-dir", rig.certs)
    for listen, status in ((f"0.0.0.0:{rig.tls_port} [::]:{rig.tls_port}", 0), ("", 7)):
        rig.sections["control"]["listen_tls"] = listen
        rig.write_config()
        rig.control.process.send_signal(signal.SIGHUP)
        until(lambda: curl(rig, "/v1/version", {})[0] == status, 20, f"listens on {listen!r}")
    until(lambda: rig.cli("version").returncode == 0, 20, "it is there again")


@pytest.mark.parametrize("address", ["", "50051", "localhost:50051", "0.0.0.0:0", "0.0.0.0:50051;x", "1.2.3.4:99999"])
def test_bad_listen_tls(gw, address):
    run = subprocess.run([gw.bin / "containariumd", "--config", gw.config, "--check", "--listen-tls", address],
                         capture_output=True)
    assert run.returncode == (0 if address == "" else 2), run.stderr
