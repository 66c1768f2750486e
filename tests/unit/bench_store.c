// Figures of the store, printed: look-ups, what a commit costs alone and in groups, and a large audit trail.
// usage: bench_store FOLDER [AUDIT_ROWS]     FOLDER should be on the disk that is meant; a file is left in
// none of them
#include "unit/check.h"

#include <fcntl.h>
#include <time.h>

#include "unit/store_fixture.h"

#define USERS 1000
#define LOOKUPS 100000

static double now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void need(enum err e, const struct fault *f)
{
    if (e != ERR_NONE) {
        fprintf(stderr, "%s\n", f->text);
        exit(1);
    }
}

static void fill(struct fixture *x)
{
    struct fault f = {.text = ""};
    for (unsigned i = 0; i < USERS; i++) {
        char name[32];
        int64_t id = 0;
        struct pubkey key = fixture_key(i, "laptop");
        snprintf(name, sizeof name, "user%u", i);
        need(account_create(x->store, name, ROLE_USER, 1, &id, &f), &f);
        need(account_key_add(x->store, id, &key, 1, NULL, &f), &f);
        struct box_row box = fixture_box(id, name);
        need(box_insert(x->store, &box, 0x0ab20010, 0x0ab20ffe, &f), &f);
    }
    need(store_commit(x->store, &f), &f);
}

static void lookups(struct fixture *x)
{
    struct fault f = {.text = ""};
    struct account account;
    struct account_key found;
    struct box_row box;
    struct pubkey keys[100];
    for (unsigned i = 0; i < COUNT(keys); i++)
        keys[i] = fixture_key(i * 7, "laptop");
    double start = now_us();
    for (unsigned i = 0; i < LOOKUPS; i++)
        need(account_key_find(x->store, keys[i % COUNT(keys)].fingerprint, &account, &found, &f), &f);
    printf("key look-up, %d accounts:      %7.2f us\n", USERS, (now_us() - start) / LOOKUPS);
    start = now_us();
    for (unsigned i = 0; i < LOOKUPS; i++)
        (void)!account_key_find(x->store, "SHA256:nobody", &account, &found, &f);
    printf("key look-up, unknown key:        %7.2f us\n", (now_us() - start) / LOOKUPS);
    start = now_us();
    for (unsigned i = 0; i < LOOKUPS; i++)
        need(box_get(x->store, 1 + i % USERS, &box, &f), &f);
    printf("box look-up:                     %7.2f us\n", (now_us() - start) / LOOKUPS);
    start = now_us();
    for (unsigned i = 0; i < LOOKUPS; i++)
        need(pubkey_from_base64(keys[i % COUNT(keys)].base64, &found.key, &f), &f);
    printf("public key parsed from the wire: %7.2f us\n", (now_us() - start) / LOOKUPS);
}

// What the control plane writes for one login.
static void login(struct fixture *x, unsigned n)
{
    struct fault f = {.text = ""};
    struct session_row session = {.account_id = 1 + n % USERS, .started = 1};
    snprintf(session.token, sizeof session.token, "token-%u", n);
    snprintf(session.user, sizeof session.user, "user%u", n % USERS);
    need(session_open(x->store, &session, &f), &f);
    struct audit_record record = {.time = 1,
                                  .event = AUDIT_LOGIN,
                                  .user = session.user,
                                  .address = "203.0.113.7:50122",
                                  .fingerprint = "SHA256:abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq",
                                  .session = session.id};
    need(audit_append(x->store, &record, &f), &f);
    need(account_touch_login(x->store, session.account_id, 1, &f), &f);
    need(account_key_touch(x->store, session.account_id, 1, &f), &f);
}

static void commits(struct fixture *x)
{
    static const unsigned sizes[] = {1, 10, 100};
    struct fault f = {.text = ""};
    unsigned n = 0;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        unsigned groups = sizes[i] == 100 ? 50 : 200;
        double start = now_us();
        for (unsigned g = 0; g < groups; g++) {
            for (unsigned k = 0; k < sizes[i]; k++)
                login(x, n++);
            need(store_commit(x->store, &f), &f);
        }
        double us = (now_us() - start) / groups;
        printf("commit of %3u logins:            %7.0f us, %.0f us a login\n", sizes[i], us, us / sizes[i]);
    }
}

// The disk's own floor, for comparison: append one page to a file and fdatasync.
static void floor_of(const struct fixture *x)
{
    char name[300], page[4096] = {0};
    snprintf(name, sizeof name, "%s/floor", x->folder);
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    double start = now_us();
    for (int i = 0; i < 200; i++) {
        if (write(fd, page, sizeof page) != sizeof page || fdatasync(fd) != 0)
            exit(1);
    }
    printf("this disk's fdatasync of a page: %7.0f us\n", (now_us() - start) / 200);
    close(fd);
}

