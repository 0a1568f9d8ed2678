//! Which second factor opens what: security keys, narrower lists, codes of other kinds.
//!
//! The security key is the one that OpenSSH tests itself with: a library that
//! signs without a device and sets the flags that the key was made with.

use anyhow::{Context, Result, ensure};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use jump_lab::admin::Admin;
use jump_lab::lab::Lab;
use jump_lab::network::DB2;
use jump_lab::process::Output;
use jump_lab::seat::{add_account, append};
use serde_json::Value;
use sha2::Sha256;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// The scenarios for which the workbench is booted: the token is there.
pub(crate) const NEED_WORKBENCH: &[&str] = &[
    "a_rule_for_security_keys_serves_no_other_session",
    "a_security_key_must_have_verified_its_user_where_that_is_demanded",
    "a_key_file_of_another_source_makes_no_security_key_weaker",
];
/// Of Debian's package openssh-tests.
const TOKEN: &str = "/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so";
/// What every wrong answer is answered with.
const NOT_ACCEPTED: &str = "Code not accepted.";

/// Makes a key in the token; its public line.
fn make_key(admin: &Admin<'_>, name: &str, options: &[&str]) -> Result<String> {
    let file = format!(".ssh/{name}");
    let comment = format!("{}@{name}", admin.name());
    admin
        .seat
        .command("ssh-keygen")
        .args(["-q", "-t", "ed25519-sk", "-w", TOKEN, "-N", ""])
        .args(["-C", &comment, "-f", &file])
        .args(options.iter().flat_map(|option| ["-O", option]))
        .run()?
        .success()?;
    let line = fs::read_to_string(admin.seat.path(&format!("{file}.pub")))?;
    Ok(line.trim().to_owned())
}

/// From now on the admin logs in to the bastion with this key of the token first, and with no other of it. In the
/// file, because `-J` takes no options along.
fn use_key(admin: &Admin<'_>, name: &str) -> Result<()> {
    let config = fs::read_to_string(admin.seat.path(".ssh/config"))?;
    let first =
        format!("Host bastion\n  IdentityFile ~/.ssh/{name}\n  SecurityKeyProvider {TOKEN}\n");
    let rest = config.find("Host *").and_then(|at| config.get(at..));
    let rest = rest.context("the seat's configuration begins otherwise")?;
    admin.seat.write(".ssh/config", format!("{first}{rest}"))
}

/// A login that answers what it is asked; what the bastion asked, and what came of it.
fn log_in(admin: &Admin<'_>, answers: &[&str], args: &[&str]) -> Result<(Vec<String>, Output)> {
    let answering = admin.seat.answering(answers)?;
    let output = answering.ssh(args.iter().copied()).run()?;
    let mut prompts = answering.prompts();
    // The client's own questions about the token come the same way.
    let of_the_client = ["Confirm user presence", "Enter PIN"];
    prompts.retain(|prompt| !of_the_client.iter().any(|own| prompt.starts_with(own)));
    Ok((prompts, output))
}

fn explained(lab: &Lab, words: &str) -> Result<Value> {
    let output = lab.jumpctl(&format!("explain {words} --json"))?;
    serde_json::from_str(&output.text()).with_context(|| output.to_string())
}

/// Given a rule for security keys, then a session that began with a code does not get there, one that began with a
/// security key does, without a prompt, and `explain` says so.
pub(crate) fn a_rule_for_security_keys_serves_no_other_session(lab: &Lab) -> Result<()> {
    let vault = DB2.address();
    let rules = format!(
        "[targets.sigrun-vault]\nhosts = [\"{vault}\"]\nports = [22]\n\
         [[rules]]\nname = \"sigrun-daily\"\neffect = \"allow\"\nusers = [\"sigrun\"]\ntargets = [\"databases\"]\n\
         [[rules]]\nname = \"sigrun-vault\"\neffect = \"allow\"\nusers = [\"sigrun\"]\n\
         targets = [\"sigrun-vault\"]\nmfa = [\"security-key\"]\n"
    );
    let sigrun = lab
        .admin("sigrun")
        .sitting_at(lab.workbench()?)
        .policy(rules.as_str())
        .arrive()?;
    sigrun
        .ssh(&["-J", "bastion", "db1", "hostname"])?
        .success()?;
    sigrun
        .ssh(&["-J", "bastion", "db2", "hostname"])?
        .failure()?;
    let denied = sigrun.event("forward.denied")?;
    ensure!(
        denied.get("JUMP_REASON") == "mfa_method"
            && denied.get("JUMP_RULE") == "sigrun-vault"
            && denied.get("JUMP_MFA") != "security-key",
        "{denied}"
    );
    let place = format!("sigrun {vault}");
    let by_code = explained(lab, &format!("{place} --mfa totp"))?;
    ensure!(
        by_code["allowed"] == false && by_code["reason"] == "mfa_method",
        "{by_code}"
    );
    let by_any = explained(lab, &place)?;
    ensure!(
        by_any["allowed"] == true && by_any["mfa"] == serde_json::json!(["security-key"]),
        "{by_any}"
    );

    let key = make_key(&sigrun, "token", &[])?;
    lab.edit_policy(|policy| policy.add("sigrun", sigrun.uid, &key, "", &rules))?;
    use_key(&sigrun, "token")?;
    let (prompts, output) = log_in(&sigrun, &[], &["-J", "bastion", "db2", "hostname"])?;
    let output = output.success()?;
    ensure!(
        output.text() == "db2" && prompts.is_empty(),
        "{prompts:?} {output}"
    );
    let factor = sigrun.event_where("mfa.ok", |e| e.get("JUMP_MFA") == "security-key")?;
    ensure!(factor.get("JUMP_REASON") == "security_key", "{factor}");
    let allowed = sigrun.event_where("forward.allowed", |e| e.get("JUMP_DST_IP") == vault)?;
    ensure!(
        allowed.get("JUMP_RULE") == "sigrun-vault"
            && allowed.get("JUMP_SESSION") == factor.get("JUMP_SESSION"),
        "{allowed}"
    );
    Ok(())
}

