// containariumd: reads the configuration, opens the store, then one loop until SIGTERM.
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/notify.h"
#include "control/admin_socket.h"
#include "control/bans.h"
#include "control/box_flow.h"
#include "control/command.h"
#include "control/control.h"
#include "control/gateway_link.h"
#include "control/http_api.h"
#include "control/idle.h"
#include "control/metrics.h"
#include "control/offline.h"
#include "control/retention.h"
#include "control/share.h"
#include "control/tls_server.h"
#include "control/usage.h"
#include "control/writer.h"

struct options {
    const char *config;
    const char *listen_tls; // instead of the configuration's
    bool check, dump, new_audit_key, openapi;
    const char *restore, *verify; // a backup of the store
    void (*print)(FILE *out);     // what is asked for needs no configuration
};

static const char usage[] =
    "usage: containariumd [--config FILE] [--listen-tls ADDRESS:PORT]\n"
    "       containariumd [--config FILE] --check | --dump | --dump-mdoc | --dump-verbs |\n"
    "                     --dump-verbs-mdoc | --new-audit-key | --openapi | --version | --help\n"
    "       containariumd [--config FILE] --restore FILE | --verify FILE\n"
    "  --config FILE  configuration, default " CONFIG_DEFAULT_FILE "\n"
    "  --listen-tls ADDRESS:PORT\n"
    "                 serve HTTPS there, whatever [control] listen_tls says\n"
    "  --check        read the configuration, report every error, exit\n"
    "  --dump         print the configuration in force as a file, with help, exit\n"
    "  --dump-mdoc    print the option table for the manual page, exit\n"
    "  --dump-verbs   print the verbs of containarium(1) for the completion of shells, exit\n"
    "  --dump-verbs-mdoc\n"
    "                 print them for the manual page, exit\n"
    "  --new-audit-key\n"
    "                 sign the audit trail with a new key, and say so in it; exit\n"
    "  --restore FILE put the store back from what `containarium store backup` wrote; exit\n"
    "  --verify FILE  only check it, and say what is in it; exit\n"
    "  --openapi      print the description of the HTTPS interface, exit\n";

static int parse_arguments(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},  {"check", no_argument, NULL, 'k'},
        {"dump", no_argument, NULL, 'd'},          {"dump-mdoc", no_argument, NULL, 'm'},
        {"dump-verbs", no_argument, NULL, 'v'},    {"dump-verbs-mdoc", no_argument, NULL, 'w'},
        {"new-audit-key", no_argument, NULL, 'n'}, {"listen-tls", required_argument, NULL, 't'},
        {"restore", required_argument, NULL, 'r'}, {"verify", required_argument, NULL, 'y'},
        {"openapi", no_argument, NULL, 'o'},       {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->config = optarg;
            break;
        case 'k':
            o->check = true;
            break;
        case 'd':
            o->dump = true;
            break;
        case 'm':
            o->print = config_dump_mdoc;
            break;
        case 'v':
            o->print = command_dump;
            break;
        case 'w':
            o->print = command_dump_mdoc;
            break;
        case 'n':
            o->new_audit_key = true;
            break;
        case 't':
            o->listen_tls = optarg;
            break;
        case 'r':
            o->restore = optarg;
            break;
        case 'y':
            o->verify = optarg;
            break;
        case 'o':
            o->openapi = true;
            break;
        case 'V':
            puts("containariumd " CONTAINARIUM_VERSION);
            exit(0);
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs(usage, stderr);
            return -1;
        }
    }
    if (o->restore != NULL && o->verify != NULL) {
        fprintf(stderr, "containariumd: --restore verifies by itself; say one of --restore and --verify\n");
        return -1;
    }
    if (optind != argc) {
        fprintf(stderr, "containariumd: unexpected argument \"%s\"\n%s", argv[optind], usage);
        return -1;
    }
    return 0;
}

struct daemon {
    struct control control;
    const char *config_path;
    bool again; // start anew instead of ending
};

