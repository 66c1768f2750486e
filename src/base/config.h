// The configuration file, one for both daemons: one table of (section, key, type, range, default, help)
// drives the parser, `--check`, the dump and the man page's section. INI text through libinih.
//
// Errors name file, line, key and the accepted values, e.g.
//   containarium.conf:12: [box] disk: "20 potatoes" is not a size; accepted: 500MB 8GB 4096MiB 8GiB
// Unknown sections and keys are errors that suggest the nearest known one. All errors of a file are reported,
// not just the first.
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "base/fault.h"

#define CONFIG_TEXT 512
#define CONFIG_DEFAULT_FILE "/etc/containarium/containarium.conf"

struct config {
    // [gateway]
    char listen[CONFIG_TEXT];       // addresses with ports, separated by spaces: "0.0.0.0:22 [::]:22"
    char host_key_dir[CONFIG_TEXT]; // holds ssh_host_{ed25519,ecdsa,rsa}_key, mode 0600
    uint64_t login_grace;           // ms from accept to authentication
    uint64_t max_auth_failures;     // signatures or offers refused before the connection ends
    uint64_t max_unauthenticated;   // connections that have not logged in yet, all addresses together
    uint64_t max_unauthenticated_per_source; // ditto, from one IPv4 address or IPv6 /64
    uint64_t early_drop;                     // percent of max_unauthenticated
    uint64_t known_reserve;                  // places beside max_unauthenticated
    char allow_from[CONFIG_TEXT];            // subnets_have list; "" = from everywhere
    uint64_t max_connections;                // connections of all kinds
    uint64_t max_channels;                   // channels a connection
    char proxy_protocol_from[CONFIG_TEXT];   // subnets_have list: their connections begin with a PROXY header
    char kex[CONFIG_TEXT];                   // libssh lists, comma separated
    char ciphers[CONFIG_TEXT];
    char macs[CONFIG_TEXT];
    char pubkey_algorithms[CONFIG_TEXT];
    char hostkey_algorithms[CONFIG_TEXT];
    uint64_t rsa_min_bits;
    uint64_t keepalive; // ms between keepalives on an idle connection, 0 = none

    // [control]
    char state_dir[CONFIG_TEXT];    // the SQLite store lives here
    char backup_dir[CONFIG_TEXT];   // delete --backup writes here
    char run_dir[CONFIG_TEXT];      // control.sock and gateway.sock
    char gateway_user[CONFIG_TEXT]; // the only user that may speak on gateway.sock
    char admin_group[CONFIG_TEXT];  // members may use control.sock (root always may)
    uint64_t job_threads;           // 1..64
    char public_host[CONFIG_TEXT];  // what users type after the @; for printed commands. Empty: ask --jump-ip
    uint64_t public_port;           // ditto
    char listen_tls[CONFIG_TEXT];   // like listen; empty: no HTTPS
    char tls_certificate[CONFIG_TEXT]; // empty: made by `cert generate`, in state_dir; so the next three
    char tls_key[CONFIG_TEXT];
    char tls_client_ca[CONFIG_TEXT];
    char tls_crl[CONFIG_TEXT];

    // [incus]
    char incus_url[CONFIG_TEXT];         // https://127.0.0.1:8443
    char incus_certificate[CONFIG_TEXT]; // our restricted client certificate (PEM)
    char incus_key[CONFIG_TEXT];
    char incus_server_certificate[CONFIG_TEXT]; // pinned; the only certificate we talk to
    char incus_project[CONFIG_TEXT];
    char incus_profile[CONFIG_TEXT];
    char incus_network[CONFIG_TEXT];
    char incus_pool[CONFIG_TEXT];
    char incus_image[CONFIG_TEXT]; // alias of the box image in that project
    uint64_t incus_timeout;        // ms an API call or operation may take

    // [box] defaults for new boxes
    uint64_t box_disk;         // bytes
    char box_cpu[CONFIG_TEXT]; // cpu_parse form
    uint64_t box_memory;       // bytes
    bool box_autostart;
    uint64_t box_max_snapshots;   // of one box
    char box_subnet[CONFIG_TEXT]; // "10.178.0.0/20"; at most /20 in prefix length, addresses come from it
    char box_address_first[CONFIG_TEXT]; // reserved low part, e.g. "10.178.0.16"; the bridge is .1
    uint64_t box_idle_freeze;            // ms without a session until a box is frozen, 0 = never
    uint64_t box_idle_stop;              // ditto until it is stopped
    uint64_t wake_deadline;              // ms a login waits for its box
    bool box_forwarding;                 // -L, -D, -R and -A through the box's own sshd
    char jump_ports[CONFIG_TEXT]; // ports reachable on one's own box through the jump door: "22" or "22 80
                                  // 8000-8999"

