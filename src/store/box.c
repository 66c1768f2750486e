// Boxes: what they should be, their fixed address and the phase of their life cycle.
#include "store/box.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "store/query.h"

#define BOX_SELECT                                                                                           \
    "SELECT account_id, accounts.name, boxes.name, driver, phase, address, port, image, cpu, memory, disk, " \
    "autostart, hostkeys, gateway_seed, boxes.created, idle_freeze_ms, idle_stop_ms FROM boxes JOIN "        \
    "accounts ON accounts.id = account_id "

static const char *const driver_names[] = {"incus", "static"};
static const char *const phase_names[] = {"absent", "creating", "ready", "deleting"};

const char *box_phase_name(enum box_phase phase)
{
    return phase_names[phase];
}

const char *box_driver_name(enum box_driver driver)
{
    return driver_names[driver];
}

static bool word_find(const char *const *words, int count, const char *text, int *out)
{
    for (*out = 0; *out < count; (*out)++) {
        if (strcmp(words[*out], text) == 0)
            return true;
    }
    return false;
}

static enum err read_box(const struct query *q, struct box_row *out, struct fault *f)
{
    int driver = 0, phase = 0;
    size_t seed_size = 0;
    const void *seed = query_blob(q, 13, &seed_size);
    *out = (struct box_row){
        .account_id = query_int(q, 0),
        .port = (uint16_t)query_int(q, 6),
        .memory = (uint64_t)query_int(q, 9),
        .disk = (uint64_t)query_int(q, 10),
        .autostart = query_int(q, 11) != 0,
        .created = (time_t)query_int(q, 14),
        .idle = {.has_freeze = !query_is_null(q, 15),
                 .has_stop = !query_is_null(q, 16),
                 .rules = {.freeze_ms = (uint64_t)query_int(q, 15), .stop_ms = (uint64_t)query_int(q, 16)}},
    };
    query_copy(q, 1, out->user, sizeof out->user);
    query_copy(q, 2, out->name, sizeof out->name);
    query_copy(q, 5, out->address, sizeof out->address);
    query_copy(q, 7, out->image, sizeof out->image);
    query_copy(q, 8, out->cpu, sizeof out->cpu);
    query_copy(q, 12, out->hostkeys, sizeof out->hostkeys);
    if (!word_find(driver_names, 2, query_text(q, 3), &driver) ||
        !word_find(phase_names, 4, query_text(q, 4), &phase) || seed_size != BOX_SEED_SIZE)
        return fault_set(f, ERR_IO, "the row of %s is damaged", out->name);
    memcpy(out->gateway_seed, seed, BOX_SEED_SIZE);
    out->driver = (enum box_driver)driver;
    out->phase = (enum box_phase)phase;
    return ERR_NONE;
}

// The lowest number of [first, last] that no box has: first itself, or one after a box whose successor is
// free.
static enum err free_address(struct store *s, uint32_t first, uint32_t last, uint32_t *out, struct fault *f)
{
    static const char sql[] =
        "SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM boxes WHERE address_number = ?1) UNION ALL "
        "SELECT * FROM (SELECT address_number + 1 FROM boxes AS taken WHERE address_number >= ?1"
        "  AND NOT EXISTS (SELECT 1 FROM boxes WHERE address_number = taken.address_number + 1)"
        "  ORDER BY address_number LIMIT 1) LIMIT 1";
    struct query q;
    bool row = false;
    enum err e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, first);
    e = query_step(&q, &row, f);
    int64_t found = row ? query_int(&q, 0) : (int64_t)last + 1;
    query_end(&q);
    if (e == ERR_NONE && found > last)
        e = fault_set(f, ERR_FULL,
                      "all %u addresses for boxes are taken; delete boxes or give a larger [box] subnet",
                      last < first ? 0 : last - first + 1);
    if (e == ERR_NONE)
        *out = (uint32_t)found;
    return e;
}

