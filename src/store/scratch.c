// Owns the folder and everything in it. Its name is fixed and its lock is on the folder itself, so that
// nothing is left for ever and nothing of another is removed.
#include "store/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ROOM_KEPT (16u << 20) // twice what logins need, see store_check_space

static void empty(int folder)
{
    static const char *const names[] = {"containarium.db",
                                        "containarium.db-wal",
                                        "containarium.db-shm",
                                        "containarium.db-journal",
                                        "containarium.db.lock",
                                        "containarium.db.audit-key",
                                        "containarium.db.audit-key.new"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unlinkat(folder, names[i], 0);
}

enum err scratch_open(const char *path, struct scratch *out, struct fault *f)
{
    enum err e = ERR_NONE;
    *out = (struct scratch){.fd = -1};
    if (snprintf(out->folder, sizeof out->folder, "%s.scratch", path) >= (int)sizeof out->folder)
        return fault_set(f, ERR_INVALID, "the path %.100s... is too long", path);
    snprintf(out->database, sizeof out->database, "%s/containarium.db", out->folder);
    snprintf(out->key, sizeof out->key, "%s/containarium.db.audit-key", out->folder);
    if (mkdir(out->folder, 0700) != 0 && errno != EEXIST)
        return fault_errno(f, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot make %.200s",
                           out->folder);
    out->fd = open(out->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out->fd < 0)
        e = fault_errno(f, ERR_IO, "cannot open %.200s", out->folder);
    else if (flock(out->fd, LOCK_EX | LOCK_NB) != 0)
        e = errno == EWOULDBLOCK
                ? fault_set(f, ERR_CONFLICT, "another backup is being made or looked at; try again later")
                : fault_errno(f, ERR_IO, "cannot lock %.200s", out->folder);
    if (e == ERR_NONE) {
        empty(out->fd);
    } else if (out->fd >= 0) {
        close(out->fd);
        out->fd = -1;
    }
    return e;
}

enum err scratch_room(const struct scratch *s, uint64_t bytes, struct fault *f)
{
    struct statvfs vfs;
    if (fstatvfs(s->fd, &vfs) != 0)
        return fault_errno(f, ERR_IO, "cannot look at the disk of %.200s", s->folder);
    if ((uint64_t)vfs.f_bavail * vfs.f_frsize / 2 < bytes / 2 + ROOM_KEPT / 2)
        return fault_set(
            f, ERR_FULL,
            "%llu MiB are needed on the disk of %.200s while it is looked at; free some space there",
            (unsigned long long)(bytes + ROOM_KEPT + (1u << 20) - 1) >> 20, s->folder);
    return ERR_NONE;
}

void scratch_close(struct scratch *s)
{
    if (s->fd < 0)
        return;
    empty(s->fd);
    (void)rmdir(s->folder);
    close(s->fd);
    s->fd = -1;
}
