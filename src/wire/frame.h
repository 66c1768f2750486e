// Frames of the command line's conversation with the control plane: one packet a frame, first byte the type,
// the rest its payload. The command line knows no verbs; it carries arguments, input, output and the exit
// status.
//
// Over ssh (subsystem "containarium" of ctl@gateway) the same frames are a stream: before each stands its
// length, four bytes, most significant first.
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <stddef.h>

// client -> server
#define FRAME_RUN                                                                                            \
    'R' // JSON {"argv":["create","alice"],"tty_in":true,"tty_out":true,"tty_err":true,"cli":true}; first,
        // once. "cli": files can be read and written at this end. "more": after EXIT another RUN may come;
        // "console": typed at the prompt of the interactive console; "columns" and "colours": what the
        // terminal that shows the output has
#define FRAME_INPUT 'I' // bytes of stdin; empty payload = end of input
#define FRAME_FILE 'D'  // answer to FRAME_READ: 'O' and a chunk (empty chunk = end), or 'E' and a message
#define FRAME_SAVED 'V' // answer to FRAME_SYNC: empty, or why not
#define FRAME_CANCEL                                                                                         \
    'C' // no payload: nobody waits for the result any more; what was begun goes on to its end
#define FRAME_TERMINAL                                                                                       \
    'T' // before RUN, no payload: a terminal is needed; the answer is the same frame with two descriptors,
        // its master and its slave

// server -> client
#define FRAME_OUT 'O'  // bytes for stdout
#define FRAME_ERR 'E'  // bytes for stderr: progress, prompts, errors
#define FRAME_WANT 'W' // no payload: stdin is wanted from now on (the client sends none before)
#define FRAME_READ 'F' // path: send that file. The client serves only paths that stand in its own arguments
#define FRAME_SAVE                                                                                           \
    'S' // path NUL bytes...: append to that file (created 0600 anew by the first frame); same rule, or one
        // new file in a folder that stands there
#define FRAME_PASS                                                                                           \
    'P' // 'r' or 'w', then a path: pass a descriptor of that file, to read, or made anew to write; same rule.
        // Answered by FRAME_FILE "O" with the descriptor, or "E" and a message
#define FRAME_SYNC 'Y' // no payload: are all those files written?
#define FRAME_EXIT 'X' // decimal exit status; last

#define FRAME_PAYLOAD_MAX 32768
#define FRAME_SUBSYSTEM "containarium"

// The length before a frame in a stream.
#define FRAME_HEAD 4
void frame_head_write(unsigned char head[FRAME_HEAD], size_t length);
// 0 if no frame can be of that length: whoever sent it speaks something else.
size_t frame_head_read(const unsigned char head[FRAME_HEAD]);

#endif
