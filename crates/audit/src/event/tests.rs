//! What an event looks like, whatever is put into it.

use super::*;

fn session() -> SessionId {
    SessionId::from_bytes([0xab; 16])
}

fn full() -> Event {
    Event::new(Kind::ForwardClosed)
        .success()
        .reason(Reason::ClosedByPeer)
        .user("alice")
        .uid(70001)
        .session(&session())
        .source("10.0.0.1:5022".parse().unwrap())
        .destination_name("db1.example.internal")
        .destination("[2001:db8:20::7]:5432".parse().unwrap())
        .rule("dba-office")
        .policy("0123456789abcdef")
        .auth_method("publickey")
        .key_fingerprint("SHA256:abc")
        .mfa("totp")
        .bytes(10, 20)
        .duration_ms(30)
        .sandbox("seccomp+landlock7")
        .via(Via::Forward)
        .detail("two words")
}

#[test]
fn the_message_alone_carries_every_field() {
    assert_eq!(
        full().render(7, "00").message,
        "forward.closed outcome=success reason=closed_by_peer user=alice uid=70001 \
         session=abababababababababababababababab src=10.0.0.1:5022 \
         dst_name=db1.example.internal dst=[2001:db8:20::7]:5432 rule=dba-office \
         policy=0123456789abcdef auth_method=publickey key_fp=SHA256:abc mfa=totp \
         bytes_sent=10 bytes_received=20 duration_ms=30 sandbox=seccomp+landlock7 via=forward \
         detail=\"two words\" seq=7 prev=00"
    );
}

#[test]
fn the_fields_are_the_ones_of_the_contract() {
    let rendered = full().render(7, "00");
    let names: Vec<&str> = rendered
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names.join(" "),
        "JUMP_EVENT JUMP_OUTCOME JUMP_REASON JUMP_USER JUMP_UID JUMP_SESSION JUMP_SRC_IP \
         JUMP_SRC_PORT JUMP_DST_NAME JUMP_DST_IP JUMP_DST_PORT JUMP_RULE JUMP_POLICY \
         JUMP_AUTH_METHOD JUMP_KEY_FP JUMP_MFA JUMP_BYTES_SENT JUMP_BYTES_RECEIVED \
         JUMP_DURATION_MS JUMP_SANDBOX JUMP_VIA JUMP_DETAIL JUMP_SEQ JUMP_PREV"
    );
}

#[test]
fn a_mapped_address_is_shown_as_the_ipv4_it_is() {
    let event = Event::new(Kind::ForwardDenied)
        .destination("[::ffff:10.0.3.2]:22".parse().unwrap())
        .source_ip("::ffff:10.0.0.1".parse().unwrap());
    assert_eq!(
        event.render(1, "00").message,
        "forward.denied outcome=failure src=10.0.0.1 dst=10.0.3.2:22 seq=1 prev=00"
    );
}

#[test]
fn a_recovery_code_is_notable() {
    let event = Event::new(Kind::MfaOk);
    assert_eq!(event.clone().mfa("totp").priority(), 6);
    assert_eq!(event.mfa("recovery").priority(), 5);
    assert_eq!(Event::new(Kind::MfaFailed).mfa("recovery").priority(), 4);
    assert_eq!(Event::new(Kind::GuardFailed).priority(), 2);
}

#[test]
fn of_a_command_only_a_known_program_is_kept() {
    for (command, kept) in [
        ("scp -t /tmp/x", "scp"),
        ("/usr/bin/rsync --server .", "rsync"),
        ("123456", "other"),
        ("abcd-efgh-jkmn-pqrs", "other"),
        ("hunter2", "other"),
        ("", "other"),
    ] {
        let message = Event::new(Kind::ShellRefused)
            .command(command)
            .render(1, "0")
            .message;
        assert!(message.contains(&format!(" command={kept} ")), "{message}");
    }
}

#[test]
fn a_field_of_its_own_cannot_pass_for_another() {
    for key in ["user", "seq", "USER", "a b", "a=b", "", "1st", "_x"] {
        let message = Event::new(Kind::AlertRaised)
            .text(key, "v")
            .render(1, "0")
            .message;
        assert!(message.contains(" detail=v "), "{message}");
    }
}

#[test]
fn an_event_is_bounded_whatever_is_put_in() {
    let long = "\u{202e}\"\n".repeat(5000);
    let mut event = full()
        .user(&long)
        .destination_name(&long)
        .rule(&long)
        .policy(&long)
        .auth_method(&long)
        .key_fingerprint(&long)
        .mfa(&long)
        .sandbox(&long);
    for key in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        event = event.text(key, &long);
    }
    let rendered = event.render(u64::MAX, &"f".repeat(32));
    assert!(
        rendered.message.len() < 48 * 1024,
        "{}",
        rendered.message.len()
    );
    assert!(
        rendered
            .message
            .ends_with(&format!(" seq={} prev={}", u64::MAX, "f".repeat(32)))
    );
}
