// Owns nothing; turns rows into words.
#include "control/describe.h"

#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "control/gateway_link.h"

enum box_state describe_state(const struct box_row *row, const struct box_result *result)
{
    if (row->driver == BOX_DRIVER_INCUS && row->phase == BOX_ABSENT)
        return BOX_STATE_ABSENT;
    return result == NULL || result->code != ERR_NONE ? BOX_STATE_UNKNOWN : result->state;
}

const char *describe_state_name(const struct box_row *row, enum box_state state)
{
    if (row->phase == BOX_DELETING)
        return "Deleting";
    switch (state) {
    case BOX_STATE_UNKNOWN:
        return row->driver == BOX_DRIVER_STATIC ? "Static" : "?";
    case BOX_STATE_ABSENT:
        return "-";
    case BOX_STATE_STOPPED:
        return "Stopped";
    case BOX_STATE_FROZEN:
        return "Frozen";
    case BOX_STATE_RUNNING:
        return "Running";
    case BOX_STATE_ERROR:
        return "Error";
    }
    return "?";
}

const char *describe_state_word(const struct box_row *row, enum box_state state)
{
    const char *name = describe_state_name(row, state);
    return strcmp(name, "?") == 0 ? "unknown" : strcmp(name, "-") == 0 ? "absent" : name;
}

const char *describe_cpu(const char *cpu, char *out, size_t out_size)
{
    unsigned count = 0;
    bool pinned = false;
    if (cpu_parse(cpu, &count, &pinned, NULL) != ERR_NONE)
        snprintf(out, out_size, "%s", cpu);
    else if (pinned)
        snprintf(out, out_size, "cores %s (pinned)", cpu);
    else
        snprintf(out, out_size, "%u core%s", count, count == 1 ? "" : "s");
    return out;
}

static json_t *idle_step_json(uint64_t ms, bool own)
{
    return json_pack("{s:o, s:b}", "after_ms", ms == 0 ? json_null() : json_integer((json_int_t)ms), "own",
                     own);
}

json_t *describe_idle_json(const struct config *config, const struct box_row *row)
{
    const struct idle_rules rules = idle_rules_of(config, &row->idle);
    return json_pack("{s:o, s:o}", "freeze", idle_step_json(rules.freeze_ms, row->idle.has_freeze), "stop",
                     idle_step_json(rules.stop_ms, row->idle.has_stop));
}

static void idle_step_text(const char *step, uint64_t ms, bool own, char *out, size_t out_size)
{
    char after[32];
    snprintf(out, out_size, "%s%s%s%s%s", ms == 0 ? "never " : "", step, ms == 0 ? "" : " after ",
             ms == 0 ? "" : idle_format(ms, after, sizeof after), own ? " (own)" : "");
}

const char *describe_idle(const struct config *config, const struct box_row *row, char *out, size_t out_size)
{
    const struct idle_rules rules = idle_rules_of(config, &row->idle);
    char freeze[64], stop[64];
    idle_step_text("frozen", rules.freeze_ms, row->idle.has_freeze, freeze, sizeof freeze);
    idle_step_text("stopped", rules.stop_ms, row->idle.has_stop, stop, sizeof stop);
    snprintf(out, out_size, "%s, %s", freeze, stop);
    return out;
}

static const char *public_name(const struct config *config)
{
    return config->public_host[0] == '\0' ? "GATEWAY" : config->public_host;
}

const char *describe_way(const struct config *config, const char *login, char out[DESCRIBE_WAY])
{
    char port[16] = "";
    if (config->public_port != 22)
        snprintf(port, sizeof port, "-p %u ", (unsigned)config->public_port);
    snprintf(out, DESCRIBE_WAY, "ssh %s%.100s@%s", port, login, public_name(config));
    return out;
}