// SIGHUP starts this program anew with the new configuration: live connections come back by themselves, so
// that there is no half-reloaded state. A configuration with errors is reported and the old one stays in
// force.
static void on_signal(evutil_socket_t signum, short what, void *arg)
{
    struct daemon *d = arg;
    (void)what;
    if (signum == SIGHUP) {
        static struct config fresh; // large, and only looked at
        struct fault f;
        if (config_load(&fresh, d->config_path, stderr, &f) != ERR_NONE) {
            log_event(LOG_LEVEL_ERROR, "reload_refused", "error=%s", log_quote(f.text));
            return;
        }
        d->again = true;
    }
    log_event(LOG_LEVEL_INFO, d->again ? "start_anew" : "stopping", "signal=%d", (int)signum);
    if (d->again)
        notify_reloading();
    else
        notify_stopping();
    event_base_loopexit(d->control.base, NULL);
}

static void name_store(const struct config *config, char out[CONFIG_TEXT + 32])
{
    snprintf(out, CONFIG_TEXT + 32, "%s/containarium.db", config->state_dir);
}

static enum err open_store(struct control *c, struct fault *f)
{
    char path[CONFIG_TEXT + 32];
    if (mkdir(c->config->state_dir, 0700) != 0 && errno != EEXIST)
        return fault_errno(f, ERR_IO, "cannot make the state directory %s", c->config->state_dir);
    if (mkdir(c->config->run_dir, 0755) != 0 && errno != EEXIST)
        return fault_errno(f, ERR_IO, "cannot make the run directory %s", c->config->run_dir);
    name_store(c->config, path);
    return store_open(path, &c->store, f);
}

static enum err control_start(struct control *c, struct fault *f)
{
    enum err e = open_store(c, f);
    if (e != ERR_NONE)
        return e;
    c->base = event_base_new();
    if (c->base == NULL)
        return fault_set(f, ERR_MEMORY, "cannot make an event loop");
    c->writer = writer_new(c);
    c->flows = box_flows_new(c);
    c->usages = usages_new();
    c->retention = retention_new(c);
    if (c->writer == NULL || c->flows == NULL || c->usages == NULL || c->retention == NULL)
        return fault_set(f, ERR_MEMORY, "out of memory");
    e = metrics_new(c, &c->metrics, f);
    if (e == ERR_NONE)
        e = bans_new(c, &c->bans, f);
    if (e == ERR_NONE)
        e = provision_new(c->base, c->config, &c->provision, f);
    if (e == ERR_NONE)
        e = fetcher_new(c->base, c->config, &c->fetcher, f);
    if (e == ERR_NONE)
        e = gateway_server_new(c, &c->gateway, f);
    if (e == ERR_NONE && (idle_new(c) == NULL || shares_new(c) == NULL))
        e = fault_set(f, ERR_MEMORY, "out of memory");
    if (e == ERR_NONE)
        e = admin_server_new(c, &c->admin, f);
    if (e == ERR_NONE)
        e = tls_server_new(c, &c->tls, f);
    return e;
}

static void control_stop(struct control *c)
{
    tls_server_free(c->tls);
    admin_server_free(c->admin);
    shares_free(c->shares);
    idle_free(c->idle);
    gateway_server_free(c->gateway);
    fetcher_free(c->fetcher);
    if (c->provision != NULL)
        provision_free(c->provision);
    box_flows_free(c->flows);
    retention_free(c->retention);
    writer_free(c->writer);
    metrics_free(c->metrics);
    bans_free(c->bans);
    usages_free(c->usages);
    store_close(c->store);
    if (c->base != NULL)
        event_base_free(c->base);
}

static enum err add_signals(struct daemon *d, struct event **events, struct fault *f)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < 3; i++) {
        events[i] = evsignal_new(d->control.base, signals[i], on_signal, d);
        if (events[i] == NULL || event_add(events[i], NULL) != 0)
            return fault_set(f, ERR_MEMORY, "out of memory");
    }
    return ERR_NONE;
}

