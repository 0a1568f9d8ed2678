//! The restricted login shell: it shows what its user may reach, relays one
//! connection at a time, has one ssh run to a target, and runs nothing else.
//!
//! sshd starts it for every shell, command and subsystem that is asked of the
//! bastion. It takes what it needs of its arguments and environment, gives up
//! every right it can do without ([`sandbox`]), and only then looks at what
//! the user wants. There is no `execve` in its system calls: the one program there
//! is, ssh, is started by a process beside it (`hop`), of which the user's text
//! is never more than one argument. What the user may do is decided by jumpd;
//! this program only asks, and prints the answer with every control character
//! made visible.
//!
//! Exit status: 0 done, 1 refused, failed or not answered, 2 it needs a terminal, 126 not a command of this shell;
//! after a hop, that of its command at the target, or 255.

#![forbid(unsafe_code)]

mod clock;
mod command;
mod complete;
mod connect;
mod editor;
mod environment;
mod help;
mod hop;
mod interactive;
mod invocation;
mod jumpd;
mod keys;
mod mine;
mod places;
mod print;
mod reader;
mod relay;
pub mod sandbox;
mod session;
mod style;
mod table;
mod terminal;
mod text;
mod warning;
mod whoami;

pub mod words;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use environment::Environment;
use invocation::Invocation;
use jumpd::Jumpd;
pub use places::Places;
use sandbox::Needs;
use session::{Outcome, Session};
use style::Style;

/// Runs the shell for `arguments` (the program's own name first) on a host where things are at `places`.
///
/// The process is confined for good before anything the user wrote is read,
/// so the caller has nothing left to do but to exit with the status. Must be
/// called while the process has one thread: the confinement is the thread's.
pub fn run(arguments: impl IntoIterator<Item = OsString>, places: &Places) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {
        print::complain("The restricted shell met a fault of its own; please tell the operator.");
    }));
    let mut arguments = arguments.into_iter();
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    let environment = Environment::read();
    let invocation = Invocation::new(&arguments, environment.original_command.as_deref());
    if !environment.is_reduced() {
        return unconfined(&environment.start_over(&name, &invocation));
    }
    let interactive = invocation == Invocation::Interactive;
    let needs = Needs {
        interactive,
        hops: interactive || invocation.is_hop(),
    };
    let prepared = match sandbox::enter(places, needs, &environment) {
        Ok(prepared) => prepared,
        Err(error) => return unconfined(&error),
    };
    let term = environment.term.as_deref();
    let style = Style::wanted(term, environment.no_color, prepared.output_is_terminal);
    let jumpd = Jumpd::new(&places.socket);
    let mut session = Session::new(jumpd, prepared, style, term);
    let outcome = match invocation {
        Invocation::Interactive => interactive::run(&mut session),
        Invocation::Command(line) => session.once(&line),
        Invocation::Refused(arguments) => {
            session.refuse(arguments.join(OsStr::new(" ")).as_bytes(), None)
        }
    };
    ExitCode::from(outcome.status())
}

fn unconfined(error: &dyn std::error::Error) -> ExitCode {
    print::complain(&format!(
        "The restricted shell cannot confine itself on this host, so it does nothing ({error}); \
         please tell the operator."
    ));
    ExitCode::from(Outcome::Failed.status())
}
