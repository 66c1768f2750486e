#!/bin/bash
# Takes over the users of a host that people log in to until now: their keys, and fail2ban's settings. Shows what it
# would do; nothing is changed, and no account made, without --apply.
#
#   packaging/migrate.sh [USER...] [--boxes] [--project NAME] [--apply] [--root DIR] [--keys PATTERN] [--socket PATH]
#
# USER...         these; otherwise everybody with a uid from 1000 on, a shell that lets in, and keys
# --boxes         the host is a Containarium jump server: users are those whose container NAME-container runs in
#                 Incus; each goes on being used where it is, as `--static ADDRESS`
# --project NAME  Incus' project that has them; `default` unless said
# --apply         make the accounts. Safe to repeat. The gateway has the last word on each key (an RSA key too short, ...)
# --root DIR      read passwd, home folders and fail2ban's files below DIR, e.g. of a disk that was mounted
# --keys PATTERN  where the keys are, with %u and %h as in sshd_config; may be given again. Without it,
#                 .ssh/authorized_keys and .ssh/authorized_keys2
# --socket PATH   control.sock of the gateway
#
# Standard output has the commands and the lines for containarium.conf; standard error what was not taken, with its
# file and line. Exit status 1 if anything was not.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
. ./lib.sh

apply=no boxes=no project=default root='' names=() patterns=() socket=() seen=
while [[ $# -gt 0 ]]; do
    case $1 in
    --root | --keys | --socket | --project)
        [[ $# -ge 2 ]] || die "$1 needs a value" "see packaging/migrate.sh --help"
        case $1 in
        --root) root=${2%/} ;;
        --keys) patterns+=("$2") ;;
        --project) project=$2 ;;
        --socket) socket=(--socket "$2") ;;
        esac
        shift 2
        ;;
    --apply) apply=yes && shift ;;
    --boxes) boxes=yes && shift ;;
    -h | --help) sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    -*) die "unknown argument: $1" "see packaging/migrate.sh --help" ;;
    *) names+=("$1") && shift ;;
    esac
done
[[ ${#patterns[@]} -gt 0 ]] || patterns=(.ssh/authorized_keys .ssh/authorized_keys2)
[[ -r $root/etc/passwd ]] || die "cannot read $root/etc/passwd" "check --root"
[[ $boxes == no ]] || private_incus_client
program=${CONTAINARIUM:-containarium}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
left=0 taken=0

left_out() { # left_out WHERE WHY
    printf 'not taken: %s: %s\n' "$1" "$2" >&2
    left=$((left + 1))
}

containarium() { "$program" "${socket[@]}" "$@"; }

# ---- keys

# One key file to "LINE<tab>OPTIONS<tab>KEY", options cut off as sshd does: at the first blank outside of quotes.
split_lines() {
    awk '
    /^[ \t]*(#|$)/ { next }
    {
        sub(/\r$/, ""); sub(/^[ \t]+/, ""); options = ""
        if ($0 !~ /^(ssh-|ecdsa-|sk-)/) {
            quoted = 0
            for (i = 1; i <= length($0); i++) {
                c = substr($0, i, 1)
                if (c == "\\" && substr($0, i + 1, 1) == "\"") { i++; continue }
                if (c == "\"") quoted = !quoted
                if ((c == " " || c == "\t") && !quoted) break
            }
            options = substr($0, 1, i - 1); $0 = substr($0, i + 1); sub(/^[ \t]+/, "")
        }
        gsub(/\t/, " ", options); gsub(/\t/, " ")
        print NR "\t" options "\t" $0
    }' "$1"
}

# Names of the options in a list, one a line.
option_names() {
    awk -v text="$1" 'BEGIN {
        quoted = 0; name = 1; out = ""
        for (i = 1; i <= length(text); i++) {
            c = substr(text, i, 1)
            if (c == "\\" && substr(text, i + 1, 1) == "\"") { i++; continue }
            if (c == "\"") quoted = !quoted
            else if (c == "," && !quoted) { print tolower(out); out = ""; name = 1; continue }
            else if (c == "=") name = 0
            if (name) out = out c
        }
        print tolower(out)
    }'
}

# Says what the gateway will not take of a line; nothing if it takes it. An option that is left out could let in more
# than the line did, so a line is taken as a whole or not at all.
objection() { # objection OPTIONS KEY
    local option
    if ! ssh-keygen -lf - <<<"$2" >/dev/null 2>&1; then
        echo "this is no public key"
        return
    fi
    while read -r option; do
        case $option in
        '' | from | expiry-time | command | permitopen | restrict | no-pty | pty | no-port-forwarding | port-forwarding) ;;
        no-agent-forwarding | agent-forwarding | no-x11-forwarding | no-user-rc) ;;
        cert-authority | principals) echo "certificates of users are not accepted ($option)" && return ;;
        *) echo "option $option is not known to the gateway" && return ;;
        esac
    done < <(option_names "$1")
}

