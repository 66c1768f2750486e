// The log's lines: what journald is told, and that text from outside starts no line of its own.
#include "unit/check.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

// stderr goes into a pipe while a test runs; cmocka itself writes to it between tests.
static int ends[2], saved;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(pipe(ends), 0);
    saved = dup(STDERR_FILENO);
    return dup2(ends[1], STDERR_FILENO) < 0;
}

static int tear_down(void **state)
{
    (void)state;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    close(ends[1]);
    unsetenv("JOURNAL_STREAM");
    return 0;
}

static const char *written(void)
{
    static char line[4096];
    ssize_t n = read(ends[0], line, sizeof line - 1);
    line[n > 0 ? n : 0] = '\0';
    return line;
}

static void name_stream(unsigned long inode_more)
{
    char text[64];
    struct stat st;
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    snprintf(text, sizeof text, "%lu:%lu", (unsigned long)st.st_dev, (unsigned long)st.st_ino + inode_more);
    setenv("JOURNAL_STREAM", text, 1);
}

static void journald_is_told_the_level(void **state)
{
    (void)state;
    name_stream(0);
    log_setup("test", LOG_LEVEL_DEBUG);
    log_event(LOG_LEVEL_ERROR, "one", "a=1");
    assert_string_equal(written(), "<3>level=error prog=test event=one a=1\n");
    log_event(LOG_LEVEL_DEBUG, "two", "a=2");
    assert_string_equal(written(), "<7>level=debug prog=test event=two a=2\n");
    log_words("Accepted publickey for %s", "alice"); // info is journald's own assumption
    assert_string_equal(written(), "Accepted publickey for alice\n");
}

static void a_file_is_not_journald(void **state)
{
    (void)state;
    name_stream(1); // stderr was redirected after the service manager had started us
    log_setup("test", LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_WARN, "one", "a=1");
    assert_string_equal(written(), "level=warn prog=test event=one a=1\n");
    setenv("JOURNAL_STREAM", "", 1);
    log_setup("test", LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, "two", "a=2");
    assert_string_equal(written(), "level=info prog=test event=two a=2\n");
}

static void text_from_outside_stays_in_its_line(void **state)
{
    (void)state;
    log_setup("test", LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, "one", "name=%s", log_quote("a\"\n<0>level=error"));
    assert_string_equal(written(), "level=info prog=test event=one name=\"a\\\"\\x0a<0>level=error\"\n");
    log_event(LOG_LEVEL_INFO, "two", "name=%s", "forgot\nto quote");
    assert_string_equal(written(), "level=info prog=test event=two name=forgot to quote\n");
    log_words("Failed publickey for %s", "al\nice");
    assert_string_equal(written(), "Failed publickey for al?ice\n");
}

int main(void)
{
#define WITH_PIPE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_PIPE(journald_is_told_the_level),
        WITH_PIPE(a_file_is_not_journald),
        WITH_PIPE(text_from_outside_stays_in_its_line),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
