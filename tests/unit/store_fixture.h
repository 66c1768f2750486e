// A store in a folder of its own under TMPDIR, gone with the test. A test that needs it on another disk sets
// `folder`.
#ifndef UNIT_STORE_FIXTURE_H
#define UNIT_STORE_FIXTURE_H

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/account.h"
#include "store/audit.h"
#include "store/box.h"
#include "store/session.h"
#include "store/store.h"

struct fixture {
    char folder[256];
    char path[300];
    struct store *store;
};

static inline void fixture_place(struct fixture *x)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(x->folder, sizeof x->folder, "%s/containarium-store-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    if (mkdtemp(x->folder) == NULL)
        fail_msg("cannot make a folder %s", x->folder);
    snprintf(x->path, sizeof x->path, "%s/containarium.db", x->folder);
}

static inline void fixture_open(struct fixture *x)
{
    struct fault f = {.text = ""};
    assert_ok(store_open(x->path, &x->store, &f));
}

static inline void fixture_close(struct fixture *x)
{
    store_close(x->store);
    x->store = NULL;
}

static inline void fixture_reopen(struct fixture *x)
{
    fixture_close(x);
    fixture_open(x);
}

static inline int fixture_setup(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);
    if (x == NULL)
        return -1;
    fixture_place(x);
    fixture_open(x);
    *state = x;
    return 0;
}

static inline void fixture_remove(struct fixture *x)
{
    DIR *folder = opendir(x->folder);
    for (struct dirent *e = folder == NULL ? NULL : readdir(folder); e != NULL; e = readdir(folder)) {
        char name[600];
        snprintf(name, sizeof name, "%s/%s", x->folder, e->d_name);
        if (e->d_name[0] != '.')
            unlink(name);
    }
    if (folder != NULL)
        closedir(folder);
    rmdir(x->folder);
}

static inline int fixture_teardown(void **state)
{
    struct fixture *x = *state;
    fixture_close(x);
    fixture_remove(x);
    free(x);
    return 0;
}

#define store_test(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

// A key that was never made by anybody: only its blob's form is right. n tells them apart.
static inline struct pubkey fixture_key(unsigned n, const char *comment)
{
    unsigned char blob[51] = "\0\0\0\x0bssh-ed25519\0\0\0\x20";
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[256] = "ssh-ed25519 ";
    struct pubkey key;
    struct fault f = {.text = ""};
    memcpy(blob + 19, &n, sizeof n);
    char *p = text + strlen(text);
    for (size_t i = 0; i < sizeof blob; i += 3) { // 51 bytes: no padding
        unsigned v = (unsigned)blob[i] << 16 | (unsigned)blob[i + 1] << 8 | blob[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *p++ = alphabet[v >> shift & 63];
    }
    snprintf(p, sizeof text - (size_t)(p - text), " %s", comment);
    assert_ok(pubkey_parse(text, strlen(text), &key, &f));
    return key;
}

static inline int64_t fixture_account(struct fixture *x, const char *name)
{
    struct fault f = {.text = ""};
    int64_t id = 0;
    assert_ok(account_create(x->store, name, ROLE_USER, 1000, &id, &f));
    return id;
}

static inline struct box_row fixture_box(int64_t account_id, const char *user)
{
    struct box_row row = {
        .account_id = account_id,
        .phase = BOX_ABSENT,
        .port = 22,
        .image = "containarium-box",
        .cpu = "2",
        .memory = 2000000000,
        .disk = 20000000000,
        .autostart = true,
        .created = 1000,
    };
    name_box(user, row.name);
    memset(row.gateway_seed, 7, sizeof row.gateway_seed);
    return row;
}

#endif
