// The prompt of the console: keys become lines. The screen is not compared byte by byte, which would be a
// test of libedit; what counts is the line, the event, and that half a key never makes anybody wait.
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "gateway/prompt.h"

struct desk {
    struct prompt *prompt;
    struct evbuffer *screen;
    int master;
};

static int set_up(void **state)
{
    struct desk *d = calloc(1, sizeof *d);
    char name[64];
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    setenv("TERM", "none", 1); // as in a connection process, which can read no database of terminals
    d->master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(d->master >= 0);
    assert_int_equal(grantpt(d->master), 0);
    assert_int_equal(unlockpt(d->master), 0);
    assert_int_equal(ptsname_r(d->master, name, sizeof name), 0);
    d->screen = evbuffer_new();
    d->prompt = prompt_new(open(name, O_RDWR | O_NOCTTY), d->screen, "> ", false);
    assert_non_null(d->prompt);
    prompt_resize(d->prompt, 80, 24);
    prompt_begin(d->prompt);
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    struct desk *d = *state;
    prompt_free(d->prompt);
    evbuffer_free(d->screen);
    close(d->master);
    free(d);
    return 0;
}

// Types all of it in pieces of `piece` bytes; the event that ended it, or PROMPT_MORE.
static enum prompt_event type(struct desk *d, const char *keys, size_t piece)
{
    size_t length = strlen(keys);
    while (length > 0) {
        size_t n = length < piece ? length : piece, used = 0;
        enum prompt_event event = prompt_input(d->prompt, keys, n, &used);
        assert_true(used > 0 && used <= n);
        keys += used;
        length -= used;
        if (event != PROMPT_MORE) {
            assert_int_equal(length, 0);
            return event;
        }
    }
    return PROMPT_MORE;
}

static void keys_become_lines(void **state)
{
    static const struct {
        const char *keys, *line;
    } rows[] = {
        {"list\r", "list"},
        {"list\n", "list"},
        {"\r", ""},
        {"lxist\033[D\033[D\033[D\177\r", "list"},                  // left three times, rub out
        {"ist\001l\r", "list"},                                     // to the beginning
        {"ist\033[Hl\r", "list"},                                   // Home
        {"ist\033OHl\005 x\r", "list x"},                           // Home as others send it; to the end
        {"listen\033[D\033[D\013\r", "list"},                       // the rest away
        {"one two\027\r", "one "},                                  // a word away
        {"one\025two\r", "two"},                                    // all away
        {"\033[A\033[A\r", "one"},                                  // two lines back; libedit drops the blank
        {"r\xc3\xa4t\r", "r\xc3\xa4t"},                             // two bytes
        {"\xe6\x97\xa5\xe6\x9c\xac\r", "\xe6\x97\xa5\xe6\x9c\xac"}, // wide ones
        {"\xe6\x97\xa5\xc3\xa4x\033[D\033[D\033[3~\r", "\xe6\x97\xa5x"}, // the middle one away
        {"a\xc3\xe6\x97x\xa5y\r", "axy"},                                // halves are none
        {"a\xc2\x9b"
         "b\r",
         "ab"},                           // CSI of eight bits
        {"a\033[99;99;99;99Xb\r", "ab"},  // a key nobody has
        {"a\033[3~b\033[1;5Dc\r", "cab"}, // delete nothing; a word left
    };
    for (size_t piece = 1; piece < 20; piece += 9) { // also when every key comes in bits
        for (size_t i = 0; i < COUNT(rows); i++) {
            struct desk *d = *state;
            assert_int_equal(type(d, rows[i].keys, piece), PROMPT_LINE);
            if (strstr(rows[i].keys, "\033[A") == NULL || piece == 1)
                assert_string_equal(prompt_line(d->prompt), rows[i].line);
            prompt_begin(d->prompt);
        }
    }
}

static void keys_that_are_events(void **state)
{
    struct desk *d = *state;
    char before[64];
    assert_int_equal(type(d, "abc\003", 80), PROMPT_CANCEL);
    prompt_begin(d->prompt);
    assert_int_equal(type(d, "x\001\004", 80), PROMPT_MORE); // deletes
    assert_int_equal(type(d, "\004", 80), PROMPT_END);
    prompt_begin(d->prompt);
    assert_int_equal(type(d, "keys li\033[D\t", 80), PROMPT_COMPLETE);
    prompt_before(d->prompt, before, sizeof before);
    assert_string_equal(before, "keys l");
    prompt_before(d->prompt, before, 4);
    assert_string_equal(before, "");
    prompt_insert(d->prompt, "\033]0;x\a\nyz");
    assert_int_equal(type(d, "\r", 80), PROMPT_LINE);
    assert_string_equal(prompt_line(d->prompt), "keys l]0;xyzi");
}

static void half_a_key_waits(void **state)
{
    struct desk *d = *state;
    assert_int_equal(type(d, "ab\033", 80), PROMPT_MORE);
    assert_int_equal(type(d, "[", 80), PROMPT_MORE);
    assert_int_equal(type(d, "D", 80), PROMPT_MORE);
    assert_int_equal(type(d, "x\r", 80), PROMPT_LINE);
    assert_string_equal(prompt_line(d->prompt), "axb");
}

static void a_line_has_an_end(void **state)
{
    struct desk *d = *state;
    for (int i = 0; i < 10000; i++)
        assert_int_equal(type(d, "a", 1), PROMPT_MORE);
    assert_int_equal(type(d, "\r", 1), PROMPT_LINE);
    assert_true(strlen(prompt_line(d->prompt)) > 1000 && strlen(prompt_line(d->prompt)) < 4096);
}

// Every key there is, one after the other, with and without text around it: no key may end the process, wait,
// or make a line of its own.
static void every_key_is_harmless(void **state)
{
    struct desk *d = *state;
    for (int c = 1; c < 256; c++) {
        for (int prefix = 0; prefix < 4; prefix++) {
            static const char *const prefixes[] = {"", "\033", "\033[", "\030"};
            char keys[16];
            snprintf(keys, sizeof keys, "ab%s%cq", prefixes[prefix], c);
            for (const char *k = keys; *k != '\0'; k++) {
                size_t used = 0;
                (void)prompt_input(d->prompt, k, 1, &used);
            }
            prompt_resize(d->prompt, 20 + (unsigned)c, 5);
            prompt_redraw(d->prompt);
            prompt_begin(d->prompt);
        }
    }
    evbuffer_drain(d->screen, evbuffer_get_length(d->screen));
    assert_int_equal(type(d, "still here\r", 80), PROMPT_LINE);
    assert_string_equal(prompt_line(d->prompt), "still here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_become_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_that_are_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_a_key_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_has_an_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_key_is_harmless, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
