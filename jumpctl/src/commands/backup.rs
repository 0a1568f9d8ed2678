//! `jumpctl backup` and `jumpctl restore`: policy, second factors and the host's identity in one encrypted file.
//!
//! The file is encrypted to age recipients, so a bastion can make backups that
//! it cannot read itself. Records are unsealed in it, because another host has
//! another key. What comes back makes no used code good again: jumpd sees to
//! that, whatever the file says.

use crate::client::Jumpd;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable};
use crate::policy_file;
use crate::setup::{self, host::Host};
use age::x25519::{Identity, Recipient};
use age::{DecryptError, Decryptor, Encryptor};
use jiff::Timestamp;
use jump_proto::{MfaImport, Reply, Request, Secret, paths};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const FORMAT: u32 = 1;
/// No policy and no records of a bastion are nearly this large.
const MOST: u64 = 64 * 1024 * 1024;

/// What is in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Backup {
    format: u32,
    /// When it was made, milliseconds since the Unix epoch.
    made_ms: i64,
    /// The identity of the host's records.
    host: String,
    policy: String,
    records: Vec<Secret>,
}

/// Writes a backup.
pub(super) fn backup(
    host: &dyn Host,
    jumpd: &Jumpd,
    file: &Path,
    to: &[String],
    out: &mut Output,
) -> Answer {
    let recipients = to
        .iter()
        .map(|text| recipient(text))
        .collect::<Result<Vec<_>, _>>()?;
    let policy_path = host.path(paths::POLICY);
    let policy =
        fs::read_to_string(&policy_path).map_err(|e| Error::file("read", &policy_path, e))?;
    let exported = jumpd.export()?;
    let backup = Backup {
        format: FORMAT,
        made_ms: Timestamp::now().as_millisecond(),
        host: exported.host,
        policy,
        records: exported.records,
    };
    let mut plain = Zeroizing::new(Vec::with_capacity(1 << 20));
    serde_json::to_writer(&mut *plain, &backup)
        .map_err(|e| Error::failed(format!("cannot write the backup down: {e}")))?;
    write(file, &recipients, &plain)?;
    out.line(format_args!(
        "{} second factors and the policy are in {}. Only who has the recipient's key can read it; keep it off this host.",
        backup.records.len(),
        printable(&file.display().to_string())
    ))?;
    for why in &exported.refused {
        out.line(format_args!("Refused, and not in it: {}", printable(why)))?;
    }
    out.json(&serde_json::json!({
        "file": file,
        "records": backup.records.len(),
        "refused": exported.refused,
    }))?;
    Ok(Outcome::from_bool(exported.refused.is_empty()))
}

fn recipient(text: &str) -> Result<Recipient, Error> {
    text.parse().map_err(|e| {
        Error::Usage(format!(
            "{} is no age recipient ({e}); it begins with age1, and age-keygen prints it",
            printable(text)
        ))
    })
}

/// Into a new file, readable by root alone; nothing is left of it where it cannot be written.
fn write(file: &Path, recipients: &[Recipient], plain: &[u8]) -> Result<(), Error> {
    let encryptor = Encryptor::with_recipients(recipients.iter().map(|r| r as _))
        .map_err(|_| Error::failed("cannot encrypt to these recipients together; name others"))?;
    let target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Error::failed(format!(
                "{} is there already and stays as it is; name another file",
                file.display()
            )),
            _ => Error::file("create", file, e),
        })?;
    let written = (|| {
        let mut stream = encryptor.wrap_output(&target)?;
        stream.write_all(plain)?;
        stream.finish()?.sync_all()
    })();
    written.map_err(|e| {
        let _left_half_done = fs::remove_file(file);
        Error::file("write", file, e)
    })
}

/// What [`restore`] is to do.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) file: PathBuf,
    pub(super) identity: PathBuf,
    pub(super) recovery_codes: bool,
    pub(super) policy_to: Option<PathBuf>,
    pub(super) replace: Vec<String>,
}

/// The answer under `--json`.
#[derive(Debug, Default, Serialize)]
struct Report {
    made_ms: i64,
    /// Whether the host took the identity of the backup.
    identity_taken: bool,
    /// Where the backup's policy is now, if anywhere.
    policy: Option<PathBuf>,
    recovery_codes: bool,
    restored: Vec<String>,
    merged: Vec<String>,
    kept: Vec<Kept>,
}

