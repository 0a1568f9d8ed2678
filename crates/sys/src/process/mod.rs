//! Tasks: other ones by pidfd, by memory and by `/proc`, and the calling one.

mod interrupt;
mod memory;
mod own;
mod pidfd;
mod status;

pub use interrupt::{Interruptible, allow_interrupts};
pub use memory::{read_memory, write_memory};
pub use own::{
    Fork, Forker, couple_death, disown_children, exit_now, fork, set_name, set_no_new_privs,
    set_nondumpable, set_parent_death_signal, set_resolver_options,
};
pub use pidfd::PidFd;
pub use status::{TaskStatus, children, descendants, processes, start_time};
