//! The sessions that each user has open.
//!
//! Sessions die with their host, so a store of one host keeps them in memory
//! and is told again of those that outlived a restart of jumpd.

use crate::store::{Opening, Who};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Identifiers of open sessions, by uid.
#[derive(Debug, Default)]
pub(crate) struct OpenSessions(Mutex<HashMap<u32, BTreeSet<String>>>);

impl OpenSessions {
    fn open_now(&self) -> MutexGuard<'_, HashMap<u32, BTreeSet<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open(&self, who: &Who, session: &str, most: usize) -> Opening {
        let mut open = self.open_now();
        let theirs = open.entry(who.uid).or_default();
        if theirs.len() >= most && !theirs.contains(session) {
            return Opening::TooMany { open: theirs.len() };
        }
        theirs.insert(session.to_owned());
        Opening::Opened
    }

    pub(crate) fn close(&self, who: &Who, session: &str) {
        let mut open = self.open_now();
        if let Some(theirs) = open.get_mut(&who.uid) {
            theirs.remove(session);
            if theirs.is_empty() {
                open.remove(&who.uid);
            }
        }
    }

    pub(crate) fn count(&self, who: &Who) -> usize {
        self.open_now().get(&who.uid).map_or(0, BTreeSet::len)
    }
}
