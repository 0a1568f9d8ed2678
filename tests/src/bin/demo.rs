//! `cargo xtask demo`: the main job, told with real hosts and real ssh.
//!
//! Every command below is run where it is shown, and what it prints is what
//! is shown. A step that does not do what the story says ends the demo with
//! an error.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a story for a person at a terminal"
)]

use anyhow::{Context, Result, ensure};
use jump_lab::authenticator::Authenticator;
use jump_lab::base;
use jump_lab::bastion::{self, POLICY};
use jump_lab::ground::{self, Ground};
use jump_lab::hops;
use jump_lab::lab::{self, Lab};
use jump_lab::policy::window_closed_now;
use jump_lab::process::Output;
use jump_lab::seat::{Seat, append};
use jump_lab::story::PATIENCE;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const SUITE: &str = "bookworm";

fn main() -> ExitCode {
    ground::stand_on(
        || base::tree(SUITE).map(drop),
        |ground| {
            let begin = Instant::now();
            tell(ground)?;
            println!(
                "\nThe whole story took {:.0} s. The hosts are gone again.",
                begin.elapsed().as_secs_f32()
            );
            Ok(ExitCode::SUCCESS)
        },
    )
}

fn chapter(text: &str) {
    println!("\n\u{2500}\u{2500} {text}");
}

/// Shows a command and what it printed.
fn show(host: &str, typed: &str, output: &Output) {
    println!("\n{host}$ {typed}");
    for line in output.text().lines().chain(output.stderr.lines()) {
        println!("  {line}");
    }
}

/// The same with only the end of what it printed.
fn show_end(host: &str, typed: &str, output: &Output) {
    println!("\n{host}$ {typed}");
    let text = output.text();
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(4)) {
        println!("  {line}");
    }
}

