//! Records of second factors that were put back, carried elsewhere, or get a new key.

use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::authenticator::{Authenticator, seconds};
use jump_lab::bastion::Bastion;
use jump_lab::clock;
use jump_lab::journal::Entry;
use jump_lab::lab::{Lab, package};
use jump_lab::network::{BASTION, Place};
use jump_lab::process::Output;
use jump_lab::seat::Seat;
use jump_lab::story::{PATIENCE, wait_for};
use std::fs;
use std::sync::Arc;

fn run(bastion: &Bastion, line: &str) -> Result<String> {
    Ok(bastion.shell(line).run()?.success()?.text())
}

fn record(admin: &Admin<'_>) -> String {
    format!("/var/lib/jump/mfa/{}.json", admin.uid)
}

/// A login at `bastion` with this code.
fn login(bastion: &Bastion, admin: &Admin<'_>, code: &str) -> Result<Output> {
    let answering = admin.seat.answering(&[code])?;
    answering.ssh([bastion.place().name, "whoami"]).run()
}

/// What doctor says of second factors, which is red.
fn doctor_is_red(bastion: &Bastion) -> Result<String> {
    Ok(bastion.jumpctl("doctor")?.expect_code(1)?.text())
}

fn enrol_anew(bastion: &Bastion, admin: &Admin<'_>) -> Result<()> {
    let enrolment = bastion
        .jumpctl(&format!("mfa enroll {} --no-confirm --json", admin.name()))?
        .success()?;
    *admin.authenticator()? = Authenticator::from_enrolment(&enrolment.text())?;
    Ok(())
}

/// Given a record that was copied before a code and a recovery code were used, when the copy is put back, then neither is good again, the event and doctor say why, and a reset and a new enrolment mend it.
pub(crate) fn a_record_put_back_makes_no_used_code_good_again(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let ulrika = lab
            .admin("ulrika")
            .at(bastion)
            .may_reach_databases()
            .arrive()?;
        let file = record(&ulrika);
        run(bastion, &format!("cp -a {file} /root/yesterday.json"))?;
        let code = ulrika.authenticator()?.code()?;
        let recovery = ulrika.authenticator()?.recovery_code()?;
        login(bastion, &ulrika, &code)?.success()?;
        login(bastion, &ulrika, &recovery)?.success()?;
        run(bastion, &format!("cp -a /root/yesterday.json {file}"))?;
        // With jumpd running, and after it was started anew.
        for line in ["true", "systemctl restart jumpd.service"] {
            run(bastion, line)?;
            for typed in [&code, &recovery] {
                login(bastion, &ulrika, typed)?.failure()?;
            }
        }
        let replayed = ulrika.wait_events("mfa.replayed", 4);
        let restored = |e: &Entry| e.get("JUMP_REASON") == "restored_record";
        ensure!(
            replayed.len() == 4 && replayed.iter().all(restored),
            "{replayed:?}"
        );
        let said = doctor_is_red(bastion)?;
        for words in [
            "ulrika is refused (restored_record)",
            "jumpctl mfa reset ulrika",
        ] {
            ensure!(said.contains(words), "{said}");
        }
        bastion.jumpctl("mfa reset ulrika")?.success()?;
        // Not after the reset either.
        run(bastion, &format!("cp -a /root/yesterday.json {file}"))?;
        login(bastion, &ulrika, &recovery)?.failure()?;
        bastion.jumpctl("mfa reset ulrika")?.success()?;
        enrol_anew(bastion, &ulrika)?;
        let code = ulrika.authenticator()?.code()?;
        login(bastion, &ulrika, &code)?.success()?;
        Ok(())
    })
}

