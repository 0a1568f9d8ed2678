//! The user CA that hops authenticate with: its keys on disk, and the operator's requests about them.
//!
//! A private half lies sealed with the keys that seal second factors, for its
//! own public half only, and is opened for one signature at a time.

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
            inner: Mutex::new(inner),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut inner = self.inner();
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
        if !told(&format!("made: {}", book.current.fingerprint())) {
            return Err(CaError::Unheard);
        }
        inner.put(&self.directory, book)
    }

    /// Makes the next key or, to finish, signs with it from now on.
    fn rotate(&self, finish: bool, told: impl FnOnce(&str) -> bool) -> Result<(), CaError> {
        let mut inner = self.inner();
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
        if !told(&said) {
            return Err(CaError::Unheard);
        }
        inner.put(&self.directory, after)
    }

    /// Knows the newest key only from now on: nothing is sealed with the others any more.
    pub(crate) fn keep_newest_key(&self) {
        self.inner().keys.keep_newest();
    }

    /// Seals and opens with `keys` from now on.
    ///
    /// # Errors
    /// When not every key at hand is among them, and when the file cannot be read now, or only in part: what
    /// is in it may need the key that is about to go. A file that no key opens is left as it is.
    pub(crate) fn rekey(&self, keys: KeyRing) -> Result<(), CaError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn terms<'a>(sources: &'a [ipnet::IpNet]) -> Terms<'a> {
        Terms {
            key_id: "id",
            principal: "admin",
            valid_after: 1,
            valid_before: 2,
            sources,
            nonce: [0; 32],
        }
    }

    fn signs(ca: &Ca) -> bool {
        let subject = PrivateKey::from_seed(&[7; SEED]).public();
        let sources = ["192.0.2.1/32".parse().unwrap()];
        ca.certify(&subject, &terms(&sources)).is_ok()
    }

    fn again(text: &str) -> KeyRing {
        KeyRing::parse(text).unwrap()
    }

    #[test]
    fn without_sealing_there_is_no_ca() {
        let state = tempfile::tempdir().unwrap();
        let place = state.path().join("ca");
        let ca = Ca::open(&place, KeyRing::none());
        assert!(matches!(ca.init(|_| true), Err(CaError::NoSealing)));
        assert!(!place.exists() && !ca.can_sign() && !signs(&ca));
    }

    #[test]
    fn it_is_made_once_and_known_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let place = state.path().join("ca");
        let keys = KeyRing::generate().unwrap().to_text();
        let ca = Ca::open(&place, again(keys.expose()));
        assert_eq!(ca.show().unwrap(), CaKeys::default());
        assert!(matches!(ca.init(|_| false), Err(CaError::Unheard)));
        assert!(!ca.can_sign(), "nothing is made that no event tells of");
        ca.init(|_| true).unwrap();
        assert!(matches!(ca.init(|_| true), Err(CaError::Already)));
        let shown = ca.show().unwrap();
        assert!(shown.current.as_ref().unwrap().starts_with("ssh-ed25519 "));

        let after = Ca::open(&place, again(keys.expose()));
        assert_eq!(after.show().unwrap(), shown);
        assert!(signs(&after));
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&place.join(FILE))), (0o700, 0o600));
    }

    #[test]
    fn with_other_keys_or_a_changed_file_it_signs_nothing_and_is_not_made_anew() {
        let state = tempfile::tempdir().unwrap();
        let keys = KeyRing::generate().unwrap().to_text();
        let ca = Ca::open(state.path(), again(keys.expose()));
        ca.init(|_| true).unwrap();
        let strange = Ca::open(state.path(), KeyRing::generate().unwrap());
        assert!(!strange.can_sign() && !signs(&strange));
        assert!(matches!(strange.init(|_| true), Err(CaError::Broken(_))));

        let file = state.path().join(FILE);
        let whole = std::fs::read(&file).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&file, &whole[..length]).unwrap();
            assert!(
                !Ca::open(state.path(), again(keys.expose())).can_sign(),
                "{length}"
            );
        }
        // Another public key over the same private one.
        let other = PrivateKey::from_seed(&[9; SEED]).public().to_string();
        let text = String::from_utf8(whole).unwrap();
        let public = ca.show().unwrap().current.unwrap();
        std::fs::write(&file, text.replace(&public, &other)).unwrap();
        assert!(!Ca::open(state.path(), again(keys.expose())).can_sign());
    }

    #[test]
    fn a_rotation_signs_with_the_old_key_until_it_is_finished() {
        let state = tempfile::tempdir().unwrap();
        let keys = KeyRing::generate().unwrap().to_text();
        let ca = Ca::open(state.path(), again(keys.expose()));
        assert!(matches!(ca.rotate(false, |_| true), Err(CaError::None)));
        ca.init(|_| true).unwrap();
        let first = ca.show().unwrap().current;
        assert!(matches!(ca.rotate(true, |_| true), Err(CaError::NoNext)));
        ca.rotate(false, |_| true).unwrap();
        let turning = ca.show().unwrap();
        assert_eq!(turning.current, first);
        assert!(turning.next.is_some() && turning.next != first);
        assert!(matches!(
            ca.rotate(false, |_| true),
            Err(CaError::NextIsThere)
        ));
        ca.rotate(true, |_| true).unwrap();
        let done = ca.show().unwrap();
        assert_eq!((&done.current, &done.previous), (&turning.next, &first));
        assert_eq!(done.next, None);
        assert_eq!(
            Ca::open(state.path(), again(keys.expose())).show().unwrap(),
            done
        );
    }

    #[test]
    fn a_rekey_seals_it_anew() {
        let state = tempfile::tempdir().unwrap();
        let old = KeyRing::generate().unwrap();
        let (old_text, both) = (old.to_text(), KeyRing::generate_before(old).unwrap());
        let mut newest = again(both.to_text().expose());
        newest.keep_newest();
        let ca = Ca::open(state.path(), again(old_text.expose()));
        ca.init(|_| true).unwrap();
        ca.rotate(false, |_| true).unwrap();
        assert!(
            ca.rekey(again(newest.to_text().expose())).is_err(),
            "the old key is missing"
        );
        ca.rekey(again(both.to_text().expose())).unwrap();
        assert!(signs(&ca));
        assert!(Ca::open(state.path(), again(newest.to_text().expose())).can_sign());
        assert!(!Ca::open(state.path(), again(old_text.expose())).can_sign());
        // The old key may go, and so the next rekey need not bring it.
        ca.keep_newest_key();
        let third = KeyRing::generate_before(newest).unwrap();
        ca.rekey(again(third.to_text().expose())).unwrap();
        assert!(signs(&ca));
    }

    #[test]
    fn a_rekey_waits_until_the_file_can_be_read() {
        let state = tempfile::tempdir().unwrap();
        let old = KeyRing::generate().unwrap();
        let (old_text, both) = (old.to_text(), KeyRing::generate_before(old).unwrap());
        let both = || again(both.to_text().expose());
        Ca::open(state.path(), again(old_text.expose()))
            .init(|_| true)
            .unwrap();
        let (file, away) = (state.path().join(FILE), state.path().join("away"));
        // Reading a directory is an error of the disk's, as far as can be seen.
        std::fs::rename(&file, &away).unwrap();
        std::fs::create_dir(&file).unwrap();
        let ca = Ca::open(state.path(), again(old_text.expose()));
        assert!(!ca.can_sign());
        assert!(matches!(ca.rekey(both()), Err(CaError::Broken(_))));
        std::fs::remove_dir(&file).unwrap();
        std::fs::rename(&away, &file).unwrap();
        ca.rekey(both()).unwrap();
        assert!(signs(&ca));
        let mut newest = both();
        newest.keep_newest();
        assert!(Ca::open(state.path(), newest).can_sign());
    }

    #[test]
    fn a_rekey_leaves_a_file_that_no_key_opens_and_none_that_one_opens_in_part() {
        let keys = KeyRing::generate().unwrap().to_text();
        let rekeyed = |change: fn(&mut serde_json::Value)| {
            let state = tempfile::tempdir().unwrap();
            let ca = Ca::open(state.path(), again(keys.expose()));
            ca.init(|_| true).unwrap();
            ca.rotate(false, |_| true).unwrap();
            let file = state.path().join(FILE);
            let mut book = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            change(&mut book);
            let text = serde_json::to_vec(&book).unwrap();
            std::fs::write(&file, &text).unwrap();
            let ca = Ca::open(state.path(), again(keys.expose()));
            assert!(!ca.can_sign());
            let both = KeyRing::generate_before(again(keys.expose())).unwrap();
            let done = ca.rekey(both);
            assert_eq!(std::fs::read(&file).unwrap(), text, "left as it is");
            done
        };
        let other = |book: &mut serde_json::Value| {
            let other = PrivateKey::from_seed(&[9; SEED]).public().to_string();
            book["next"]["public"] = other.into();
        };
        assert!(matches!(rekeyed(other), Err(CaError::Broken(_))));
        let release = |book: &mut serde_json::Value| book["version"] = 2.into();
        assert!(matches!(rekeyed(release), Err(CaError::Broken(_))));
        let nothing = |book: &mut serde_json::Value| *book = "torn".into();
        assert!(matches!(rekeyed(nothing), Ok(())));
    }
}