#[derive(Debug, Serialize)]
struct Kept {
    user: String,
    why: String,
}

/// Takes a backup back, as far as nothing moves backwards by it.
pub(super) fn restore(host: &dyn Host, jumpd: &Jumpd, wanted: &Wanted, out: &mut Output) -> Answer {
    let backup = read(&wanted.file, &wanted.identity)?;
    not_before(backup.made_ms, Timestamp::now())?;
    // Asked first: without jumpd nothing is changed.
    jumpd.status()?;
    let mut report = Report {
        made_ms: backup.made_ms,
        recovery_codes: wanted.recovery_codes,
        policy: put_policy(host, &backup.policy, wanted.policy_to.as_deref())?,
        ..Report::default()
    };
    report.identity_taken = matches!(
        jumpd.ask(&Request::MfaAdopt {
            host: backup.host.clone()
        })?,
        Reply::Adopted { taken: true }
    );
    for record in backup.records {
        let request = Request::MfaImport {
            record,
            recovery_codes: wanted.recovery_codes,
            replace: wanted.replace.clone(),
        };
        match jumpd.ask(&request)? {
            Reply::Imported { user, outcome, why } => match outcome {
                MfaImport::Restored => report.restored.push(user),
                MfaImport::Merged => report.merged.push(user),
                MfaImport::Kept => report.kept.push(Kept { user, why }),
            },
            _ => return Err(Error::WrongAnswer),
        }
    }
    tell(&report, wanted, out)?;
    out.json(&report)?;
    Ok(Outcome::from_bool(report.kept.is_empty()))
}

fn tell(report: &Report, wanted: &Wanted, out: &mut Output) -> Result<(), Error> {
    match &report.policy {
        Some(path) => out.line(format_args!("The policy is in {}.", path.display()))?,
        None => out.line(
            "This host has a policy of its own, which stays; --policy-to FILE writes down the one of the backup.",
        )?,
    }
    if !report.identity_taken {
        out.line("This host has records of its own and keeps its identity.")?;
    }
    for user in &report.restored {
        out.line(format_args!("Restored: {}", printable(user)))?;
    }
    for user in &report.merged {
        out.line(format_args!(
            "Is here as well; what was used here or there is used: {}",
            printable(user)
        ))?;
    }
    for kept in &report.kept {
        out.line(format_args!(
            "Not restored: {}: {}",
            printable(&kept.user),
            printable(&kept.why)
        ))?;
    }
    if !report.kept.is_empty() {
        out.line("If the backup is the right one for such a user, and not an authenticator that was reset because it was lost: `--replace USER`.")?;
    }
    out.line(
        "Codes of the present minute and before are used up: each user waits for the next but one.",
    )?;
    if wanted.recovery_codes {
        out.line("Recovery codes are good again, because you said that the old host accepted nothing after the backup. If it did, `jumpctl mfa recovery-codes USER` makes new ones.")
    } else {
        out.line("Recovery codes of the backup are void, because the old host may have accepted some since: `jumpctl mfa recovery-codes USER` makes new ones.")
    }
}

/// A clock that is behind the backup would leave codes good that were used before it.
fn not_before(made_ms: i64, now: Timestamp) -> Result<(), Error> {
    if now.as_millisecond() >= made_ms {
        return Ok(());
    }
    let made = Timestamp::from_millisecond(made_ms)
        .map_or_else(|_| "a time that cannot be".to_owned(), |t| t.to_string());
    Err(Error::failed(format!(
        "the backup was made at {made}, and the clock of this host shows {now}, so codes that were used could be good again; set the clock first"
    )))
}