/// Given a record copied to another bastion, when its user logs in there, then it is refused as another host's, and made to look like that host's own it does not open.
pub(crate) fn a_record_of_another_host_is_refused_and_does_not_open(lab: &Lab) -> Result<()> {
    let uffe = lab.admin("uffe").may_reach_databases().arrive()?;
    let secret = uffe.authenticator()?.base32();
    let stolen = fs::read_to_string(lab.bastion.path(&record(&uffe)))?;
    ensure!(
        !stolen.contains(&secret) && !stolen.contains("secret"),
        "{stolen}"
    );
    lab.on_fragile_bastion(|bastion| {
        let mark = bastion.journal.mark();
        let rule = "[[rules]]\nname = \"uffe\"\neffect = \"allow\"\nusers = [\"uffe\"]\ntargets = [\"databases\"]\n";
        bastion.edit_policy(|policy| policy.add("uffe", uffe.uid, uffe.seat.key(), "", rule))?;
        let refused = |reason: &str, kind: &str| -> Result<()> {
            let code = uffe.authenticator()?.code()?;
            login(bastion, &uffe, &code)?.failure()?;
            let fits = |e: &Entry| e.is(kind) && e.get("JUMP_USER") == "uffe" && e.get("JUMP_REASON") == reason;
            let seen = bastion.journal.wait(mark, 1, PATIENCE, fits);
            ensure!(seen.len() == 1, "no {kind} with {reason}");
            Ok(())
        };
        let file = record(&uffe);
        let plant = |text: &str| -> Result<()> {
            bastion.write(&file, text)?;
            run(bastion, &format!("chown jumpd:jumpd {file} && chmod 0600 {file}"))?;
            Ok(())
        };
        plant(&stolen)?;
        refused("foreign_record", "mfa.replayed")?;
        ensure!(doctor_is_red(bastion)?.contains("uffe is refused (foreign_record)"));
        let identity = |text: &str| -> Result<String> {
            let value: serde_json::Value = serde_json::from_str(text)?;
            Ok(value.get("host").and_then(|h| h.as_str()).context("no host")?.to_owned())
        };
        let own = identity(&bastion.read("/var/lib/jump/identity")?)?;
        plant(&stolen.replace(&identity(&stolen)?, &own))?;
        refused("sealing_key_missing", "mfa.failed")?;
        bastion.jumpctl("mfa reset uffe")?.success()?;
        Ok(())
    })
}

/// Given people who log in, when the key of all records is changed again and again, then each login goes as without, and afterwards every record is sealed with the new key and the old one is gone.
pub(crate) fn a_new_key_for_all_records_disturbs_nobody(lab: &Lab) -> Result<()> {
    lab.on_fragile_bastion(|bastion| {
        let ulf = lab
            .admin("ulf")
            .at(bastion)
            .may_reach_databases()
            .arrive()?;
        let file = record(&ulf);
        let key_of = || -> Result<String> {
            let record: serde_json::Value = serde_json::from_str(&bastion.read(&file)?)?;
            let key = record.pointer("/sealed/key").and_then(|key| key.as_str());
            Ok(key.context("it is not sealed")?.to_owned())
        };
        let before = key_of()?;
        let rekeys = bastion
            .shell("for i in 1 2 3 4 5 6 7 8; do jumpctl mfa rekey --json || exit 1; done")
            .start()?;
        for _ in 0..5 {
            let code = ulf.authenticator()?.any_code()?;
            login(bastion, &ulf, &code)?.success()?;
            login(bastion, &ulf, &code)?.failure()?;
        }
        let said = rekeys.wait(PATIENCE)?.success()?.text();
        ensure!(said.contains("\"refused\":[]"), "{said}");
        ensure!(key_of()? != before, "the key is the old one");
        let ring = run(
            bastion,
            "systemd-creds decrypt --name=jump-mfa /etc/credstore.encrypted/jump-mfa -",
        )?;
        ensure!(
            ring.lines().count() == 1 && ring.starts_with(&key_of()?),
            "{} keys",
            ring.lines().count()
        );
        // And jumpd gets it at its start.
        run(bastion, "systemctl restart jumpd.service")?;
        let code = ulf.authenticator()?.any_code()?;
        login(bastion, &ulf, &code)?.success()?;
        nothing_leaks(bastion, &ring, &ulf)
    })
}

