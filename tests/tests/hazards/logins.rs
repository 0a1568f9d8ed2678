//! What sshd, its users and its settings may do to a second factor.

use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::pam::{self, Client, SERVICE, SUCCESS};
use jump_lab::peculiar::OwnSshd;
use jump_lab::seat::append;

/// Given somebody without the user's key, then no prompt comes, and nothing is counted.
pub(crate) fn h10_without_the_key_nobody_is_asked_for_a_code(lab: &Lab) -> Result<()> {
    let hagar = lab.admin("hagar").may_reach_databases().arrive()?;
    let mallory = lab.admin("hagar-foe").may_reach_databases().arrive()?;
    let answering = mallory.seat.answering(&["000000"; 3])?;
    for methods in [
        "keyboard-interactive",
        "password",
        "publickey,keyboard-interactive",
    ] {
        answering
            .ssh(["-o", &format!("PreferredAuthentications={methods}")])
            .args(["-o", "NumberOfPasswordPrompts=3", "-l", "hagar"])
            .args(["bastion", "whoami"])
            .run()?
            .failure()?;
    }
    let prompts = answering.prompts();
    ensure!(prompts.is_empty(), "asked without the key: {prompts:?}");
    ensure!(
        hagar.events("mfa.failed").is_empty(),
        "counted without the key"
    );
    hagar.ssh(&["bastion", "whoami"])?.success()?;
    Ok(())
}

/// Given two wrong codes in one connection and a third in another, then three are counted.
pub(crate) fn h12_wrong_codes_of_several_connections_add_up(lab: &Lab) -> Result<()> {
    let hakon = lab.admin("hakon").may_reach_databases().arrive()?;
    let wrong = hakon.authenticator()?.wrong_code();
    for prompts in [2, 1] {
        hakon
            .seat
            .answering(&vec![wrong.as_str(); prompts])?
            .ssh(["-o", &format!("NumberOfPasswordPrompts={prompts}")])
            .args(["bastion", "whoami"])
            .run()?
            .failure()?;
    }
    let failed = hakon.wait_events("mfa.failed", 3);
    let third = failed.last().map(|event| event.message());
    ensure!(
        failed.len() == 3 && third.is_some_and(|text| text.contains(": 3, left: 2")),
        "{third:?} is not the third"
    );
    Ok(())
}

/// Given a wrong code, when another service asks pam_jump for the account alone, as cron does, then the count stays.
pub(crate) fn h13_a_service_that_asks_for_the_account_alone_forgives_nothing(
    lab: &Lab,
) -> Result<()> {
    let harald = lab.admin("harald").may_reach_databases().arrive()?;
    let client = Client::on(&lab.bastion)?;
    let settings = pam::settings(&harald);
    let wrong = harald.authenticator()?.wrong_code();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let guess = [&settings[..], &["--answer", &wrong, "authenticate"]].concat();
    client.call(SERVICE, "harald", &guess)?;
    for words in [
        &["account", "establish", "close", "delete"][..],
        &[&settings[..], &["account", "establish", "delete"]].concat(),
    ] {
        let called = client.call(SERVICE, "harald", words)?;
        ensure!(
            called.answer("account")? != SUCCESS,
            "let in without a code"
        );
    }
    // By key alone, to whom sshd asks no code.
    harald
        .seat
        .command("ssh")
        .args([
            "-o",
            "PreferredAuthentications=publickey",
            "bastion",
            "whoami",
        ])
        .run()?
        .failure()?;
    client.call(SERVICE, "harald", &guess)?;
    harald.event_where("mfa.failed", |event| {
        event.message().contains(": 2, left: 3")
    })?;
    Ok(())
}

