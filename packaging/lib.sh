# shellcheck shell=bash
# shellcheck disable=SC2016 # $(REPO_URI) and its like are apt's, not the shell's
# Shared by the scripts of packaging/ and tests/: numbered steps with times, errors that say what to do next, and
# the Debian mirror this machine already uses. To be sourced; it changes nothing by itself.

CONTAINARIUM_CACHE=${CONTAINARIUM_CACHE:-/var/cache/containarium}
step_number=0
step_name=
step_started=

now_ms() {
    # EPOCHREALTIME uses the locale's decimal point; both forms are handled.
    local t=${EPOCHREALTIME/[.,]/}
    echo "$((t / 1000))"
}

seconds() { # milliseconds -> "1.2"
    printf '%d.%d' "$(($1 / 1000))" "$(($1 % 1000 / 100))"
}

# step TEXT: ends the step before it (with its time) and announces the next.
step() {
    step_end
    step_number=$((step_number + 1))
    step_name=$1
    step_started=$(now_ms)
    printf '%2d  %s\n' "$step_number" "$step_name"
}

step_end() {
    [[ -n $step_name ]] || return 0
    printf '    done in %s s\n' "$(seconds "$(($(now_ms) - step_started))")"
    step_name=
}

note() { printf '    %s\n' "$*"; }

warn() { printf '    warning: %s\n' "$*" >&2; }

# die WHAT [WHAT-TO-DO]
die() {
    printf '\nfailed: %s\n' "$1" >&2
    [[ -z $step_name ]] || printf 'in step %d: %s\n' "$step_number" "$step_name" >&2
    [[ -z ${2:-} ]] || printf 'next: %s\n' "$2" >&2
    exit 1
}

need_root() { # need_root "what this script is called"
    [[ $EUID -eq 0 ]] || die "$1 must run as root" "run it again as: sudo $1"
}

# logged FILE WHAT-TO-DO COMMAND...: runs it quietly; on failure shows the end of its output.
logged() {
    local log=$1 advice=$2
    shift 2
    mkdir -p "$(dirname "$log")"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" >&2
        die "$* (its whole output: $log)" "$advice"
    fi
}

have() { command -v "$1" >/dev/null 2>&1; }

has_systemd() { [[ -d /run/systemd/system ]]; }

# wait_for SECONDS COMMAND...: polls until the command succeeds.
wait_for() {
    local end=$(($(now_ms) + $1 * 1000))
    shift
    until "$@" >/dev/null 2>&1; do
        (($(now_ms) < end)) || return 1
        sleep 0.1
    done
}

# process_gone PID: also when it only waits to be collected by its parent, which some containers' first process never does.
process_gone() { ! readlink "/proc/$1/exe" >/dev/null 2>&1; }

os_id() { (. /etc/os-release && echo "${ID:-}"); }
os_codename() { (. /etc/os-release && echo "${VERSION_CODENAME:-}"); }

# The mirror, components and keyring this machine's own apt configuration has for its release, in either of apt's
# formats. apt itself is asked first, as it also follows its drop-ins; the files are read when it has no lists yet.
# Prints "URI KEYRING" (KEYRING may be "-").
apt_mirror() {
    local codename found etc=${APT_ETC:-/etc/apt}
    codename=$(os_codename)
    found=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(SIGNED_BY)' 'Created-By: Packages' 2>/dev/null |
        awk -v c="$codename" '$2 == c { print $1, (NF > 2 ? $3 : "-"); exit }') || true
    if [[ -z $found ]]; then
        found=$(cat "$etc"/sources.list.d/*.sources 2>/dev/null | awk -v c="$codename" '
            function out(   i, n, s) {
                n = split(suites, s, " ")
                for (i = 1; i <= n; i++) if (s[i] == c && uri != "") { print uri, (key != "" ? key : "-"); exit }
                uri = suites = key = ""
            }
            /^[ \t]*$/ { out() }
            /^URIs:/ { uri = $2 }
            /^Suites:/ { $1 = ""; suites = $0 }
            /^Signed-By:/ { key = $2 }
            END { out() }' | head -n 1) || true
    fi
    if [[ -z $found ]]; then
        found=$(cat "$etc"/sources.list "$etc"/sources.list.d/*.list 2>/dev/null | awk -v c="$codename" '
            $1 == "deb" {
                key = "-"
                if (match($0, /signed-by=[^] ]*/)) key = substr($0, RSTART + 10, RLENGTH - 10)
                sub(/\[[^]]*\]/, "")
                if ($3 == c) { print $2, key; exit }
            }') || true
    fi
    [[ -n $found ]] || return 1
    # A keyring is a file; an embedded key or a fingerprint is not.
    local uri=${found%% *} key=${found#* }
    [[ $key == /* && -r $key ]] || key=-
    echo "${uri%/} $key"
}

# The keyring that signs the distribution's archive.
archive_keyring() {
    local mirror key candidate
    mirror=$(apt_mirror) || return 1
    key=${mirror#* }
    for candidate in "$key" "/usr/share/keyrings/$(os_id)-archive-keyring.gpg" \
        /usr/share/keyrings/debian-archive-keyring.gpg; do
        if [[ -r $candidate ]]; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

apt_lists_present() {
    [[ -n $(apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages' 2>/dev/null | head -n 1) ]] || return 1
    # An image with emptied lists still names the targets; the files are what counts.
    compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null
}

package_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# packages_missing NAME...: prints those not installed. "a|b" is satisfied by either; a is what would be installed.
packages_missing() {
    local entry alternative
    for entry in "$@"; do
        for alternative in ${entry//|/ }; do
            package_installed "$alternative" && continue 2
        done
        echo "${entry%%|*}"
    done
}

# The lines of a sources.list for a Debian system like this one: its own mirrors, its release, with its updates.
# Third-party sources and backports stay out.
apt_sources() {
    local codename keyring
    codename=$(os_codename)
    keyring=$(archive_keyring) || return 1
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' 2>/dev/null |
        awk -v c="$codename" -v k="$keyring" -v id="$(os_id)" '
            tolower($4) == id && ($2 == c || $2 == c "-updates" || $2 == c "-security") && !seen[$1 $2 $3]++ {
                printf "deb [signed-by=%s] %s %s %s\n", k, $1, $2, $3 }'
}

# Where the distribution keeps Incus' daemon.
incus_daemon() {
    local candidate
    for candidate in /usr/libexec/incus/incusd /usr/lib/incus/incusd /opt/incus/bin/incusd; do
        [[ -x $candidate ]] && echo "$candidate" && return 0
    done
    command -v incusd || true
}

# A client configuration of our own, left at the client's defaults: an administrator's default remote or project must
# not redirect these scripts.
private_incus_client() {
    export INCUS_CONF=/var/lib/containarium-setup/client
    unset INCUS_PROJECT INCUS_REMOTE
    mkdir -p "$INCUS_CONF"
}

incus_answers() { have incus && timeout 10 incus query /1.0 >/dev/null 2>&1; }

# build_folder NAME SOURCE: where a tree is built; outside of it, as root's files do not belong in a user's checkout.
build_folder() { echo "$CONTAINARIUM_CACHE/build/$1-$(echo "$2" | sha256sum | cut -c 1-8)"; }

# contents_hash FILE...: of the files' contents, as one word
contents_hash() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
