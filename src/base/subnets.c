#include "base/subnets.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX (INET6_ADDRSTRLEN + 4)

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

bool subnet_parse(const char *text, struct subnet *out)
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

bool subnet_has(const struct subnet *s, const uint8_t address[16])
{
    for (unsigned i = 0; i < s->prefix; i++) {
        if (bit(s->address, i) != bit(address, i))
            return false;
    }
    return true;
}

static bool is_mapped(const struct subnet *s)
{
    return s->prefix >= 96 && memcmp(s->address, mapped, sizeof mapped) == 0;
}

bool subnet_of_source(const char *address, struct subnet *out)
{
    bool is_v4 = false;
    if (!address_parse(address, out->address, &is_v4))
        return false;
    out->prefix = 128;
    if (is_mapped(out))
        return true;
    out->prefix = 64;
    memset(out->address + 8, 0, 8);
    return true;
}

int subnet_compare(const struct subnet *a, const struct subnet *b)
{
    int order = memcmp(a->address, b->address, sizeof a->address);
    return order != 0 ? order : (int)a->prefix - (int)b->prefix;
}

const char *subnet_format(const struct subnet *s, char out[SUBNET_TEXT])
{
    char text[INET6_ADDRSTRLEN];
    bool v4 = is_mapped(s);
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? s->address + sizeof mapped : s->address, text, sizeof text);
    if (s->prefix == 128)
        snprintf(out, SUBNET_TEXT, "%s", text);
    else
        snprintf(out, SUBNET_TEXT, "%s/%u", text, v4 ? s->prefix - 96 : s->prefix);
    return out;
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
