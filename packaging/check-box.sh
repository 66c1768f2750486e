#!/bin/bash
# Makes two boxes from the image, as the control plane would, and checks what users rely on. Leaves nothing.
#
#   packaging/check-box.sh [--project NAME] [--network NAME] [--alias IMAGE] [--brief]
#
# --brief: only that a box boots, gets its address and answers.
# Checks: owner, keys, sudo, host keys and machine id of each box's own; limits and quota; name look-up; what a box
# may not reach (the host's ports, the metadata address, the other box); a first boot that was killed halfway;
# times of start, freeze and unfreeze until sshd answers. One line a check; exit code 1 when one fails.
# shellcheck disable=SC2016 # what stands in single quotes runs in a box
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
. ./lib.sh

project=containarium network=ctnbr0 image=containarium-box brief=no
while [[ $# -gt 0 ]]; do
    case $1 in
    --project) project=$2 && shift 2 ;;
    --network) network=$2 && shift 2 ;;
    --alias) image=$2 && shift 2 ;;
    --brief) brief=yes && shift ;;
    -h | --help) sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "unknown argument: $1" "see packaging/check-box.sh --help" ;;
    esac
done
need_root packaging/check-box.sh
private_incus_client
incus_answers || die "Incus does not answer" "run packaging/incus-setup.sh first"

