// Opens ptys.
#include "control/terminal.h"

#include <fcntl.h>
#include <stdlib.h>

bool terminal_open(int fds[2])
{
    char name[64];
    fds[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    fds[1] = -1;
    if (fds[0] >= 0 && grantpt(fds[0]) == 0 && unlockpt(fds[0]) == 0 &&
        ptsname_r(fds[0], name, sizeof name) == 0)
        fds[1] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return fds[1] >= 0;
}
