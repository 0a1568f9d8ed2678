//! The user CA that hops authenticate with: its keys on disk, and the operator's requests about them.
//!
//! A private half lies sealed with the keys that seal second factors, for its
//! own public half only, and is opened for one signature at a time.

#[cfg(test)]
mod tests;

use crate::state::{Jumpd, complain, refused};
use jump_audit::{Event, Kind};
use jump_ca::{PrivateKey, PublicKey, SEED, Terms};
use jump_mfa::{KeyRing, SealedSecret};
use jump_proto::{CaKeys, Reason, Reply};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// The file of the keys.
const FILE: &str = "keys.json";
const NEW: &str = "keys.new";
/// The longest it can be, in bytes.
const MOST: u64 = 16 * 1024;
/// The format.
const VERSION: u32 = 1;

/// A key of the CA.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Type and base64.
    public: String,
    private: SealedSecret,
}

/// What the file holds.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    version: u32,
    current: Kept,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Kept>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
}

/// Why a file that is there is not used.
#[derive(Debug)]
enum Unread {
    /// Something in it is, or may be, sealed with a key that there is: no key may go before it is read.
    NeedsKeys(String),
    /// No key that there is opens anything in it.
    NoKeyOpens(String),
}

impl Unread {
    fn why(self) -> String {
        match self {
            Self::NeedsKeys(why) | Self::NoKeyOpens(why) => why,
        }
    }
}

struct Inner {
    keys: KeyRing,
    book: Option<Book>,
    /// Why the file that is there is not used.
    broken: Option<String>,
}

/// The user CA.
pub(crate) struct Ca {
    directory: PathBuf,
    /// One change at a time, from its question to its end. Nobody who signs or shows waits for it.
    changing: Mutex<()>,
    inner: Mutex<Inner>,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ca({})", self.directory.display())
    }
}

