// Looks up a process by its socket.
#include "control/peer.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>

// The groups the process had when it connected, as the kernel knows them; nothing is looked up that the peer
// could have changed since.
static bool in_group(int fd, gid_t primary, gid_t wanted)
{
    gid_t groups[1024];
    socklen_t length = sizeof groups;
    if (primary == wanted)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) != 0)
        return false;
    for (size_t i = 0; i < length / sizeof *groups; i++) {
        if (groups[i] == wanted)
            return true;
    }
    return false;
}

void peer_identify(const struct control *c, int fd, struct identity *who, char *refusal, size_t size)
{
    struct ucred cred = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    socklen_t length = sizeof cred;
    struct passwd *pw = NULL;
    *who = (struct identity){.role = ROLE_USER, .address = "local", .local = true};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) == 0)
        pw = getpwuid(cred.uid);
    if (pw != NULL)
        snprintf(who->actor, sizeof who->actor, "%.50s@host", pw->pw_name);
    else
        snprintf(who->actor, sizeof who->actor, "uid%u@host", (unsigned)cred.uid);
    const struct group *group = getgrnam(c->config->admin_group);
    if (cred.uid == 0 || (group != NULL && in_group(fd, cred.gid, group->gr_gid))) {
        who->role = ROLE_ADMIN;
        return;
    }
    snprintf(refusal, size,
             "%.50s may not administer this host: use sudo, or have root add you to the group %.60s (sudo "
             "usermod -aG "
             "%.60s %.50s) and log in again. Your own account is at: ssh ctl@GATEWAY",
             pw != NULL ? pw->pw_name : "you", c->config->admin_group, c->config->admin_group,
             pw != NULL ? pw->pw_name : "USER");
}
