#!/bin/bash
# The box image: built once, then cloned copy-on-write for every user.
#
#   packaging/image.sh [options]
#
#   --alias NAME      (containarium-box) the image's name in Incus
#   --no-docker       leave Docker out
#   --rebuild         build although the image is there and current (for the distribution's updates)
#   --source WHICH    auto: the public image server when it answers, else mirror; mirror: bootstrapped from this
#                     machine's own apt mirror; or REMOTE:IMAGE, a Debian image that Incus knows
#   --project NAME    (containarium) --network NAME (ctnbr0) --pool NAME (containarium): where a builder runs, and
#                     where the image is unpacked so that not even the first box waits for that
#   --down            delete the image
#
# Both sources go through the same packaging/image/customise.sh. An image that carries the hash of what it would be
# built from is current, and a second run does nothing.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
. ./lib.sh

image=containarium-box docker=yes rebuild=no source=auto project=containarium network=ctnbr0 pool=containarium down=no
while [[ $# -gt 0 ]]; do
    case $1 in
    --alias | --source | --project | --network | --pool)
        [[ $# -ge 2 ]] || die "$1 needs a value" "see packaging/image.sh --help"
        case $1 in
        --alias) image=$2 ;;
        --source) source=$2 ;;
        --project) project=$2 ;;
        --network) network=$2 ;;
        --pool) pool=$2 ;;
        esac
        shift 2
        ;;
    --no-docker) docker=no && shift ;;
    --rebuild) rebuild=yes && shift ;;
    --down) down=yes && shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "unknown argument: $1" "see packaging/image.sh --help" ;;
    esac
done
need_root packaging/image.sh
private_incus_client
incus_answers || die "Incus does not answer" "run packaging/incus-setup.sh first"
log=$CONTAINARIUM_CACHE/log/image.log
builder=containarium-image-builder
warm=containarium-image-unpack

image_exists() { incus image info "local:$image" --project default >/dev/null 2>&1; }
fingerprint_of() { # ALIAS [PROJECT]
    incus image alias list local: --project "${2:-default}" -f csv 2>/dev/null | awk -F, -v a="$1" '$1 == a { print $2 }'
}

if [[ $down == yes ]]; then
    ! image_exists || incus image delete "local:$image" --project default
    note "image $image is gone"
    exit 0
fi

# Every file that goes in, with its path and mode; and the options.
hash=$( (
    cd image
    find . -type f | LC_ALL=C sort | while read -r file; do
        printf '%s %s ' "$file" "$(stat -c %a "$file")"
        sha256sum <"$file"
    done
    echo "docker=$docker release=$(os_codename)"
) | sha256sum | cut -c 1-16)

work=
cleanup() {
    incus delete --force --project default "$builder" >/dev/null 2>&1 || true
    incus delete --force --project "$project" "$warm" >/dev/null 2>&1 || true
    [[ -z $work ]] || rm -rf "$work"
}
trap cleanup EXIT

# ---- from the machine's own mirror -----------------------------------------------------------------------------

# Bootstrapping takes most of the time and depends on little: it is kept.
base_archive() {
    local packages key proxy
    packages=$(sed '/^#/d' image/packages)
    [[ $docker == no ]] || packages+=" docker.io"
    key=$(echo "$(os_codename) $packages" | sha256sum | cut -c 1-12)
    base=$CONTAINARIUM_CACHE/image/base-$(os_codename)-$key.tar.zst
    if [[ -s $base && $rebuild == no ]]; then
        note "using the bootstrapped system in $base"
        return 0
    fi
    have mmdebstrap || die "mmdebstrap is missing" "run packaging/deps.sh"
    apt_lists_present || logged "$log" "check that this machine reaches its apt mirror" apt-get update
    apt_sources >"$work/sources.list" || true
    [[ -s $work/sources.list ]] ||
        die "no apt source of this machine's own release was found" \
            "add the distribution's mirror to /etc/apt/sources.list and run this again"
    mkdir -p "$CONTAINARIUM_CACHE/image"
    note "bootstrapping $(os_id) $(os_codename) from this machine's apt mirror (about a minute)"
    local -a options=(--variant=minbase --format=tar --dpkgopt=force-unsafe-io
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"'
        "--include=$(echo "$packages" | tr -s ' \n' ',,')")
    for proxy in http https; do
        local value
        value=$(apt-config dump --format '%v' "Acquire::$proxy::Proxy" 2>/dev/null)
        [[ -z $value ]] || options+=("--aptopt=Acquire::$proxy::Proxy \"$value\"")
    done
    logged "$log" "check that this machine reaches its apt mirror, then run this again" \
        mmdebstrap "${options[@]}" "$(os_codename)" "$work/base.tar" "$work/sources.list"
    zstd -q -1 -T0 -f "$work/base.tar" -o "$base.new"
    rm "$work/base.tar"
    find "$CONTAINARIUM_CACHE/image" -name 'base-*' ! -name "$(basename "$base").new" -mtime +30 -delete
    mv "$base.new" "$base"
}

