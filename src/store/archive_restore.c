// Puts a verified store in the place of another. Two files cannot be replaced at once, so a mark stands
// beside them from the first change to the last, and store_open refuses while it does.
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/archive_parts.h"
#include "store/audit.h"
#include "store/query.h"

struct place {
    const char *path;
    int folder;
    char key[ARCHIVE_PATH], mark[ARCHIVE_PATH], wal[ARCHIVE_PATH], shm[ARCHIVE_PATH];
};

static enum err place_open(struct place *p, const char *path, struct fault *f)
{
    char copy[512];
    *p = (struct place){.path = path, .folder = -1};
    if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy)
        return fault_set(f, ERR_INVALID, "the path %.100s... is too long", path);
    snprintf(p->key, sizeof p->key, "%s.audit-key", path);
    snprintf(p->mark, sizeof p->mark, "%s" STORE_RESTORING, path);
    snprintf(p->wal, sizeof p->wal, "%s-wal", path);
    snprintf(p->shm, sizeof p->shm, "%s-shm", path);
    p->folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return p->folder >= 0 ? ERR_NONE : fault_errno(f, ERR_IO, "cannot open the folder of %.200s", path);
}

// Links, so that what is kept aside is there before what is in use is touched.
static enum err keep(const char *name, int folder, struct fault *f)
{
    const char *slash = strrchr(name, '/');
    return linkat(AT_FDCWD, name, folder, slash == NULL ? name : slash + 1, 0) == 0 || errno == ENOENT
               ? ERR_NONE
               : fault_errno(f, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO,
                             "cannot keep %.200s aside", name);
}

static enum err keep_all(const struct place *p, const char *aside, struct fault *f)
{
    if (aside[0] == '\0')
        return ERR_NONE;
    if (mkdir(aside, 0700) != 0)
        return fault_errno(f, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot make %.200s",
                           aside);
    int folder = open(aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return fault_errno(f, ERR_IO, "cannot open %.200s", aside);
    enum err e = keep(p->path, folder, f);
    if (e == ERR_NONE)
        e = keep(p->wal, folder, f);
    if (e == ERR_NONE)
        e = keep(p->key, folder, f);
    if (e == ERR_NONE && fsync(folder) != 0)
        e = fault_errno(f, ERR_IO, "cannot write %.200s", aside);
    close(folder);
    return e;
}

static enum err sync_folder(const struct place *p, struct fault *f)
{
    return fsync(p->folder) == 0 ? ERR_NONE
                                 : fault_errno(f, ERR_IO, "cannot write the folder of %.200s", p->path);
}

static enum err set_mark(const struct place *p, struct fault *f)
{
    int fd = open(p->mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fault_errno(f, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot make %.200s",
                           p->mark);
    close(fd);
    return sync_folder(p, f);
}

// A write-ahead log of the old database would be folded into the new one.
static enum err replace(const struct place *p, const struct scratch *from, struct fault *f)
{
    if ((unlink(p->wal) != 0 && errno != ENOENT) || (unlink(p->shm) != 0 && errno != ENOENT))
        return fault_errno(f, ERR_IO, "cannot remove %.200s", p->wal);
    if (rename(from->key, p->key) != 0 || rename(from->database, p->path) != 0)
        return fault_errno(f, ERR_IO, "cannot replace %.200s", p->path);
    enum err e = sync_folder(p, f);
    if (e == ERR_NONE && unlink(p->mark) != 0)
        e = fault_errno(f, ERR_IO, "cannot remove %.200s", p->mark);
    return e == ERR_NONE ? sync_folder(p, f) : e;
}

// Its last writer has closed it: everything must be in the one file that is moved.
static enum err check_closed(const struct scratch *s, struct fault *f)
{
    char wal[sizeof s->database + 8];
    struct stat st;
    snprintf(wal, sizeof wal, "%s-wal", s->database);
    if (stat(wal, &st) == 0 && st.st_size > 0)
        return fault_set(f, ERR_FULL, "the database could not be written to its end; is the disk full?");
    return ERR_NONE;
}

static enum err verify_and_tell(int fd, const struct scratch *s, const char *aside,
                                struct archive_facts *facts, struct fault *f)
{
    char made[64], reason[ARCHIVE_PATH + 64];
    struct tm tm;
    struct audit_record record = {.time = time(NULL),
                                  .event = AUDIT_STORE_RESTORED,
                                  .actor = "root@host",
                                  .target = made,
                                  .reason = reason};
    enum err e = archive_unpack(fd, s, NULL, facts, f);
    if (e != ERR_NONE)
        return e;
    strftime(made, sizeof made, "backup of %Y-%m-%dT%H:%M:%SZ", gmtime_r(&facts->made, &tm));
    snprintf(reason, sizeof reason, aside[0] == '\0' ? "nothing was there before" : "what was there: %s",
             aside);
    e = archive_examine(s, NULL, &record, facts, f);
    return e == ERR_NONE ? check_closed(s, f) : e;
}

static enum err restore(int fd, const struct place *p, char aside[ARCHIVE_PATH], struct archive_facts *facts,
                        struct fault *f)
{
    struct scratch scratch;
    struct tm tm;
    char when[32];
    time_t now = time(NULL);
    aside[0] = '\0';
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    if (access(p->path, F_OK) == 0 || access(p->key, F_OK) == 0)
        snprintf(aside, ARCHIVE_PATH, "%s.before-%s", p->path, when);
    enum err e = scratch_open(p->path, &scratch, f);
    if (e != ERR_NONE)
        return e;
    e = verify_and_tell(fd, &scratch, aside, facts, f);
    if (e == ERR_NONE)
        e = keep_all(p, aside, f);
    if (e == ERR_NONE)
        e = set_mark(p, f);
    if (e == ERR_NONE)
        e = replace(p, &scratch, f);
    scratch_close(&scratch);
    return e;
}

enum err archive_restore(int fd, const char *path, char aside[ARCHIVE_PATH], struct archive_facts *out,
                         struct fault *f)
{
    struct place p;
    int lock = -1;
    *out = (struct archive_facts){.schema = 0};
    enum err e = place_open(&p, path, f);
    if (e == ERR_NONE)
        e = store_lock(path, &lock, f);
    if (e == ERR_CONFLICT)
        (void)fault_set(f, e, "%.200s is in use by containariumd: stop it first", path);
    if (e == ERR_NONE)
        e = restore(fd, &p, aside, out, f);
    if (lock >= 0)
        close(lock);
    if (p.folder >= 0)
        close(p.folder);
    return e;
}
