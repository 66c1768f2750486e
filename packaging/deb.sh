#!/bin/bash
# The Debian package of this tree, for this machine's release.
#
#   packaging/deb.sh [--output DIR]
#
#   --output DIR   (.) where the .deb files go
#
# Where the distribution's libssh is too old, the static one of packaging/libssh.sh goes in. The unit tests are run
# beforehand with tests/run.sh, or here with: DEB_BUILD_OPTIONS= packaging/deb.sh
# The same sources give the same bytes (tests/packaging/test_package.py).
set -euo pipefail
started_in=$PWD
cd "$(dirname "$(readlink -f "$0")")"
# shellcheck source=lib.sh
. ./lib.sh

output=.
while [[ $# -gt 0 ]]; do
    case $1 in
    --output)
        [[ $# -ge 2 ]] || die "--output needs a value" "see packaging/deb.sh --help"
        output=$2 && shift 2
        ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "unknown argument: $1" "see packaging/deb.sh --help" ;;
    esac
done
have dh || die "debhelper is missing" "run: packaging/deps.sh --test"
output=$(cd "$started_in" && mkdir -p "$output" && cd "$output" && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/containarium"
# A copy: what a build leaves does not belong in somebody's tree, nor what lies around there in the package.
tar -C .. -cf - --exclude-vcs --exclude='./build*' --exclude=__pycache__ . | tar -C "$work/containarium" -xf -

profile=()
if ! pkg-config --atleast-version=0.12.2 libssh 2>/dev/null; then
    export LIBSSH_PREFIX=${LIBSSH_PREFIX:-$CONTAINARIUM_CACHE/libssh}
    [[ -f $LIBSSH_PREFIX/lib/libssh.a ]] || die "there is no libssh in $LIBSSH_PREFIX" "run: packaging/libssh.sh"
    profile=(--build-profiles=pkg.containarium.static-libssh)
fi
export DEB_BUILD_OPTIONS=${DEB_BUILD_OPTIONS-nocheck parallel=$(nproc)}
cd "$work/containarium"
logged "$work/log" "are the packages of debian/control's Build-Depends installed? (packaging/deps.sh)" \
    dpkg-buildpackage --build=binary --no-sign "${profile[@]}"
mv "$work"/*.deb "$output"
ls "$output"/containarium*.deb
