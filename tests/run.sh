#!/bin/bash
# Builds everything and runs every test.
#
#   sudo tests/run.sh [--quick] [-- pytest arguments]
#
#   --quick   leaves out what needs Incus, the second build with sanitizers, the Debian package and Terraform (under 3
#             minutes once the code was checked)
#
# Installs what is missing first. Every suite runs even when one before it failed; the exit code is 0 only when all
# passed. What needs Incus gets a project, network and pool of its own (CONTAINARIUM_TEST_INCUS_PROJECT, _NETWORK,
# _SUBNET, _POOL name others), set up before and removed after; the box image stays for the next run.
# The last lines are ctest's and pytest's own.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$here")
cd "$root"
. packaging/lib.sh

quick=no
while [[ $# -gt 0 ]]; do
    case $1 in
    --quick) quick=yes && shift ;;
    --) shift && break ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "unknown argument: $1" "see tests/run.sh --help" ;;
    esac
done
need_root tests/run.sh
exec </dev/null
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
# A developer's own agent, configuration or client certificate must not decide a test.
unset SSH_AUTH_SOCK SSH_ASKPASS DISPLAY

project=${CONTAINARIUM_TEST_INCUS_PROJECT:-containarium-test}
network=${CONTAINARIUM_TEST_INCUS_NETWORK:-ctntest0}
subnet=${CONTAINARIUM_TEST_INCUS_SUBNET:-10.179.0.0/20}
pool=${CONTAINARIUM_TEST_INCUS_POOL:-containarium-test}
image=${CONTAINARIUM_TEST_INCUS_IMAGE:-containarium-box}
# Debian's Python: the one on the PATH may be another without Debian's packages.
python=/usr/bin/python3

failed=()
suite() { # suite NAME COMMAND...
    local name=$1
    shift
    step "$name"
    "$@" || {
        failed+=("$name")
        printf '    FAILED: %s\n' "$name"
    }
}

# ---- preparation: nothing can run without it -----------------------------------------------------------------------

step "Install packages"
if [[ $quick == yes ]]; then packaging/deps.sh --test --no-incus; else packaging/deps.sh --test; fi
step "Get libssh"
packaging/libssh.sh

configure_and_build() { # configure_and_build FOLDER OPTIONS...
    local folder=$1
    shift
    logged "$folder.log" "the compiler's last lines are above" cmake -S "$root" -B "$folder" \
        -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCONTAINARIUM_WERROR=ON "$@" \
        "-DCONTAINARIUM_LIBSSH_PREFIX=$CONTAINARIUM_CACHE/libssh"
    logged "$folder.log" "the compiler's last lines are above" cmake --build "$folder" -j "$(nproc)"
}
build=$(build_folder tests "$root")
step "Build"
configure_and_build "$build"
export CONTAINARIUM_BIN=$build/bin CONTAINARIUM_BUILD=$build

# ---- what reads the sources -------------------------------------------------------------------------------------

c_files() { git -C "$root" ls-files -- 'src/*.[ch]' 'tests/*.[ch]' 2>/dev/null || find src tests -name '*.[ch]'; }

# Each file by itself as the scripts in boxes are /bin/sh; found by their first line or name.
check_scripts() {
    local file list=()
    while read -r file; do
        case $(head -c 30 "$file" | tr -d '\0' | head -n 1) in
        '#!'*sh | '# shellcheck shell='*) list+=("$file") ;;
        esac
    done < <(find packaging debian tests .ci terraform docs -type f ! -name '*.py' ! -name '*.[ch]' ! -path '*/corpus/*' 2>/dev/null)
    echo "    ${#list[@]} scripts"
    shellcheck -x -P SCRIPTDIR "${list[@]}"
}

# shellcheck disable=SC2016 # runs in the inner shell
check_format() {
    local tool
    tool=$(command -v clang-format-14 || command -v clang-format)
    # Other versions lay the same style out differently.
    if [[ $("$tool" --version) != *' 14.'* ]]; then
        echo "    skipped: the style is checked with clang-format 14, here is $("$tool" --version)"
        return 0
    fi
    local bad
    bad=$(c_files | xargs -r -P "$(nproc)" -n 1 bash -c '"$0" --dry-run --Werror "$1" >/dev/null 2>&1 || echo "    $1"' "$tool" | sort)
    [[ -n $bad ]] || return 0
    echo "$bad"
    echo "    these are laid out otherwise; mend them with: $(basename "$tool") -i FILE"
    return 1
}

# A file passes once for the same text, headers and checks; only changed ones take their second or two.
check_tidy() {
    local tool stamps headers
    tool=$(command -v clang-tidy-14 || command -v clang-tidy)
    stamps=$build/tidy
    mkdir -p "$stamps"
    headers=$(c_files | grep '\.h$' | LC_ALL=C sort | xargs cat .clang-tidy "$build/CMakeCache.txt" | sha256sum)
    export tool stamps headers build
    # shellcheck disable=SC2016 # runs in the inner shell
    c_files | grep '^src/.*\.c$' | xargs -r -n 1 -P "$(nproc)" bash -c '
        stamp=$stamps/$(echo "$headers" | cat - "$0" | sha256sum | cut -c 1-32)
        [[ ! -e $stamp ]] || exit 0
        if output=$("$tool" -p "$build" --quiet "$0" 2>/dev/null); then : >"$stamp"; else echo "$output"; exit 1; fi'
}

