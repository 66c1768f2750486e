// The option table: what may stand in the configuration file. Parser, --check, dump and manual page follow
// from it.
#include "base/config.h"

#include <stddef.h>

#define AT(field) offsetof(struct config, field)
#define DAY_MS UINT64_C(86400000)
#define GB UINT64_C(1000000000)

#define KEX_DEFAULT                                                                                          \
    "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,curve25519-sha256,"     \
    "curve25519-sha256@libssh.org"
#define CIPHERS_DEFAULT                                                                                      \
    "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes256-ctr,aes192-ctr,"     \
    "aes128-ctr"
#define PUBKEY_DEFAULT                                                                                       \
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256"

// clang-format off
static const struct config_option options[] = {
    {"gateway", "listen", CONFIG_LISTEN, AT(listen), "0.0.0.0:22 [::]:22", 0, 0, NULL, false,
     "Addresses and ports to accept SSH on, separated by spaces; a socket passed by the service manager replaces them."},
    {"gateway", "host_key_dir", CONFIG_PATH, AT(host_key_dir), "/etc/containarium/hostkeys", 0, 0, NULL, false,
     "Folder with ssh_host_ed25519_key, ssh_host_ecdsa_key and ssh_host_rsa_key, mode 0600."},
    {"gateway", "login_grace", CONFIG_DURATION, AT(login_grace), "30s", 1000, DAY_MS, NULL, true,
     "How long a client may take from connecting to being authenticated."},
    {"gateway", "max_auth_failures", CONFIG_UINT, AT(max_auth_failures), "6", 1, 100, NULL, true,
     "Signatures that do not verify, or logins refused, before a connection is ended; "
     "offers of keys that are not known cost nothing, up to 64."},
    {"gateway", "max_unauthenticated", CONFIG_UINT, AT(max_unauthenticated), "200", 1, 100000, NULL, true,
     "Connections that have not logged in yet, all addresses together."},
    {"gateway", "max_unauthenticated_per_source", CONFIG_UINT, AT(max_unauthenticated_per_source), "100", 1, 100000, NULL,
     true, "Ditto, from one source: an IPv4 address, or the /64 of an IPv6 address."},
    {"gateway", "early_drop", CONFIG_UINT, AT(early_drop), "60", 0, 100, NULL, true,
     "Percent of max_unauthenticated from which new connections are dropped at random, ever more of them until all are; "
     "100 for never. Sources somebody has logged in from lately ([bans] trust) are not dropped."},
    {"gateway", "known_reserve", CONFIG_UINT, AT(known_reserve), "100", 0, 100000, NULL, true,
     "Places beside max_unauthenticated that only sources somebody has logged in from lately may take."},
    {"gateway", "allow_from", CONFIG_SUBNETS, AT(allow_from), "", 0, 0, NULL, true,
     "Addresses and subnets that may connect at all; empty: every one."},
    {"gateway", "max_connections", CONFIG_UINT, AT(max_connections), "2000", 1, 1000000, NULL, true,
     "Connections of all kinds."},
    {"gateway", "max_channels", CONFIG_UINT, AT(max_channels), "256", 1, 65536, NULL, true,
     "Channels one connection may have open."},
    {"gateway", "proxy_protocol_from", CONFIG_SUBNETS, AT(proxy_protocol_from), "", 0, 0, NULL, true,
     "Load balancers in front: connections from here must begin with a PROXY protocol header (version 1 or 2), and "
     "the address in it counts; from anywhere else such a header is refused."},
    {"gateway", "kex", CONFIG_ALGORITHMS, AT(kex), KEX_DEFAULT, 0, 0, NULL, false,
     "Key exchange methods, best first."},
    {"gateway", "ciphers", CONFIG_ALGORITHMS, AT(ciphers), CIPHERS_DEFAULT, 0, 0, NULL, false,
     "Ciphers, best first."},
    {"gateway", "macs", CONFIG_ALGORITHMS, AT(macs),
     "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com", 0, 0, NULL, false,
     "Message authentication codes for ciphers that lack their own, best first."},
    {"gateway", "pubkey_algorithms", CONFIG_ALGORITHMS, AT(pubkey_algorithms), PUBKEY_DEFAULT, 0, 0, NULL, false,
     "Signature algorithms users may log in with; never add ssh-rsa, it means SHA-1."},
    {"gateway", "hostkey_algorithms", CONFIG_ALGORITHMS, AT(hostkey_algorithms),
     "ssh-ed25519,rsa-sha2-512,rsa-sha2-256", 0, 0, NULL, false,
     "Signature algorithms the gateway proves itself with; ecdsa-sha2-nistp256 can be added for clients that have "
     "nothing better."},
    {"gateway", "rsa_min_bits", CONFIG_UINT, AT(rsa_min_bits), "3072", 2048, 16384, NULL, true,
     "Shortest RSA key a user may log in with."},
    {"gateway", "keepalive", CONFIG_DURATION, AT(keepalive), "30s", 0, DAY_MS, NULL, true,
     "Time between keepalives on a connection where nothing moves; 0s for none."},

    {"control", "state_dir", CONFIG_PATH, AT(state_dir), "/var/lib/containarium", 0, 0, NULL, false,
     "Folder of the database with accounts, keys, boxes and the audit trail."},
    {"control", "backup_dir", CONFIG_PATH, AT(backup_dir), "/var/lib/containarium/backups", 0, 0, NULL, true,
     "Folder for what delete --backup writes and restore reads."},
    {"control", "run_dir", CONFIG_PATH, AT(run_dir), "/run/containarium", 0, 0, NULL, false,
     "Folder of the sockets control.sock and gateway.sock."},
    {"control", "gateway_user", CONFIG_NAME, AT(gateway_user), "containarium-gateway", 0, 0, NULL, false,
     "The only user whose processes may speak on gateway.sock."},
    {"control", "admin_group", CONFIG_NAME, AT(admin_group), "containarium-admin", 0, 0, NULL, false,
     "Members of this group may use the command line without being root."},
    {"control", "job_threads", CONFIG_UINT, AT(job_threads), "8", 1, 64, NULL, false,
     "Box operations (create, start, stop, ...) carried out side by side."},
    {"control", "public_host", CONFIG_STRING, AT(public_host), "", 0, 253, NULL, true,
     "Host name or address users type after the @, for printed commands; empty: export asks for --jump-ip."},
    {"control", "public_port", CONFIG_UINT, AT(public_port), "22", 1, 65535, NULL, true,
     "Port users connect to, for printed commands."},
    {"control", "listen_tls", CONFIG_LISTEN, AT(listen_tls), "", 0, 0, NULL, true,
     "Addresses and ports of the HTTPS interface, like 0.0.0.0:50051; empty: there is none."},
    {"control", "tls_certificate", CONFIG_PATH, AT(tls_certificate), "", 0, 0, NULL, true,
     "Certificate (PEM, with its chain) the HTTPS interface shows; empty: the one of `containarium cert generate`."},
    {"control", "tls_key", CONFIG_PATH, AT(tls_key), "", 0, 0, NULL, true, "Its private key (PEM)."},
    {"control", "tls_client_ca", CONFIG_PATH, AT(tls_client_ca), "", 0, 0, NULL, true,
     "Authority (PEM) that signs client certificates; it must sign nothing else, as its word gives roles; "
     "empty: the one of `containarium cert generate`."},
    {"control", "tls_crl", CONFIG_PATH, AT(tls_crl), "", 0, 0, NULL, true,
     "Its list of revoked certificates (PEM), read again when it changes; empty: that of `containarium cert revoke`, "
     "none if tls_client_ca is set."},

    {"incus", "url", CONFIG_URL, AT(incus_url), "https://127.0.0.1:8443", 0, 0, NULL, false,
     "Incus' REST API."},
    {"incus", "certificate", CONFIG_PATH, AT(incus_certificate), "/etc/containarium/incus/client.crt", 0, 0, NULL,
     false, "Our client certificate (PEM), restricted by Incus to one project."},
    {"incus", "key", CONFIG_PATH, AT(incus_key), "/etc/containarium/incus/client.key", 0, 0, NULL, false,
     "Its private key (PEM)."},
    {"incus", "server_certificate", CONFIG_PATH, AT(incus_server_certificate), "/etc/containarium/incus/server.crt",
     0, 0, NULL, false, "Incus' own certificate (PEM); no other server is talked to."},
    {"incus", "project", CONFIG_NAME, AT(incus_project), "containarium", 0, 0, NULL, false,
     "Incus project that holds the boxes."},
    {"incus", "profile", CONFIG_NAME, AT(incus_profile), "default", 0, 0, NULL, false,
     "Profile new boxes start from."},
    {"incus", "network", CONFIG_NAME, AT(incus_network), "ctnbr0", 0, 0, NULL, false,
     "Managed network the boxes are on."},
    {"incus", "pool", CONFIG_NAME, AT(incus_pool), "containarium", 0, 0, NULL, false,
     "Storage pool the boxes are in."},
    {"incus", "image", CONFIG_STRING, AT(incus_image), "containarium-box", 1, 120, NULL, true,
     "Alias of the box image."},
    {"incus", "timeout", CONFIG_DURATION, AT(incus_timeout), "60s", 1000, DAY_MS, NULL, false,
     "How long one call or operation of Incus may take."},

    {"box", "disk", CONFIG_SIZE, AT(box_disk), "20GB", 100000000, 1000000 * GB, NULL, true,
     "Disk quota of a new box."},
    {"box", "cpu", CONFIG_CPU, AT(box_cpu), "2", 0, 0, NULL, true,
     "Cores of a new box: a number, or the cores it is pinned to."},
    {"box", "memory", CONFIG_SIZE, AT(box_memory), "2GB", 64000000, 100000 * GB, NULL, true,
     "Memory of a new box."},
    {"box", "autostart", CONFIG_BOOL, AT(box_autostart), "yes", 0, 0, NULL, true,
     "Whether a new box is started when the host starts."},
    {"box", "max_snapshots", CONFIG_UINT, AT(box_max_snapshots), "5", 0, 1000, NULL, true,
     "Snapshots a box may have; they keep what was deleted since, so they cost disk."},
    {"box", "subnet", CONFIG_SUBNET, AT(box_subnet), "10.178.0.0/20", 8, 20, NULL, false,
     "The network's subnet; every box has its own fixed address in it."},
    {"box", "address_first", CONFIG_ADDRESS, AT(box_address_first), "10.178.0.16", 0, 0, NULL, false,
     "First address given to a box; lower ones are reserved (.1 is the bridge)."},
    {"box", "idle_freeze", CONFIG_DURATION, AT(box_idle_freeze), "30m", 0, 365 * DAY_MS, NULL, true,
     "How long nobody must have been in a box until it is frozen: what runs in it pauses, and goes on at the next login; "
     "0s for never."},
    {"box", "idle_stop", CONFIG_DURATION, AT(box_idle_stop), "1d", 0, 365 * DAY_MS, NULL, true,
     "How long until it is stopped, which gives its memory back and ends what runs in it; 0s for never. These two are "
     "each box's unless `containarium idle set USER` gave it others."},
    {"box", "wake_deadline", CONFIG_DURATION, AT(wake_deadline), "60s", 1000, 3600000, NULL, true,
     "How long a login waits for its box before it is told that the box does not come up."},
    {"box", "forwarding", CONFIG_BOOL, AT(box_forwarding), "yes", 0, 0, NULL, true,
     "Whether -L, -D, -R and agent forwarding work; they go through the box's own SSH server, never through this host."},
    {"box", "jump_ports", CONFIG_PORTS, AT(jump_ports), "22", 0, 0, NULL, true,
     "Ports of one's own box reachable with ssh -J or -W: numbers and ranges separated by spaces."},

    {"limits", "logins", CONFIG_UINT, AT(limit_logins), "600", 1, 100000, NULL, true,
     "Logins of one user a minute, saved up to as many. These limits are each user's unless `containarium limits USER` "
     "gave them others."},
    {"limits", "logins_per_source", CONFIG_UINT, AT(limit_logins_per_source), "600", 1, 100000, NULL, true,
     "Ditto, from one source."},
    {"limits", "connections", CONFIG_UINT, AT(limit_connections), "100", 1, 100000, NULL, true,
     "Connections of one user at once."},
    {"limits", "connections_per_source", CONFIG_UINT, AT(limit_connections_per_source), "100", 1, 100000, NULL, true,
     "Ditto, from one source."},
    {"limits", "sessions", CONFIG_UINT, AT(limit_sessions), "500", 1, 100000, NULL, true,
     "Sessions (shells, commands, sftp) of one user open at once, over all connections."},
    {"limits", "channels", CONFIG_UINT, AT(limit_channels), "2000", 1, 1000000, NULL, true,
     "Channels of all kinds of one user open at once, over all connections."},
    {"limits", "bandwidth", CONFIG_RATE, AT(limit_bandwidth), "none", 0, 1000 * GB, NULL, true,
     "Bytes a second of one user, both directions and all connections together: a size, or none."},
    {"limits", "burst", CONFIG_SIZE, AT(limit_burst), "16MB", 65536, 100 * GB, NULL, true,
     "Bytes one user may move at once on top of the bandwidth."},

    {"bans", "failures", CONFIG_UINT, AT(ban_failures), "3", 1, 32, NULL, true,
     "Failed logins of one name from one source within the window that ban the name there. A connection that offers "
     "several keys and is let in with one has not failed; one that gives up has failed once."},
    {"bans", "names", CONFIG_UINT, AT(ban_names), "5", 1, 32, NULL, true,
     "Names banned from one source within the window that ban the source as a whole. Never a source that people log in "
     "from (trust)."},
    {"bans", "silent", CONFIG_UINT, AT(ban_silent), "32", 1, 32, NULL, true,
     "Connections within the window that end without offering a key, ditto."},
    {"bans", "window", CONFIG_DURATION, AT(ban_window), "10m", 1000, 30 * DAY_MS, NULL, true,
     "How long a failure counts."},
    {"bans", "duration", CONFIG_DURATION, AT(ban_duration), "1h", 1000, 365 * DAY_MS, NULL, true,
     "How long a first ban lasts."},
    {"bans", "growth", CONFIG_UINT, AT(ban_growth), "2", 1, 100, NULL, true,
     "Each further ban of the same lasts so many times as long."},
    {"bans", "duration_max", CONFIG_DURATION, AT(ban_duration_max), "7d", 1000, 3650 * DAY_MS, NULL, true,
     "How long any of them lasts at most."},
    {"bans", "memory", CONFIG_DURATION, AT(ban_memory), "7d", 1000, 3650 * DAY_MS, NULL, true,
     "How long an earlier ban counts for the growth."},
    {"bans", "trust", CONFIG_DURATION, AT(ban_trust), "30d", 0, 3650 * DAY_MS, NULL, true,
     "A source somebody logged in from within so long a time is known: it is never banned as a whole, and a key that "
     "logged in from there is let in whatever others fail at beside it. 0s: no source is."},
    {"bans", "never", CONFIG_SUBNETS, AT(ban_never), "", 0, 0, NULL, true,
     "Addresses and subnets whose failures ban nobody."},

    {"enrol", "expiry", CONFIG_DURATION, AT(invite_expiry), "3d", 60000, 90 * DAY_MS, NULL, true,
     "How long an invitation (`containarium invite`) can be used unless --expires says otherwise."},
    {"enrol", "fetch_allow", CONFIG_SUBNETS, AT(fetch_allow), "", 0, 0, NULL, true,
     "Addresses and subnets that public keys (--ssh-key https://...) may be fetched from although they are not public, "
     "like those of a GitLab of your own."},
    {"enrol", "fetch_ca", CONFIG_PATH, AT(fetch_ca), "", 0, 0, NULL, true,
     "Authorities (PEM) whose certificates are trusted then; empty: those the system trusts."},

    {"audit", "keep", CONFIG_DURATION, AT(audit_keep), "90d", 0, 36500 * DAY_MS, NULL, true,
     "How long records of the audit trail, and of sessions that have ended, are kept; 0s: for ever."},

    {"metrics", "listen", CONFIG_LOCAL, AT(metrics_listen), "", 0, 0, NULL, false,
     "Where Prometheus reads figures, over HTTP at /metrics: a loopback address with port, like 127.0.0.1:9522, or the "
     "path of a socket; empty: nowhere."},
    {"metrics", "per_user", CONFIG_BOOL, AT(metrics_per_user), "no", 0, 0, NULL, true,
     "Whether there are figures for each user; with thousands of users that is many."},

    {"log", "level", CONFIG_CHOICE, AT(log_level), "info", 0, 0, "debug info warn error", true,
     "Least important kind of line that is logged."},
    {NULL, NULL, CONFIG_STRING, 0, NULL, 0, 0, NULL, false, NULL},
};
// clang-format on

const struct config_option *config_options(void)
{
    return options;
}
