#!/bin/bash
# The drill: does this backup really restore? In a folder of its own, without touching what runs on this machine.
#
#   packaging/drill.sh BACKUP [--bin DIR]
#
# BACKUP     what `containarium store backup` wrote
# --bin DIR  where containariumd and containarium are; else they are searched for as usual
#
# Verifies the backup, restores it, starts a control plane on it that reaches neither Incus nor a network, has it list
# the accounts and verify the audit trail, and ends it. Exit status 0 only if all of that worked. Run it by cron on a
# machine that is not the gateway; any user can.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/lib.sh"

backup='' bin=

while [[ $# -gt 0 ]]; do
    case $1 in
    --bin) [[ $# -ge 2 ]] || die "--bin needs a value" "see packaging/drill.sh --help"; bin=$2 && shift 2 ;;
    -h | --help) sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    -*) die "unknown argument: $1" "see packaging/drill.sh --help" ;;
    *) [[ -z $backup ]] || die "one backup at a time" "see packaging/drill.sh --help"; backup=$1 && shift ;;
    esac
done
[[ -n $backup ]] || die "which backup?" "packaging/drill.sh BACKUP"
[[ -f $backup ]] || die "there is no file $backup" "name what containarium store backup wrote"
PATH=${bin:+$bin:}$PATH:/usr/local/sbin:/usr/sbin
{ have containariumd && have containarium; } || die "containariumd is not installed here" "install the package, or say --bin DIR"
have openssl || die "openssl is needed" "apt install openssl"

work=$(mktemp -d)
daemon=
clean_up() {
    if [[ -n $daemon ]]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
mkdir -m 700 "$work/state" "$work/run"
# A certificate for nothing: the control plane wants one, and nobody listens where it would be shown.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=drill -keyout "$work/key.pem" \
    -out "$work/cert.pem" 2>/dev/null
cat >"$work/containarium.conf" <<CONF
[control]
state_dir = $work/state
run_dir = $work/run
gateway_user = $(id -un)
admin_group = $(id -gn)
backup_dir = $work/state
[incus]
url = https://127.0.0.1:9
certificate = $work/cert.pem
key = $work/key.pem
server_certificate = $work/cert.pem
timeout = 1s
[box]
idle_freeze = 0s
idle_stop = 0s
[audit]
keep = 0s
CONF

run() { # run WHAT COMMAND...: its output only when it fails
    local what=$1
    shift
    "$@" >"$work/output" 2>&1 || {
        cat "$work/output" >&2
        die "$what" "keep older backups until a newer one has passed the drill"
    }
}
ask() { containarium --socket "$work/run/control.sock" "$@"; }

step "Verify the backup"
run "this is no backup that would restore" containariumd --config "$work/containarium.conf" --verify "$backup"
note "$(head -n 1 "$work/output")"
step "Restore it"
run "it cannot be restored" containariumd --config "$work/containarium.conf" --restore "$backup"
step "Start a control plane on it"
containariumd --config "$work/containarium.conf" >"$work/daemon.log" 2>&1 &
daemon=$!
answers() { ask version >/dev/null 2>&1; }
wait_for 20 answers || {
    cat "$work/daemon.log" >&2
    die "the control plane does not start on it" "its log is above"
}
step "Ask it"
run "its accounts cannot be listed" ask list --json
run "its audit trail does not hold" ask audit verify
note "$(cat "$work/output")"
step_end
echo "    the backup restores"
