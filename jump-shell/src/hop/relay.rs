//! Bytes between the user and the ssh of a hop.
//!
//! One loop and one poll(2): it reads what is ready, hands it on at once, and waits
//! only for what was not ready. What ssh says goes through [`Output`], in order. Words
//! of this shell's own stand between its pieces, never within one.

use super::desk::Desk;
use super::finish::Finish;
use super::output::{Filled, Output, SLOT, Shown, Sink, Stream, with_returns};
use super::own_words::{Failure, Gate};
use super::recorder::Recorder;
use super::runner::{Order, Report};
use super::watch::{Place, Ready, Watch};
use super::{Hops, Input, ShellEnds};
use crate::print;
use crate::terminal::Terminal;
use crate::text::shown;
use jump_proto::Channel;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// Bytes of the user's that wait for ssh at most.
const TYPED: usize = 64 * 1024;

/// One read of standard error: with what was held back before, and a return before each line's end, a slot holds it.
const ERRORS: usize = SLOT / 4;

/// How long the runner may take to end an ssh.
const END: Duration = Duration::from_secs(2);

/// The number of the signal that tells of another size.
const RESIZED: u32 = Signal::SIGWINCH as u32;

/// Who takes part besides ssh.
#[derive(Debug)]
pub(super) struct Parties<'a> {
    pub(super) terminal: Option<&'a Terminal>,
    pub(super) signals: Option<&'a SignalFd>,
    /// For a person at a terminal, and for a login.
    pub(super) desk: Desk<'a>,
    pub(super) recorder: Option<Recorder>,
    /// What the user typed before.
    pub(super) typed: Vec<u8>,
}

/// One hop.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    runner: &'a Channel,
    input: Input<'a>,
    from: BorrowedFd<'a>,
    errors_from: BorrowedFd<'a>,
    out: &'a Sink,
    errors: &'a Sink,
    parties: Parties<'a>,
    output: Output,
    gate: Gate,
    /// Bytes of the user's that ssh has not taken: from `typed_at` on.
    typed: Vec<u8>,
    typed_at: usize,
    typing_ended: bool,
    /// Words of this shell's own, as far as they are not shown, and whether some are.
    aside: Vec<u8>,
    aside_begun: bool,
    waits: Option<Stream>,
    /// Only then what is typed is for this ssh, and not for one before.
    is_started: bool,
    ended: Option<Option<u8>>,
    is_drained: [bool; 2],
    /// Everything was handed to the recorder, the end as well.
    is_told: bool,
    failure: Option<Failure>,
}

impl<'a> Relay<'a> {
    pub(super) fn new(hops: &'a mut Hops, mut parties: Parties<'a>) -> Self {
        let (input, from, errors_from) = match &mut hops.ends {
            ShellEnds::Terminal { master, errors } => {
                let (master, errors): (&OwnedFd, &OwnedFd) = (master, errors);
                (
                    Input::Terminal(master.as_fd()),
                    master.as_fd(),
                    errors.as_fd(),
                )
            }
            ShellEnds::Pipes {
                input,
                output,
                errors,
            } => {
                let (output, errors): (&OwnedFd, &OwnedFd) = (output, errors);
                (Input::Pipe(input), output.as_fd(), errors.as_fd())
            }
        };
        let typed = std::mem::take(&mut parties.typed);
        let mut relay = Self {
            runner: &hops.runner,
            input,
            from,
            errors_from,
            out: &hops.out,
            errors: &hops.errors,
            parties,
            output: Output::new(),
            gate: Gate::default(),
            typed,
            typed_at: 0,
            typing_ended: false,
            aside: Vec::new(),
            aside_begun: false,
            waits: None,
            is_started: false,
            ended: None,
            is_drained: [false; 2],
            is_told: false,
            failure: None,
        };
        relay.resize();
        relay
    }

