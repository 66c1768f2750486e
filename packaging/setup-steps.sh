# shellcheck shell=bash
# shellcheck disable=SC2154 # port, host and their like are the sourcing script's
# Steps that packaging/quickstart.sh and packaging/setup.sh (containarium-setup) share. To be sourced after lib.sh, by a
# script that has set port, port_given, user, host, host_given, prefix, config, run_dir and log, and that defines
# remember WHAT PATH (what was made here) and logs_of PROGRAM (the end of its log, for people).

# ---- who is the first administrator ------------------------------------------------------------------------------

valid_name() {
    [[ $1 =~ ^[a-z][a-z0-9-]{0,30}$ && $1 != *- ]] || return 1
    case $1 in
    ctl | admin | root | join | system | gateway | containarium | default | warm-*) return 1 ;;
    esac
}

# Sets caller, caller_home and, unless it was given, user.
find_caller() {
    caller=${SUDO_USER:-root}
    caller_home=$(getent passwd "$caller" | cut -d : -f 6)
    [[ -n $caller_home ]] || die "user $caller has no entry in the password file" "run this from an ordinary account"
    if [[ -n $user ]]; then
        valid_name "$user" || die "--user $user: not a name an account can have" \
            "use small letters, digits and dashes, at most 31, starting with a letter; root, admin, ctl and such are taken"
    elif valid_name "$caller"; then
        user=$caller
    else
        user=dev
    fi
}

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

enrol() {
    local key code=0
    if ! key=$(find_key); then
        note "making an SSH key for $caller"
        as_caller mkdir -p -m 700 "$caller_home/.ssh"
        as_caller ssh-keygen -q -t ed25519 -N '' -f "$caller_home/.ssh/id_ed25519"
        key=$caller_home/.ssh/id_ed25519.pub
    fi
    note "$(ssh-keygen -l -f "$key")"
    # Conflict (5): the account is there from an earlier run.
    "$prefix/bin/containarium" create "$user" --role admin --lazy --ssh-key "$key" >"$log" 2>&1 </dev/null || code=$?
    if ((code == 5)); then
        code=0
        "$prefix/bin/containarium" keys add "$user" "$key" >"$log" 2>&1 </dev/null || code=$?
        ((code != 5)) || code=0
    fi
    if ((code != 0)); then
        cat "$log" >&2
        die "could not enrol $user" "try: sudo containarium create $user --role admin --lazy --ssh-key $key"
    fi
}

# ---- host keys and configuration ---------------------------------------------------------------------------------

make_host_keys() { # in a folder that is there
    local folder=/etc/containarium/hostkeys kind key bits
    for kind in ed25519 ecdsa rsa; do
        key=$folder/ssh_host_${kind}_key
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
    note "$(ssh-keygen -l -f "$folder/ssh_host_ed25519_key.pub")"
}

# set_key SECTION KEY VALUE: in the configuration; in place of the value there, else at the beginning of its section.
set_key() {
    awk -v section="[$1]" -v key="$2" -v line="$2 = $3" '
        FNR == 1 { inside = 0 }
        { inside = /^\[/ ? index($0, section) == 1 : inside; own = inside && $0 ~ "^" key " *=" }
        NR == FNR { known = known || own; there = there || inside; next }
        { print own ? line : $0 }
        /^\[/ && inside && !known { print line; known = 1 }
        END { if (!there) print "\n" section "\n" line }' "$config" "$config" >"$config.new"
    cat "$config.new" >"$config" # its owner and mode stay
    rm "$config.new"
}

get_key() { # get_key SECTION KEY
    awk -v section="[$1]" -v key="$2" '
        /^\[/ { inside = index($0, section) == 1 }
        inside && $0 ~ "^" key " *=" { sub(/^[^=]*= */, ""); sub(/ *(;.*)?$/, ""); print; exit }' "$config"
}

# What was asked for on the command line, and what is missing, goes in; everything else in the file is its owner's.
configure() {
    local found listen
    if [[ ! -e $config ]]; then
        remember file "$config"
        cat >"$config" <<CONF
# containarium's configuration, first written by its set-up. Yours to change.
# Every key with its default: containariumd --dump. Check a change: containariumd --check
CONF
    fi
    found=$(get_key control public_host)
    if [[ $host_given == no && -n $found ]]; then
        host=$found
    elif [[ -z $host ]]; then
        # The address this machine has towards the world; nothing is sent.
        host=$(ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p')
        host=${host:-127.0.0.1}
    fi
    found=$(get_key control public_port)
    [[ $port_given == yes || -z $found ]] || port=$found
    listen="0.0.0.0:$port [::]:$port"
    [[ -n $(get_key gateway listen) && $port_given == no ]] || set_key gateway listen "$listen"
    set_key control public_host "$host"
    set_key control public_port "$port"
    [[ ! -s /etc/containarium/incus/url ]] || set_key incus url "$(cat /etc/containarium/incus/url)"
    chmod 644 "$config"
    logged "$log" "mend $config (the lines above name file, line and key), then run this again" \
        "$prefix/sbin/containariumd" --config "$config" --check
    note "$config: NAME@$host, port $port"
}

# ---- start -------------------------------------------------------------------------------------------------------

control_answers() { [[ -S $run_dir/control.sock ]] && timeout 5 "$prefix/bin/containarium" list </dev/null; }
port_answers() { # sshd's greeting, from the port of this machine
    timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port && read -r line <&3 && [[ \$line == SSH-2.0-* ]]"
}

# The units are installed; the port is the administrator's, and so is the drop-in that says it.
start_with_systemd() {
    local drop_in=/etc/systemd/system/containarium-gateway.socket.d
    if ((port != 22)); then
        [[ -d $drop_in ]] || remember dir "$drop_in"
        mkdir -p "$drop_in"
        printf '# Written by the set-up of containarium (--port %s).\n[Socket]\nListenStream=\nListenStream=%s\nListenStream=%s\n' \
            "$port" "0.0.0.0:$port" "[::]:$port" >"$drop_in/port.conf"
    else
        rm -f "$drop_in/port.conf"
    fi
    systemctl daemon-reload
    logged "$log" "see: systemctl status containarium.target" systemctl enable containarium.target
    # The port may be another now; live connections go on by themselves.
    systemctl stop containarium.target containarium-gateway.socket
    logged "$log" "see: journalctl -u containariumd -u containarium-gateway; is port $port taken? (ss -ltnp)" \
        systemctl start containarium-gateway.socket containarium.target
}

show_log() { # show_log PROGRAM: why it does not answer
    logs_of "$1" >&2 || true
    die "$1 does not answer" "the lines above say why; after mending it run this again"
}

wait_until_answered() {
    wait_for 20 control_answers || show_log containariumd
    wait_for 20 port_answers || show_log containarium-gateway
}

say_ready() { # say_ready MILLISECONDS
    local ssh=ssh
    ((port == 22)) || ssh="ssh -p $port"
    printf '\nReady after %s s. Your box is made when you first log in:\n\n    %s %s@%s\n\n' \
        "$(seconds "$1")" "$ssh" "$user" "$host"
    printf 'Administer it with:  sudo containarium help   (or: %s ctl@%s help)\n' "$ssh" "$host"
}
