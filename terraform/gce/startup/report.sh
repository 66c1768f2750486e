# shellcheck shell=bash
# Saying what happens: to the log (the serial console and the journal have it), to a file, and to the metadata server,
# where `gcloud compute instances get-guest-attributes` reads it without a login. States: working: STEP, ready: ...,
# failed: STEP: WHY.

RUN_DIR=/run/containarium-startup
GUEST_ATTRIBUTES=http://169.254.169.254/computeMetadata/v1/instance/guest-attributes/containarium/state

# With the seconds since this run began.
say() { printf 'containarium-startup: %3d s  %s\n' "$SECONDS" "$*"; }

report() { # report STATE: a place where it cannot be said is no reason to stop
    say "$1"
    printf '%s\n' "$1" >"$RUN_DIR/state"
    curl --silent --output /dev/null --max-time 2 --request PUT --header 'Metadata-Flavor: Google' \
        --data "$1" "$GUEST_ATTRIBUTES" || true
}

step() { # step NAME: what a failure from here on is called
    current_step=$1
    report "working: $1"
}

# refuse WHY WHAT-TO-DO: for what a person has to decide.
refuse() {
    say "refused: $1" >&2
    say "next: $2" >&2
    failure=$1
    exit 1
}

on_exit() { # on_exit CODE
    [[ $1 -eq 0 ]] || report "failed: ${current_step:-start}: ${failure:-the lines above say why} (exit code $1)"
}

wait_for() { # wait_for SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.5
    done
}
