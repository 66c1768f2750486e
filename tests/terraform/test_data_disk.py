"""What the start-up script does to a data disk: real loop disks, real blkid, wipefs, btrfs and zpool (see zfs.py).

Each run is a name space of its own in which everything is killed at the end: to the next run, the disk comes from a
server that was cut off.
"""
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import zfs
from conftest import startup_scripts

MIB = 1 << 20
SIZE = 128 * MIB
OUTSIDE = """
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/lock /run/zfs /run/etc /run/work
# Another server, to whom the pool does not belong.
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work overlay /etc
head -c 4 /dev/urandom >/etc/hostid
if [[ $STORAGE_DRIVER == zfs ]] && command -v zfs-fuse >/dev/null; then
    zfs-fuse --no-daemon >/run/zfs-fuse.log 2>&1 &
    wait_for 10 test -S /run/zfs/zfs_socket
fi
"""
LOOK = """
trap 'on_exit $?' EXIT
mkdir -p "$RUN_DIR"
step "look at the data disk"
look_at_disk
"""
INSIDE = LOOK + """
step "open the data disk"
open_store
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for loop devices and mounts")

# Cut off right after it.
KEEP = "\necho precious | dd of=$STORE_DIR/file conv=fsync status=none\n"


class Recorder(BaseHTTPRequestHandler):
    """The metadata server's part in it: remembers what is reported. The real one wants its header, too."""
    said = []

    def do_PUT(self):  # noqa: N802
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.headers["Metadata-Flavor"] == "Google":
            self.said.append(text)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def reports():
    server = HTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def functions(terraform, tmp_path_factory):
    """The rendered script without its last line, which runs it."""
    script = startup_scripts(terraform.example("one-spot-server"))["containarium-1"]
    lines = script.rstrip().splitlines()
    assert lines[-1] == 'main "$@"'
    path = tmp_path_factory.mktemp("functions") / "startup.sh"
    path.write_text("\n".join(lines[:-1]))
    return path


class Disk:
    def __init__(self, folder, functions, reports):
        self.folder, self.functions, self.reports = folder, functions, reports
        self.image = folder / "image"
        with open(self.image, "wb") as file:
            file.truncate(SIZE)
        self.device = subprocess.run(["losetup", "--find", "--show", "--partscan", self.image], check=True,
                                     capture_output=True, text=True).stdout.strip()
        (folder / "by-id").mkdir()
        self.link = folder / "by-id/google-containarium-data"
        self.link.symlink_to(self.device)

    def close(self):
        subprocess.run(["losetup", "--detach", self.device], check=False)

    def sh(self, command):
        return subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True, capture_output=True, text=True,
                              env={**os.environ, "DISK": self.device}).stdout

    def write(self, offset, data):
        with open(self.device, "r+b") as file:
            file.seek(offset)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def contents(self):
        self.sh("blockdev --flushbufs $DISK")
        return self.sh("sha256sum <$DISK")

    def boot(self, driver, then="", inside=INSIDE):
        """A start of the server as far as its disk goes; then: commands run with the store in place."""
        tools = zfs.CACHE
        settings = f"""
        . {self.functions}
        STORAGE_DRIVER={driver}
        DATA_DISK={self.link}
        DISK_WAIT=1
        STORE_DIR={self.folder}/store
        RUN_DIR=/run/containarium-startup
        GUEST_ATTRIBUTES=http://127.0.0.1:{self.reports.server_port}/state
        # A small disk, and what zfs-fuse does not know.
        STATE_RESERVATION=10M
        POOL_OPTIONS=(-o ashift=12)
        FILE_SYSTEM_OPTIONS=(-O compression=on -O atime=off)
        """
        environment = {**os.environ, "PATH": f"{tools}/sbin:{os.environ['PATH']}",
                       "LD_LIBRARY_PATH": f"{tools}/lib/x86_64-linux-gnu:{tools}/usr/lib/x86_64-linux-gnu"}
        Recorder.said.clear()
        result = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
             "bash", "-euo", "pipefail", "-c", settings + OUTSIDE + inside + then],
            env=environment if driver == "zfs" else os.environ, capture_output=True, text=True, timeout=60)
        result.text = result.stdout + result.stderr
        result.reports = list(Recorder.said)
        return result


