//! What ssh may ask, to its last byte.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use jump_ca::agent::{Answer, Request};
use jump_ca::{Login, PrivateKey, PublicKey, Terms, TermsError};
use proptest::prelude::*;

const CERTIFICATE: &[u8] = b"a certificate";

fn string(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&length[..], text].concat()
}

fn request(method: &[u8], rest: &[u8]) -> Vec<u8> {
    [
        string(&[7; 32]),
        vec![50],
        string(b"admin"),
        string(b"ssh-connection"),
        string(method),
        vec![1],
        string(b"ssh-ed25519-cert-v01@openssh.com"),
        string(CERTIFICATE),
        rest.to_vec(),
    ]
    .concat()
}

fn plain() -> Vec<u8> {
    request(b"publickey", b"")
}

fn bound() -> Vec<u8> {
    request(b"publickey-hostbound-v00@openssh.com", &string(b"host key"))
}

fn is_asked_for(data: &[u8]) -> bool {
    let login = Login {
        name: "admin",
        certificate: CERTIFICATE,
    };
    login.is_asked_for(data)
}

#[test]
fn a_login_is_signed_and_nothing_cut_off_or_longer() {
    for whole in [plain(), bound()] {
        assert!(is_asked_for(&whole));
        for length in 0..whole.len() {
            assert!(!is_asked_for(&whole[..length]), "{length}");
        }
        assert!(!is_asked_for(&[&whole[..], &[0]].concat()));
    }
    // Without a host key, or with one where none belongs.
    assert!(!is_asked_for(&request(
        b"publickey-hostbound-v00@openssh.com",
        b""
    )));
    assert!(!is_asked_for(&request(
        b"publickey-hostbound-v00@openssh.com",
        &string(b"")
    )));
    assert!(!is_asked_for(&request(b"publickey", &string(b"host key"))));
    assert!(!is_asked_for(&request(b"hostbased", b"")));
}

#[test]
fn every_byte_but_those_of_session_and_host_key_counts() {
    for (whole, free) in [(plain(), 4..36), (bound(), 4..36)] {
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let host_key = whole.len() > plain().len() + 30 && at >= whole.len() - 8;
            assert_eq!(
                is_asked_for(&changed),
                free.contains(&at) || host_key,
                "byte {at}"
            );
        }
    }
}

#[test]
fn a_session_id_has_the_length_of_a_hash() {
    for (length, good) in [(0, false), (19, false), (20, true), (64, true), (65, false)] {
        let data = [string(&vec![7; length]), plain()[36..].to_vec()].concat();
        assert_eq!(is_asked_for(&data), good, "{length}");
    }
}

#[test]
fn a_message_is_read_whole_or_not_at_all() {
    let sign = [&[13][..], &string(b"key"), &string(b"data"), &[0; 4]].concat();
    let read = Request::read(&sign);
    assert_eq!(
        read,
        Request::Sign {
            key: b"key",
            data: b"data"
        }
    );
    for length in 0..sign.len() {
        assert_eq!(Request::read(&sign[..length]), Request::Other, "{length}");
    }
    let mut flags = sign.clone();
    *flags.last_mut().unwrap() = 2;
    assert_eq!(Request::read(&flags), Request::Other);
    assert_eq!(Request::read(&[&sign[..], &[0]].concat()), Request::Other);
    assert_eq!(Request::read(&[11]), Request::Identities);
    assert_eq!(Request::read(&[11, 0]), Request::Other);
    let endless = [&[13][..], &[0xff; 4], b"x"].concat();
    assert_eq!(Request::read(&endless), Request::Other);
}

#[test]
fn answers_are_as_the_protocol_has_them() {
    assert_eq!(Answer::Failure.to_message().unwrap(), [0, 0, 0, 1, 5]);
    let one = Answer::Identities(Some((b"k", "c"))).to_message().unwrap();
    assert_eq!(
        one,
        [
            0, 0, 0, 15, 12, 0, 0, 0, 1, 0, 0, 0, 1, b'k', 0, 0, 0, 1, b'c'
        ]
    );
    let signature = Answer::Signature(b"s").to_message().unwrap();
    assert_eq!(signature, [0, 0, 0, 6, 14, 0, 0, 0, 1, b's']);
}

#[test]
fn no_certificate_says_more_than_is_meant() {
    let key = PrivateKey::from_seed(&[1; 32]);
    let sources = ["192.0.2.1/32".parse().unwrap()];
    let terms = Terms {
        key_id: "id",
        principal: "admin",
        valid_after: 1,
        valid_before: 2,
        sources: &sources,
        nonce: [0; 32],
    };
    let made = |terms: Terms<'_>| terms.certify(&key, &key.public()).map(|_| ());
    assert_eq!(made(terms.clone()), Ok(()));
    let nobody = Terms {
        principal: "",
        ..terms.clone()
    };
    assert_eq!(made(nobody), Err(TermsError::NoPrincipal));
    let everywhere = Terms {
        sources: &[],
        ..terms.clone()
    };
    assert_eq!(made(everywhere), Err(TermsError::NoSource));
    let never = Terms {
        valid_before: 1,
        ..terms
    };
    assert_eq!(made(never), Err(TermsError::NeverValid));
}

#[test]
fn a_key_s_line_is_read_in_one_form_only() {
    let public = PrivateKey::from_seed(&[1; 32]).public();
    let line = public.to_string();
    for bad in [
        "",
        "ssh-ed25519",
        &format!("{line} comment"),
        &format!(" {line}"),
        &line.replace("ssh-ed25519 ", "ssh-rsa "),
        &line[..line.len() - 4],
    ] {
        assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
    }
    assert_eq!(
        format!("{:?}", PrivateKey::from_seed(&[1; 32])),
        "PrivateKey"
    );
}

proptest! {
    #[test]
    fn whatever_comes_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _read = Request::read(&bytes);
        prop_assert!(!is_asked_for(&bytes));
    }
}
