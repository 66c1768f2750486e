"""Programs that ride on OpenSSH's ssh: sftp, scp in both modes, rsync, git."""
import filecmp
import os
import subprocess

import pytest


@pytest.fixture
def remote(alice, door):
    """(options for sftp/scp, "user@host") through each door."""
    *options, host = alice.target(door)
    return ["-F", str(alice.config), *["-P" if o == "-p" else o for o in options]], host


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_000))
    return path


def run(*argv, **keywords):
    done = subprocess.run(list(map(str, argv)), capture_output=True, timeout=60, **keywords)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done


@pytest.mark.interop("OpenSSH", "sftp")
def test_sftp(remote, file, tmp_path):
    options, host = remote
    run("sftp", *options, "-b", "-", host,
        input=f"put {file} up\nrename up moved\nget moved {tmp_path}/back\nls -l moved\nrm moved\n".encode())
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


@pytest.mark.interop("OpenSSH", "scp, both modes")
@pytest.mark.parametrize("mode", ["-O", "-s"], ids=["rcp", "sftp"])
def test_scp(remote, file, tmp_path, mode):
    options, host = remote
    run("scp", mode, *options, file, f"{host}:scp-file")
    run("scp", mode, *options, f"{host}:scp-file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


@pytest.mark.interop("rsync", "up, down, its own exit status")
def test_rsync(alice, door, file, tmp_path):
    # A name per door: rsync -a takes a file of the same size and second for the same file.
    *options, host = alice.target(door)
    shell = " ".join(["ssh", "-F", str(alice.config), *options])
    name = f"rsync-{door}"
    run("rsync", "-a", "-e", shell, file, f"{host}:{name}")
    run("rsync", "-a", "-e", shell, f"{host}:{name}", tmp_path / "back")
    assert filecmp.cmp(tmp_path / "back", file, shallow=False)
    missing = subprocess.run(["rsync", "-e", shell, f"{host}:no-such-file", tmp_path], capture_output=True, timeout=60)
    assert missing.returncode == 23, "rsync's own status for a file that is not there"


@pytest.mark.interop("git", "push, clone")
def test_git(alice, door, tmp_path):
    *options, host = alice.target(door)
    environment = dict(os.environ, GIT_SSH_COMMAND=" ".join(["ssh", "-F", str(alice.config), *options]),
                       GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@b",
                       GIT_CONFIG_GLOBAL="/dev/null")
    work = tmp_path / "work"
    alice.ok("rm -rf repo.git; git init -q --bare repo.git", door=door)
    run("git", "init", "-q", "-b", "main", work, env=environment)
    (work / "file").write_text("content\n")
    run("git", "-C", work, "add", "file", env=environment)
    run("git", "-C", work, "commit", "-qm", "first", env=environment)
    run("git", "-C", work, "push", "-q", f"{host}:repo.git", "main", env=environment)
    run("git", "clone", "-q", "-b", "main", f"{host}:repo.git", tmp_path / "clone", env=environment)
    assert (tmp_path / "clone/file").read_text() == "content\n"