@pytest.fixture
def disk(tmp_path, functions, reports):
    disk = Disk(tmp_path, functions, reports)
    yield disk
    disk.close()
    if os.path.isdir("/zfs-kstat"):  # zfs-fuse's
        os.rmdir("/zfs-kstat")


@pytest.fixture(params=["btrfs", "zfs"])
def driver(request):
    if request.param == "zfs" and zfs.fetch() is None:
        pytest.skip("this release's archive has no zfs-fuse, and the kernel no ZFS: the ZFS steps are not run")
    return request.param


def test_a_blank_disk_is_formatted_once(disk, driver):
    first = disk.boot(driver, then=KEEP)
    assert first.returncode == 0, first.text
    assert "blank" in first.text and "creating" in first.text
    for _ in range(2):  # each time from a server that was cut off
        again = disk.boot(driver, then="cat $STORE_DIR/file")
        assert again.returncode == 0, again.text
        assert "precious" in again.stdout and "creating" not in again.text


def test_running_twice_without_a_restart_changes_nothing(disk, driver):
    twice = disk.boot(driver, then=KEEP + INSIDE + "cat $STORE_DIR/file")
    assert twice.returncode == 0, twice.text
    assert twice.text.count("creating") == 1 and "precious" in twice.stdout


def test_a_pool_that_was_cut_off_is_taken_over(disk):
    if zfs.fetch() is None:
        pytest.skip("this release's archive has no zfs-fuse")
    assert disk.boot("zfs").returncode == 0
    assert "taking it over" in disk.boot("zfs").text
    # One that was exported needs no force.
    assert disk.boot("zfs", then="cd /; zfs umount -a; zpool export containarium").returncode == 0
    assert "taking it over" not in disk.boot("zfs").text


def test_a_reservation_keeps_room_for_the_database(disk):
    if zfs.fetch() is None:
        pytest.skip("this release's archive has no zfs-fuse")
    result = disk.boot("zfs", then="zfs get -H -o property,value reservation,mountpoint containarium/state")
    assert "reservation\t10M" in result.stdout and f"mountpoint\t{disk.folder}/store" in result.stdout, result.text


def test_a_half_made_pool_is_completed(disk):
    """Cut off between the making of the pool and of its parts."""
    if zfs.fetch() is None:
        pytest.skip("this release's archive has no zfs-fuse")
    make_pool(disk, "containarium", disk.link)
    assert disk.boot("zfs", then=KEEP).returncode == 0
    assert "precious" in disk.boot("zfs", then="cat $STORE_DIR/file").stdout


def test_a_larger_disk_gives_more_room(disk, driver):
    room = "df --output=size --block-size=1M $STORE_DIR | tail -n 1"
    before = int(disk.boot(driver, then=room).stdout.split()[-1])
    disk.sh(f"truncate -s 512M {disk.image}; losetup --set-capacity $DISK")
    result = disk.boot(driver, then=room)
    assert result.returncode == 0, result.text
    assert int(result.stdout.split()[-1]) > before + 200


# As real ZFS lays a whole disk out: a partition for the pool, and one of 8 MiB with nothing in it.
WHOLE_DISK = f"""
sfdisk --quiet --label gpt $DISK <<LAYOUT
start=2048, size={100 * MIB // 512}, type=6A898CC3-1DD2-11B2-99A6-080020736631
size=16384, type=6A945A3B-1DD2-11B2-99A6-080020736631
LAYOUT
partx --update $DISK
"""


