//! What `help` prints.

/// The commands, and how to go through the jump server without this shell.
pub(crate) const TEXT: &str = "\
This is the jump server's own shell. It runs nothing but:

  targets [--json]     where you may go now, by which rule, until when
  whoami [--json]      who you are here, since when and until when
  sessions [--json]    your sessions here
  sessions end SESSION end one of them
  mfa [--json]         your second factor: what you have, recovery codes left, lock-outs
  mfa recovery-codes   new recovery codes, at a terminal and for a code of your authenticator
  ssh [-p PORT] [LOGIN@]HOST [COMMAND]
                       log in to a target from here; some targets are reached only so,
                       and recorded. COMMAND goes there as it stands, quotes and all
  connect HOST PORT    relay standard input and output to a target (for ProxyCommand)
  help                 this text
  exit                 leave

Most targets need no shell here. From your own machine, with BASTION
for the name you came here by and TARGET for one of your targets:

  ssh -J BASTION TARGET
  scp -J BASTION FILE TARGET:
  sftp -J BASTION TARGET
  rsync -e 'ssh -J BASTION' FILE TARGET:
  ssh -L 5432:TARGET:5432 -N BASTION

or once and for all in ~/.ssh/config:

  Host TARGET
      ProxyJump BASTION

A client without -J goes the same way with: ProxyCommand ssh BASTION connect %h %p
";
