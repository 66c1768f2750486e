#!/bin/bash
# From an empty Debian machine to `ssh NAME@HOST` landing in NAME's own box.
#
#   sudo packaging/quickstart.sh [options]
#
#   --port N        (2222) where the gateway listens
#   --user NAME     (you) the first account, an administrator; your SSH key is enrolled, one is made if you have none
#   --host HOST     (this machine's address) what users type after the @
#   --no-docker     boxes without Docker
#   --prefix DIR    (/usr/local) where the programs go
#   --down          stop it and remove what it made: boxes, accounts, Incus project, network and pool, users, programs.
#                   Asks first on a terminal; --force does not. Packages and the cache of built things stay.
#
# Safe to repeat: each step looks at what is there. A run after a change of the sources builds, installs and restarts.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
. ./lib.sh
. ./setup-steps.sh

port=2222 port_given=no user='' host='' host_given=no docker=yes prefix=/usr/local down=no force=no
while [[ $# -gt 0 ]]; do
    case $1 in
    --port | --user | --host | --prefix)
        [[ $# -ge 2 ]] || die "$1 needs a value" "see packaging/quickstart.sh --help"
        case $1 in
        --port) port=$2 port_given=yes ;;
        --user) user=$2 ;;
        --host) host=$2 host_given=yes ;;
        --prefix) prefix=$2 ;;
        esac
        shift 2
        ;;
    --no-docker) docker=no && shift ;;
    --down) down=yes && shift ;;
    --force) force=yes && shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "unknown argument: $1" "see packaging/quickstart.sh --help" ;;
    esac
done
need_root packaging/quickstart.sh
[[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || die "--port $port: a number from 1 to 65535 is needed" ""
[[ $prefix == /* ]] || die "--prefix $prefix: an absolute path is needed" ""

source_dir=$(dirname "$PWD")
state=/var/lib/containarium-quickstart # what this script made, so that --down removes that and nothing else
made=$state/made
build=$(build_folder release "$source_dir")
config=/etc/containarium/containarium.conf
run_dir=/run/containarium
log_dir=/var/log/containarium
log=$CONTAINARIUM_CACHE/log/quickstart.log
started=$(now_ms)

remember() { grep -qxF "$*" "$made" 2>/dev/null || echo "$*" >>"$made"; }
made_here() { grep -qxF "$*" "$made" 2>/dev/null; }

# ---- daemons -------------------------------------------------------------------------------------------------

pid_of() { # pid_of PROGRAM: of the daemon this script started, if it lives
    local pid
    pid=$(cat "$run_dir/$1.pid" 2>/dev/null) || return 1
    [[ $pid =~ ^[0-9]+$ ]] || return 1
    # The file alone proves nothing: the number may belong to another by now. " (deleted)": replaced by an upgrade.
    case $(readlink "/proc/$pid/exe" 2>/dev/null) in
    */"$1" | */"$1 (deleted)") echo "$pid" ;;
    *) return 1 ;;
    esac
}

stop_daemon() {
    local pid
    pid=$(pid_of "$1") || { rm -f "$run_dir/$1.pid" && return 0; }
    kill "$pid"
    if ! wait_for 90 process_gone "$pid"; then
        warn "$1 (pid $pid) did not stop within 90 s; it is killed"
        kill -9 "$pid"
        wait_for 5 process_gone "$pid" || true
    fi
    rm -f "$run_dir/$1.pid"
}

start_daemon() { # start_daemon PROGRAM USER
    local program=$1 as=$2 rights bind=-all,+net_bind_service
    rights=(--inh-caps=-all --bounding-set=-all)
    # Without a service manager that opens it, a low port needs this one right.
    if [[ $program == containarium-gateway ]] && ((port < 1024)); then
        rights=("--inh-caps=$bind" "--ambient-caps=$bind" "--bounding-set=$bind")
    fi
    install -d -m 755 "$log_dir"
    (
        ulimit -n 65536 2>/dev/null || true
        exec setsid setpriv --reuid "$as" --regid "$as" --init-groups "${rights[@]}" --no-new-privs \
            "$prefix/sbin/$program" --config "$config" >>"$log_dir/$program.log" 2>&1 </dev/null
    ) &
    echo $! >"$run_dir/$program.pid"
}

daemons_current() { # running, and with these programs and this configuration
    [[ $(cat "$state/running" 2>/dev/null) == "$(running_hash)" ]] || return 1
    if has_systemd; then
        systemctl -q is-active containariumd.service containarium-gateway.service
    else
        pid_of containariumd >/dev/null && pid_of containarium-gateway >/dev/null
    fi
}
running_hash() { contents_hash "$prefix/sbin/containariumd" "$prefix/sbin/containarium-gateway" "$config"; }

start_without_systemd() {
    stop_daemon containarium-gateway
    stop_daemon containariumd
    ! port_taken || die "port $port is taken by another program" "see: ss -ltnp 'sport = :$port'; or choose --port N"
    install -d -m 755 -o containarium -g containarium "$run_dir"
    remember "dir $run_dir"
    start_daemon containariumd containarium
    wait_for 20 test -S "$run_dir/gateway.sock" || show_log containariumd
    start_daemon containarium-gateway containarium-gateway
}

port_taken() { [[ -n $(ss -Hltn "sport = :$port" 2>/dev/null) ]]; }

logs_of() {
    if has_systemd; then
        journalctl -u "$1" -n 15 --no-pager
    else
        tail -n 15 "$log_dir/$1.log"
        echo "(all of it: $log_dir/$1.log)"
    fi
}

# ---- removal -------------------------------------------------------------------------------------------------

take_down() {
    if [[ ! -e $made ]]; then
        echo "nothing to remove: this script has set up nothing here (no $made)"
        return 0
    fi
    prefix=$(sed -n 's/^prefix //p' "$made" | tail -n 1)
    prefix=${prefix:-/usr/local}
    if [[ -t 0 && $force == no ]]; then
        local answer=
        printf 'This deletes every box and account of containarium on this machine. Type yes to go on: '
        read -r answer
        [[ $answer == yes ]] || die "nothing was removed" ""
    fi
    step "Stop the daemons"
    if has_systemd; then
        systemctl disable --now containarium.target >/dev/null 2>&1 || true
    fi
    stop_daemon containarium-gateway
    stop_daemon containariumd
    local account pid what path
    for account in containarium-gateway containarium; do
        made_here "user $account" || continue
        # Connections that outlived the listener. By their user, which is ours alone.
        for pid in $(pgrep -u "$account" 2>/dev/null); do kill "$pid" 2>/dev/null || true; done
    done

    step "Remove boxes, project, network and pool from Incus"
    if made_here image && incus_in_reach; then ./image.sh --down; fi
    if made_here incus; then ./incus-setup.sh --down; fi

    step "Remove users, programs and folders"
    while read -r what path; do
        case $what in
        file) rm -f "$path" ;;
        dir) rm -rf "$path" ;;
        emptydir) rmdir --ignore-fail-on-non-empty "$path" 2>/dev/null || true ;;
        user) userdel "$path" 2>/dev/null || true ;;
        group) groupdel "$path" 2>/dev/null || true ;;
        esac
    done < <(tac "$made")
    if has_systemd; then systemctl daemon-reload; fi
    rm -rf "$state"
    step_end
    note "kept: the packages, $CONTAINARIUM_CACHE (built things; rm -rf it if you want the room), and SSH keys"
}