/// Why the CA does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    #[error("there is no user CA: run `jumpctl ca init`")]
    None,
    #[error(
        "there is a user CA already; `jumpctl ca show` shows it, `jumpctl ca rotate` gives it another key"
    )]
    Already,
    #[error(
        "the next key is there already; once every target trusts it: jumpctl ca rotate --finish"
    )]
    NextIsThere,
    #[error("there is no next key: run `jumpctl ca rotate` first")]
    NoNext,
    #[error("there is no key to seal the CA's key with: run `jumpctl setup`")]
    NoSealing,
    #[error("the CA's keys are not used: {0}")]
    Broken(String),
    #[error("the CA's keys cannot be written: {0}")]
    Write(#[from] io::Error),
    #[error("{0}")]
    Sealing(#[from] jump_mfa::StoreError),
    #[error("the kernel gives no random bytes")]
    Random(#[from] getrandom::Error),
    #[error("{0}")]
    Terms(#[from] jump_ca::TermsError),
    #[error("the event cannot be written")]
    Unheard,
}

impl CaError {
    /// Why, in one word.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::None | Self::NoNext => Reason::NoCa,
            Self::Already | Self::NextIsThere => Reason::Unchanged,
            Self::NoSealing => Reason::SealingKeyMissing,
            Self::Write(_) => Reason::NotPersisted,
            Self::Unheard => Reason::AuditFailed,
            Self::Broken(_) | Self::Sealing(_) | Self::Random(_) | Self::Terms(_) => {
                Reason::Internal
            }
        }
    }
}

/// The purpose for which a private half is sealed.
fn purpose(public: &str) -> String {
    format!("user CA {public}")
}

impl Kept {
    /// A new key.
    fn new(keys: &KeyRing) -> Result<Self, CaError> {
        let mut seed = Zeroizing::new([0; SEED]);
        getrandom::fill(seed.as_mut())?;
        let public = PrivateKey::from_seed(&seed).public().to_string();
        let private = keys
            .seal_secret(&purpose(&public), Zeroizing::new(seed.to_vec()))?
            .ok_or(CaError::NoSealing)?;
        Ok(Self { public, private })
    }

    fn open(&self, keys: &KeyRing) -> Result<PrivateKey, CaError> {
        let broken = |why: String| CaError::Broken(why);
        let seed = keys
            .open_secret(&purpose(&self.public), &self.private)
            .map_err(|e| broken(e.to_string()))?;
        let seed: Zeroizing<[u8; SEED]> = Zeroizing::new(
            seed.as_slice()
                .try_into()
                .map_err(|_| broken("a private key has another length".to_owned()))?,
        );
        let private = PrivateKey::from_seed(&seed);
        if private.public().to_string() == self.public {
            Ok(private)
        } else {
            Err(broken("a private key is of another public one".to_owned()))
        }
    }

    /// The same, sealed with the first key.
    fn sealed_anew(&self, keys: &KeyRing) -> Result<Self, CaError> {
        let seed = keys
            .open_secret(&purpose(&self.public), &self.private)
            .map_err(|e| CaError::Broken(e.to_string()))?;
        let private = keys
            .seal_secret(&purpose(&self.public), seed)?
            .ok_or(CaError::NoSealing)?;
        Ok(Self {
            public: self.public.clone(),
            private,
        })
    }

    fn fingerprint(&self) -> String {
        self.public
            .parse::<PublicKey>()
            .map_or_else(|e| e.to_string(), |key| key.fingerprint())
    }
}

impl Book {
    fn kept(&self) -> impl Iterator<Item = &Kept> {
        std::iter::once(&self.current).chain(&self.next)
    }

    fn read(directory: &Path, keys: &KeyRing) -> Result<Option<Self>, Unread> {
        let path = directory.join(FILE);
        let at = |why: &dyn fmt::Display| format!("{}: {why}", path.display());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(e) => return Err(Unread::NeedsKeys(at(&e))),
        };
        let mut text = Vec::new();
        file.take(MOST)
            .read_to_end(&mut text)
            .map_err(|e| Unread::NeedsKeys(at(&e)))?;
        let book: Self = serde_json::from_slice(&text).map_err(|e| Unread::NoKeyOpens(at(&e)))?;
        if book.version != VERSION {
            return Err(Unread::NeedsKeys(at(&"it is of another release")));
        }
        let opens = |kept: &Kept| {
            keys.open_secret(&purpose(&kept.public), &kept.private)
                .is_ok()
        };
        let broken = book.kept().find_map(|kept| kept.open(keys).err());
        match broken {
            None => Ok(Some(book)),
            Some(e) if book.kept().any(opens) => Err(Unread::NeedsKeys(at(&e))),
            Some(e) => Err(Unread::NoKeyOpens(at(&e))),
        }
    }

    /// Writes it durably: after a crash the file is the old one or the new one.
    fn write(&self, directory: &Path) -> io::Result<()> {
        match std::fs::DirBuilder::new().mode(0o700).create(directory) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place: OwnedFd = rustix::fs::open(directory, flags, Mode::empty())?;
        let _stale = rustix::fs::unlinkat(&place, NEW, rustix::fs::AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = std::fs::File::from(rustix::fs::openat(&place, NEW, flags, mode)?);
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        rustix::fs::renameat(&place, NEW, &place, FILE)?;
        rustix::fs::fsync(&place)?;
        Ok(())
    }
}

impl Inner {
    fn book(&self) -> Result<&Book, CaError> {
        match (&self.broken, &self.book) {
            (Some(why), _) => Err(CaError::Broken(why.clone())),
            (None, Some(book)) => Ok(book),
            (None, None) => Err(CaError::None),
        }
    }

    /// Puts `book` into force once it is written.
    fn put(&mut self, directory: &Path, book: Book) -> Result<(), CaError> {
        book.write(directory)?;
        self.book = Some(book);
        Ok(())
    }

    /// Seals every key with the first of the keys at hand, if one is sealed otherwise.
    fn seal_all(&mut self, directory: &Path) -> Result<(), CaError> {
        let Some(book) = &self.book else {
            return Ok(());
        };
        if book.kept().all(|kept| self.keys.seals_like(&kept.private)) {
            return Ok(());
        }
        let book = Book {
            version: VERSION,
            current: book.current.sealed_anew(&self.keys)?,
            next: book
                .next
                .as_ref()
                .map(|next| next.sealed_anew(&self.keys))
                .transpose()?,
            previous: book.previous.clone(),
        };
        self.put(directory, book)
    }
}

impl Ca {
    /// The CA in `directory`, with the keys that systemd handed over. One that cannot be read signs nothing.
    pub(crate) fn open(directory: &Path, keys: KeyRing) -> Self {
        let mut inner = Inner {
            keys,
            book: None,
            broken: None,
        };
        match Book::read(directory, &inner.keys) {
            Ok(book) => inner.book = book,
            Err(unread) => {
                let why = unread.why();
                complain(&format!(
                    "the user CA is not used, so no hop can log in: {why}"
                ));
                inner.broken = Some(why);
            }
        }
        if let Err(e) = inner.seal_all(directory) {
            // It is used as it is; the next start tries again.
            complain(&format!("the user CA could not be sealed anew: {e}"));
        }
        Self {
            directory: directory.to_owned(),
            changing: Mutex::new(()),
            inner: Mutex::new(inner),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a key that signs.
    pub(crate) fn can_sign(&self) -> bool {
        self.inner().book().is_ok()
    }

    /// The public keys.
    pub(crate) fn show(&self) -> Result<CaKeys, CaError> {
        let inner = self.inner();
        match inner.book() {
            Ok(book) => Ok(CaKeys {
                current: Some(book.current.public.clone()),
                next: book.next.as_ref().map(|next| next.public.clone()),
                previous: book.previous.clone(),
            }),
            Err(CaError::None) => Ok(CaKeys::default()),
            Err(e) => Err(e),
        }
    }

    /// A certificate for `subject`, signed by the current key.
    pub(crate) fn certify(
        &self,
        subject: &PublicKey,
        terms: &Terms<'_>,
    ) -> Result<Vec<u8>, CaError> {
        let inner = self.inner();
        let private = inner.book()?.current.open(&inner.keys)?;
        Ok(terms.certify(&private, subject)?)
    }

    /// Makes the first key; `told` is heard before it is kept.
    fn init(&self, told: impl FnOnce(&str) -> bool) -> Result<(), CaError> {
        let _one_at_a_time = self.changing();
        let (book, said) = self.first()?;
        self.change(book, &said, told)
    }

    /// Makes the next key or, to finish, signs with it from now on.
    fn rotate(&self, finish: bool, told: impl FnOnce(&str) -> bool) -> Result<(), CaError> {
        let _one_at_a_time = self.changing();
        let (book, said) = self.rotated(finish)?;
        self.change(book, &said, told)
    }

    /// Keeps `book` once it is said. A journal that hangs holds up nobody who signs.
    fn change(
        &self,
        book: Book,
        said: &str,
        told: impl FnOnce(&str) -> bool,
    ) -> Result<(), CaError> {
        if !told(said) {
            return Err(CaError::Unheard);
        }
        self.inner().put(&self.directory, book)
    }

    /// The book with the first key in it, and what there is to say of it.
    fn first(&self) -> Result<(Book, String), CaError> {
        let inner = self.inner();
        match inner.book() {
            Ok(_) => return Err(CaError::Already),
            Err(CaError::None) => {}
            Err(e) => return Err(e),
        }
        let book = Book {
            version: VERSION,
            current: Kept::new(&inner.keys)?,
            next: None,
            previous: None,
        };
        let said = format!("made: {}", book.current.fingerprint());
        Ok((book, said))
    }

    /// The book after the next step of a rotation, and what there is to say of it.
    fn rotated(&self, finish: bool) -> Result<(Book, String), CaError> {
        let inner = self.inner();
        let book = inner.book()?;
        let after = match (finish, &book.next) {
            (false, Some(_)) => return Err(CaError::NextIsThere),
            (true, None) => return Err(CaError::NoNext),
            (false, None) => Book {
                next: Some(Kept::new(&inner.keys)?),
                ..book.clone()
            },
            (true, Some(next)) => Book {
                version: VERSION,
                current: next.clone(),
                next: None,
                previous: Some(book.current.public.clone()),
            },
        };
        let said = match &after.next {
            Some(next) => format!("the next key: {}", next.fingerprint()),
            None => format!("signs from now on: {}", after.current.fingerprint()),
        };
        Ok((after, said))
    }

    /// Knows the newest key only from now on: nothing is sealed with the others any more.
    pub(crate) fn keep_newest_key(&self) {
        let _one_at_a_time = self.changing();
        self.inner().keys.keep_newest();
    }

    /// Seals and opens with `keys` from now on.
    ///
    /// # Errors
    /// When not every key at hand is among them, and when the file cannot be read now, or only in part: what
    /// is in it may need the key that is about to go. A file that no key opens is left as it is.
    pub(crate) fn rekey(&self, keys: KeyRing) -> Result<(), CaError> {
        let _one_at_a_time = self.changing();
        let mut inner = self.inner();
        if !keys.holds_all_of(&inner.keys) {
            return Err(jump_mfa::StoreError::KeysMissing.into());
        }
        if inner.broken.is_some() {
            match Book::read(&self.directory, &keys) {
                Ok(book) => {
                    inner.book = book;
                    inner.broken = None;
                }
                Err(Unread::NeedsKeys(why)) => return Err(CaError::Broken(why)),
                // What no key opens needs none of them.
                Err(Unread::NoKeyOpens(_)) => {}
            }
        }
        inner.keys = keys;
        inner.seal_all(&self.directory)
    }
}

impl Jumpd {
    fn ca_answer(&self, done: Result<(), CaError>) -> Reply {
        match done.and_then(|()| self.ca.show()) {
            Ok(keys) => Reply::Ca(keys),
            Err(e) => refused(e.reason(), e.to_string()),
        }
    }

    fn ca_changes(&self, what: &str) -> bool {
        let event = Event::new(Kind::CaChanged).success();
        self.announce(event.reason(Reason::Operator).detail(what))
    }

    /// `jumpctl ca init`.
    pub(crate) fn ca_init(&self) -> Reply {
        self.ca_answer(self.ca.init(|what| self.ca_changes(what)))
    }

    /// `jumpctl ca show`.
    pub(crate) fn ca_show(&self) -> Reply {
        self.ca_answer(Ok(()))
    }

    /// `jumpctl ca rotate`.
    pub(crate) fn ca_rotate(&self, finish: bool) -> Reply {
        self.ca_answer(self.ca.rotate(finish, |what| self.ca_changes(what)))
    }
}
