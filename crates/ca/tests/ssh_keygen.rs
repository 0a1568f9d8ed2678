//! OpenSSH itself reads what is made here, and verifies the CA's signature as it does.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use data_encoding::BASE64;
use jump_ca::{PrivateKey, Terms};
use std::process::Command;

fn shown(blob: &[u8]) -> Result<String, String> {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("cert.pub");
    let line = format!("ssh-ed25519-cert-v01@openssh.com {}\n", BASE64.encode(blob));
    std::fs::write(&file, line).unwrap();
    let out = Command::new("ssh-keygen")
        .arg("-L")
        .arg("-f")
        .arg(&file)
        .env("TZ", "UTC")
        .output()
        .unwrap();
    if out.status.success() {
        Ok(String::from_utf8(out.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&out.stderr).into_owned())
    }
}

fn certificate(ca: &PrivateKey) -> Vec<u8> {
    let subject = PrivateKey::from_seed(&[2; 32]).public();
    let terms = Terms {
        key_id: "jump user=alice session=0123 hop=4567",
        principal: "admin",
        valid_after: 1_795_000_000,
        valid_before: 1_795_003_600,
        sources: &[
            "192.0.2.1/32".parse().unwrap(),
            "2001:db8::/64".parse().unwrap(),
        ],
        nonce: [9; 32],
    };
    terms.certify(ca, &subject).unwrap()
}

#[test]
fn openssh_reads_every_term() {
    let ca = PrivateKey::from_seed(&[1; 32]);
    let text = shown(&certificate(&ca)).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for line in [
        "Type: ssh-ed25519-cert-v01@openssh.com user certificate",
        "Key ID: \"jump user=alice session=0123 hop=4567\"",
        "Valid: from 2026-11-18T11:06:40 to 2026-11-18T12:06:40",
        "Principals:",
        "admin",
        "Critical Options:",
        "source-address 192.0.2.1/32,2001:db8::/64",
        "Extensions:",
        "permit-pty",
    ] {
        assert!(lines.contains(&line), "{line} is missing in\n{text}");
    }
    let signing = format!("Signing CA: ED25519 {}", ca.public().fingerprint());
    assert!(text.contains(&signing), "{text}");
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.starts_with("permit-"))
            .count(),
        1
    );
}

#[test]
fn openssh_refuses_it_with_any_byte_changed() {
    let blob = certificate(&PrivateKey::from_seed(&[1; 32]));
    for at in (0..blob.len()).step_by(17) {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        assert!(shown(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn the_ca_s_line_is_a_key_of_openssh_s() {
    let public = PrivateKey::from_seed(&[1; 32]).public();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("ca.pub");
    std::fs::write(&file, format!("{public}\n")).unwrap();
    let out = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains(&public.fingerprint()), "{text}");
    assert_eq!(public.to_string().parse(), Ok(public));
}
