"""The OpenAPI document that containariumd makes, read by a validator that is not ours. Needs no Incus."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import schema
from harness.rig import binaries

VALIDATOR = "@redocly/cli@2.77.0"  # knows OpenAPI 3.1; one package without dependencies


@pytest.fixture(scope="module")
def document():
    made = subprocess.run([binaries() / "containariumd", "--openapi"], capture_output=True, check=True)
    return json.loads(made.stdout)


@pytest.fixture(scope="module")
def validator():
    """The program; npm puts it outside the sources, where it is kept for the next run."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("no node or npm here, which the validator of OpenAPI documents needs")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 20:
        pytest.skip(f"the validator of OpenAPI documents needs node 20 or newer, here is {version}")
    folder = Path(os.environ.get("CONTAINARIUM_CACHE", "/var/cache/containarium")) / "npm-openapi"
    program = folder / "node_modules/.bin/redocly"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        got = subprocess.run([npm, "install", "--prefix", folder, "--ignore-scripts", "--omit=optional", "--no-audit",
                              "--no-fund", VALIDATOR], capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL)
        if got.returncode != 0 and any(word in got.stderr for word in ("ENOTFOUND", "EAI_AGAIN", "ECONN", "ETIMEDOUT")):
            pytest.skip(f"npm does not reach its registry: {got.stderr.strip().splitlines()[0]}")
        assert got.returncode == 0, got.stderr
    return program


def lint(validator, folder, document):
    """(exit status, the problems it found) by the rules it recommends."""
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    # It would ask for a newer version of itself, and tell its makers of this run.
    environment = dict(os.environ, REDOCLY_SUPPRESS_UPDATE_NOTICE="true", REDOCLY_TELEMETRY="off")
    run = subprocess.run([validator, "lint", "--format=json", path.name], cwd=folder, env=environment, capture_output=True,
                         text=True, timeout=120, stdin=subprocess.DEVNULL)
    return run.returncode, [(one["ruleId"], one["message"]) for one in json.loads(run.stdout)["problems"]]


def test_the_document_is_valid(document, validator, tmp_path):
    assert document["openapi"] == "3.1.0"
    assert lint(validator, tmp_path, document) == (0, [])


def nameless(document):
    del document["info"]["title"]


def to_nowhere(document):
    document["components"]["schemas"]["list"]["items"] = {"$ref": "#/components/schemas/nothing"}


def misspelt(document):
    document["components"]["schemas"]["list"]["type"] = "arry"


@pytest.mark.parametrize("spoil", [nameless, to_nowhere, misspelt])
def test_a_spoiled_one_is_not(document, validator, tmp_path, spoil):
    spoiled = json.loads(json.dumps(document))
    spoil(spoiled)
    status, problems = lint(validator, tmp_path, spoiled)
    assert status != 0 and problems


def test_every_answer_has_the_verbs_schema(document):
    verbs = schema.verbs()
    assert len(document["paths"]) == len(verbs)
    for verb, name in verbs.items():
        done = document["paths"]["/v1/" + verb.replace(" ", "/")]["post"]["responses"]["200"]
        answer = done["content"]["application/json"]["schema"]["allOf"]
        assert answer[1]["properties"]["result"] == {"$ref": f"#/components/schemas/{name}"}
        file = json.loads((schema.FOLDER / f"{name}.json").read_text())
        assert document["components"]["schemas"][name] == {k: v for k, v in file.items() if k not in ("$schema", "$id")}
    assert document["components"]["schemas"]["Error"] == schema.validator("error").schema["properties"]["error"]
