// Owns the words in which an operation on a box stands in the audit trail.
#include "control/deed.h"

#include <stdio.h>

#include "base/units.h"
#include "control/writer.h"

static enum err record_one(struct writer *w, const struct deed *d, enum audit_event event, const char *reason,
                           struct fault *f)
{
    struct audit_record record = {
        .event = event,
        .user = d->row->user,
        .actor = d->actor,
        .box = d->row->name,
        .target = d->wish->snapshot[0] != '\0' ? d->wish->snapshot : d->wish->target,
        .duration_ms = d->result->elapsed_ms,
        .reason = reason,
    };
    return writer_audit(w, &record, f);
}

static enum err record_change(struct writer *w, const struct deed *d, struct fault *f)
{
    const struct box_change *change = &d->wish->change;
    char memory[32] = "", disk[32] = "", text[200];
    if (change->memory > 0)
        size_format(change->memory, memory, sizeof memory);
    if (change->disk > 0)
        size_format(change->disk, disk, sizeof disk);
    snprintf(text, sizeof text, "%s%s%s%s%s%s%s", change->cpu[0] != '\0' ? "cpu " : "", change->cpu,
             memory[0] != '\0' ? " memory " : "", memory, disk[0] != '\0' ? " disk " : "", disk,
             change->autostart == CHANGE_KEEP ? ""
             : change->autostart == CHANGE_ON ? " autostart on"
                                              : " autostart off");
    return record_one(w, d, AUDIT_BOX_CHANGED, text[0] == ' ' ? text + 1 : text, f);
}

// What was done, when it went well.
static enum err record_success(struct writer *w, const struct deed *d, struct fault *f)
{
    const struct box_result *result = d->result;
    if (result->created)
        return record_one(w, d, AUDIT_BOX_CREATED, "", f);
    switch (d->op) {
    case BOX_OP_ENSURE:
    case BOX_OP_START:
    case BOX_OP_RESTART:
        return result->started ? record_one(w, d, AUDIT_BOX_STARTED, box_state_name(result->was), f)
                               : ERR_NONE;
    case BOX_OP_STOP:
    case BOX_OP_FREEZE:
        return result->was == result->state
                   ? ERR_NONE
                   : record_one(w, d, AUDIT_BOX_STOPPED, box_state_name(result->state), f);
    case BOX_OP_DELETE:
        return record_one(w, d, AUDIT_BOX_DELETED, "", f);
    case BOX_OP_CHANGE:
        return record_change(w, d, f);
    case BOX_OP_SNAPSHOT_CREATE:
        return record_one(w, d, AUDIT_SNAPSHOT_CREATED, "", f);
    case BOX_OP_SNAPSHOT_RESTORE:
        return record_one(w, d, AUDIT_SNAPSHOT_RESTORED, "", f);
    case BOX_OP_SNAPSHOT_DELETE:
        return record_one(w, d, AUDIT_SNAPSHOT_DELETED, "", f);
    case BOX_OP_EXPORT:
        return record_one(w, d, AUDIT_BOX_EXPORTED, d->result->fingerprint, f);
    case BOX_OP_STATE:
    case BOX_OP_SNAPSHOTS:
    case BOX_OP_KEYS:
    case BOX_OP_LIST:
    case BOX_OP_IMPORT:
    case BOX_OP_HEALTH:
    case BOX_OP_IMAGES:
    case BOX_OP_IMAGE_USE:
    case BOX_OP_IMAGE_DELETE:
        return ERR_NONE;
    }
    return ERR_NONE;
}

enum err deed_record(struct writer *w, const struct deed *d, struct fault *f)
{
    bool look = d->op == BOX_OP_STATE || d->op == BOX_OP_SNAPSHOTS;
    if (d->result->code == ERR_NONE)
        return record_success(w, d, f);
    return look ? ERR_NONE : record_one(w, d, AUDIT_BOX_FAILED, d->result->fault.text, f);
}
