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

control_answers() { [[ -S $run_dir/control.sock ]] && timeout 5 "$prefix/bin/containarium" list </dev/null; }
port_answers() { # sshd's greeting, from the port of this machine
    timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port && read -r line <&3 && [[ \$line == SSH-2.0-* ]]"
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

start_with_systemd() {
    local unit
    for unit in containariumd.service containarium-gateway.service containarium-gateway.socket; do
        sed "s#@sbindir@#$prefix/sbin#; s#@port@#$port#" "systemd/$unit.in" >"/etc/systemd/system/$unit"
        remember "file /etc/systemd/system/$unit"
    done
    systemctl daemon-reload
    logged "$log" "see: systemctl status containariumd containarium-gateway" \
        systemctl enable containariumd.service containarium-gateway.socket containarium-gateway.service
    # The socket cannot be restarted under its service; connections live on by themselves.
    systemctl stop containarium-gateway.service containarium-gateway.socket
    logged "$log" "see: journalctl -u containariumd" systemctl restart containariumd.service
    logged "$log" "see: journalctl -u containarium-gateway; is port $port taken? (ss -ltnp)" \
        systemctl start containarium-gateway.socket containarium-gateway.service
}

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

show_log() { # show_log PROGRAM: why it does not answer
    if has_systemd; then
        journalctl -u "$1" -n 15 --no-pager >&2 || true
        die "$1 does not answer" "the lines above say why; after mending it run this again"
    fi
    tail -n 15 "$log_dir/$1.log" >&2 || true
    die "$1 does not answer" "the lines above ($log_dir/$1.log) say why; after mending it run this again"
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
        systemctl disable --now containarium-gateway.service containarium-gateway.socket containariumd.service \
            >/dev/null 2>&1 || true
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

caller=${SUDO_USER:-root}
caller_home=$(getent passwd "$caller" | cut -d : -f 6)
[[ -n $caller_home ]] || die "user $caller has no entry in the password file" "run this from an ordinary account"

valid_name() {
    [[ $1 =~ ^[a-z][a-z0-9-]{0,30}$ && $1 != *- ]] || return 1
    case $1 in
    ctl | admin | root | join | system | gateway | containarium | default | warm-*) return 1 ;;
    esac
}
if [[ -n $user ]]; then
    valid_name "$user" || die "--user $user: not a name an account can have" \
        "use small letters, digits and dashes, at most 31, starting with a letter; root, admin, ctl and such are taken"
elif valid_name "$caller"; then
    user=$caller
else
    user=dev
fi

as_caller() { setpriv --reuid "$caller" --regid "$(id -g "$caller")" --init-groups env HOME="$caller_home" "$@"; }

find_key() { # prints the public key's file
    local kind file
    for kind in ed25519 ecdsa rsa; do
        file=$caller_home/.ssh/id_$kind.pub
        [[ -r $file ]] || continue
        if [[ $kind == rsa ]]; then
            (($(ssh-keygen -l -f "$file" | cut -d ' ' -f 1) >= 3072)) || continue
        fi
        echo "$file"
        return 0
    done
    return 1
}

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
    -DCMAKE_INSTALL_SYSCONFDIR=/etc -DCONTAINARIUM_LIBSSH_PREFIX="$CONTAINARIUM_CACHE/libssh"
logged "$log" "the last lines above say what is wrong; the log has the rest" cmake --build "$build" -j "$(nproc)"

step "Install programs to $prefix"
logged "$log" "is $prefix writable?" cmake --install "$build" --strip
while read -r file; do remember "file $file"; done <"$build/install_manifest.txt"

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
host_keys=/etc/containarium/hostkeys
make_dir "$host_keys" 755 containarium-gateway
for kind in ed25519 ecdsa rsa; do
    key=$host_keys/ssh_host_${kind}_key
    if [[ ! -s $key ]]; then
        bits=()
        [[ $kind != rsa ]] || bits=(-b 3072)
        rm -f "$key.new" "$key.new.pub"
        ssh-keygen -q -t "$kind" "${bits[@]}" -N '' -C "containarium gateway" -f "$key.new"
        mv "$key.new.pub" "$key.pub"
        mv "$key.new" "$key"
    fi
    chown containarium-gateway:containarium-gateway "$key" "$key.pub"
    chmod 600 "$key"
    chmod 644 "$key.pub"
done
note "$(ssh-keygen -l -f "$host_keys/ssh_host_ed25519_key.pub")"

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
if [[ -z $host ]]; then
    # The address this machine has towards the world; nothing is sent.
    host=$(ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p')
    host=${host:-127.0.0.1}
fi
listen="0.0.0.0:$port [::]:$port"
if [[ ! -e $config ]]; then
    remember "file $config"
    cat >"$config" <<CONF
# containarium's configuration, first written by packaging/quickstart.sh. Yours to change.
# Every key with its default: containariumd --dump. Check a change: containariumd --check

[gateway]
listen = $listen

[control]
public_host = $host
public_port = $port

[incus]
url = $(cat /etc/containarium/incus/url)

[log]
level = info
CONF
    note "wrote $config"
else
    # What was asked for on the command line is carried over; everything else in the file is its owner's.
    if [[ $port_given == yes ]]; then
        sed -i "s#^listen *=.*#listen = $listen#; s#^public_port *=.*#public_port = $port#" "$config"
    else
        found=$(sed -n 's/^public_port *= *\([0-9]*\).*/\1/p' "$config")
        port=${found:-$port}
    fi
    if [[ $host_given == yes ]]; then
        sed -i "s#^public_host *=.*#public_host = $host#" "$config"
    else
        found=$(sed -n 's/^public_host *= *\([^ ]*\).*/\1/p' "$config")
        host=${found:-$host}
    fi
    sed -i "s#^url *=.*#url = $(cat /etc/containarium/incus/url)#" "$config"
    note "kept $config"
fi
chmod 644 "$config"
logged "$log" "mend $config (the lines above name file, line and key), then run this again" \
    "$prefix/sbin/containariumd" --config "$config" --check

step "Start containariumd and containarium-gateway"
if daemons_current; then
    note "they run, with these programs and this configuration"
else
    rm -f "$state/running"
    if has_systemd; then start_with_systemd; else start_without_systemd; fi
fi
wait_for 20 control_answers || show_log containariumd
wait_for 20 port_answers || show_log containarium-gateway
running_hash >"$state/running"

step "Enrol $user, an administrator, with $caller's key"
if ! key=$(find_key); then
    note "making an SSH key for $caller"
    as_caller mkdir -p -m 700 "$caller_home/.ssh"
    as_caller ssh-keygen -q -t ed25519 -N '' -f "$caller_home/.ssh/id_ed25519"
    key=$caller_home/.ssh/id_ed25519.pub
fi
note "$(ssh-keygen -l -f "$key")"
# Conflict (5): the account is there from an earlier run.
code=0
"$prefix/bin/containarium" create "$user" --role admin --lazy --ssh-key "$key" >"$log" 2>&1 </dev/null || code=$?
if ((code == 5)); then
    code=0
    "$prefix/bin/containarium" keys add "$user" --ssh-key "$key" >"$log" 2>&1 </dev/null || code=$?
    ((code != 5)) || code=0
fi
if ((code != 0)); then
    cat "$log" >&2
    die "could not enrol $user" "try: sudo containarium create $user --role admin --lazy --ssh-key $key"
fi
step_end

printf '\nReady after %s s. Your box is made when you first log in:\n\n    ssh -p %s %s@%s\n\n' \
    "$(seconds "$(($(now_ms) - started))")" "$port" "$user" "$host"
printf 'Administer it with:  sudo containarium help   (or: ssh -p %s ctl@%s help)\n' "$port" "$host"
