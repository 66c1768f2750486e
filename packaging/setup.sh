#!/bin/bash
# containarium-setup: from installed programs (the Debian package, or cmake --install) to the first login. Needs systemd.
#
#   sudo containarium-setup [options]
#
#   --port N        (22) where the gateway listens; the host's own sshd must be elsewhere
#   --user NAME     (you) the first account, an administrator; your SSH key is enrolled, one is made if you have none
#   --host HOST     (this machine's address) what users type after the @
#   --no-docker     boxes without Docker
#   --no-boxes      without Incus: users get machines that exist (containarium create NAME --static ADDRESS)
#   --down          stop it and remove boxes, project, network, pool and image from Incus. Asks first on a terminal;
#                   --force does not. The package, the configuration and the database stay
#
# Makes the host keys, sets up Incus (project, network, pool, certificate), makes the box image, writes the few keys of
# the configuration that this machine decides, starts the daemons. Safe to repeat: each step looks at what is there.
# In the source tree this is packaging/setup.sh; packaging/quickstart.sh also builds and installs.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
. ./lib.sh
. ./setup-steps.sh

port=22 port_given=no user='' host='' host_given=no docker=yes boxes=yes down=no force=no
while [[ $# -gt 0 ]]; do
    case $1 in
    --port | --user | --host)
        [[ $# -ge 2 ]] || die "$1 needs a value" "see containarium-setup --help"
        case $1 in
        --port) port=$2 port_given=yes ;;
        --user) user=$2 ;;
        --host) host=$2 host_given=yes ;;
        esac
        shift 2
        ;;
    --no-docker) docker=no && shift ;;
    --no-boxes) boxes=no && shift ;;
    --down) down=yes && shift ;;
    --force) force=yes && shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "unknown argument: $1" "see containarium-setup --help" ;;
    esac
done
need_root containarium-setup
[[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || die "--port $port: a number from 1 to 65535 is needed" ""

prefix=$(dirname "$(dirname "$PWD")")
config=/etc/containarium/containarium.conf
run_dir=/run/containarium
log=/var/log/containarium-setup.log
started=$(now_ms)
remember() { :; } # the package knows what it installed
logs_of() { journalctl -u "$1" -n 15 --no-pager; }

take_down() {
    local answer=
    if [[ -t 0 && $force == no ]]; then
        printf 'This deletes every box on this machine. Type yes to go on: '
        read -r answer
        [[ $answer == yes ]] || die "nothing was removed" ""
    fi
    step "Stop the daemons"
    systemctl disable --now containarium.target
    step "Remove boxes, project, network and pool from Incus"
    if (private_incus_client && incus_answers); then ./image.sh --down; fi
    ./incus-setup.sh --down
    step_end
    note "kept: accounts and audit trail (/var/lib/containarium), configuration and host keys (/etc/containarium)"
}

check_port() {
    [[ -z $(ss -Hltn "sport = :$port") ]] || systemctl -q is-active containarium-gateway.socket ||
        die "port $port is taken: $(ss -Hltnp "sport = :$port" | head -n 1)" \
            "move the host's own sshd (echo Port 2200 > /etc/ssh/sshd_config.d/port.conf; systemctl restart ssh; log in there before you close this one), or choose --port N"
}

check_incus() {
    if ! have incus || [[ ! -x $(incus_daemon) ]]; then
        die "Incus is not installed" "install it (apt install incus; on Debian 12 from backports), or use --no-boxes"
    fi
}

[[ -x $prefix/sbin/containariumd ]] || die "there is no $prefix/sbin/containariumd: this is not an installed set-up" \
    "from the sources use packaging/quickstart.sh"
has_systemd || die "systemd does not run here" "from the sources, packaging/quickstart.sh works without it"
if [[ $down == yes ]]; then
    take_down
    exit 0
fi
find_caller
[[ $boxes == no ]] || check_incus
[[ $port_given == yes || ! -e $config || -z $(get_key control public_port) ]] || port=$(get_key control public_port)
check_port

step "Make users, folders and the gateway's host keys"
logged "$log" "see systemd-sysusers(8)" systemd-sysusers "$prefix/lib/sysusers.d/containarium.conf"
logged "$log" "see systemd-tmpfiles(8)" systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/containarium.conf"
make_host_keys
if [[ $boxes == yes ]]; then
    step "Set up Incus"
    ./incus-setup.sh --owner containarium
    step "Make the box image"
    image_options=()
    [[ $docker == yes ]] || image_options=(--no-docker)
    ./image.sh "${image_options[@]}"
    step "Check that a box made from it comes up"
    ./check-box.sh --brief
fi
step "Write the configuration"
configure
step "Start containariumd and containarium-gateway"
start_with_systemd
wait_until_answered
step "Enrol $user, an administrator, with $caller's key"
enrol
step_end
say_ready "$(($(now_ms) - started))"
