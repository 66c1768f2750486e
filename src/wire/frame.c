// The length before each frame of a stream.
#include "wire/frame.h"

#include <stdint.h>

void frame_head_write(unsigned char head[FRAME_HEAD], size_t length)
{
    for (size_t i = 0; i < FRAME_HEAD; i++)
        head[i] = (unsigned char)(length >> (8 * (FRAME_HEAD - 1 - i)));
}

size_t frame_head_read(const unsigned char head[FRAME_HEAD])
{
    uint32_t length = 0;
    for (size_t i = 0; i < FRAME_HEAD; i++)
        length = length << 8 | head[i];
    return length <= FRAME_PAYLOAD_MAX + 1 ? length : 0;
}