const char *describe_jump(const struct config *config, const char *login, const char *user, const char *box,
                          char out[DESCRIBE_WAY])
{
    const char *host = public_name(config);
    bool ipv6 = strchr(host, ':') != NULL;
    char port[16] = "";
    if (config->public_port != 22)
        snprintf(port, sizeof port, ":%u", (unsigned)config->public_port);
    snprintf(out, DESCRIBE_WAY, "ssh -J %.64s@%s%s%s%s %.32s@%.48s", login, ipv6 ? "[" : "", host,
             ipv6 ? "]" : "", port, user, box);
    return out;
}

void describe_ssh(struct command_run *run, const struct box_row *row)
{
    const struct config *config = run->control->config;
    char way[DESCRIBE_WAY];
    verb_out(run, "\nSSH Access:\n");
    verb_out(run, "  %s\n", describe_way(config, row->user, way));
    verb_out(run, "  %s\n", describe_jump(config, row->user, row->user, row->name, way));
    verb_out(run, "  ssh %s-dev    # once ~/.ssh/config has: %s export %s%s\n", row->user, verb_program(run),
             row->user, config->public_host[0] == '\0' ? " --jump-ip GATEWAY" : "");
}

struct own_key {
    const char *address;
    char *out;
};

static void look_at_session(const struct live_session *session, void *arg)
{
    struct own_key *own = arg;
    if (strcmp(session->address, own->address) == 0)
        snprintf(own->out, PUBKEY_FINGERPRINT_SIZE, "%s", session->fingerprint);
}

void describe_own_key(const struct command_run *run, char out[PUBKEY_FINGERPRINT_SIZE])
{
    struct own_key own = {.address = run->who.address, .out = out};
    out[0] = '\0';
    if (run->who.account_id != 0)
        gateway_each_live(run->control->gateway, run->who.account_id, look_at_session, &own);
}

json_t *describe_time(time_t t)
{
    char text[32];
    return t == 0 ? json_null() : json_string(when_format(t, text, sizeof text));
}

static enum err add_key(const struct account_key *key, void *arg, struct fault *f)
{
    json_t *one = json_pack("{s:s, s:s, s:s, s:i, s:s, s:o, s:o}", "type", key->key.type, "fingerprint",
                            key->key.fingerprint, "comment", key->key.comment, "bits", (int)key->key.bits,
                            "options", key->key.options, "added", describe_time(key->added), "last_used",
                            describe_time(key->last_used));
    if (one == NULL || json_array_append_new(arg, one) != 0)
        return fault_set(f, ERR_MEMORY, "out of memory");
    return ERR_NONE;
}

json_t *describe_keys(struct store *s, int64_t account_id)
{
    json_t *list = json_array();
    struct fault f;
    if (list != NULL && account_key_each(s, account_id, add_key, list, &f) != ERR_NONE) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *usage_json(const struct box_usage *usage)
{
    if (usage == NULL || usage->started_at == 0)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:i, s:o}", "memory", (json_int_t)usage->memory, "disk",
                     (json_int_t)usage->disk, "cpu_ns", (json_int_t)usage->cpu_ns, "processes",
                     (int)usage->processes, "started_at", describe_time((time_t)usage->started_at));
}

json_t *describe_json(const struct account *account, const struct box_row *row, enum box_state state,
                      const struct box_usage *usage)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:I, s:I, s:b, s:o, s:o, s:o}", //
                     "user", account->name,                                                              //
                     "role", role_name(account->role),                                                   //
                     "box", row->name,                                                                   //
                     "state", describe_state_word(row, state),                                           //
                     "driver", box_driver_name(row->driver),                                             //
                     "phase", box_phase_name(row->phase),                                                //
                     "address", row->address,                                                            //
                     "port", (int)row->port,                                                             //
                     "image", row->image,                                                                //
                     "cpu", row->cpu,                                                                    //
                     "memory", (json_int_t)row->memory,                                                  //
                     "disk", (json_int_t)row->disk,                                                      //
                     "autostart", row->autostart,                                                        //
                     "created", describe_time(row->created),                                             //
                     "last_login", describe_time(account->last_login),                                   //
                     "usage", usage_json(usage));
}
