#include "base/subnets.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX (INET6_ADDRSTRLEN + 4)

// Every address as 128 bits, IPv4 in its mapped form; so its prefix grows by 96.
struct subnet {
    uint8_t address[16];
    unsigned prefix;
};

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool address_parse(const char *text, uint8_t out[16], bool *is_v4)
{
    *is_v4 = inet_pton(AF_INET, text, out + sizeof mapped) == 1;
    if (*is_v4)
        memcpy(out, mapped, sizeof mapped);
    return *is_v4 || inet_pton(AF_INET6, text, out) == 1;
}

static bool bit(const uint8_t *bytes, unsigned i)
{
    return (bytes[i / 8] >> (7 - i % 8) & 1) != 0;
}

static bool subnet_parse(const char *text, struct subnet *out)
{
    char word[WORD_MAX];
    bool is_v4 = false;
    size_t n = strcspn(text, "/");
    if (n >= sizeof word)
        return false;
    memcpy(word, text, n);
    word[n] = '\0';
    if (!address_parse(word, out->address, &is_v4))
        return false;
    out->prefix = 128;
    if (text[n] == '/') {
        const char *digits = text + n + 1;
        size_t length = strlen(digits);
        if (length < 1 || length > 3 || strspn(digits, "0123456789") != length)
            return false;
        out->prefix = (unsigned)strtoul(digits, NULL, 10) + (is_v4 ? 96 : 0);
    }
    if (out->prefix > 128)
        return false;
    for (unsigned i = out->prefix; i < 128; i++) {
        if (bit(out->address, i))
            return false;
    }
    return true;
}

static bool subnet_has(const struct subnet *s, const uint8_t address[16])
{
    for (unsigned i = 0; i < s->prefix; i++) {
        if (bit(s->address, i) != bit(address, i))
            return false;
    }
    return true;
}

// The next word into `s`. False at the end of the list (*valid) or at a word that is none (!*valid).
static bool next(const char **cursor, struct subnet *s, bool *valid)
{
    char word[WORD_MAX];
    const char *p = *cursor + strspn(*cursor, " \t");
    size_t n = strcspn(p, " \t");
    *cursor = p + n;
    *valid = n == 0;
    if (n == 0 || n >= sizeof word)
        return false;
    memcpy(word, p, n);
    word[n] = '\0';
    *valid = subnet_parse(word, s);
    return *valid;
}

bool subnets_valid(const char *list)
{
    struct subnet s;
    bool valid = true;
    while (next(&list, &s, &valid))
        continue;
    return valid;
}

bool subnets_have(const char *list, const char *address)
{
    uint8_t raw[16];
    struct subnet s;
    bool is_v4 = false, valid = true;
    if (!address_parse(address, raw, &is_v4))
        return false;
    while (next(&list, &s, &valid)) {
        if (subnet_has(&s, raw))
            return true;
    }
    return false;
}