    /// Relays until ssh has ended and all it said is shown.
    pub(super) fn run(mut self) -> Finish {
        let finish = self.until_the_end();
        let is_running = !matches!(
            finish,
            Finish::Ended { .. } | Finish::NotStarted(_) | Finish::RunnerGone
        );
        if is_running && self.ended.is_none() && !self.stop() {
            return Finish::RunnerGone;
        }
        finish
    }

    fn until_the_end(&mut self) -> Finish {
        loop {
            let now = Instant::now();
            if let Err(finish) = self.move_on(now) {
                return finish;
            }
            if let Some(status) = self.ended.filter(|_| self.is_over()) {
                let failure = self.failure.take();
                return Finish::Ended { status, failure };
            }
            let ready = self.wait(now);
            if let Err(finish) = self.take(ready, now) {
                return finish;
            }
        }
    }

    /// Hands on what there is.
    fn move_on(&mut self, now: Instant) -> Result<(), Finish> {
        self.pass_typed();
        self.end_of_output();
        match &mut self.parties.recorder {
            Some(recorder) => {
                recorder.send(&self.output, now).map_err(Finish::Lost)?;
                let notices: Vec<String> = recorder.notices().collect();
                for notice in notices {
                    self.say(&shown(&notice));
                }
            }
            None => self.output.keep(u64::MAX),
        }
        self.parties.desk.ask(now)?;
        self.show()
    }

    /// Once ssh has ended and was read to the end, its own last words are looked at.
    fn end_of_output(&mut self) {
        let Some(status) = self.ended.filter(|_| !self.is_told) else {
            return;
        };
        if self.is_drained != [true; 2] || !self.output.has_room() {
            return;
        }
        let held = self.gate.open();
        if status == Some(u8::MAX) && !held.is_empty() {
            self.failure = Failure::of(&held);
        }
        // A target may write what ssh would say: of a recorded hop nothing is shown that is not recorded.
        if self.failure.is_none() || self.parties.recorder.is_some() {
            self.put_errors(&held);
        }
        self.is_told = true;
        if let Some(recorder) = &mut self.parties.recorder {
            recorder.over(status.unwrap_or(u8::MAX), &self.output);
        }
    }

    fn is_over(&self) -> bool {
        self.is_told
            && self.output.is_shown()
            && self.aside.is_empty()
            && self.parties.recorder.as_ref().is_none_or(Recorder::is_done)
    }

    /// Whether the target may hear what was typed: of a recorded hop nothing while nobody records it.
    fn may_type(&self) -> bool {
        let recorder = self.parties.recorder.as_ref();
        self.is_started && self.ended.is_none() && recorder.is_none_or(Recorder::is_there)
    }

    fn pass_typed(&mut self) {
        if !self.may_type() {
            return;
        }
        while self.typed_at < self.typed.len() {
            let Some(input) = self.input.file() else {
                self.typed_at = self.typed.len();
                break;
            };
            match rustix::io::write(input, &self.typed[self.typed_at..]) {
                Ok(count) => self.typed_at += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // ssh reads no more.
                Err(_) => self.typed_at = self.typed.len(),
            }
        }
        if self.typing_ended
            && let Input::Pipe(pipe) = &mut self.input
        {
            // The end of what the user says is the end of what ssh hears.
            **pipe = None;
        }
    }

    fn show(&mut self) -> Result<(), Finish> {
        self.waits = None;
        if self.aside.is_empty() || !(self.aside_begun || self.output.is_between()) {
            self.show_output()?;
        }
        if self.waits.is_some() || self.aside.is_empty() {
            return Ok(());
        }
        let (sink, stream) = match self.parties.terminal {
            Some(_) => (self.out, Stream::Out),
            None => (self.errors, Stream::Errors),
        };
        while !self.aside.is_empty() {
            self.aside_begun = true;
            match sink.write(&self.aside) {
                Ok(count) => drop(self.aside.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.waits = Some(stream);
                    return Ok(());
                }
                Err(_) => return Err(Finish::UserGone),
            }
        }
        self.aside_begun = false;
        self.show_output()
    }

