#!/usr/bin/python3
"""What a login, an idle connection and a gigabyte cost at the gateway, beside OpenSSH's sshd as a bastion.

Both stand in front of the same box, on the same machine, in the same run, taking turns. Nothing is asserted.
"""
import argparse
import contextlib
import pwd
import socket
import subprocess
import time
from pathlib import Path

from measure import children, cpu_seconds, first_byte, gateway, machine, median, pss_kib, report, spread, table

from harness.rig import free_port
from harness.user import make_key
from harness.wait import until

BASTION_USER = "containarium-bench"
KEX = ("curve25519-sha256", "sntrup761x25519-sha512@openssh.com")  # the latter is OpenSSH's own first choice
CIPHERS = ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com")
SINK_PORT, SOURCE_PORT = 5001, 5002
REMOTE = {"up": "cat > /dev/null", "down": "read n; head -c ${n}M /dev/zero"}  # the same in a session

# In the box: one port that swallows, one that gives as many MiB of zeros as a line asks for, so that no inner SSH blurs the gateway's share.
BOX_SERVER = f"""
import socket, threading
def sink(c):
    while c.recv(1 << 20): pass
    c.close()
def source(c):
    zeros = bytes(1 << 18)
    for _ in range(int(c.makefile().readline()) * 4): c.sendall(zeros)
    c.shutdown(socket.SHUT_WR)
    c.recv(1)
    c.close()
def serve(port, work):
    s = socket.create_server(("0.0.0.0", port))
    while True:
        c, _ = s.accept()
        threading.Thread(target=work, args=(c,), daemon=True).start()
threading.Thread(target=serve, args=({SINK_PORT}, sink), daemon=True).start()
serve({SOURCE_PORT}, source)
"""


