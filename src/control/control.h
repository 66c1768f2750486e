// What the control plane's parts share: one struct, made in main.c, passed to everybody, never global.
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <event2/event.h>

#include "base/config.h"
#include "base/fault.h"
#include "provision/fetch.h"
#include "provision/provision.h"
#include "store/account.h"
#include "store/audit.h"
#include "store/box.h"
#include "store/session.h"
#include "store/store.h"

struct control {
    struct event_base *base;
    const struct config *config;
    struct store *store;
    struct provision *provision;
    struct fetcher *fetcher;        // keys off the web, see provision/fetch.h
    struct writer *writer;          // group commit, see control/writer.h
    struct gateway_server *gateway; // links to connection processes, see control/gateway_link.h
    struct admin_server *admin;     // control.sock, see control/admin_socket.h
    struct tls_server *tls;         // HTTPS, see control/tls_server.h; NULL without it
    struct box_flows *flows;        // see control/box_flow.h
    struct bans *bans;              // see control/bans.h
    struct usages *usages;          // what each user is using, see control/usage.h
    struct metrics *metrics;        // see control/metrics.h
    struct shares *shares;          // boxes that others may enter, see control/share.h
    struct retention *retention;    // of the audit trail, see control/retention.h
    struct idle *idle;              // see control/idle.h
};

#endif
