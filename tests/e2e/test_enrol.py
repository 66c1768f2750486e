"""`ssh join+TOKEN@gateway`: an invitation becomes an account or one more key, once, and its token stays a secret."""
import contextlib
import sqlite3
import subprocess

import pytest

from harness.user import User, make_key
from harness.wait import until


@pytest.fixture
def gate(make_rig):
    return make_rig(bans={"window": "1m", "duration": "1h"}, log={"level": "debug"})


def invite(rig, name, *options):
    return rig.json("invite", name, *options)["token"]


def join(user, token, *command, options=(), key=None):
    keys = [] if key is None else ["-i", str(key)]
    argv = ["ssh", "-F", str(user.config), *keys, *options, "-p", str(user.rig.port), f"join+{token}@127.0.0.1", *command]
    return subprocess.run(argv, input=b"", capture_output=True, timeout=60)


def refused(run, *words):
    assert run.returncode == 255 and run.stdout == b"", run
    for word in words:
        assert word in run.stderr.decode(), run.stderr


def nowhere(rig, token):
    """The token is in no log, no trail and no file of the gateway."""
    everything = rig.logs() + rig.ok("audit", "--limit", "0", "--format", "jsonl") + rig.ok("sessions", "list")
    assert token not in everything and token.upper() not in everything
    for path in rig.state_dir.iterdir():
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path


def test_an_invitation_makes_an_account(gate):
    carol = gate.person("carol")
    run = gate.cli("invite", "carol", "--memory", "400MB", "--cpu", "1", "--sessions", "5")
    line = run.stdout.decode().split()
    assert run.returncode == 0 and line[:3] == ["ssh", "-p", str(gate.port)] and line[3].endswith("@127.0.0.1"), run
    host_key = subprocess.run(["ssh-keygen", "-lf", gate.host_key_dir / "ssh_host_ed25519_key.pub"], capture_output=True,
                              check=True).stdout.split()[1]
    assert b"works once" in run.stderr and host_key in run.stderr
    token = line[3].split("+")[1].split("@")[0]
    assert gate.cli("info", "carol").returncode == 3, "nothing is made by inviting"
    welcome = join(carol, token)
    assert welcome.returncode == 0 and b"You are carol here" in welcome.stdout, welcome
    assert carol.fingerprint.encode() in welcome.stdout
    assert f"ssh -p {gate.port} carol@127.0.0.1".encode() in welcome.stdout
    assert f"ssh -p {gate.port} ctl@127.0.0.1 help".encode() in welcome.stdout
    assert carol.ctl("whoami").stdout.startswith(b"carol (user)")
    info = gate.json("info", "carol")
    assert (info["memory"], info["cpu"], info["state"]) == (400000000, "1", "absent"), info
    assert gate.json("limits", "carol")["limits"]["sessions"] == {"limit": 5, "own": True, "in_use": 0}
    events = {r["event"]: r for r in gate.audit(user="carol")}
    for event in ("invited", "account-created", "key-added", "invite-used"):
        assert event in events, events.keys()
    assert events["invite-used"]["actor"] == "root@host" and events["invite-used"]["fingerprint"] == carol.fingerprint
    (row,) = gate.json("invites", "list")
    assert (row["state"], row["fingerprint"], row["user"]) == ("used", carol.fingerprint, "carol")
    nowhere(gate, token)


@pytest.mark.parametrize("how", [["-T"], ["-tt"], ["-T", "rm -rf /"], ["-tt", "bash"], ["-s", "sftp"]], ids=" ".join)
def test_the_welcome_is_the_same_however_it_is_asked(gate, how):
    dave = gate.person("dave")
    options, command = how[:1], how[1:]
    run = join(dave, invite(gate, "dave"), *command, options=options)
    assert run.returncode == 0 and b"You are dave here" in run.stdout, run
    assert (b"\r\n" in run.stdout) == ("-tt" in how), "a terminal gets its carriage returns, a pipe does not"


def test_the_same_key_again_is_told_so(gate):
    carol = gate.person("carol")
    token = invite(gate, "carol")
    assert join(carol, token).returncode == 0
    again = join(carol, token.upper())
    assert again.returncode == 0 and b"enrolled already" in again.stdout
    assert len(gate.json("keys", "list", "carol")) == 1 and len(gate.audit(event="account-created")) == 1
    gate.ok("keys", "remove", "carol", carol.fingerprint, "--force")
    refused(join(carol, token), "this key was removed from carol again")


def test_another_key_is_not_let_in_twice(gate):
    carol, mallory = gate.person("carol"), gate.person("mallory")
    token = invite(gate, "carol")
    assert join(carol, token).returncode == 0
    refused(join(mallory, token), "this invitation was used", carol.fingerprint)
    assert len(gate.json("keys", "list", "carol")) == 1


