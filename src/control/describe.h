// One box in words and in JSON, the same wherever it is shown.
#ifndef CONTROL_DESCRIBE_H
#define CONTROL_DESCRIBE_H

#include <jansson.h>

#include "control/command_run.h"

// "running": what Incus says; UNKNOWN when it could not be asked, or what the phase tells when it need not
// be.
enum box_state describe_state(const struct box_row *row, const struct box_result *result);
// "Running", "Stopped", "-" (not made yet), "?" (Incus does not answer), "Static".
const char *describe_state_name(const struct box_row *row, enum box_state state);
// The same for programs: "absent" and "unknown" instead of "-" and "?".
const char *describe_state_word(const struct box_row *row, enum box_state state);

// "2 cores", "cores 0-3 (pinned)". Returns out.
const char *describe_cpu(const char *cpu, char *out, size_t out_size);

// When it falls asleep: {"freeze":{"after_ms","own"},"stop":{...}}, after_ms null for never. NULL when out of
// memory.
json_t *describe_idle_json(const struct config *config, const struct box_row *row);
// Ditto for people: "frozen after 2h (own), never stopped". Returns out.
const char *describe_idle(const struct config *config, const struct box_row *row, char *out, size_t out_size);

// How people get in, as the configuration says this gateway is reached; GATEWAY where it does not say.
#define DESCRIBE_WAY (CONFIG_TEXT + 160)
// "ssh -p 2222 alice@gateway.example". Returns out.
const char *describe_way(const struct config *config, const char *login, char out[DESCRIBE_WAY]);
// "ssh -J alice@gateway.example:2222 alice@alice-container". Returns out.
const char *describe_jump(const struct config *config, const char *login, const char *user, const char *box,
                          char out[DESCRIBE_WAY]);

// What create and info print as "ssh ..." lines.
void describe_ssh(struct command_run *run, const struct box_row *row);

// {"user","box","state","address",...}; usage may be NULL. NULL when out of memory.
json_t *describe_json(const struct account *account, const struct box_row *row, enum box_state state,
                      const struct box_usage *usage);
// The keys of an account as a JSON array.
json_t *describe_keys(struct store *s, int64_t account_id);

// The fingerprint of the key the caller's connection came in with; "" if it is none of the account's
// connections.
void describe_own_key(const struct command_run *run, char out[PUBKEY_FINGERPRINT_SIZE]);

// Time as text, JSON null if 0.
json_t *describe_time(time_t t);

#endif
