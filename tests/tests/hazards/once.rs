//! H1: one code typed by many in the same instant.

use anyhow::{Result, ensure};
use data_encoding::BASE64;
use jump_lab::authenticator::{Authenticator, STEP, seconds};
use jump_lab::base::Kind;
use jump_lab::bastion::Bastion;
use jump_lab::clock;
use jump_lab::lab::{Lab, full, package};
use jump_lab::machine::Machine;
use jump_lab::network::{BASTION, CLIENT, Place};
use jump_lab::pam::{Client, Race, SERVICE, Wait};
use jump_lab::peculiar::OwnSshd;
use jump_lab::story::{PATIENCE, wait_for};
use std::sync::Arc;
use std::time::Instant;

/// Logins at once of one user through PAM, and users at once: a no takes a quarter of a second, in which
/// other users' rounds go on.
const LOGINS: usize = 64;
const USERS: usize = 8;
/// Rounds of each user with a code of the authenticator, each with the next one: 1,000 in all on the
/// two releases together, and as many on each in the long form.
const ROUNDS: usize = 63;
const ROUNDS_OF_THE_LONG_FORM: usize = 125;
/// Every so many rounds, one with an older code that nobody used.
const OLDER_EVERY: usize = 20;
/// Rounds of what others use in our place.
const THEIRS: usize = 40;
/// Logins at once through sshd, and rounds of them.
const THROUGH_SSHD: usize = 32;
const ROUNDS_THROUGH_SSHD: usize = 10;

/// Where the others' state is.
const THEIR_STATE: &str = "/var/lib/lab";
/// A secret in base32, as google-authenticator keeps it, and in hexadecimal, as pam_oath does.
const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const SECRET_HEX: &str = "3132333435363738393031323334353637383930";
/// One of google-authenticator's emergency codes.
const EMERGENCY: &str = "12345678";

/// A jump server on which other modules are installed too, with a disk as servers have one: what
/// google-authenticator compares before it writes, the inode's number among it, is soon the same again there.
const RACING: Place = Place {
    name: "racing",
    addresses: &["10.77.1.41/24", "fd77:1::41/64"],
    second: &["10.77.2.41/24", "fd77:2::41/64"],
    on_disk: &[THEIR_STATE, "/var/lib/jump"],
    ..BASTION
};

/// How a module fared: rounds, those in which several were let in by one code, and the most of them.
struct Tally {
    rounds: usize,
    several: usize,
    most: usize,
}

impl Tally {
    #[expect(clippy::print_stderr, reason = "the comparison is for people to read")]
    fn tell(what: &str, let_in: &[Vec<usize>], begun: Instant) -> Self {
        let rounds = || let_in.iter().flatten().copied();
        let tally = Self {
            rounds: rounds().count(),
            several: rounds().filter(|count| *count > 1).count(),
            most: rounds().max().unwrap_or_default(),
        };
        eprintln!(
            "lab: {what}: of {} rounds of {LOGINS} logins with one code, {} let more than one in, at most {} ({:.1} s)",
            tally.rounds,
            tally.several,
            tally.most,
            begun.elapsed().as_secs_f32()
        );
        tally
    }
}

/// Every other round all wait at the start of the login, and else at the prompt.
fn wait(round: usize) -> Wait {
    if round.is_multiple_of(2) {
        Wait::Start
    } else {
        Wait::Prompt
    }
}

/// A module that others use, with its state as new in each round.
struct Theirs<'m> {
    name: &'static str,
    line: &'static str,
    kept: String,
    code: &'m str,
}

impl Theirs<'_> {
    fn race(&self, host: &Machine, client: &Client<'_>) -> Result<Tally> {
        let begun = Instant::now();
        // By the host itself: only there the directory lies on disk.
        let write = "cd /var/lib/lab && umask 077 && cat >kept && cp kept state";
        let write = host.shell(write).input(self.kept.as_str());
        write.run()?.success()?;
        let stack = format!(
            "auth [success=done default=die] {}\nauth required pam_deny.so\n",
            self.line
        );
        host.write("/etc/pam.d/lab-theirs", stack)?;
        // One after the other, they do keep the code from being used again.
        let alone = client.race(1, "lab-theirs", &["racer0"]);
        let alone = (0..2).fold(alone, |race, _| race.round(Wait::Prompt, 0, &[self.code]));
        let alone = alone.run()?;
        ensure!(alone == [[1], [0]], "{}: {alone:?} one by one", self.name);
        let race = client.race(LOGINS, "lab-theirs", &["racer0"]).with([
            "--kept",
            "/var/lib/lab/kept",
            "/var/lib/lab/state",
        ]);
        let race = (0..THEIRS).fold(race, |race, round| race.round(wait(round), 0, &[self.code]));
        Ok(Tally::tell(self.name, &race.run()?, begun))
    }
}

