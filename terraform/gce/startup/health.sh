# shellcheck shell=bash
# Whether a user who connects now would be let in.

control_answers() { timeout 10 containarium list </dev/null >/dev/null 2>&1; }

# greets PORT: with an SSH server's first line
# shellcheck disable=SC2016 # expands in the inner shell
greets() {
    timeout 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && read -r line <&3 && [[ $line == SSH-2.0-* ]]' "$1" 2>/dev/null
}

store_is_sound() {
    if [[ $STORAGE_DRIVER == zfs ]]; then
        [[ $(zpool list -H -o health "$STORE") == ONLINE ]]
    else
        btrfs device stats --check "$STORE_DIR" >/dev/null
    fi
}

check_health() {
    local port
    incus query /1.0 >/dev/null || refuse "Incus does not answer" "see: journalctl -u incus"
    wait_for 30 control_answers || refuse "containariumd does not answer" "see: journalctl -u containariumd"
    for port in $GATEWAY_PORTS; do
        wait_for 30 greets "$port" || refuse "nothing greets on port $port" "see: journalctl -u containarium-gateway"
    done
    store_is_sound || refuse "the data disk has errors" "see: zpool status, or btrfs device stats $STORE_DIR"
}
