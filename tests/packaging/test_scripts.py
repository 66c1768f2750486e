"""The scripts of packaging/: what they say, what they refuse, and how they find the machine's own mirror."""
import os
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGING = REPO / "packaging"
SCRIPTS = sorted(p.name for p in PACKAGING.glob("*.sh") if os.access(p, os.X_OK))
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def run(*argv, **keywords):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **keywords)


def lib(code, env=None):
    return run("bash", "-euo", "pipefail", "-c", f". {PACKAGING}/lib.sh; {code}", env={**os.environ, **(env or {})})


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_head_of_the_file(script):
    result = run(PACKAGING / script, "--help")
    assert result.returncode == 0
    assert f"packaging/{script}" in result.stdout
    assert "shellcheck" not in result.stdout and "set -e" not in result.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_argument_says_where_to_look(script):
    result = run(PACKAGING / script, "--no-such-thing")
    assert result.returncode != 0
    assert "--no-such-thing" in result.stderr and "next:" in result.stderr


@root_only
@pytest.mark.parametrize("arguments, complaint", [
    (["--port", "0"], "--port 0"), (["--port", "65536"], "--port 65536"), (["--port", "ssh"], "--port ssh"),
    (["--user", "root"], "--user root"), (["--user", "ctl"], "--user ctl"), (["--user", "a-"], "--user a-"),
    (["--user", "Alice"], "--user Alice"), (["--user", "warm-1"], "--user warm-1"), (["--user", "a" * 32], "--user"),
    (["--prefix", "local"], "--prefix local"), (["--port"], "--port needs a value"),
])
def test_quickstart_refuses_before_it_does_anything(arguments, complaint):
    before = Path("/var/lib/containarium-quickstart").exists()
    result = run(PACKAGING / "quickstart.sh", *arguments)
    assert result.returncode != 0
    assert complaint in result.stderr
    assert Path("/var/lib/containarium-quickstart").exists() == before


@root_only
@pytest.mark.parametrize("arguments, complaint", [
    (["--project", "default"], "--project default"), (["--project", "A b"], "--project A b"),
    (["--network", "much-too-long-for-an-interface"], "--network"), (["--pool"], "--pool needs a value"),
])
def test_incus_setup_refuses_names_that_cannot_be(arguments, complaint):
    result = run(PACKAGING / "incus-setup.sh", *arguments)
    assert result.returncode != 0
    assert complaint in result.stderr


DEB822 = """Types: deb
URIs: http://third.example/apt
Suites: nodistro
Components: main

# A comment between
Types: deb
URIs: http://mirror.example/debian
Suites: {codename} {codename}-updates
Components: main
Signed-By: {keyring}
"""
ONE_LINE = """# deb http://commented.example/debian {codename} main
deb [arch=amd64] http://third.example/apt stable main
deb [arch=amd64 signed-by={keyring}] http://mirror.example/debian {codename} main contrib
"""


@pytest.mark.parametrize("name, text", [("debian.sources", DEB822), ("debian.list", ONE_LINE)],
                         ids=["deb822", "one-line"])
def test_the_mirror_is_found_in_both_of_apts_formats(tmp_path, name, text):
    codename = lib("os_codename").stdout.strip()
    keyring = tmp_path / "archive.gpg"
    keyring.write_bytes(b"key")
    (tmp_path / "etc/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/sources.list.d" / name).write_text(text.format(codename=codename, keyring=keyring))
    (tmp_path / "lists/partial").mkdir(parents=True)
    (tmp_path / "apt.conf").write_text(f'Dir::Etc "{tmp_path}/etc"; Dir::State::lists "{tmp_path}/lists";\n')
    result = lib("apt_mirror", {"APT_CONFIG": str(tmp_path / "apt.conf"), "APT_ETC": str(tmp_path / "etc")})
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["http://mirror.example/debian", str(keyring)]


def test_a_machine_without_its_own_mirror_is_told_apart(tmp_path):
    (tmp_path / "etc/sources.list.d").mkdir(parents=True)
    (tmp_path / "lists/partial").mkdir(parents=True)
    (tmp_path / "apt.conf").write_text(f'Dir::Etc "{tmp_path}/etc"; Dir::State::lists "{tmp_path}/lists";\n')
    result = lib("apt_mirror", {"APT_CONFIG": str(tmp_path / "apt.conf"), "APT_ETC": str(tmp_path / "etc")})
    assert result.returncode != 0


@pytest.mark.parametrize("before, after", [
    ("", "\n[control]\nport = 22\n"),
    ("[gateway]\nport = 1\n", "[gateway]\nport = 1\n\n[control]\nport = 22\n"),
    ("[control]\n", "[control]\nport = 22\n"),
    ("[gateway]\nport = 1\n[control]\n# port = 5\nhost = a\nport = 2222 ; was\n[box]\nport = 3\n",
     "[gateway]\nport = 1\n[control]\n# port = 5\nhost = a\nport = 22\n[box]\nport = 3\n"),
    ("# port = 1\nport = 0\n[control]\nports = 4\n", "# port = 1\nport = 0\n[control]\nport = 22\nports = 4\n"),
], ids=["empty", "no section", "empty section", "replaced", "added"])
def test_one_key_of_a_configuration_is_set_and_no_other(tmp_path, before, after):
    config = tmp_path / "c.conf"
    config.write_text(before)
    result = lib(f". {PACKAGING}/setup-steps.sh; config={config}; set_key control port 22; get_key control port")
    assert result.returncode == 0 and result.stdout == "22\n", result.stderr
    assert config.read_text() == after


def test_a_failed_step_says_what_to_do_next():
    result = lib('step "Boil water"; die "the kettle is missing" "buy one"')
    assert result.returncode == 1
    assert "failed: the kettle is missing" in result.stderr
    assert "in step 1: Boil water" in result.stderr
    assert "next: buy one" in result.stderr


def test_nothing_names_a_registry_or_a_mirror():
    """Mirrors come from the machine's own configuration."""
    for path in [*PACKAGING.rglob("*"), *REPO.glob(".ci/*"), REPO / "tests/run.sh"]:
        if path.is_file():
            text = path.read_text()
            assert "debian.org" not in text, path
            assert "pypi" not in text.lower(), path
