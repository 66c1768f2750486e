// export: an ssh_config that needs nothing else. The host keys of both hops are inside it, as a
// KnownHostsCommand that prints them (ssh_config(5), OpenSSH 8.5 and later), so that nobody is asked to trust
// a fingerprint, and one text can be pasted, mailed or included.
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "store/share.h"

#define JUMP_ALIAS "containarium-jump"

struct export
{
    const char *host;
    unsigned port;
    char key[600];                        // IdentityFile's value, quoted
    char gateway_keys[BOX_HOSTKEYS_SIZE]; // "TYPE BASE64\n" lines
    struct box_row row;
    struct store *store;
    struct box_row *shared; // boxes of others that the user may enter
    size_t shared_count;
};

// Host names and addresses, nothing that means something to ssh_config.
static enum err check_host(const char *host, struct fault *f)
{
    bool good = host[0] != '\0' && host[0] != '-' && strlen(host) < 256;
    for (const char *p = host; good && *p != '\0'; p++)
        good = isalnum((unsigned char)*p) || strchr(".:-_", *p) != NULL;
    if (!good)
        return fault_set(f, ERR_INVALID, "--jump-ip: \"%.60s\" is neither a host name nor an IP address",
                         host);
    return ERR_NONE;
}

// A path as a value of ssh_config: in quotes, its percent signs doubled (they start tokens).
static enum err quote_path(const char *path, char *out, size_t size, struct fault *f)
{
    size_t at = 0;
    out[at++] = '"';
    for (const char *p = path; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f || at + 4 > size)
            return fault_set(f, ERR_INVALID, "--key: this path cannot be written into an ssh_config");
        out[at++] = *p;
        if (*p == '%')
            out[at++] = '%';
    }
    out[at++] = '"';
    out[at] = '\0';
    return ERR_NONE;
}

static enum err add_gateway_key(const struct pubkey *key, void *arg, struct fault *f)
{
    struct export *x = arg;
    size_t at = strlen(x->gateway_keys);
    int n = snprintf(x->gateway_keys + at, sizeof x->gateway_keys - at, "%s %s\n", key->type, key->base64);
    if (n < 0 || (size_t)n >= sizeof x->gateway_keys - at)
        return fault_set(f, ERR_FULL, "the gateway's host keys are too long");
    return ERR_NONE;
}