static enum err count(const struct audit_record *r, void *arg, struct fault *f)
{
    (void)r;
    (void)f;
    ++*(unsigned *)arg;
    return ERR_NONE;
}

static void query(struct fixture *x, const char *what, struct audit_query q)
{
    struct fault f = {.text = ""};
    unsigned rows = 0;
    double start = now_us();
    need(audit_each(x->store, &q, count, &rows, &f), &f);
    printf("audit %-26s %7.2f ms, %u rows\n", what, (now_us() - start) / 1e3, rows);
}

static enum err count_user(const struct audit_count *c, void *arg, struct fault *f)
{
    (void)c;
    (void)f;
    ++*(unsigned *)arg;
    return ERR_NONE;
}

// What `audit summary`, `security status` and retention cost, and the longest the loop waits for a step of
// verify.
static void whole_trail(struct fixture *x)
{
    struct fault f = {.text = ""};
    struct audit_walk *walk = NULL;
    unsigned users = 0, removed = 0;
    uint64_t n = 0;
    bool done = false;
    double start = now_us(), longest = 0;
    need(audit_count_users(x->store, 0, count_user, &users, &f), &f);
    printf("audit summary of all:            %7.2f ms, %u users\n", (now_us() - start) / 1e3, users);
    start = now_us();
    need(audit_count_event(x->store, AUDIT_LOGIN_FAILED, 0, &n, &f), &f);
    printf("audit count of an event:         %7.2f ms, %llu rows\n", (now_us() - start) / 1e3,
           (unsigned long long)n);
    need(audit_walk_new(x->store, &walk, &f), &f);
    while (!done) {
        start = now_us();
        need(audit_walk_step(walk, 5000, &done, &f), &f);
        longest = now_us() - start > longest ? now_us() - start : longest;
    }
    audit_walk_free(walk);
    printf("audit verify, longest step:      %7.2f ms\n", longest / 1e3);
    start = now_us();
    need(audit_expire(x->store, INT64_MAX, 2000, &removed, &f), &f);
    need(store_commit(x->store, &f), &f);
    printf("retention:                       %7.2f ms for %u rows\n", (now_us() - start) / 1e3, removed);
}

static void trail(struct fixture *x, unsigned rows)
{
    struct fault f = {.text = ""};
    int64_t verified = 0;
    double start = now_us();
    for (unsigned i = 0; i < rows; i++) {
        char user[32], address[32];
        snprintf(user, sizeof user, "user%u", i % USERS);
        snprintf(address, sizeof address, "203.0.%u.%u:%u", i % 200, i % 250, 1024 + i % 60000);
        struct audit_record record = {.time = 1000 + i,
                                      .event = (enum audit_event)(i % 17),
                                      .user = user,
                                      .address = address,
                                      .fingerprint = "SHA256:abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq",
                                      .session = i,
                                      .box = "some-container",
                                      .target = "direct-tcpip some-container:22"};
        need(audit_append(x->store, &record, &f), &f);
        if (i % 1000 == 999)
            need(store_commit(x->store, &f), &f);
    }
    need(store_commit(x->store, &f), &f);
    printf("audit rows appended:             %7.1f us each, %u rows\n", (now_us() - start) / rows, rows);
    start = now_us();
    need(audit_verify(x->store, &verified, &f), &f);
    printf("audit verify:                    %7.2f s, %lld rows\n", (now_us() - start) / 1e6,
           (long long)verified);
    query(x, "newest 50", (struct audit_query){.limit = 50});
    query(x, "newest 50 of a user", (struct audit_query){.user = "user7", .limit = 50});
    query(x, "newest 50 of an address", (struct audit_query){.address = "203.0.7.7", .limit = 50});
    query(x, "newest 50 of an event", (struct audit_query){.event = "login", .limit = 50});
    query(x, "of 1000 seconds", (struct audit_query){.since = 1000 + rows / 2, .until = 2000 + rows / 2});
    query(x, "of an event and 1000 seconds",
          (struct audit_query){.event = "login", .since = 1000 + rows / 2, .until = 2000 + rows / 2});
    whole_trail(x);
    fixture_close(x);
    start = now_us();
    fixture_open(x);
    printf("open:                            %7.2f s\n", (now_us() - start) / 1e6);
}

int main(int argc, char **argv)
{
    struct fixture x = {.store = NULL};
    unsigned rows = argc > 2 ? (unsigned)atoi(argv[2]) : 100000;
    if (argc > 1)
        setenv("TMPDIR", argv[1], 1);
    fixture_place(&x);
    double start = now_us();
    fixture_open(&x);
    printf("open, new:                       %7.2f ms\n", (now_us() - start) / 1e3);
    fill(&x);
    lookups(&x);
    floor_of(&x);
    commits(&x);
    trail(&x, rows);
    fixture_close(&x);
    fixture_remove(&x);
    return 0;
}
