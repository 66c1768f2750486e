// Owns the form of a tar header. Sizes of 8 GiB and more, which eleven octal digits do not hold, are written
// as GNU tar does: a set high bit, then the number in base 256.
#include "store/tar.h"

#include <stdio.h>
#include <string.h>

#define AT_MODE 100
#define AT_UID 108
#define AT_GID 116
#define AT_SIZE 124
#define AT_TIME 136
#define AT_SUM 148
#define AT_TYPE 156
#define AT_MAGIC 257
#define SUM_LENGTH 8
#define NUMBER_LENGTH 12
#define OCTAL_MAX ((UINT64_C(1) << 33) - 1)

// The sum of all bytes, those of the sum itself taken as blanks.
static unsigned sum_of(const unsigned char block[TAR_BLOCK])
{
    unsigned sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= AT_SUM && i < AT_SUM + SUM_LENGTH ? ' ' : block[i];
    return sum;
}

static void write_number(uint64_t n, unsigned char *out)
{
    char text[NUMBER_LENGTH + 12];
    if (n <= OCTAL_MAX) {
        snprintf(text, sizeof text, "%011llo", (unsigned long long)n);
        memcpy(out, text, NUMBER_LENGTH);
        return;
    }
    out[0] = 0x80;
    for (int i = NUMBER_LENGTH - 1; i > 0; i--, n >>= 8)
        out[i] = (unsigned char)n;
}

void tar_write(const struct tar_member *member, unsigned char out[TAR_BLOCK])
{
    char sum[SUM_LENGTH + 4];
    memset(out, 0, TAR_BLOCK);
    memcpy(out, member->name, strnlen(member->name, 100));
    memcpy(out + AT_MODE, "0000600", 8);
    memcpy(out + AT_UID, "0000000", 8);
    memcpy(out + AT_GID, "0000000", 8);
    write_number(member->size, out + AT_SIZE);
    write_number((uint64_t)member->made, out + AT_TIME);
    out[AT_TYPE] = '0';
    memcpy(out + AT_MAGIC,
           "ustar\0"
           "00",
           8);
    snprintf(sum, sizeof sum, "%06o", sum_of(out) & 0777777);
    memcpy(out + AT_SUM, sum, 7); // with its NUL; then a blank
    out[AT_SUM + 7] = ' ';
}

static bool parse_number(const unsigned char *in, size_t length, uint64_t *out)
{
    uint64_t n = 0;
    size_t i = 0;
    if (in[0] == 0x80) {
        for (i = 1; i < length; i++) {
            if (n >> 55 != 0)
                return false;
            n = n << 8 | in[i];
        }
        *out = n;
        return true;
    }
    for (; i < length && in[i] >= '0' && in[i] <= '7'; i++)
        n = n << 3 | (unsigned)(in[i] - '0');
    *out = n;
    return i > 0 && (i == length || in[i] == '\0' || in[i] == ' ');
}

bool tar_parse(const unsigned char block[TAR_BLOCK], struct tar_member *out)
{
    uint64_t sum = 0, made = 0;
    memset(out, 0, sizeof *out);
    memcpy(out->name, block, 100);
    if (memcmp(block + AT_MAGIC, "ustar", 5) != 0 || block[AT_TYPE] != '0' ||
        !parse_number(block + AT_SUM, SUM_LENGTH, &sum) || sum != sum_of(block) ||
        !parse_number(block + AT_SIZE, NUMBER_LENGTH, &out->size) ||
        !parse_number(block + AT_TIME, NUMBER_LENGTH, &made))
        return false;
    out->made = (time_t)made;
    return true;
}

size_t tar_padding(uint64_t size)
{
    return (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}
