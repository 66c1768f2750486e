"""The rendered start-up script of every server of every example: lint, quoting, and that there is one for all."""
import re
import shutil
import subprocess

import pytest
from conftest import MODULE, startup_scripts

EXAMPLES = sorted(path.stem for path in (MODULE / "examples").glob("*.tfvars"))


@pytest.fixture(scope="module", params=EXAMPLES)
def scripts(request, terraform):
    return startup_scripts(terraform.example(request.param))


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed here")
def test_shellcheck_finds_nothing(scripts, tmp_path):
    for name, text in scripts.items():
        (tmp_path / f"{name}.sh").write_text(text)
    result = subprocess.run(["shellcheck", *tmp_path.glob("*.sh")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_servers_differ_in_values_only(scripts):
    parts = {text.split("\n# shellcheck shell=bash", 1)[1] for text in scripts.values()}
    assert len(parts) == 1
    for name, text in scripts.items():
        assert text.startswith("#!/bin/bash\n") and f"start-up script for {name}." in text.splitlines()[1]


def test_it_fits_into_metadata(scripts):
    assert all(len(text.encode()) < 256 * 1024 for text in scripts.values())


def values(text):
    """What the shell makes of the lines at the top."""
    names = re.findall(r"^([A-Z_]+)='", text, re.M)
    top = text.split("\n# shellcheck shell=bash", 1)[0]
    shown = subprocess.run(["bash", "-euc", top + "\n" + "".join(f'printf "%s\\0" "${name}"\n' for name in names)],
                           capture_output=True, text=True, check=True)
    return dict(zip(names, shown.stdout.split("\0")))


def test_values_reach_the_shell_as_they_were_given(terraform):
    key = ("-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: it's \"quoted\" $(reboot) `reboot` \\ ${HOME} %{if}\n"
           "-----END PGP PUBLIC KEY BLOCK-----\n")
    text = startup_scripts(terraform.plan("five-servers", install={
        "apt_source": "https://apt.example.com/debian bookworm main contrib", "apt_key": key}))["containarium-2"]
    found = values(text)
    assert found["INSTALL_APT_KEY"] == key
    assert found["INSTALL_KIND"] == "apt"
    assert found["INSTALL_FROM"] == "https://apt.example.com/debian bookworm main contrib"
    assert found["GATEWAY_PORTS"] == "22 2202" and found["ADMIN_SSH_PORT"] == "2200"
    assert found["PUBLIC_HOST"] == "containarium-2.ssh.example.com"
    assert re.fullmatch(r"olivia ssh-ed25519 \S+ olivia@example.com", found["GATEWAY_ADMINS"])


@pytest.mark.parametrize("install, kind, source, checksum", [
    ({"deb_url": "https://example.com/a.deb", "sha256": "1" * 64}, "deb", "https://example.com/a.deb", "1" * 64),
    ({"archive_url": "https://example.com/a.tar.gz", "sha256": "2" * 64}, "archive", "https://example.com/a.tar.gz",
     "2" * 64),
    ({"git_url": "https://example.com/a.git", "git_commit": "3" * 40}, "git", "https://example.com/a.git", "3" * 40),
])
def test_every_source_of_the_package(terraform, install, kind, source, checksum):
    found = values(startup_scripts(terraform.plan("one-spot-server", install=install))["containarium-1"])
    assert (found["INSTALL_KIND"], found["INSTALL_FROM"], found["INSTALL_CHECKSUM"]) == (kind, source, checksum)


def test_a_file_that_is_not_the_promised_one_is_refused(terraform, tmp_path):
    text = startup_scripts(terraform.example("one-spot-server"))["containarium-1"]
    (tmp_path / "startup.sh").write_text(text.rsplit("\nmain ", 1)[0])
    (tmp_path / "package").write_text("not what was promised")
    result = subprocess.run(["bash", "-euo", "pipefail", "-c", f". {tmp_path}/startup.sh; "
                             f"fetch file://{tmp_path}/package {tmp_path}/fetched"], capture_output=True, text=True)
    assert result.returncode != 0
    assert "is not the file that was promised: its SHA-256 is " in result.stderr
    assert "next: set install.sha256" in result.stderr


def test_the_cloud_test_says_what_it_needs():
    script = MODULE.parent / "cloud-test/run.sh"
    cases = ((["deploy"], "PROJECT is not set"), (["fly"], "unknown step: fly"), ([], "unknown step: none"))
    for arguments, words in cases:
        result = subprocess.run([script, *arguments], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
        assert result.returncode == 1 and words in result.stderr and "next: " in result.stderr
    steps = re.findall(r"run\.sh (\w+) ", (script.parent / "README.md").read_text())
    text = script.read_text()
    for step in steps:
        assert step == "all" or re.search(rf"^{step}\(\) \{{", text, re.M), step
