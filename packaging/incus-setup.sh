#!/bin/bash
# Incus made ready for containarium, which keeps to a project, a network, a storage pool and a restricted client
# certificate of its own. An Incus that exists is left as it is; one that does not run is started.
#
#   packaging/incus-setup.sh [options]           set up; safe to repeat
#   packaging/incus-setup.sh [options] --down    remove what an earlier run with this --project made, nothing else
#
#   --project NAME     (containarium)      --subnet CIDR     (10.178.0.0/20; /20 or larger, the bridge takes .1)
#   --network NAME     (ctnbr0)            --pool NAME       (containarium; an existing pool is used as it is)
#   --pool-size SIZE   (60 % of the free disk, 5 to 200 GiB; the file grows as it fills)
#   --cert-dir DIR     (/etc/containarium/incus) gets client.crt, client.key, server.crt and url
#   --owner USER       (root) who may read client.key: the control plane's user
#
# What the certificate can do is decided by Incus, not by us: one project, in which only unprivileged boxes with
# isolated id maps, this network and no host disks are allowed. What boxes may reach is decided by nftables, in a
# table of its own: DNS and DHCP on the host and the outside world, but no other port of the host, no metadata
# service, no other box; and from outside nothing reaches a box but what the host itself opens.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
. ./lib.sh

project=containarium network=ctnbr0 subnet=10.178.0.0/20 pool=containarium pool_size=
cert_dir=/etc/containarium/incus owner=root down=no
while [[ $# -gt 0 ]]; do
    case $1 in
    --project | --network | --subnet | --pool | --pool-size | --cert-dir | --owner)
        [[ $# -ge 2 ]] || die "$1 needs a value" "see packaging/incus-setup.sh --help"
        case $1 in
        --project) project=$2 ;;
        --network) network=$2 ;;
        --subnet) subnet=$2 ;;
        --pool) pool=$2 ;;
        --pool-size) pool_size=$2 ;;
        --cert-dir) cert_dir=$2 ;;
        --owner) owner=$2 ;;
        esac
        shift 2
        ;;
    --down) down=yes && shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "unknown argument: $1" "see packaging/incus-setup.sh --help" ;;
    esac
done
need_root packaging/incus-setup.sh
[[ $project =~ ^[a-z][a-z0-9-]{0,40}$ && $project != default ]] ||
    die "--project $project: a name of small letters, digits and dashes is needed, and not 'default'" ""
[[ $network =~ ^[a-z][a-z0-9-]{0,14}$ ]] ||
    die "--network $network: an interface name of at most 15 small letters, digits and dashes is needed" ""

