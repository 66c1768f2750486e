// sessions: who is connected now.
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"
#include "control/cmd.h"
#include "control/command_run.h"
#include "control/describe.h"
#include "control/gateway_link.h"
#include "control/table.h"

struct listing {
    struct table *table; // or
    json_t *array;
    unsigned count;
};

static void list_session(const struct live_session *session, void *arg)
{
    struct listing *l = arg;
    char since[32];
    l->count++;
    when_format(session->started, since, sizeof since);
    if (l->array != NULL)
        json_array_append_new(l->array,
                              json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:i}", "id", (json_int_t)session->id,
                                        "user", session->user, "login", session->login, "address",
                                        session->address, "fingerprint", session->fingerprint, "since", since,
                                        "channels", (int)session->channels));
    else
        table_row(l->table, "%lld\t%s\t%s\t%s\t%s\t%u\t%s", (long long)session->id, session->user,
                  session->login, session->address, since, session->channels, session->fingerprint);
}

void cmd_sessions_list(struct command_run *run)
{
    struct listing l = {.table = NULL};
    if (run->json)
        l.array = json_array();
    else
        l.table = table_new();
    table_row(l.table, "ID\tUSER\tLOGIN\tFROM\tSINCE\tCHANNELS\tKEY");
    gateway_each_live(run->control->gateway, run->have_account ? run->account.id : 0, list_session, &l);
    if (run->json) {
        verb_result(run, l.array);
    } else if (l.count == 0) {
        verb_note(run, "Nobody is connected.");
    } else {
        char *text = table_text(l.table);
        verb_out_text(run, text == NULL ? "" : text);
        free(text);
    }
    table_free(l.table);
    verb_done(run);
}