bridge=$(incus network get "$network" ipv4.address)
bridge=${bridge%/*}
# The last addresses of the bridge's first /24 part: the control plane hands out from the first on.
first=${bridge%.*}.252 second=${bridge%.*}.253
one=check-one two=check-two user=checker
work=$(mktemp -d)
listener=
delete_boxes() { # one by one: a name that is not there ends the command
    incus delete --force --project "$project" "$one" >/dev/null 2>&1 || true
    incus delete --force --project "$project" "$two" >/dev/null 2>&1 || true
}
cleanup() {
    delete_boxes
    [[ -z $listener ]] || kill "$listener" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
delete_boxes
ssh-keygen -q -t ed25519 -N '' -C owner -f "$work/owner"
ssh-keygen -q -t ed25519 -N '' -C gateway -f "$work/gateway"

failures=0
check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        echo "ok    $what"
    else
        echo "FAIL  $what"
        sed 's/^/      /' "$work/output" | tail -n 5
        failures=$((failures + 1))
    fi
}
in_box() { incus exec --project "$project" "$1" -- sh -c "$2"; }
push() { incus file push --project "$project" --uid 0 --gid 0 --mode 0644 "$1" "$2" >/dev/null; }

create() { # create NAME ADDRESS
    incus create --project "$project" "local:$image" "$1" -c security.nesting=true -c security.idmap.isolated=true \
        -c limits.cpu=1 -c limits.memory=512MiB -d root,size=2GiB -d "eth0,ipv4.address=$2" >/dev/null </dev/null
    echo "$user" >"$work/user"
    push "$work/user" "$1/etc/containarium/user"
    push "$work/owner.pub" "$1/etc/containarium/user_keys"
    push "$work/gateway.pub" "$1/etc/containarium/authorized_keys"
}

login() { # login KEY ADDRESS COMMAND...
    local key=$1 address=$2
    shift 2
    ssh -i "$work/$key" -F none -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o "UserKnownHostsFile=$work/known" \
        -o BatchMode=yes -o LogLevel=ERROR -o ConnectTimeout=5 "$user@$address" "$@" </dev/null
}

answers() { # sshd's greeting
    local line
    exec 3<>"/dev/tcp/$1/22" || return 1
    read -r -t 1 line <&3
    exec 3>&-
    [[ $line == SSH-2.0-* ]]
}
wait_answers() {
    local end=$(($(now_ms) + 20000))
    # Short attempts: a SYN sent before the box is up would be repeated only after a second.
    until timeout 0.1 bash -c "$(declare -f answers); answers $1" 2>/dev/null; do
        (($(now_ms) < end)) || return 1
        sleep 0.01
    done
}
timed() { # timed WHAT ADDRESS VERB
    local start called
    start=$(now_ms)
    incus "$3" --project "$project" "$one" </dev/null
    called=$(now_ms)
    wait_answers "$2"
    echo "time  $1: incus $3 $((called - start)) ms, sshd answers $(($(now_ms) - called)) ms later"
}

start=$(now_ms)
create "$one" "$first"
echo "time  create with its three files: $(($(now_ms) - start)) ms"
if [[ $brief == yes ]]; then
    incus start --project "$project" "$one"
    wait_answers "$first" || die "a box started, but its sshd did not answer at $first within 20 s" \
        "does this host's own firewall drop what comes from $network? Boxes need DHCP (udp 67) and DNS (port 53) of the host"
    check "a box boots and lets its owner in" login owner "$first" true
    exit "$failures"
fi
timed "first boot" "$first" start
create "$two" "$second"
# Killed in its middle, with half of it done; then the box is started again.
push_program() { incus file push --project "$project" --uid 0 --gid 0 --mode 0755 "$1" "$2" >/dev/null; }
printf '#!/bin/sh\nkill -9 $PPID\n' >"$work/killer"
push_program "$work/killer" "$two/usr/local/sbin/useradd"
incus start --project "$project" "$two"
wait_for 10 in_box "$two" 'test -s /etc/ssh/ssh_host_ecdsa_key' || true
incus stop --force --project "$project" "$two"
incus file delete --project "$project" "$two/usr/local/sbin/useradd"
incus start --project "$project" "$two"
check "a first boot that was cut off is completed by the next" wait_answers "$second"
check "its marker is there" wait_for 5 in_box "$two" 'test -e /var/lib/containarium/firstboot.done'

check "the owner's key opens it" login owner "$first" true
check "the gateway's key opens it" login gateway "$first" true
check "the owner's key opens the other, once it is mended" login owner "$second" true
no_password() {
    ! ssh -F none -o PubkeyAuthentication=no -o BatchMode=yes -o StrictHostKeyChecking=no \
        -o "UserKnownHostsFile=$work/known" "$user@$1" true >"$work/denied" 2>&1 </dev/null &&
        grep -qF 'Permission denied (publickey).' "$work/denied"
}
check "keys only, no passwords" no_password "$first"
check "sudo without a password" login owner "$first" 'test "$(sudo -n id -u)" = 0'
check "tools are there" login owner "$first" 'for t in git curl rsync tmux python3 vi less; do command -v $t; done'
check "rights of the owner's files" login owner "$first" \
    'test "$(stat -c %a:%U ~/.ssh ~/.ssh/authorized_keys | tr "\n" " ")" = "700:checker 600:checker "'
check "keys stand between the markers" login owner "$first" \
    'head -n 1 ~/.ssh/authorized_keys | grep -q "^# containarium: managed keys" &&
     tail -n 1 ~/.ssh/authorized_keys | grep -q "^# containarium: end"'
quiet() { [[ $(login owner "$1" 'echo x' 2>&1) == x ]]; }
check "nothing but the command's own output" quiet "$first"
check "host keys differ from box to box" bash -c "! diff <(ssh-keyscan $first 2>/dev/null | cut -d ' ' -f 2- | sort) \
    <(ssh-keyscan $second 2>/dev/null | cut -d ' ' -f 2- | sort)"
check "machine ids differ" test "$(in_box "$one" 'cat /etc/machine-id')" != "$(in_box "$two" 'cat /etc/machine-id')"
check "no unit failed" bash -c "[[ -z \$(incus exec --project $project $one -- systemctl --failed -q) ]]"
check "unprivileged, in an id map of its own" bash -c "
    a=\$(incus exec --project $project $one -- cat /proc/self/uid_map | tr -s ' ')
    b=\$(incus exec --project $project $two -- cat /proc/self/uid_map | tr -s ' ')
    [[ \$a != \"\$b\" && \$(echo \$a | cut -d ' ' -f 2) != 0 ]]"
check "memory limit is visible inside" login owner "$first" 'test "$(free -m | awk "/Mem:/ { print \$2 }")" -le 512'
check "core limit is visible inside" login owner "$first" 'test "$(nproc)" = 1'
check "disk quota holds" login owner "$first" '! dd if=/dev/zero of=big bs=1M count=3000 2>/dev/shm/err; rm -f big; grep -qi "quota\|space" /dev/shm/err'
check "the host's name server answers" login owner "$first" \
    "python3 -c \"import socket;s=socket.socket(2,2);s.settimeout(5);s.sendto(b'\\\\x12\\\\x34\\\\1\\\\0\\\\0\\\\1\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\\\\7invalid\\\\0\\\\0\\\\1\\\\0\\\\1',('$bridge',53));s.recv(512)\""

check "and the box knows it" login owner "$first" "grep -qx 'nameserver $bridge' /etc/resolv.conf"

# What must not be reached. A port that listens, so that silence means the firewall and not an empty port.
host_address=$(ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([^ ]*\).*/\1/p')
python3 -c "
import socket,sys
s=socket.create_server(('',0)); print(s.getsockname()[1],flush=True)
while True: s.accept()[0].close()" >"$work/port" 2>/dev/null &
listener=$!
wait_for 5 test -s "$work/port"
port=$(cat "$work/port")
unreached() { login owner "$1" "! timeout 2 bash -c 'exec 3<>/dev/tcp/$2/$3' 2>/dev/null"; }
check "the listener of this test is there" bash -c "exec 3<>/dev/tcp/$bridge/$port"
check "a port of the host on the bridge is out of reach" unreached "$first" "$bridge" "$port"
check "a port of the host on its own address is out of reach" unreached "$first" "${host_address:-$bridge}" "$port"
check "the metadata address is out of reach" unreached "$first" 169.254.169.254 80
check "the other box is out of reach" unreached "$first" "$second" 22
# Around the switch's isolation: by way of the bridge's own address.
in_box "$one" "ip route add $second/32 via $bridge" || true
check "the other box is out of reach by way of the host, too" unreached "$first" "$second" 22
in_box "$one" "ip route del $second/32" || true
in_box "$one" "ip address add $second/20 dev eth0; ip address del $first/20 dev eth0; ip route replace default via $bridge" || true
check "another box's address cannot be taken" bash -c "! incus exec --project $project $one -- ping -c 1 -W 1 $bridge"
incus restart --project "$project" --force "$one"
check "its own address is back after a restart" wait_answers "$first"

incus stop --project "$project" "$one"
timed "later boot" "$first" start
incus pause --project "$project" "$one"
timed "unfreeze" "$first" resume

if ((failures > 0)); then
    echo "$failures failed"
    exit 1
fi
echo "all passed"
