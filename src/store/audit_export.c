// The trail for elsewhere: its head as text, and every record with its hash.
#include <stdio.h>
#include <string.h>

#include "store/audit_chain.h"

static void hex(const unsigned char *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

enum err audit_head(struct store *s, struct audit_mark_text *out, struct fault *f)
{
    unsigned char hash[STORE_HASH_SIZE], signature[SIGNATURE_SIZE];
    enum err e = s->group == GROUP_OPEN ? audit_seal(s, f) : ERR_NONE;
    if (e == ERR_NONE)
        e = audit_read_mark(s, AUDIT_MARK_HEAD, true, &out->seq, hash, f);
    if (e == ERR_NONE)
        e = audit_sign(s, AUDIT_MARK_HEAD, out->seq, hash, signature,
                       f); // Ed25519 signs the same bytes the same way
    if (e != ERR_NONE)
        return e;
    hex(hash, sizeof hash, out->hash);
    hex(signature, sizeof signature, out->signature);
    snprintf(out->key, sizeof out->key, "%s", signer_public(s->signer));
    return ERR_NONE;
}

enum err audit_export_begin(struct store *s, struct audit_export_state *state, struct fault *f)
{
    unsigned char hash[STORE_HASH_SIZE];
    *state = (struct audit_export_state){.seq = 0};
    enum err e = audit_head(s, &state->head, f);
    if (e == ERR_NONE)
        e = audit_read_mark(s, AUDIT_MARK_ANCHOR, true, &state->seq, hash, f);
    if (e == ERR_NONE)
        hex(hash, sizeof hash, state->anchor_hash);
    return e;
}

static enum err tell(const struct query *q, audit_export_fn each, void *arg, struct fault *f)
{
    char text[2 * STORE_HASH_SIZE + 1] = "";
    struct audit_entry r = audit_read_entry(q);
    size_t size = 0;
    const unsigned char *hash = query_blob(q, AUDIT_ENTRY_HASH, &size);
    struct audit_record record = {
        .seq = r.seq,
        .time = (time_t)r.time,
        .user = r.user,
        .actor = r.actor,
        .fingerprint = r.fingerprint,
        .address = r.address,
        .session = r.session,
        .box = r.box,
        .target = r.target,
        .bytes_in = (uint64_t)r.bytes_in,
        .bytes_out = (uint64_t)r.bytes_out,
        .duration_ms = (uint64_t)r.duration_ms,
        .reason = r.reason,
    };
    if (size != STORE_HASH_SIZE || !audit_event_parse(r.event, &record.event))
        return fault_set(f, ERR_CONFLICT,
                         "row %lld of the audit trail is not what was written; run audit verify",
                         (long long)r.seq);
    hex(hash, size, text);
    return each(&record, text, arg, f);
}

enum err audit_export_step(struct store *s, struct audit_export_state *state, unsigned rows,
                           audit_export_fn each, void *arg, bool *done, struct fault *f)
{
    static const char sql[] = "SELECT " AUDIT_ENTRY_COLUMNS " FROM audit WHERE seq > ? ORDER BY seq LIMIT ?";
    struct query q;
    bool row = true;
    unsigned seen = 0;
    *done = false;
    enum err e =
        audit_head(s, &state->head, f); // seals what is open, so that the last record told is the head
    if (e == ERR_NONE)
        e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, state->seq);
    query_bind_int(&q, rows);
    for (; e == ERR_NONE; seen++) {
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        e = tell(&q, each, arg, f);
        state->seq = query_int(&q, 0);
    }
    query_end(&q);
    *done = e == ERR_NONE && seen < rows;
    return e;
}
