// The command line of `ssh ctl@gateway ...` split into words.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/words.h"

// Splits and joins with '|'; "!" if refused.
static const char *split(const char *line)
{
    static char joined[1024];
    char *words[WORDS_MAX];
    size_t count = 0;
    struct fault f;
    char *storage = words_split(line, words, &count, &f);
    if (storage == NULL)
        return "!";
    joined[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(joined, words[i]);
        strcat(joined, "|");
    }
    free(storage);
    return joined;
}

static void words(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"   \t ", ""},
        {"list", "list|"},
        {"  keys  add alice - ", "keys|add|alice|-|"},
        {"a 'b c' d", "a|b c|d|"},
        {"a 'b \"c\\' d", "a|b \"c\\|d|"},
        {"\"b \\\" \\\\ \\n\"", "b \" \\ \\n|"},
        {"a\\ b c\\\\", "a b|c\\|"},
        {"x''y\"\"z", "xyz|"},
        {"'' \"\"", "||"},
        {"'open", "!"},
        {"\"open", "!"},
        {"trailing\\", "trailing\\|"},
        {"$HOME `id` *", "$HOME|`id`|*|"},
        {"a b", "a|b|"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(split(cases[i][0]), cases[i][1]);
}

static void too_many_words_are_refused(void **state)
{
    char line[WORDS_MAX * 2 + 8] = "";
    (void)state;
    for (int i = 0; i < WORDS_MAX; i++)
        strcat(line, "x ");
    assert_string_not_equal(split(line), "!");
    strcat(line, "x");
    assert_string_equal(split(line), "!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words), cmocka_unit_test(too_many_words_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