/// Given `UseDNS yes` and a name for the client's address, then rules and events go by the address.
pub(crate) fn h19_a_host_name_is_no_source(lab: &Lab) -> Result<()> {
    append(&lab.bastion, "/etc/hosts", "10.77.1.99 trusted-office")?;
    let heidi = lab
        .admin("heidi")
        .policy(
            "[[rules]]\nname = \"heidi-rule\"\neffect = \"allow\"\nusers = [\"heidi\"]\n\
             targets = [\"databases\"]\nfrom = [\"10.77.1.99/32\"]\n",
        )
        .arrive()?;
    let sshd = OwnSshd::start(&lab.bastion, 4019, "UseDNS yes\nLogLevel VERBOSE")?;
    let login = |from: &str| {
        let code = heidi.authenticator()?.any_code()?;
        heidi
            .seat
            .answering(&[code])?
            .ssh(sshd.options())
            .args(["-o", &format!("BindAddress={from}")])
            .args(["bastion", "whoami"])
            .run()
    };
    login("10.77.1.99")?.success()?;
    let allowed = heidi.event("access.allowed")?;
    ensure!(allowed.get("JUMP_SRC_IP") == "10.77.1.99", "{allowed}");
    login("10.77.1.20")?.failure()?;
    ensure!(
        heidi.events("access.allowed").len() == 1,
        "let in from elsewhere"
    );
    // What sshd gives as PAM_RHOST is looked at by nobody; where the address is missing, the answer is no.
    let client = Client::on(&lab.bastion)?;
    for connection in [
        "SSH_CONNECTION=trusted-office 40000 10.77.1.1 22",
        "SSH_CONNECTION=",
        "SSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535",
    ] {
        let code = heidi.authenticator()?.wrong_code();
        let [_, key] = pam::settings(&heidi);
        let words = [
            connection,
            &key,
            "--rhost",
            "10.77.1.99",
            "--answer",
            &code,
            "authenticate",
        ];
        let called = client.call(SERVICE, "heidi", &words)?;
        ensure!(called.answer("authenticate")? != SUCCESS, "{connection}");
        ensure!(called.seen().len() <= 1, "asked: {:?}", called.seen());
    }
    Ok(())
}

/// Given sshd at its most talkative, then no code that is typed, right or wrong, is in the journal.
pub(crate) fn h26_no_code_is_in_any_log(lab: &Lab) -> Result<()> {
    let helga = lab.admin("helga").may_reach_databases().arrive()?;
    let sshd = OwnSshd::start(&lab.bastion, 4026, "LogLevel DEBUG3")?;
    let mark = lab.journal.mark();
    let mut typed = Vec::new();
    for kind in 0..4 {
        let mut authenticator = helga.authenticator()?;
        typed.push(match kind {
            0 => authenticator.wrong_code(),
            1 => authenticator.code()?,
            2 => authenticator.recovery_code()?,
            _ => "aaaa-bbbb-cccc-dddd".to_owned(),
        });
    }
    for code in &typed {
        let answering = helga.seat.answering(&[code])?;
        answering
            .ssh(sshd.options())
            .args(["bastion", "whoami"])
            .run()?;
    }
    helga.event_where("mfa.failed", |event| event.get("JUMP_OUTCOME") == "failure")?;
    ensure!(helga.wait_events("mfa.ok", 2).len() == 2, "two were right");
    let talkative = |entry: &jump_lab::journal::Entry| entry.message().contains("debug3");
    ensure!(
        !lab.journal.since(mark, talkative).is_empty(),
        "sshd was not talkative"
    );
    let tells = lab.journal.since(mark, |entry| {
        let told = |field: &str| {
            let text = entry.get(field);
            // A number may hold the six digits by chance; a word of its own is a code.
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            words.any(|word| typed.iter().any(|code| code == word))
        };
        let mut ours = entry
            .fields()
            .filter(|field| *field == "MESSAGE" || field.starts_with("JUMP_"));
        ours.any(told)
    });
    ensure!(tells.is_empty(), "a code is in the journal: {tells:?}");
    Ok(())
}

