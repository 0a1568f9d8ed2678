//! Texts made from the catalogue: for `journalctl -x` and for `docs/events.md`.

use crate::kind::{Kind, Severity};
use jump_proto::Reason;
use std::fmt::Write;

/// Columns of the catalogue's texts.
const WIDTH: usize = 90;

/// Each word of `MESSAGE`: its journal fields and what it means.
const WORDS: &[(&str, &str, &str)] = &[
    ("outcome", "JUMP_OUTCOME", "`success` or `failure`"),
    (
        "reason",
        "JUMP_REASON",
        "why, in one word of the list below",
    ),
    ("user", "JUMP_USER", "login name"),
    ("uid", "JUMP_UID", "user id"),
    (
        "session",
        "JUMP_SESSION",
        "one SSH connection: 32 hexadecimal digits, the same in all its events",
    ),
    (
        "src",
        "JUMP_SRC_IP, JUMP_SRC_PORT",
        "where the user comes from",
    ),
    (
        "dst_name",
        "JUMP_DST_NAME",
        "the destination as asked for, or the policy's name for it",
    ),
    (
        "dst",
        "JUMP_DST_IP, JUMP_DST_PORT",
        "the address and port of the destination",
    ),
    ("rule", "JUMP_RULE", "the rule that decided"),
    (
        "policy",
        "JUMP_POLICY",
        "hash of the policy generation that decided",
    ),
    (
        "auth_method",
        "JUMP_AUTH_METHOD",
        "how sshd authenticated the user before the second factor",
    ),
    (
        "key_fp",
        "JUMP_KEY_FP",
        "SHA-256 fingerprint of the login key",
    ),
    (
        "mfa",
        "JUMP_MFA",
        "how the second factor was given: `totp`, `recovery`, `security-key`, `remembered`, `none`",
    ),
    (
        "bytes_sent",
        "JUMP_BYTES_SENT",
        "bytes from the jump server to the destination",
    ),
    (
        "bytes_received",
        "JUMP_BYTES_RECEIVED",
        "bytes from the destination to the jump server",
    ),
    (
        "duration_ms",
        "JUMP_DURATION_MS",
        "for how long, in milliseconds",
    ),
    (
        "sandbox",
        "JUMP_SANDBOX",
        "the layers of the session's confinement in force",
    ),
    (
        "via",
        "JUMP_VIA",
        "`forward` (`-J`, `-W`, `-L`, `-D`) or `shell`",
    ),
    (
        "command",
        "JUMP_COMMAND",
        "name of the program asked for, if it is a well-known one, otherwise `other`; never its arguments",
    ),
    (
        "hop",
        "JUMP_HOP",
        "the hop of the restricted shell, and its recording if it has one",
    ),
    ("login", "JUMP_LOGIN", "the login name at the target"),
    (
        "recorded",
        "JUMP_RECORDED",
        "`true` or `false`: whether it exists only while it is recorded",
    ),
    (
        "agent",
        "JUMP_AGENT",
        "what logs in at the target: `ca`, the jump server's user CA, or `forwarded`, the user's own agent",
    ),
    (
        "status",
        "JUMP_STATUS",
        "exit status of the hop's ssh: the remote command's, or 255",
    ),
    (
        "recording",
        "JUMP_RECORDING",
        "the recording, named as its hop",
    ),
    (
        "sequence",
        "JUMP_SEQUENCE",
        "how many frames the recording has so far, the trailer counted as one",
    ),
    (
        "head",
        "JUMP_HEAD",
        "SHA-256 that the last of these frames is chained to",
    ),
    ("size", "JUMP_SIZE", "bytes of the recording's file"),
    ("lost", "JUMP_LOST", "how many events could not be written"),
    ("detail", "JUMP_DETAIL", "more for the admin"),
    ("seq", "JUMP_SEQ", "number of the event since boot"),
    (
        "prev",
        "JUMP_PREV",
        "the first 32 digits of the SHA-256 of the MESSAGE before",
    ),
];

/// The journal's message catalogue (systemd.io/CATALOG), for `/usr/lib/systemd/catalog/jump.catalog`.
#[must_use]
pub fn catalog() -> String {
    let mut out = String::from(
        "# Message catalogue of the jump server's audit events, shown by journalctl -x.\n\
         # Written by: cargo run -p jump-audit --example catalog > packaging/jump.catalog\n",
    );
    for kind in Kind::ALL {
        let text = wrap(&kind.text().replace('`', ""));
        // Writing to a String does not fail.
        let _ = write!(
            out,
            "\n-- {}\nSubject: {} (@JUMP_EVENT@)\nDefined-By: jump-server\n\
             Documentation: man:jumpctl(8)\n\n{text}\n",
            kind.message_id(),
            kind.subject(),
        );
    }
    out
}