check_man_pages() {
    local pages
    mapfile -t pages < <(find docs/man -name '*.[1-9]' 2>/dev/null)
    echo "    ${#pages[@]} pages"
    [[ ${#pages[@]} -eq 0 ]] || mandoc -T lint -W warning "${pages[@]}"
}

check_units() {
    have systemd-analyze || { echo "    skipped: no systemd-analyze here" && return 0; }
    local work unit output
    work=$(mktemp -d)
    for unit in packaging/systemd/*.service packaging/systemd/*.target packaging/systemd/*.in; do
        # Manual pages and users are installed later; they are not what is checked here.
        sed "s#@sbindir@#$CONTAINARIUM_BIN#; s#@port@#2222#; /^Documentation=/d; s#^User=.*#User=root#; /^Group=/d" \
            "$unit" >"$work/$(basename "${unit%.in}")"
    done
    [[ -x /usr/sbin/nft ]] || sed -i 's#/usr/sbin/nft#/bin/true#' "$work"/containarium-firewall@.service
    mv "$work/containarium-firewall@.service" "$work/containarium-firewall@x.service"
    output=$(systemd-analyze verify "$work"/* 2>&1 | grep containarium || true)
    rm -rf "$work"
    [[ -z $output ]] || { echo "$output" && return 1; }
}

suite "Check scripts (shellcheck)" check_scripts
suite "Check formatting (clang-format)" check_format
suite "Check the code (clang-tidy)" check_tidy
suite "Check manual pages (mandoc)" check_man_pages
suite "Check units (systemd-analyze)" check_units

# ---- what runs -------------------------------------------------------------------------------------------------

# Exit code 5 of pytest: nothing was collected.
run_pytest() {
    local code=0 options=(-p no:cacheprovider -r fER --durations=10)
    "$python" -c 'import pytest_timeout' 2>/dev/null && options+=(--timeout=300)
    # On a loaded machine a wait may run out once; a fault of ours fails twice. What was run again is listed as
    # RERUN at the end, and is looked into like a failure. --quick has no such patience.
    # What hung is not run again: the second run would have no time limit.
    [[ $quick == no ]] && "$python" -c 'import pytest_rerunfailures' 2>/dev/null &&
        options+=(--reruns=1 --only-rerun='^(?!Failed: Timeout)')
    "$python" -m pytest "${options[@]}" "$@" || code=$?
    [[ $code -eq 0 || $code -eq 5 ]]
}

run_ctest() { ctest --test-dir "$1" --output-on-failure --no-tests=ignore -j "$(nproc)" --timeout 120; }

sanitized() {
    local folder
    folder=$(build_folder sanitized "$root")
    (configure_and_build "$folder" -DCONTAINARIUM_SANITIZE=address,undefined) || return 1
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 run_ctest "$folder"
}

work=
names=(--project "$project" --network "$network" --pool "$pool")
remove_test_incus() {
    [[ -n $work ]] || return 0
    packaging/incus-setup.sh "${names[@]}" --cert-dir "$work/incus" --down >"$work/down.log" 2>&1 || {
        cat "$work/down.log" >&2
        failed+=("remove the test set-up from Incus")
    }
    rm -rf "$work"
    work=
}
trap remove_test_incus EXIT

set_up_incus() {
    work=$(mktemp -d /tmp/containarium-tests.XXXXXX)
    chmod 755 "$work" # daemons of other users pass through
    # What a run that was killed left behind.
    (packaging/incus-setup.sh "${names[@]}" --cert-dir "$work/incus" --down) || return 1
    (packaging/incus-setup.sh "${names[@]}" --subnet "$subnet" --pool-size 20GiB --cert-dir "$work/incus") || return 1
    (packaging/image.sh --alias "$image" "${names[@]}") || return 1
    export CONTAINARIUM_TEST_INCUS_DIR=$work/incus CONTAINARIUM_TEST_INCUS_PROJECT=$project
    export CONTAINARIUM_TEST_INCUS_NETWORK=$network CONTAINARIUM_TEST_INCUS_SUBNET=$subnet
    export CONTAINARIUM_TEST_INCUS_POOL=$pool CONTAINARIUM_TEST_INCUS_IMAGE=$image
    # The same as a configuration, for the tests that are linked with the driver itself.
    export CONTAINARIUM_TEST_CONFIG=$work/containarium.conf
    {
        echo "[incus]"
        printf '%s = %s\n' url "$(cat "$work/incus/url")" certificate "$work/incus/client.crt" \
            key "$work/incus/client.key" server_certificate "$work/incus/server.crt" project "$project" \
            network "$network" pool "$pool" image "$image"
        echo "[box]"
        printf '%s = %s\n' subnet "$subnet" address_first "${subnet%.*}.16"
    } >"$CONTAINARIUM_TEST_CONFIG"
}

pytest_arguments=("$@")
if [[ $quick == no ]]; then
    exec 9>/run/containarium-tests.lock
    flock -n 9 || {
        echo "    another run of these tests uses Incus; waiting for it"
        flock 9
    }
    # Not the lock's descriptor: an incusd that is started here and lives on would hold the lock as long.
    suite "Set up Incus for the tests" set_up_incus 9>&-
    suite "Check the box image" packaging/check-box.sh --project "$project" --network "$network" --alias "$image"
    suite "Unit and component tests with sanitizers" sanitized
else
    pytest_arguments=(--ignore=tests/e2e --ignore=tests/interop --ignore=tests/terraform
        --ignore=tests/packaging/test_package.py -m "not incus" "$@")
fi

suite "Unit and component tests (ctest)" run_ctest "$build"
step "Tests in Python (pytest)"
# Said before the last runner, whose own line shall close the output.
[[ ${#failed[@]} -eq 0 ]] || printf '    FAILED so far: %s\n' "${failed[@]}"
code=0
run_pytest tests "${pytest_arguments[@]}" || code=1
remove_test_incus
[[ $code -eq 0 && ${#failed[@]} -eq 0 ]]
