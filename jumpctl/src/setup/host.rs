//! What setup needs of the host besides its files: sshd's own opinion, systemd, the clock.
//!
//! A trait, so that the whole of setup runs in tests on a directory.

use crate::error::Error;
use jump_proto::Secret;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// `sshd -T`: lower-case keyword to its values, in the order printed.
pub type Effective = BTreeMap<String, Vec<String>>;

/// The machine that setup works on.
pub trait Host {
    /// Where an absolute path of the host is.
    fn path(&self, absolute: &str) -> PathBuf;
    /// `sshd -t`; the error is what sshd said.
    ///
    /// # Errors
    /// What sshd said.
    fn sshd_test(&self) -> Result<(), String>;
    /// `sshd -T -C` for a user.
    ///
    /// # Errors
    /// What sshd said.
    fn sshd_effective(&self, user: &str) -> Result<Effective, String>;
    /// `systemctl` with these arguments.
    ///
    /// # Errors
    /// What systemctl said.
    fn systemctl(&self, arguments: &[&str]) -> Result<(), String>;
    /// `nft` with these arguments and this input; what it printed.
    ///
    /// # Errors
    /// What nft said.
    fn nft(&self, arguments: &[&str], input: &str) -> Result<String, String>;
    /// Seals a text for this host under a name, into a new file (systemd-creds(1)).
    ///
    /// # Errors
    /// What systemd-creds said.
    fn seal(&self, name: &str, text: &Secret, file: &Path) -> Result<(), String>;
    /// Opens what [`Host::seal`] wrote.
    ///
    /// # Errors
    /// What systemd-creds said.
    fn unseal(&self, name: &str, file: &Path) -> Result<Secret, String>;
    /// Whether systemd runs this host.
    fn has_systemd(&self) -> bool;
    /// A name for now, fit for a file name.
    fn stamp(&self) -> String;
}

/// This machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThisHost;

const NFT: &str = "/usr/sbin/nft";
const CREDS: &str = "systemd-creds";
const SSHD: &str = "/usr/sbin/sshd";
const MISSING_DIRECTORY: &str = "Missing privilege separation directory: ";

impl Host for ThisHost {
    fn path(&self, absolute: &str) -> PathBuf {
        PathBuf::from(absolute)
    }

    fn sshd_test(&self) -> Result<(), String> {
        sshd(&["-t"]).map(drop)
    }

    fn sshd_effective(&self, user: &str) -> Result<Effective, String> {
        let connection = format!("user={user},host=localhost,addr=127.0.0.1");
        let text = sshd(&["-T", "-C", &connection])?;
        Ok(parse_effective(&text))
    }

    fn systemctl(&self, arguments: &[&str]) -> Result<(), String> {
        run("systemctl", arguments).map(drop)
    }

    fn nft(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        if !Path::new(NFT).exists() {
            return Err(format!("{NFT} is not there; install the package nftables"));
        }
        run_with(NFT, arguments, input)
    }

    fn seal(&self, name: &str, text: &Secret, file: &Path) -> Result<(), String> {
        let (name, file) = (format!("--name={name}"), file.to_string_lossy());
        let with = |key| {
            // Not bound to what the firmware measured: an update of it must not close the bastion.
            let arguments = ["encrypt", &name, key, "--tpm2-pcrs=", "-", &file];
            run_with(CREDS, &arguments, text.expose()).map(drop)
        };
        // A TPM2 that is there and does not work keeps nobody from sealing with the host's own key.
        with("--with-key=auto").or_else(|said| {
            with("--with-key=host").map_err(|again| format!("{said}; with the host's key: {again}"))
        })
    }

    fn unseal(&self, name: &str, file: &Path) -> Result<Secret, String> {
        let (name, file) = (format!("--name={name}"), file.to_string_lossy());
        run(CREDS, &["decrypt", &name, &file, "-"]).map(Secret::new)
    }

    fn has_systemd(&self) -> bool {
        // sd_booted(3).
        Path::new("/run/systemd/system").is_dir()
    }

    fn stamp(&self) -> String {
        jiff::Timestamp::now()
            .strftime("%Y%m%dT%H%M%SZ")
            .to_string()
    }
}

/// Reads the output of `sshd -T`.
#[must_use]
pub fn parse_effective(text: &str) -> Effective {
    let mut settings = Effective::new();
    for line in text.lines() {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        settings
            .entry(keyword.to_ascii_lowercase())
            .or_default()
            .push(value.to_owned());
    }
    settings
}

fn sshd(arguments: &[&str]) -> Result<String, String> {
    match run(SSHD, arguments) {
        // With socket activation the directory is only there while a
        // connection is; `sshd -t` fails without it (measured on 9.2p1).
        Err(said) if said.contains(MISSING_DIRECTORY) => {
            let directory = said
                .lines()
                .find_map(|line| line.split(MISSING_DIRECTORY).nth(1))
                .unwrap_or("/run/sshd")
                .trim();
            fs::create_dir(directory)
                .map_err(|e| Error::file("create", Path::new(directory), e).to_string())?;
            run(SSHD, arguments)
        }
        other => other,
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    run_with(program, arguments, "")
}

fn run_with(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let cannot = |e| format!("cannot run {program}: {e}");
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(if input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    // The programs that are given input read all of it before they print.
    if let Some(mut stdin) = child.stdin.take() {
        use std::io::Write as _;
        // One that ends early says why itself.
        let _closed = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(cannot)?;
    if output.status.success() {
        // Without a copy: it may be a secret.
        String::from_utf8(output.stdout).map_err(|_| format!("{program} printed no text"))
    } else {
        Err(failure(program, arguments, &output))
    }
}

fn failure(program: &str, arguments: &[&str], output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    if said.is_empty() {
        format!(
            "`{program} {}` failed: {}",
            arguments.join(" "),
            output.status
        )
    } else {
        said.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_may_come_several_times_or_without_a_value() {
        let settings = parse_effective("port 22\nAllowGroups a\nallowgroups b\nbanner\n");
        assert_eq!(settings["allowgroups"], ["a", "b"]);
        assert_eq!(settings["banner"], [""]);
    }
}
