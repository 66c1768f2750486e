# shellcheck shell=bash
# The data disk: found, imported or mounted; formatted only if blank. On it is everything that must outlive the server.

STORE=containarium # the pool's name, or the file system's label
STORE_DIR=/srv/containarium
POOL_OPTIONS=(-o ashift=12 -o autotrim=on)
FILE_SYSTEM_OPTIONS=(-O compression=lz4 -O atime=off -O xattr=sa -O acltype=posixacl)
# Boxes that fill the pool must not stop the database that logins are recorded in.
STATE_RESERVATION=2G
# What lives on the data disk, at its usual place.
KEPT=(/etc/containarium /var/lib/containarium /var/lib/containarium-setup /var/lib/incus)

next_for_foreign="attach the right disk; or, if nothing on this one is needed any more, empty it yourself \
(wipefs --all and blkdiscard on it) and run: systemctl start google-startup-scripts"

find_disk() { # prints the device
    udevadm settle --timeout=10 2>/dev/null || true
    wait_for "${DISK_WAIT:-30}" test -b "$DATA_DISK" || return 1
    readlink -f "$DATA_DISK"
}

# ---- ZFS ---------------------------------------------------------------------------------------------------------

# By its number, which the disk itself told: no other disk's pool of the same name is ever meant. A server that was cut
# off has not exported it, and one that was made anew has another host id: then -f is right, as the cloud attaches a
# disk for writing to one server only.
import_pool() { # import_pool GUID
    if zpool list -H -o name "$STORE" >/dev/null 2>&1; then
        [[ $(zpool list -H -o guid "$STORE") == "$1" ]] ||
            refuse "a pool $STORE is imported that is not the one on the data disk" "zpool status; export the other one"
        return 0
    fi
    local -a from=(-d "$(dirname "$DATA_DISK")" -o cachefile=none)
    zpool import "${from[@]}" "$1" 2>/dev/null || {
        say "the pool was not exported (its last server was cut off, or is gone): taking it over"
        zpool import -f "${from[@]}" "$1"
    }
}

# The disk may have been enlarged. Not being able to use the new room is no reason to stay down.
grow_pool() { zpool online -e "$STORE" "$DATA_DISK" || say "the pool could not be grown to the disk's size"; }

mount_zfs() {
    zfs list -H -o name "$STORE/state" >/dev/null 2>&1 ||
        zfs create -o mountpoint="$STORE_DIR" -o reservation="$STATE_RESERVATION" "$STORE/state"
    mountpoint -q "$STORE_DIR" || zfs mount "$STORE/state"
}

open_zfs() {
    if [[ $disk_kind == blank ]]; then
        say "creating pool $STORE"
        zpool create -o cachefile=none "${POOL_OPTIONS[@]}" "${FILE_SYSTEM_OPTIONS[@]}" -O mountpoint=none \
            "$STORE" "$DATA_DISK"
    else
        import_pool "$disk_uuid"
        grow_pool
    fi
    mount_zfs
}

# ---- btrfs ---------------------------------------------------------------------------------------------------------

open_btrfs() {
    if [[ $disk_kind == blank ]]; then
        say "creating a btrfs file system"
        mkfs.btrfs --quiet --label "$STORE" "$disk_device"
    fi
    mountpoint -q "$STORE_DIR" || mount -t btrfs -o noatime,compress=zstd:1 "$disk_device" "$STORE_DIR"
    btrfs filesystem resize max "$STORE_DIR" >/dev/null || say "the file system could not be grown to the disk's size"
}

# ---- both --------------------------------------------------------------------------------------------------------

# Finds the data disk and what is on it, or refuses; nothing is changed. Sets the variables named disk_.
look_at_disk() {
    local own=btrfs disk
    [[ $STORAGE_DRIVER != zfs ]] || own=zfs_member
    disk_device=$(find_disk) || refuse "there is no data disk: $DATA_DISK does not exist" \
        "attach the disk with the device name ${DATA_DISK##*google-} (terraform apply does); start the server again"
    disk="the data disk $DATA_DISK ($disk_device)"
    read -r disk_kind disk_uuid disk_part disk_label < <(what_is_on "$disk_device")
    case $disk_kind in
    blank) ;;
    foreign)
        refuse "$disk holds $disk_uuid $disk_part $disk_label; it is not touched" "$next_for_foreign"
        ;;
    *)
        [[ $disk_label == "$STORE" ]] ||
            refuse "$disk holds $disk_kind '$disk_label', not '$STORE'; it is not touched" "$next_for_foreign"
        [[ $disk_kind == "$own" ]] || refuse "$disk has our data as $disk_kind, but storage_driver is $STORAGE_DRIVER" \
            "set storage_driver to what the disk was made with"
        ;;
    esac
    say "the data disk $disk_device: $disk_kind ${disk_uuid:-}"
}

# Puts the data disk to $STORE_DIR.
open_store() {
    mkdir -p "$STORE_DIR"
    "open_$STORAGE_DRIVER"
    mountpoint -q "$STORE_DIR" || refuse "$STORE_DIR is not mounted" "see the lines above"
}

# keep PATH: from now on it is a folder of the data disk. What an image brought along goes there the first time.
keep() {
    local place=$STORE_DIR/state$1
    ! mountpoint -q "$1" || return 0
    mkdir -p "$1" "$(dirname "$place")"
    if [[ ! -d $place ]]; then
        rm -rf "$place.new"
        cp -a "$1" "$place.new"
        mv "$place.new" "$place"
    fi
    mount --bind "$place" "$1"
}

# Until these folders are there, nothing may start that would make itself new ones on the boot disk. At a start of the
# server that is when this script has run, which then starts them.
gated_units=(incus.service incus.socket incus-startup.service
    containariumd.service containarium-gateway.service containarium-gateway.socket)

gate_units() {
    local unit folder
    for unit in "${gated_units[@]}"; do
        folder=/etc/systemd/system/$unit.d
        mkdir -p "$folder"
        {
            printf '# Written by the start-up script: not before the data disk is there.\n[Unit]\n'
            printf 'ConditionPathIsMountPoint=%s\n' "${KEPT[@]}"
        } >"$folder/data-disk.conf"
    done
    systemctl daemon-reload
}

keep_state() {
    local path
    gate_units
    for path in "${KEPT[@]}"; do
        mountpoint -q "$path" || systemctl stop "${gated_units[@]}" 2>/dev/null || true
        keep "$path"
    done
}
