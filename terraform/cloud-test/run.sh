#!/bin/bash
# One spot server on Google Cloud: made, used, cut off, replaced, checked, removed. See README.md beside it.
#
#   PROJECT=... KEY=... DEB_URL=... DEB_SHA256=... terraform/cloud-test/run.sh STEP
#
#   STEP   deploy, data, restart, replace, verify, destroy, all
#
#   all runs the steps in this order and leaves nothing behind, unless one fails.
set -euo pipefail
module=$(readlink -f "$(dirname "$(readlink -f "$0")")/../gce")

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }
die() {
    printf 'failed: %s\nnext: %s\n' "$1" "$2" >&2
    exit 1
}

case ${1:-} in
deploy | data | restart | replace | verify | destroy | all) ;;
-h | --help) usage && exit 0 ;;
*) die "unknown step: ${1:-none}" "accepted: deploy, data, restart, replace, verify, destroy, all" ;;
esac
for variable in PROJECT KEY DEB_URL DEB_SHA256; do
    [[ -n ${!variable:-} ]] || die "$variable is not set" "see $(dirname "$0")/README.md"
done
[[ -r $KEY && -r ${KEY%.pub} ]] || die "$KEY or its private key ${KEY%.pub} cannot be read" "set KEY to your .pub file"
for tool in terraform gcloud ssh curl; do
    command -v "$tool" >/dev/null || die "$tool is not installed" "install it and run this again"
done

REGION=${REGION:-us-central1} ZONE=${ZONE:-${REGION:-us-central1}-a} NAME=${NAME:-ctn-try}
STORAGE_DRIVER=${STORAGE_DRIVER:-zfs} WORK=${WORK:-$PWD/containarium-cloud-test}
server=$NAME-1
here=(--project="$PROJECT" --zone="$ZONE")
mkdir -p "$WORK/gce"
export TF_IN_AUTOMATION=1

# ---- what the steps are made of ----------------------------------------------------------------------------------

terraform_here() { # terraform_here VERB OPTIONS...: in this run's own copy, with its variables and state
    terraform -chdir="$WORK/gce" "$@"
}

write_variables() {
    local own
    own=$(curl -4 -fsS https://ifconfig.me/ip) || die "your own address could not be found out" "is the internet in reach?"
    cat >"$WORK/gce/terraform.tfvars" <<VARS
project_id         = "$PROJECT"
region             = "$REGION"
zones              = ["$ZONE"]
name               = "$NAME"
machine_type       = "e2-standard-2"
spot               = true
data_disk_gb       = 50
storage_driver     = "$STORAGE_DRIVER"
admin_ranges       = ["$own/32"]
user_ranges        = ["$own/32"]
gateway_admins     = { tester = "$(cat "$KEY")" }
install            = { deb_url = "$DEB_URL", sha256 = "$DEB_SHA256" }
box                = { disk = "5GB", memory = "1GB" }
VARS
}

address() { terraform_here output -json servers | sed -n 's/.*"address":"\([0-9.]*\)".*/\1/p'; }

gateway() { # gateway USER COMMAND...: only with the host key that was seen first
    ssh -i "${KEY%.pub}" -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=10 -o HostKeyAlias=gateway \
        -o StrictHostKeyChecking=accept-new -o "UserKnownHostsFile=$WORK/known_hosts" "$1@$(address)" "${@:2}"
}

state_of() {
    gcloud compute instances get-guest-attributes "$server" "${here[@]}" --query-path=containarium/state \
        --format='value(value)' 2>/dev/null
}
status_of() { gcloud compute instances describe "$server" "${here[@]}" --format='value(status)' 2>/dev/null; }

# wait_until SECONDS WHAT COMMAND...
wait_until() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < end)) || die "waited in vain until $what" "read the serial console, see README.md"
        sleep 10
    done
}

# Of this start, not of the one before: the state outlives a stop.
ready_since() { # ready_since UNIX-TIME
    local state moment
    state=$(state_of)
    moment=${state#ready: since }
    case $state in
    failed:*) die "$state" "read the serial console, see README.md" ;;
    "ready: since "*) (($(date -d "${moment%%,*}" +%s) >= $1)) ;;
    *) return 1 ;;
    esac
}
is_running() { [[ $(status_of) == RUNNING ]]; }

# ---- steps -------------------------------------------------------------------------------------------------------

deploy() {
    local started
    started=$(date +%s)
    cp -r "$module/." "$WORK/gce"
    write_variables
    terraform_here init -input=false
    terraform_here apply -input=false -auto-approve
    wait_until 1800 "the server is ready" ready_since "$started"
    # A second plan has nothing to do.
    terraform_here plan -input=false -detailed-exitcode >/dev/null ||
        die "a second plan wants changes" "terraform plan says which"
}

data() {
    local word
    word=$(date +%s)
    gateway tester "echo $word >kept && sync"
    echo "$word" >"$WORK/word"
    gateway ctl audit verify
    # Boxes get no metadata: refused by the server's firewall.
    ! gateway tester curl -s --max-time 5 http://169.254.169.254/ || die "a box reaches the metadata service" "nft list ruleset"
}

# As hard as a preemption: no orderly end. Google starts a spot server again by itself never, our job does.
restart() {
    local started
    started=$(date +%s)
    gcloud compute instances simulate-maintenance-event "$server" "${here[@]}"
    wait_until 300 "the server was taken away" is_stopped
    wait_until 900 "the job has started it again" is_running
    wait_until 900 "the server is ready" ready_since "$started"
}
is_stopped() { [[ $(status_of) == TERMINATED ]]; }

replace() {
    local started
    started=$(date +%s)
    terraform_here apply -input=false -auto-approve \
        -replace="google_compute_instance.host[\"$server\"]"
    wait_until 1800 "the new server is ready" ready_since "$started"
}

verify() {
    [[ $(gateway tester cat kept) == "$(cat "$WORK/word")" ]] || die "the file in the box is not what was written" "ssh there and look"
    gateway ctl audit verify
    gateway ctl list
    # Terraform must refuse to take the disk.
    ! terraform_here plan -input=false -destroy >/dev/null 2>&1 ||
        die "terraform would delete the data disk" "is prevent_destroy still in hosts.tf?"
}

destroy() {
    local answer=yes snapshot
    if [[ -t 0 ]]; then
        printf 'Delete %s in %s with its disk and snapshots? Type yes: ' "$server" "$PROJECT"
        read -r answer
    fi
    [[ $answer == yes ]] || die "nothing was removed" "run this again and type yes"
    terraform_here state rm "google_compute_disk.data[\"$server\"]" || true
    terraform_here destroy -input=false -auto-approve
    gcloud compute disks delete "$server-data" "${here[@]}" --quiet
    while read -r snapshot; do
        gcloud compute snapshots delete "$snapshot" --project="$PROJECT" --quiet
    done < <(gcloud compute snapshots list --project="$PROJECT" --filter="sourceDisk~/$server-data\$" \
        --format='value(name)')
}

step() {
    printf '%s\n' "--- $1"
    "$1"
    printf 'ok: %s\n' "$1"
}

if [[ $1 == all ]]; then
    for name in deploy data restart verify replace verify destroy; do step "$name"; done
else
    step "$1"
fi
