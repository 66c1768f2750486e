#!/bin/bash
# The distribution packages that building and running containarium needs; --test adds those of the tests.
#
#   packaging/deps.sh [--test] [--no-incus]
#
# Debian 13 and later have Incus in main; on Debian 12 it comes from backports, a suite of the same mirror.
# Installs only what is missing; a second run does nothing and needs no network.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
. ./lib.sh

with_test=no with_incus=yes
for argument in "$@"; do
    case $argument in
    --test) with_test=yes ;;
    --no-incus) with_incus=no ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "unknown argument: $argument" "accepted: --test, --no-incus" ;;
    esac
done
need_root packaging/deps.sh
have apt-get || die "this machine has no apt" \
    "the quick start knows Debian and its kin; elsewhere see the list of packages in packaging/deps.sh"

build=(gcc cmake make pkg-config libc6-dev dpkg-dev libevent-dev libssl-dev zlib1g-dev libsqlite3-dev
    "libcurl4-openssl-dev|libcurl4-gnutls-dev" libjansson-dev libinih-dev libseccomp-dev libedit-dev)
run=(openssh-client openssl ca-certificates curl util-linux procps iproute2)
boxes=(dnsmasq-base nftables btrfs-progs lxcfs mmdebstrap uidmap zstd tar)
tests=(libcmocka-dev openssh-server openssh-sftp-server git rsync socat sqlite3 jq tmux netcat-openbsd iptables
    python3-grpcio python3-msgpack python3-jsonschema fdisk
    python3 python3-pytest python3-pytest-timeout python3-pytest-rerunfailures python3-asyncssh python3-paramiko
    putty-tools dropbear-bin autossh sshfs ansible-core ssh-audit haproxy
    debhelper lintian zsh fish
    mandoc shellcheck clang "clang-tidy-14|clang-tidy" "clang-format-14|clang-format" "libclang-rt-14-dev|libclang-rt-19-dev|libclang-rt-dev")

wanted=("${build[@]}" "${run[@]}")
[[ $with_incus == no ]] || wanted+=("${boxes[@]}")
[[ $with_test == no ]] || wanted+=("${tests[@]}")
mapfile -t missing < <(packages_missing "${wanted[@]}")

# Incus counts as there when its daemon is, wherever it came from; an Incus that exists is left as it is.
incus_wanted=no
if [[ $with_incus == yes ]] && { ! have incus || [[ ! -x $(incus_daemon) ]]; }; then
    incus_wanted=yes
fi

if [[ ${#missing[@]} -eq 0 && $incus_wanted == no ]]; then
    note "every package is already there"
    exit 0
fi

export DEBIAN_FRONTEND=noninteractive
log=$CONTAINARIUM_CACHE/log/deps.log
mkdir -p "$(dirname "$log")"
network_advice="check that this machine reaches its apt mirror (try: apt-get update), then run the same command again"
apt_install() {
    logged "$log" "$network_advice" apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

updated=no
apt_update() {
    [[ $updated == no ]] || return 0
    note "reading the package lists"
    logged "$log" "$network_advice" apt-get -o DPkg::Lock::Timeout=120 update
    updated=yes
}

known() { [[ $(apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ { print $2 }') == [0-9]* ]]; }

# Incus' own package is smaller where it is split (incus-base has containers only, no virtual machines).
incus_packages() {
    if known incus-base; then echo incus-base incus-client; else echo incus; fi
}

apt_lists_present || apt_update
if [[ $incus_wanted == yes ]] && ! known incus-base && ! known incus; then
    mirror=$(apt_mirror) || die "no apt source for $(os_codename) was found" \
        "add the distribution's own mirror to /etc/apt/sources.list, or install Incus yourself, and run this again"
    note "Incus is not in $(os_codename): adding $(os_codename)-backports of the same mirror"
    {
        echo "# Written by containarium's packaging/deps.sh, for Incus."
        echo "Types: deb"
        echo "URIs: ${mirror% *}"
        echo "Suites: $(os_codename)-backports"
        echo "Components: main"
        keyring=$(archive_keyring) && echo "Signed-By: $keyring"
    } >/etc/apt/sources.list.d/containarium-backports.sources
    updated=no
    apt_update
    known incus-base || known incus || die "$(os_codename)-backports has no Incus" \
        "install Incus 6.0 or newer yourself (see its own instructions) and run this again"
fi

# Alternatives that this release does not have (a versioned package name, say) fall to the next known one.
install=()
for entry in "${wanted[@]}"; do
    [[ -n $(packages_missing "$entry") ]] || continue
    chosen=
    for alternative in ${entry//|/ }; do
        if known "$alternative"; then chosen=$alternative && break; fi
    done
    if [[ -z $chosen ]]; then
        apt_update
        for alternative in ${entry//|/ }; do
            if known "$alternative"; then chosen=$alternative && break; fi
        done
    fi
    [[ -n $chosen ]] || die "no apt source of this machine has the package ${entry//|/ or }" \
        "enable the distribution's main component and run this again"
    install+=("$chosen")
done

if [[ ${#install[@]} -gt 0 ]]; then
    note "installing ${#install[@]} packages: ${install[*]}"
    # A list that is older than the mirror names files that are gone: refresh once before giving up.
    if ! apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "${install[@]}" >"$log" 2>&1 </dev/null; then
        apt_update
        apt_install "${install[@]}"
    fi
fi
if [[ $incus_wanted == yes ]]; then
    read -r -a packages <<<"$(incus_packages)"
    note "installing ${packages[*]}"
    # Its post-install script starts incusd under systemd; elsewhere packaging/incus-setup.sh does.
    apt_install "${packages[@]}"
fi
note "packages installed"
