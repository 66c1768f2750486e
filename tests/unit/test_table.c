// Tables: aligned, a row a line for programs, laid out anew for terminals that are too narrow.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/table.h"

static void assert_shows(struct table *t, unsigned screen, const char *expected)
{
    char *text = table_text(t, screen);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static struct table *people(void)
{
    struct table *t = table_new();
    table_row(t, "BOX\tUSER\tAGE\tREASON");
    table_row(t, "alice-container\talice\t9\tthree failed logins");
    table_row(t, "b-container\tb\t10\t-");
    return t;
}

static const char one_line_each[] = "BOX              USER   AGE  REASON\n"
                                    "alice-container  alice  9    three failed logins\n"
                                    "b-container      b      10   -\n";

static void a_row_is_a_line(void **state)
{
    struct table *t = people();
    (void)state;
    assert_shows(t, 0, one_line_each);
    assert_shows(t, 48, one_line_each);
    table_spare(t, 0); // is left out only where it has to be
    assert_shows(t, 0, one_line_each);
    assert_shows(t, 48, one_line_each);
    table_free(t);
}

static void a_spare_column_goes_first(void **state)
{
    struct table *t = people();
    (void)state;
    table_spare(t, 0);
    assert_shows(t, 47,
                 "USER   AGE  REASON\n"
                 "alice  9    three failed logins\n"
                 "b      10   -\n");
    table_free(t);
}

static void what_does_not_fit_goes_on_below(void **state)
{
    struct table *t = people();
    (void)state;
    assert_shows(t, 40,
                 "BOX              USER   AGE\n"
                 "    REASON\n"
                 "alice-container  alice  9\n"
                 "    three failed logins\n"
                 "b-container      b      10\n"
                 "    -\n");
    assert_shows(t, 22,
                 "BOX              USER\n"
                 "    AGE\n"
                 "    REASON\n"
                 "alice-container  alice\n"
                 "    9\n"
                 "    three failed\n"
                 "    logins\n"
                 "b-container      b\n"
                 "    10\n"
                 "    -\n");
    table_free(t);
}

static void words_are_wrapped_below_themselves(void **state)
{
    struct table *t = table_new();
    (void)state;
    table_row(t, "warn\tclock\tnothing is seen that keeps it right, and records carry this time");
    table_row(t, "\t\tTo mend it: install systemd-timesyncd or chrony");
    assert_shows(t, 44,
                 "warn  clock  nothing is seen that keeps it\n"
                 "             right, and records carry this\n"
                 "             time\n"
                 "             To mend it: install\n"
                 "             systemd-timesyncd or chrony\n");
    table_keep_whole(t); // a command to copy
    assert_shows(t, 44,
                 "warn  clock  nothing is seen that keeps it\n"
                 "             right, and records carry this\n"
                 "             time\n"
                 "             To mend it: install systemd-timesyncd or chrony\n");
    table_free(t);
}

// Letters of several bytes are as wide as they are shown; what would move the cursor is not shown at all.
static void cells_are_text(void **state)
{
    struct table *t = table_new();
    (void)state;
    table_row(t, "J\xc3\xbcrgen\tx");
    table_row(t, "a\033[2J\tb");
    table_tint(t, TINT_BAD);
    assert_shows(t, 0, "J\xc3\xbcrgen  x\n" TINT_BAD "a?[2J" TINT_END "   b\n");
    table_free(t);
}

static void the_empty_and_the_endless(void **state)
{
    char cell[5001];
    struct table *t = table_new();
    (void)state;
    assert_shows(t, 80, "");
    memset(cell, 'x', sizeof cell - 1);
    cell[sizeof cell - 1] = '\0';
    table_row(t, "%s\t%s\t%s", cell, "", cell);
    char *text = table_text(t, 80);
    assert_non_null(text);
    assert_int_equal(strlen(text), 10000 + strlen("\n    \n    \n"));
    free(text);
    assert_null(table_text(NULL, 80));
    table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_a_line),
        cmocka_unit_test(a_spare_column_goes_first),
        cmocka_unit_test(what_does_not_fit_goes_on_below),
        cmocka_unit_test(words_are_wrapped_below_themselves),
        cmocka_unit_test(cells_are_text),
        cmocka_unit_test(the_empty_and_the_endless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
