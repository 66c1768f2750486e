# shellcheck shell=bash
# Packages. Nothing is fetched for what is there, so that a start needs no mirror.

SOURCE_DIR=/usr/local/src/containarium
DOWNLOADS=/var/cache/containarium-startup
ARCHIVE_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
APT_LIST=/etc/apt/sources.list.d/containarium-startup.sources

# A configuration that is on the data disk already is kept.
apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"
}

# Early in a start names may not resolve yet, and Debian's own timer may hold the lists. Without the error mode, apt
# calls it a success when it has read nothing.
apt_update() {
    local try
    for try in 1 2 3 4 5 6 7 8 9 10; do
        if apt_get -o APT::Update::Error-Mode=any update; then return 0; fi
        say "the package lists could not be read, attempt $try"
        sleep 10
    done
    refuse "the package lists cannot be read" "is Debian's mirror in reach of this server?"
}

installed() { [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

known() { [[ $(apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ { print $2 }') == [0-9]* ]]; }

# need PACKAGE...: those that are missing.
need() {
    local package missing=()
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    ((${#missing[@]} > 0)) || return 0
    say "installing ${missing[*]}"
    apt_get install --no-install-recommends "${missing[@]}"
}

# add_source SUITE COMPONENTS: of the mirror that this server has its release from.
# shellcheck disable=SC2016 # $(REPO_URI) and its like are apt's
add_source() {
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        awk -v release="$(codename)" '$2 == release && !seen++ { print $1 }')
    [[ -n $mirror ]] || refuse "apt has no source for $(codename)" "is boot_image an ordinary Debian?"
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s\n\n' \
        "$mirror" "$1" "$2" "$ARCHIVE_KEYRING" >>"$APT_LIST"
}

# shellcheck disable=SC1091 # the server's own
codename() { (. /etc/os-release && echo "$VERSION_CODENAME"); }

# Incus is in Debian 13 and later, in the backports of 12; ZFS is in contrib.
add_sources() {
    rm -f "$APT_LIST"
    apt_update
    known incus-base || known incus || add_source "$(codename)-backports" main
    if [[ $STORAGE_DRIVER == zfs ]] && ! known zfsutils-linux; then add_source "$(codename)" contrib; fi
    [[ ! -e $APT_LIST ]] || apt_update
}

# The module is built for the kernel that runs. Headers of an image's older kernel may have left the archive: then a
# newer kernel is installed with its own, and the server starts again into it, once.
install_zfs() {
    if modprobe zfs 2>/dev/null; then
        need zfsutils-linux
        return 0
    fi
    if known "linux-headers-$(uname -r)"; then
        need "linux-headers-$(uname -r)" zfs-dkms zfsutils-linux
    else
        need linux-image-cloud-amd64 linux-headers-cloud-amd64 zfs-dkms zfsutils-linux
    fi
    dkms autoinstall --kernelver "$(uname -r)" || true
    if ! modprobe zfs; then
        [[ ! -e $DOWNLOADS/restarted-for-zfs ]] ||
            refuse "the ZFS module does not load" "see: dkms status; journalctl -k"
        touch "$DOWNLOADS/restarted-for-zfs"
        report "working: starting again, into a kernel that ZFS can be built for"
        systemctl reboot
        exit 0
    fi
    # Follows later kernels.
    need linux-headers-cloud-amd64
}

# What the data disk needs, before it is touched.
install_storage_tools() {
    local tools=btrfs-progs
    mkdir -p "$DOWNLOADS"
    # A server that was cut off in the middle of an installation.
    DEBIAN_FRONTEND=noninteractive dpkg --configure --force-confold -a
    [[ $STORAGE_DRIVER != zfs ]] || tools=zfsutils-linux
    if ! installed "$tools" || ! { installed incus || installed incus-base; }; then add_sources; fi
    if [[ $STORAGE_DRIVER == zfs ]]; then install_zfs; else need btrfs-progs; fi
}

# Incus starts as it is installed, and with it boxes that the data disk brought along: what they need comes before.
# Besides, it is what the package recommends and its scripts use.
install_incus() {
    local incus=(incus)
    need dnsmasq-base nftables lxcfs mmdebstrap uidmap zstd openssl openssh-client ca-certificates curl
    load_box_firewall
    if known incus-base; then incus=(incus-base incus-client); fi
    installed incus || need "${incus[@]}"
    # Its own limits, in force without a restart: some twenty boxes take all inotify instances of a bare system.
    ! compgen -G '/etc/sysctl.d/*incus*.conf' >/dev/null || sysctl --quiet -p /etc/sysctl.d/*incus*.conf || true
}

# What boxes may reach, as the last start left it (the first one writes it before there are boxes).
load_box_firewall() {
    local rules
    for rules in /var/lib/containarium-setup/firewall-*.nft; do
        [[ ! -e $rules ]] || nft -f "$rules"
    done
}

# ---- containarium itself -----------------------------------------------------------------------------------------

fetch() { # fetch URL FILE: with the checksum that was promised
    echo "$INSTALL_CHECKSUM  $2" | sha256sum --check --status 2>/dev/null || {
        say "fetching $1"
        curl --fail --silent --show-error --location --retry 5 --output "$2.new" "$1"
        mv "$2.new" "$2"
    }
    echo "$INSTALL_CHECKSUM  $2" | sha256sum --check --status ||
        refuse "$1 is not the file that was promised: its SHA-256 is $(sha256sum "$2" | cut -d ' ' -f 1)" \
            "set install.sha256 to the published checksum of the file that you want"
}

# Who owns what is on the data disk has another number on a server that was made anew.
make_users() {
    local user
    getent group containarium-admin >/dev/null || groupadd --system containarium-admin
    for user in containarium:/var/lib/containarium containarium-gateway:/nonexistent; do
        getent passwd "${user%%:*}" >/dev/null || useradd --system --user-group --no-create-home \
            --home-dir "${user#*:}" --shell /usr/sbin/nologin "${user%%:*}"
    done
    chown -R containarium:containarium /var/lib/containarium
    chmod 700 /var/lib/containarium
    if [[ -d /etc/containarium/hostkeys ]]; then
        chown -R containarium-gateway:containarium-gateway /etc/containarium/hostkeys
    fi
    if [[ -e /etc/containarium/incus/client.key ]]; then chown containarium: /etc/containarium/incus/client.key; fi
}

# Whether what install names is what was installed, to the end (see main.sh).
installed_is() { [[ $(cat "$DOWNLOADS/installed" 2>/dev/null) == "$INSTALL_KIND $INSTALL_FROM $INSTALL_CHECKSUM" ]]; }

install_from_apt() {
    local url suite components
    read -r url suite components <<<"$INSTALL_FROM"
    printf '%s\n' "$INSTALL_APT_KEY" >/etc/apt/keyrings/containarium.asc
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: /etc/apt/keyrings/containarium.asc\n' \
        "$url" "$suite" "$components" >/etc/apt/sources.list.d/containarium.sources
    apt_update
    apt_get install --no-install-recommends containarium
}

get_sources() {
    rm -rf "$SOURCE_DIR.new"
    mkdir -p "$SOURCE_DIR.new"
    if [[ $INSTALL_KIND == archive ]]; then
        fetch "$INSTALL_FROM" "$DOWNLOADS/containarium.tar.gz"
        tar -xzf "$DOWNLOADS/containarium.tar.gz" -C "$SOURCE_DIR.new" --strip-components=1 --no-same-owner
    else
        need git
        git -C "$SOURCE_DIR.new" init --quiet
        git -C "$SOURCE_DIR.new" fetch --quiet --depth 1 "$INSTALL_FROM" "$INSTALL_CHECKSUM"
        git -C "$SOURCE_DIR.new" checkout --quiet FETCH_HEAD
    fi
    rm -rf "$SOURCE_DIR"
    mv "$SOURCE_DIR.new" "$SOURCE_DIR"
}

# The quick start's steps up to the installed programs. The rest of it is for a person at the keyboard, whom it makes
# the first account.
install_from_sources() {
    local build=$DOWNLOADS/build
    "$SOURCE_DIR/packaging/deps.sh"
    "$SOURCE_DIR/packaging/libssh.sh"
    cmake -S "$SOURCE_DIR" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr/local \
        -DCMAKE_INSTALL_SYSCONFDIR=/etc -DBUILD_TESTING=OFF -DCONTAINARIUM_LIBSSH_PREFIX=/var/cache/containarium/libssh
    cmake --build "$build" -j "$(nproc)"
    cmake --install "$build" --strip
    systemctl daemon-reload
}

install_containarium() {
    make_users
    ! installed_is || return 0
    case $INSTALL_KIND in
    deb)
        fetch "$INSTALL_FROM" "$DOWNLOADS/containarium.deb"
        apt_get install --no-install-recommends --allow-downgrades "$DOWNLOADS/containarium.deb"
        ;;
    apt) install_from_apt ;;
    archive | git)
        get_sources
        install_from_sources
        ;;
    esac
}