static int run(struct daemon *d, char **argv)
{
    struct control *c = &d->control;
    struct fault f = {.code = ERR_NONE};
    struct event *signals[3] = {NULL}, *watchdog = NULL;
    int status = 1;
    enum err e = control_start(c, &f);
    if (e == ERR_NONE)
        e = add_signals(d, signals, &f);
    if (e == ERR_NONE) {
        log_event(LOG_LEVEL_INFO, "ready", "state_dir=%s run_dir=%s schema=%d", c->config->state_dir,
                  c->config->run_dir, store_schema_version(c->store));
        watchdog = notify_watchdog(c->base);
        notify_ready();
        status = event_base_dispatch(c->base) < 0 ? 1 : 0;
    } else {
        log_event(LOG_LEVEL_ERROR, "start_failed", "error=%s", log_quote(f.text));
        fprintf(stderr, "containariumd: %s\n", f.text);
    }
    for (size_t i = 0; i < 3; i++) {
        if (signals[i] != NULL)
            event_free(signals[i]);
    }
    if (watchdog != NULL)
        event_free(watchdog);
    control_stop(c);
    if (d->again) {
        execv("/proc/self/exe", argv);
        log_event(LOG_LEVEL_ERROR, "exec_failed", "error=%s", strerror(errno));
        status = 1;
    }
    return status;
}

static int new_audit_key(const struct config *config)
{
    char path[CONFIG_TEXT + 32];
    struct fault f = {.text = ""};
    umask(077);
    name_store(config, path);
    if (store_renew_audit_key(path, &f) == ERR_NONE)
        return 0;
    fprintf(stderr, "containariumd: %s\n", f.text);
    return 1;
}

static int print_openapi(void)
{
    json_t *document = openapi_document();
    bool ok = document != NULL && json_dumpf(document, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 &&
              puts("") >= 0;
    json_decref(document);
    return ok ? 0 : 1;
}

// The command line's word before the configuration's, checked by the same rules.
static enum err set_listen_tls(struct config *config, const char *text, struct fault *f)
{
    char line[CONFIG_TEXT + 64];
    static struct config checked; // large, and only looked at
    int n = snprintf(line, sizeof line, "[control]\nlisten_tls = %s\n", text);
    if (n < 0 || (size_t)n >= sizeof line || strpbrk(text, "\r\n;#") != NULL)
        return fault_set(f, ERR_INVALID, "--listen-tls: write ADDRESS:PORT, like 0.0.0.0:50051");
    enum err e = config_parse(&checked, "--listen-tls", line, (size_t)n, NULL, f);
    if (e == ERR_NONE)
        memcpy(config->listen_tls, checked.listen_tls, sizeof config->listen_tls);
    return e;
}

int main(int argc, char **argv)
{
    static struct config config;
    struct options o = {.config = CONFIG_DEFAULT_FILE};
    struct fault f;
    enum log_level level = LOG_LEVEL_INFO;
    if (parse_arguments(argc, argv, &o) != 0)
        return 2;
    if (o.print != NULL) {
        o.print(stdout);
        return 0;
    }
    if (o.openapi)
        return print_openapi();
    if (o.dump && strcmp(o.config, CONFIG_DEFAULT_FILE) == 0 && access(o.config, F_OK) != 0) {
        config_defaults(&config); // before the first file is written, this is how to write it
    } else if (config_load(&config, o.config, stderr, &f) != ERR_NONE) {
        if (f.code != ERR_INVALID)
            fprintf(stderr, "containariumd: %s\n", f.text);
        return 2;
    }
    if (o.listen_tls != NULL && set_listen_tls(&config, o.listen_tls, &f) != ERR_NONE) {
        fprintf(stderr, "containariumd: %s\n", f.text);
        return 2;
    }
    if (o.dump)
        config_dump(&config, stdout);
    if (o.check || o.dump)
        return 0;
    if (o.new_audit_key)
        return new_audit_key(&config);
    if (o.restore != NULL || o.verify != NULL)
        return offline_run(&config, o.restore, o.verify);
    (void)log_level_parse(config.log_level, &level);
    log_setup("containariumd", level);
    if (geteuid() == 0)
        log_event(LOG_LEVEL_WARN, "running_as_root", "advice=%s",
                  log_quote("run it as its own user, see containariumd(8)"));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        log_event(LOG_LEVEL_WARN, "no_new_privs", "error=%s", strerror(errno));
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); // boxes' keys are in memory
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    struct daemon d = {.control = {.config = &config}, .config_path = o.config};
    return run(&d, argv);
}
