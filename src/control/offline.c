// Opens the file as whoever calls, then works as the user that the state directory belongs to: root may read
// the file, the daemon must be able to read what comes of it.
#include "control/offline.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/units.h"
#include "store/archive.h"

static enum err become_owner(const char *folder, struct fault *f)
{
    struct stat st;
    if (stat(folder, &st) != 0)
        return fault_errno(f, ERR_IO, "cannot use [control] state_dir %s; install containarium first",
                           folder);
    if (geteuid() != 0 || st.st_uid == 0)
        return ERR_NONE;
    if (setgroups(0, NULL) != 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) != 0 ||
        setresuid(st.st_uid, st.st_uid, st.st_uid) != 0)
        return fault_errno(f, ERR_IO, "cannot become the owner of %s", folder);
    return ERR_NONE;
}

static int open_file(const char *name, struct fault *f)
{
    struct stat st;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        fault_errno(f, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot open %.200s", name);
    } else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        fault_set(f, ERR_INVALID, "%.200s is not a regular file", name);
        close(fd);
        fd = -1;
    }
    return fd;
}

static void print_facts(const struct archive_facts *a)
{
    char when[32];
    printf("made %s, schema %d: %lld accounts, %lld keys, %lld boxes; audit trail whole, %lld records up to "
           "%lld\nSHA-256 %s\n",
           when_format(a->made, when, sizeof when), a->schema, (long long)a->accounts, (long long)a->keys,
           (long long)a->boxes, (long long)a->records, (long long)a->last, a->sha256);
}

int offline_run(const struct config *config, const char *restore, const char *verify)
{
    char path[CONFIG_TEXT + 32], aside[ARCHIVE_PATH] = "";
    struct archive_facts facts;
    struct fault f = {.text = ""};
    enum err e = ERR_NONE;
    int fd = open_file(restore != NULL ? restore : verify, &f);
    umask(077);
    snprintf(path, sizeof path, "%s/containarium.db", config->state_dir);
    if (fd < 0)
        e = f.code;
    if (e == ERR_NONE)
        e = become_owner(config->state_dir, &f);
    if (e == ERR_NONE)
        e = restore != NULL ? archive_restore(fd, path, aside, &facts, &f)
                            : archive_verify(fd, path, NULL, &facts, &f);
    if (fd >= 0)
        close(fd);
    if (e != ERR_NONE) {
        fprintf(stderr, "containariumd: %s\n", f.text);
        return 1;
    }
    print_facts(&facts);
    if (restore != NULL)
        printf("restored to %s\n", path);
    if (aside[0] != '\0')
        printf("what was there is in %s\n", aside);
    return 0;
}