/// Given a user narrowed to security keys, then a plain key and a right code get the same prompt and the same no as a
/// wrong one; narrowed to `totp`, a recovery code is refused too, and is not spent by it.
pub(crate) fn what_is_not_taken_is_answered_like_a_wrong_code(lab: &Lab) -> Result<()> {
    let solvei = lab
        .admin("solvei")
        .user("mfa = [\"security-key\"]")
        .may_reach_databases()
        .arrive()?;
    let refused = |code: &str| {
        let (prompts, output) = log_in(&solvei, &[code], &["-J", "bastion", "db1", "hostname"])?;
        output.failure()?.complains(NOT_ACCEPTED)?;
        let asked: Vec<&str> = prompts.iter().map(|prompt| prompt.trim_end()).collect();
        ensure!(
            asked == ["(solvei@bastion) Verification code:"],
            "{prompts:?}"
        );
        Ok(())
    };
    let code = solvei.authenticator()?.code()?;
    refused(&code)?;
    let failed = solvei.event("mfa.failed")?;
    ensure!(failed.get("JUMP_REASON") == "mfa_method", "{failed}");
    let status = lab.jumpctl("mfa status solvei")?;
    ensure!(
        status.code() == 1
            && status
                .text()
                .contains("no security key among the login keys"),
        "{status}"
    );

    lab.edit_policy(|policy| policy.replace("solvei", "[\"security-key\"]", "[\"totp\"]"))?;
    let recovery = solvei.authenticator()?.recovery_code()?;
    refused(&recovery)?;
    let failures = solvei.wait_events("mfa.failed", 2);
    ensure!(
        failures.len() == 2
            && failures
                .iter()
                .all(|e| e.get("JUMP_REASON") == "mfa_method"),
        "{} refusals",
        failures.len()
    );
    let code = solvei.authenticator()?.code()?;
    log_in(&solvei, &[&code], &["bastion", "whoami"])?
        .1
        .success()?;

    // It was not looked at, so it is good.
    lab.edit_policy(|policy| policy.replace("solvei", "mfa = [\"totp\"]", ""))?;
    log_in(&solvei, &[&recovery], &["bastion", "whoami"])?
        .1
        .success()?;
    solvei.event_where("mfa.ok", |e| e.get("JUMP_MFA") == "recovery")?;
    Ok(())
}

/// Given that verification is demanded, then sshd takes no signature that only says "touched", and takes one that says
/// "verified"; one that says neither is never taken.
pub(crate) fn a_security_key_must_have_verified_its_user_where_that_is_demanded(
    lab: &Lab,
) -> Result<()> {
    let dagny = lab
        .admin("dagny")
        .sitting_at(lab.workbench()?)
        .unenrolled()
        .may_reach_databases()
        .arrive()?;
    let rule = "[[rules]]\nname = \"dagny-databases\"\neffect = \"allow\"\nusers = [\"dagny\"]\ntargets = [\"databases\"]\n";
    let demand = format!("{rule}[mfa.security_key]\nverify_required = true\n");
    let kinds: [(&str, &[&str]); 3] = [
        ("touched", &[]),
        ("verified", &["verify-required"]),
        ("untouched", &["no-touch-required"]),
    ];
    let mut keys = Vec::new();
    for (name, options) in kinds {
        keys.push((name, make_key(&dagny, name, options)?));
    }
    for (tables, taken) in [
        (rule, ["touched", "verified"].as_slice()),
        (demand.as_str(), ["verified"].as_slice()),
    ] {
        for (name, key) in &keys {
            lab.edit_policy(|policy| policy.add("dagny", dagny.uid, key, "", tables))?;
            use_key(&dagny, name)?;
            let (prompts, output) = log_in(&dagny, &["0000"; 2], &["bastion", "whoami"])?;
            let inside = output.code() == 0;
            ensure!(inside == taken.contains(name), "{name}, {tables}: {output}");
            ensure!(prompts.is_empty(), "{name}: {prompts:?}");
        }
    }
    let accepted = dagny.wait_events("mfa.ok", 3);
    ensure!(
        accepted.len() == 3 && accepted.iter().all(|e| e.get("JUMP_MFA") == "security-key"),
        "{} were accepted",
        accepted.len()
    );
    // The demand is the whole policy's: it goes with its admin.
    lab.edit_policy(|policy| policy.remove("dagny"))
}

