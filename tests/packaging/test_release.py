"""What a release consists of: one version everywhere, an installation that is complete, units as hard as they were."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.rig import binaries

REPO = Path(__file__).resolve().parents[2]
UNITS = REPO / "packaging/systemd"


def run(*argv, **keywords):
    return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          **keywords)


def version():
    return re.search(r"^project\(containarium VERSION ([0-9.]+)", (REPO / "CMakeLists.txt").read_text(), re.M).group(1)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The root of an installation to /usr, as a package has it."""
    build = Path(os.environ.get("CONTAINARIUM_BUILD", REPO / "build"))
    root = tmp_path_factory.mktemp("root")
    done = run("cmake", "--install", build, "--prefix", root / "usr")
    assert done.returncode == 0, done.stderr
    return root


def test_one_version():
    changelog = (REPO / "debian/changelog").read_text()
    assert re.match(r"containarium \(([0-9.]+)\) ", changelog).group(1) == version()
    assert re.search(r"^## ([0-9.]+)", (REPO / "CHANGELOG.md").read_text(), re.M).group(1) == version()
    for program in ("containariumd", "containarium-gateway"):
        assert run(binaries() / program, "--version").stdout == f"{program} {version()}\n"
    others = [p for p in REPO.glob("src/**/*.[ch]") if f'"{version()}"' in p.read_text()]
    assert not others, "the version comes from CMakeLists.txt"


def test_the_papers_are_there():
    for name in ("LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        assert (REPO / name).stat().st_size > 500, name
    assert "Apache License" in (REPO / "LICENSE").read_text()
    assert "License: Apache-2.0" in (REPO / "debian/copyright").read_text()


@pytest.mark.parametrize("path", [
    "bin/containarium", "sbin/containariumd", "sbin/containarium-gateway", "sbin/containarium-setup",
    "lib/systemd/system/containariumd.service", "lib/systemd/system/containarium-gateway.service",
    "lib/systemd/system/containarium-gateway.socket", "lib/systemd/system/containarium.target", "lib/systemd/system/containarium-firewall@.service",
    "lib/sysusers.d/containarium.conf", "lib/tmpfiles.d/containarium.conf", "share/man/man1/containarium.1",
    "share/man/man5/containarium.conf.5", "share/man/man8/containariumd.8", "share/man/man8/containarium-gateway.8",
    "share/man/man8/containarium-setup.8", "share/bash-completion/completions/containarium",
    "share/fish/vendor_completions.d/containarium.fish", "share/containarium/image/customise.sh",
])
def test_the_installation_is_complete(installed, path):
    assert (installed / "usr" / path).exists()


def test_what_is_installed_needs_nothing_of_the_sources(installed):
    assert list(installed.glob("usr/share/zsh/*/_containarium"))
    setup = run(installed / "usr/sbin/containarium-setup", "--help")
    assert setup.returncode == 0 and "containarium-setup [options]" in setup.stdout
    for path in installed.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            assert str(REPO).encode() not in data or path.parent.name in ("bin", "sbin"), path  # programs: debug information
            assert not re.search(rb"^[^#\n]*@[a-z]+@", data, re.M) or data.startswith(b"\x7fELF"), path  # left unfilled
    # The scripts and what they name beside themselves.
    share = installed / "usr/share/containarium"
    for script in share.glob("*.sh"):
        for name in re.findall(r"(?:^|\s)\./([a-z-]+\.sh)", script.read_text()):
            assert (share / name).exists(), f"{script.name} uses {name}"
    for source in (REPO / "packaging/image").rglob("*"):
        copy = share / source.relative_to(REPO / "packaging")
        assert copy.exists() and (source.is_dir() or (copy.read_bytes() == source.read_bytes() and
                                                      copy.stat().st_mode == source.stat().st_mode)), source


@pytest.mark.parametrize("unit", ["containariumd.service.in", "containarium-gateway.service.in",
                                  "containarium-firewall@.service"])
def test_every_hardening_line_has_its_reason(unit):
    lines = (UNITS / unit).read_text().split("# ---- ")[1].split("\n\n")[1].splitlines()
    assert len(lines) > 30
    for before, line in zip([""] + lines, lines):
        assert line.startswith("#") or before.startswith("#"), f"{unit}: why {line}?"


# What `systemd-analyze security` of version 252 makes of them, times ten. Lower is better; more than this is a loss.
@pytest.mark.parametrize("unit, exposure", [("containariumd.service.in", 15), ("containarium-gateway.service.in", 6),
                                            ("containarium-firewall@.service", 27)])
def test_the_units_stay_as_hard_as_they_were(unit, exposure, tmp_path):
    if shutil.which("systemd-analyze") is None or "--offline" not in run("systemd-analyze", "--help").stdout:
        pytest.skip("no systemd-analyze with --offline")
    text = (UNITS / unit).read_text().replace("@sbindir@", str(binaries()))
    path = tmp_path / unit.removesuffix(".in").replace("@", "@x")

    def measure():
        return run("systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={exposure}", path)
    path.write_text(text)
    result = measure()
    assert result.returncode == 0, result.stdout
    path.write_text(text.replace("NoNewPrivileges=yes\n", ""))  # the measure measures
    assert measure().returncode != 0
