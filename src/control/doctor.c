// Owns the judgement: what is fine, what will be a trouble, what is one. Looks, and changes nothing.
#include "control/doctor.h"

#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/units.h"

#define POOL_WARN 85 // percent
#define POOL_FAIL 97
#define DISK_WARN UINT64_C(1000000000) // bytes free for the database

const char *finding_level_name(enum finding_level level)
{
    return level == FINDING_OK ? "ok" : level == FINDING_WARN ? "warn" : "fail";
}

void doctor_note(struct findings *all, const char *what, enum finding_level level, const char *mend,
                 const char *format, ...)
{
    va_list ap;
    if (all->count == FINDINGS_MAX)
        return;
    struct finding *one = &all->list[all->count++];
    *one = (struct finding){.what = what, .level = level};
    va_start(ap, format);
    vsnprintf(one->text, sizeof one->text, format, ap);
    va_end(ap);
    snprintf(one->mend, sizeof one->mend, "%s", mend == NULL || level == FINDING_OK ? "" : mend);
}

// ---- Incus

static void check_part(struct findings *all, const char *what, const char *name, const struct fault *f,
                       const char *mend)
{
    if (f->code == ERR_NONE)
        doctor_note(all, what, FINDING_OK, NULL, "%.100s is there", name);
    else
        doctor_note(all, what, FINDING_FAIL, mend, "%.100s: %.180s", name, f->text);
}

