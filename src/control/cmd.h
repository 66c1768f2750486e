// The handlers, one a verb, one file a noun. Only the table names them.
#ifndef CONTROL_CMD_H
#define CONTROL_CMD_H

struct command_run;

void cmd_create(struct command_run *run);
void cmd_list(struct command_run *run);
void cmd_info(struct command_run *run);
void cmd_delete(struct command_run *run);
void cmd_restore(struct command_run *run);
void cmd_start(struct command_run *run);
void cmd_stop(struct command_run *run);
void cmd_restart(struct command_run *run);
void cmd_freeze(struct command_run *run);
void cmd_autostart(struct command_run *run);
void cmd_resize(struct command_run *run);
void cmd_snapshot_create(struct command_run *run);
void cmd_snapshot_list(struct command_run *run);
void cmd_snapshot_restore(struct command_run *run);
void cmd_snapshot_delete(struct command_run *run);
void cmd_keys_list(struct command_run *run);
void cmd_keys_add(struct command_run *run);
void cmd_keys_remove(struct command_run *run);
void cmd_keys_replace(struct command_run *run);
void cmd_keys_sync(struct command_run *run);
void cmd_invite(struct command_run *run);
void cmd_invites_list(struct command_run *run);
void cmd_invites_revoke(struct command_run *run);
void cmd_share(struct command_run *run);
void cmd_unshare(struct command_run *run);
void cmd_shares(struct command_run *run);
void cmd_role(struct command_run *run);
void cmd_export(struct command_run *run);
void cmd_sessions_list(struct command_run *run);
void cmd_cert_generate(struct command_run *run);
void cmd_cert_server(struct command_run *run);
void cmd_cert_client(struct command_run *run);
void cmd_cert_revoke(struct command_run *run);
void cmd_cert_list(struct command_run *run);
void cmd_audit(struct command_run *run);
void cmd_audit_verify(struct command_run *run);
void cmd_audit_export(struct command_run *run);
void cmd_audit_head(struct command_run *run);
void cmd_audit_summary(struct command_run *run);
void cmd_bans_list(struct command_run *run);
void cmd_bans_status(struct command_run *run);
void cmd_bans_add(struct command_run *run);
void cmd_bans_remove(struct command_run *run);
void cmd_limits(struct command_run *run);
void cmd_limits_set(struct command_run *run);
void cmd_idle(struct command_run *run);
void cmd_idle_set(struct command_run *run);
void cmd_sessions_kill(struct command_run *run);
void cmd_security_status(struct command_run *run);
void cmd_image_list(struct command_run *run);
void cmd_image_use(struct command_run *run);
void cmd_doctor(struct command_run *run);
void cmd_store_backup(struct command_run *run);
void cmd_store_verify(struct command_run *run);
void cmd_config_show(struct command_run *run);
void cmd_whoami(struct command_run *run);
void cmd_version(struct command_run *run);
void cmd_complete(struct command_run *run);
void cmd_help(struct command_run *run);

#endif
