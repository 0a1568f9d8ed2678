//! Login keys as the policy lists them: one OpenSSH public key line each, without options.
//!
//! sshd gets these lines through `AuthorizedKeysCommand`, where an option or a
//! second line would be obeyed (`command=`, `permitopen=`, sshd(8) AUTHORIZED_KEYS
//! FILE FORMAT). So a line is taken apart and put together again, and nothing
//! but type, key and comment passes.

use crate::diagnostics::{is_format_character, quoted};
use data_encoding::{BASE64, BASE64_NOPAD};
use sha2::{Digest, Sha256};

/// The shortest RSA modulus taken, in bits.
const RSA_BITS: usize = 2048;

/// Key types taken, as in the first field of the line (RFC 4253 6.6, RFC 5656, RFC 8709, OpenSSH PROTOCOL.u2f).
const ALGORITHMS: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// A checked public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: &'static str,
    line: String,
    fingerprint: String,
}

/// Why a line is not a key: what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyError {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

fn refuse(message: impl Into<String>, help: &str) -> KeyError {
    KeyError {
        message: message.into(),
        help: (!help.is_empty()).then(|| help.to_owned()),
    }
}

impl PublicKey {
    /// The key type, e.g. `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The whole line: type, base64, comment. No options, no control character.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Type and base64, without the comment.
    #[must_use]
    pub fn bare(&self) -> String {
        let fields = self.line.split(' ').take(2);
        fields.collect::<Vec<_>>().join(" ")
    }

    /// `SHA256:` and the unpadded base64 of the digest, as `ssh-keygen -l` and sshd's log print it.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether signing takes a touch of a token (`sk-*`, OpenSSH PROTOCOL.u2f).
    #[must_use]
    pub fn is_security_key(&self) -> bool {
        self.algorithm.starts_with("sk-")
    }

    /// Takes a line apart and checks each part.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        if text
            .chars()
            .any(|c| c.is_control() || is_format_character(c))
        {
            return Err(refuse(
                "a key must be one line without control characters",
                "paste the one line of the .pub file",
            ));
        }
        let mut fields = text.split_ascii_whitespace();
        let kind = fields.next().unwrap_or_default();
        let Some(algorithm) = ALGORITHMS.iter().copied().find(|known| *known == kind) else {
            return Err(unknown_type(kind, text));
        };
        let Some(encoded) = fields.next() else {
            return Err(refuse(
                format!("nothing follows {}", quoted(kind)),
                "paste the whole line of the .pub file",
            ));
        };
        let blob = BASE64.decode(encoded.as_bytes()).map_err(|_| {
            refuse(
                "the key is not valid base64",
                "part of the line is missing or changed; paste it again",
            )
        })?;
        check_blob(algorithm, &blob)?;
        let comment: Vec<&str> = fields.collect();
        let mut line = format!("{algorithm} {encoded}");
        if !comment.is_empty() {
            line.push(' ');
            line.push_str(&comment.join(" "));
        }
        Ok(Self {
            algorithm,
            line,
            fingerprint: format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(&blob))),
        })
    }
}

fn unknown_type(kind: &str, text: &str) -> KeyError {
    if kind.is_empty() {
        return refuse("the key is empty", "paste the one line of the .pub file");
    }
    if kind.ends_with("-cert-v01@openssh.com") {
        return refuse(
            "this is a certificate, not a key",
            "list the public key it was made for",
        );
    }
    if text.contains("PRIVATE KEY") {
        return refuse(
            "this is a private key",
            "list the .pub line, and replace the private key: it has been seen",
        );
    }
    if text
        .split_ascii_whitespace()
        .skip(1)
        .any(|field| ALGORITHMS.contains(&field))
    {
        return refuse(
            format!("key options such as {} are not taken", quoted(kind)),
            "the rules of this file say what a key may do; remove everything before the key type",
        );
    }
    refuse(
        format!("{} is not a key type that is taken", quoted(kind)),
        &format!("taken are {}", ALGORITHMS.join(", ")),
    )
}

/// Reads the fields of a key blob (RFC 4251 5: a length in four bytes, then as many bytes).
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let field = rest.get(..length)?;
        self.0 = rest.get(length..)?;
        Some(field)
    }
}

fn check_blob(algorithm: &str, blob: &[u8]) -> Result<(), KeyError> {
    let broken = || {
        refuse(
            format!("this is not a whole {algorithm} key"),
            "part of the line is missing or changed; paste it again",
        )
    };
    let mut fields = Fields(blob);
    let named = fields.next().ok_or_else(broken)?;
    if named != algorithm.as_bytes() {
        return Err(refuse(
            format!(
                "the line says {algorithm}, the key in it says {}",
                quoted(&String::from_utf8_lossy(named))
            ),
            "paste the line again",
        ));
    }
    let well_formed = match algorithm {
        "ssh-ed25519" => fields.next().is_some_and(|key| key.len() == 32),
        "sk-ssh-ed25519@openssh.com" => {
            fields.next().is_some_and(|key| key.len() == 32) && application(&mut fields)
        }
        "ecdsa-sha2-nistp256" => point(&mut fields, "nistp256", 32),
        "ecdsa-sha2-nistp384" => point(&mut fields, "nistp384", 48),
        "ecdsa-sha2-nistp521" => point(&mut fields, "nistp521", 66),
        "sk-ecdsa-sha2-nistp256@openssh.com" => {
            point(&mut fields, "nistp256", 32) && application(&mut fields)
        }
        "ssh-rsa" => {
            let (Some(exponent), Some(modulus)) = (fields.next(), fields.next()) else {
                return Err(broken());
            };
            let bits = bit_length(modulus);
            if bits < RSA_BITS {
                return Err(refuse(
                    format!("an RSA key of {bits} bits is too short"),
                    "make a new key: ssh-keygen -t ed25519",
                ));
            }
            bit_length(exponent) > 1
        }
        _ => false,
    };
    if well_formed && fields.0.is_empty() {
        Ok(())
    } else {
        Err(broken())
    }
}

