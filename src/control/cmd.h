// The handlers, one a verb, one file a noun. Only the table names them.
#ifndef CONTROL_CMD_H
#define CONTROL_CMD_H

struct command_run;

void cmd_create(struct command_run *run);
void cmd_list(struct command_run *run);
void cmd_info(struct command_run *run);
void cmd_delete(struct command_run *run);
void cmd_start(struct command_run *run);
void cmd_stop(struct command_run *run);
void cmd_restart(struct command_run *run);
void cmd_freeze(struct command_run *run);
void cmd_autostart(struct command_run *run);
void cmd_keys_list(struct command_run *run);
void cmd_keys_add(struct command_run *run);
void cmd_keys_remove(struct command_run *run);
void cmd_keys_replace(struct command_run *run);
void cmd_export(struct command_run *run);
void cmd_sessions_list(struct command_run *run);
void cmd_cert_generate(struct command_run *run);
void cmd_cert_server(struct command_run *run);
void cmd_cert_client(struct command_run *run);
void cmd_cert_revoke(struct command_run *run);
void cmd_cert_list(struct command_run *run);
void cmd_audit(struct command_run *run);
void cmd_audit_verify(struct command_run *run);
void cmd_config_show(struct command_run *run);
void cmd_whoami(struct command_run *run);
void cmd_version(struct command_run *run);
void cmd_complete(struct command_run *run);
void cmd_help(struct command_run *run);

#endif