    // [limits] of each user, unless they have their own
    uint64_t limit_logins, limit_logins_per_source; // a minute
    uint64_t limit_connections, limit_connections_per_source;
    uint64_t limit_sessions, limit_channels;
    uint64_t limit_bandwidth; // bytes a second, 0 = none
    uint64_t limit_burst;     // bytes

    // [bans]
    uint64_t ban_failures, ban_names, ban_silent;
    uint64_t ban_window, ban_duration, ban_duration_max, ban_memory; // ms
    uint64_t ban_growth;
    uint64_t ban_trust;          // ms
    char ban_never[CONFIG_TEXT]; // subnets_have list

    // [enrol]
    uint64_t invite_expiry;        // ms
    char fetch_allow[CONFIG_TEXT]; // subnets_have list
    char fetch_ca[CONFIG_TEXT];

    // [audit]
    uint64_t audit_keep; // ms, 0 = for ever

    // [metrics]
    char metrics_listen[CONFIG_TEXT]; // "" = none, an address with port, or a path
    bool metrics_per_user;

    // [log]
    char log_level[CONFIG_TEXT]; // debug info warn error
};

enum config_type {
    CONFIG_STRING,     // any printable text; min and max are its length
    CONFIG_NAME,       // of a user, group, project, network, ...: letters, digits, - _ .
    CONFIG_PATH,       // absolute
    CONFIG_URL,        // https://HOST[:PORT]
    CONFIG_ALGORITHMS, // comma separated SSH algorithm names
    CONFIG_UINT,
    CONFIG_BOOL,
    CONFIG_SIZE,
    CONFIG_DURATION,
    CONFIG_CPU,
    CONFIG_CHOICE,
    CONFIG_LISTEN,
    CONFIG_SUBNET,
    CONFIG_ADDRESS,
    CONFIG_PORTS,
    CONFIG_SUBNETS, // any number of addresses and subnets
    CONFIG_RATE,    // a size, or "none" for 0
    CONFIG_LOCAL,   // "", a loopback address with port, or an absolute path
};

struct config_option {
    const char *section;
    const char *key;
    enum config_type type;
    size_t offset;        // into struct config
    const char *fallback; // default, in the file's own notation
    uint64_t min, max;    // for CONFIG_UINT, _SIZE, _DURATION (ms), _STRING (length), _SUBNET (prefix)
    const char *choices;  // space separated, for CONFIG_CHOICE
    bool reloadable;      // takes effect on SIGHUP
    const char *help;     // one sentence; goes to the dump and to the man page
};

// The table, ended by an entry whose key is NULL.
const struct config_option *config_options(void);

// Fills *c with the defaults. Never fails (a default that does not parse aborts: it is our own table).
void config_defaults(struct config *c);

// Defaults, then the file. On error returns ERR_INVALID (or ERR_NOTFOUND, ERR_IO), writes one line per error
// to `errors` (may be NULL), puts the first into *f, and leaves *c untouched.
MUST_CHECK enum err config_load(struct config *c, const char *path, FILE *errors, struct fault *f);

// Same for text in memory; `name` is what errors call it. This is what the fuzzer drives.
MUST_CHECK enum err config_parse(struct config *c, const char *name, const char *text, size_t length,
                                 FILE *errors, struct fault *f);

// Writes a complete file with the values in force and the help as comments.
void config_dump(const struct config *c, FILE *out);

// Writes the option table as mdoc for containarium.conf(5).
void config_dump_mdoc(FILE *out);

// Walks [gateway] listen: start with *cursor = config->listen; false after the last. host is numeric, no
// brackets.
bool config_listen_next(const char **cursor, char *host, size_t host_size, uint16_t *port);

// The addresses boxes may be given, inclusive, IPv4 in host byte order: from address_first to the one before
// the subnet's broadcast address. Cannot fail on a struct config that config_parse or config_defaults filled.
void config_subnet_range(const struct config *c, uint32_t *first, uint32_t *last);

#endif