/// The rounds of google-authenticator and pam_oath.
fn others(host: &Machine, client: &Client<'_>) -> Result<()> {
    let json = format!("{{\"secret\": \"{SECRET}\", \"recovery_codes\": []}}");
    let authenticator = Authenticator::from_enrolment(&json)?;
    // How often they err depends on the disk: told in any case, and relied upon where it was measured.
    let disk = format!("stat --file-system --format=%T {THEIR_STATE}");
    let reuses_numbers = host.shell(&disk).run()?.success()?.text() == "ext2/ext3";
    for (name, code) in [
        ("pam_google_authenticator", authenticator.code_at(seconds())),
        (
            "pam_google_authenticator with an emergency code",
            EMERGENCY.to_owned(),
        ),
    ] {
        let theirs = Theirs {
            name,
            line: "pam_google_authenticator.so user=root secret=/var/lib/lab/state",
            kept: format!(
                "{SECRET}\n\" DISALLOW_REUSE\n\" WINDOW_SIZE 5\n\" TOTP_AUTH\n{EMERGENCY}\n"
            ),
            code: &code,
        };
        let tally = theirs.race(host, client)?;
        ensure!(
            tally.several >= 1 || !reuses_numbers,
            "{name} let one in in every round: this comparison compares nothing"
        );
    }
    let oath = Theirs {
        name: "pam_oath",
        line: "pam_oath.so usersfile=/var/lib/lab/state window=5",
        kept: format!("HOTP/T30 racer0 - {SECRET_HEX}\n"),
        code: &authenticator.code_at(seconds()),
    };
    // How often it does depends on the machine: told, and not relied upon.
    let tally = oath.race(host, client)?;
    ensure!(tally.most >= 1, "pam_oath let nobody in");
    Ok(())
}

/// Those who race, on a host of their own, with their authenticators.
struct Racers {
    machine: Arc<Machine>,
    names: Vec<String>,
    authenticators: Vec<Authenticator>,
}

impl Racers {
    fn gather(lab: &Lab) -> Result<Self> {
        let machine = Arc::new(lab.another_of(Kind::Workbench, &RACING)?);
        let host = Bastion::new(Arc::clone(&machine))?;
        host.install(&package()?)?;
        let names: Vec<_> = (0..USERS).map(|number| format!("racer{number}")).collect();
        host.edit_policy(|policy| {
            for ((number, uid), name) in (0..).zip(77_000..).zip(&names) {
                policy.add(name, uid, &key(number), "", "");
            }
        })?;
        clock::put(&machine, &["jumpd"])?;
        let mut authenticators = Vec::new();
        for name in &names {
            let enrol = format!("mfa enroll {name} --no-confirm --json");
            let enrolment = host.jumpctl(&enrol)?.success()?;
            authenticators.push(Authenticator::from_enrolment(&enrolment.text())?);
        }
        // The host goes on without a Bastion: tens of thousands of events need not be told to the lab.
        Ok(Self {
            machine,
            names,
            authenticators,
        })
    }

    fn race(&self, client: &Client<'_>) -> Race {
        self.race_of(client, &self.names)
    }

    fn race_of(&self, client: &Client<'_>, names: &[String]) -> Race {
        let settings = [
            format!(
                "SSH_CONNECTION={} 40000 {} 22",
                CLIENT.address(),
                RACING.address()
            ),
            format!("SSH_AUTH_INFO_0=publickey {}", key(0)),
        ];
        client.race(LOGINS, SERVICE, names).with(settings)
    }

    fn codes_at(&self, seconds: u64) -> Vec<String> {
        let each = self.authenticators.iter();
        each.map(|authenticator| authenticator.code_at(seconds))
            .collect()
    }

    /// How many were let in, by the host's own journal.
    fn accepted(&self) -> Result<usize> {
        let line = "journalctl --quiet --output=cat JUMP_EVENT=mfa.ok | wc -l";
        Ok(self
            .machine
            .shell(line)
            .run()?
            .success()?
            .text()
            .trim()
            .parse()?)
    }
}

/// A public key, of which there is no private one.
fn key(number: u8) -> String {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend([number; 32]);
    format!("ssh-ed25519 {}", BASE64.encode(&blob))
}