// Sets row->address if it has none yet; *number is what the unique column gets, -1 for none.
static enum err give_address(struct store *s, struct box_row *row, uint32_t first, uint32_t last,
                             int64_t *number, struct fault *f)
{
    struct in_addr address;
    uint32_t n = 0;
    *number = -1;
    if (row->driver == BOX_DRIVER_STATIC)
        return ERR_NONE;
    if (row->address[0] != '\0') {
        if (inet_pton(AF_INET, row->address, &address) == 1)
            *number = ntohl(address.s_addr);
        return ERR_NONE;
    }
    enum err e = free_address(s, first, last, &n, f);
    if (e != ERR_NONE)
        return e;
    address.s_addr = htonl(n);
    inet_ntop(AF_INET, &address, row->address, sizeof row->address);
    *number = n;
    return ERR_NONE;
}

static void bind_own(struct query *q, bool has, uint64_t ms)
{
    if (has)
        query_bind_int(q, (int64_t)ms);
    else
        query_bind_null(q);
}

static void bind_idle(struct query *q, const struct idle_own *own)
{
    bind_own(q, own->has_freeze, own->rules.freeze_ms);
    bind_own(q, own->has_stop, own->rules.stop_ms);
}

static enum err check_no_box(struct store *s, const struct box_row *row, struct fault *f)
{
    struct box_row existing;
    enum err e = box_get(s, row->account_id, &existing, f);
    if (e == ERR_NONE)
        return fault_set(f, ERR_CONFLICT, "%s has a box already", existing.user);
    return e == ERR_NOTFOUND ? ERR_NONE : e;
}

enum err box_insert(struct store *s, struct box_row *row, uint32_t first, uint32_t last, struct fault *f)
{
    static const char sql[] =
        "INSERT INTO boxes (account_id, name, driver, phase, address, address_number, port, image, cpu, "
        "memory, disk,"
        " autostart, hostkeys, gateway_seed, created, idle_freeze_ms, idle_stop_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    struct box_row copy = *row; // row is the caller's as it was if this fails
    struct query q;
    int64_t number = -1;
    enum err e = check_no_box(s, row, f);
    if (e == ERR_NONE)
        e = give_address(s, &copy, first, last, &number, f);
    if (e == ERR_NONE)
        e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, copy.account_id);
    query_bind_text(&q, copy.name);
    query_bind_text(&q, driver_names[copy.driver]);
    query_bind_text(&q, phase_names[copy.phase]);
    query_bind_text(&q, copy.address);
    if (number < 0)
        query_bind_null(&q);
    else
        query_bind_int(&q, number);
    query_bind_int(&q, copy.port);
    query_bind_text(&q, copy.image);
    query_bind_text(&q, copy.cpu);
    query_bind_int(&q, (int64_t)copy.memory);
    query_bind_int(&q, (int64_t)copy.disk);
    query_bind_int(&q, copy.autostart);
    query_bind_text(&q, copy.hostkeys);
    query_bind_blob(&q, copy.gateway_seed, sizeof copy.gateway_seed);
    query_bind_int(&q, copy.created);
    bind_idle(&q, &copy.idle);
    e = query_run(&q, NULL, f);
    if (e == ERR_CONFLICT)
        e = fault_set(f, ERR_CONFLICT, "the box %s or its address %s is taken, or the account is gone",
                      copy.name, copy.address);
    if (e == ERR_NONE)
        *row = copy;
    return e;
}

// Steps to the one row that is asked for and ends the query.
static enum err take_box(struct query *q, struct box_row *out, struct fault *f)
{
    bool row = false;
    enum err e = query_step(q, &row, f);
    if (e == ERR_NONE)
        e = row ? read_box(q, out, f) : fault_set(f, ERR_NOTFOUND, "this user has no box yet");
    query_end(q);
    return e;
}

enum err box_get(struct store *s, int64_t account_id, struct box_row *out, struct fault *f)
{
    static const char sql[] = BOX_SELECT "WHERE account_id = ?";
    struct query q;
    enum err e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, account_id);
    return take_box(&q, out, f);
}

