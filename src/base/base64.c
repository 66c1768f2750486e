// Base64 both ways. OpenSSL's decoder skips blanks and forgives padding; here a key must have one spelling
// only.
#include "base/base64.h"

#include <stdint.h>
#include <stdlib.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const unsigned char *data, size_t size, char *out)
{
    for (size_t i = 0; i < size; i += 3) {
        size_t have = size - i < 3 ? size - i : 3;
        uint32_t n = (uint32_t)data[i] << 16;
        if (have > 1)
            n |= (uint32_t)data[i + 1] << 8;
        if (have > 2)
            n |= data[i + 2];
        *out++ = alphabet[n >> 18];
        *out++ = alphabet[n >> 12 & 63];
        *out++ = have > 1 ? alphabet[n >> 6 & 63] : '=';
        *out++ = have > 2 ? alphabet[n & 63] : '=';
    }
    *out = '\0';
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(const char *text, size_t length, unsigned char *out, size_t *size)
{
    *size = 0;
    if (length % 4 != 0)
        return false;
    for (size_t i = 0; i < length; i += 4) {
        bool last = i + 4 == length;
        size_t padding = !last || text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
        uint32_t n = 0;
        for (size_t j = 0; j < 4; j++) {
            int v = j >= 4 - padding ? 0 : value_of(text[i + j]);
            if (v < 0)
                return false;
            n = n << 6 | (uint32_t)v;
        }
        if ((n & ((1u << padding * 8) - 1)) != 0)
            return false;
        for (size_t j = 0; j < 3 - padding; j++)
            out[(*size)++] = (unsigned char)(n >> (16 - 8 * j));
    }
    return true;
}

char *base64_text(const void *data, size_t size)
{
    char *text = malloc((size + 2) / 3 * 4 + 1);
    if (text != NULL)
        base64_encode(data, size, text);
    return text;
}

char *base64_bytes(const char *text, size_t length, size_t *size)
{
    unsigned char *data = malloc(length / 4 * 3 + 1);
    if (data == NULL || !base64_decode(text, length, data, size)) {
        free(data);
        return NULL;
    }
    data[*size] = '\0';
    return (char *)data;
}