static enum err read_gateway_key(struct export *x, const char *path, struct fault *f)
{
    char text[8192];
    FILE *in = fopen(path, "re");
    if (in == NULL)
        return fault_errno(f, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot read %s", path);
    size_t n = fread(text, 1, sizeof text, in);
    fclose(in);
    return pubkey_parse_file(text, n, add_gateway_key, x, f);
}

// Those that packaging/rotate-hostkeys.sh has made for later.
static enum err add_next_keys(const struct config *config, struct export *x, struct fault *f)
{
    static const char *const kinds[] = {"ed25519", "ecdsa"};
    enum err e = ERR_NONE;
    for (size_t i = 0; i < 2 && e == ERR_NONE; i++) {
        char path[CONFIG_TEXT + 64];
        snprintf(path, sizeof path, "%s/ssh_host_%s_key.next.pub", config->host_key_dir, kinds[i]);
        e = read_gateway_key(x, path, f);
        if (e == ERR_NOTFOUND)
            e = ERR_NONE;
    }
    return e;
}

// The gateway's own keys, strongest first. One is enough.
static enum err read_gateway_keys(const struct config *config, struct export *x, struct fault *f)
{
    static const char *const kinds[] = {"ed25519", "ecdsa", "rsa"};
    for (size_t i = 0; i < 3; i++) {
        if (i == 2 && x->gateway_keys[0] != '\0')
            break; // ssh prefers the kinds it knows, and an RSA key is long
        char path[CONFIG_TEXT + 64];
        struct fault why;
        snprintf(path, sizeof path, "%s/ssh_host_%s_key.pub", config->host_key_dir, kinds[i]);
        if (read_gateway_key(x, path, &why) != ERR_NONE && (f->code == ERR_NONE || why.code != ERR_NOTFOUND))
            *f = why;
    }
    if (x->gateway_keys[0] != '\0')
        return add_next_keys(config, x, f);
    (void)fault_prefix(f, "the gateway's host keys are not known");
    return f->code;
}

static void print_keys_as(FILE *out, const char *before, const char *alias, const char *lines,
                          const char *after)
{
    while (*lines != '\0') {
        size_t n = strcspn(lines, "\n");
        if (n > 0)
            fprintf(out, "%s%s %.*s%s", before, alias, (int)n, lines, after);
        lines += n + (lines[n] == '\n');
    }
}

static void print_hop(FILE *out, const struct export *x, const char *user, const char *alias,
                      const char *hostkeys)
{
    fprintf(out, "    User %s\n    HostKeyAlias %s\n", user, alias);
    if (x->key[0] != '\0')
        fprintf(out, "    IdentityFile %s\n    IdentitiesOnly yes\n", x->key);
    if (hostkeys[0] == '\0')
        return;
    fprintf(out, "    UpdateHostKeys no\n    IgnoreUnknown KnownHostsCommand\n"
                 "    KnownHostsCommand /usr/bin/printf \"%%%%s\\n\"");
    print_keys_as(out, " \"", alias, hostkeys, "\"");
    fputc('\n', out);
}

static void print_gateway(FILE *out, const struct export *x, const char *alias, const char *login)
{
    fprintf(out, "\nHost %s\n    HostName %s\n    Port %u\n", alias, x->host, x->port);
    print_hop(out, x, login, JUMP_ALIAS, x->gateway_keys);
}

static void print_box(FILE *out, const struct export *x, const struct box_row *row, const char *jump)
{
    fprintf(out, "\nHost %s-dev %s\n    HostName %s\n    ProxyJump %s\n", row->user, row->name, row->name,
            jump);
    print_hop(out, x, row->user, row->name, row->hostkeys);
}

// The box of somebody else: the way to it is a login of its own.
static void print_shared(FILE *out, const struct export *x, const struct box_row *row)
{
    char jump[sizeof JUMP_ALIAS + NAME_USER_SIZE + 1], login[NAME_LOGIN_SIZE];
    snprintf(jump, sizeof jump, "%s-%s", JUMP_ALIAS, row->user);
    snprintf(login, sizeof login, "%s+%s", x->row.user, row->user);
    print_gateway(out, x, jump, login);
    print_box(out, x, row, jump);
}

static void print_config(FILE *out, const struct export *x, const char *known_hosts)
{
    char now[32];
    bool known = x->row.hostkeys[0] != '\0';
    fprintf(out, "# Containarium SSH configuration\n# User: %s\n# Generated: %s\n#\n", x->row.user,
            when_format(time(NULL), now, sizeof now));
    fprintf(out, "# Append this to ~/.ssh/config (or Include the file there), then: ssh %s-dev\n",
            x->row.user);
    if (known_hosts != NULL)
        fprintf(out, "# OpenSSH before 8.5: add to both hosts   UserKnownHostsFile %s\n", known_hosts);
    if (!known)
        fprintf(out,
                "# The box has not been made yet, so its host key is not in here and ssh will ask about it.\n"
                "# Export again after the first login (ssh %s, which makes the box) to be asked nothing.\n",
                JUMP_ALIAS);
    print_gateway(out, x, JUMP_ALIAS, x->row.user);
    print_box(out, x, &x->row, JUMP_ALIAS);
    for (size_t i = 0; i < x->shared_count; i++)
        print_shared(out, x, &x->shared[i]);
}

static void print_known_hosts(FILE *out, const struct export *x)
{
    print_keys_as(out, "", JUMP_ALIAS, x->gateway_keys, "\n");
    print_keys_as(out, "", x->row.name, x->row.hostkeys, "\n");
    for (size_t i = 0; i < x->shared_count; i++)
        print_keys_as(out, "", x->shared[i].name, x->shared[i].hostkeys, "\n");
}

static void deliver(struct command_run *run, const struct export *x, const char *config,
                    const char *known_hosts)
{
    const char *output = verb_option(run, "output"), *known_file = verb_option(run, "known-hosts");
    char alias[NAME_USER_SIZE + 8];
    snprintf(alias, sizeof alias, "%s-dev", x->row.user);
    if (known_file != NULL)
        verb_save(run, known_file, known_hosts, strlen(known_hosts));
    if (output != NULL)
        verb_save(run, output, config, strlen(config));
    if (run->json)
        verb_result(run, json_pack("{s:s, s:s, s:s, s:i, s:b, s:s, s:s}", "user", x->row.user, "alias", alias,
                                   "host", x->host, "port", (int)x->port, "box_key_known",
                                   x->row.hostkeys[0] != '\0', "config", config, "known_hosts", known_hosts));
    else if (output == NULL)
        verb_out_text(run, config);
    else
        verb_note(run, "Written to %s. Use it: ssh -F %s %s, or Include it in ~/.ssh/config.", output, output,
                  alias);
    if (x->row.hostkeys[0] == '\0')
        verb_note(
            run,
            "Note: the box has not been made yet; export again after the first login to include its host "
            "key.");
    verb_done(run);
}

static void export_it(struct command_run *run, const struct export *x)
{
    char *config = NULL, *known_hosts = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&config, &length);
    if (out != NULL)
        print_config(out, x, verb_option(run, "known-hosts"));
    bool good = out != NULL && fclose(out) == 0;
    out = open_memstream(&known_hosts, &length);
    if (out != NULL)
        print_known_hosts(out, x);
    good = out != NULL && fclose(out) == 0 && good;
    if (good)
        deliver(run, x, config, known_hosts);
    else
        verb_failf(run, ERR_MEMORY, "out of memory");
    free(config);
    free(known_hosts);
}

