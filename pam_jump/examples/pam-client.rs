//! The PAM client of the lab: logs in through a PAM service as root, without
//! sshd, many times at once or hook by hook.
//!
//! `pam-client race LOGINS SERVICE USER[,USER...] [NAME=VALUE...] [--clock FILE] [--kept KEPT STATE]`
//! For every line `WHERE SECONDS CODE...` on standard input a round: for each USER, in the order of
//! the codes, LOGINS processes wait together and then type the same CODE. WHERE they wait: at the `start` of the
//! login or at its `prompt`. A line on standard output says how many of each user were let in. Before a round libfaketime's
//! FILE is set so that it is SECONDS after 1970 for whoever reads it, and STATE is made anew from KEPT.
//!
//! `pam-client call SERVICE USER [NAME=VALUE...] [--rhost NAME] [--answer TEXT...] HOOK...`
//! One login: calls the hooks and prints what each answered and what the user saw.
//!
//! NAME=VALUE goes into the PAM environment. In no package.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of the lab"
)]

#[path = "../tests/support/application.rs"]
mod application;

use application::{Login, Phase, SUCCESS};
use nix::unistd::{ForkResult, fork, pipe, read, write};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::{BufRead as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a code takes on its way to a login, with a length before it; 64 of them are one write.
const RECORD: usize = 64;
/// What a login says, after its user's place in the list: it stands at its prompt, was let in, or was not.
const READY: u8 = b'r';
const YES: u8 = b'y';
const NO: u8 = b'n';

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.split_first() {
        Some((what, rest)) if what == "race" => Race::read(rest).and_then(|race| race.run()),
        Some((what, rest)) if what == "call" => call(rest),
        _ => Err("race or call; see the source".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("pam-client: {e}");
            ExitCode::from(2)
        }
    }
}

/// Many logins at once.
#[derive(Debug, Default)]
struct Race {
    logins: usize,
    service: String,
    users: Vec<String>,
    environment: Vec<String>,
    clock: Option<String>,
    kept: Option<(String, String)>,
}

/// Where the logins of one user wait.
struct Gates {
    start: OwnedFd,
    prompt: OwnedFd,
}

impl Race {
    fn read(words: &[String]) -> Outcome<Self> {
        let mut words = words.iter().cloned();
        let mut next = || words.next().ok_or("too few words");
        let mut race = Self {
            logins: next()?.parse()?,
            service: next()?,
            users: next()?.split(',').map(str::to_owned).collect(),
            ..Self::default()
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--clock" => race.clock = words.next(),
                "--kept" => race.kept = words.next().zip(words.next()),
                _ => race.environment.push(word),
            }
        }
        Ok(race)
    }

    fn run(&self) -> Outcome<()> {
        let (heard, said) = pipe()?;
        let mut gates: Vec<Gates> = Vec::new();
        for (place, user) in (0..).zip(&self.users) {
            let (start, opens_start) = pipe()?;
            let (prompt, opens_prompt) = pipe()?;
            let waits = Gates { start, prompt };
            for _ in 0..self.logins {
                // SAFETY: this process has one thread; the child runs this program's code and exits.
                if let ForkResult::Child = unsafe { fork() }? {
                    drop((heard, gates, opens_start, opens_prompt));
                    self.log_in_for_ever(place, user, waits, &said);
                }
            }
            gates.push(Gates {
                start: opens_start,
                prompt: opens_prompt,
            });
        }
        drop(said);
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            let [place, seconds, codes @ ..] = &line.split(' ').collect::<Vec<_>>()[..] else {
                return Err(format!("not a round: {line}").into());
            };
            if let Some(file) = &self.clock {
                set_clock(file, seconds.parse()?)?;
            }
            if let Some((kept, state)) = &self.kept {
                std::fs::copy(kept, state)?;
            }
            println!("{}", self.round(*place == "prompt", codes, &gates, &heard)?);
        }
        // The logins see the end of their gates, and go.
        Ok(())
    }

    /// One round: how many of each user were let in.
    fn round(
        &self,
        at_prompt: bool,
        codes: &[&str],
        gates: &[Gates],
        heard: &OwnedFd,
    ) -> Outcome<String> {
        let mut crowds: Vec<Crowd> = self.users.iter().map(|_| Crowd::default()).collect();
        for (gates, code) in gates.iter().zip(codes) {
            let_through(&gates.start, self.logins, if at_prompt { "" } else { code })?;
        }
        if at_prompt {
            while crowds.iter().any(|all| all.ready + all.ended < self.logins) {
                listen(heard, &mut crowds)?;
            }
            for ((gates, code), crowd) in gates.iter().zip(codes).zip(&crowds) {
                let_through(&gates.prompt, crowd.ready, code)?;
            }
        }
        while crowds.iter().any(|all| all.ended < self.logins) {
            listen(heard, &mut crowds)?;
        }
        let yes: Vec<_> = crowds.iter().map(|crowd| crowd.yes.to_string()).collect();
        Ok(yes.join(" "))
    }

    /// One of the logins, round after round, in a process of its own as sshd has one for each.
    fn log_in_for_ever(&self, place: u8, user: &str, gates: Gates, said: &OwnedFd) -> ! {
        let Ok(says_ready) = said.try_clone() else {
            std::process::exit(2);
        };
        let Gates { start, prompt } = gates;
        let (prompt, says_ready) = (Rc::new(prompt), Rc::new(says_ready));
        // Keeps the modules mapped between the rounds, as they are in an sshd that forks: to map them anew
        // costs more than all that is to be tried.
        let _kept = Login::start(&self.service, user, Box::new(|_, _| None));
        loop {
            let Some(code) = pass(&start) else {
                std::process::exit(0);
            };
            let (prompt, says_ready) = (Rc::clone(&prompt), Rc::clone(&says_ready));
            let answer = move |style: application::Style, _: &str| {
                if !style.asks() {
                    return Some(String::new());
                }
                if !code.is_empty() {
                    return Some(code.clone());
                }
                write(&*says_ready, &[place, READY]).ok()?;
                pass(&prompt)
            };
            let Ok(mut login) = Login::start(&self.service, user, Box::new(answer)) else {
                std::process::exit(2);
            };
            for setting in &self.environment {
                login.putenv(setting);
            }
            let end = if login.call(Phase::Authenticate) == SUCCESS {
                YES
            } else {
                NO
            };
            if write(said, &[place, end]).is_err() {
                std::process::exit(0);
            }
        }
    }
}

