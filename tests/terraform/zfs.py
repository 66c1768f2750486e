"""Real zpool and zfs commands where the kernel has no ZFS: Debian's zfs-fuse, unpacked, not installed.

It is an old ZFS (pool version 23): no lz4, no xattr=sa. Everything else that the start-up script asks of ZFS it does.
"""
import subprocess
from pathlib import Path

PACKAGES = ["zfs-fuse", "libaio1", "libfuse2", "libtirpc3"]
CACHE = Path("/var/cache/containarium/zfs-fuse")


def fetch():
    """The folder it is unpacked in, or None when apt does not have it."""
    if not (CACHE / "sbin/zpool").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for package in PACKAGES:
            got = subprocess.run(["apt-get", "-o", "APT::Sandbox::User=root", "download", package], cwd=CACHE,
                                 capture_output=True, timeout=60)
            if got.returncode != 0:
                return None
        for archive in CACHE.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", archive, CACHE], check=True)
            archive.unlink()
    return CACHE
