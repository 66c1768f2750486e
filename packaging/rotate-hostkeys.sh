#!/bin/bash
# New host keys for the gateway without a frightened user: first made and announced, later put in force.
#
#   packaging/rotate-hostkeys.sh begin|show|finish|abort [--dir DIR] [--host NAME]... [--port PORT]
#
# begin   makes a new key beside each one that is there, as ssh_host_KIND_key.next; nothing changes for anybody, and
#         `containarium export` carries old and new from now on
# show    prints both as lines for known_hosts, for --host NAME (again for more) and --port
# finish  puts the new ones in force and keeps the old ones as ssh_host_KIND_key.old-TIME
# abort   removes the new ones
#
# --dir DIR  [gateway] host_key_dir, /etc/containarium/hostkeys unless said
#
# Between begin and finish every user needs the new lines; docs/operations.md says how they get them.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
. ./lib.sh

folder=/etc/containarium/hostkeys verb='' hosts=() port=22
while [[ $# -gt 0 ]]; do
    case $1 in
    --dir | --host | --port)
        [[ $# -ge 2 ]] || die "$1 needs a value" "see packaging/rotate-hostkeys.sh --help"
        case $1 in
        --dir) folder=${2%/} ;;
        --host) hosts+=("$2") ;;
        --port) port=$2 ;;
        esac
        shift 2
        ;;
    begin | show | finish | abort) verb=$1 && shift ;;
    -h | --help) sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "unknown argument: $1" "see packaging/rotate-hostkeys.sh --help" ;;
    esac
done
[[ -n $verb ]] || die "begin, show, finish or abort?" "see packaging/rotate-hostkeys.sh --help"
[[ $port =~ ^[0-9]{1,5}$ && $port -ge 1 && $port -le 65535 ]] || die "--port $port is no port" "use 1 to 65535"
[[ -d $folder ]] || die "there is no folder $folder" "name [gateway] host_key_dir with --dir"

present=() next=()
for kind in ed25519 ecdsa rsa; do
    [[ ! -e $folder/ssh_host_${kind}_key ]] || present+=("$kind")
    [[ ! -e $folder/ssh_host_${kind}_key.next ]] || next+=("$kind")
done
[[ ${#present[@]} -gt 0 ]] || die "there is no host key in $folder" "name [gateway] host_key_dir with --dir"

show() {
    local kind file host
    for kind in "${present[@]}"; do
        for file in "$folder/ssh_host_${kind}_key" "$folder/ssh_host_${kind}_key.next"; do
            [[ -e $file.pub ]] || continue
            for host in "${hosts[@]:-$(hostname -f)}"; do
                [[ $port -eq 22 ]] || host="[$host]:$port"
                printf '%s %s\n' "$host" "$(cut -d ' ' -f 1,2 "$file.pub")"
            done
        done
    done
}

make_key() { # make_key KIND: whole before it has its name, owned like the one it will replace
    local now=$folder/ssh_host_$1_key bits=()
    [[ $1 != rsa ]] || bits=(-b 3072)
    rm -f "$now.making" "$now.making.pub"
    ssh-keygen -q -t "$1" "${bits[@]}" -N '' -C "$(hostname)" -f "$now.making"
    chown --reference="$now" "$now.making" "$now.making.pub"
    mv "$now.making.pub" "$now.next.pub"
    mv "$now.making" "$now.next"
}

need_next() {
    [[ ${#next[@]} -gt 0 ]] || die "nothing was begun in $folder" "packaging/rotate-hostkeys.sh begin"
}

case $verb in
begin)
    [[ ${#next[@]} -eq 0 ]] || die "there are new keys already: ${next[*]}" "show, finish or abort"
    for kind in "${present[@]}"; do make_key "$kind"; done
    show
    ;;
show) show ;;
finish)
    need_next
    when=$(date -u +%Y%m%dT%H%M%SZ)
    for kind in "${next[@]}"; do
        now=$folder/ssh_host_${kind}_key
        # The old one keeps its name until the new one takes it: a gateway that starts now finds a key.
        ln "$now" "$now.old-$when"
        ln "$now.pub" "$now.old-$when.pub"
        mv -f "$now.next" "$now"
        mv -f "$now.next.pub" "$now.pub"
    done
    if [[ -d /run/systemd/system ]] && systemctl is-active --quiet containarium-gateway.service; then
        systemctl reload containarium-gateway.service
        note "in force; live connections go on"
    else
        note "in force once the gateway was sent SIGHUP; live connections go on"
    fi
    ;;
abort)
    need_next
    for kind in "${next[@]}"; do rm -f "$folder/ssh_host_${kind}_key.next" "$folder/ssh_host_${kind}_key.next.pub"; done
    ;;
esac
