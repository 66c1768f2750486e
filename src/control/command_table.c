// The table: every verb there is. The permission stands in the row.
#include "control/cmd.h"
#include "control/command.h"

#define END                                                                                                  \
    {                                                                                                        \
        NULL, NULL, false, NULL                                                                              \
    }

static const struct command_option create_options[] = {
    {"ssh-key", "FILE|-|github:NAME|URL", true,
     "public key file; - reads standard input; github:NAME, gitlab:NAME or an https URL is fetched"},
    {"role", "user|operator|admin", false, "what the account may do at the console; user unless said"},
    {"disk-quota", "SIZE", false, "size of the box's disk, e.g. 50GB"},
    {"cpu", "N|LIST", false, "4 = that many cores; 0-3, 2-4 or 0,2 = pinned to those cores"},
    {"memory", "SIZE", false, "memory limit, e.g. 4GB"},
    {"image", "NAME", false, "box image"},
    {"autostart", NULL, false, "start the box with the host"},
    {"no-autostart", NULL, false, "leave the box asleep until somebody connects"},
    {"lazy", NULL, false, "make the account only; the box is made at the first login"},
    {"static", "ADDRESS[:PORT]", false, "use an existing machine as the box, by its IP address"},
    {"host-key", "FILE|-", false, "its SSH host key, a .pub file or ssh-keyscan's output"},
    {"verbose", NULL, false, "-v: also print what was decided"},
    END,
};

static const struct command_option delete_options[] = {
    {"force", NULL, false, "do not ask"},
    {"backup", "[=FILE]", false, "keep the box in a file first: on this host, or in [control] backup_dir"},
    END,
};

static const struct command_option restore_options[] = {
    {"role", "user|operator|admin", false, "what the account may do at the console; user unless said"},
    END,
};

static const struct command_option force_options[] = {
    {"force", NULL, false, "also when no key is left"},
    END,
};

static const struct command_option resize_options[] = {
    {"cpu", "N|LIST", false, "4 = that many cores; 0-3, 2-4 or 0,2 = pinned to those cores"},
    {"memory", "SIZE", false, "memory limit, e.g. 4GB"},
    {"disk", "SIZE", false, "disk quota, e.g. 50GB; it can only grow"},
    {"force", NULL, false, "also a memory limit below what the box uses now"},
    {"verbose", NULL, false, "-v: also say what was done"},
    END,
};

static const struct command_option snapshot_restore_options[] = {
    {"force", NULL, false, "do not ask"},
    END,
};

static const struct command_option export_options[] = {
    {"jump-ip", "HOST", false, "the gateway's address or name, as the user reaches it"},
    {"port", "PORT", false, "the gateway's port"},
    {"key", "PATH", false, "the user's private key, for IdentityFile"},
    {"output", "FILE", false, "write the text there instead of printing it"},
    {"known-hosts", "FILE", false, "also write a known_hosts file, for clients older than OpenSSH 8.5"},
    END,
};

static const struct command_option audit_options[] = {
    {"user", "NAME", false, "only what concerns this user"},
    {"ip", "ADDRESS", false, "only what came from this address"},
    {"event", "EVENT", false, "only this kind, e.g. login, refused, key-added"},
    {"since", "TIME", false, "2025-01-01, 2025-01-01T10:00:00Z, today, yesterday, 1h, 30m, 7d"},
    {"until", "TIME", false, "ditto"},
    {"follow", NULL, false, "go on with new records as they are written"},
    {"limit", "N", false, "the newest N records; 0 = all. 100 unless said, all for jsonl and csv"},
    {"format", "table|jsonl|csv", false, "table unless said"},
    END,
};

static const struct command_option export_trail_options[] = {
    {"output", "FILE", false, "write it there instead of printing it"},
    END,
};

static const struct command_option summary_options[] = {
    {"since", "TIME", false, "count from then on; 7d unless said"},
    END,
};

static const struct command_option bans_list_options[] = {
    {"history", NULL, false, "also those that are over, newest first"},
    END,
};

static const struct command_option bans_add_options[] = {
    {"user", "NAME", false, "only logins under this name"},
    {"for", "DURATION", false, "how long: 30m, 12h, 7d; as long as a first ban unless said"},
    {"forever", NULL, false, "until it is removed"},
    {"reason", "TEXT", false, "for the record"},
    {"force", NULL, false, "also when it shuts you out"},
    END,
};

