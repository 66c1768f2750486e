// Files of the caller's: read and written only where the caller's own arguments name them, because what is at
// the other end decides which are asked for.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/cli.h"

// As a word, or after the = of an option.
static bool is_own_argument(const struct cli *c, const char *path)
{
    for (int i = 0; i < c->argc; i++) {
        const char *equals = strncmp(c->argv[i], "--", 2) == 0 ? strchr(c->argv[i], '=') : NULL;
        if (strcmp(c->argv[i], path) == 0 || (equals != NULL && strcmp(equals + 1, path) == 0))
            return true;
    }
    return false;
}

int cli_open_file(const struct cli *c, const char *path, const char **why)
{
    *why = "it is not among the arguments of this command";
    if (!is_own_argument(c, path))
        return -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    *why = fd < 0 ? strerror(errno) : NULL;
    return fd;
}

static bool is_forced(const struct cli *c)
{
    for (int i = 0; i < c->argc && strcmp(c->argv[i], "--") != 0; i++) {
        if (strcmp(c->argv[i], "--force") == 0)
            return true;
    }
    return false;
}

// A plainly named file in a folder that is an argument. It is made anew, never over another: the caller did
// not name it, so only the caller's own --force lets it go.
static int open_in_folder(const struct cli *c, const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[1024];
    size_t n = slash == NULL ? 0 : (size_t)(slash - path);
    if (n == 0 || n + 1 >= sizeof folder || slash[1] == '.' || slash[1] == '\0') {
        errno = EPERM;
        return -1;
    }
    memcpy(folder, path, n + 1);
    folder[n + 1] = '\0'; // "DIR/"
    if (!is_own_argument(c, folder)) {
        folder[n] = '\0';
        if (!is_own_argument(c, folder)) {
            errno = EPERM;
            return -1;
        }
    }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return -1;
    if (is_forced(c) && unlink(path) != 0 && errno != ENOENT)
        return -1;
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static void save_failed(struct cli *c, const char *path)
{
    const char *advice = errno == EEXIST ? "; choose another folder, or say --force" : "";
    char text[sizeof c->save_fault];
    snprintf(text, sizeof text, "cannot write %.120s: %s%s", path, strerror(errno), advice);
    if (c->save_fault[0] == '\0')
        memcpy(c->save_fault, text, sizeof text);
    c->failed = true;
}

static struct cli_saving *find_saving(struct cli *c, const char *path)
{
    for (size_t i = 0; i < c->save_count; i++) {
        if (strcmp(c->saves[i].path, path) == 0)
            return &c->saves[i];
    }
    if (c->save_count == CLI_SAVES_MAX)
        return NULL;
    struct cli_saving *s = &c->saves[c->save_count];
    *s = (struct cli_saving){.path = strdup(path), .fd = -1};
    if (s->path == NULL)
        return NULL;
    c->save_count++;
    if (is_own_argument(c, path))
        s->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    else
        s->fd = open_in_folder(c, path);
    if (s->fd < 0)
        save_failed(c, path);
    return s;
}

void cli_save(struct cli *c, const char *path, const char *data, size_t length)
{
    struct cli_saving *s = find_saving(c, path);
    if (s == NULL) {
        errno = ENOMEM;
        save_failed(c, path);
    } else if (s->fd >= 0 && !cli_write_all(s->fd, data, length)) {
        save_failed(c, s->path);
    }
}

const char *cli_saved(struct cli *c)
{
    c->fault_told = true;
    for (size_t i = 0; i < c->save_count; i++) {
        if (c->saves[i].fd >= 0 && fsync(c->saves[i].fd) != 0 && errno != EINVAL && errno != EROFS)
            return "the files could not be written to the disk";
    }
    return c->save_fault[0] == '\0' ? NULL : c->save_fault;
}

void cli_close_files(struct cli *c)
{
    for (size_t i = 0; i < c->save_count; i++) {
        if (c->saves[i].fd >= 0 && close(c->saves[i].fd) != 0)
            save_failed(c, c->saves[i].path);
        free(c->saves[i].path);
    }
    c->save_count = 0;
    if (c->save_fault[0] != '\0' && !c->fault_told)
        fprintf(stderr, "containarium: %s\n", c->save_fault);
}

int cli_open_passed(struct cli *c, bool write, const char *path, const char **why)
{
    *why = "it is not among the arguments of this command";
    if (!is_own_argument(c, path))
        return -1;
    int fd = write ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)
                   : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    *why = fd < 0 ? strerror(errno) : NULL;
    if (fd >= 0 && write)
        c->made = strdup(path);
    return fd;
}

void cli_passed_end(struct cli *c, int status)
{
    struct stat st;
    bool there = c->made != NULL && lstat(c->made, &st) == 0 && S_ISREG(st.st_mode);
    if (there && status != 0 && st.st_size == 0)
        unlink(c->made); // nothing came
    else if (there && status == -2)
        fprintf(stderr, "containarium: %s may not be whole: do not count on it\n", c->made);
    free(c->made);
    c->made = NULL;
}