static enum err parse_wishes(struct command_run *run, struct export *x, struct fault *f)
{
    const struct config *config = run->control->config;
    const char *port = verb_option(run, "port"), *key = verb_option(run, "key");
    x->host = verb_option(run, "jump-ip");
    if (x->host == NULL)
        x->host = config->public_host;
    if (x->host[0] == '\0')
        return fault_set(
            f, ERR_INVALID,
            "the gateway's address is not known: say --jump-ip HOST, or set [control] public_host");
    enum err e = check_host(x->host, f);
    if (e == ERR_NONE && key != NULL)
        e = quote_path(key, x->key, sizeof x->key, f);
    if (e != ERR_NONE)
        return e;
    x->port = (unsigned)config->public_port;
    if (port != NULL) {
        char *end = NULL;
        unsigned long n = strtoul(port, &end, 10);
        if (port[0] < '0' || port[0] > '9' || *end != '\0' || n == 0 || n > 65535)
            return fault_set(f, ERR_INVALID, "--port: \"%.40s\" is not a port from 1 to 65535", port);
        x->port = (unsigned)n;
    }
    if (!run->cli && (verb_option(run, "output") != NULL || verb_option(run, "known-hosts") != NULL))
        return fault_set(
            f, ERR_INVALID,
            "files cannot be written on your machine from here; leave the option out and say > FILE");
    return ERR_NONE;
}

static enum err add_shared(const struct share *share, void *arg, struct fault *f)
{
    struct export *x = arg;
    struct box_row row;
    if (!share_in_force(share, time(NULL)))
        return ERR_NONE;
    enum err e = box_get(x->store, share->owner_id, &row, f);
    if (e != ERR_NONE)
        return e == ERR_NOTFOUND ? ERR_NONE : e; // not made yet
    struct box_row *grown = reallocarray(x->shared, x->shared_count + 1, sizeof *grown);
    if (grown == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    x->shared = grown;
    grown[x->shared_count++] = row;
    return ERR_NONE;
}

void cmd_export(struct command_run *run)
{
    struct export x = {.port = 22, .store = run->control->store};
    struct fault f = {.code = ERR_NONE};
    enum err e = parse_wishes(run, &x, &f);
    if (e == ERR_NONE)
        e = read_gateway_keys(run->control->config, &x, &f);
    if (e == ERR_NONE)
        e = box_get(run->control->store, run->account.id, &x.row, &f);
    if (e == ERR_NOTFOUND && f.code == ERR_NOTFOUND && x.gateway_keys[0] != '\0') {
        snprintf(x.row.user, sizeof x.row.user, "%s",
                 run->account.name); // no row yet: it comes with the first login
        name_box(run->account.name, x.row.name);
        e = ERR_NONE;
    }
    if (e == ERR_NONE)
        e = share_each(x.store, 0, run->account.id, add_shared, &x, &f);
    if (e != ERR_NONE)
        verb_fail(run, &f);
    else
        export_it(run, &x);
    free(x.shared);
}
