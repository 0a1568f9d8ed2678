//! The enforcement point: one process per session, which answers every
//! connect(2) of the session's processes.
//!
//! A listener ([`run`]) forks one process for each session that `pam_jump`
//! hands over (`post`). That process receives the notifications of the
//! session's seccomp filter (`guard`), copies what a task passed
//! ([`address`]), asks jumpd (`decision`), and connects the task's own socket
//! itself (`connect`) or answers with an errno. It never lets an inet connect
//! run in the task, whose memory may change between question and use. It ends
//! the session (`end`) when jumpd says so or when its time is over, also
//! with jumpd dead; and when it dies itself, the kernel answers ENOSYS to all
//! that it would have judged and kills the user's sshd child.
//!
//! It must never allow by mistake: what it cannot read, cannot ask, or does
//! not know, it refuses.

#![forbid(unsafe_code)]

pub mod address;
mod budget;
mod connect;
mod cut;
mod deadline;
mod decision;
mod descent;
mod end;
mod guard;
mod listen;
mod members;
mod own_agent;
mod places;
mod post;
mod refusals;
mod report;
mod stopped;
mod unix;

pub use listen::run;
pub use places::Places;
pub use post::serve;
