// The length before a frame of a stream: every length that can be comes back, none that cannot is believed.
#include "check.h"
#include "wire/frame.h"

static void lengths_come_back(void **state)
{
    static const size_t lengths[] = {1, 2, 100, 255, 256, 5000, FRAME_PAYLOAD_MAX, FRAME_PAYLOAD_MAX + 1};
    unsigned char head[FRAME_HEAD];
    (void)state;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        frame_head_write(head, lengths[i]);
        assert_int_equal(frame_head_read(head), lengths[i]);
    }
}

static void other_protocols_are_noticed(void **state)
{
    static const char *const heads[] = {"\0\0\0\0",         "\0\0\x80\x02", "\x01\0\0\1",
                                        "\xff\xff\xff\xff", "SSH-",         "\0\0\xff\xff"};
    (void)state;
    for (size_t i = 0; i < COUNT(heads); i++)
        assert_int_equal(frame_head_read((const unsigned char *)heads[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lengths_come_back),
                                       cmocka_unit_test(other_protocols_are_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