/// Lets so many through a gate in one write: nobody before another.
fn let_through(gate: &OwnedFd, logins: usize, code: &str) -> Outcome<()> {
    let records = std::iter::repeat_n(record(code)?, logins);
    write(gate, &records.flatten().collect::<Vec<u8>>())?;
    Ok(())
}

/// Waits until the gate lets one through, and what is handed out there.
fn pass(gate: &OwnedFd) -> Option<String> {
    let mut record = [0; RECORD];
    if read(gate, &mut record).ok()? < RECORD {
        return None;
    }
    let code = record.get(1..=usize::from(record[0]))?;
    String::from_utf8(code.to_vec()).ok()
}

/// What the logins of one user have said since the round began.
#[derive(Debug, Default)]
struct Crowd {
    ready: usize,
    yes: usize,
    ended: usize,
}

fn listen(heard: &OwnedFd, crowds: &mut [Crowd]) -> Outcome<()> {
    // Of even length, as every word is: none is cut.
    let mut bytes = [0; 512];
    let length = read(heard, &mut bytes)?;
    if length == 0 {
        return Err("the logins are gone".into());
    }
    for word in bytes.get(..length).unwrap_or_default().chunks(2) {
        let [place, what] = word else { continue };
        let Some(crowd) = crowds.get_mut(usize::from(*place)) else {
            continue;
        };
        match *what {
            READY => crowd.ready += 1,
            end => {
                crowd.yes += usize::from(end == YES);
                crowd.ended += 1;
            }
        }
    }
    Ok(())
}

fn record(code: &str) -> Outcome<[u8; RECORD]> {
    let mut record = [0; RECORD];
    let room = record.get_mut(1..=code.len()).ok_or("too long a code")?;
    room.copy_from_slice(code.as_bytes());
    record[0] = u8::try_from(code.len())?;
    Ok(record)
}

/// Has libfaketime's readers of `file` live at `seconds` after 1970: an offset to the machine's clock.
fn set_clock(file: &str, seconds: f64) -> Outcome<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let offset = Duration::try_from_secs_f64(seconds)?.as_secs_f64() - now.as_secs_f64();
    // In place and of one length: whoever reads meanwhile sees no half of it.
    let text = format!("{offset:+017.3}s\n");
    let file = OpenOptions::new().write(true).open(file)?;
    file.write_all_at(text.as_bytes(), 0)?;
    Ok(())
}

/// One login, hook by hook.
fn call(words: &[String]) -> Outcome<()> {
    let mut words = words.iter().cloned();
    let (service, user) = (
        words.next().ok_or("no service")?,
        words.next().ok_or("no user")?,
    );
    let answers = Rc::new(RefCell::new(VecDeque::new()));
    let given = Rc::clone(&answers);
    let answer = move |style: application::Style, text: &str| {
        println!("  {style:?} {text:?}");
        if style.asks() {
            given.borrow_mut().pop_front()
        } else {
            Some(String::new())
        }
    };
    let mut login = Login::start(&service, &user, Box::new(answer))
        .map_err(|code| format!("pam_start: {code}"))?;
    while let Some(word) = words.next() {
        if word == "--answer" {
            answers.borrow_mut().extend(words.next());
        } else if word == "--rhost" {
            login.set_host(&words.next().unwrap_or_default());
        } else if word.contains('=') {
            login.putenv(&word);
        } else {
            let phase = Phase::named(&word).ok_or_else(|| format!("{word} is no hook"))?;
            println!("{word} {}", login.call(phase));
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}
