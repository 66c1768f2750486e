"""docs/schema as the tests' own watchman: whatever a verb prints with --json, anywhere in the tests, is checked against
its schema, and an answer that the schema does not know fails the test that got it."""
import collections
import functools
import json

import jsonschema

from .incus import REPO

FOLDER = REPO / "docs/schema"
applied = collections.Counter()  # (verb, door): how often its schema has held; door is "host", "ssh" or "https"
_lines = set()  # that have held: a trail is read again and again


@functools.lru_cache(maxsize=None)
def validator(name):
    """Of docs/schema/NAME.json."""
    return jsonschema.Draft202012Validator(json.loads((FOLDER / f"{name}.json").read_text()))


@functools.lru_cache(maxsize=None)
def verbs():
    """Names of all verbs that have a schema: {"keys add": "keys-add"}."""
    names = (path.name.removesuffix(".json") for path in FOLDER.glob("*.json"))
    return {json.loads((FOLDER / f"{name}.json").read_text())["title"]: name
            for name in names if name != "error" and not name.endswith(".line")}


def verb_of(words):
    """The verb that the words of a command line begin with, or None; --json may stand before it."""
    words = [word for word in words if word != "--json"]
    return next((name for name in (" ".join(words[:2]), words[0] if words else "") if name in verbs()), None)


def prints_lines(verb, words):
    """True for what is JSON line by line, with --json or without."""
    if verb == "audit":
        return "jsonl" in words or "--format=jsonl" in words or ("--follow" in words and "--json" in words)
    return verb == "audit export" and not any(word.split("=")[0] == "--output" for word in words)


def hold(name, value, said):
    """Fails unless the value is what docs/schema/NAME.json says."""
    found = sorted(validator(name).iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    assert not found, f"{said}: docs/schema/{name}.json does not hold:\n" + "\n".join(
        f"  {error.json_path}: {error.message[:400]}" for error in found[:5]) + f"\n{json.dumps(value)[:2000]}"


def check_value(verb, value, said, door):
    """What a command has printed as one JSON value: its result, or why it failed."""
    failed = isinstance(value, dict) and set(value) == {"error"}
    if not failed and verb is None:
        raise AssertionError(f"{said}: a result of no verb that has a schema: {json.dumps(value)[:400]}")
    hold("error" if failed else verbs()[verb], value, said)
    applied["error" if failed else verb, door] += 1


def check_line(verb, line, door="host"):
    """One line of a verb that prints lines."""
    if (verb, line) not in _lines:
        hold(f"{verbs()[verb]}.line", json.loads(line), f"a line of {verb}")
        _lines.add((verb, line))
    applied[verb, door] += 1


def check(words, run, door="host"):
    """A command that has ended: `words` after the program's name, `run` with stdout as bytes. What is no JSON by
    intention is let pass, and so is silence of a command that failed before it reached the gateway."""
    words = [str(word) for word in words]
    asked = words[:words.index("--")] if "--" in words else words
    if "--help" in asked or "-h" in asked:
        asked = ["help", *(["--json"] if "--json" in asked else [])]
    verb, said = verb_of(asked), f"{door}: {' '.join(words)}"
    if prints_lines(verb, asked) and run.returncode == 0:
        for line in run.stdout.decode().splitlines():
            check_line(verb, line, door)
    elif "--json" in asked and (run.stdout or run.returncode == 0) and not {"csv", "--format=csv"} & set(asked):
        try:
            value = json.loads(run.stdout)
        except ValueError:
            raise AssertionError(f"{said}: this is not one JSON value: {run.stdout[:400]!r}") from None
        check_value(verb, value, said, door)
    return run