static const struct command_option bans_remove_options[] = {
    {"user", "NAME", false, "the ban of this name"},
    END,
};

static const struct command_option kill_options[] = {
    {"reason", "TEXT", false, "shown to the user"},
    END,
};

static const struct command_option limits_options[] = {
    {"logins", "N", false, "logins a minute"},
    {"logins-per-source", "N", false, "logins a minute from one address"},
    {"connections", "N", false, "connections at once"},
    {"connections-per-source", "N", false, "connections at once from one address"},
    {"sessions", "N", false, "sessions open at once"},
    {"channels", "N", false, "channels of all kinds open at once"},
    {"bandwidth", "SIZE|none", false, "bytes a second, both directions and all connections together"},
    {"burst", "SIZE", false, "bytes at once on top of the bandwidth"},
    {"reset", NULL, false, "back to the configuration's first"},
    END,
};

static const struct command_option idle_options[] = {
    {"freeze", "DURATION|never", false, "until it is frozen: 90s, 30m, 12h, 7d"},
    {"stop", "DURATION|never", false, "until it is stopped"},
    {"reset", NULL, false, "back to the configuration's first"},
    END,
};

static const struct command_option invite_options[] = {
    {"expires", "DURATION", false, "how long it can be used: 2h, 3d; as [enrol] expiry says unless said"},
    {"role", "user|operator|admin", false, "what the account may do at the console; user unless said"},
    {"disk-quota", "SIZE", false, "size of the box's disk, e.g. 50GB"},
    {"cpu", "N|LIST", false, "4 = that many cores; 0-3, 2-4 or 0,2 = pinned to those cores"},
    {"memory", "SIZE", false, "memory limit, e.g. 4GB"},
    {"logins", "N", false, "logins a minute"},
    {"logins-per-source", "N", false, "logins a minute from one address"},
    {"connections", "N", false, "connections at once"},
    {"connections-per-source", "N", false, "connections at once from one address"},
    {"sessions", "N", false, "sessions open at once"},
    {"channels", "N", false, "channels of all kinds open at once"},
    {"bandwidth", "SIZE|none", false, "bytes a second, both directions and all connections together"},
    {"burst", "SIZE", false, "bytes at once on top of the bandwidth"},
    END,
};

static const struct command_option share_options[] = {
    {"until", "TIME", false, "8h, 7d, 2027-01-31, 2027-01-31T18:00:00Z; until it is taken back unless said"},
    END,
};

static const struct command_option role_options[] = {
    {"force", NULL, false, "also of the last administrator"},
    END,
};

static const struct command_option cert_generate_options[] = {
    {"server-ip", "ADDRESS", true, "an IP address clients reach the server by"},
    {"server-name", "NAME", true, "ditto, a host name"},
    {"output-dir", "DIR", false, "folder on your side for the six files; made if it is not there"},
    {"days", "N", false, "how long the server's and the client's certificate are valid; 365 unless said"},
    {"ca-days", "N", false, "how long the authority is valid; 3650 unless said"},
    {"role", "operator|admin", false, "of the client certificate; admin unless said"},
    {"force", NULL, false,
     "replace an authority that exists, and files; certificates issued before stop working"},
    END,
};

static const struct command_option cert_server_options[] = {
    {"server-ip", "ADDRESS", true, "an IP address clients reach the server by"},
    {"server-name", "NAME", true, "ditto, a host name"},
    {"days", "N", false, "how long it is valid; 365 unless said"},
    END,
};

static const struct command_option cert_client_options[] = {
    {"role", "user|operator|admin", false, "what its holder may do; user unless said"},
    {"output-dir", "DIR", false, "folder on your side for ca.crt, client.crt and client.key"},
    {"days", "N", false, "how long it is valid; 365 unless said"},
    {"force", NULL, false, "overwrite files"},
    END,
};

