//! How many wrong codes are borne, from where, and who is still heard meanwhile.
//!
//! Wrong codes are counted for each place: the login key and the address it
//! comes from. After [`Limits::attempts`] in a row the place is locked. A place
//! that never brought a right code also draws on one budget of the user; once
//! that is used up, only places and keys that have brought a right code before
//! are heard, the keys with a count of their own. So whoever holds another key
//! of the user, or sits elsewhere, can neither guess without end nor keep the
//! user out.
//!
//! A lock-out that follows another without a right code between them lasts
//! twice as long, up to [`LONGEST`] times [`Limits::lockout`].

use crate::limits::Limits;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};

/// The budget of all places that never brought a right code, in multiples of [`Limits::attempts`].
pub(crate) const BUDGET: u32 = 4;

/// The longest lock-out, in multiples of [`Limits::lockout`].
pub(crate) const LONGEST: i64 = 8;

/// A lock-out this long over is not followed by a longer one, in seconds.
const FORGIVEN_S: i64 = 86_400;

/// A right code this long ago makes no place or key known, in seconds: 90 days.
const KNOWN_S: i64 = 90 * 86_400;

/// Places and keys remembered of one user, of each kind; the budget bounds what is forgotten.
const MOST: usize = 12;

/// Where a login comes from: which key sshd verified, and from which address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Fingerprint of the key, as ssh-keygen(1) prints it.
    pub key: String,
    /// The IPv4 address, or the first 64 bits of the IPv6 address: whoever has one address of such a network has them all.
    pub source: String,
}

impl Place {
    /// A login with this key from this address. An IPv4-mapped address counts as IPv4.
    #[must_use]
    pub fn new(key_fingerprint: &str, source: IpAddr) -> Self {
        let source = match source.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
                format!("{network}/64")
            }
        };
        Self {
            key: key_fingerprint.to_owned(),
            source,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from {}", self.key, self.source)
    }
}

/// Wrong codes in a row, and the lock-out they led to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    #[serde(default)]
    wrong: u32,
    /// Lock-outs in a row.
    #[serde(default)]
    locks: u32,
    /// When the present lock-out ends, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_s: Option<i64>,
    /// When the last one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_s: Option<i64>,
}

impl Count {
    fn is_untouched(&self) -> bool {
        self.wrong == 0 && self.locks == 0 && self.until_s.is_none()
    }

    fn until_s(&self, now_s: i64) -> Option<i64> {
        self.until_s.filter(|until| *until > now_s)
    }

    /// How long the lock-out in force lasts in all, in seconds.
    fn lasts_s(&self, limits: &Limits) -> i64 {
        let doubled = 1i64 << self.locks.saturating_sub(1).min(16);
        limits.lockout_s().saturating_mul(doubled.min(LONGEST))
    }

    /// Until when nothing is heard; ends a lock-out that is over.
    fn hold(&mut self, now_s: i64, limits: &Limits) -> Option<i64> {
        let until_s = self.until_s?;
        if until_s <= now_s {
            self.until_s = None;
            self.ended_s = Some(until_s);
            self.wrong = 0;
            return None;
        }
        // No lock-out lasts longer from now than it would if it began now, also
        // when the clock was ahead when it began.
        let until_s = until_s.min(now_s.saturating_add(self.lasts_s(limits)));
        self.until_s = Some(until_s);
        Some(until_s)
    }

    /// Counts a wrong code of which `most` are borne; returns how many are left.
    fn count(&mut self, most: u32, now_s: i64, limits: &Limits) -> u32 {
        self.wrong = self.wrong.saturating_add(1);
        let left = most.saturating_sub(self.wrong);
        if left == 0 && self.until_s.is_none() {
            let forgiven = |ended_s: i64| now_s.saturating_sub(ended_s) > FORGIVEN_S;
            if self.ended_s.take().is_some_and(forgiven) {
                self.locks = 0;
            }
            self.locks = self.locks.saturating_add(1);
            self.until_s = Some(now_s.saturating_add(self.lasts_s(limits)));
        }
        left
    }
}

/// What is remembered of one place.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    place: Place,
    /// When a right code came from here, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    right_s: Option<i64>,
    /// When anything came from here.
    seen_s: i64,
    count: Count,
}

