// What a backup says of its account: it comes out of a file that anybody may have had in their hands. What is
// accepted must be fit for the store.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "control/backup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct backup backup;
    struct fault f;
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (backup_parse(text, &backup, &f) == ERR_NONE &&
        (name_check_user(backup.row.user, NULL) != ERR_NONE ||
         cpu_parse(backup.row.cpu, NULL, NULL, NULL) != ERR_NONE || backup.row.memory == 0 ||
         backup.row.disk == 0 || backup.row.idle.rules.freeze_ms > IDLE_MS_MAX ||
         backup.row.idle.rules.stop_ms > IDLE_MS_MAX || backup.keys == NULL || backup.row.address[0] != '\0'))
        abort();
    backup_clear(&backup);
    free(text);
    return 0;
}
