// Names and targets from outside. First byte: port and options; the rest: the host a client asks for.
// Whatever the bytes, alice jumps to her own box only, and never gets to a name that is somebody else's box.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "policy/authz.h"
#include "policy/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *text)
{
    char user[NAME_USER_SIZE], box[NAME_BOX_SIZE], back[NAME_USER_SIZE];
    struct fault f;
    (void)name_login_kind(text);
    if (name_user_of_box(text, user) && name_check_user(user, &f) != ERR_NONE)
        abort();
    if (name_check_user(text, &f) != ERR_NONE)
        return;
    name_box(text, box);
    if (!name_user_of_box(box, back) || strcmp(back, text) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char host[512], reason[300], list[64];
    if (size < 1 || size > sizeof host)
        return 0;
    memcpy(host, data + 1, size - 1);
    host[size - 1] = '\0';
    check_name(host);
    snprintf(list, sizeof list, "%.63s", host);
    (void)authz_port_allowed(list, data[0]);
    struct authz_subject alice = {
        .role = ROLE_USER,
        .console = (data[0] & 64) != 0,
        .owner = "alice",
        .box_name = "alice-container",
        .box_address = "10.178.0.16",
        .jump_ports = "22 80",
        .box_subnet = "10.178.0.0/20",
    };
    struct authz_request request = {.kind = REQUEST_DIRECT_TCPIP, .host = host, .port = data[0] & 63u};
    enum authz_verdict v = authz_decide(&alice, &request, (data[0] & 128) != 0, reason, sizeof reason);
    if (v == AUTHZ_DENY && reason[0] == '\0')
        abort();
    if (alice.console && v != AUTHZ_DENY)
        abort();
    if (v == AUTHZ_BOX_JUMP && request.port != 22)
        abort();
    if (v == AUTHZ_BOX_JUMP && strncasecmp(host, "alice-container", 15) != 0 &&
        strncasecmp(host, "alice-dev", 9) != 0 && strpbrk(host, "0123456789") == NULL)
        abort();
    return 0;
}