impl Known {
    /// A time still to come makes nothing known.
    fn is_proven(&self, now_s: i64) -> bool {
        is_proven(self.right_s, now_s)
    }
}

fn is_proven(right_s: Option<i64>, now_s: i64) -> bool {
    right_s.is_some_and(|right| right <= now_s && now_s.saturating_sub(right) <= KNOWN_S)
}

/// What is remembered of a key that brought a right code.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownKey {
    key: String,
    right_s: i64,
    /// Wrong codes with it from places that never brought a right one.
    count: Count,
}

/// A lock-out, to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Whose; absent: every place that never brought a right code.
    pub place: Option<Place>,
    /// When it ends, in milliseconds since the Unix epoch.
    pub until_ms: i64,
}

/// What a wrong code has come to.
pub(crate) struct Borne {
    /// Wrong codes in a row from this place.
    pub(crate) failures: u32,
    /// Wrong codes that are still heard from here.
    pub(crate) left: u32,
}

/// One user's wrong codes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Throttle {
    /// Wrong codes from all places that never brought a right one.
    #[serde(default)]
    strange: Count,
    #[serde(default)]
    keys: Vec<KnownKey>,
    #[serde(default)]
    places: Vec<Known>,
    /// How often the user was locked out anywhere, or let in again by an operator, ever.
    #[serde(default)]
    lockouts: u64,
}

