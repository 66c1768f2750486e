// Public keys as text: strict, because what is accepted here decides who somebody is. A key has one spelling
// only (canonical base64, no bytes left over in the blob), so that equal keys are equal text and equal
// fingerprints.
#include "store/pubkey.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/base64.h"

#define BLOB_MAX (PUBKEY_BASE64_SIZE / 4 * 3)
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 16384

struct reader {
    const unsigned char *at, *end;
};

struct bytes {
    const unsigned char *data;
    size_t size;
};

// RFC 4251 section 5, "string".
static bool read_string(struct reader *r, struct bytes *out)
{
    if (r->end - r->at < 4)
        return false;
    size_t n = (size_t)r->at[0] << 24 | (size_t)r->at[1] << 16 | (size_t)r->at[2] << 8 | r->at[3];
    if (n > (size_t)(r->end - r->at - 4))
        return false;
    *out = (struct bytes){r->at + 4, n};
    r->at += 4 + n;
    return true;
}

// A positive "mpint" in its shortest form; its length in bits.
static bool read_positive(struct reader *r, struct bytes *out, unsigned *bits)
{
    if (!read_string(r, out) || out->size == 0 || (out->data[0] & 0x80) != 0)
        return false;
    if (out->data[0] == 0) {
        out->data++;
        out->size--;
        if (out->size == 0 || (out->data[0] & 0x80) == 0)
            return false; // zero, or a needless leading zero
    }
    *bits = (unsigned)(out->size * 8);
    for (unsigned char top = out->data[0]; (top & 0x80) == 0; top = (unsigned char)(top << 1))
        (*bits)--;
    return true;
}

static bool equals(struct bytes b, const char *text)
{
    return b.size == strlen(text) && memcmp(b.data, text, b.size) == 0;
}

static enum err malformed(const char *type, struct fault *f)
{
    return fault_set(f, ERR_INVALID, "the %s key is damaged; copy the whole line of the .pub file again",
                     type);
}

// RFC 8709.
static enum err read_ed25519(struct reader *r, struct pubkey *key, struct fault *f)
{
    struct bytes point;
    key->bits = 256;
    if (!read_string(r, &point) || point.size != 32)
        return malformed(key->type, f);
    return ERR_NONE;
}

// RFC 5656: the curve's name again, then an uncompressed point.
static enum err read_ecdsa(struct reader *r, struct pubkey *key, struct fault *f)
{
    struct bytes curve, point;
    const char *name = key->type + strlen("ecdsa-sha2-");
    key->bits = strcmp(name, "nistp256") == 0 ? 256 : strcmp(name, "nistp384") == 0 ? 384 : 521;
    size_t coordinate = (key->bits + 7) / 8;
    if (!read_string(r, &curve) || !equals(curve, name) || !read_string(r, &point) ||
        point.size != 1 + 2 * coordinate || point.data[0] != 4)
        return malformed(key->type, f);
    return ERR_NONE;
}

// RFC 4253 section 6.6: exponent, modulus.
static enum err read_rsa(struct reader *r, struct pubkey *key, struct fault *f)
{
    struct bytes exponent, modulus;
    unsigned exponent_bits = 0;
    if (!read_positive(r, &exponent, &exponent_bits) || !read_positive(r, &modulus, &key->bits))
        return malformed(key->type, f);
    if (exponent_bits < 2 || exponent_bits > 64 || (exponent.data[exponent.size - 1] & 1) == 0 ||
        (modulus.data[modulus.size - 1] & 1) == 0)
        return malformed(key->type, f);
    if (key->bits < RSA_BITS_MIN || key->bits > RSA_BITS_MAX)
        return fault_set(f, ERR_INVALID, "an RSA key of %u bits; accepted: %d to %d, better ed25519",
                         key->bits, RSA_BITS_MIN, RSA_BITS_MAX);
    return ERR_NONE;
}

static const struct key_type {
    const char *name;
    enum err (*read)(struct reader *r, struct pubkey *key, struct fault *f);
    const char *refused; // why, for the types we know and do not take
} key_types[] = {
    {"ssh-ed25519", read_ed25519, NULL},
    {"ecdsa-sha2-nistp256", read_ecdsa, NULL},
    {"ecdsa-sha2-nistp384", read_ecdsa, NULL},
    {"ecdsa-sha2-nistp521", read_ecdsa, NULL},
    {"ssh-rsa", read_rsa, NULL},
    {"ssh-dss", NULL, "DSA keys are broken; make one with ssh-keygen -t ed25519"},
    {"sk-ssh-ed25519@openssh.com", NULL,
     "security keys (sk-*) are not accepted: their touch cannot be checked here yet"},
    {"sk-ecdsa-sha2-nistp256@openssh.com", NULL,
     "security keys (sk-*) are not accepted: their touch cannot be checked here yet"},
};
#define KEY_TYPES (sizeof key_types / sizeof key_types[0])

