// Public-key authentication: offers and signatures are put to the control plane, one at a time; only a valid
// signature by a key it accepts logs in, and only after it has recorded the login.
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include "gateway/connection.h"

void auth_ask(struct connection *c, struct ask *a); // one of the ASK_AUTH_* kinds; answers or holds it
void auth_resume(struct connection *c);             // admitted: what was held may be asked now
void auth_free(struct connection *c);

#endif