impl Throttle {
    /// Whether there is nothing to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.strange.is_untouched()
            && self.keys.is_empty()
            && self.places.is_empty()
            && self.lockouts == 0
    }

    /// What a record that counted for the user as a whole says of it.
    pub(crate) fn of_the_whole_user(failures: u32, until_s: Option<i64>) -> Self {
        Self {
            strange: Count {
                wrong: failures,
                locks: u32::from(until_s.is_some()),
                until_s,
                ended_s: None,
            },
            ..Self::default()
        }
    }

    /// What is wrong with what a record says, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        (self.places.len() > 2 * MOST || self.keys.len() > MOST)
            .then_some("there are too many places of wrong codes")
    }

    /// Until when nothing is heard from `place`, in seconds since the Unix epoch.
    pub(crate) fn hold(&mut self, place: &Place, now_s: i64, limits: &Limits) -> Option<i64> {
        let known = self.places.iter_mut().find(|known| known.place == *place);
        if let Some(known) = known {
            if let Some(until_s) = known.count.hold(now_s, limits) {
                return Some(until_s);
            }
            if known.is_proven(now_s) {
                return None;
            }
        }
        let until_s = self.strange.hold(now_s, limits)?;
        match self.known_key(&place.key, now_s) {
            Some(key) => key
                .count
                .hold(now_s, limits)
                .map(|own_s| own_s.min(until_s)),
            None => Some(until_s),
        }
    }

    /// Counts a wrong code that was heard from `place`.
    pub(crate) fn wrong(&mut self, place: &Place, now_s: i64, limits: &Limits) -> Borne {
        let known = self.at(place, now_s);
        let mut left = known.count.count(limits.attempts(), now_s, limits);
        let (failures, proven) = (known.count.wrong, known.is_proven(now_s));
        let mut locked = known.count.until_s.is_some();
        if !proven {
            if let Some(key) = self.known_key(&place.key, now_s) {
                let before_s = key.count.until_s;
                key.count.count(limits.attempts(), now_s, limits);
                locked |= key.count.until_s != before_s;
            }
            if self.strange.until_s.is_none() {
                let most = limits.attempts().saturating_mul(BUDGET);
                self.strange.count(most, now_s, limits);
                locked |= self.strange.until_s.is_some();
            }
            if self.hold(place, now_s, limits).is_some() {
                left = 0;
            }
        }
        self.lockouts = self.lockouts.saturating_add(u64::from(locked));
        Borne { failures, left }
    }

    /// How often the user was locked out anywhere, or let in again by an operator, ever.
    pub(crate) fn lockouts(&self) -> u64 {
        self.lockouts
    }

    /// Counts lock-outs from at least so many on.
    pub(crate) fn no_fewer_lockouts_than(&mut self, lockouts: u64) {
        self.lockouts = self.lockouts.max(lockouts);
    }

    /// A right code came from `place`: its wrong ones are forgotten, and it is known from now on.
    pub(crate) fn right(&mut self, place: &Place, now_s: i64) {
        let known = self.at(place, now_s);
        let forgotten = known.count.wrong;
        let was_strange = !known.is_proven(now_s);
        known.right_s = Some(now_s);
        known.count = Count::default();
        let own = if was_strange { forgotten } else { 0 };
        // Others' wrong codes stay: who logs in during an attack gives it no second budget.
        self.strange.wrong = self.strange.wrong.saturating_sub(own);
        match self.keys.iter_mut().find(|known| known.key == place.key) {
            Some(key) => {
                key.right_s = now_s;
                key.count.wrong = key.count.wrong.saturating_sub(own);
            }
            None => {
                self.keys.push(KnownKey {
                    key: place.key.clone(),
                    right_s: now_s,
                    count: Count::default(),
                });
                forget_oldest(&mut self.keys, MOST, |key| key.right_s, |_| true);
            }
        }
        self.forget();
    }

    /// Forgets every wrong code and lock-out; who is known stays known.
    pub(crate) fn clear(&mut self) {
        self.strange = Count::default();
        self.lockouts = self.lockouts.saturating_add(1);
        self.places.retain(|known| known.right_s.is_some());
        for known in &mut self.places {
            known.count = Count::default();
        }
        for key in &mut self.keys {
            key.count = Count::default();
        }
    }

    /// Wrong codes in a row, of all places together.
    pub(crate) fn failures(&self) -> u32 {
        let each = self.places.iter().map(|known| known.count.wrong);
        each.fold(0, u32::saturating_add).max(self.strange.wrong)
    }

    /// The lock-outs in force.
    pub(crate) fn locks(&self, now_s: i64) -> Vec<Lock> {
        let lock = |place, until_s: i64| Lock {
            place,
            until_ms: until_s.saturating_mul(1000),
        };
        let strange = self.strange.until_s(now_s).map(|s| lock(None, s));
        let places = self.places.iter().filter_map(|known| {
            let until_s = known.count.until_s(now_s)?;
            Some(lock(Some(known.place.clone()), until_s))
        });
        strange.into_iter().chain(places).collect()
    }

    fn known_key(&mut self, key: &str, now_s: i64) -> Option<&mut KnownKey> {
        self.keys
            .iter_mut()
            .find(|known| known.key == key && is_proven(Some(known.right_s), now_s))
    }

    /// What is remembered of `place`, from now on at least.
    fn at(&mut self, place: &Place, now_s: i64) -> &mut Known {
        let found = self.places.iter().position(|known| known.place == *place);
        let index = found.unwrap_or_else(|| {
            self.places.push(Known {
                place: place.clone(),
                right_s: None,
                seen_s: now_s,
                count: Count::default(),
            });
            self.forget();
            self.places.len() - 1
        });
        let known = &mut self.places[index];
        known.seen_s = now_s;
        known
    }

    /// Keeps the latest of the places that brought a right code, and of those that did not.
    fn forget(&mut self) {
        let seen = |known: &Known| known.seen_s;
        forget_oldest(&mut self.places, MOST, seen, |known| {
            known.right_s.is_some()
        });
        forget_oldest(&mut self.places, MOST, seen, |known| {
            known.right_s.is_none()
        });
    }
}

/// Removes the oldest of those that `which` names until `most` are left; the last one of the list is the newest and stays.
fn forget_oldest<T>(
    list: &mut Vec<T>,
    most: usize,
    age: impl Fn(&T) -> i64,
    which: impl Fn(&T) -> bool,
) {
    while list.iter().filter(|item| which(item)).count() > most {
        let last = list.len() - 1;
        let oldest = list
            .iter()
            .enumerate()
            .filter(|(at, item)| *at != last && which(item))
            .min_by_key(|(_, item)| age(item))
            .map(|(at, _)| at);
        match oldest {
            Some(at) => list.remove(at),
            None => return,
        };
    }
}