fn tell(ground: &Ground) -> Result<()> {
    chapter("Four Debian 12 hosts boot: bastion, targets db1 and db2, and the client of an admin.");
    let lab = Lab::boot(ground, &base::tree(SUITE)?)?;
    let root = |typed: &str| -> Result<Output> {
        let output = lab
            .bastion
            .shell(typed)
            .patience(Duration::from_secs(120))
            .run()?;
        show("root@bastion", typed, &output);
        Ok(output)
    };

    chapter(
        "1. The package is installed, and the host becomes a jump server. Nobody can log in through it yet.",
    );
    let installed = bastion::install(&lab.bastion, &lab::package()?)?;
    show_end(
        "root@bastion",
        "apt install ./jump-server_*.deb",
        &installed,
    );
    let setup = lab.bastion.shell("jumpctl setup --yes").run()?.success()?;
    show_end("root@bastion", "jumpctl setup --yes", &setup);

    chapter(
        "2. The sysadmin writes alice, a target and a rule into /etc/jump/policy.toml. A typo changes nothing.",
    );
    let seat = Seat::take(&lab.client, &lab.servers(), "alice")?;
    let policy = format!(
        "version = 1\n\n[users.alice]\nuid = 70001\nname = \"Alice Martin\"\nkeys = [\"{}\"]\n\n\
         [targets.databases]\nhosts = [\"db1\"]\nports = [22, 5432]\n\n\
         [windows.office]\ndays = [\"mon-sun\"]\nhours = [\"00:00-24:00\"]\n\n\
         [[rules]]\nname = \"dba-office\"\neffect = \"allow\"\nusers = [\"alice\"]\n\
         targets = [\"databases\"]\nwindows = [\"office\"]\n\n\
         [[tests]]\nuser = \"alice\"\nfrom = \"10.77.1.20\"\ntarget = \"db1:5432\"\nat = 2026-11-23T10:00:00Z\nexpect = \"allow\"\n",
        seat.key()
    );
    let mark = lab.journal.mark();
    lab.bastion
        .write(POLICY, policy.replace("effect =", "efect ="))?;
    lab.journal
        .wait(mark, 1, PATIENCE, |e| e.is("policy.rejected"))
        .pop()
        .context("the typo was not refused")?;
    root("jumpctl check")?.expect_code(1)?;
    lab.bastion.write(POLICY, &policy)?;
    lab.journal
        .wait(mark, 1, PATIENCE, |e| e.is("policy.applied"))
        .pop()
        .context("the policy was not applied")?;
    root("jumpctl status")?.success()?;
    root("jumpctl explain alice db1:22")?.success()?;
    root("jumpctl explain alice db2:22")?.expect_code(1)?;

    chapter("3. Alice gets a second factor: a QR code for her authenticator, and recovery codes.");
    let enrolment = lab
        .jumpctl("mfa enroll alice --no-confirm --json")?
        .success()?;
    let authenticator = std::cell::RefCell::new(Authenticator::from_enrolment(&enrolment.text())?);
    root("jumpctl mfa enroll alice --no-confirm | head -n 40")?.success()?;
    let fresh = lab
        .jumpctl("mfa enroll alice --no-confirm --json")?
        .success()?;
    authenticator.replace(Authenticator::from_enrolment(&fresh.text())?);

    chapter(
        "4. Alice has no line in /etc/passwd. She types what she always types; her ssh is unmodified.",
    );
    root("grep -c alice /etc/passwd; getent passwd alice")?;
    let alice = |typed: &[&str], input: &str, expect: bool| -> Result<Output> {
        let code = authenticator.borrow_mut().any_code()?;
        let answering = seat.answering(&[code])?;
        let (program, arguments) = typed.split_first().context("no command")?;
        let command = answering
            .command(program)
            .args(arguments.iter().copied())
            .input(input);
        println!("\nalice@client$ {}", command.typed());
        let output = command.run()?;
        let text = output.text();
        let prompts = answering.prompts();
        let lines = prompts.iter().map(String::as_str);
        for line in lines.chain(text.lines()).chain(output.stderr.lines()) {
            println!("  {line}");
        }
        ensure!(
            (output.code() == 0) == expect,
            "exit status {}",
            output.code()
        );
        Ok(output)
    };
    let on_db1 = alice(
        &["ssh", "-J", "bastion", "db1", "hostname; whoami"],
        "",
        true,
    )?;
    ensure!(on_db1.text() == "db1\nops", "not on db1");
    seat.write("notes.txt", "for db1\n")?;
    alice(&["scp", "-J", "bastion", "notes.txt", "db1:"], "", true)?;
    alice(
        &["rsync", "-e", "ssh -J bastion", "notes.txt", "db1:copy.txt"],
        "",
        true,
    )?;
    alice(&["sftp", "-J", "bastion", "db1"], "ls -l\n", true)?;
    alice(
        &[
            "ssh",
            "-f",
            "-N",
            "-L",
            "5433:db1:5432",
            "-D",
            "1080",
            "bastion",
        ],
        "",
        true,
    )?;
    let nc = |typed: &str| -> Result<Output> {
        let output = seat.command("sh").args(["-c", typed]).run()?;
        show("alice@client", typed, &output);
        Ok(output)
    };
    let through = nc("echo through -L | nc -N 127.0.0.1 5433")?.success()?;
    ensure!(through.text() == "through -L", "nothing came back");
    let through = nc("echo through -D | nc -N -X 5 -x 127.0.0.1:1080 db1 5432")?.success()?;
    ensure!(through.text() == "through -D", "nothing came back");

    chapter("Any other address or port is refused when it is connected to, however it is spelt.");
    alice(&["ssh", "-J", "bastion", "db2", "hostname"], "", false)?;
    alice(
        &["ssh", "-W", "[::ffff:127.0.0.1]:22", "bastion"],
        "",
        false,
    )?;

    chapter("5. The bastion alone gives the restricted shell.");
    alice(&["ssh", "bastion", "targets"], "", true)?;
    alice(&["ssh", "bastion", "whoami"], "", true)?;
    alice(&["ssh", "bastion", "cat /etc/shadow"], "", false)?;

    chapter(
        "Where what is done must be kept, a hop goes on from that shell, with a certificate of its own, and is recorded.",
    );
    let hopped = lab.journal.mark();
    hops::prepare(&lab, &lab.bastion)?;
    let (before, tests) = policy.split_once("[[tests]]").context("no test")?;
    let recorded = format!(
        "{before}{}\n[[tests]]{tests}",
        hops::rule("alice", "record = true")
    );
    lab.bastion.write(POLICY, &recorded)?;
    lab.journal
        .wait(hopped, 1, PATIENCE, |e| e.is("policy.applied"))
        .pop()
        .context("the rule for hops was not applied")?;
    alice(
        &["ssh", "bastion", "ssh", "ops@db1", "hostname;", "id", "-un"],
        "",
        true,
    )?;
    lab.journal
        .wait(hopped, 1, PATIENCE, |e| e.is("recording.sealed"))
        .pop()
        .context("the hop was not recorded")?;
    root("jumpctl recordings list")?.success()?;
    root("jumpctl recordings grep ops")?.success()?;
    root("jumpctl recordings verify --all")?.success()?;

    chapter("A used code and a wrong one are refused.");
    let code = authenticator.borrow_mut().any_code()?;
    let wrong = authenticator.borrow().wrong_code();
    let whoami = |code: &str| seat.answering(&[code])?.ssh(["bastion", "whoami"]).run();
    whoami(&code)?.success()?;
    for (code, which) in [(&code, "the code of a moment ago"), (&wrong, "a wrong one")] {
        let typed = format!("ssh bastion whoami   # with {which}");
        show("alice@client", &typed, &whoami(code)?.failure()?);
    }

    chapter(
        "The window closes while the tunnel of before is still open: it is cut, and alice is told when it opens.",
    );
    root("jumpctl sessions list")?.success()?;
    let (closed, opens) = window_closed_now("office");
    let (before, _) = policy.split_once("[windows.office]").context("no window")?;
    let (_, after) = policy.split_once("[[rules]]").context("no rule")?;
    let (rule, _) = after.split_once("[[tests]]").context("no test")?;
    let edited = lab.journal.mark();
    lab.bastion
        .write(POLICY, format!("{before}{closed}\n[[rules]]{rule}"))?;
    println!("\nroot@bastion$ editor /etc/jump/policy.toml   # the window now opens {opens} UTC");
    lab.journal
        .wait(edited, 1, PATIENCE, |e| e.is("session.closed"))
        .pop()
        .context("the open session was not cut")?;
    root("jumpctl sessions list")?.success()?;
    alice(&["ssh", "-J", "bastion", "db1", "hostname"], "", false)?;

    chapter("Root has a key on the bastion and logs in as before.");
    append(&lab.bastion, "/root/.ssh/authorized_keys", seat.key())?;
    let as_root = seat.command("ssh").args(["root@bastion", "id -un"]).run()?;
    show("alice@client", "ssh root@bastion id -un", &as_root);
    as_root.success()?;

    chapter(
        "6. Everything stands in the journal: who, from where, by which rule, how long, how many bytes.",
    );
    lab.journal
        .wait(mark, 1, PATIENCE, |e| e.is("forward.closed"));
    root("jumpctl audit | sed -E 's/ (uid|session|policy|key_fp|sandbox|seq|prev)=[^ ]*//g' | cut -c1-160 | tail -n 48")?.success()?;
    root(
        "journalctl -u jumpd -o json --output-fields=JUMP_EVENT,JUMP_USER,JUMP_SRC_IP,JUMP_DST_NAME,JUMP_DST_IP,\
         JUMP_DST_PORT,JUMP_RULE,JUMP_BYTES_SENT,JUMP_BYTES_RECEIVED,JUMP_DURATION_MS JUMP_EVENT=forward.closed \
         | head -n 1 | tr , '\\n' | grep JUMP",
    )?
    .success()?;
    Ok(())
}
