// For config*.c only: one value of the table, between text and struct config.
#ifndef BASE_CONFIG_VALUE_H
#define BASE_CONFIG_VALUE_H

#include "base/config.h"

// Checks text and writes it into c. On error the fault reads `"20 potatoes" is not a size; accepted: ...` and
// c is as it was.
MUST_CHECK enum err config_value_parse(const struct config_option *o, const char *text, struct config *c,
                                       struct fault *f);

// The value in c in the file's own notation. out needs CONFIG_TEXT bytes. Returns out.
const char *config_value_format(const struct config_option *o, const struct config *c, char *out);

// "10.178.0.0/20" -> 10.178.0.0 in host byte order and 20.
bool config_subnet_parse(const char *text, uint32_t *network, unsigned *prefix);
bool config_ipv4_parse(const char *text, uint32_t *address);

#endif
