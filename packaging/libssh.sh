#!/bin/bash
# libssh >= 0.12.2 for this machine: nothing to do where the distribution's is new enough (Debian 14); else built
# once, static, from Debian's own source package, and kept under /var/cache/containarium.
#
#   packaging/libssh.sh [--force]
#
# Why not the distribution's older one: no post-quantum key exchange (OpenSSH >= 10.1 warns its users at every
# login), no direct-tcpip callback for servers, small windows, and fixes that matter to a server on port 22.
# Built here it has a receive window of 4 MiB in place of 2: libssh refills a window only when half of it is used up,
# so 2 MiB let a far client send 1.5 on average, where OpenSSH's sshd lets it send 2 (tests/bench/lfn.py).
# The source is fetched by apt, which checks the archive's signature, with a source list and a state directory of
# its own: the machine's apt configuration is not touched.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
. ./lib.sh

wanted=0.12.2
revision=2 # of the way it is built here; another one is built anew
suite=sid
force=no
for argument in "$@"; do
    case $argument in
    --force) force=yes ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "unknown argument: $argument" "accepted: --force" ;;
    esac
done

prefix=$CONTAINARIUM_CACHE/libssh # what cmake/FindLibssh.cmake looks for
if pkg-config --atleast-version=$wanted libssh 2>/dev/null; then
    note "the system's libssh is $(pkg-config --modversion libssh)"
    exit 0
fi
if [[ $force == no && -f $prefix/lib/libssh.a && $(readlink "$prefix") == *-r$revision ]] &&
    PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --atleast-version=$wanted libssh; then
    note "libssh $(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --modversion libssh) is already built"
    exit 0
fi
need_root packaging/libssh.sh

# apt gives libssh-dev itself where it is new enough.
candidate=$(apt-cache policy libssh-dev 2>/dev/null | awk '/Candidate:/ { print $2 }')
if [[ $candidate == [0-9]* ]] && dpkg --compare-versions "$candidate" ge "$wanted"; then
    note "installing the distribution's libssh-dev $candidate"
    DEBIAN_FRONTEND=noninteractive logged "$CONTAINARIUM_CACHE/log/libssh.log" "run: apt-get update" \
        apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends libssh-dev
    exit 0
fi

[[ $(os_id) == debian ]] || die "libssh here is older than $wanted, and this is not Debian" \
    "install libssh $wanted or newer (with its headers and libssh.pc), then run this again"
mirror=$(apt_mirror) || die "no apt source for $(os_codename) was found" \
    "add the distribution's own mirror to /etc/apt/sources.list and run this again"
keyring=$(archive_keyring) || die "the archive's keyring is missing" "run: apt-get install debian-archive-keyring"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt fetches as its own user
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/source"
chmod 777 "$work/source" "$work/lists/partial" "$work/cache/archives/partial"
printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
    "${mirror% *}" "$suite" "$keyring" >"$work/libssh.sources"
private=(-o "Dir::Etc::sourcelist=$work/libssh.sources" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o "Acquire::Languages=none")
advice="check that this machine reaches its apt mirror and that it carries $suite, then run the same command again"
log=$CONTAINARIUM_CACHE/log/libssh.log

note "fetching Debian's libssh source package ($suite)"
logged "$log" "$advice" apt-get "${private[@]}" update
(cd "$work/source" && logged "$log" "$advice" apt-get "${private[@]}" source --download-only libssh)
dsc=$(find "$work/source" -name 'libssh_*.dsc')
[[ -n $dsc ]] || die "apt fetched no libssh source" "$advice"
version=$(basename "$dsc" .dsc)
version=${version#libssh_}
version=${version%%-*}
dpkg --compare-versions "$version" ge "$wanted" ||
    die "the mirror's $suite has libssh $version, $wanted is needed" "wait for the mirror, or use another one in apt"

note "building libssh $version"
# apt has checked the .dsc against the signed index; dpkg-source checks the tarballs against the .dsc.
(cd "$work" && logged "$log" "see the log" dpkg-source --no-check -x "$dsc" libssh)
sed -i 's/^#define WINDOW_DEFAULT (64\*CHANNEL_MAX_PACKET)$/#define WINDOW_DEFAULT (128*CHANNEL_MAX_PACKET)/' \
    "$work/libssh/src/channels.c"
grep -q '128\*CHANNEL_MAX_PACKET' "$work/libssh/src/channels.c" ||
    warn "libssh $version defines its window in another way: it keeps its own"
target=$CONTAINARIUM_CACHE/libssh-$version-r$revision
logged "$log" "run packaging/deps.sh first; the log says what cmake missed" \
    cmake -S "$work/libssh" -B "$work/build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_INSTALL_PREFIX="$target" \
    -DCMAKE_INSTALL_LIBDIR=lib -DBUILD_SHARED_LIBS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON \
    -DWITH_GSSAPI=OFF -DWITH_FIDO2=OFF -DWITH_EXAMPLES=OFF \
    -DCMAKE_C_FLAGS="-fstack-protector-strong -fstack-clash-protection -fcf-protection=full -D_FORTIFY_SOURCE=2"
logged "$log" "the log says what the compiler missed" cmake --build "$work/build" -j "$(nproc)"
rm -rf "$target"
logged "$log" "free some disk space and run this again" cmake --install "$work/build"
ln -sfn "$(basename "$target")" "$prefix"
note "libssh $version is in $prefix"