static const struct command table[] = {
    {"create", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_NEW, true, "USER --ssh-key FILE", 1, 1, create_options,
     "Make a user and their box",
     "Safe to repeat: with the same key it completes what is missing and prints the same details.",
     "create alice --ssh-key alice.pub\ncreate alice --ssh-key - --lazy < alice.pub\n"
     "create bob --ssh-key bob.pub --cpu 4 --memory 8GB --disk-quota 50GB",
     cmd_create},
    {"list", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, false, "", 0, 0, NULL,
     "List all users and their boxes", NULL, "list\nlist --json", cmd_list},
    {"info", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, false, "USER", 1, 1, NULL,
     "Show one box: state, limits, use, keys, sessions", NULL, "info alice", cmd_info},
    {"delete", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_REQUIRED, true, "USER", 1, 1, delete_options,
     "Delete a user, their box and all its data",
     "Live sessions end, keys and box go; the audit trail stays. With --backup the box is stopped and "
     "written to a file first, with its account and keys; if that fails, nothing is deleted. A file on this "
     "host is not overwritten. --json: deleted, box, and backup with file, bytes, sha256.",
     "delete alice\ndelete alice --force\ndelete alice --backup\ndelete alice --backup=/srv/alice.backup",
     cmd_delete},
    {"restore", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_NONE, true, "FILE", 1, 1, restore_options,
     "Bring a user and their box back from a backup",
     "FILE is what `delete --backup` wrote: a name in [control] backup_dir, or a file on this host. Files, "
     "keys, host keys, limits and idle times are those of the backup; the role is \"user\" unless --role "
     "says otherwise.",
     "restore alice-20261124T220000Z.backup\nrestore /srv/alice.backup", cmd_restore},
    {"start", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER", 1, 1, NULL, "Start a box, or wake it",
     NULL, "start alice", cmd_start},
    {"stop", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER", 1, 1, NULL, "Shut a box down",
     "Processes end, the disk stays. The next login starts it again.", "stop alice", cmd_stop},
    {"restart", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER", 1, 1, NULL,
     "Shut a box down and start it", NULL, "restart alice", cmd_restart},
    {"freeze", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER", 1, 1, NULL,
     "Freeze a box: processes pause where they are", "The next login wakes it within milliseconds.",
     "freeze alice", cmd_freeze},
    {"autostart", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER on|off", 2, 2, NULL,
     "Say whether a box starts with the host",
     "A box that slept when the host went down stays asleep either way; its next login wakes it.",
     "autostart alice off", cmd_autostart},
    {"resize", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER", 1, 1, resize_options,
     "Give a box other limits, while it runs",
     "In force when the command returns, without a restart. What is not said stays. Without --force, memory "
     "is not cut below what the box uses now. --json: limits and was, each cpu, memory, disk; sizes in "
     "bytes.",
     "resize alice --memory 8GB\nresize alice --cpu 4 --memory 8GB --disk 100GB", cmd_resize},
    {"idle", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, false, "USER", 1, 1, NULL,
     "Show after how long without a session a box falls asleep",
     "--json: user, box, and idle with freeze and stop, each after_ms (null: never) and own (false: the "
     "configuration's).",
     "idle alice", cmd_idle},
    {"idle set", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER", 1, 1, idle_options,
     "Give a box times of its own after which it falls asleep",
     "In place of [box] idle_freeze and idle_stop. In force at once, and counted from the end of the last "
     "session: a box that has been idle for longer falls asleep now. What is not said stays. --json: as for "
     "`idle`.",
     "idle set alice --freeze 2h --stop 7d\nidle set ci --freeze never --stop never\nidle set alice --reset",
     cmd_idle_set},
    {"snapshot create", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER [NAME]", 1, 2, NULL,
     "Keep a box's disk as it is now",
     "Takes moments and, until the box changes, no space. Without a name it is called after the time (UTC). "
     "How many there may be says [box] max_snapshots.",
     "snapshot create alice\nsnapshot create alice before-upgrade", cmd_snapshot_create},
    {"snapshot list", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, false, "USER", 1, 1, NULL,
     "List a box's snapshots, oldest first", "--json: a list of name, created, size in bytes.",
     "snapshot list alice", cmd_snapshot_list},
    {"snapshot restore", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER NAME", 2, 2,
     snapshot_restore_options, "Put a box's disk back to a snapshot",
     "Its sessions end; a box that was up is up again afterwards. Limits and SSH keys stay as they are "
     "today.",
     "snapshot restore alice before-upgrade", cmd_snapshot_restore},
    {"snapshot delete", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER NAME", 2, 2, NULL,
     "Delete a snapshot", NULL, "snapshot delete alice before-upgrade", cmd_snapshot_delete},
    {"keys list", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, false, "USER", 1, 1, NULL,
     "List a user's SSH keys", NULL, "keys list alice", cmd_keys_list},
    {"keys add", ROLE_USER, ROLE_ADMIN, ACCOUNT_REQUIRED, true, "USER [FILE|-|URL]", 1, 2, NULL,
     "Let one more SSH key in",
     "Without a file, or with -, the key is read from standard input; github:NAME, gitlab:NAME and https "
     "URLs "
     "are fetched by the gateway, and are the keys' comment from then on. Other keys stay. A line may begin "
     "with "
     "options "
     "as in authorized_keys: from, expiry-time, command, permitopen, restrict, no-pty, no-port-forwarding, "
     "no-agent-forwarding. Added again, a key has its new options.",
     "keys add alice laptop.pub\nkeys add alice < laptop.pub\nkeys add alice github:alice", cmd_keys_add},
    {"keys remove", ROLE_USER, ROLE_ADMIN, ACCOUNT_REQUIRED, true, "USER FINGERPRINT|COMMENT", 2, 2,
     force_options, "Shut one SSH key out",
     "Sessions that came in with it end at once, and open invitations that the user made are revoked.",
     "keys remove alice SHA256:aTz6Jm...\nkeys remove alice alice@old-laptop", cmd_keys_remove},
    {"keys replace", ROLE_USER, ROLE_ADMIN, ACCOUNT_REQUIRED, true, "USER [FILE|-|URL]", 1, 2, NULL,
     "Let exactly these SSH keys in, and no others",
     "Sessions of other keys end, and open invitations of the user are revoked.",
     "keys replace alice new.pub", cmd_keys_replace},
    {"keys sync", ROLE_USER, ROLE_ADMIN, ACCOUNT_REQUIRED, true, "USER", 1, 1, NULL,
     "Fetch again the SSH keys that came off the web",
     "Keys that are new there are let in, keys that are gone there are shut out; keys from elsewhere stay. "
     "If "
     "a page cannot be fetched or has no key, nothing is changed.",
     "keys sync alice", cmd_keys_sync},
    {"invite", ROLE_USER, ROLE_ADMIN, ACCOUNT_NAMED, true, "USER", 1, 1, invite_options,
     "Invite somebody to bring their own SSH key",
     "Prints a command with a token for them to run: it enrols the key their ssh offers, once. It makes the "
     "account, with the role and limits given here; the box is made at the first login. For an account that "
     "exists it adds the key of another laptop. Keep the line from others: whoever runs it first is in. "
     "--json: id, user, role, new_account, token, command, host_key, expires, replaced.",
     "invite carol\ninvite dave --role operator --expires 2h\ninvite erin --memory 4GB --sessions 20",
     cmd_invite},
    {"invites list", ROLE_USER, ROLE_OPERATOR, ACCOUNT_NAMED, false, "[USER]", 0, 1, NULL,
     "List invitations, newest first",
     "The token is not kept and cannot be shown again. --json: a list of id, user, role, state (open, used, "
     "expired, revoked), by, created, expires, used, fingerprint.",
     "invites list\ninvites list --json", cmd_invites_list},
    {"invites revoke", ROLE_USER, ROLE_ADMIN, ACCOUNT_NAMED, true, "USER|ID", 1, 1, NULL,
     "Revoke an invitation, or all open ones of a name", "Accounts and keys it has led to stay.",
     "invites revoke carol\ninvites revoke 7", cmd_invites_revoke},
    {"share", ROLE_USER, ROLE_ADMIN, ACCOUNT_REQUIRED, true, "BOX with USER", 3, 3, share_options,
     "Let another user into a box",
     "They log in as USER+OWNER@gateway with their own key, or jump as USER+OWNER to the box, and are in it "
     "what its owner is. The trail names both. Said again, it has another end. --json: box, owner, user, "
     "until.",
     "share bob with alice\nshare bob-container with alice --until 8h", cmd_share},
    {"unshare", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "BOX with USER", 3, 3, NULL,
     "Shut another user out of a box again",
     "Their live sessions in it end. --json: box, owner, user, sessions_ended.", "unshare bob with alice",
     cmd_unshare},
    {"shares", ROLE_USER, ROLE_OPERATOR, ACCOUNT_OPTIONAL, false, "[USER]", 0, 1, NULL,
     "List boxes that others may enter",
     "Of a user: who may enter their box, and whose boxes they may enter. --json: a list of box, owner, "
     "user, since, until, by.",
     "shares\nshares bob --json", cmd_shares},
    {"role", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_REQUIRED, true, "USER user|operator|admin", 2, 2, role_options,
     "Say what a user may do at the console",
     "user: their own account; operator: all boxes, sessions, bans and the audit trail; admin: everything. "
     "In "
     "force at once, for open sessions as well. --json: user, role, was.",
     "role alice operator", cmd_role},
    {"export", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, false, "USER", 1, 1, export_options,
     "Print an ssh_config for a user, host keys included",
     "Append it to ~/.ssh/config, or Include it; then `ssh USER-dev` asks no questions.",
     "export alice --jump-ip 203.0.113.5 >> ~/.ssh/config\nexport alice --key ~/.ssh/id_ed25519 --output "
     "alice.conf",
     cmd_export},
    {"sessions list", ROLE_USER, ROLE_OPERATOR, ACCOUNT_OPTIONAL, false, "[USER]", 0, 1, NULL,
     "List live connections", "Bytes and rates are those of the last two seconds.",
     "sessions list\nsessions list alice --json", cmd_sessions_list},
    {"sessions kill", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER ID[,ID...]|all", 2, 2,
     kill_options, "End live connections", "Their users are told why.",
     "sessions kill alice 17 --reason 'the box moves'\nsessions kill alice all", cmd_sessions_kill},
    {"limits", ROLE_USER, ROLE_OPERATOR, ACCOUNT_REQUIRED, false, "USER", 1, 1, NULL,
     "Show what a user may use at a time", NULL, "limits alice", cmd_limits},
    {"limits set", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_REQUIRED, true, "USER", 1, 1, limits_options,
     "Give a user limits of their own", "In force at once, for live connections as well.",
     "limits set alice --bandwidth 10MB --sessions 20\nlimits set alice --reset", cmd_limits_set},
    {"bans list", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, false, "", 0, 0, bans_list_options,
     "List bans in force", NULL, "bans list\nbans list --history", cmd_bans_list},
    {"bans status", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, false, "", 0, 0, NULL,
     "Count failed logins and bans", NULL, "bans status", cmd_bans_status},
    {"bans add", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, true, "[ADDRESS|SUBNET]", 0, 1, bans_add_options,
     "Refuse logins from an address, under a name, or both",
     "In force when the command returns. Live connections it is about end.",
     "bans add 203.0.113.7\nbans add 203.0.113.0/24 --for 7d --reason scanning\nbans add --user alice "
     "--forever",
     cmd_bans_add},
    {"bans remove", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, true, "[ADDRESS|SUBNET]", 0, 1,
     bans_remove_options, "Lift a ban", "Name it as bans list does.",
     "bans remove 203.0.113.7\nbans remove 203.0.113.7 --user alice", cmd_bans_remove},
    {"security status", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, false, "", 0, 0, NULL,
     "Show logins, failures, bans and live sessions on one screen", NULL,
     "security status\nsecurity status --json", cmd_security_status},
    {"audit", ROLE_USER, ROLE_OPERATOR, ACCOUNT_OPTION, false, "", 0, 0, audit_options,
     "Show who did what, when and from where", NULL,
     "audit --user alice --since today\naudit --event auth-failed --since 1h\naudit --since 2025-01-01 "
     "--format csv",
     cmd_audit},
    {"audit verify", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, false, "", 0, 0, NULL,
     "Check that the audit trail is whole",
     "Every record, its place in the chain, and the signatures of both ends. Others are served meanwhile.",
     "audit verify", cmd_audit_verify},
    {"audit summary", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, false, "", 0, 0, summary_options,
     "Count logins and failures of each user", NULL, "audit summary\naudit summary --since today --json",
     cmd_audit_summary},
    {"audit export", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, false, "", 0, 0, export_trail_options,
     "Print the whole trail with its hashes, to verify elsewhere",
     "JSON lines: where it begins, every record, and the signed end; docs/audit.md says how to verify them.",
     "audit export --output trail.jsonl\naudit export > trail.jsonl", cmd_audit_export},
    {"audit head", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, false, "", 0, 0, NULL,
     "Print the signed end of the trail",
     "Kept elsewhere, it proves later that the trail up to here is still the same.", "audit head --json",
     cmd_audit_head},
    {"image list", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, false, "", 0, 0, NULL,
     "List the images boxes can be made of",
     "They are built on the gateway, by packaging/image.sh. --json: a list of alias, fingerprint, "
     "description, size in bytes, added, backup_of, current.",
     "image list", cmd_image_list},
    {"image use", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_NONE, true, "NAME|FINGERPRINT", 1, 1, NULL,
     "Make new boxes of another image", "Boxes that are there stay what they are.",
     "image use containarium-next", cmd_image_use},
    {"doctor", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, false, "", 0, 0, NULL,
     "Check what logins need, and say how to mend what is wrong",
     "Incus with its project, network, image and pool; clock, disk, permissions, host keys; and whether the "
     "gateway answers. Exit status 1 when a check fails, not for a warning. --json: well, and checks with "
     "check, level (ok, warn, fail), text and mend.",
     "doctor\ndoctor --json", cmd_doctor},
    {"cert generate", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_NONE, true, "--server-ip ADDRESS --output-dir DIR", 0,
     0, cert_generate_options, "Make the certificates of the HTTPS interface",
     "A certificate authority, a certificate for the server and one for you, each with its key. The daemon "
     "keeps what it needs; ca.key among the files is for your safe.",
     "cert generate --server-ip 203.0.113.5 --output-dir /etc/containarium/certs\n"
     "cert generate --server-ip 203.0.113.5 --server-name gw.example --output-dir certs --days 90",
     cmd_cert_generate},
    {"cert server", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_NONE, true, "--server-ip ADDRESS", 0, 0,
     cert_server_options, "Give the server a new certificate", "For other addresses, or a longer life.",
     "cert server --server-ip 203.0.113.5 --server-name gw.example", cmd_cert_server},
    {"cert client", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_NONE, true, "NAME", 1, 1, cert_client_options,
     "Issue one more client certificate",
     "A name that is an account's acts for that account, never with more than its role. Any other name is a "
     "machine's and needs --role. Without --output-dir certificate, key and authority go to standard output.",
     "cert client deploy --role operator --output-dir deploy-certs\ncert client alice > alice.pem",
     cmd_cert_client},
    {"cert revoke", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_NONE, true, "NAME|SERIAL", 1, 1, NULL,
     "Revoke a client certificate, or all of one name",
     "In force when the command returns; connections made with it are cut.", "cert revoke deploy",
     cmd_cert_revoke},
    {"cert list", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_NONE, false, "", 0, 0, NULL, "List client certificates",
     NULL, "cert list", cmd_cert_list},
    {"store backup", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_NONE, true, "[FILE]", 0, 1, NULL,
     "Keep accounts, keys and the audit trail in a file",
     "Database and audit key as they are at one moment, checked as `store verify` does before they are "
     "written. FILE is on this host and is not overwritten; without it the file is made in [control] "
     "backup_dir. Whoever can read it can enter every box. `containariumd --restore` brings it back. --json: "
     "file, bytes, sha256, made, schema, accounts, keys, boxes, records, last.",
     "store backup\nstore backup /srv/containarium.backup", cmd_store_backup},
    {"store verify", ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_NONE, false, "FILE", 1, 1, NULL,
     "Check that a backup of the store is whole",
     "FILE is what `store backup` wrote: a name in [control] backup_dir, or a file on this host. Checksums, "
     "schema, every page, the audit trail from end to end with its signatures. --json: as for `store "
     "backup`.",
     "store verify /srv/containarium.backup", cmd_store_verify},
    {"config show", ROLE_OPERATOR, ROLE_OPERATOR, ACCOUNT_NONE, false, "", 0, 0, NULL,
     "Print the configuration in force", NULL, "config show", cmd_config_show},
    {"whoami", ROLE_USER, ROLE_USER, ACCOUNT_NONE, false, "", 0, 0, NULL, "Say who you are here", NULL,
     "whoami", cmd_whoami},
    {"version", ROLE_USER, ROLE_USER, ACCOUNT_NONE, false, "", 0, 0, NULL, "Print the version", NULL,
     "version", cmd_version},
    {"complete", ROLE_USER, ROLE_USER, ACCOUNT_NONE, false, "-- WORD...", 0, 63, NULL,
     "Print how a command line could go on, one word a line",
     "For the Tab key of shells: the last word is the one that is being typed, and may be empty.",
     "complete -- keys a", cmd_complete},
    {"help", ROLE_USER, ROLE_USER, ACCOUNT_NONE, false, "[VERB]", 0, 2, NULL,
     "Explain the verbs, or one of them", NULL, "help create\nhelp keys", cmd_help},
    {NULL, ROLE_ADMIN, ROLE_ADMIN, ACCOUNT_NONE, false, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL},
};

const struct command *command_table(void)
{
    return table;
}
