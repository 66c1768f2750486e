# shellcheck shell=bash
# What is on a disk, without changing it. Everything rests on this: a disk is formatted only when nothing is found.

# signature_of DEVICE FIELD: blkid's low-level probe of the device itself, not its cache.
signature_of() { blkid --probe --output value --match-tag "$2" "$1" 2>/dev/null || true; }

# all_zero DEVICE: 65 samples of 1 MiB, evenly from the very beginning to the very end. Data that bears no signature
# (an encrypted volume with a detached header, a database's raw disk) is not zero.
all_zero() {
    local device=$1 size mib i
    size=$(blockdev --getsize64 "$device")
    mib=$((size / 1048576))
    ((mib > 0)) || return 1
    for ((i = 0; i <= 64; i++)); do
        dd "if=$device" bs=1M "skip=$(((mib - 1) * i / 64))" count=1 status=none |
            cmp --silent --bytes=1048576 - /dev/zero || return 1
    done
}

# pool_partition DEVICE: the partition that holds a pool, if DEVICE is laid out as zpool does with a whole disk: the
# pool in the first partition and nothing in the 8 MiB of the second.
pool_partition() {
    local parts
    [[ $(signature_of "$1" PTTYPE) == gpt ]] || return 1
    mapfile -t parts < <(lsblk --noheadings --raw --paths --output NAME,TYPE "$1" | awk '$2 == "part" { print $1 }')
    ((${#parts[@]} >= 1 && ${#parts[@]} <= 2)) || return 1
    [[ $(signature_of "${parts[0]}" TYPE) == zfs_member ]] || return 1
    if ((${#parts[@]} == 2)); then
        [[ -z $(signature_of "${parts[1]}" TYPE) && $(blockdev --getsize64 "${parts[1]}") -le 16777216 ]] || return 1
    fi
    echo "${parts[0]}"
}

# what_is_on DEVICE prints one line, and is sure of it:
#   blank                        neither blkid nor wipefs knows anything on it, and all samples are zero
#   KIND UUID DEVICE LABEL       KIND is zfs_member or btrfs, and wipefs sees that and nothing else
#   foreign WHAT                 everything else, also when the two disagree
what_is_on() {
    local device=$1 code=0 kind seen
    seen=$(wipefs --no-act --noheadings --output TYPE "$device" | sort -u | xargs) || {
        echo "foreign something wipefs cannot read" && return 0
    }
    blkid --probe "$device" >/dev/null 2>&1 || code=$?
    kind=$(signature_of "$device" TYPE)
    if [[ $code -eq 0 && $seen == "$kind" && $kind =~ ^(zfs_member|btrfs)$ ]]; then
        echo "$kind $(signature_of "$device" UUID) $device $(signature_of "$device" LABEL)"
    elif [[ $code -eq 0 && -z $kind ]] && device=$(pool_partition "$device"); then
        what_is_on "$device"
    elif [[ $code -eq 2 && -z $seen ]]; then
        if all_zero "$1"; then echo blank; else echo "foreign data without any signature"; fi
    elif [[ $code -eq 2 ]]; then
        echo "foreign $seen according to wipefs, which blkid does not see"
    elif [[ $code -eq 8 ]]; then
        echo "foreign signatures that contradict each other: $seen"
    else
        echo "foreign ${kind:-a partition table}, and according to wipefs: ${seen:-nothing}"
    fi
}