static const struct key_type *type_find(struct bytes name)
{
    for (size_t i = 0; i < KEY_TYPES; i++) {
        if (equals(name, key_types[i].name))
            return &key_types[i];
    }
    return NULL;
}

static bool contains(struct bytes text, const char *word)
{
    return memmem(text.data, text.size, word, strlen(word)) != NULL;
}

// Only called once the text turned out not to be "TYPE ...": says what it is instead.
static enum err refuse_type(struct bytes first, struct fault *f)
{
    if (contains(first, "-cert-v01@"))
        return fault_set(f, ERR_INVALID,
                         "certificates are not accepted: nothing here checks them yet; give the plain "
                         "public key");
    return fault_set(f, ERR_INVALID,
                     "this is not an SSH public key; accepted: a line like \"ssh-ed25519 AAAA... comment\" "
                     "from a .pub file");
}

static enum err fill_from_blob(const unsigned char *blob, size_t size, struct pubkey *key, struct fault *f)
{
    struct reader r = {blob, blob + size};
    struct bytes name;
    if (!read_string(&r, &name))
        return malformed("public", f);
    const struct key_type *type = type_find(name);
    if (type == NULL)
        return refuse_type(name, f);
    if (type->refused != NULL)
        return fault_set(f, ERR_INVALID, "%s", type->refused);
    snprintf(key->type, sizeof key->type, "%s", type->name);
    enum err e = type->read(&r, key, f);
    if (e == ERR_NONE && r.at != r.end)
        e = malformed(key->type, f);
    if (e != ERR_NONE)
        return e;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(blob, size, digest);
    base64_encode(blob, size, key->base64);
    memcpy(key->fingerprint, "SHA256:", 7);
    base64_encode(digest, sizeof digest, key->fingerprint + 7);
    key->fingerprint[7 + 43] = '\0'; // without the padding, as ssh-keygen -l prints it
    return ERR_NONE;
}

static enum err fill_from_base64(struct bytes text, struct pubkey *key, struct fault *f)
{
    unsigned char blob[BLOB_MAX];
    size_t size = 0;
    if (text.size >= PUBKEY_BASE64_SIZE)
        return fault_set(f, ERR_INVALID, "the key is longer than an RSA key of %d bits", RSA_BITS_MAX);
    if (!base64_decode((const char *)text.data, text.size, blob, &size))
        return fault_set(f, ERR_INVALID,
                         "the key's base64 is damaged; copy the whole line of the .pub file again");
    return fill_from_blob(blob, size, key, f);
}

// Length of the well-formed UTF-8 sequence at p that a terminal shows as text, 0 if there is none (also for
// C1 controls, surrogates and overlong forms).
static size_t printable_sequence(const unsigned char *p, size_t left)
{
    size_t n = p[0] < 0x80                   ? 1
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
               : (p[0] & 0xf0) == 0xe0       ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    if (n == 0 || n > left)
        return 0;
    if (n == 1)
        return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
        return 0;
    return n;
}

static void copy_comment(struct bytes text, char *out)
{
    size_t at = 0;
    for (size_t i = 0; i < text.size;) {
        size_t n = printable_sequence(text.data + i, text.size - i);
        if (at + (n == 0 ? 1 : n) >= PUBKEY_COMMENT_SIZE)
            break;
        if (n == 0)
            out[at++] = '?';
        else
            memcpy(out + at, text.data + i, n);
        at += n;
        i += n == 0 ? 1 : n;
    }
    out[at] = '\0';
    while (at > 0 && out[at - 1] == ' ') // cut at a blank
        out[--at] = '\0';
}

static bool blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct bytes trim(struct bytes b)
{
    while (b.size > 0 && blank(b.data[0])) {
        b.data++;
        b.size--;
    }
    while (b.size > 0 && blank(b.data[b.size - 1]))
        b.size--;
    return b;
}

// Takes the first word off *line.
static struct bytes next_word(struct bytes *line)
{
    struct bytes word = {line->data, 0};
    while (word.size < line->size && !blank(word.data[word.size]))
        word.size++;
    *line = trim((struct bytes){line->data + word.size, line->size - word.size});
    return word;
}

