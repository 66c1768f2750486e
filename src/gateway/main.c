// containarium-gateway: reads the configuration and becomes the listener.
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/config.h"
#include "base/log.h"
#include "gateway/listener.h"

static const char usage[] = "usage: containarium-gateway [--config FILE] [--check | --version | --help]\n"
                            "  --config FILE  configuration, default " CONFIG_DEFAULT_FILE "\n"
                            "  --check        read the configuration, report every error, exit\n";

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    static struct config config;
    const char *path = CONFIG_DEFAULT_FILE;
    struct fault f;
    enum log_level level = LOG_LEVEL_INFO;
    bool check = false;
    int c;
    while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            path = optarg;
            break;
        case 'k':
            check = true;
            break;
        case 'V':
            puts("containarium-gateway " CONTAINARIUM_VERSION);
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind != argc) {
        fprintf(stderr, "containarium-gateway: unexpected argument \"%s\"\n%s", argv[optind], usage);
        return 2;
    }
    if (config_load(&config, path, stderr, &f) != ERR_NONE) {
        if (f.code != ERR_INVALID)
            fprintf(stderr, "containarium-gateway: %s\n", f.text);
        return 2;
    }
    if (check)
        return 0;
    (void)log_level_parse(config.log_level, &level);
    log_setup("containarium-gateway", level);
    if (geteuid() == 0)
        log_event(LOG_LEVEL_WARN, "running_as_root", "advice=%s",
                  log_quote("run it as its own user, see containarium-gateway(8)"));
    signal(SIGPIPE, SIG_IGN);
    (void)setlocale(LC_CTYPE, "C.UTF-8"); // for the console's letters, while the file can be read
    return listener_run(&config, path, argv);
}