// btrfs says itself when it has lost count; then it enforces no quota.
static bool quotas_are_lost(void)
{
    glob_t found;
    bool lost = false;
    if (glob("/sys/fs/btrfs/*/qgroups/inconsistent", 0, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *in = fopen(found.gl_pathv[i], "re");
        lost = lost || (in != NULL && fgetc(in) == '1');
        if (in != NULL)
            fclose(in);
    }
    globfree(&found);
    return lost;
}

static void check_pool(struct findings *all, const struct config *config, const struct box_health *h)
{
    char used[32], total[32], mend[240];
    if (h->pool.code != ERR_NONE) {
        check_part(all, "pool", config->incus_pool, &h->pool, "packaging/incus-setup.sh makes it");
        return;
    }
    unsigned percent = h->pool_total == 0 ? 0 : (unsigned)(h->pool_used * 100 / h->pool_total);
    snprintf(mend, sizeof mend,
             "delete boxes or snapshots, or enlarge it: incus storage set %.60s size=BIGGER",
             config->incus_pool);
    doctor_note(all, "pool",
                percent >= POOL_FAIL   ? FINDING_FAIL
                : percent >= POOL_WARN ? FINDING_WARN
                                       : FINDING_OK,
                mend, "%.60s (%s): %s of %s used, %u%%", config->incus_pool, h->pool_driver,
                size_format_human(h->pool_used, used, sizeof used),
                size_format_human(h->pool_total, total, sizeof total), percent);
    if (strcmp(h->pool_driver, "btrfs") != 0)
        return;
    snprintf(mend, sizeof mend, "sudo btrfs quota rescan /var/lib/incus/storage-pools/%.60s",
             config->incus_pool);
    if (quotas_are_lost())
        doctor_note(all, "quotas", FINDING_WARN, mend,
                    "a btrfs on this host has lost count, so it holds no box to its disk quota");
    else
        doctor_note(all, "quotas", FINDING_OK, NULL, "btrfs counts what each box uses");
}

void doctor_check_incus(struct findings *all, const struct config *config, const struct box_health *h,
                        const struct fault *unreachable)
{
    if (h == NULL) {
        doctor_note(all, "incus", FINDING_FAIL,
                    unreachable->code == ERR_DENIED ? "packaging/incus-setup.sh makes a certificate anew"
                                                    : "systemctl status incus; then packaging/incus-setup.sh",
                    "%.280s", unreachable->text);
        return;
    }
    doctor_note(all, "incus", FINDING_OK, NULL, "Incus %s answers at %.100s", h->version, config->incus_url);
    check_part(all, "project", config->incus_project, &h->project, "packaging/incus-setup.sh makes it");
    check_part(all, "profile", config->incus_profile, &h->profile, "packaging/incus-setup.sh makes it");
    check_part(all, "network", config->incus_network, &h->network, "packaging/incus-setup.sh makes it");
    check_part(all, "image", config->incus_image, &h->image, "packaging/image.sh builds it");
    check_pool(all, config, h);
}

// ---- this host

// Not asked of the kernel: adjtimex(2) is among the calls that a daemon with ProtectClock= may not make, not
// even to read.
static void check_clock(struct findings *all)
{
    static const char *const keepers[][2] = {{"/run/systemd/timesync/synchronized", "systemd-timesyncd"},
                                             {"/run/chrony", "chrony"},
                                             {"/run/ntpd.pid", "ntpd"},
                                             {"/run/openntpd.sock", "openntpd"}};
    char when[32];
    when_format(time(NULL), when, sizeof when);
    for (size_t i = 0; i < sizeof keepers / sizeof *keepers; i++) {
        if (access(keepers[i][0], F_OK) != 0)
            continue;
        doctor_note(all, "clock", FINDING_OK, NULL, "%s, kept by %s", when, keepers[i][1]);
        return;
    }
    doctor_note(all, "clock", FINDING_WARN, "install systemd-timesyncd or chrony",
                "%s; nothing is seen that keeps it right, and audit records carry this time", when);
}

static void check_disk(struct findings *all, const struct control *c)
{
    struct statvfs fs;
    struct fault f;
    char free_text[32];
    const char *folder = c->config->state_dir;
    if (statvfs(folder, &fs) != 0) {
        doctor_note(all, "disk", FINDING_FAIL, "see that it exists and is the daemon's", "%.200s: %s", folder,
                    strerror(errno));
        return;
    }
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    size_format_human(left, free_text, sizeof free_text);
    if (store_check_space(c->store, &f) != ERR_NONE)
        doctor_note(all, "disk", FINDING_FAIL, "free some space: logins are refused until then", "%.280s",
                    f.text);
    else if (left < DISK_WARN)
        doctor_note(all, "disk", FINDING_WARN, "free some space: without any, logins are refused",
                    "%s are left for the database in %.200s", free_text, folder);
    else
        doctor_note(all, "disk", FINDING_OK, NULL, "%s are left for the database in %.200s", free_text,
                    folder);
}

// Nobody but the daemon may get at `path`; one that is not there is fine.
static bool is_private(struct findings *all, const char *path)
{
    struct stat st;
    char mend[240];
    if (lstat(path, &st) != 0)
        return true;
    snprintf(mend, sizeof mend, "chown containarium %.80s; chmod go= %.80s", path, path);
    if (st.st_uid == geteuid() && (st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return true;
    doctor_note(all, "permissions", FINDING_FAIL, mend, "%.200s is open to others (mode %04o, uid %u)", path,
                (unsigned)(st.st_mode & 07777), (unsigned)st.st_uid);
    return false;
}

static void check_permissions(struct findings *all, const struct config *config)
{
    char database[CONFIG_TEXT + 32];
    snprintf(database, sizeof database, "%s/containarium.db", config->state_dir);
    bool right = is_private(all, config->state_dir);
    right = is_private(all, database) && right;
    right = is_private(all, config->backup_dir) && right;
    right = is_private(all, config->incus_key) && right;
    if (geteuid() == 0)
        doctor_note(all, "permissions", FINDING_WARN, "run it as its own user, see containariumd(8)",
                    "containariumd runs as root");
    else if (right)
        doctor_note(all, "permissions", FINDING_OK, NULL,
                    "database, backups and certificate are the daemon's alone");
}

static void check_host_keys(struct findings *all, const struct config *config)
{
    static const char *const kinds[] = {"ed25519", "ecdsa", "rsa"};
    char path[CONFIG_TEXT + 64], mend[240];
    unsigned found = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct stat st;
        snprintf(path, sizeof path, "%s/ssh_host_%s_key.pub", config->host_key_dir, kinds[i]);
        found += access(path, R_OK) == 0;
        path[strlen(path) - strlen(".pub")] = '\0';
        if (stat(path, &st) != 0 || (st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
            continue;
        snprintf(mend, sizeof mend, "chmod 600 %.200s", path);
        doctor_note(all, "host keys", FINDING_FAIL, mend, "%.200s is readable by others (mode %04o)", path,
                    (unsigned)(st.st_mode & 07777));
        return;
    }
    if (found == 0)
        doctor_note(
            all, "host keys", FINDING_FAIL, "packaging/quickstart.sh makes them; so does ssh-keygen",
            "there is no readable ssh_host_*_key.pub in %.200s: export cannot tell users what to trust",
            config->host_key_dir);
    else
        doctor_note(all, "host keys", FINDING_OK, NULL, "%u in %.200s", found, config->host_key_dir);
}

void doctor_check_host(struct findings *all, const struct control *c)
{
    check_clock(all);
    check_disk(all, c);
    check_permissions(all, c->config);
    check_host_keys(all, c->config);
}
