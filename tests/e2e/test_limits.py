"""What one user may use at a time: a limit says what it is and when to try again, and touches nobody else."""
import asyncio
import subprocess
import threading
import time

import asyncssh
import pytest

from harness.wait import until


@pytest.fixture
def limited(make_rig):
    return make_rig()


def person(rig, name):
    """An account whose logins need no box."""
    user = rig.person(name)
    rig.ok("create", name, "--ssh-key", user.public_key, "--static", "127.0.0.1:9")
    return user


async def connect(user, address="127.0.0.1"):
    return await asyncssh.connect("127.0.0.1", user.rig.port, username=user.name, client_keys=[str(user.key)],
                                  known_hosts=None, config=None, agent_path=None, local_addr=(address, 0))


def test_logins_a_minute(limited):
    erin, frank = person(limited, "erin"), person(limited, "frank")
    limited.ok("limits", "set", "erin", "--logins", "3")
    for _ in range(3):
        assert erin.ctl("whoami").returncode == 0
    run = erin.ctl("whoami")
    assert run.returncode == 255
    assert b"too many logins: the limit is 3 a minute; try again in " in run.stderr, run.stderr
    assert frank.ctl("whoami").returncode == 0
    refused = limited.audit(user="erin", event="refused")[-1]
    assert refused["target"] == "login" and "the limit is 3" in refused["reason"]
    assert limited.json("bans", "list") == [], "too much is not wrong"


def test_from_one_source_and_from_all(limited):
    erin = person(limited, "erin")
    limited.ok("limits", "set", "erin", "--logins", "3", "--logins-per-source", "1")

    async def many():
        results = []
        for address in ("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"):
            try:
                (await connect(erin, address)).close()
                results.append("in")
            except asyncssh.DisconnectError as reason:
                results.append(str(reason))
        return results

    first, again, second, third, fourth = asyncio.run(many())
    assert first == second == third == "in"
    assert "1 a minute from one address" in again
    assert "the limit is 3 a minute" in fourth


def test_connections_at_once(limited):
    erin = person(limited, "erin")
    limited.ok("limits", "set", "erin", "--connections", "2")

    async def three():
        held = [await connect(erin), await connect(erin)]
        with pytest.raises(asyncssh.DisconnectError, match="too many connections: the limit is 2 at once; try again when"):
            await connect(erin)
        for connection in held:
            connection.close()
            await connection.wait_closed()

    asyncio.run(three())
    until(lambda: erin.ctl("whoami").returncode == 0, what="there is room again")


def test_sessions_over_all_connections(rig, alice):
    rig.ok("limits", "set", "alice", "--sessions", "2")
    try:
        with alice.open("cat") as one, alice.open("cat") as two:
            for process in (one, two):
                process.stdin.write(b"x")
                assert process.stdout.read(1) == b"x"
            run = alice.ssh("true")
            assert run.returncode == 255
            assert b"too many sessions: the limit is 2 open at once; close one first" in run.stderr
            used = {name: limit.get("in_use") for name, limit in rig.json("limits", "alice")["limits"].items()}
            assert used["sessions"] == 2 and used["connections"] == 2
            one.stdin.close()
            two.stdin.close()
        until(lambda: alice.ssh("true").returncode == 0, what="there is room again")
    finally:
        rig.ok("limits", "set", "alice", "--reset")


@pytest.mark.parametrize("way", ["up", "down"])
def test_bandwidth_is_shared_by_all_connections(rig, alice, door, way):
    """Two transfers side by side, of 3 MB each, at 2 MB/s and a burst of 1 MB: (6 - 1) / 2 s at least."""
    rig.ok("limits", "set", "alice", "--bandwidth", "2MB", "--burst", "1MB")
    data = bytes(3_000_000)
    try:
        began = time.monotonic()
        command = "cat >/dev/null" if way == "up" else "head -c 3000000 /dev/zero"
        pair = [alice.open(command, door=door, stdin=subprocess.PIPE if way == "up" else subprocess.DEVNULL)
                for _ in range(2)]
        if way == "up":
            threads = [threading.Thread(target=lambda p=p: (p.stdin.write(data), p.stdin.close())) for p in pair]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        for process in pair:
            out = process.stdout.read()
            assert process.wait(60) == 0 and len(out) == (0 if way == "up" else len(data))
        assert time.monotonic() - began > 2.4, "it cannot have been faster"
    finally:
        rig.ok("limits", "set", "alice", "--reset")


def test_a_new_limit_is_felt_at_once(rig, alice):
    """A transfer that runs is slowed down, and let go again."""
    with alice.open("cat >/dev/null; echo done", stdin=subprocess.PIPE) as process:
        process.stdin.write(bytes(1_000_000))
        rig.ok("limits", "set", "alice", "--bandwidth", "1MB", "--burst", "100MB")
        rig.ok("limits", "set", "alice", "--reset")
        process.stdin.write(bytes(20_000_000))
        process.stdin.close()
        assert process.stdout.read() == b"done\n" and process.wait(60) == 0


def test_who_may_see_and_set(limited):
    erin, frank = person(limited, "erin"), person(limited, "frank")
    assert b"logins" in erin.ctl("limits").stdout
    assert erin.ctl("limits", "frank").returncode == 4
    assert erin.ctl("limits", "set", "erin", "--logins", "100000").returncode == 4
    assert limited.audit(event="limit-set") == []
    limited.ok("limits", "set", "frank", "--channels", "7")
    assert limited.audit(event="limit-set")[-1]["target"].strip() == "channels=7"
    assert frank.ctl("limits", "--json").stdout.count(b'"own": true') == 1


@pytest.mark.parametrize("arguments, says", [
    ([], "nothing to set"), (["--logins", "0"], "from 1 to"), (["--logins", "many"], "not a number"),
    (["--bandwidth", "fast"], "accepted: sizes"), (["--burst", "none"], "accepted: sizes"),
    (["--sessions", "5", "--channels", "x"], "not a number"),
])
def test_bad_input_changes_nothing(limited, arguments, says):
    person(limited, "erin")
    run = limited.cli("limits", "set", "erin", *arguments)
    assert run.returncode == 2 and says in run.stderr.decode(), run.stderr
    assert '"own": true' not in limited.ok("limits", "erin", "--json")
