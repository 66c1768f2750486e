#!/usr/bin/python3
"""Checks that the documents say what the tree has. Prints one line a finding; exit status 1 if there is any.

  docs/check.py [--daemon PATH-OF-containariumd --made FOLDER-OF-BUILT-PAGES]
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = "\n".join(p.read_text() for p in sorted((ROOT / "src").rglob("*.[ch]")))
DOCUMENTS = ["architecture.md", "security.md", "operations.md", "interop.md", "remote.md", "onboarding.md", "migration.md",
             "audit.md", "limits.md"]
findings = []


def finding(where, what):
    findings.append(f"{where}: {what}")


def spans(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    return re.findall(r"`([^`\n]+)`", text)


def check_names(name):
    """Files, functions() and CONSTANTS_ in backticks."""
    for span in spans((ROOT / "docs" / name).read_text()):
        if re.fullmatch(r"[a-z_0-9]+\(\)", span):
            if not re.search(rf"^[\w\s*]*\b{span[:-2]}\(", SOURCE, re.M):
                finding(name, f"there is no function {span}")
        elif re.fullmatch(r"[\w*./@-]+\.(c|h|sh|py|txt|md|in)|[a-z]+(/[\w@-]+)*/", span):
            if not any(list(base.glob(span.rstrip("/"))) for base in (ROOT, ROOT / "src")):
                finding(name, f"there is no {span}")
    plain = re.sub(r"^```.*?^```", "", (ROOT / "docs" / name).read_text(), flags=re.S | re.M)
    for constant in set(re.findall(r"\b(?:DOOR|BOX|STAGE|MESSAGE|AUDIT)_[A-Z_]+\b", plain)):
        if not re.search(rf"\b{constant}\b", SOURCE):
            finding(name, f"there is no constant {constant}")


def check_messages():
    """The table of messages against src/wire/message.c: names, senders and states."""
    rows = re.findall(r'\[MESSAGE_\w+\] = \{"([a-z-]+)", ([^,]+),', (ROOT / "src/wire/message.c").read_text())
    code = {name: ", ".join(s[6:].lower() for s in re.findall(r"STAGE_\w+", stages)) for name, stages in rows}
    text = (ROOT / "docs/architecture.md").read_text()
    page = dict(re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]+) \|", text, re.M))
    if len(code) < 10:
        finding("check.py", "cannot read the table of src/wire/message.c")
    for name in sorted(code):
        if code[name] and page.get(name) != code[name]:
            finding("architecture.md", f"message {name}: state {code[name]} in the code, {page.get(name)} here")
        if f"`{name}`" not in text:
            finding("architecture.md", f"message {name} is missing")
    for name in sorted(set(page) - set(code)):
        finding("architecture.md", f"there is no message {name}")


def check_operations():
    """Log events and configuration keys of operations.md; the quoted symptoms must stand in the code."""
    text = (ROOT / "docs/operations.md").read_text()
    log = text.split("## Log", 1)[1].split("\n## ", 1)[0]
    for row in re.findall(r"^\| (`.*?) \|", log, re.M):
        for event in spans(row):
            if not re.search(rf'log_event\(\s*LOG_LEVEL_\w+,\s*"{event}"', SOURCE):
                finding("operations.md", f"nothing logs event {event}")
    joined = re.sub(r'"\s*\n\s*"', "", SOURCE)
    trouble = text.split("## Troubleshoot", 1)[1].split("\n## ", 1)[0]
    for row in re.findall(r"^\| (.*?) \|", trouble, re.M):
        for symptom in spans(row):
            if symptom in ("Connection refused", "Permission denied (publickey)"):  # ssh's own words
                continue
            symptom = symptom.replace("NAME-container", "%s")
            if symptom not in joined:
                finding("operations.md", f'nothing says "{symptom}"')


def check_links():
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            if not (path.parent / target).exists():
                finding(path.name, f"link to {target}, which is not there")


def check_pages(pages):
    if shutil.which("mandoc") is None:
        print("mandoc is not here: the manual pages were not linted")
        return
    for page in pages:
        lint = subprocess.run(["mandoc", "-Tlint", page], capture_output=True, text=True, check=False)
        for line in (lint.stdout + lint.stderr).splitlines():
            # Whether the pages referred to are installed here is no matter of the page.
            if "referenced manual not found" not in line and "outdated mandoc.db" not in line:
                finding("mandoc", line.removeprefix("mandoc: "))


def check_keys(daemon, page):
    with tempfile.NamedTemporaryFile(suffix=".conf") as empty:
        dump = subprocess.run([daemon, "--config", empty.name, "--dump"], capture_output=True, text=True, check=True)
    keys = re.findall(r"^([a-z0-9_]+) =", dump.stdout, re.M)
    text = pathlib.Path(page).read_text()
    shown = re.findall(r"^\.It Ic ([a-z0-9_]+) No = ", text, re.M)
    if len(keys) < 10:
        finding("check.py", "cannot read containariumd --dump")
    for key in sorted(set(keys) ^ set(shown)):
        finding("containarium.conf.5", f"key {key} is in {'--dump' if key in keys else 'the page'} only")
    for section in re.findall(r"^\[([a-z]+)\]$", dump.stdout, re.M):
        if f".Ss [{section}]" not in text:
            finding("containarium.conf.5", f"section {section} is missing")


def check_verbs(daemon, page):
    dump = subprocess.run([daemon, "--dump-verbs"], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in dump.splitlines()]
    verbs = [row[1] for row in rows if row[0] == "verb"]
    text = pathlib.Path(page).read_text()
    if len(verbs) < 10:
        finding("check.py", "cannot read containariumd --dump-verbs")
    for verb in verbs:
        if not re.search(rf"^\.It Cm {verb}(?: |$)", text, re.M):
            finding("containarium.1", f"verb {verb} is missing")
    for row in rows:
        if row[0] == "option" and row[1] != "*" and not re.search(rf"^\.It Fl {row[2][1:]}(?: |$)", text, re.M):
            finding("containarium.1", f"option {row[2]} of {row[1]} is missing")


def main():
    parser = argparse.ArgumentParser(description="checks that the documents say what the tree has")
    parser.add_argument("--daemon", help="containariumd, for the configuration keys and the verbs")
    parser.add_argument("--made", type=pathlib.Path, help="where the build made containarium.1 and containarium.conf.5")
    options = parser.parse_args()
    for name in DOCUMENTS:
        check_names(name)
    check_messages()
    check_operations()
    check_links()
    pages = sorted(str(p) for p in (ROOT / "docs/man").glob("*.[158]"))
    if options.made:
        pages += [str(options.made / "containarium.1"), str(options.made / "containarium.conf.5")]
    check_pages(pages)
    if options.daemon and options.made:
        check_keys(options.daemon, options.made / "containarium.conf.5")
        check_verbs(options.daemon, options.made / "containarium.1")
    for line in findings:
        print(line)
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
