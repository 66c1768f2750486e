"""docs/schema against the command table and the code: a file a verb, valid, and without a gap. Needs no Incus."""
import json
import re
import subprocess

import jsonschema
import pytest

from harness import schema
from harness.incus import REPO
from harness.rig import binaries

FILES = sorted(schema.FOLDER.glob("*.json"))
SCHEMAS = {path.name.removesuffix(".json"): json.loads(path.read_text()) for path in FILES}
LINES = {"audit", "audit-export"}  # verbs that also print JSON line by line: what a line is stands in NAME.line.json
ANNOTATION = {"title", "description"}


def table():
    """The verbs of the program as it is built."""
    dump = subprocess.run([binaries() / "containariumd", "--dump-verbs"], capture_output=True, text=True, check=True)
    return [line.split("\t")[1] for line in dump.stdout.splitlines() if line.startswith("verb\t")]


def parts(value, path=""):
    """Every schema within a schema, with where it stands."""
    yield path, value
    for name, one in value.get("properties", {}).items():
        yield from parts(one, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(value.get(name), dict):
            yield from parts(value[name], f"{path}[]")
    for n, one in enumerate(value.get("oneOf", [])):
        yield from parts(one, f"{path}|{n}")


def source(path, pattern):
    """What the code calls things."""
    found = re.findall(pattern, (REPO / path).read_text(), re.M)
    assert len(found) > 2, f"{path} is written otherwise than this test expects"
    return found


def test_a_schema_for_every_verb():
    wanted = {verb.replace(" ", "-") for verb in table()}
    there = {name for name in SCHEMAS if name != "error" and not name.endswith(".line")}
    assert len(wanted) > 40
    assert not wanted - there, "verbs without docs/schema/VERB.json; take one of a similar verb as an example"
    assert not there - wanted, "schemas of verbs that the command table does not have"
    assert {name.removesuffix(".line") for name in SCHEMAS if name.endswith(".line")} == LINES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_is_valid_and_complete(path):
    one = json.loads(path.read_text())
    assert one["$schema"] == "https://json-schema.org/draft/2020-12/schema" and one["$id"] == path.name
    jsonschema.Draft202012Validator.check_schema(one)
    assert one["title"].replace(", one line", ".line").replace(" ", "-") == path.name.removesuffix(".json")
    for at, part in parts(one):
        assert ANNOTATION & set(part), f"{at} says nothing of itself"
        assert {"type", "enum", "const", "oneOf"} & set(part), f"{at} may be anything"
        if "object" in part.get("type", ()) and not isinstance(part.get("additionalProperties"), dict):
            assert part["additionalProperties"] is False, f"{at} may have members that are not described"
            assert set(part["required"]) <= set(part["properties"]), f"{at} requires what it does not describe"
        if "integer" in part.get("type", ()):
            assert part["minimum"] >= 0 and part["description"], at
        assert "$ref" not in part, f"{at}: each file stands by itself, and within the OpenAPI document as well"


UNITS = [(r"_ms$", "in milliseconds"), (r"_ns$", "in nanoseconds"), (r"^bytes(_in|_out)?$", "bytes"),
         (r"^(memory|disk|size|bytes)$", "in bytes"), (r"^rate_", "bytes a second"), (r"^time$", "in seconds")]


@pytest.mark.parametrize("name", SCHEMAS)
def test_units_are_said(name):
    for at, part in parts(SCHEMAS[name]):
        member = at.rpartition(".")[2]
        assert ("RFC 3339" in part.get("description", "")) == ("format" in part), at
        for pattern, unit in UNITS:
            if "integer" in part.get("type", ()) and re.search(pattern, member):
                assert unit in part["description"], at


def test_what_is_shared_is_described_alike():
    """The same member of answers about the same thing."""
    for group in (["create", "restore", "info"], ["start", "stop", "restart", "freeze"], ["limits", "limits-set"],
                  ["keys-add", "keys-remove", "keys-replace", "keys-sync"], ["store-backup", "store-verify"]):
        first, *others = (SCHEMAS[name]["properties"] for name in group)
        for name, other in zip(group[1:], others):
            assert all(first[member] == other[member] for member in set(first) & set(other)), (group[0], name)
    assert SCHEMAS["audit"]["items"]["properties"] == SCHEMAS["audit.line"]["properties"]
    assert SCHEMAS["create"]["properties"]["keys"]["items"] == SCHEMAS["keys-list"]["items"]
    for member, described in SCHEMAS["list"]["items"]["properties"].items():
        assert described == SCHEMAS["info"]["properties"].get(member, described), member


def test_enums_are_those_of_the_code():
    events = source("src/store/audit.c", r'^    \[AUDIT_\w+\] = "([a-z-]+)"')
    for one in (SCHEMAS["audit"]["items"], SCHEMAS["audit.line"], SCHEMAS["audit-export.line"]["oneOf"][1]):
        assert one["properties"]["event"]["enum"] == events
    codes = source("src/base/fault.c", r'^        return "([a-z-]+)";')
    assert SCHEMAS["error"]["properties"]["error"]["properties"]["code"]["enum"] == [c for c in codes if c != "ok"]
    limits = source("src/policy/limit.c", r'^    \[LIMIT_\w+\] = \{"([a-z-]+)"')
    for name in ("limits", "limits-set"):
        assert list(SCHEMAS[name]["properties"]["limits"]["properties"]) == limits
    phases = re.search(r"phase_names\[\] = \{(.*)\}", (REPO / "src/store/box.c").read_text())[1]
    assert SCHEMAS["info"]["properties"]["phase"]["enum"] == re.findall(r'"(\w+)"', phases)
    roles = re.search(r"role_names\[\] = \{(.*)\}", (REPO / "src/policy/authz.c").read_text())[1]
    for name, one in SCHEMAS.items():
        for at, part in parts(one):
            if at.endswith(".role"):
                assert part["enum"] == re.findall(r'"(\w+)"', roles), f"{name}{at}"


def test_they_are_installed(tmp_path):
    subprocess.run(["cmake", "--install", binaries().parent / "docs", "--prefix", tmp_path], check=True, capture_output=True)
    there = {path.name: path.read_text() for path in (tmp_path / "share/containarium/schema").iterdir()}
    assert there == {path.name: path.read_text() for path in FILES}


# ---- the watchman itself: it has to bark


@pytest.mark.parametrize("words, printed, says", [
    (["keys", "add", "alice", "--json"], {"user": "alice", "added": 1, "removed": 0}, "sessions_ended"),
    (["keys", "add", "alice", "--json"], {"user": "alice", "added": 1, "removed": 0, "sessions_ended": 0, "x": 1}, "'x'"),
    (["keys", "add", "alice", "--json"], {"user": "alice", "added": -1, "removed": 0, "sessions_ended": 0}, "added"),
    (["--json", "role", "alice", "user"], {"user": "alice", "role": "root", "was": "user"}, "'root'"),
    (["list", "--json"], [{"user": "alice", "role": "user", "box": "alice-container"}], "dependency"),
    (["bans", "remove", "--json"], {"error": {"code": "odd", "text": "no"}}, "'odd'"),
    (["lst", "--json"], {"user": "alice"}, "no verb"),
    (["audit", "--format", "jsonl"], {"seq": 1}, "required"),
])
def test_what_a_schema_does_not_know_is_found(words, printed, says):
    run = subprocess.CompletedProcess(words, 0, stdout=json.dumps(printed).encode(), stderr=b"")
    with pytest.raises(AssertionError, match=re.escape(says)):
        schema.check(words, run)


@pytest.mark.parametrize("words, status, printed", [
    (["version", "--json"], 0, b""), (["version", "--json"], 0, b"containarium 0.1.0\n"), (["list", "--json"], 0, b"[]{}"),
])
def test_what_is_not_one_json_value_is_found(words, status, printed):
    with pytest.raises(AssertionError, match="not one JSON value"):
        schema.check(words, subprocess.CompletedProcess(words, status, stdout=printed, stderr=b""))


@pytest.mark.parametrize("words, status, printed", [
    (["version"], 0, b"containarium 0.1.0\n"), (["version", "--json"], 1, b""), (["audit", "--json", "--format", "csv"], 0, b"x"),
    (["complete", "--", "list", "--json"], 0, b"--json\n"), (["list", "--json"], 0, b"[]"),
])
def test_what_is_meant_otherwise_is_let_pass(words, status, printed):
    schema.check(words, subprocess.CompletedProcess(words, status, stdout=printed, stderr=b""))
