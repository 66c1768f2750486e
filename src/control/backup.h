// What goes with a box into its backup, so that account and box come back together; and the folder for
// backups, [control] backup_dir.
#ifndef CONTROL_BACKUP_H
#define CONTROL_BACKUP_H

#include "control/control.h"

struct backup {
    char *keys; // lines as in a .pub file; malloc'd; "" if there were none
    enum role role;
    struct box_row row; // user, name, limits, idle times, image, host keys; nothing that lets anybody in
};

// JSON, malloc'd. NULL: see *f.
char *backup_write(struct store *s, const struct account *account, const struct box_row *row,
                   struct fault *f);
// The text comes out of a file that anybody may have had in their hands: everything in it is checked.
MUST_CHECK enum err backup_parse(const char *text, struct backup *out, struct fault *f);
void backup_clear(struct backup *b);

// Makes "WHAT-TIME.backup" in the folder, 0600; its path into `path`. -1: see *f.
int backup_file_make(const struct config *config, const char *what, char *path, size_t path_size,
                     struct fault *f);
// Opens `name`, which has no slash in it, in the folder. -1: see *f; ERR_NOTFOUND if there is none.
int backup_file_open(const struct config *config, const char *name, struct fault *f);

#endif