def test_revoked_replaced_and_expired_are_told(gate):
    carol = gate.person("carol")
    first = invite(gate, "carol")
    second = gate.json("invite", "carol")
    assert second["replaced"] == 1
    refused(join(carol, first), "this invitation was withdrawn")
    assert "1 invitation revoked" in gate.ok("invites", "revoke", second["id"])
    refused(join(carol, second["token"]), "this invitation was withdrawn")
    assert gate.cli("invites", "revoke", second["id"]).returncode == 3
    assert gate.cli("invites", "revoke", "carol").returncode == 3
    assert [row["state"] for row in gate.json("invites", "list")] == ["revoked", "revoked"]
    third = gate.json("invite", "carol", "--expires", "1m")
    gate.control.end()  # an hour passes
    with contextlib.closing(sqlite3.connect(gate.database)) as db:
        db.execute("UPDATE invites SET expires = expires - 3600 WHERE id = ?", [third["id"]])
        db.commit()
    gate.start_control()
    refused(join(carol, third["token"]), "this invitation expired")
    assert gate.cli("info", "carol").returncode == 3


def test_guesses_are_failed_logins_and_ban(gate):
    stranger = gate.person("stranger")
    guess = "abcdefghijkmnpqrstuvwxyz23"
    for _ in range(3):
        refused(join(stranger, guess), "Permission denied (publickey)")
    until(lambda: gate.json("bans", "list"), what="the third one bans")
    (ban,) = gate.json("bans", "list")
    assert (ban["user"], ban["from"]) == ("join", "127.0.0.1")
    token = invite(gate, "carol")
    refused(join(gate.person("carol"), token), "logins as join from 127.0.0.1 are not accepted until")
    assert [r["user"] for r in gate.audit(event="auth-failed")] == ["join"] * 4
    assert "Failed publickey for join from 127.0.0.1" in gate.logs()
    nowhere(gate, token)
    nowhere(gate, guess)


def test_one_more_laptop(gate):
    """The user asks for it; the administrator is not needed."""
    enid = gate.user("enid", "--lazy")
    laptop = User(gate, "enid", gate.folder / "laptop", make_key(gate.folder / "id2", comment="laptop2"))
    run = enid.ctl("invite")
    assert run.returncode == 0 and b"is added to the others" in run.stderr and b"your other machine" in run.stderr, run
    token = run.stdout.decode().split("+")[1].split("@")[0]
    assert join(enid, token).returncode == 0, "the key she has wastes nothing"
    welcome = join(laptop, token)
    assert welcome.returncode == 0 and b"beside your others" in welcome.stdout, welcome
    assert enid.fingerprint.encode() in welcome.stdout and laptop.fingerprint.encode() in welcome.stdout
    assert laptop.ctl("whoami").stdout.startswith(b"enid")
    (used,) = gate.audit(event="invite-used")
    assert (used["user"], used["actor"], used["target"]) == ("enid", "enid", "key added")


def test_from_the_invitation_to_a_shell_in_the_box(gate):
    """With the limits of the invitation, by both doors, and with a second laptop's key that the box learns."""
    carol = gate.person("carol")
    assert join(carol, invite(gate, "carol", "--cpu", "1", "--memory", "400MB")).returncode == 0
    assert carol.ok("whoami; nproc") == "carol\n1\n"
    carol.trust_box()
    assert carol.ok("whoami", door="jump") == "carol\n"
    laptop = User(gate, "carol", gate.folder / "laptop", make_key(gate.folder / "id2"))
    laptop.trust_box()
    assert join(laptop, invite(gate, "carol")).returncode == 0
    assert laptop.ok("whoami") == "carol\n"
    until(lambda: laptop.ssh("true", door="jump").returncode == 0, 20, "the box knows the new key", every=0.3)


def test_users_invite_nobody_else(gate):
    enid = gate.user("enid", "--lazy")
    gate.user("elmer", "--lazy")
    for name in ("elmer", "nobody-here"):
        for verb in (["invite"], ["invites", "list"], ["invites", "revoke"]):
            assert enid.ctl(*verb, name).returncode == 4
    invite(gate, "carol")
    invite(gate, "enid")
    assert b"carol" not in enid.ctl("invites", "list").stdout
    assert [row["user"] for row in gate.json("invites", "list", "carol")] == ["carol"]
    assert len(gate.json("invites", "list")) == 2
    assert b"1 invitation revoked" in enid.ctl("invites", "revoke").stdout


def test_a_key_that_is_somebodys_is_refused_with_a_reason(gate):
    enid = gate.user("enid", "--lazy")
    token = invite(gate, "carol")
    refused(join(enid, token), "is enid's already", "offer another")
    carol = gate.person("carol")
    assert join(carol, token).returncode == 0, "the invitation is still good"


