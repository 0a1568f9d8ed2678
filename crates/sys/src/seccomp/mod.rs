//! The session filter: what no process of a jump session may call, and which
//! calls wait for the guard.
//!
//! It is a list of refusals: everything else is allowed, because the same
//! filter is inherited by sshd's root monitor, by the user's sshd child and by
//! whatever that executes. [`rows`] is the list, [`session_filter`] compiles
//! it, [`interpret`] runs it without a kernel, [`install_session_filter`] puts
//! it in force, [`Listener`] is the guard's end and [`Call`] what arrives there.

mod call;
mod compile;
mod install;
mod interpret;
mod notify;
mod rows;
mod table;

pub use call::{Call, Connect, Foreign};
pub use compile::{ARCH, compile, session_filter};
#[cfg(feature = "attacks")]
pub(crate) use install::install_listener;
#[cfg(feature = "weaken")]
pub use install::install_open_filter;
#[cfg(feature = "attacks")]
pub use install::install_session_filter_without_waitkill;
pub use install::{InstallError, SessionFilter, install_session_filter};
pub use interpret::interpret;
pub use notify::{Answer, Listener, Notification};
#[cfg(feature = "attacks")]
pub(crate) use rows::call_number;
pub use rows::rows;
pub use table::{Action, Named, Row, Test, row_of};