enum err box_get_user(struct store *s, const char *user, struct box_row *out, struct fault *f)
{
    static const char sql[] = BOX_SELECT "WHERE accounts.name = ?";
    struct query q;
    enum err e = query_read(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, user);
    return take_box(&q, out, f);
}

static enum err run_on(struct query *q, struct fault *f)
{
    int changes = 0;
    enum err e = query_run(q, &changes, f);
    if (e == ERR_NONE && changes == 0)
        e = fault_set(f, ERR_NOTFOUND, "the box was deleted meanwhile");
    return e;
}

enum err box_set_phase(struct store *s, int64_t account_id, enum box_phase phase, struct fault *f)
{
    // A deletion that was begun is never taken back: what is left of the box may be half of it.
    static const char sql[] = "UPDATE boxes SET phase = ?1 WHERE account_id = ?2"
                              " AND (phase <> 'deleting' OR ?1 = 'deleting')";
    struct box_row row;
    struct query q;
    int changes = 0;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, phase_names[phase]);
    query_bind_int(&q, account_id);
    e = query_run(&q, &changes, f);
    if (e != ERR_NONE || changes > 0)
        return e;
    e = box_get(s, account_id, &row, f);
    if (e == ERR_NONE)
        e = fault_set(f, ERR_CONFLICT, "%s is being deleted", row.name);
    return e;
}

enum err box_set_hostkeys(struct store *s, int64_t account_id, const char *hostkeys, struct fault *f)
{
    static const char sql[] = "UPDATE boxes SET hostkeys = ? WHERE account_id = ?";
    struct query q;
    if (strlen(hostkeys) >= BOX_HOSTKEYS_SIZE)
        return fault_set(f, ERR_INVALID, "the box's host keys are longer than %d bytes",
                         BOX_HOSTKEYS_SIZE - 1);
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, hostkeys);
    query_bind_int(&q, account_id);
    return run_on(&q, f);
}

enum err box_set_limits(struct store *s, int64_t account_id, const char *cpu, uint64_t memory, uint64_t disk,
                        struct fault *f)
{
    static const char sql[] = "UPDATE boxes SET cpu = ?, memory = ?, disk = ? WHERE account_id = ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, cpu);
    query_bind_int(&q, (int64_t)memory);
    query_bind_int(&q, (int64_t)disk);
    query_bind_int(&q, account_id);
    return run_on(&q, f);
}

enum err box_set_autostart(struct store *s, int64_t account_id, bool autostart, struct fault *f)
{
    static const char sql[] = "UPDATE boxes SET autostart = ? WHERE account_id = ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_int(&q, autostart);
    query_bind_int(&q, account_id);
    return run_on(&q, f);
}

enum err box_set_idle(struct store *s, int64_t account_id, const struct idle_own *own, struct fault *f)
{
    static const char sql[] = "UPDATE boxes SET idle_freeze_ms = ?, idle_stop_ms = ? WHERE account_id = ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    bind_idle(&q, own);
    query_bind_int(&q, account_id);
    return run_on(&q, f);
}

enum err box_set_image(struct store *s, int64_t account_id, const char *image, struct fault *f)
{
    static const char sql[] = "UPDATE boxes SET image = ? WHERE account_id = ?";
    struct query q;
    enum err e = query_write(s, sql, &q, f);
    if (e != ERR_NONE)
        return e;
    query_bind_text(&q, image);
    query_bind_int(&q, account_id);
    return run_on(&q, f);
}

enum err box_each(struct store *s, box_each_fn each, void *arg, struct fault *f)
{
    static const char sql[] = BOX_SELECT "ORDER BY accounts.name";
    struct query q;
    bool row = true;
    enum err e = query_read(s, sql, &q, f);
    while (e == ERR_NONE) {
        struct box_row box;
        e = query_step(&q, &row, f);
        if (e != ERR_NONE || !row)
            break;
        e = read_box(&q, &box, f);
        if (e == ERR_NONE)
            e = each(&box, arg, f);
    }
    query_end(&q);
    return e;
}
