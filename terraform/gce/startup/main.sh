# shellcheck shell=bash
# The order of things.

main() {
    trap 'on_exit $?' EXIT
    mkdir -p "$RUN_DIR"
    # A second start of this script waits for the first; what that one did it then finds done.
    exec 9>"$RUN_DIR/lock"
    flock 9

    step "move sshd to port $ADMIN_SSH_PORT"
    move_sshd
    step "look at the data disk"
    look_at_disk
    step "install storage tools"
    install_storage_tools
    step "open the data disk"
    open_store
    keep_state
    step "install Incus"
    install_incus
    start_incus
    make_box_pool
    step "install containarium"
    install_containarium
    step "prepare Incus"
    prepare_incus
    step "configure"
    make_host_keys
    write_configuration
    write_socket
    step "start"
    start_gateway
    enrol_admins
    echo "$INSTALL_KIND $INSTALL_FROM $INSTALL_CHECKSUM" >"$DOWNLOADS/installed"
    step "check"
    check_health
    report "ready: since $(date --utc +%FT%TZ), in $SECONDS s"
}

main "$@"