/// The reference of all events, for `docs/events.md`.
#[must_use]
pub fn events_md() -> String {
    let mut out = String::from(EVENTS_HEAD);
    out.push_str("| word in MESSAGE | journal field | what |\n|---|---|---|\n");
    for (word, field, what) in WORDS {
        let fields = field.replace(", ", "`, `");
        let _ = writeln!(out, "| `{word}` | `{fields}` | {what} |");
    }
    out.push_str("\n## Kinds\n\n| event | PRIORITY | outcome | MESSAGE_ID |\n|---|---|---|---|\n");
    for kind in Kind::ALL {
        let _ = writeln!(
            out,
            "| [`{kind}`](#{}) | {} {} | {} | `{}` |",
            kind.as_str().replace('.', ""),
            kind.severity().priority(),
            severity_word(kind.severity()),
            kind.outcome().as_str(),
            kind.message_id(),
        );
    }
    for kind in Kind::ALL {
        let fields: Vec<String> = kind.fields().map(|f| format!("`{f}`")).collect();
        let _ = write!(
            out,
            "\n### {kind}\n\n{}\n\nFields: {}.\n",
            wrap(kind.text()),
            fields.join(" "),
        );
    }
    out.push_str("\n## Reasons\n\n");
    for reason in Reason::ALL {
        let _ = writeln!(out, "- `{reason}`");
    }
    out
}

const EVENTS_HEAD: &str = "\
# Audit events

<!-- Written by: cargo run -p jump-audit --example events-md > docs/events.md -->

One event is one journal entry of `jumpd.service`, with `SYSLOG_IDENTIFIER=jumpd` and `SYSLOG_FACILITY=10`. `MESSAGE`
is one line of logfmt that alone carries everything: the kind first, then `word=value`, quoted where the value
holds a blank, a quote, `=` or a backslash. A byte that is not printable ASCII is written `\\xNN`, a backslash `\\\\`; a
value longer than 1024 bytes is cut and ends in `[cut]`. The same values stand in fields of the entry.

Anyone on the host can send an entry that looks like one of these. Only those with `_SYSTEMD_UNIT=jumpd.service` and
`_UID` of the user `jumpd` are ours; both fields are journald's own and cannot be forged:

    journalctl -u jumpd -o json
    journalctl -u jumpd JUMP_EVENT=forward.denied JUMP_USER=alice
    journalctl -x MESSAGE_ID=...

No code, secret, key material or typed text is ever in an event. An allowed event is written before the thing is
allowed; if neither journald nor syslog takes it, the thing is refused, the number is used up, and the next event that is
written is preceded by an `audit.failed` that says how many were lost.

PRIORITY: 6 allowed, 5 notable, 4 denied, 2 broken, 1 alert. A second factor given by a recovery code is notable.

## Fields

Each stands where it applies; `outcome`, `seq` and `prev` stand in every event, `seq` and `prev` last.

";

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Allowed => "allowed",
        Severity::Notable => "notable",
        Severity::Denied => "denied",
        Severity::Broken => "broken",
        Severity::Alert => "alert",
    }
}

fn wrap(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut column = 0;
    for word in text.split_ascii_whitespace() {
        if column > 0 && column + 1 + word.len() > WIDTH {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;
    use std::path::Path;

    fn in_tree(path: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    #[test]
    fn the_shipped_catalogue_is_up_to_date() {
        assert!(
            in_tree("packaging/jump.catalog") == catalog(),
            "run: cargo run -p jump-audit --example catalog > packaging/jump.catalog"
        );
    }

    #[test]
    fn the_event_reference_is_up_to_date() {
        assert!(
            in_tree("docs/events.md") == events_md(),
            "run: cargo run -p jump-audit --example events-md > docs/events.md"
        );
    }

    #[test]
    fn every_field_of_every_kind_is_explained() {
        for kind in Kind::ALL {
            for field in kind.fields() {
                assert!(
                    WORDS.iter().any(|(word, ..)| *word == field),
                    "{kind}: {field}"
                );
            }
        }
    }

    #[test]
    fn every_field_that_an_event_can_have_is_explained() {
        let event = Event::new(Kind::ForwardClosed)
            .reason(Reason::ClosedByPeer)
            .user("a")
            .uid(1)
            .session(&jump_proto::SessionId::from_bytes([0; 16]))
            .source("10.0.0.1:1".parse().unwrap())
            .destination_name("n")
            .destination("10.0.0.2:2".parse().unwrap())
            .rule("r")
            .policy("p")
            .auth_method("publickey")
            .key_fingerprint("f")
            .mfa("totp")
            .bytes(1, 2)
            .duration_ms(3)
            .sandbox("s")
            .via(jump_proto::Via::Forward)
            .command("scp")
            .detail("d");
        for (name, _) in event.render(1, "0").fields {
            let known = WORDS
                .iter()
                .any(|(_, fields, _)| fields.split(", ").any(|f| f == name));
            assert!(known || name == "JUMP_EVENT", "{name}");
        }
    }
}
