//! Every path that two programs of the suite must agree on.

/// The policy, edited by the sysadmin (`root:jumpd`, 0640).
pub const POLICY: &str = "/etc/jump/policy.toml";
/// `pam_jump`, `jump-guard` and `jumpctl` talk to jumpd here.
pub const JUMPD_SOCKET: &str = "/run/jump/jumpd.sock";
/// `pam_jump` hands the seccomp listener to `jump-guard` here.
pub const GUARD_SOCKET: &str = "/run/jump/guard.sock";
/// `jump-shell` talks to jumpd here, through the guard, which attests the session.
pub const SHELL_SOCKET: &str = "/run/jump/shell.sock";
/// The system's OpenSSH client asks here for the signature of its hop, through the guard, which attests the session.
pub const AGENT_SOCKET: &str = "/run/jump/agent.sock";
/// By this name ssh of a hop asks the guard for the user's own agent. There is no file: the guard has what it stands for.
pub const FORWARDED_AGENT: &str = "/run/jump/forwarded-agent.sock";
/// Where a guard gives the socket of a forwarded agent a name for a moment (`jump-guard`, 0700).
pub const GUARD_RUNTIME: &str = "/run/jump-guard";
/// The OpenSSH client that hops run.
pub const SSH: &str = "/usr/bin/ssh";
/// Host keys of targets, for all of them; ssh(1)'s known_hosts format, kept by the sysadmin.
pub const KNOWN_HOSTS: &str = "/etc/jump/known_hosts";
/// Host keys that the policy gives for a target: one file each, named as the target (0644).
pub const TARGETS_KNOWN_HOSTS: &str = "/var/lib/jump/known_hosts";
/// Recordings, one file each (`jumpd`, 0700).
pub const RECORDINGS: &str = "/var/lib/jump/recordings";
/// The user CA that hops authenticate with (`jumpd`, 0700).
pub const CA: &str = "/var/lib/jump/ca";
/// What a restarted jumpd must still know; gone with a reboot (`jumpd`, 0700).
pub const RUNTIME_STATE: &str = "/run/jump/state";
/// Written by jumpd when a name of the policy has other addresses than before.
pub const NAMES_CHANGED: &str = "/run/jump/state/names-changed";
/// State that survives a reboot.
pub const STATE: &str = "/var/lib/jump";
/// Compiled policies, one directory each (`jumpd`, 0700).
pub const GENERATIONS: &str = "/var/lib/jump/generations";
/// Link to the generation in force.
pub const CURRENT: &str = "/var/lib/jump/current";
/// The account index that `libnss_jump.so.2` reads (0644).
pub const ACCOUNTS: &str = "/var/lib/jump/accounts";
/// `authorized_keys` lines of every policy user, read by `jump-keys` (`jumpd:jump-keys`, 0640).
pub const KEYS: &str = "/var/lib/jump/keys";
/// The keys that records of second factors are sealed with, sealed themselves by systemd-creds(1).
pub const MFA_KEYS: &str = "/etc/credstore.encrypted/jump-mfa";
/// Under which name systemd hands them to jumpd.
pub const MFA_KEYS_NAME: &str = "jump-mfa";
/// Programs that are not in anyone's `PATH`.
pub const LIBEXEC: &str = "/usr/lib/jump";
/// Home of every policy user: empty, owned by root.
pub const HOME: &str = "/usr/lib/jump/home";
/// Login shell of every policy user.
pub const SHELL: &str = "/usr/bin/jump-shell";
/// sshd's `AuthorizedKeysCommand`.
pub const KEYS_COMMAND: &str = "/usr/lib/jump/jump-keys";
/// sshd drop-in written by `jumpctl setup`.
pub const SSHD_DROP_IN: &str = "/etc/ssh/sshd_config.d/10-jump.conf";
/// PAM service file that `jumpctl setup` edits.
pub const PAM_SERVICE: &str = "/etc/pam.d/sshd";
/// System user that jumpd runs as.
pub const JUMPD_USER: &str = "jumpd";
/// System user that jump-guard runs as.
pub const GUARD_USER: &str = "jump-guard";
/// System user that sshd runs `jump-keys` as.
pub const KEYS_USER: &str = "jump-keys";