fn read(file: &Path, keys: &Path) -> Result<Backup, Error> {
    let text = fs::read_to_string(keys)
        .map(Zeroizing::new)
        .map_err(|e| Error::file("read", keys, e))?;
    let identities = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            // Not what stands there: it may be half a key.
            line.parse::<Identity>().map_err(|e| {
                Error::failed(format!(
                    "{} holds something that is no age identity ({e}); age-keygen writes such files",
                    keys.display()
                ))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let unreadable = |e: &dyn std::fmt::Display| {
        Error::failed(format!("cannot decrypt {}: {e}", file.display()))
    };
    let source = File::open(file).map_err(|e| Error::file("open", file, e))?;
    let decryptor = Decryptor::new(source).map_err(|e| unreadable(&decryption(&e)))?;
    let stream = decryptor
        .decrypt(identities.iter().map(|identity| identity as _))
        .map_err(|e| unreadable(&decryption(&e)))?;
    let mut plain = Zeroizing::new(Vec::with_capacity(1 << 20));
    stream
        .take(MOST)
        .read_to_end(&mut plain)
        .map_err(|e| unreadable(&e))?;
    let backup: Backup = serde_json::from_slice(&plain).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        Error::failed(format!(
            "{} is no backup of this release (line {line}, column {column})",
            file.display()
        ))
    })?;
    if backup.format != FORMAT {
        return Err(Error::failed(format!(
            "{} is a backup of another release (format {})",
            file.display(),
            backup.format
        )));
    }
    Ok(backup)
}

/// In words of our own: those of the library are looked up in files that need not be there, and panic without.
fn decryption(e: &DecryptError) -> &'static str {
    match e {
        DecryptError::NoMatchingKeys => "it is encrypted to none of the keys given with --identity",
        DecryptError::UnknownFormat => "it is of a later format of age",
        DecryptError::InvalidHeader | DecryptError::InvalidMac => "it is no age file, or damaged",
        DecryptError::Io(_) => "it is no age file, or cut off",
        _ => "it cannot be decrypted with the keys given with --identity",
    }
}

/// Puts the backup's policy where it is asked for, or in place of one that serves nobody; where it is then.
fn put_policy(host: &dyn Host, text: &str, to: Option<&Path>) -> Result<Option<PathBuf>, Error> {
    if let Some(path) = to {
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
        written.map_err(|e| Error::file("create", path, e))?;
        return Ok(Some(path.to_owned()));
    }
    let path = host.path(paths::POLICY);
    let now = fs::read(&path).map_err(|e| Error::file("read", &path, e))?;
    if now == text.as_bytes() {
        return Ok(Some(path));
    }
    let serves_nobody = policy_file::load(&path)
        .is_ok_and(|policy| policy.users().next().is_none() && policy.rules().next().is_none());
    if !serves_nobody {
        return Ok(None);
    }
    // jumpd applies it as it does every save, or says why not.
    setup::replace_file(host, &path, text.as_bytes())?;
    Ok(Some(path))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_the_backup_is_to_be_set_first() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for (made_ms, good) in [
            (now.as_millisecond(), true),
            (now.as_millisecond() - 1, true),
            (now.as_millisecond() + 1, false),
            (i64::MAX, false),
        ] {
            assert_eq!(not_before(made_ms, now).is_ok(), good, "{made_ms}");
        }
    }

    #[test]
    fn a_backup_opens_with_its_recipients_key_alone_and_every_error_is_a_sentence() {
        let room = tempfile::tempdir().unwrap();
        let (file, key) = (room.path().join("backup.age"), room.path().join("key"));
        let own = Identity::generate();
        let put = |identity: &Identity| {
            use age::secrecy::ExposeSecret as _;
            fs::write(
                &key,
                format!("# a key\n{}\n", identity.to_string().expose_secret()),
            )
            .unwrap();
        };
        let plain = br#"{"format":1,"made_ms":1,"host":"h","policy":"p","records":[]}"#;
        write(&file, &[own.to_public()], plain).unwrap();
        assert!(
            write(&file, &[own.to_public()], plain).is_err(),
            "never overwritten"
        );
        put(&own);
        assert_eq!(read(&file, &key).unwrap().policy, "p");
        put(&Identity::generate());
        let said = read(&file, &key).err().unwrap().to_string();
        assert!(said.contains("encrypted to none of the keys"), "{said}");
        put(&own);
        let whole = fs::read(&file).unwrap();
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).unwrap();
            let said = read(&file, &key).err().unwrap().to_string();
            assert!(said.contains("backup.age"), "{length}: {said}");
        }
        fs::write(&key, "no key").unwrap();
        let said = read(&file, &key).err().unwrap().to_string();
        assert!(
            said.contains("no age identity") && !said.contains("no key"),
            "{said}"
        );
        assert!(recipient("age1x").is_err());
    }
}
