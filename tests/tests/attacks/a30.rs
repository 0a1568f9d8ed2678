//! A30: text from outside that forges records or steers terminals.

use anyhow::{Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::hops;
use jump_lab::lab::Lab;
use jump_lab::network::BASTION;
use jump_lab::peculiar::OwnSshd;
use jump_lab::process::Output;
use jump_lab::story::wait_for;

/// A client that says any name.
const NAMES: &str = include_str!("a30/names.py");
const NAMES_PATH: &str = "/root/names.py";

/// A second record, a cleared screen, a clipboard (OSC 52), C1, right-to-left text, a separator and half a character.
const HOSTILE: &[(&str, &str)] = &[
    (
        "line feed",
        "x\nsshd[1]: Accepted publickey for root from 10.0.0.1",
    ),
    (
        "carriage return",
        "x\rsession.opened outcome=success user=root",
    ),
    ("escape", "x\u{1b}[2J\u{1b}[31mred"),
    ("clipboard", "x\u{1b}]52;c;cm0gLXJmIC8K\u{7}"),
    ("C1", "x\u{9b}2J\u{90}q"),
    ("right to left", "x\u{202e}evil\u{2066}"),
    ("separator", "x\u{2028}y\u{85}z"),
    ("field", "x outcome=success user=root reason=rule_allow"),
    ("quote", "x\" user=root detail=\""),
];

/// Whether a terminal would act on any byte of it; line ends are the program's own.
fn is_inert(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| (0x20..0x7f).contains(byte) || *byte == b'\n')
}

/// What a target prints: a clipboard, a colour, a cleared screen, C1, right-to-left text, a byte that is no text, and a word to be found.
const PRINTS: &str = r"printf '\033]52;c;cm0gLXJmIC8K\007\033[31mred\033[2J\302\2332J\342\200\256evil\377 live %s\r\n' $((6*7))";
/// The same bytes, up to the byte that is no text.
const PRINTED: &[u8] =
    b"\x1b]52;c;cm0gLXJmIC8K\x07\x1b[31mred\x1b[2J\xc2\x9b2J\xe2\x80\xaeevil\xff";

/// Whether nothing in it but line ends and tabs is for a terminal or a reader to obey.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\n' | '\t' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    })
}

/// A recorded hop whose command and whose output are hostile: what was recorded is all of it, and only `--raw` gives it to a terminal.
fn a_recording_is_harmless(lab: &Lab, mads: &Admin<'_>) -> Result<()> {
    let all: String = HOSTILE.iter().map(|(_, text)| *text).collect();
    mads.seat
        .command("sh")
        .env("WISH", &format!("ssh db1 {PRINTS}; : '{all}"))
        .args([
            "-c",
            r#"exec ssh -S master bastion "$WISH$(printf "\377'")""#,
        ])
        .run()?
        .success()?;
    let sealed = mads.event("recording.sealed")?;
    let name = sealed.get("JUMP_RECORDING");
    let recordings =
        |words: &str| -> Result<Output> { lab.jumpctl(&format!("recordings {words}"))?.success() };
    for words in [
        "list --user mads".to_owned(),
        "list --user mads --json".to_owned(),
        "grep --user mads live.42".to_owned(),
        "grep --user mads live.42 --json".to_owned(),
        format!("export {name} --format cast"),
        format!("export {name} --format html"),
        format!("export {name} --format txt"),
    ] {
        let output = recordings(&words)?;
        let text = std::str::from_utf8(&output.stdout)?;
        ensure!(is_plain(text), "{words}: {text:?}");
        ensure!(
            words.starts_with("list") || text.contains("live 42"),
            "{words}: {text:?}"
        );
    }
    let cast = recordings(&format!("export {name} --format cast"))?.text();
    ensure!(cast.contains(r"\u001b]52;c;cm0gLXJmIC8K\u0007"), "{cast}");
    let played = recordings(&format!("play {name}"))?;
    let text = std::str::from_utf8(&played.stdout)?;
    ensure!(text.contains("live 42"), "{text:?}");
    // Colours and the cursor are what playing is for.
    let drawn = text.replace("\u{1b}[", "").replace(['\r', '\u{1b}'], "");
    ensure!(is_plain(&drawn) && !text.contains("]52;"), "{text:?}");
    let raw = recordings(&format!("play --raw {name}"))?;
    let survived = raw
        .stdout
        .windows(PRINTED.len())
        .any(|part| part == PRINTED);
    ensure!(survived, "{raw:?}");
    Ok(())
}

