// The word that was meant by one that is none. Pure.
#include <string.h>

#include "control/command.h"

#define LENGTH_MAX 40 // longer words are not compared

// Edit distance with transpositions (optimal string alignment).
static unsigned distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned d[LENGTH_MAX + 1][LENGTH_MAX + 1];
    if (n > LENGTH_MAX || m > LENGTH_MAX)
        return LENGTH_MAX;
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (unsigned)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *command_suggest(const char *typed, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t length = strlen(typed);
    unsigned best = length < 4 ? 2 : 3; // a third of the word at most, two letters of a usual one
    for (size_t i = 0; i < count; i++) {
        unsigned d = distance(typed, names[i]);
        if (length >= 3 && d > 1 && strncmp(typed, names[i], length) == 0)
            d = 1; // cut short
        if (d < best && d < length) {
            best = d;
            nearest = names[i];
        }
    }
    return nearest;
}

// What people type who come from elsewhere; no verbs, but a hint at ours.
static const struct {
    const char *typed, *verb;
} elsewhere[] = {
    {"status", "info"},     {"show", "info"},         {"ls", "list"},
    {"ps", "list"},         {"rm", "delete"},         {"remove", "delete"},
    {"add", "create"},      {"adduser", "create"},    {"useradd", "create"},
    {"enroll", "invite"},   {"ban", "bans add"},      {"unban", "bans remove"},
    {"w", "sessions list"}, {"who", "sessions list"}, {"kill", "sessions kill"},
    {"log", "audit"},       {"logs", "audit"},        {"ssh-config", "export"},
    {"reboot", "restart"},  {"poweroff", "stop"},     {"halt", "stop"},
    {"wake", "start"},      {"id", "whoami"},         {"man", "help"},
};

const char *command_from_elsewhere(const char *typed, const char *const *names, size_t count)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        for (size_t j = 0; j < count && strcmp(elsewhere[i].typed, typed) == 0; j++) {
            if (strcmp(elsewhere[i].verb, names[j]) == 0)
                return names[j];
        }
    }
    return NULL;
}
