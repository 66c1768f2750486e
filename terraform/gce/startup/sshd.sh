# shellcheck shell=bash
# The host's own sshd leaves port 22 to the gateway. First of all steps: whatever fails later, administrators get in by
# the port that is open to them, and users never meet this sshd. Running sessions go on.

move_sshd() {
    local file ports
    # Port adds up over files, ListenAddress may name one: both stand here alone.
    for file in /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf; do
        [[ -f $file && $file != */00-admin-port.conf ]] || continue
        sed -i -E 's/^[[:space:]]*(Port|ListenAddress)[[:space:]=]/# moved by the start-up script: &/I' "$file"
    done
    grep -qiE '^[[:space:]]*Include[[:space:]]+/etc/ssh/sshd_config.d/\*\.conf' /etc/ssh/sshd_config ||
        sed -i '1i Include /etc/ssh/sshd_config.d/*.conf' /etc/ssh/sshd_config
    mkdir -p /etc/ssh/sshd_config.d
    cat >/etc/ssh/sshd_config.d/00-admin-port.conf <<CONF
# Written by the start-up script: 22 is the gateway's.
Port $ADMIN_SSH_PORT
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
CONF
    mkdir -p /run/sshd
    sshd -t
    ports=$(sshd -T | awk '$1 == "port" { print $2 }' | xargs)
    [[ $ports == "$ADMIN_SSH_PORT" ]] ||
        refuse "sshd would listen on ${ports// / and } instead of $ADMIN_SSH_PORT alone" "look for Port in /etc/ssh"
    # Where systemd listens in sshd's place, it has the port.
    if systemctl is-active --quiet ssh.socket; then systemctl disable --now ssh.socket; fi
    systemctl enable --quiet ssh.service
    sshd_listens_there || systemctl restart ssh.service
    wait_for 20 sshd_listens_there || refuse "sshd does not listen on port $ADMIN_SSH_PORT" "see: journalctl -u ssh"
}

sshd_listens_there() {
    [[ -n $(ss --no-header --listening --tcp --numeric "sport = :$ADMIN_SSH_PORT") ]]
}
