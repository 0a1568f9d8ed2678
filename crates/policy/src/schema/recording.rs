//! `[recording]`: to whom recordings are encrypted, what they leave of the disk, and how long they are kept.

use super::{Kind, Reader};
use crate::diagnostics::{Problems, quoted};
use crate::document::{Node, Section, string, strings, table};
use crate::model::{Effect, Keep, Model, RecordingSettings, Span};
use crate::values::duration_up_to;
use std::time::Duration;

/// The smallest size that is one of a disk or of its reserve.
const SMALLEST: u64 = 16 << 20;
/// The longest that a recording can be kept for, other than for ever.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);
/// Units of a size, and the letters by which people mean them.
const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
/// Grace is for saying good-bye; a longer one fills what is left of the disk.
const LONGEST_GRACE: Duration = Duration::from_secs(3600);

pub(super) fn settings(reader: &mut Reader, node: Option<Node<'_>>) -> RecordingSettings {
    let mut settings = RecordingSettings::default();
    let Some((keys, span)) =
        node.and_then(|node| Some((table(node, &mut reader.problems)?, node.span())))
    else {
        return settings;
    };
    let section = Section::new(keys, span, "[recording]");
    let groups = section.optional("break_glass").map(|node| {
        let groups = strings(node, "break_glass", &mut reader.problems);
        groups.unwrap_or_default()
    });
    for (group, span) in groups.unwrap_or_default() {
        reader.refer(Kind::AnyGroup, group, &span);
        settings.break_glass.insert(group.to_owned());
    }
    let problems = &mut reader.problems;
    if let Some(node) = section.optional("recipients") {
        for (text, span) in strings(node, "recipients", problems).unwrap_or_default() {
            if recipient(text, &span, section.span(), problems) {
                settings.recipients.push(text.to_owned());
            }
        }
    }
    if let Some(node) = section.optional("reserve") {
        settings.reserve = size(node, problems).unwrap_or(settings.reserve);
    }
    if let Some(node) = section.optional("grace") {
        let grace = duration_up_to(node, Duration::ZERO, LONGEST_GRACE, problems);
        settings.grace = grace.unwrap_or(settings.grace);
    }
    if let Some(node) = section.optional("keep") {
        settings.keep = keep(node, problems);
    }
    if let Some(node) = section.optional("keep_size") {
        settings.keep_size = size(node, problems);
    }
    section.finish(problems);
    settings
}

/// Whether a text is an age X25519 recipient. A secret key is not shown where the fault is told.
fn recipient(text: &str, span: &Span, table: &Span, problems: &mut Problems) -> bool {
    if text.parse::<age::x25519::Recipient>().is_ok() {
        return true;
    }
    const MAKE: &str = "make a key with `age-keygen -o auditor.key` on the auditor's machine, and put the line that begins with age1 here";
    if text.to_ascii_uppercase().contains("AGE-SECRET-KEY-") {
        problems.add_help(
            &(table.start..table.start),
            "an entry of `recipients` is a secret key: whoever has it reads every recording",
            "it has been on the bastion, so do not use it any more: make another with `age-keygen` on the auditor's machine, and put the line that begins with age1 here",
        );
    } else if text.starts_with("ssh-") {
        let message = format!("{} is an SSH key, and no age recipient", quoted(text));
        problems.add_help(span, message, MAKE);
    } else if text.starts_with("age1") {
        problems.add_help(
            span,
            format!("{} is no age recipient of the kind X25519", quoted(text)),
            "a letter is wrong or missing, or it is of a plugin or of another kind; `age-keygen -y auditor.key` prints what belongs here",
        );
    } else {
        let message = format!("{} is no age recipient", quoted(text));
        problems.add_help(span, message, MAKE);
    }
    false
}

fn keep(node: Node<'_>, problems: &mut Problems) -> Option<Keep> {
    if string(node, problems)? == "forever" {
        return Some(Keep::Forever);
    }
    duration_up_to(node, DAY, LONGEST, problems).map(Keep::For)
}

/// `512MiB`, `50GiB`.
fn size(node: Node<'_>, problems: &mut Problems) -> Option<u64> {
    let text = string(node, problems)?;
    let bytes = bytes(text);
    match bytes {
        Ok(bytes) if bytes >= SMALLEST => return Some(bytes),
        Ok(_) => problems.add(
            &node.span(),
            format!("{} is too small; at least 16MiB is needed", quoted(text)),
        ),
        Err(help) => {
            problems.add_help(&node.span(), format!("{} is no size", quoted(text)), help);
        }
    }
    None
}

/// Bytes of a size as policy.toml writes it, or what to write instead.
fn bytes(text: &str) -> Result<u64, String> {
    const FORM: &str = "write it as \"512MiB\" or \"50GiB\"";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let amount: u64 = number.parse().map_err(|_| FORM.to_owned())?;
    if let Some((_, shift)) = UNITS.iter().find(|(known, _)| *known == unit) {
        let bytes = amount.checked_mul(1_u64 << shift);
        return bytes.ok_or_else(|| "no disk is as large as that".to_owned());
    }
    // "50G", "50 GB", "50gib": the unit that was meant is plain.
    let letter = unit.trim().to_ascii_uppercase();
    let meant = UNITS
        .iter()
        .find(|(known, _)| letter.chars().next() == known.chars().next());
    Err(match meant {
        Some((known, _)) => format!("write \"{number}{known}\""),
        None => FORM.to_owned(),
    })
}

/// Recordings that nothing ever deletes fill the disk, and then nobody is recorded any more.
pub(super) fn remark(model: &Model, remarks: &mut Problems) {
    let settings = &model.recording;
    if settings.keep.is_some() || settings.keep_size.is_some() {
        return;
    }
    let recording = model
        .rules
        .iter()
        .find(|rule| rule.effect == Effect::Allow && rule.record);
    if let Some(rule) = recording {
        remarks.add_help(
            &rule.span,
            format!(
                "rule {} records, and nothing says how long recordings are kept: they are kept until the disk has no room for more, and then its hops are refused",
                quoted(&rule.name)
            ),
            "add keep = \"365d\" or keep_size = \"50GiB\" to [recording]; keep = \"forever\" if that is meant",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_a_binary_unit() {
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("50GiB"), Ok(50 << 30));
        assert_eq!(bytes("0KiB"), Ok(0));
        assert_eq!(bytes("2TiB"), Ok(2 << 40));
        for (written, meant) in [
            ("50G", "50GiB"),
            ("50 GB", "50GiB"),
            ("512mib", "512MiB"),
            ("100k", "100KiB"),
        ] {
            assert_eq!(bytes(written), Err(format!("write \"{meant}\"")));
        }
        for bad in ["", "MiB", "-1MiB", "1.5GiB", "512", "512 bytes", "٣MiB"] {
            assert!(bytes(bad).unwrap_err().contains("\"512MiB\""), "{bad}");
        }
        assert!(bytes("99999999TiB").unwrap_err().contains("disk"));
    }
}