made_dir=/var/lib/containarium-setup
made=$made_dir/$project.made
rules=$made_dir/firewall-$network.nft
sysctl_file=/etc/sysctl.d/60-containarium-$network.conf
table=containarium_${network//-/_}
log=$CONTAINARIUM_CACHE/log/incus-setup.log
private_incus_client

remember() { grep -qxF "$*" "$made" 2>/dev/null || echo "$*" >>"$made"; }
made_here() { grep -qxF "$*" "$made" 2>/dev/null; }

# ---- removal -------------------------------------------------------------------------------------------------

remove_firewall() {
    if has_systemd; then
        systemctl disable --now "containarium-firewall@$network.service" >/dev/null 2>&1 || true
    fi
    nft delete table inet "$table" 2>/dev/null || true
    rm -f "$rules" "$sysctl_file"
}

take_down() {
    [[ -f $made ]] || {
        note "nothing to remove: no record of a set-up for project $project"
        return 0
    }
    if ! incus_answers && ! made_here "incus started"; then
        die "Incus does not answer, so project $project cannot be removed" "start Incus and run this again"
    fi
    incus_answers || start_incus

    local instance image fingerprint
    if made_here "project $project"; then
        while read -r instance; do
            [[ -n $instance ]] || continue
            note "deleting box $instance"
            incus delete --force --project "$project" "$instance"
        done < <(incus list --project "$project" -f csv -c n 2>/dev/null)
        if [[ $(incus project get "$project" features.images 2>/dev/null) == true ]]; then
            while read -r image; do
                [[ -n $image ]] || continue
                incus image delete --project "$project" "$image"
            done < <(incus image list --project "$project" -f csv -c f 2>/dev/null)
        fi
        if incus project show "$project" >/dev/null 2>&1; then
            # The project's own default profile still names the network and the pool.
            incus profile device remove default root --project "$project" >/dev/null 2>&1 || true
            incus profile device remove default eth0 --project "$project" >/dev/null 2>&1 || true
        fi
    fi
    fingerprint=$(sed -n 's/^certificate //p' "$made" | tail -n 1)
    if [[ -n $fingerprint ]]; then
        incus config trust remove "$fingerprint" >/dev/null 2>&1 || true
        rm -f "$cert_dir/client.crt" "$cert_dir/client.key" "$cert_dir/server.crt" "$cert_dir/url"
        rmdir --ignore-fail-on-non-empty "$cert_dir" 2>/dev/null || true
        if made_here "folder $(dirname "$cert_dir")"; then
            rmdir --ignore-fail-on-non-empty "$(dirname "$cert_dir")" 2>/dev/null || true
        fi
    fi
    if made_here "project $project" && incus project show "$project" >/dev/null 2>&1; then
        incus project delete "$project" </dev/null
    fi
    remove_firewall
    local left=()
    if made_here "network $network" && incus network show "$network" >/dev/null 2>&1; then
        incus network delete "$network" || left+=("network $network")
    fi
    if made_here "pool $pool" && incus storage show "$pool" >/dev/null 2>&1; then
        incus storage delete "$pool" || left+=("pool $pool")
    fi
    if [[ ${#left[@]} -gt 0 ]]; then # somebody else has come to use it
        warn "left where they are, as others use them: ${left[*]}"
        printf '%s\n' "${left[@]}" >"$made_dir/$project.left"
    fi
    note "what this script had made for project $project is gone"

    local address_ours=no started=no others
    made_here "https_address" && address_ours=yes
    made_here "incus started" && started=yes
    rm -f "$made"
    others=$(find "$made_dir" -name '*.made' -size +0 | head -n 1)
    if [[ -n $others ]]; then # another set of ours lives on: it inherits what is shared
        [[ $address_ours == no ]] || grep -qx https_address "$others" || echo https_address >>"$others"
        [[ $started == no ]] || grep -qx "incus started" "$others" || echo "incus started" >>"$others"
        return 0
    fi
    [[ $address_ours == no ]] || incus config unset core.https_address
    [[ $started == no ]] || stop_incus
    [[ -n $(find "$made_dir" -name '*.left') ]] || rm -rf "$made_dir"
}

# ---- Incus itself --------------------------------------------------------------------------------------------

start_incus() {
    local daemon
    daemon=$(incus_daemon)
    [[ -n $daemon ]] || die "Incus' daemon is not installed" "run: packaging/deps.sh"
    if has_systemd; then
        systemctl start lxcfs.service >/dev/null 2>&1 || true
        logged "$log" "see: systemctl status incus.service" systemctl start incus.service
    else
        start_lxcfs
        note "starting incusd (there is no systemd here)"
        setsid "$daemon" --group incus-admin >>/var/log/containarium-incusd.log 2>&1 </dev/null &
        mkdir -p "$made_dir"
        echo $! >"$made_dir/incusd.pid"
    fi
    wait_for 60 incus_answers || die "incusd did not answer within 60 s" \
        "read /var/log/containarium-incusd.log (or: journalctl -u incus)"
}

# The mount outlives a killed daemon, and every look at it, mountpoint(1)'s too, then fails: the kernel's list is asked.
lxcfs_mounted() { grep -q ' /var/lib/lxcfs fuse' /proc/self/mounts; }

lxcfs_answers() { lxcfs_mounted && timeout 5 stat /var/lib/lxcfs/proc >/dev/null 2>&1; }

# Takes away mounts whose daemon died, one on another if need be.
leave_lxcfs() {
    while lxcfs_mounted; do umount -l /var/lib/lxcfs; done
}

start_lxcfs() {
    have lxcfs || return 0
    ! lxcfs_answers || return 0
    leave_lxcfs
    mkdir -p /var/lib/lxcfs
    setsid lxcfs /var/lib/lxcfs >>/var/log/containarium-lxcfs.log 2>&1 </dev/null &
    mkdir -p "$made_dir"
    echo $! >"$made_dir/lxcfs.pid"
    wait_for 10 lxcfs_answers || warn "lxcfs did not mount: boxes will show the host's memory and cores"
}

# Only what start_incus started, and only when nobody else has come to use it.
stop_incus() {
    [[ -z $(incus list --all-projects -f csv -c n 2>/dev/null) ]] || return 0
    local name pid
    for name in incusd lxcfs; do
        pid=$(cat "$made_dir/$name.pid" 2>/dev/null) || continue
        [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$name" ]] || continue
        kill "$pid"
        wait_for 20 process_gone "$pid" || warn "$name (pid $pid) is still running"
        rm -f "$made_dir/$name.pid"
        note "$name stopped"
    done
    lxcfs_answers || leave_lxcfs
}

# ---- addresses -----------------------------------------------------------------------------------------------

to_number() { # dotted quad
    local a b c d
    IFS=. read -r a b c d <<<"$1"
    echo $(((a << 24) + (b << 16) + (c << 8) + d))
}
to_address() { echo "$(($1 >> 24 & 255)).$(($1 >> 16 & 255)).$(($1 >> 8 & 255)).$(($1 & 255))"; }

check_subnet() {
    [[ $subnet =~ ^([0-9]{1,3}\.){3}[0-9]{1,3}/(8|9|1[0-9]|20)$ ]] ||
        die "--subnet $subnet: an IPv4 subnet of /20 or larger is needed" "for example: --subnet 10.178.0.0/20"
    local size=$((1 << (32 - ${subnet#*/}))) base route other other_size other_base
    base=$(($(to_number "${subnet%/*}") / size * size))
    bridge_address=$(to_address $((base + 1)))
    dynamic_range=$(to_address $((base + 2)))-$(to_address $((base + 15))) # boxes have fixed ones above these
    subnet=$(to_address "$base")/${subnet#*/}
    ! incus network show "$network" >/dev/null 2>&1 || return 0
    while read -r route; do
        [[ $route == */* ]] || route=$route/32
        other=${route%/*}
        other_size=$((1 << (32 - ${route#*/})))
        other_base=$(($(to_number "$other") / other_size * other_size))
        ((base + size <= other_base || other_base + other_size <= base)) ||
            die "subnet $subnet is in use here: there is a route to $route" "choose another one with --subnet CIDR"
    done < <(ip -4 route show | awk '$1 ~ /^[0-9]/ { print $1 }')
}

default_pool_size() {
    local free
    free=$(df --output=avail -B1G "$(dirname "$(readlink -f /var/lib/incus)")" | tail -n 1)
    free=$((free * 6 / 10))
    ((free <= 200)) || free=200
    ((free >= 5)) || die "less than 9 GiB of disk are free, too little for a storage pool" \
        "free some, or name an existing pool of this Incus with --pool NAME"
    echo "${free}GiB"
}

# ---- set-up --------------------------------------------------------------------------------------------------

set_up_pool() {
    if incus storage show "$pool" >/dev/null 2>&1; then
        note "storage pool $pool is there"
        return 0
    fi
    [[ -n $pool_size ]] || pool_size=$(default_pool_size)
    note "creating storage pool $pool (btrfs in a file, up to $pool_size)"
    logged "$log" "is btrfs in this kernel? Else create a pool yourself and name it with --pool" \
        incus storage create "$pool" btrfs "size=$pool_size"
    remember "pool $pool"
}

set_up_network() {
    if ! incus network show "$network" >/dev/null 2>&1; then
        note "creating network $network ($bridge_address/${subnet#*/}, NAT)"
        logged "$log" "the message above is Incus' own; another --network or --subnet may help" \
            incus network create "$network" --type=bridge "ipv4.address=$bridge_address/${subnet#*/}" \
            ipv4.nat=true ipv6.address=none "ipv4.dhcp.ranges=$dynamic_range" dns.mode=none
        remember "network $network"
        # Boxes must not send larger packets than the host's own way out takes (clouds and tunnels have less than 1500).
        local out mtu
        out=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
        mtu=$(cat "/sys/class/net/$out/mtu" 2>/dev/null || echo 1500)
        ((mtu >= 1500)) || incus network set "$network" bridge.mtu="$mtu"
    else
        note "network $network is there"
    fi
    # A login that wakes a box asks for its hardware address before it is up, and the kernel would ask again only a
    # second later: measured, that second was most of a wake. Under systemd udev applies the file to every new bridge.
    echo "net.ipv4.neigh.$network.retrans_time_ms = 50" >"$sysctl_file"
    sysctl -q -p "$sysctl_file" || warn "waking boxes will take up to a second longer: $sysctl_file was refused"
}

# Not an Incus ACL: those cannot tell the host's own addresses, which come and go, from the world's. Hooks run
# before Incus' own chains (priority -10 against 0); a packet that passes here is still judged there.
set_up_firewall() {
    mkdir -p "$made_dir"
    cat >"$rules" <<NFT
# Written by containarium's packaging/incus-setup.sh; what boxes on $network may reach.
table inet $table
delete table inet $table
table inet $table {
    # Box to host: names and addresses only. Replies to what the host opened (ssh into a box) pass.
    chain input {
        type filter hook input priority -10; policy accept;
        iifname != "$network" accept
        ct state established,related accept
        udp sport 68 udp dport 67 accept
        ip daddr $bridge_address udp dport 53 accept
        ip daddr $bridge_address tcp dport 53 accept
        ip daddr $bridge_address icmp type echo-request limit rate 50/second accept
        counter reject with icmpx admin-prohibited
    }
    # Box to elsewhere: no link-local addresses (clouds keep their metadata service there), no other box.
    chain forward {
        type filter hook forward priority -10; policy accept;
        oifname "$network" ct state established,related accept
        oifname "$network" counter reject with icmpx admin-prohibited
        iifname "$network" ip daddr { 169.254.0.0/16, $subnet } counter reject with icmpx admin-prohibited
        iifname "$network" meta nfproto ipv6 counter reject with icmpx admin-prohibited
    }
}
NFT
    if has_systemd; then
        if ! systemctl cat containarium-firewall@.service >/dev/null 2>&1; then # else it is installed
            install -m 644 systemd/containarium-firewall@.service /etc/systemd/system/
            systemctl daemon-reload
        fi
        logged "$log" "does this kernel have nftables? (try: nft list ruleset)" \
            systemctl enable containarium-firewall@"$network".service
        systemctl restart containarium-firewall@"$network".service
    else
        logged "$log" "does this kernel have nftables? (try: nft list ruleset)" nft -f "$rules"
    fi
    note "firewall for $network is in place"
    # Docker on the host sets this; accepting elsewhere does not override it.
    if have iptables && [[ $(iptables -S FORWARD 2>/dev/null) == *"-P FORWARD DROP"* ]] &&
        ! iptables -C DOCKER-USER -i "$network" -j ACCEPT 2>/dev/null; then
        warn "this host drops forwarded packets (Docker does that): boxes will not reach the outside. To allow it:"
        warn "  iptables -I DOCKER-USER -i $network -j ACCEPT"
        warn "  iptables -I DOCKER-USER -o $network -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    fi
}

set_up_project() {
    if ! incus project show "$project" >/dev/null 2>&1; then
        note "creating project $project"
        logged "$log" "the message above is Incus' own" incus project create "$project" -c features.images=true
        remember "project $project"
    else
        note "project $project is there"
    fi
    incus project set "$project" restricted=true restricted.containers.nesting=allow \
        restricted.containers.privilege=isolated restricted.devices.nic=managed restricted.snapshots=allow \
        restricted.backups=allow "restricted.networks.access=$network"
    # What a box has unless its creation says more (its address, its limits).
    local devices
    devices=$(incus profile device list default --project "$project")
    if ! grep -qx root <<<"$devices"; then
        incus profile device add default root disk --project "$project" path=/ "pool=$pool" >/dev/null
    fi
    if ! grep -qx eth0 <<<"$devices"; then
        incus profile device add default eth0 nic --project "$project" "network=$network" name=eth0 \
            security.port_isolation=true security.mac_filtering=true security.ipv4_filtering=true >/dev/null
    fi
    incus profile set default --project "$project" security.nesting=true security.idmap.isolated=true
}

set_up_certificate() {
    [[ -d $(dirname "$cert_dir") ]] || remember "folder $(dirname "$cert_dir")"
    install -d -m 755 "$(dirname "$cert_dir")"
    install -d -m 755 "$cert_dir"
    if ! [[ -s $cert_dir/client.crt && -s $cert_dir/client.key ]]; then
        note "making a client certificate in $cert_dir"
        (umask 077 && logged "$log" "is openssl installed?" openssl req -x509 -newkey ec \
            -pkeyopt ec_paramgen_curve:P-256 -sha256 -nodes -days 3650 -subj "/CN=containarium $project" \
            -keyout "$cert_dir/client.key.new" -out "$cert_dir/client.crt.new")
        mv "$cert_dir/client.key.new" "$cert_dir/client.key"
        mv "$cert_dir/client.crt.new" "$cert_dir/client.crt"
    fi
    chmod 600 "$cert_dir/client.key"
    chown "$owner:" "$cert_dir/client.key" 2>/dev/null || die "there is no user $owner" "create it, or leave --owner out"
    chmod 644 "$cert_dir/client.crt"

    local fingerprint
    fingerprint=$(openssl x509 -in "$cert_dir/client.crt" -outform DER | sha256sum | cut -d ' ' -f 1)
    if ! incus config trust show "$fingerprint" >/dev/null 2>&1; then
        logged "$log" "the message above is Incus' own" incus config trust add-certificate "$cert_dir/client.crt" \
            --name "containarium-$project" --restricted --projects "$project"
        # An earlier one of ours, whose key is gone or elsewhere, is of no more use.
        sed -n 's/^certificate //p' "$made" 2>/dev/null | while read -r old; do
            incus config trust remove "$old" >/dev/null 2>&1 || true
        done
        sed -i '/^certificate /d' "$made" 2>/dev/null || true
        remember "certificate $fingerprint"
    fi
    # One that was there must be no more than what we would have made.
    incus config trust show "$fingerprint" | grep -q '^restricted: true$' ||
        die "certificate $cert_dir/client.crt is trusted without restriction" \
            "remove it (incus config trust remove $fingerprint) and run this again"

    local address
    address=$(incus config get core.https_address)
    if [[ -z $address ]]; then
        address=127.0.0.1:8443
        logged "$log" "is another program using port 8443? Set another: incus config set core.https_address ADDRESS:PORT" \
            incus config set core.https_address "$address"
        remember https_address
    fi
    case $address in
    *:*) ;;
    *) address=$address:8443 ;;
    esac
    address=${address/#0.0.0.0:/127.0.0.1:}
    address=${address/#"[::]:"/127.0.0.1:}
    address=${address/#:/127.0.0.1:}
    echo "https://$address" >"$cert_dir/url"
    incus info | awk '/^  certificate: \|/ { on = 1; next } on && /^    / { print substr($0, 5); next } on { exit }' \
        >"$cert_dir/server.crt.new"
    openssl x509 -in "$cert_dir/server.crt.new" -noout || die "Incus gave no server certificate" "try: incus info"
    mv "$cert_dir/server.crt.new" "$cert_dir/server.crt"
    chmod 644 "$cert_dir/server.crt" "$cert_dir/url"
    note "Incus answers containarium at https://$address, for project $project only"
}

if [[ $down == yes ]]; then
    take_down
    exit 0
fi
mkdir -p "$made_dir"
# What an earlier removal had to leave is still ours.
if [[ -f $made_dir/$project.left ]]; then
    cat "$made_dir/$project.left" >>"$made"
    rm -f "$made_dir/$project.left"
fi
if ! incus_answers; then
    start_incus
    remember "incus started"
fi
note "Incus $(incus version | sed -n 's/^Server version: //p') answers"
check_subnet
set_up_pool
set_up_network
set_up_firewall
set_up_project
set_up_certificate
