// Names of users and boxes, and what a login name means. Pure.
#ifndef POLICY_NAME_H
#define POLICY_NAME_H

#include "base/fault.h"

#define NAME_USER_SIZE 32                   // 31 characters and the NUL
#define NAME_BOX_SIZE (NAME_USER_SIZE + 10) // "-container"

enum login_kind { LOGIN_USER, LOGIN_CONSOLE, LOGIN_JOIN, LOGIN_UNKNOWN };

// ^[a-z][a-z0-9-]{0,30}$, no trailing dash, none of the reserved words, not starting with "warm-".
MUST_CHECK enum err name_check_user(const char *name, struct fault *f);

// "alice" -> "alice-container". out needs NAME_BOX_SIZE bytes.
void name_box(const char *user, char *out);

// "alice-container" -> "alice"; also accepts the exported alias "alice-dev" and plain "alice".
// False if it is none of them. out needs NAME_USER_SIZE bytes.
bool name_user_of_box(const char *box, char *out);

// What a snapshot may be called: a to z, 0 to 9, "-", "_" and ".", starting with a letter or digit.
#define NAME_SNAPSHOT_SIZE 64
MUST_CHECK enum err name_check_snapshot(const char *name, struct fault *f);

// "alice" and "alice+bob" USER, "ctl" CONSOLE, "join+TOKEN" JOIN, anything else UNKNOWN.
enum login_kind name_login_kind(const char *login);

// Who a login of kind USER says it is, and whose box it asks for: of "alice" both are alice, of "alice+bob"
// the box is bob's. False for the other kinds. Each needs NAME_USER_SIZE bytes.
bool name_login_parse(const char *login, char *user, char *owner);

// The name that a login stands for where its kind does not matter (bans): "alice" of "alice+bob", otherwise
// the login as it is. out needs NAME_LOGIN_SIZE bytes.
#define NAME_LOGIN_SIZE (2 * NAME_USER_SIZE) // "alice+bob": two names of 31 characters, the + and the NUL
void name_login_user(const char *login, char *out);

// The login name as it may be shown, logged and recorded: of "join+TOKEN", also of one that was mistyped,
// only "join".
const char *name_login_shown(const char *login);

#endif