    fn show_output(&mut self) -> Result<(), Finish> {
        match self.output.show(self.out, self.errors) {
            Shown::All => Ok(()),
            Shown::Waits(stream) => {
                self.waits = Some(stream);
                Ok(())
            }
            Shown::Gone => Err(Finish::UserGone),
        }
    }

    /// A sentence of this shell's own, on a line of its own.
    fn say(&mut self, sentence: &str) {
        let line = match self.parties.terminal {
            Some(_) => format!("\r\n{sentence}\r\n"),
            None => print::sentence(sentence),
        };
        self.aside.extend_from_slice(line.as_bytes());
    }

    /// Waits until something is ready, or due.
    fn wait(&self, now: Instant) -> Ready {
        let at_user = |stream| match self.waits {
            Some(waits) if waits == stream => PollFlags::OUT,
            _ => PollFlags::empty(),
        };
        let mut watch = Watch::new(self.out.as_fd(), at_user(Stream::Out));
        if self.waits == Some(Stream::Errors) {
            watch.add(Place::Errors, self.errors.as_fd(), PollFlags::OUT);
        }
        self.watch_ssh(&mut watch);
        if let Some(signals) = self.parties.signals {
            watch.add(Place::Signals, signals.as_fd(), PollFlags::IN);
        }
        let recorder = self.parties.recorder.as_ref();
        if let Some((file, events)) = recorder.and_then(Recorder::awaited) {
            watch.add(Place::Recorder, file, events);
        }
        let desk = &self.parties.desk;
        if let Some(file) = desk.awaited() {
            watch.add(Place::Desk, file, PollFlags::IN);
        }
        let due = [recorder.and_then(Recorder::deadline), desk.deadline()];
        watch.wait(now, due.into_iter().flatten().min())
    }