/// Given somebody of another name service, whose keys are their own to list, then a security key that is listed with
/// `no-touch-required` must be touched all the same; and where verification is demanded, none of theirs counts.
pub(crate) fn a_key_file_of_another_source_makes_no_security_key_weaker(lab: &Lab) -> Result<()> {
    const RULE: &str = "[[rules]]\nname = \"tower\"\neffect = \"allow\"\nsystem_groups = [\"tower\"]\ntargets = [\"databases\"]\n";
    const DEMAND: &str = "[mfa.security_key]\nverify_required = true\n";
    // Their seat; the account of that name on the bastion is none of the policy's.
    let talvikki = lab
        .admin("talvikki")
        .sitting_at(lab.workbench()?)
        .unenrolled()
        .arrive()?;
    let home = add_account(&lab.bastion, "of-the-tower", 3900)?;
    append(&lab.bastion, "/etc/group", "tower:x:3901:of-the-tower")?;
    let mut listed = String::new();
    for (name, options) in [
        ("touched", [].as_slice()),
        ("untouched", ["no-touch-required"].as_slice()),
        ("verified", ["verify-required"].as_slice()),
    ] {
        let key = make_key(&talvikki, name, options)?;
        listed.push_str(&format!("no-touch-required {key}\n"));
    }
    append(
        &lab.bastion,
        &format!("{home}/.ssh/authorized_keys"),
        &listed,
    )?;
    let whoami = ["-l", "of-the-tower", "bastion", "whoami"];
    for (tables, taken) in [
        (RULE.to_owned(), ["touched", "verified"].as_slice()),
        (format!("{RULE}{DEMAND}"), [].as_slice()),
    ] {
        lab.edit_policy(|policy| policy.add_tables("tower", &tables))?;
        for name in ["touched", "untouched", "verified"] {
            use_key(&talvikki, name)?;
            let (prompts, output) = log_in(&talvikki, &["000000"; 2], &whoami)?;
            let inside = output.code() == 0;
            ensure!(
                inside == taken.contains(&name),
                "{name}, {tables}: {output}"
            );
            // Whose key is good and no second factor is asked for a code; whose key is not is asked for none.
            let asked = !prompts.is_empty();
            let good = name != "untouched";
            ensure!(asked == (good && !inside), "{name}, {tables}: {prompts:?}");
        }
    }
    lab.edit_policy(|policy| policy.remove("tower"))
}

/// Given an authenticator with eight digits, SHA-256 and a minute, then its code lets in, and `mfa status` says what it is.
pub(crate) fn codes_of_another_kind_let_in(lab: &Lab) -> Result<()> {
    let vebjorn = lab
        .admin("vebjorn")
        .unenrolled()
        .may_reach_databases()
        .arrive()?;
    let enrolled = lab
        .jumpctl(
            "mfa enroll vebjorn --digits 8 --algorithm sha256 --period 60 --no-confirm --json",
        )?
        .success()?;
    let enrolled: Value = serde_json::from_str(&enrolled.text())?;
    let text = |key: &str| enrolled[key].as_str().unwrap_or_default().to_owned();
    ensure!(
        text("uri").ends_with("&algorithm=SHA256&digits=8&period=60"),
        "the URI says something else"
    );
    let step = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 60;
    let code = code(&BASE32_NOPAD.decode(text("secret").as_bytes())?, step)?;
    log_in(&vebjorn, &[&code[2..]], &["bastion", "whoami"])?
        .1
        .failure()?
        .complains(NOT_ACCEPTED)?;
    log_in(&vebjorn, &[&code], &["bastion", "whoami"])?
        .1
        .success()?;
    let status = lab.jumpctl("mfa status vebjorn")?.success()?;
    ensure!(status.text().contains("8 digits, SHA256, 60 s"), "{status}");
    Ok(())
}

/// RFC 4226 section 5.3 with SHA-256 (RFC 6238 section 1.2), eight digits.
fn code(secret: &[u8], step: u64) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)?;
    mac.update(&step.to_be_bytes());
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    let offset = usize::from(digest[31] & 0x0f);
    let word = digest
        .iter()
        .skip(offset)
        .take(4)
        .fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    Ok(format!("{:08}", (word & 0x7fff_ffff) % 100_000_000))
}