/// An uncompressed point of the named curve (RFC 5656 3.1).
fn point(fields: &mut Fields<'_>, curve: &str, size: usize) -> bool {
    fields.next() == Some(curve.as_bytes())
        && fields
            .next()
            .is_some_and(|point| point.len() == 1 + 2 * size && point.first() == Some(&4))
}

/// The application of a security key, e.g. `ssh:`.
fn application(fields: &mut Fields<'_>) -> bool {
    fields.next().is_some_and(|name| !name.is_empty())
}

/// Bits of a non-negative mpint (RFC 4251 5).
fn bit_length(mpint: &[u8]) -> usize {
    let digits = mpint
        .iter()
        .position(|byte| *byte != 0)
        .and_then(|first| mpint.get(first..))
        .unwrap_or_default();
    match digits.first() {
        Some(first) => digits.len() * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZxmJ9zgA9P1sGyBTZ1V9zTB6HnB0PRL5b3CyM3Q5D4";

    fn blob(fields: &[&[u8]]) -> String {
        let mut out = Vec::new();
        for field in fields {
            out.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            out.extend(*field);
        }
        BASE64.encode(&out)
    }

    fn message(line: &str) -> String {
        PublicKey::parse(line).unwrap_err().message
    }

    #[test]
    fn a_key_keeps_type_key_and_comment() {
        let key = PublicKey::parse(&format!("  {ED25519}   alice@laptop  old ")).unwrap();
        assert_eq!(key.line(), format!("{ED25519} alice@laptop old"));
        assert_eq!(key.algorithm(), "ssh-ed25519");
        assert!(!key.is_security_key());
        assert!(key.fingerprint().starts_with("SHA256:"));
    }

    #[test]
    fn every_known_type_is_taken_whole() {
        let point = |size: usize| {
            let mut point = vec![7; 1 + 2 * size];
            point[0] = 4;
            point
        };
        let rsa = {
            let mut modulus = vec![0xff; 257];
            modulus[0] = 0;
            modulus
        };
        let lines: Vec<(&str, Vec<Vec<u8>>)> = vec![
            ("ssh-ed25519", vec![vec![1; 32]]),
            ("ecdsa-sha2-nistp256", vec![b"nistp256".to_vec(), point(32)]),
            ("ecdsa-sha2-nistp384", vec![b"nistp384".to_vec(), point(48)]),
            ("ecdsa-sha2-nistp521", vec![b"nistp521".to_vec(), point(66)]),
            ("ssh-rsa", vec![vec![1, 0, 1], rsa]),
            (
                "sk-ssh-ed25519@openssh.com",
                vec![vec![1; 32], b"ssh:".to_vec()],
            ),
            (
                "sk-ecdsa-sha2-nistp256@openssh.com",
                vec![b"nistp256".to_vec(), point(32), b"ssh:".to_vec()],
            ),
        ];
        for (kind, fields) in lines {
            let mut all: Vec<&[u8]> = vec![kind.as_bytes()];
            all.extend(fields.iter().map(Vec::as_slice));
            let key = PublicKey::parse(&format!("{kind} {}", blob(&all))).unwrap();
            assert_eq!(key.is_security_key(), kind.starts_with("sk-"));
            // One field short, and one too many.
            let short = blob(&all[..all.len() - 1]);
            assert!(
                PublicKey::parse(&format!("{kind} {short}")).is_err(),
                "{kind}"
            );
            all.push(b"more");
            assert!(
                PublicKey::parse(&format!("{kind} {}", blob(&all))).is_err(),
                "{kind}"
            );
        }
    }

    #[test]
    fn options_certificates_private_keys_and_old_types_are_refused() {
        assert!(message(&format!("command=\"sh\" {ED25519}")).contains("key options"));
        assert!(message(&format!("permitopen=\"*:*\",no-pty {ED25519}")).contains("key options"));
        assert!(message(&format!("from=\"10.0.0.0/8\" {ED25519}")).contains("key options"));
        assert!(message("ssh-ed25519-cert-v01@openssh.com AAAA").contains("certificate"));
        assert!(message("-----BEGIN OPENSSH PRIVATE KEY-----").contains("private key"));
        assert!(message("ssh-dss AAAA").contains("not a key type"));
        assert!(message("").contains("empty"));
    }

    #[test]
    fn nothing_that_would_start_a_second_line_passes() {
        for bad in [
            "\n", "\r", "\0", "\t", "\u{85}", "\u{2028}", "\u{202e}", "\u{1b}",
        ] {
            assert!(
                message(&format!("{ED25519} a{bad}{ED25519}")).contains("control"),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_key_of_another_type_than_its_line_says_is_refused() {
        let ecdsa = format!("ecdsa-sha2-nistp256 {}", &ED25519["ssh-ed25519 ".len()..]);
        assert!(message(&ecdsa).contains("the key in it says"));
        assert!(
            message(&ED25519[..40]).contains("base64") || message(&ED25519[..40]).contains("whole")
        );
    }

    #[test]
    fn short_rsa_keys_are_refused_with_their_size() {
        let line = format!("ssh-rsa {}", blob(&[b"ssh-rsa", &[3], &[0x7f; 128]]));
        assert!(message(&line).contains("1023 bits"));
    }
}