/// Given a locked user who may try three times, then the client asks three times for a code and never for a password.
pub(crate) fn h27_a_lock_out_asks_for_codes_and_nothing_else(lab: &Lab) -> Result<()> {
    let henny = lab.admin("henny").may_reach_databases().arrive()?;
    let wrong = henny.authenticator()?.wrong_code();
    let attempt = |prompts: usize| -> Result<Vec<String>> {
        let answering = henny.seat.answering(&vec![wrong.as_str(); prompts])?;
        answering
            .ssh(["-o", &format!("NumberOfPasswordPrompts={prompts}")])
            .args(["bastion", "whoami"])
            .run()?
            .failure()?;
        Ok(answering.prompts())
    };
    attempt(3)?;
    attempt(2)?;
    henny.event("mfa.locked")?;
    let prompts = attempt(3)?;
    ensure!(
        prompts.len() == 3
            && prompts
                .iter()
                .all(|text| text.trim_end() == "(henny@bastion) Verification code:"),
        "{prompts:?}"
    );
    Ok(())
}

/// Given the three ways in which sshd tells `account` what has been done, then none of them stands for the mark of a code.
pub(crate) fn h30_account_goes_by_the_mark_whatever_sshd_lists(lab: &Lab) -> Result<()> {
    let hilmar = lab.admin("hilmar").may_reach_databases().arrive()?;
    let client = Client::on(&lab.bastion)?;
    let [connection, key] = pam::settings(&hilmar);
    let both = format!("{key}\nkeyboard-interactive/pam\n");
    for listed in ["SSH_AUTH_INFO_0=", &key, &both] {
        for mark in [
            "LAB=none",
            "JUMP_SESSION=",
            "JUMP_SESSION=ffffffffffffffffffffffffffffffff",
        ] {
            let words = [connection.as_str(), listed, mark, "account"];
            let called = client.call(SERVICE, "hilmar", &words)?;
            ensure!(
                called.answer("account")? != SUCCESS,
                "let in by {listed:?}, {mark}"
            );
            ensure!(
                called.seen().iter().all(|line| !line.starts_with("Hidden")),
                "account asked: {:?}",
                called.seen()
            );
        }
    }
    let code = hilmar.authenticator()?.code()?;
    let words = [
        connection.as_str(),
        &key,
        "--answer",
        &code,
        "authenticate",
        "account",
    ];
    let called = client.call(SERVICE, "hilmar", &words)?;
    ensure!(
        (called.answer("authenticate")?, called.answer("account")?) == (SUCCESS, SUCCESS),
        "a code and its mark do not let in"
    );
    Ok(())
}

/// Given an enrolment and its confirmation, then the journal has who and when, and nothing of the secret.
pub(crate) fn h33_nothing_of_an_enrolment_is_in_the_journal(lab: &Lab) -> Result<()> {
    let hjalmar = lab
        .admin("hjalmar")
        .may_reach_databases()
        .unenrolled()
        .arrive()?;
    let mark = lab.journal.mark();
    let enrolment = lab
        .jumpctl("mfa enroll hjalmar --no-confirm --json")?
        .success()?;
    hjalmar.event("mfa.enrolled")?;
    let json: serde_json::Value = serde_json::from_str(&enrolment.text())?;
    let mut secrets: Vec<String> = Vec::new();
    secrets.extend(json["secret"].as_str().map(str::to_owned));
    let sheet = json["recovery_codes"].as_array();
    secrets.extend(
        sheet
            .into_iter()
            .flatten()
            .filter_map(|code| code.as_str().map(str::to_owned)),
    );
    ensure!(secrets.len() == 11, "{enrolment}");
    let tells = lab.journal.since(mark, |entry| {
        let mut fields = entry.fields();
        fields.any(|field| {
            let text = entry.get(field);
            text.contains("otpauth") || secrets.iter().any(|secret| text.contains(secret.as_str()))
        })
    });
    ensure!(tells.is_empty(), "{tells:?}");
    Ok(())
}