/// Neither the key nor the user's secret is in the journal, in a command line, in an environment or in a core.
fn nothing_leaks(bastion: &Bastion, ring: &str, admin: &Admin<'_>) -> Result<()> {
    let (_, key) = ring.trim().split_once(':').context("no key")?;
    let secret = admin.authenticator()?.base32();
    for hidden in [key, &secret] {
        // The words are given by standard input, or grep would find its own command line.
        for place in [
            "journalctl --no-pager --all --output=export | grep -cFf /dev/fd/3 || true",
            "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -cFf /dev/fd/3 || true",
        ] {
            let line = format!("exec 3<&0; {place}");
            let found = bastion
                .shell(&line)
                .input(format!("{hidden}\n"))
                .run()?
                .text();
            ensure!(found == "0", "{found} times: {place}");
        }
    }
    let jumpd = "$(systemctl show --property=MainPID --value jumpd.service)";
    let limits = run(bastion, &format!("grep 'core file' /proc/{jumpd}/limits"))?;
    ensure!(
        limits.split_whitespace().filter(|w| *w == "0").count() == 2,
        "{limits}"
    );
    // A process that may be dumped belongs to its user there (proc(5)).
    let owner = run(bastion, &format!("stat -c %U /proc/{jumpd}/environ"))?;
    ensure!(owner == "root", "jumpd can be dumped: {owner}");
    run(
        bastion,
        &format!("touch /run/before && pid={jumpd} && kill -ABRT $pid && while kill -0 $pid 2>/dev/null; do sleep 0.02; done
                  ! find / -xdev -newer /run/before -type f -name '*core*' -not -path '/proc/*' -not -path '/sys/*' | grep ."),
    )?;
    run(bastion, "systemctl start jumpd.service")?;
    Ok(())
}

/// A bastion whose power fails.
const POWER: Place = Place {
    name: "power",
    addresses: &["10.77.1.42/24", "fd77:1::42/64"],
    second: &["10.77.2.42/24", "fd77:2::42/64"],
    ..BASTION
};

/// Given a host whose power fails, when it boots again, then a used code stays used and a lock-out goes on, what was remembered is forgotten, and the next code is good.
pub(crate) fn a_reboot_forgets_what_was_remembered_and_nothing_else(lab: &Lab) -> Result<()> {
    let machine = Arc::new(lab.another(&POWER)?);
    lab.introduce(&machine)?;
    let bastion = Bastion::new(machine)?;
    bastion.install(&package()?)?;
    bastion.edit_policy(|policy| policy.add_tables("remember", "[mfa]\nremember = \"8h\""))?;
    let arrive = |name| lab.admin(name).at(&bastion).may_reach_databases().arrive();
    let (hedvig, torvald) = (arrive("hedvig")?, arrive("torvald")?);
    let used = hedvig.authenticator()?.code()?;
    login(&bastion, &hedvig, &used)?.success()?;
    // Within its time no code is asked for.
    login(&bastion, &hedvig, "000000")?.success()?;
    hedvig.event_where("mfa.skipped", |e| e.get("JUMP_REASON") == "remembered")?;
    let wrong = torvald.authenticator()?.wrong_code();
    for _ in 0..5 {
        login(&bastion, &torvald, &wrong)?.failure()?;
    }
    torvald.event("mfa.locked")?;

    let ((hedvig, hers), (torvald, his)) = (hedvig.go_home(), torvald.go_home());
    let (mut hers, mut his) = (hers.context("enrolled")?, his.context("enrolled")?);
    drop(bastion);
    let bastion = Bastion::new(Arc::new(lab.once_more(&POWER)?))?;
    let ready = "systemctl is-active jumpd.socket jump-guard.socket ssh.service";
    wait_for("the bastion to be up again", || {
        Ok(bastion.shell(ready).run()?.code() == 0)
    })?;
    let mark = bastion.journal.mark();
    let login = |seat: &Seat, code: &str| {
        let answering = seat.answering(&[code])?;
        answering.ssh([POWER.name, "whoami"]).run()
    };
    login(&hedvig, &used)?.failure()?;
    login(&torvald, &his.code()?)?.failure()?;
    login(&hedvig, &hers.code()?)?.success()?;
    for (user, kind, reason) in [
        ("hedvig", "mfa.replayed", "replayed_code"),
        ("torvald", "mfa.failed", "locked_out"),
        ("hedvig", "mfa.ok", ""),
    ] {
        let told =
            |e: &Entry| e.is(kind) && e.get("JUMP_USER") == user && e.get("JUMP_REASON") == reason;
        let seen = bastion.journal.wait(mark, 1, PATIENCE, told);
        ensure!(seen.len() == 1, "no {kind} {reason} of {user}");
    }
    Ok(())
}

/// Given a backup, when codes are used after it and it is restored on another bastion, then none of them is good there and the next ones are; restored on the first bastion it moves nothing backwards; nobody reads it without its key.
pub(crate) fn a_restored_bastion_takes_no_code_that_was_used(lab: &Lab) -> Result<()> {
    // A restore uses up codes of everybody: both bastions serve this story alone.
    lab.on_fragile_bastion(|old| lab.on_fragile_bastion(|new| from_one_to_the_other(lab, old, new)))
}

fn from_one_to_the_other(lab: &Lab, old: &Bastion, bastion: &Bastion) -> Result<()> {
    use age::secrecy::ExposeSecret as _;
    let key = age::x25519::Identity::generate();
    let to = key.to_public().to_string();
    let secret = key.to_string();
    let ursin = lab.admin("ursin").at(old).may_reach_databases().arrive()?;
    let backup = format!("backup /root/ursin.age --to {to} --json");
    old.jumpctl(&backup)?.success()?;
    // Not a second time into the same file, and only to a recipient.
    old.jumpctl(&backup)?.expect_code(2)?;
    old.jumpctl("backup /root/other.age --to ursin")?
        .expect_code(2)?;
    let mode = old
        .shell("stat -c %a:%U /root/ursin.age")
        .run()?
        .success()?
        .text();
    ensure!(mode == "600:root", "{mode}");
    let file = fs::read(old.path("/root/ursin.age"))?;
    let base32 = ursin.authenticator()?.base32();
    ensure!(!String::from_utf8_lossy(&file).contains(&base32));
    // Used after the backup was made.
    let code = ursin.authenticator()?.code()?;
    let recovery = ursin.authenticator()?.recovery_code()?;
    for typed in [&code, &recovery] {
        login(old, &ursin, typed)?.success()?;
    }
    let rule = "[[rules]]\nname = \"ursin\"\neffect = \"allow\"\nusers = [\"ursin\"]\ntargets = [\"databases\"]\n";
    bastion.edit_policy(|policy| policy.add("ursin", ursin.uid, ursin.seat.key(), "", rule))?;
    fs::write(bastion.path("/root/ursin.age"), &file)?;
    let stranger = age::x25519::Identity::generate().to_string();
    for (name, key) in [("right", &secret), ("wrong", &stranger)] {
        bastion.write(
            &format!("/root/{name}.key"),
            format!("# a key\n{}\n", key.expose_secret()),
        )?;
    }
    let wrong = bastion
        .jumpctl("restore /root/ursin.age --identity /root/wrong.key")?
        .expect_code(2)?;
    ensure!(wrong.text().is_empty(), "{wrong}");
    let restored = bastion.jumpctl(
        "restore /root/ursin.age --identity /root/right.key --policy-to /root/policy.toml --json",
    )?;
    ensure!(restored.text().contains("\"ursin\""), "{restored}");
    ensure!(
        bastion
            .read("/root/policy.toml")?
            .contains("ursin-databases")
    );
    let mark = bastion.journal.mark();
    for typed in [&code, &recovery] {
        login(bastion, &ursin, typed)?.failure()?;
    }
    let replayed = |e: &Entry| e.is("mfa.replayed") && e.get("JUMP_USER") == "ursin";
    let seen = bastion.journal.wait(mark, 2, PATIENCE, replayed);
    ensure!(seen.len() == 2, "{seen:?}");
    // Every code of now is used up; that of a minute and a half later is good.
    clock::put(bastion, &["jumpd"])?;
    run(bastion, &format!("echo '+90' >{}", clock::OFFSET))?;
    let code = ursin.authenticator()?.code_at(seconds() + 90);
    login(bastion, &ursin, &code)?.success()?;
    clock::take_away(bastion, &["jumpd"])?;
    bastion.jumpctl("mfa reset ursin")?.success()?;
    // Back where it was made: what is newer there stays.
    old.write("/root/ursin.key", secret.expose_secret())?;
    let again =
        old.jumpctl("restore /root/ursin.age --identity /root/ursin.key --recovery-codes --json")?;
    ensure!(again.text().contains("\"identity_taken\":true"), "{again}");
    login(old, &ursin, &recovery)?.failure()?;
    ensure!(
        old.read("/etc/jump/policy.toml")?
            .contains("ursin-databases")
    );
    Ok(())
}