# The good lines of USER's key files, one file each in $work/keys.N; what is not taken is reported.
collect_keys() { # collect_keys USER HOME
    local pattern file line options key why n=0
    rm -f "$work"/keys.*
    for pattern in "${patterns[@]}"; do
        file=${pattern//%u/$1}
        file=${file//%h/$2}
        [[ $file == /* ]] || file=$2/$file
        [[ -e $root$file ]] || continue
        if [[ ! -r $root$file ]]; then
            left_out "$file" "cannot be read; run this as root"
            continue
        fi
        while IFS=$'\x01' read -r line options key; do
            why=$(objection "$options" "$key")
            if [[ -n $why ]]; then
                left_out "$file:$line" "$why"
                continue
            fi
            n=$((n + 1))
            printf '%s%s\n' "${options:+$options }" "$key" >"$work/keys.$n"
            printf '%s:%s' "$file" "$line" >"$work/keys.$n.from"
        done < <(split_lines "$root$file" | tr '\t' '\001')
    done
    key_count=$n
}

# ---- accounts

name_objection() { # as src/policy/name.c
    case $1 in
    ctl | admin | root | join | system | gateway | containarium | default | warm-*)
        echo "the gateway keeps this name for itself; make their account under another" ;;
    *) [[ $1 =~ ^[a-z]([a-z0-9-]{0,29}[a-z0-9])?$ ]] ||
        echo "a user is called with a to z, 0 to 9 and -, beginning with a letter, at most 31" ;;
    esac
}

lets_in() { # a shell
    [[ $1 != */nologin && $1 != */false ]] || return 1
    [[ ! -r $root/etc/shells ]] || grep -qxF -- "$1" "$root/etc/shells"
}

container() { # container NAME -> "ADDRESS", of its first interface; fails if Incus has none
    local address
    address=$(incus list --project "$project" --format csv --columns 4 "^$1-container\$" 2>/dev/null) || return 1
    address=${address#\"}
    address=${address%% *}
    [[ -n $address ]] && echo "$address"
}

quote() { printf ' %q' "$@"; }

# Is there an account of that name that belongs to somebody else? Then none of its keys is one of these.
is_other() {
    local known n
    known=$(containarium keys list "$1" --json 2>/dev/null) || return 1
    for ((n = 1; n <= key_count; n++)); do
        ! grep -qF -- "$(ssh-keygen -lf "$work/keys.$n.bare" | cut -d' ' -f2)" <<<"$known" || return 1
    done
}

run_one() { # run_one FILE-OF-KEY COMMAND...: with the key on standard input
    if ! containarium "${@:2}" <"$1" >"$work/out" 2>&1; then
        left_out "$(cat "$1.from")" "$(grep -v '^Note' "$work/out" | tail -n 1)"
        return 1
    fi
}

# `ssh -J` works at once; for `ssh USER@GATEWAY` the container must know the gateway.
tell_gateway_key() { # tell_gateway_key USER: from what create has printed
    local line
    line=$(grep -o 'ssh-ed25519 .* containarium-gateway.*' "$work/out") || return 0
    printf 'echo%s | incus exec --project%s %s-container -- tee -a /home/%s/.ssh/authorized_keys\n' "$(quote "$line")" \
        "$(quote "$project")" "$1" "$1"
}

make_account() { # make_account USER OPTION...
    local user=$1 n made=no
    shift
    for ((n = 1; n <= key_count; n++)); do # without its options, for its fingerprint
        split_lines "$work/keys.$n" | cut -f3 >"$work/keys.$n.bare"
    done
    if is_other "$user"; then
        left_out "$user" "the gateway has an account of this name with other keys: if it is the same person, add the keys"
        return
    fi
    containarium info "$user" >/dev/null 2>&1 && made=yes
    for ((n = 1; n <= key_count; n++)); do
        if [[ $made == no ]]; then
            run_one "$work/keys.$n" create "$user" --ssh-key - "$@" && made=yes && tell_gateway_key "$user"
        else
            run_one "$work/keys.$n" keys add "$user" - || true
        fi
    done
    [[ $made == no ]] || taken=$((taken + 1))
}

migrate_user() { # migrate_user USER HOME
    local user=$1 why n address options=(--lazy)
    why=$(name_objection "$user")
    if [[ -n $why ]]; then
        left_out "$user" "$why"
        return
    fi
    if [[ $boxes == yes ]]; then
        if ! address=$(container "$user") ||
            ! incus file pull --project "$project" "$user-container/etc/ssh/ssh_host_ed25519_key.pub" "$work/host-key" 2>/dev/null; then
            left_out "$user" "$user-container is not running, so neither its address nor its host key is known"
            return
        fi
        options=(--static "$address" --host-key "$work/host-key")
    fi
    collect_keys "$user" "$2"
    if [[ $key_count -eq 0 ]]; then
        left_out "$user" "there is no key to let them in with"
        return
    fi
    if [[ $apply == yes ]]; then
        make_account "$user" "${options[@]}"
        return
    fi
    for ((n = 1; n <= key_count; n++)); do
        printf '%s |' "printf '%s\\n'$(quote "$(cat "$work/keys.$n")")"
        if [[ $n -eq 1 ]]; then
            printf ' containarium create %s --ssh-key -%s\n' "$user" "$(quote "${options[@]}")"
        else
            printf ' containarium keys add %s -\n' "$user"
        fi
    done
    taken=$((taken + 1))
}

# ---- fail2ban

# The last word of its files for the jail sshd, [sshd] before [DEFAULT]: KEY VALUE lines.
fail2ban_values() {
    local files=() file
    for file in "$root"/etc/fail2ban/jail.conf "$root"/etc/fail2ban/jail.d/*.conf "$root"/etc/fail2ban/jail.local \
        "$root"/etc/fail2ban/jail.d/*.local; do
        [[ ! -r $file ]] || files+=("$file")
    done
    [[ ${#files[@]} -gt 0 ]] || return 0
    awk '
    /^[ \t]*[#;]/ || /^[ \t]*$/ { next }
    /^\[/ { section = $0; gsub(/[][ \t\r]/, "", section); key = ""; next }
    section != "DEFAULT" && section != "sshd" { next }
    /^[ \t]/ { if (key != "") value[section, key] = value[section, key] " " $0; next }
    {
        key = $0; sub(/[ \t]*=.*/, "", key); text = $0; sub(/^[^=]*=[ \t]*/, "", text); sub(/[ \t]+#.*$/, "", text)
        value[section, key] = text
    }
    END {
        split("ignoreip bantime findtime maxretry", wanted, " ")
        for (i = 1; i <= 4; i++) {
            k = wanted[i]
            if (("sshd", k) in value) print k, value["sshd", k]
            else if (("DEFAULT", k) in value) print k, value["DEFAULT", k]
        }
    }' "${files[@]}"
}

duration() { # "1h 30m", "600" -> "5400s"; fails for what is none
    local rest=${1// /} total=0 factor
    [[ -n $rest ]] || return 1
    while [[ $rest =~ ^([0-9]+)([a-z]*)(.*)$ ]]; do
        case ${BASH_REMATCH[2]} in
        '' | s | sec | second | seconds) factor=1 ;;
        m | min | minute | minutes) factor=60 ;;
        h | hour | hours) factor=3600 ;;
        d | day | days) factor=86400 ;;
        w | week | weeks) factor=604800 ;;
        *) return 1 ;;
        esac
        total=$((total + 10#${BASH_REMATCH[1]} * factor))
        rest=${BASH_REMATCH[3]}
    done
    [[ -z $rest && $total -gt 0 ]] && echo "${total}s"
}

never_list() { # sets `never`: addresses and subnets; what is a name is reported
    local word out=()
    never=
    for word in ${1//,/ }; do
        case $word in
        127.* | ::1 | ::1/128) out+=("${word/127.0.0.1\/8/127.0.0.0/8}") ;;
        *[!0-9a-fA-F.:/]*) left_out "fail2ban ignoreip" "$word is a name; the gateway takes addresses and subnets" ;;
        *) out+=("$word") ;;
        esac
    done
    [[ ${#out[@]} -eq 0 ]] || never="never = ${out[*]}"
}

migrate_fail2ban() {
    local key value lines='' time
    while read -r key value; do
        case $key in
        ignoreip) never_list "$value" && lines+=${never:+$never$'\n'} ;;
        maxretry) lines+="failures = $value"$'\n' ;;
        bantime | findtime)
            if time=$(duration "$value"); then
                lines+="$([[ $key == bantime ]] && echo duration || echo window) = $time"$'\n'
            else
                left_out "fail2ban $key" "\"$value\" is no time here; bans for ever are made with: containarium bans add"
            fi
            ;;
        esac
    done <"$work/fail2ban"
    [[ -z $lines ]] || printf '\n# for /etc/containarium/containarium.conf, in the place of fail2ban\n[bans]\n%s' "$lines"
}

# ---- who

while IFS=: read -r user _ uid _ _ home shell; do
    if [[ ${#names[@]} -gt 0 ]]; then
        [[ " ${names[*]} " == *" $user "* ]] || continue
    elif [[ $boxes == yes ]]; then
        container "$user" >/dev/null || continue
    else
        [[ $uid -ge 1000 && $uid -lt 65534 ]] || continue
        lets_in "$shell" || continue
    fi
    seen+=" $user "
    migrate_user "$user" "$home" </dev/null
done <"$root/etc/passwd"
for user in "${names[@]}"; do
    [[ $seen == *" $user "* ]] || left_out "$user" "there is no such user in $root/etc/passwd"
done
fail2ban_values >"$work/fail2ban"
migrate_fail2ban
printf '%d users taken over, %d things not taken%s\n' "$taken" "$left" \
    "$([[ $apply == yes ]] || echo '; nothing was changed, see --apply')" >&2
[[ $left -eq 0 ]]