def make_pool(disk, name, device):
    result = disk.boot("zfs", inside=f"zpool create -f -o cachefile=none -O mountpoint=none {name} {device}")
    assert result.returncode == 0, result.text


def test_a_pool_on_a_whole_disk_is_found_in_its_partition(disk):
    if zfs.fetch() is None:
        pytest.skip("this release's archive has no zfs-fuse")
    disk.sh(WHOLE_DISK)
    (disk.folder / "by-id/google-containarium-data-part1").symlink_to(disk.device + "p1")
    make_pool(disk, "containarium", disk.device + "p1")
    result = disk.boot("zfs", then=KEEP)
    assert result.returncode == 0, result.text
    assert "zfs_member" in result.text and "creating" not in result.text
    assert "precious" in disk.boot("zfs", then="cat $STORE_DIR/file").stdout


def pool_called(name):
    return lambda disk: make_pool(disk, name, disk.device)


def partition_beside_the_pool(disk):
    disk.sh(WHOLE_DISK)
    make_pool(disk, "containarium", disk.device + "p1")
    disk.sh("mkfs.ext4 -q ${DISK}p2")


def file_system_over_a_pool(disk):
    make_pool(disk, "containarium", disk.device)
    disk.sh("mkfs.ext4 -q -F -E nodiscard $DISK")


FOREIGN = {
    "ext4": (lambda d: d.sh("mkfs.ext4 -q -F $DISK"), "ext4"),
    "swap": (lambda d: d.sh("mkswap -q $DISK"), "swap"),
    "another btrfs": (lambda d: d.sh("mkfs.btrfs -q -L backup $DISK"), "btrfs 'backup', not 'containarium'"),
    "a partition table": (lambda d: d.sh("echo , | sfdisk --quiet --label dos $DISK"), "partition table"),
    "an empty gpt": (lambda d: d.sh("echo label: gpt | sfdisk --quiet $DISK"), "partition table"),
    "LUKS": (lambda d: d.write(0, b"LUKS\xba\xbe\x00\x01aes" + bytes(600)), "LUKS"),
    "data at the beginning": (lambda d: d.write(700, b"x"), "data without any signature"),
    "data in the middle": (lambda d: d.write(SIZE // 2 - 70000, b"x" * MIB * 2), "data without any signature"),
    "data at the end": (lambda d: d.write(SIZE - 1, b"x"), "data without any signature"),
    "another pool": (pool_called("tank"), "zfs_member 'tank', not 'containarium'"),
    "a partition beside the pool": (partition_beside_the_pool, "partition table"),
    "a file system over a pool": (file_system_over_a_pool, "contradict"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_data_is_refused_and_left_alone(disk, what):
    make, words = FOREIGN[what]
    driver = "zfs" if "pool" in what else "btrfs"
    if driver == "zfs" and zfs.fetch() is None:
        pytest.skip("this release's archive has no zfs-fuse")
    make(disk)
    before = disk.contents()
    result = disk.boot(driver)
    assert result.returncode != 0, result.text
    assert "it is not touched" in result.text and words in result.text, result.text
    assert "next: attach the right disk" in result.text
    assert result.reports[-1].startswith("failed: look at the data disk: the data disk ")
    assert disk.contents() == before


def test_our_own_data_in_the_other_format_is_refused(disk):
    assert disk.boot("btrfs").returncode == 0
    before = disk.contents()
    result = disk.boot("zfs", inside=LOOK)
    assert result.returncode != 0
    assert "has our data as btrfs, but storage_driver is zfs" in result.text
    assert disk.contents() == before


def test_no_disk_is_refused(disk, driver):
    disk.link.unlink()
    result = disk.boot(driver)
    assert result.returncode != 0
    assert "there is no data disk" in result.text and "device name containarium-data" in result.text
    assert result.reports == ["working: look at the data disk", result.reports[-1]]
    assert result.reports[-1].startswith("failed: look at the data disk: there is no data disk")