/// Given 64 logins at once of each of eight users through PAM, round after round, then some of google-authenticator's codes let several in; of ours each lets one in, an older one nobody, and a recovery code one.
pub(crate) fn h01_of_64_logins_through_pam_one_gets_in(lab: &Lab) -> Result<()> {
    let mut racers = Racers::gather(lab)?;
    let machine = Arc::clone(&racers.machine);
    let client = Client::on(&machine)?;
    others(&machine, &client)?;

    let begun = Instant::now();
    let mut race = racers.race(&client).with(["--clock", clock::OFFSET]);
    let mut due = Vec::new();
    // jumpd's clock goes from step to step of the authenticators, so no round waits for the next code.
    let mut now = seconds() / STEP * STEP + STEP / 2;
    let rounds = if full() {
        ROUNDS_OF_THE_LONG_FORM
    } else {
        ROUNDS
    };
    for round in 1..=rounds {
        if round % OLDER_EVERY == 0 {
            // The code after the present one, which is early but right; then the present one, which is now too old.
            race = race
                .round(wait(round), now, &racers.codes_at(now + STEP))
                .round(wait(round), now, &racers.codes_at(now));
            due.extend([1, 0]);
            now += 2 * STEP;
        } else {
            race = race.round(wait(round / 2), now, &racers.codes_at(now));
            due.push(1);
            now += STEP;
        }
    }
    let let_in = race.run()?;
    Tally::tell("pam_jump", &let_in, begun);
    let both = let_in.iter().zip(&due).enumerate();
    let wrong: Vec<_> = both
        .filter(|(_, (got, due))| got.iter().any(|got| got != *due))
        .collect();
    ensure!(wrong.is_empty(), "rounds, let in, due: {wrong:?}");

    // One user at a time: each of these answers takes a slow hash, of which there are few at a time.
    let begun = Instant::now();
    let sheets = if full() { 10 } else { 1 };
    let mut let_in = Vec::new();
    for (number, name) in racers.names.iter().enumerate() {
        let mut race = racers.race_of(&client, std::slice::from_ref(name));
        for round in 0..sheets {
            let code = racers.authenticators[number].recovery_code()?;
            race = race.round(wait(round + number), 0, &[code]);
        }
        let_in.extend(race.run()?);
    }
    Tally::tell("pam_jump with a recovery code", &let_in, begun);
    ensure!(
        let_in.iter().flatten().all(|count| *count == 1),
        "let in by a recovery code: {let_in:?}"
    );
    let all = USERS * (rounds + sheets);
    wait_for("an event for each that was let in", || {
        Ok(racers.accepted()? == all)
    })
}

/// Given 32 logins that wait at the prompts of two sshds, when all answer alike in the same instant, then one gets in, round after round, with a recovery code too.
pub(crate) fn h01_of_32_logins_through_two_sshds_one_gets_in(lab: &Lab) -> Result<()> {
    let dave = lab.admin("dave").may_reach_databases().arrive()?;
    let second = OwnSshd::start(&lab.bastion, 4022, "")?;
    let with_codes = ROUNDS_THROUGH_SSHD * if full() { 10 } else { 1 };
    let rounds = with_codes + with_codes / 5;
    for round in 0..rounds {
        let enrolment = lab
            .jumpctl("mfa enroll dave --no-confirm --json")?
            .success()?;
        let mut authenticator = Authenticator::from_enrolment(&enrolment.text())?;
        let code = if round < with_codes {
            authenticator.code()?
        } else {
            authenticator.recovery_code()?
        };
        let answering = dave.seat.answering::<String>(&[])?;
        let gate = answering.gate()?;
        let logins = (0..THROUGH_SSHD)
            .map(|login| {
                let to_second = second.options();
                let options = to_second.iter().filter(|_| login % 2 == 1);
                answering
                    .ssh(options.cloned())
                    .args(["bastion", "whoami"])
                    .start()
            })
            .collect::<Result<Vec<_>>>()?;
        gate.wait_for_prompts(THROUGH_SSHD)?;
        answering.answer(&vec![code; THROUGH_SSHD])?;
        drop(gate);
        let mut inside = 0;
        for login in logins {
            inside += usize::from(login.wait(PATIENCE)?.code() == 0);
        }
        ensure!(
            inside == 1,
            "round {round}: {inside} of {THROUGH_SSHD} logins got in with one code"
        );
    }
    let accepted = dave.wait_events("mfa.ok", rounds).len();
    ensure!(
        accepted == rounds,
        "{accepted} codes accepted in {rounds} rounds"
    );
    Ok(())
}