incus_in_reach() { (private_incus_client && incus_answers); }

if [[ $down == yes ]]; then
    take_down
    exit 0
fi

# ---- who -----------------------------------------------------------------------------------------------------

find_caller

# ---- the way up ----------------------------------------------------------------------------------------------

mkdir -p "$state" "$(dirname "$log")"
remember "prefix $prefix"

step "Install packages"
./deps.sh

step "Get libssh"
./libssh.sh

step "Build"
logged "$log" "the last lines above say what is wrong; the log has the rest" \
    cmake -S "$source_dir" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$prefix" \
    -DCMAKE_INSTALL_SYSCONFDIR=/etc -DBUILD_TESTING=OFF -DCONTAINARIUM_LIBSSH_PREFIX="$CONTAINARIUM_CACHE/libssh"
logged "$log" "the last lines above say what is wrong; the log has the rest" cmake --build "$build" -j "$(nproc)"

step "Install programs to $prefix"
logged "$log" "is $prefix writable?" cmake --install "$build" --strip
while read -r file || [[ -n $file ]]; do remember "file $file"; done <"$build/install_manifest.txt" # no last newline
remember dir "$prefix/share/containarium"

step "Make users and folders"
if ! getent group containarium-admin >/dev/null; then
    groupadd --system containarium-admin
    remember "group containarium-admin"
fi
make_user() { # make_user NAME HOME
    getent passwd "$1" >/dev/null && return 0
    useradd --system --user-group --no-create-home --home-dir "$2" --shell /usr/sbin/nologin "$1"
    remember "user $1"
}
make_user containarium /var/lib/containarium
make_user containarium-gateway /nonexistent
make_dir() { # make_dir PATH MODE OWNER
    [[ -d $1 ]] || remember "dir $1"
    install -d -m "$2" -o "$3" -g "$3" "$1"
}
make_dir /etc/containarium 755 root
make_dir /var/lib/containarium 700 containarium
make_dir "$run_dir" 755 containarium
has_systemd || make_dir "$log_dir" 755 root

step "Make the gateway's host keys"
make_dir /etc/containarium/hostkeys 755 containarium-gateway
make_host_keys

step "Set up Incus"
remember incus
./incus-setup.sh --owner containarium

step "Make the box image"
image_options=()
[[ $docker == yes ]] || image_options=(--no-docker)
(private_incus_client && incus image info local:containarium-box --project default >/dev/null 2>&1) || remember image
./image.sh "${image_options[@]}"

step "Check that a box made from it comes up"
./check-box.sh --brief

step "Write the configuration"
configure

step "Start containariumd and containarium-gateway"
if daemons_current; then
    note "they run, with these programs and this configuration"
else
    rm -f "$state/running"
    if has_systemd; then start_with_systemd; else start_without_systemd; fi
fi
wait_until_answered
running_hash >"$state/running"

step "Enrol $user, an administrator, with $caller's key"
enrol
step_end
say_ready "$(($(now_ms) - started))"
