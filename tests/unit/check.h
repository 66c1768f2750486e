// What every unit test includes: cmocka with the headers it wants, and assertions that show the fault's own
// words.
#ifndef UNIT_CHECK_H
#define UNIT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// expression uses &f for its fault.
#define assert_ok(expression)                                                                                \
    do {                                                                                                     \
        enum err check_code = (expression);                                                                  \
        if (check_code != ERR_NONE)                                                                          \
            fail_msg("%s: %s: %s", #expression, err_name(check_code), f.text);                               \
    } while (0)

#define assert_err(expected, expression)                                                                     \
    do {                                                                                                     \
        enum err check_code = (expression);                                                                  \
        if (check_code != (expected))                                                                        \
            fail_msg("%s: expected %s, got %s (%s)", #expression, err_name(expected), err_name(check_code),  \
                     f.text);                                                                                \
    } while (0)

#define assert_says(word)                                                                                    \
    do {                                                                                                     \
        if (strstr(f.text, (word)) == NULL)                                                                  \
            fail_msg("\"%s\" does not say \"%s\"", f.text, (word));                                          \
    } while (0)

#endif
