//! The account index: users and groups of the policy as one file that
//! every process on the host can search.
//!
//! jumpd writes the file each time a policy is applied ([`IndexBuilder`]);
//! `libnss_jump.so.2` maps it into whatever program calls `getpwnam(3)`, and
//! pam_jump reads from it whom it is concerned with, so both give the same
//! answer while jumpd is dead. It holds names, ids, gecos, home, shell and
//! memberships: no key, no secret, no right.
//!
//! The writer is root's or jumpd's, the readers are everybody's, so the
//! reader ([`Index`]) treats the bytes as hostile: it allocates nothing, looks
//! at no byte it has not bounds-checked, and has no code path that panics,
//! whatever the file contains. `fuzz/fuzz_targets/accounts.rs` hunts for one.
//!
//! The modules: `format` says what the bytes mean, `build` writes them, `read`
//! searches them, `owned` loads a file, `rules` says which ids and names may
//! ever be in there.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod build;
pub mod format;
mod owned;
mod read;
mod rules;

pub use build::{BuildError, IndexBuilder};
pub use format::{Damaged, Layout};
pub use owned::{OpenError, OwnedIndex};
pub use read::{AccountRef, GroupRef, Index, ScopeRef};
pub use rules::{NAME_MAX, is_field, is_name, is_reserved_id, is_scope_name};

/// A user as the writer gives it to [`IndexBuilder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id; never a reserved one ([`is_reserved_id`]).
    pub uid: u32,
    /// Primary group; one of the builder's groups.
    pub gid: u32,
    /// Full name.
    pub gecos: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// A group as the writer gives it to [`IndexBuilder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Group name.
    pub name: String,
    /// Group id; never a reserved one ([`is_reserved_id`]).
    pub gid: u32,
    /// Members, each a user of the same builder. Users whose primary group
    /// this is need not be listed: they are added.
    pub members: Vec<String>,
}
