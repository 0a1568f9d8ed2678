//! One file per command; each asks, shows, and returns yes or no.

mod apply;
mod audit;
mod backup;
mod ca;
mod check;
mod destination;
mod diff;
mod doctor;
mod explain;
mod mfa;
mod recordings;
mod rekey;
mod sessions;
mod status;
mod who_can;

use crate::cli::Command;
use crate::client::Jumpd;
use crate::egress;
use crate::error::{Answer, Error, need_root, policy_path};
use crate::output::Output;
use crate::setup::{self, host::ThisHost};
use jiff::{Timestamp, Zoned};
use jump_proto::Via;

/// Does what the command line says.
pub(crate) fn run(command: Command, jumpd: &Jumpd, out: &mut Output) -> Answer {
    match command {
        // Neither needs root where the file may be read.
        Command::Check { file } => check::run(policy_path(file.as_deref()), out),
        Command::Audit {
            since,
            user,
            event,
            session,
        } => audit::run(
            &audit::Filter {
                since,
                user,
                event,
                session,
            },
            out,
        ),
        // Root where they lie, nobody where an auditor has copies.
        Command::Recordings(recordings) => recordings::run(jumpd, recordings, out),
        command => {
            need_root()?;
            as_root(command, jumpd, out)
        }
    }
}

fn as_root(command: Command, jumpd: &Jumpd, out: &mut Output) -> Answer {
    match command {
        Command::Check { .. } | Command::Audit { .. } | Command::Recordings(_) => {
            Err(Error::WrongAnswer)
        }
        Command::Setup {
            yes,
            dry_run,
            undo,
            nftables,
        } => {
            let options = setup::Options {
                yes,
                dry_run,
                nftables,
            };
            if undo {
                setup::undo(&ThisHost, options, out)
            } else {
                setup::setup(&ThisHost, jumpd, options, out)
            }
        }
        Command::Diff { file } => diff::run(policy_path(file.as_deref()), out),
        Command::Apply {
            if_new,
            until_settled,
        } => apply::run(
            &ThisHost,
            jumpd,
            apply::Which::of(if_new, until_settled),
            out,
        ),
        Command::Egress { dry_run } => egress::run(&ThisHost, jumpd, dry_run, out),
        Command::Explain {
            user,
            destination,
            from,
            at,
            via,
            login,
            mfa,
        } => {
            let question = explain::Question {
                user,
                destination,
                from,
                at: instant(at)?,
                via: if login.is_some() { Via::Shell } else { via },
                login,
                mfa,
            };
            explain::run(jumpd, &question, out)
        }
        Command::WhoCan {
            destination,
            from,
            at,
        } => who_can::run(jumpd, &destination, from, instant(at)?, out),
        Command::Mfa(action) => mfa::run(jumpd, action, out),
        Command::Backup { file, to } => backup::backup(&ThisHost, jumpd, &file, &to, out),
        Command::Restore {
            file,
            identity,
            recovery_codes,
            policy_to,
            replace,
        } => {
            let wanted = backup::Wanted {
                file,
                identity,
                recovery_codes,
                policy_to,
                replace,
            };
            backup::restore(&ThisHost, jumpd, &wanted, out)
        }
        Command::Ca(action) => ca::run(jumpd, &action, out),
        Command::Sessions { action } => sessions::run(jumpd, action, out),
        Command::Status => status::run(jumpd, out),
        Command::Doctor => doctor::run(&ThisHost, jumpd, out),
    }
}

fn instant(text: Option<String>) -> Result<Option<Timestamp>, Error> {
    text.map(|text| crate::time::parse(&text, &Zoned::now()))
        .transpose()
}