/// Given a stock host whose PAM writes user names down, then escapes come raw out of its journal; given ours, then all that is hostile is inert, in one record each,
/// and in whatever is made of the recording of a hop.
pub(crate) fn a30_hostile_text_is_inert_in_every_record(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    hops::prepare(lab, lab)?;
    let mads = lab
        .admin("mads")
        .policy(hops::rule("mads", "record = true"))
        .arrive()?;
    stock.account(&mads.seat)?;
    // pam_warn writes the name as it came; so do many modules.
    stock.sh("sed -i '1i auth optional pam_warn.so' /etc/pam.d/sshd")?;
    let settings = "KbdInteractiveAuthentication yes\nPasswordAuthentication no";
    let _sshd = OwnSshd::start(stock, 3001, settings)?;
    let escape = "mallory\u{1b}[31m\nroot logged in";
    stock.write(NAMES_PATH, NAMES)?;
    let tries = |server: &str, names: &[&str]| -> Result<()> {
        let output = stock
            .command("python3")
            .args([NAMES_PATH, server])
            .input(serde_json::to_vec(names)?)
            .run()?
            .success()?;
        ensure!(output.text() == names.len().to_string(), "{output}");
        Ok(())
    };
    tries("127.0.0.1:3001", &[escape])?;
    wait_for("the stock host's record", || {
        let raw = stock.shell("journalctl -o cat --no-pager --all").run()?;
        let text = String::from_utf8_lossy(&raw.stdout).into_owned();
        Ok(text.contains("user=[mallory\u{1b}[31m\nroot logged in]"))
    })?;

    let mark = lab.journal.mark();
    let _master = mads.open_master(&[])?;
    let shared = |args: &[&str]| -> Result<Output> {
        mads.seat
            .command("ssh")
            .args(["-S", "master"])
            .args(args.iter().copied())
            .input("")
            .run()
    };
    let mut commands = 0;
    for (name, text) in HOSTILE {
        // As a command, as a hop's host, as its login, as a forward's host, as a user, as TERM, as an answer to the prompt.
        for command in [
            (*text).to_owned(),
            format!("connect {text} 22"),
            format!("ssh {text}"),
            format!("ssh {text}@db1"),
        ] {
            let output = shared(&["bastion", &command])?;
            ensure!(output.code() != 0, "{name}: {output}");
            ensure!(
                is_inert(&output.stdout) && is_inert(output.stderr.as_bytes()),
                "{name}: the shell's answer to {command:?} acts on a terminal: {output}"
            );
            commands += 1;
        }
        let forward = shared(&["-W", &format!("[{text}]:22"), "bastion"])?;
        ensure!(forward.code() != 0, "{name}: {forward}");
        mads.seat
            .answering(&[text.replace('\n', "")])?
            .ssh(["bastion", "whoami"])
            .run()?
            .failure()?;
        lab.jumpctl("mfa unlock mads")?.success()?;
        let code = mads.authenticator()?.any_code()?;
        let term = mads
            .seat
            .answering(&[code])?
            .command("ssh")
            .env("TERM", text)
            .args(["-tt", "bastion", "whoami"])
            .run()?;
        ensure!(
            !String::from_utf8_lossy(&term.stdout).contains("]52;"),
            "{name}: TERM: {term}"
        );
    }
    let names: Vec<&str> = HOSTILE.iter().map(|(_, text)| *text).collect();
    tries(&format!("{}:22", BASTION.address()), &names)?;
    // 64 KiB of it, and a client that says so of itself before anything else.
    let long = "\u{1b}A".repeat(32 * 1024);
    ensure!(shared(&["bastion", &long])?.code() != 0, "64 KiB ran");
    commands += 1;
    for (_, text) in HOSTILE {
        let banner = format!("SSH-2.0-{text}\r\n");
        mads.seat
            .command("nc")
            .args(["-N", "-w", "3", "bastion", "22"])
            .input(banner)
            .run()?;
    }

    a_recording_is_harmless(lab, &mads)?;
    let refused = mads.wait_events("shell.refused", 1);
    ensure!(!refused.is_empty(), "no refusal in the journal");
    wait_for("every refusal", || {
        let told = mads.events("shell.refused").len() + mads.events("forward.denied").len();
        Ok(told > 0 && mads.events("shell.refused").len() <= commands)
    })?;
    let ours = lab
        .journal
        .since(mark, |e| e.get("_SYSTEMD_UNIT") == "jumpd.service");
    ensure!(ours.len() > HOSTILE.len(), "{} records", ours.len());
    for record in &ours {
        for field in record.fields().map(str::to_owned).collect::<Vec<_>>() {
            let value = record.get(&field);
            ensure!(
                value.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
                "{field} of {record} is not inert: {value:?}"
            );
            ensure!(
                value.len() <= 16 * 1024,
                "{field} has {} bytes",
                value.len()
            );
        }
        // A forged field would stand outside of quotes.
        let unquoted: String = record.message().split('"').step_by(2).collect();
        ensure!(
            !unquoted.contains("user=root") && unquoted.matches(" outcome=").count() <= 1,
            "a field was forged: {record}"
        );
    }
    let audit = lab.jumpctl("audit")?.success()?;
    ensure!(is_inert(&audit.stdout), "jumpctl audit is not inert");
    let records = audit.text().lines().count();
    let written = lab.jumpctl("audit --json")?.success()?;
    ensure!(
        is_inert(&written.stdout),
        "jumpctl audit --json is not inert"
    );
    ensure!(
        records >= ours.len(),
        "{records} lines for {} records",
        ours.len()
    );
    Ok(())
}
