"""Completion of containarium(1) in the shells themselves: verbs, options, values, files, and users of a real daemon."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.rig import binaries
from harness.terminal import Terminal
from harness.user import make_key
from harness.wait import until

SHELLS = ["bash", "zsh", "fish"]


def build_folder():
    return Path(os.environ.get("CONTAINARIUM_BUILD", Path(__file__).resolve().parents[2] / "build"))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """A control plane with two users and no box; the path of its socket."""
    folder = tmp_path_factory.mktemp("completion")
    config = folder / "containarium.conf"
    # The user who runs the tests stands for the gateway's, who need not exist here.
    config.write_text(f"[control]\nstate_dir = {folder}/state\nrun_dir = {folder}/run\ngateway_user = root\n")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([binaries() / "containariumd", "--config", config], stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log)
    socket = folder / "run/control.sock"
    try:
        until(socket.exists, what="containariumd listens")
        for name in ("carol", "caspar"):
            subprocess.run([binaries() / "containarium", "--socket", socket, "create", name, "--lazy", "--ssh-key",
                            f"{make_key(folder / name)}.pub"], check=True, capture_output=True)
        yield socket
    finally:
        process.terminate()
        process.wait(20)


BASH = """source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }
_containarium; printf '%s\\n' "${COMPREPLY[@]}" """
# zsh completes nowhere but in its line editor: a key that shows what would be offered, between two marks.
ZSH = """PS1='ready> '; fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D
offered=(); compadd() {{ local -a found; builtin compadd -O found "$@"; offered+=($found); }}
_offer() {{ offered=(); _main_complete; print -r -- "<<${{(j: :)offered}}>>"; compstate[insert]=''; compstate[list]=''; }}
zle -C offer complete-word _offer; bindkey '^X' offer
zstyle ':completion:*' completer _complete
path=({bin} $path)
"""


def cut_as_bash_does(words):
    """At = and blanks, as COMP_WORDBREAKS says."""
    return [part for word in words for part in (word.replace("=", "\0=\0").split("\0") if word.startswith("--") else [word])
            if part or not word]


class Shell:
    """offers(words...): what the shell would offer for the last of them, as a set."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.terminal = None
        if name == "zsh":
            (folder / ".zshrc").write_text(ZSH.format(folder=build_folder() / "packaging/completion", bin=binaries()))
            self.terminal = Terminal(["zsh", "-d", "-i"], rows=50, columns=500,
                                     env={**os.environ, "ZDOTDIR": str(folder), "TERM": "dumb"})
            self.terminal.expect(b"ready> ")

    def offers(self, *words):
        return getattr(self, f"_{self.name}")(("containarium", *map(str, words)))

    def _run(self, *argv):
        env = {**os.environ, "PATH": f"{binaries()}:{os.environ['PATH']}"}
        run = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=env)
        assert run.returncode == 0 and not run.stderr, run.stderr
        return run.stdout

    def _bash(self, words):
        script = build_folder() / "packaging/completion/containarium.bash"
        return set(self._run("bash", "--norc", "-c", BASH, "bash", script, *cut_as_bash_does(words)).split())

    def _fish(self, words):
        script = build_folder() / "packaging/completion/containarium.fish"
        out = self._run("fish", "--no-config", "-c", f"source {script}; complete -C '{' '.join(words)}'")
        # Values of --NAME=VALUE come with the name before them.
        return {line.split("\t")[0].rpartition("=")[2] for line in out.splitlines()}

    def _zsh(self, words):
        self.terminal.send(b"\x15" + " ".join(words).encode() + b"\x18")
        return set(self.terminal.expect(rb"<<([^>]*)>>").group(1).decode().split())

    def close(self):
        if self.terminal is not None:
            self.terminal.close()


@pytest.fixture(scope="module", params=SHELLS)
def shell(request, tmp_path_factory):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    shell = Shell(request.param, tmp_path_factory.mktemp(request.param))
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def table():
    """The rows of containariumd --dump-verbs."""
    dump = subprocess.run([binaries() / "containariumd", "--dump-verbs"], capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in dump.stdout.splitlines()]
    assert all(len(row) == {"verb": 4, "option": 5}[row[0]] and all(row) for row in rows)
    return rows


def test_every_verb_is_offered(shell, table):
    verbs = {row[1] for row in table if row[0] == "verb"}
    assert len(verbs) > 10
    assert shell.offers("") == {verb.split()[0] for verb in verbs}
    for noun in {verb.split()[0] for verb in verbs if " " in verb}:
        assert {verb.split()[1] for verb in verbs if verb.startswith(f"{noun} ")} <= shell.offers(noun, "")


def test_every_option_is_offered_after_its_verb(shell, table):
    common = {row[2] for row in table if row[:2] == ["option", "*"]} | {"--server", "--socket"}
    assert shell.offers("list", "--") == common
    for verb in sorted({row[1] for row in table if row[0] == "option"} - {"*"}):
        own = {row[2] for row in table if row[:2] == ["option", verb]}
        assert shell.offers(*verb.split(), "--") == own | common, verb


@pytest.mark.parametrize("words, offered", [
    (["ke"], {"keys"}),
    (["keys", "re"], {"remove", "replace"}),
    (["--json", "autosta"], {"autostart"}),
    (["autostart", "alice", ""], {"on", "off"}),
    (["create", "alice", "--role", ""], {"user", "operator", "admin"}),
    (["create", "alice", "--role=ad"], {"admin"}),
    (["create", "--role", "user", "alice", "--no-a"], {"--no-autostart"}),
    (["audit", "--format", ""], {"table", "jsonl", "csv"}),
    (["help", "aud"], {"audit"}),
    (["--server", "gateway.example", "ke"], {"keys"}),
    (["create", "someb"], set()),
    (["list", "x"], set()),
    (["nonsense", ""], set()),
    (["keys", "nonsense", ""], set()),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_words_and_values(shell, words, offered):
    assert shell.offers(*words) == offered


def test_files_where_files_are_meant(shell, tmp_path):
    (tmp_path / "laptop.pub").write_text("")

    def offers(*words):
        return {Path(name).name for name in shell.offers(*words, f"{tmp_path}/lap")}
    assert "laptop.pub" in offers("create", "alice", "--ssh-key")
    assert "laptop.pub" in offers("keys", "add", "alice")
    assert "laptop.pub" not in offers("create", "alice", "--memory")


def test_users_are_those_of_the_daemon(shell, daemon):
    at = ("--socket", daemon)
    assert shell.offers(*at, "info", "ca") == {"carol", "caspar"}
    assert shell.offers(*at, "keys", "list", "cas") == {"caspar"}
    assert shell.offers(f"--socket={daemon}", "audit", "--user", "") == {"carol", "caspar"}
    assert shell.offers(*at, "create", "ca") == set()  # a new name is nobody's


def test_without_a_daemon_nothing_is_offered_and_nothing_said(shell, tmp_path):
    assert shell.offers("--socket", tmp_path / "none", "info", "") == set()
    # Nobody is asked over the network in the middle of a command line.
    assert shell.offers("--server", "192.0.2.1", "info", "") == set()