// Options off the front of a line that does not begin with a type. A line without a type anywhere is no key
// line, and is told so instead.
static enum err take_options(struct bytes *line, struct pubkey *key, struct fault *f)
{
    struct keyoption parsed;
    size_t n = keyoption_length((const char *)line->data, line->size);
    struct bytes options = {line->data, n}, rest = trim((struct bytes){line->data + n, line->size - n});
    struct bytes behind = rest, type = next_word(&behind);
    if (contains(options, "-cert-v01@") || type_find(type) == NULL)
        return refuse_type(options, f);
    enum err e = keyoption_parse((const char *)options.data, options.size, &parsed, f);
    if (e == ERR_NONE)
        snprintf(key->options, sizeof key->options, "%.*s", (int)options.size, (const char *)options.data);
    *line = rest;
    return e;
}

// Kinds of files that are given by mistake.
static enum err check_not_other_file(struct bytes text, struct fault *f)
{
    if (contains(text, "PRIVATE KEY") || contains(text, "PuTTY-User-Key-File"))
        return fault_set(f, ERR_INVALID,
                         "this is a private key; give the .pub file, and keep this one to yourself");
    if (contains(text, "BEGIN SSH2 PUBLIC KEY"))
        return fault_set(f, ERR_INVALID, "this key is in SSH2 format; convert it with ssh-keygen -i -f FILE");
    return ERR_NONE;
}

enum err pubkey_parse(const char *text, size_t length, struct pubkey *out, struct fault *f)
{
    struct bytes line = trim((struct bytes){(const unsigned char *)text, length});
    const struct bytes whole = line;
    struct pubkey key = {.bits = 0};
    if (line.size == 0)
        return fault_set(f, ERR_INVALID,
                         "no key was given; expected a line like \"ssh-ed25519 AAAA... comment\"");
    enum err e = check_not_other_file(line, f);
    if (e != ERR_NONE)
        return e;
    if (memchr(line.data, '\n', line.size) != NULL || memchr(line.data, '\0', line.size) != NULL)
        return fault_set(f, ERR_INVALID, "more than one line where one public key was expected");
    struct bytes name = next_word(&line);
    if (type_find(name) == NULL) { // then it is options, and the type stands behind them
        line = whole;
        e = take_options(&line, &key, f);
        if (e != ERR_NONE)
            return e;
        name = next_word(&line);
    }
    const struct key_type *type = type_find(name);
    if (type == NULL)
        return refuse_type(name, f);
    if (type->refused != NULL)
        return fault_set(f, ERR_INVALID, "%s", type->refused);
    struct bytes base64 = next_word(&line);
    if (base64.size == 0)
        return fault_set(f, ERR_INVALID, "the key itself is missing after %s", type->name);
    e = fill_from_base64(base64, &key, f);
    if (e == ERR_NONE && strcmp(key.type, type->name) != 0)
        e = fault_set(f, ERR_INVALID, "the line says %s but the key in it is %s", type->name, key.type);
    if (e != ERR_NONE)
        return e;
    copy_comment(line, key.comment);
    *out = key;
    return ERR_NONE;
}

enum err pubkey_from_base64(const char *base64, struct pubkey *out, struct fault *f)
{
    struct pubkey key = {.bits = 0};
    struct bytes text = {(const unsigned char *)base64, strnlen(base64, PUBKEY_BASE64_SIZE)};
    enum err e = fill_from_base64(text, &key, f);
    if (e == ERR_NONE)
        *out = key;
    return e;
}

enum err pubkey_parse_file(const char *text, size_t length, pubkey_each_fn each, void *arg, struct fault *f)
{
    unsigned number = 0, keys = 0;
    struct bytes rest = {(const unsigned char *)text, length};
    enum err e = check_not_other_file(rest, f); // before lines are looked at one by one
    while (e == ERR_NONE && rest.size > 0) {
        struct pubkey key;
        const unsigned char *newline = memchr(rest.data, '\n', rest.size);
        size_t taken = newline == NULL ? rest.size : (size_t)(newline - rest.data) + 1;
        struct bytes line = trim((struct bytes){rest.data, taken});
        rest = (struct bytes){rest.data + taken, rest.size - taken};
        number++;
        if (line.size == 0 || line.data[0] == '#')
            continue;
        e = pubkey_parse((const char *)line.data, line.size, &key, f);
        if (e != ERR_NONE)
            return f == NULL ? e : fault_prefix(f, "line %u", number);
        keys++;
        e = each(&key, arg, f);
    }
    if (e == ERR_NONE && keys == 0)
        return fault_set(f, ERR_INVALID,
                         "there is no public key in it; expected lines like \"ssh-ed25519 AAAA... comment\"");
    return e;
}