build_from_mirror() {
    base_archive
    note "customising it"
    mkdir -p "$work/image/rootfs"
    local root=$work/image/rootfs
    tar --zstd -C "$root" -xpf "$base" --numeric-owner
    # The same mirror serves the box, checked with the box's own copy of the keyring.
    rm -f "$root"/etc/apt/sources.list.d/*.list
    apt_sources >"$root/etc/apt/sources.list"
    [[ -e $root$(archive_keyring) ]] || sed -i 's/ \[signed-by=[^]]*\]//' "$root/etc/apt/sources.list"
    cp -r image "$root/root/containarium-image"
    # A new PID and mount name space: what the customisation mounts or leaves running goes with it.
    logged "$log" "the log says which command failed" unshare --mount --pid --fork --kill-child \
        chroot "$root" /root/containarium-image/customise.sh "${customise[@]}"
    {
        echo "architecture: $(uname -m)"
        echo "creation_date: $(date +%s)"
        echo "properties:"
        echo "  os: $(os_id)"
        echo "  release: $(os_codename)"
        echo "  description: containarium box ($(os_id) $(os_codename))"
        echo "  containarium.hash: \"$hash\""
    } >"$work/image/metadata.yaml"
    note "importing it"
    tar -C "$work/image" --numeric-owner -cf - metadata.yaml rootfs | zstd -q -1 -T0 >"$work/image.tar.zst"
    logged "$log" "is there room in Incus' folder? (df /var/lib/incus)" \
        incus image import --quiet "$work/image.tar.zst" --project default --alias "$image" --reuse
}

# ---- from an image that Incus can get --------------------------------------------------------------------------

public_image() { # the public server's name for this release
    case $(os_id) in
    debian) echo "images:debian/$(os_codename)" ;;
    *) echo "images:debian/12" ;;
    esac
}

build_from_image() {
    note "starting a builder from $source"
    incus delete --force --project default "$builder" >/dev/null 2>&1 || true
    logged "$log" "try again, or use --source mirror" incus launch "$source" "$builder" --project default \
        --no-profiles --storage "$pool" --network "$network" --config security.nesting=true
    # Its own first boot brings up the network.
    wait_for 60 incus exec --project default "$builder" -- apt-get update ||
        warn "the builder has no network yet; going on"
    note "customising it"
    incus exec --project default "$builder" -- rm -rf /root/containarium-image
    logged "$log" "the message above is Incus' own" \
        incus file push --project default -r image "$builder/root/"
    incus exec --project default "$builder" -- mv /root/image /root/containarium-image
    logged "$log" "the log says which command failed; --source mirror is the other way" \
        incus exec --project default "$builder" -- /root/containarium-image/customise.sh "${customise[@]}"
    logged "$log" "the message above is Incus' own" incus stop --project default "$builder"
    note "publishing it"
    logged "$log" "is there room in Incus' folder? (df /var/lib/incus)" \
        incus publish --quiet "$builder" local: --project default --alias "$image" --reuse --compression zstd \
        "containarium.hash=$hash" "description=containarium box"
    incus delete --force --project default "$builder" >/dev/null
}

# ---- --------------------------------------------------------------------------------------------------------

if [[ $rebuild == no ]] && image_exists &&
    [[ $(incus image get-property "local:$image" containarium.hash --project default 2>/dev/null) == "$hash" ]]; then
    note "image $image is there and current"
else
    work=$(mktemp -d -p /var/tmp containarium-image.XXXXXX)
    chmod 755 "$work"
    customise=()
    [[ $docker == no ]] || customise=(--docker)
    if [[ $source == auto ]]; then
        source=mirror
        if timeout 10 incus image info "$(public_image)" >/dev/null 2>&1; then
            source=$(public_image)
        fi
    fi
    if [[ $source == mirror ]]; then build_from_mirror; else build_from_image; fi
    note "image $image is built ($(fingerprint_of "$image"))"
fi

# Boxes are made from the project's own copy. It shares nothing with other projects, so that the control plane may
# remove what it has put there itself (boxes on their way into a backup or out of one).
copy_to_project() {
    local here there
    here=$(fingerprint_of "$image" default) there=$(fingerprint_of "$image" "$project")
    if incus image info --project "$project" "local:$here" >/dev/null 2>&1; then
        [[ -z $there ]] || return 0 # it is there; should another be in use, somebody chose it: containarium image use
    else
        logged "$log" "the message above is Incus' own" incus image copy --quiet "local:$here" local: --project default \
            --target-project "$project"
        [[ -z $there ]] || incus image alias delete --project "$project" "local:$image"
    fi
    here=$(incus image info --project default "local:$image" | awk '/^Fingerprint:/ { print $2 }') # the whole of it
    logged "$log" "the message above is Incus' own" incus image alias create --project "$project" "local:$image" "$here"
}

if incus project show "$project" >/dev/null 2>&1 &&
    [[ $(incus project get "$project" features.images) == true ]]; then
    copy_to_project
fi

# Incus unpacks an image into a pool when the first box is made from it; here nobody waits for that.
if incus project show "$project" >/dev/null 2>&1; then
    incus delete --force --project "$project" "$warm" >/dev/null 2>&1 || true
    logged "$log" "the message above is Incus' own" \
        incus create --project "$project" --storage "$pool" "local:$image" "$warm"
fi