    fn watch_ssh<'f>(&'f self, watch: &mut Watch<'f>) {
        let may_type = self.may_type();
        let has_typed = may_type && self.typed_at < self.typed.len();
        if may_type && !has_typed && !self.typing_ended {
            watch.add(Place::Typed, rustix::stdio::stdin(), PollFlags::IN);
        }
        if let Some(input) = self.input.file().filter(|_| has_typed) {
            watch.add(Place::Input, input, PollFlags::OUT);
        }
        let [is_drained, are_errors_drained] = self.is_drained;
        if self.output.has_room() && !is_drained {
            watch.add(Place::Said, self.from, PollFlags::IN);
        }
        if self.output.has_room() && !are_errors_drained {
            watch.add(Place::SaidErrors, self.errors_from, PollFlags::IN);
        }
        if self.ended.is_none() {
            watch.add(Place::Runner, self.runner.as_fd(), PollFlags::IN);
        }
    }

    /// Takes what came.
    fn take(&mut self, ready: Ready, now: Instant) -> Result<(), Finish> {
        if ready.at(Place::Recorder)
            && let Some(recorder) = &mut self.parties.recorder
        {
            recorder.hear(&mut self.output, now).map_err(Finish::Lost)?;
        }
        if ready.is_broken(Place::User) || ready.is_broken(Place::Errors) {
            return Err(Finish::UserGone);
        }
        if ready.at(Place::Typed) {
            self.read_typed()?;
        }
        if ready.at(Place::Runner) {
            self.hear_runner()?;
        }
        if ready.at(Place::Said) || self.ended.is_some() {
            self.read_said();
        }
        if ready.at(Place::SaidErrors) || self.ended.is_some() {
            self.read_errors();
        }
        if ready.at(Place::Signals) {
            self.hear_signals();
        }
        if ready.at(Place::Desk)
            && let Some(sentence) = self.parties.desk.hear()
        {
            self.say(&sentence);
        }
        Ok(())
    }

    fn read_typed(&mut self) -> Result<(), Finish> {
        self.typed.resize(TYPED, 0);
        let read = rustix::io::read(rustix::stdio::stdin(), &mut self.typed[..]);
        self.typed_at = 0;
        self.typed.truncate(read.unwrap_or(0));
        match read {
            Ok(1..) => {
                self.parties.desk.typed();
                Ok(())
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            // A terminal that is hung up.
            _ if self.parties.terminal.is_some() => Err(Finish::UserGone),
            Ok(_) | Err(_) => {
                self.typing_ended = true;
                Ok(())
            }
        }
    }

    fn read_said(&mut self) {
        if self.is_drained[0] || !self.output.has_room() {
            return;
        }
        match self.output.fill(self.from) {
            // Without a terminal there the target speaks only after a login.
            Filled::Slot if matches!(self.input, Input::Pipe(_)) => {
                self.parties.desk.has_spoken();
                self.open_gate();
            }
            Filled::Slot => self.parties.desk.has_spoken(),
            // Nobody holds the other end of a pipe any more; of a terminal the runner does.
            Filled::Nothing => self.is_drained[0] = self.ended.is_some(),
            Filled::End => self.is_drained[0] = true,
        }
    }

    fn open_gate(&mut self) {
        if self.output.has_room() {
            let held = self.gate.open();
            self.put_errors(&held);
        }
    }

    fn read_errors(&mut self) {
        if self.is_drained[1] || !self.output.has_room() {
            return;
        }
        let mut bytes = [0; ERRORS];
        match rustix::io::read(self.errors_from, &mut bytes) {
            Ok(count @ 1..) => {
                let bytes = &bytes[..count];
                match self.gate.pass(bytes) {
                    Some(passed) => {
                        if !passed.is_empty() {
                            self.parties.desk.has_spoken();
                        }
                        self.put_errors(&passed);
                    }
                    None => self.put_errors(bytes),
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => self.is_drained[1] = self.ended.is_some(),
            Ok(_) | Err(_) => self.is_drained[1] = true,
        }
    }

    /// Bytes of standard error. A terminal that passes bytes on as they are needs a return at each line's end.
    fn put_errors(&mut self, bytes: &[u8]) {
        if self.parties.terminal.is_none() {
            return self.output.put(bytes, Stream::Errors);
        }
        let lines = with_returns(bytes);
        self.output.put(&lines, Stream::Out);
    }

    fn hear_runner(&mut self) -> Result<(), Finish> {
        match self.runner.recv::<Report>() {
            Ok(Some(Report::Started)) => {
                self.is_started = true;
                Ok(())
            }
            Ok(Some(Report::Ended { status })) => {
                self.ended = Some(status);
                Ok(())
            }
            Ok(Some(Report::NotStarted(why))) => {
                self.ended = Some(None);
                Err(Finish::NotStarted(why))
            }
            _ => {
                self.ended = Some(None);
                Err(Finish::RunnerGone)
            }
        }
    }

    fn hear_signals(&mut self) {
        let mut is_resized = false;
        // Ctrl-C and its like are keys during a hop, and go to ssh as such.
        while let Some(Ok(Some(signal))) = self.parties.signals.map(SignalFd::read_signal) {
            is_resized |= signal.ssi_signo == RESIZED;
        }
        if is_resized {
            self.resize();
        }
    }

    /// The hop's terminal gets the size of the user's.
    fn resize(&mut self) {
        let size = self.parties.terminal.and_then(Terminal::size);
        if let (Some(size), Input::Terminal(master)) = (size, &self.input) {
            // One that is gone says so elsewhere.
            let _ = rustix::termios::tcsetwinsize(master, size);
            if let Some(recorder) = &mut self.parties.recorder {
                recorder.resized(size.ws_col, size.ws_row);
            }
        }
    }

    /// Ends ssh; false where the runner does not do it.
    fn stop(&self) -> bool {
        if self.runner.set_timeout(Some(END)).is_err() || self.runner.send(&Order::Stop).is_err() {
            return false;
        }
        loop {
            match self.runner.recv::<Report>() {
                Ok(Some(Report::Started)) => {}
                Ok(Some(Report::Ended { .. } | Report::NotStarted(_))) => return true,
                Ok(None) | Err(_) => return false,
            }
        }
    }
}
