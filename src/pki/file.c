// Reads and replaces whole files.
#include "pki/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool pki_path(char path[PKI_PATH_SIZE], const char *folder, const char *name)
{
    int n = snprintf(path, PKI_PATH_SIZE, "%s/%s", folder, name);
    return n > 0 && n < PKI_PATH_SIZE;
}

enum err pki_read(const char *folder, const char *name, char **out, size_t *length, struct fault *f)
{
    char path[PKI_PATH_SIZE];
    struct stat st;
    FILE *in = NULL;
    char *text = NULL;
    *out = NULL;
    if (!pki_path(path, folder, name))
        return fault_set(f, ERR_INVALID, "the folder's name is too long");
    in = fopen(path, "re");
    if (in == NULL)
        return fault_errno(f, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot read %s", path);
    enum err e = ERR_NONE;
    if (fstat(fileno(in), &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)PKI_FILE_MAX)
        e = fault_set(f, ERR_IO, "%s is not a file of at most %u bytes", path, PKI_FILE_MAX);
    else if ((text = malloc((size_t)st.st_size + 1)) == NULL)
        e = fault_set(f, ERR_MEMORY, "out of memory");
    if (e == ERR_NONE) {
        *length = fread(text, 1, (size_t)st.st_size, in);
        text[*length] = '\0';
        if (ferror(in))
            e = fault_errno(f, ERR_IO, "cannot read %s", path);
    }
    fclose(in);
    if (e == ERR_NONE)
        *out = text;
    else
        free(text);
    return e;
}

static enum err write_fd(int fd, const char *path, const char *data, size_t length, struct fault *f)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fault_errno(f, ERR_IO, "cannot write %s", path);
        data += n;
        length -= (size_t)n;
    }
    return fsync(fd) == 0 ? ERR_NONE : fault_errno(f, ERR_IO, "cannot write %s", path);
}

static void sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); // without it a crash brings back the old file, which is whole as well
        close(fd);
    }
}

enum err pki_write(const char *folder, const char *name, const char *data, size_t length, struct fault *f)
{
    char path[PKI_PATH_SIZE], fresh[PKI_PATH_SIZE + 8];
    if (!pki_path(path, folder, name))
        return fault_set(f, ERR_INVALID, "the folder's name is too long");
    snprintf(fresh, sizeof fresh, "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fault_errno(f, ERR_IO, "cannot write %s", fresh);
    enum err e = write_fd(fd, fresh, data, length, f);
    if (close(fd) != 0 && e == ERR_NONE)
        e = fault_errno(f, ERR_IO, "cannot write %s", fresh);
    if (e == ERR_NONE && rename(fresh, path) != 0)
        e = fault_errno(f, ERR_IO, "cannot put %s in its place", fresh);
    if (e != ERR_NONE)
        (void)unlink(fresh);
    else
        sync_folder(folder);
    return e;
}
