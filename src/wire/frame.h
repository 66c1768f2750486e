// Frames of the command line's conversation with the control plane: one packet a frame, first byte the type,
// the rest its payload. The command line knows no verbs; it carries arguments, input, output and the exit
// status.
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

// client -> server
#define FRAME_RUN                                                                                            \
    'R' // JSON {"argv":["create","alice"],"tty_in":true,"tty_out":true,"tty_err":true,"columns":80}; first,
        // once
#define FRAME_INPUT 'I' // bytes of stdin; empty payload = end of input
#define FRAME_FILE 'D'  // answer to FRAME_READ: 'O' and a chunk (empty chunk = end), or 'E' and a message

// server -> client
#define FRAME_OUT 'O'  // bytes for stdout
#define FRAME_ERR 'E'  // bytes for stderr: progress, prompts, errors
#define FRAME_WANT 'W' // no payload: stdin is wanted from now on (the client sends none before)
#define FRAME_READ 'F' // path: send that file. The client serves only paths that stand in its own arguments
#define FRAME_SAVE                                                                                           \
    'S' // path NUL bytes...: append to that file (created 0600 anew by the first frame); same rule
#define FRAME_PASS                                                                                           \
    'P' // 'r' or 'w', then a path: pass a descriptor of that file, to read, or made anew to write; same rule.
        // Answered by FRAME_FILE "O" with the descriptor, or "E" and a message
#define FRAME_EXIT 'X' // decimal exit status; last

#define FRAME_PAYLOAD_MAX 32768

#endif