def test_a_name_taken_meanwhile(gate):
    carol = gate.person("carol")
    token = invite(gate, "carol")
    other = gate.person("other")
    gate.ok("create", "carol", "--ssh-key", other.public_key, "--lazy")
    refused(join(carol, token), "the name carol has been given to somebody else")
    assert [key["fingerprint"] for key in gate.json("keys", "list", "carol")] == [other.fingerprint]


def test_a_deleted_account_takes_its_invitations_along(gate):
    gate.ok("create", "carol", "--ssh-key", gate.person("carol").public_key, "--lazy")
    token = invite(gate, "carol")
    gate.ok("delete", "carol", "--force")
    refused(join(gate.person("second"), token), "the account carol was deleted")


def test_exactly_these_keys_ends_invitations(gate):
    enid = gate.user("enid", "--lazy")
    token = invite(gate, "enid")
    gate.ok("keys", "replace", "enid", enid.public_key)
    refused(join(gate.person("thief"), token), "withdrawn")


def test_a_lost_key_takes_its_invitations_along(gate):
    enid = gate.user("enid", "--lazy")
    second = gate.person("second")
    gate.ok("keys", "add", "enid", second.public_key)
    hers = enid.ctl("invite").stdout.decode().split("+")[1].split("@")[0]
    by_admin = invite(gate, "enid")
    run = gate.cli("keys", "remove", "enid", second.fingerprint)
    assert run.returncode == 0 and b"1 open invitation of enid revoked" in run.stderr, run
    laptop = gate.person("laptop")
    refused(join(laptop, hers), "withdrawn")
    assert join(laptop, by_admin).returncode == 0


def test_it_opens_nothing_but_the_welcome(gate):
    carol = gate.person("carol")
    token = invite(gate, "carol", "--role", "admin")
    run = join(carol, token, options=["-W", "127.0.0.1:22"])
    assert run.returncode == 255 and b"the console has no forwarding" in run.stderr, run
    run = join(carol, token, "bans", "list")
    assert b"enrolled already" in run.stdout and b"Nobody is banned" not in run.stderr, "no verb is run"


def test_two_at_once_get_one_account(gate):
    token = invite(gate, "carol")
    people = [gate.person(f"runner{n}") for n in range(4)]
    argv = [["ssh", "-F", str(p.config), "-p", str(gate.port), f"join+{token}@127.0.0.1"] for p in people]
    runs = [subprocess.Popen(a, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for a in argv]
    said = [(run.communicate(timeout=60), run.returncode) for run in runs]
    assert sorted(code for _, code in said) == [0, 255, 255, 255], said
    assert len(gate.json("keys", "list", "carol")) == 1


@pytest.mark.parametrize("arguments, status, says", [
    (["Carol"], 2, "is not a user name"), (["ctl"], 2, "is reserved"), ([], 2, "something is missing"),
    (["carol", "--role", "king"], 2, "none of user, operator, admin"), (["carol", "--expires", "soon"], 2, "--expires"),
    (["carol", "--expires", "1s"], 2, "from 1m to 90d"), (["carol", "--expires", "91d"], 2, "from 1m to 90d"),
    (["carol", "--memory", "big"], 2, "--memory"), (["carol", "--sessions", "0"], 2, "--sessions"),
    (["enid", "--role", "admin"], 5, "enid has an account"),
])
def test_bad_input_invites_nobody(gate, arguments, status, says):
    gate.user("enid", "--lazy")
    run = gate.cli("invite", *arguments)
    assert run.returncode == status and says in run.stderr.decode(), run.stderr
    assert gate.json("invites", "list") == []


def test_role(gate):
    admin = gate.user("boss", "--lazy", "--role", "admin")
    enid = gate.user("enid", "--lazy")
    assert enid.ctl("list").returncode == 4
    assert admin.ctl("role", "enid", "operator").stdout == b"enid is operator now, and was user.\n"
    assert enid.ctl("list").returncode == 0
    assert enid.ctl("role", "enid", "admin").returncode == 4
    run = gate.cli("role", "boss", "user")
    assert run.returncode == 5 and b"last administrator" in run.stderr
    assert gate.json("role", "enid", "operator") == {"user": "enid", "role": "operator", "was": "operator"}
    assert gate.cli("role", "enid", "king").returncode == 2 and gate.cli("role", "nobody", "user").returncode == 3
    gate.ok("role", "boss", "user", "--force")
    assert admin.ctl("list").returncode == 4
    changes = [(r["user"], r["actor"], r["target"], r["reason"]) for r in gate.audit(event="role-changed")]
    assert changes == [("enid", "boss", "operator", "user"), ("boss", "root@host", "user", "admin")]