class Bastion:
    """OpenSSH's sshd with its own configuration, on loopback, for one user who may only forward."""

    def __init__(self, folder, public_key):
        self.folder, self.port = folder, free_port()
        folder.mkdir(mode=0o755)
        make_key(folder / "host_key")
        (folder / "authorized_keys").write_text(public_key.read_text())
        Path("/run/sshd").mkdir(exist_ok=True)
        (folder / "sshd_config").write_text(f"""
ListenAddress 127.0.0.1:{self.port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
MaxStartups 1000
AllowTcpForwarding yes
Subsystem sftp internal-sftp
""")
        try:
            pwd.getpwnam(BASTION_USER)
        except KeyError:
            subprocess.run(["useradd", "-r", "-M", "-p", "*", "-s", "/bin/sh", BASTION_USER], check=True)
        self.process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=open(folder / "log", "wb"))
        until(self._greets, 10, "sshd greets")

    def _greets(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as s:
                return s.recv(4) == b"SSH-"
        except OSError:
            return False

    @property
    def known_hosts(self):
        return f"[127.0.0.1]:{self.port} {(self.folder / 'host_key.pub').read_text()}"

    def processes(self):
        """The connection processes: children of the listener and their children."""
        found, todo = [], [self.process.pid]
        while todo:
            parent = todo.pop()
            found += children(parent)
            todo += children(parent)
        return found

    def close(self):
        self.process.terminate()
        self.process.wait()
        subprocess.run(["userdel", BASTION_USER], capture_output=True)


class Bench:
    def __init__(self, rig):
        self.rig = rig
        self.user = rig.user("bench")
        self.address = rig.incus.address(self.user.box)
        self.bastion = Bastion(rig.folder / "bastion", self.user.public_key)
        with open(self.user.known_hosts, "a") as f:
            f.write(self.bastion.known_hosts)
            f.writelines(f"{self.address} {key}\n" for key in rig.incus.host_keys(self.user.box))
        rig.incus.exec(self.user.box, "systemd-run", "--unit=bench", "python3", "-c", BOX_SERVER)
        until(lambda: self._listens(SOURCE_PORT), 15, "the box's server listens")

    def _listens(self, port):
        try:
            socket.create_connection((self.address, port), timeout=1).close()
            return True
        except OSError:
            return False

    # Both: one TCP stream through the bastion to a port of the box.
    def through_gateway(self, port, *options):
        return ["ssh", "-F", self.user.config, *options, "-p", self.rig.port, "-W", f"{self.user.box}:{port}",
                f"{self.user.name}@127.0.0.1"]

    def through_sshd(self, port, *options):
        return ["ssh", "-F", self.user.config, *options, "-p", self.bastion.port, "-W", f"{self.address}:{port}",
                f"{BASTION_USER}@127.0.0.1"]

    def to_the_box(self, command, *options):
        """The same session without anything in between."""
        return ["ssh", "-F", self.user.config, *options, f"{self.user.name}@{self.address}", command]

    def until_idle(self):
        """Every connection has ended and was waited for, so that its CPU is in its listener's account."""
        until(lambda: not children(self.rig.gateway.pid) and not self.bastion.processes(), 20, "connections end")

    def gateway_cpu(self):
        """The listener with its ended connections, and the control plane, which sshd has no counterpart of."""
        return cpu_seconds(self.rig.gateway.pid), cpu_seconds(self.rig.control.pid)

    # ---- logins --------------------------------------------------------------------------------------------------

    def latency(self, rounds):
        jump = ["-J", f"{BASTION_USER}@127.0.0.1:{self.bastion.port}"]
        ways = {
            "gateway, direct": self.user.argv("echo up"),
            "gateway, jump": self.user.argv("echo up", door="jump"),
            "sshd, jump": ["ssh", "-F", self.user.config, *jump, f"{self.user.name}@{self.address}", "echo up"],
            "no bastion": self.to_the_box("echo up"),
        }
        for argv in ways.values():
            first_byte(argv)
        figures = {name: [] for name in ways}
        for _ in range(rounds):
            for name, argv in ways.items():
                figures[name].append(first_byte(argv))
        return figures

    def echo(self, rounds, bytes_a_round=200):
        """Microseconds from a byte typed to its echo, on a connection that stands."""
        jump = ["-J", f"{BASTION_USER}@127.0.0.1:{self.bastion.port}"]
        ways = {
            "gateway, direct": self.user.argv("cat"),
            "no bastion": self.to_the_box("cat"),
            "gateway, jump": self.user.argv("cat", door="jump"),
            "sshd, jump": ["ssh", "-F", self.user.config, *jump, f"{self.user.name}@{self.address}", "cat"],
        }
        figures = {}
        with contextlib.ExitStack() as stack:
            running = {name: stack.enter_context(subprocess.Popen(
                list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0))
                for name, argv in ways.items()}
            for n in range(rounds + 1):  # the first warms up
                for name, run in running.items():
                    took = [self._echo_one(run) for _ in range(bytes_a_round)]
                    figures.setdefault(name, []).extend(took if n else [])
            for run in running.values():
                run.stdin.close()
        self.until_idle()
        return figures

    @staticmethod
    def _echo_one(run):
        began = time.monotonic()
        run.stdin.write(b"x")
        assert run.stdout.read(1) == b"x"
        return (time.monotonic() - began) * 1e6

    def login_cpu(self, logins):
        """Milliseconds of server CPU a login with one forwarded stream, by key exchange method, in four turns each."""
        figures = {}
        for kex in KEX:
            option, short = ["-o", f"KexAlgorithms={kex}"], kex.split("-")[0]
            for _ in range(4):
                self.note_logins(figures, short, option, max(1, logins // 4))
        return figures

    def note_logins(self, figures, kex, option, turn):
        before = self.gateway_cpu()
        self.logins(self.through_gateway(22, *option), turn)
        self.until_idle()
        connection, control = (after - then for after, then in zip(self.gateway_cpu(), before))
        start = cpu_seconds(self.bastion.process.pid)
        self.logins(self.through_sshd(22, *option), turn)
        self.until_idle()
        spent = {"gateway": connection + control, "of it control plane": control,
                 "sshd": cpu_seconds(self.bastion.process.pid) - start}
        for name, seconds in spent.items():
            figures.setdefault(f"{name}, {kex}", []).append(seconds * 1000 / turn)

    @staticmethod
    def logins(argv, count):
        for _ in range(count):
            run = subprocess.run(list(map(str, argv)), stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
            assert run.stdout.startswith(b"SSH-2.0-"), run.stderr.decode(errors="replace")

    def idle_memory(self, count):
        """KiB of PSS a connection that is logged in with one stream open."""
        figures = {}
        for name, argv, processes in (("gateway", self.through_gateway(22), self.rig.gateway.children),
                                      ("sshd", self.through_sshd(22), self.bastion.processes)):
            held = [subprocess.Popen(list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                    for _ in range(count)]
            for one in held:
                assert one.stdout.readline().startswith(b"SSH-2.0-")
            pids = processes()
            figures[name] = sum(pss_kib(pid) for pid in pids) / count
            figures[f"{name}, processes"] = len(pids) / count
            for one in held:
                one.kill()
                one.communicate()
        self.until_idle()
        return figures

    # ---- bulk ----------------------------------------------------------------------------------------------------

    def bulk(self, megabytes, rounds):
        figures = {}
        for cipher in CIPHERS:
            option = ["-o", f"Ciphers={cipher}"]
            for way in ("up", "down"):
                for _ in range(rounds):
                    for name, function, pid in (
                            ("gateway, jump", self.through_gateway, self.rig.gateway.pid),
                            ("sshd", self.through_sshd, self.bastion.process.pid)):
                        argv = function(SINK_PORT if way == "up" else SOURCE_PORT, *option)
                        self.note_bulk(figures, (name, cipher, way), argv, way, megabytes, pid)
                    self.note_bulk(figures, ("gateway, direct", cipher, way),
                                   self.user.argv(REMOTE[way], options=option), way, megabytes, self.rig.gateway.pid)
                    self.note_bulk(figures, ("no bastion", cipher, way), self.to_the_box(REMOTE[way], *option),
                                   way, megabytes, None)
        return figures

    def note_bulk(self, figures, key, argv, way, megabytes, pid):
        """pid None: the server is the box's own, whose CPU is not ours to count."""
        before, began = pid and cpu_seconds(pid), time.monotonic()
        (self.upload if way == "up" else self.download)(argv, megabytes)
        took = time.monotonic() - began
        self.until_idle()
        figures.setdefault(key, []).append(
            (megabytes / took, (cpu_seconds(pid) - before) * 1024 / megabytes if pid else None))

    @staticmethod
    def upload(argv, megabytes):
        block = bytes(1 << 20)
        with subprocess.Popen(list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, bufsize=0) as run:
            for _ in range(megabytes):
                run.stdin.write(block)
            run.stdin.close()
            run.wait(300)

    @staticmethod
    def download(argv, megabytes):
        """To the stream's own end: a client that is killed takes sshd's processes with it before they are counted."""
        left = megabytes << 20
        with subprocess.Popen(list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, bufsize=0) as run:
            run.stdin.write(f"{megabytes}\n".encode())
            while data := run.stdout.read(1 << 20):
                left -= len(data)
            run.stdin.close()
            run.wait(30)
        assert left == 0, f"{left} bytes are missing"


def show(results):
    print("\nlogin to an awake box, until the first byte of output")
    table(["way", "ms: median (least-most)"], [[n, spread(v)] for n, v in results["latency_ms"].items()])
    print("\necho of one byte, on a connection that stands")
    table(["way", "us: median", "95 %"], [[n, f"{median(v):.0f}", f"{sorted(v)[len(v) * 95 // 100]:.0f}"]
                                          for n, v in results["echo_us"].items()])
    print("\nserver CPU a login (key exchange, public key, one forwarded stream)")
    table(["server", "ms: median (least-most)"], [[n, spread(v, 2)] for n, v in results["login_cpu_ms"].items()])
    memory = results["idle_pss_kib"]
    print("\nmemory of an idle connection")
    table(["server", "KiB PSS", "processes"],
          [[n, f"{memory[n]:.0f}", f"{memory[n + ', processes']:.0f}"] for n in ("gateway", "sshd")])
    print("\nbulk through the bastion (client, bastion and box share this machine's cores)")
    rows = [[r["way"], r["cipher"].split("@")[0], r["direction"], f"{r['mib_per_s']:.0f}",
             "-" if r["cpu_s_per_gib"] is None else f"{r['cpu_s_per_gib']:.2f}"] for r in results["bulk"]]
    table(["way", "cipher", "direction", "MiB/s", "server CPU s/GiB"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="logins of each way for the latency")
    parser.add_argument("--logins", type=int, default=200, help="logins of each server for the CPU")
    parser.add_argument("--idle", type=int, default=20, help="idle connections for the memory")
    parser.add_argument("--megabytes", type=int, default=512, help="size of one bulk transfer, MiB")
    parser.add_argument("--bulk-rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write the figures there instead of printing them")
    options = parser.parse_args()
    print(machine())
    with gateway(box={"jump_ports": f"22 {SINK_PORT}-{SOURCE_PORT}"}) as rig:
        bench = Bench(rig)
        try:
            results = {"latency_ms": bench.latency(options.rounds), "echo_us": bench.echo(options.rounds),
                       "login_cpu_ms": bench.login_cpu(options.logins),
                       "idle_pss_kib": bench.idle_memory(options.idle)}
            bulk = bench.bulk(options.megabytes, options.bulk_rounds)
        finally:
            bench.bastion.close()
    results["bulk"] = [{"way": way, "cipher": cipher, "direction": direction,
                        "mib_per_s": median([m for m, _ in values]), "cpu_s_per_gib": median([c for _, c in values]) if values[0][1] is not None else None}
                       for (way, cipher, direction), values in sorted(bulk.items(), key=lambda kv: kv[0][1:] + kv[0][:1])]
    show(results)
    report("login", results, options.json)


if __name__ == "__main__":
    main()
