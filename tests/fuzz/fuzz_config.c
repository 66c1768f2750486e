// The configuration file: whatever is accepted must survive a dump and be read back to the same values.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config first, second;
    struct fault f;
    char *dump = NULL;
    size_t dump_size = 0;
    uint32_t low = 0, high = 0;
    if (config_parse(&first, "fuzz", (const char *)data, size, NULL, &f) != ERR_NONE)
        return 0;
    config_subnet_range(&first, &low, &high);
    FILE *out = open_memstream(&dump, &dump_size);
    if (out == NULL)
        return 0;
    config_dump(&first, out);
    fclose(out);
    if (low == 0 || low > high || config_parse(&second, "dump", dump, dump_size, stderr, &f) != ERR_NONE ||
        memcmp(&first, &second, sizeof first) != 0)
        abort();
    free(dump);
    return 0;
}
