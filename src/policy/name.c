// Names: what a user may be called, what the user's box is called, what a login name asks for.
#include "policy/name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const reserved[] = {"ctl",    "admin",   "root",         "join",
                                       "system", "gateway", "containarium", "default"};
static const char box_suffix[] = "-container";
static const char alias_suffix[] = "-dev"; // the exported ssh_config calls the box "alice-dev"

static bool well_formed(const char *name)
{
    size_t n = strnlen(name, NAME_USER_SIZE);
    if (n == 0 || n >= NAME_USER_SIZE || name[0] < 'a' || name[0] > 'z' || name[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (strcmp(name, reserved[i]) == 0)
            return true;
    }
    return strncmp(name, "warm-", 5) == 0; // boxes of the warm pool
}

enum err name_check_user(const char *name, struct fault *f)
{
    if (!well_formed(name))
        return fault_set(
            f, ERR_INVALID,
            "\"%.64s\" is not a user name; accepted: a to z, 0 to 9 and -, starting with a letter, not "
            "ending in -, at most 31 characters",
            name);
    if (is_reserved(name))
        return fault_set(f, ERR_INVALID, "\"%s\" is reserved; choose another user name", name);
    return ERR_NONE;
}

void name_box(const char *user, char *out)
{
    snprintf(out, NAME_BOX_SIZE, "%.31s%s", user, box_suffix);
}

bool name_user_of_box(const char *box, char *out)
{
    static const char *const suffixes[] = {box_suffix, alias_suffix, ""};
    size_t n = strnlen(box, NAME_BOX_SIZE);
    for (size_t i = 0; i < 3; i++) {
        size_t suffix = strlen(suffixes[i]);
        if (n <= suffix || n - suffix >= NAME_USER_SIZE ||
            memcmp(box + n - suffix, suffixes[i], suffix + 1) != 0)
            continue;
        char user[NAME_USER_SIZE];
        memcpy(user, box, n - suffix);
        user[n - suffix] = '\0';
        if (name_check_user(user, NULL) != ERR_NONE)
            return false;
        memcpy(out, user, sizeof user);
        return true;
    }
    return false;
}

enum err name_check_snapshot(const char *name, struct fault *f)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t n = strnlen(name, NAME_SNAPSHOT_SIZE);
    if (n > 0 && n < NAME_SNAPSHOT_SIZE && strspn(name, letters) == n && strchr("-_.", name[0]) == NULL)
        return ERR_NONE;
    return fault_set(
        f, ERR_INVALID,
        "\"%.64s\" is not a snapshot name; accepted: a to z, 0 to 9, - _ and ., starting with a letter "
        "or digit, at most 63 characters",
        name);
}

const char *name_login_shown(const char *login)
{
    static const char join[] = "join";
    size_t n = sizeof join - 1;
    // A user may be called "joinery" or "join-smith"; nobody is called "join" and then anything else.
    bool token = strncasecmp(login, join, n) == 0 && login[n] != '\0' && login[n] != '-' &&
                 !isalnum((unsigned char)login[n]);
    return token ? join : login;
}

bool name_login_parse(const char *login, char *user, char *owner)
{
    char first[NAME_USER_SIZE];
    const char *plus = strchr(login, '+');
    size_t n = plus == NULL ? strnlen(login, NAME_USER_SIZE) : (size_t)(plus - login);
    if (n >= NAME_USER_SIZE)
        return false;
    memcpy(first, login, n);
    first[n] = '\0';
    const char *second = plus == NULL ? first : plus + 1;
    if (name_check_user(first, NULL) != ERR_NONE || name_check_user(second, NULL) != ERR_NONE)
        return false;
    memcpy(user, first, n + 1);
    snprintf(owner, NAME_USER_SIZE, "%s", second);
    return true;
}

void name_login_user(const char *login, char *out)
{
    char owner[NAME_USER_SIZE];
    if (!name_login_parse(login, out, owner))
        snprintf(out, NAME_LOGIN_SIZE, "%s", login);
}

enum login_kind name_login_kind(const char *login)
{
    char user[NAME_USER_SIZE], owner[NAME_USER_SIZE];
    if (strcmp(login, "ctl") == 0)
        return LOGIN_CONSOLE;
    if (strncmp(login, "join+", 5) == 0 && login[5] != '\0')
        return LOGIN_JOIN;
    return name_login_parse(login, user, owner) ? LOGIN_USER : LOGIN_UNKNOWN;
}
