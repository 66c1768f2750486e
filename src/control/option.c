// Owns the parsing of options that several verbs have. All are read before anything is written.
#include "control/option.h"

#include <stdio.h>

#include "base/units.h"

enum err option_box(const struct command_run *run, char *cpu, uint64_t *memory, uint64_t *disk,
                    struct fault *f)
{
    const char *disk_text = verb_option(run, "disk-quota"), *memory_text = verb_option(run, "memory");
    const char *cpu_text = verb_option(run, "cpu");
    if (disk_text != NULL && size_parse(disk_text, disk, f) != ERR_NONE)
        return fault_prefix(f, "--disk-quota");
    if (memory_text != NULL && size_parse(memory_text, memory, f) != ERR_NONE)
        return fault_prefix(f, "--memory");
    if (cpu_text != NULL && cpu_parse(cpu_text, NULL, NULL, f) != ERR_NONE)
        return fault_prefix(f, "--cpu");
    if (cpu_text != NULL)
        snprintf(cpu, 64, "%s", cpu_text);
    return ERR_NONE;
}

enum err option_limits(const struct command_run *run, struct limits *values, bool *given, bool *any,
                       struct fault *f)
{
    for (int i = 0; i < LIMIT_COUNT; i++) {
        const char *text = verb_option(run, limit_info((enum limit_name)i)->name);
        given[i] = text != NULL;
        *any = *any || given[i];
        if (text == NULL)
            continue;
        if (limit_parse((enum limit_name)i, text, &values->value[i], f) != ERR_NONE)
            return fault_prefix(f, "--%s", limit_info((enum limit_name)i)->name);
    }
    return ERR_NONE;
}
