"""Live sessions, the morning's one screen, and figures for Prometheus."""
import json
import re
import shutil
import socket
import subprocess
import urllib.request

import pytest

from harness.rig import Rig, free_port
from harness.wait import until


def sessions(rig, user):
    return [s for s in rig.json("sessions", "list") if s["user"] == user.name]


def test_a_session_is_shown_with_what_it_moves(rig, alice):
    with alice.open("cat >/dev/null; echo end") as process:
        process.stdin.write(bytes(3_000_000))
        (shown,) = until(lambda: [s for s in sessions(rig, alice) if s["bytes_in"] >= 3_000_000], 20, "its bytes")
        assert shown["open_channels"] >= 1 and shown["address"].startswith("127.0.0.1:")
        assert shown["fingerprint"] == alice.fingerprint and shown["box"] == alice.box
        table = rig.ok("sessions", "list")
        assert re.search(r"^\d+ +alice +alice +127\.0\.0\.1:\d+ .* 3(\.\d)?MB ", table, re.M), table
        process.stdin.close()
        process.wait(20)
    until(lambda: not sessions(rig, alice), what="it is gone")


def test_kill_one_of_two(rig, alice):
    with alice.open("cat") as one:
        one.stdin.write(b"x")
        one.stdout.read(1)
        ids = [s["id"] for s in sessions(rig, alice)]
        two = alice.open("cat")
        two.stdin.write(b"x")
        two.stdout.read(1)
        rig.ok("sessions", "kill", "alice", ids[0], "--reason", "the box moves at noon")
        assert one.wait(10) == 255
        assert b"the box moves at noon" in one.stderr.read()
        two.stdin.write(b"y")
        assert two.stdout.read(1) == b"y", "the other one goes on"
        assert rig.cli("sessions", "kill", "alice", ids[0]).returncode == 3
        assert "1 session of alice ended" in rig.ok("sessions", "kill", "alice", "all")
        assert two.wait(10) == 255
        two.communicate()
    assert rig.cli("sessions", "kill", "alice", "x").returncode == 2
    logout = until(lambda: [r for r in rig.audit(user="alice", event="logout") if r["session"] == ids[0]], what="its end")
    assert logout[0]["reason"] == "the box moves at noon"


def test_users_end_their_own_only(rig, alice, bob):
    with alice.open("cat") as process:
        process.stdin.write(b"x")
        process.stdout.read(1)
        (session,) = sessions(rig, alice)
        assert bob.ctl("sessions", "kill", "alice", str(session["id"])).returncode == 4
        assert bob.ctl("sessions", "kill", str(session["id"])).returncode == 3
        assert b"1 session" in alice.ctl("sessions", "kill", str(session["id"])).stdout
        assert process.wait(10) == 255


def test_security_status(rig, alice):
    alice.ok("true")
    status = rig.json("security", "status")
    assert status["users_today"] >= 1 and status["logins_last_hour"] >= 1
    assert status["last_logins"][-1]["user"] == rig.audit(event="login")[-1]["user"]
    assert set(status) >= {"live_sessions", "bans_in_force", "failures_last_hour", "refused_last_hour", "turned_away"}
    screen = rig.ok("security", "status")
    assert "Users today:" in screen and "Last logins:" in screen and len(screen.splitlines()) < 50
    assert alice.ctl("security", "status").returncode == 4


@pytest.fixture(scope="module")
def measured(incus, temp):
    port = free_port()
    rig = Rig(incus, temp, metrics={"listen": f"127.0.0.1:{port}", "per_user": "yes"})
    rig.metrics = f"http://127.0.0.1:{port}/metrics"
    rig.start()
    yield rig
    rig.stop()


def scrape(rig):
    """{'name{labels}': value}"""
    with urllib.request.urlopen(rig.metrics, timeout=10) as answer:
        text = answer.read().decode()
    return {m[1]: float(m[2]) for m in re.finditer(r"^(\S+) (\S+)$", text, re.M) if not m[1].startswith("#")}, text


def test_figures(measured):
    user = measured.user("gina")
    for _ in range(3):
        user.ok("head -c 100000 /dev/zero")
    user.forward("169.254.169.254:80")
    until(lambda: scrape(measured)[0]["containarium_connections"] == 0, what="all have ended")
    figures, _ = scrape(measured)
    assert figures['containarium_logins_total{result="ok"}'] == 4
    assert figures['containarium_key_exchange_seconds_count'] == 4
    assert figures['containarium_authentication_seconds_bucket{le="+Inf"}'] == 4
    assert figures['containarium_bytes_total{direction="out"}'] >= 300_000
    assert figures['containarium_channels_total{result="opened"}'] == 3
    assert figures['containarium_channels_total{result="refused"}'] == 1
    assert figures["containarium_commit_seconds_count"] > 3
    with user.open("cat") as process:
        process.stdin.write(b"x")
        process.stdout.read(1)
        figures, _ = scrape(measured)
        assert figures["containarium_connections"] == figures['containarium_user_connections{user="gina"}'] == 1
        process.stdin.close()
    measured.ok("stop", "gina")
    user.ok("true")
    assert scrape(measured)[0]["containarium_wake_seconds_count"] >= 1


def test_the_format_is_prometheus(measured):
    _, text = scrape(measured)
    seen = set()
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            name = line.split()[2]
            assert name not in seen, "a family stands in one place"
            seen.add(name)
        elif not line.startswith("#"):
            family = re.sub(r"_(bucket|sum|count)$", "", re.split(r"[{ ]", line)[0])
            assert family in seen or re.split(r"[{ ]", line)[0] in seen, line
    if shutil.which("promtool"):
        run = subprocess.run(["promtool", "check", "metrics"], input=text.encode(), capture_output=True)
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"POST /metrics HTTP/1.1", b"\0\1\2", b"GET /metrics" + b"x" * 20000])
def test_nothing_else_is_served(measured, request_line):
    port = int(measured.metrics.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        try:
            while piece := s.recv(4096):
                answer += piece
        except ConnectionResetError:
            pass
    assert b" 200 " not in answer
    assert scrape(measured)


def test_a_socket_instead_of_a_port(make_rig):
    rig = make_rig(start=False)
    path = rig.run_dir / "metrics.sock"
    rig.sections["metrics"] = {"listen": path}
    rig.write_config()
    rig.start()
    run = subprocess.run(["curl", "-sS", "--unix-socket", path, "http://localhost/metrics"], capture_output=True, timeout=20)
    assert run.returncode == 0 and b"containarium_connections 0" in run.stdout, run.stderr
    assert json.loads(rig.ok("config", "show", "--json"))["metrics"]["listen"] == str(path)
