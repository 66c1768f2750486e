#!/bin/sh
# Turns a Debian system into a box image. Runs as root inside it: in a chroot, or by `incus exec` in a builder.
# Beside it lie `files/` (copied over the root) and `packages`.
#
#   customise.sh [--docker]          (from a folder under /root, which it removes)
set -eu
umask 022
here=$(dirname "$(readlink -f "$0")")
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
PATH=/usr/sbin:/usr/bin:/sbin:/bin

packages=$(sed '/^#/d' "$here/packages")
[ "${1:-}" != --docker ] || packages="$packages docker.io"
missing=
for package in $packages; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -n "$missing" ]; then
    apt-get update
    # shellcheck disable=SC2086 # a list
    apt-get install -y --no-install-recommends $missing
fi

cp -r --preserve=mode "$here/files/." /
mkdir -p /etc/containarium /var/lib/containarium

# en_US beside C.UTF-8: most laptops send it along, and programs complain about a locale that is missing.
[ -e /usr/lib/locale/locale-archive ] || localedef -i en_US -f UTF-8 en_US.UTF-8

# Ready sooner, less to wake for: a box starts while somebody waits for it. Nothing here is needed in a system
# container: no consoles, no own kernel, no hardware, and the time is the host's.
systemctl mask --quiet console-getty.service container-getty@.service getty@.service getty-static.service \
    systemd-udev-settle.service systemd-networkd-wait-online.service systemd-network-generator.service \
    systemd-binfmt.service systemd-modules-load.service systemd-random-seed.service \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-firstboot.service \
    systemd-machine-id-commit.service systemd-journal-catalog-update.service systemd-hwdb-update.service \
    systemd-journal-flush.service systemd-boot-system-token.service systemd-pcrphase.service \
    modprobe@.service kmod-static-nodes.service systemd-logind-varlink.socket \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount dev-hugepages.mount \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer man-db.timer systemd-timesyncd.service 2>/dev/null || true
systemctl set-default --quiet multi-user.target
systemctl enable --quiet containarium-firstboot.service containarium-resolv.path systemd-networkd.service ssh.service
# A socket in front of sshd (newer releases have one ready) would keep every setting of ours from applying.
systemctl disable --quiet ssh.socket networking.service systemd-resolved.service 2>/dev/null || true
ln -sfn /run/containarium/resolv.conf /etc/resolv.conf
# Docker starts when it is first used.
if [ -e /usr/lib/systemd/system/docker.service ]; then
    systemctl disable --quiet docker.service containerd.service 2>/dev/null || true
    systemctl enable --quiet docker.socket
fi
# "System is booting up": early logins are the point.
mkdir -p /etc/tmpfiles.d
ln -sf /dev/null /etc/tmpfiles.d/systemd-nologin.conf
# Message of the day and mail notice: slow, and noise in a session's first lines.
sed -i '/pam_motd\.so/d;/pam_mail\.so/d' /etc/pam.d/sshd

# What must differ from box to box, or belongs to the build.
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /var/lib/systemd/random-seed /etc/hostname
: >/etc/machine-id
ln -sf /etc/machine-id /var/lib/dbus/machine-id
cd /
case $here in /root/*) rm -rf "$here" ;; esac
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /tmp/* /var/tmp/* /root/.bash_history
mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial /var/log/journal
rmdir /var/log/journal
