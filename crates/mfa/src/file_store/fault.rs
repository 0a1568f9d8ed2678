//! Where a test makes a system call of the store fail, or the process end. In a program it is nothing.

use rustix::io::Errno;

/// Stands before every system call that the store makes on a file.
#[cfg(not(test))]
pub(super) fn before(_call: &'static str) -> Result<(), Errno> {
    Ok(())
}

#[cfg(test)]
pub(super) use planned::before;
#[cfg(test)]
pub(crate) use planned::{Fault, calls, plan};

#[cfg(test)]
mod planned {
    use super::Errno;
    use std::cell::{Cell, RefCell};

    /// What happens at a call.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// It fails once.
        Fails(Errno),
        /// It fails, and so do all calls after it.
        FailsEverAfter(Errno),
        /// The process is killed instead.
        Killed,
    }

    thread_local! {
        static PLAN: Cell<Option<(usize, Fault)>> = const { Cell::new(None) };
        static CALLS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    /// From now on, the call number `at` of this thread, from 0, goes wrong. `None`: no call does.
    pub(crate) fn plan(fault: Option<(usize, Fault)>) {
        PLAN.set(fault);
        CALLS.with_borrow_mut(Vec::clear);
    }

    /// The calls made since [`plan`].
    pub(crate) fn calls() -> Vec<&'static str> {
        CALLS.with_borrow(Clone::clone)
    }

    pub(in super::super) fn before(call: &'static str) -> Result<(), Errno> {
        let number = CALLS.with_borrow_mut(|calls| {
            calls.push(call);
            calls.len() - 1
        });
        match PLAN.get() {
            Some((at, Fault::Fails(errno))) if number == at => Err(errno),
            Some((at, Fault::FailsEverAfter(errno))) if number >= at => Err(errno),
            Some((at, Fault::Killed)) if number == at => {
                let own = rustix::process::getpid();
                let _dies = rustix::process::kill_process(own, rustix::process::Signal::KILL);
                unreachable!("SIGKILL is not survived")
            }
            _ => Ok(()),
        }
    }
}
