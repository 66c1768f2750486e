# shellcheck shell=bash
# Incus and the gateway made ready, with the scripts that came with what was installed.

CONFIG=/etc/containarium/containarium.conf

scripts_dir() {
    local folder=/usr/share/containarium
    [[ $INSTALL_KIND == deb || $INSTALL_KIND == apt ]] || folder=$SOURCE_DIR/packaging
    [[ -x $folder/incus-setup.sh ]] || refuse "there is no $folder/incus-setup.sh" \
        "what \"install\" names is not a complete containarium; name another version"
    echo "$folder"
}

start_incus() {
    local unit
    for unit in incus.socket incus.service incus-startup.service; do
        systemctl cat "$unit" >/dev/null 2>&1 || continue
        systemctl start "$unit"
    done
    wait_for 60 incus query /1.0 || refuse "Incus does not answer" "see: journalctl -u incus"
}

# The part of the data disk that is the boxes'. Incus keeps each box to its quota.
make_box_pool() {
    ! incus storage show "$STORE" >/dev/null 2>&1 || return 0
    if [[ $STORAGE_DRIVER == zfs ]]; then
        incus storage create "$STORE" zfs "source=$STORE/boxes"
    else
        [[ -d $STORE_DIR/boxes ]] || btrfs subvolume create "$STORE_DIR/boxes" >/dev/null
        incus storage create "$STORE" btrfs "source=$STORE_DIR/boxes"
    fi
}

prepare_incus() {
    local scripts
    scripts=$(scripts_dir)
    "$scripts/incus-setup.sh" --pool "$STORE" --owner containarium
    "$scripts/image.sh" --pool "$STORE" --source "$BOX_IMAGE_SOURCE"
}

make_host_keys() {
    local kind key folder=/etc/containarium/hostkeys
    install -d -m 755 -o containarium-gateway -g containarium-gateway "$folder"
    for kind in ed25519 ecdsa rsa; do
        key=$folder/ssh_host_${kind}_key
        [[ ! -s $key ]] || continue
        rm -f "$key.new" "$key.new.pub"
        ssh-keygen -q -t "$kind" -b "$([[ $kind == rsa ]] && echo 3072 || echo 256)" -N '' -C "containarium gateway" \
            -f "$key.new"
        chown containarium-gateway:containarium-gateway "$key.new" "$key.new.pub"
        mv "$key.new.pub" "$key.pub"
        mv "$key.new" "$key" # last: it says that both are there
    done
    say "host key: $(ssh-keygen -l -f "$folder/ssh_host_ed25519_key.pub")"
}

public_address() {
    curl --silent --fail --max-time 2 --header 'Metadata-Flavor: Google' \
        http://169.254.169.254/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip ||
        ip -4 route get 192.0.2.1 | sed -n 's/.* src \([^ ]*\).*/\1/p'
}

configuration() {
    local port listen=
    for port in $GATEWAY_PORTS; do listen+=" 0.0.0.0:$port [::]:$port"; done
    cat <<CONF
# Written by the start-up script from Terraform's variables. A changed file is kept: what the variables say now is then
# put beside it, as containarium.conf.new.

[gateway]
listen =$listen

[control]
public_host = ${PUBLIC_HOST:-$(public_address)}
public_port = 22

[incus]
url = $(cat /etc/containarium/incus/url)

[box]
disk = $BOX_DISK
cpu = $BOX_CPU
memory = $BOX_MEMORY
CONF
}

# The first time it takes the place of the package's own. Then it is ours as long as it is what was written last, and an
# administrator's from the first change on.
write_configuration() {
    local written=/etc/containarium/.containarium.conf.written
    configuration >"$CONFIG.new"
    chmod 644 "$CONFIG.new"
    if [[ ! -e $CONFIG || ! -e $written ]] || cmp --silent "$CONFIG" "$written"; then
        cp -p "$CONFIG.new" "$written"
        mv "$CONFIG.new" "$CONFIG"
    elif cmp --silent "$CONFIG.new" "$written"; then
        rm "$CONFIG.new"
    else
        say "$CONFIG was changed by hand and is kept; compare it with $CONFIG.new"
    fi
    containariumd --config "$CONFIG" --check
}

write_socket() {
    local folder=/etc/systemd/system/containarium-gateway.socket.d port
    mkdir -p "$folder"
    {
        printf '# Written by the start-up script.\n[Socket]\nListenStream=\n'
        for port in $GATEWAY_PORTS; do printf 'ListenStream=0.0.0.0:%s\nListenStream=[::]:%s\n' "$port" "$port"; done
    } >"$folder/port.conf"
    systemctl daemon-reload
}

# What systemd would have to be told again is compared with what it was told.
fingerprint() {
    cat "$CONFIG" /etc/systemd/system/containarium-gateway.socket.d/*.conf "$(command -v containariumd)" \
        "$(command -v containarium-gateway)" | sha256sum
}

start_gateway() {
    local units=(containariumd.service containarium-gateway.socket containarium-gateway.service)
    systemctl enable --quiet "${units[@]}"
    if [[ $(cat "$RUN_DIR/started" 2>/dev/null) != "$(fingerprint)" ]]; then
        # The socket cannot be restarted under its service; live connections go on by themselves.
        systemctl stop "${units[@]}"
    fi
    systemctl start "${units[@]}"
    fingerprint >"$RUN_DIR/started"
}

# enrol NAME KEY...: exit code 5 says that the account or its key is there.
enrol() {
    local code=0
    containarium create "$1" --role admin --lazy --ssh-key - <<<"${*:2}" || code=$?
    if ((code == 5)); then
        code=0
        containarium keys add "$1" --ssh-key - <<<"${*:2}" || code=$?
    fi
    ((code == 0 || code == 5)) || refuse "the gateway's administrator $1 could not be enrolled" "see the lines above"
}

enrol_admins() {
    local name key
    while read -r name key; do
        [[ -z $name ]] || enrol "$name" "$key"
    done <<<"$GATEWAY_ADMINS"
}
