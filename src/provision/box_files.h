// Files that we write into a box and read from it.
#ifndef PROVISION_BOX_FILES_H
#define PROVISION_BOX_FILES_H

#include "provision/box.h"

// What the first boot of our image reads: /etc/containarium/{user,authorized_keys,user_keys}.
MUST_CHECK enum err box_files_write(struct box_work *w, struct incus *i, struct fault *f);

// The user's keys made true: user_keys, and the block in ~/.ssh/authorized_keys once there is a home.
MUST_CHECK enum err box_files_write_keys(struct box_work *w, struct incus *i, bool ever_started,
                                         struct fault *f);

// Reads the public host keys into w->result.hostkeys. ERR_NOTFOUND if the box has none.
MUST_CHECK enum err box_files_read_hostkeys(struct box_work *w, struct incus *i, struct fault *f);

#endif
