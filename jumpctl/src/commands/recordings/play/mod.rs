//! `jumpctl recordings play`: as it was on the screen, at any speed, from any moment.
//!
//! At a terminal the recorded screen is drawn by our own emulator, and keys
//! say how it goes on. Elsewhere all of it is written at once. Only with
//! `--raw` do the recorded bytes themselves reach whoever looks.

mod control;
mod draw;
mod film;
mod keys;
mod moment;
mod terminal;

use super::Desk;
use super::item::Item;
use super::opened::{Opened, open};
use crate::cli::recordings::Play;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable, remark};
use control::{Asked, Control, Manner, happened};
use draw::Canvas;
use film::{Film, Next};
use jump_recording::{Defuser, Frame, Keys, Kind, Problem, Speed};
use std::fs::File;
use std::io::{self, BufReader};
use std::time::{Duration, Instant};
use terminal::{Happened, Terminal};

/// No faster than an eye sees.
const PICTURE: Duration = Duration::from_millis(16);
/// The clock of the status goes on while nothing happens.
const TICK: Duration = Duration::from_millis(500);

pub(super) fn run(desk: &Desk, wanted: &Play, keys: &Keys, out: &mut Output) -> Answer {
    if out.is_json() {
        return Err(Error::Usage(
            "nothing is played for programs; export --format cast is for them".to_owned(),
        ));
    }
    let speed = Speed::new(wanted.speed)
        .ok_or_else(|| Error::Usage("--speed is a number from 0.001 to 1000".to_owned()))?;
    let idle = wanted.idle.map(|seconds| seconds.saturating_mul(1_000_000));
    let opened = open(desk, &wanted.recording, keys)?;
    let began = opened.item.began_ms();
    let at = wanted.at.as_deref();
    let at = at
        .map(|text| moment::at(text, began, &desk.now))
        .transpose()?;
    if !terminal::is_there() {
        return whole(opened, wanted.raw, at.unwrap_or(0), out);
    }
    let manner = Manner {
        speed,
        idle,
        paused: wanted.step,
    };
    let mut stage = Stage::new(opened, manner, wanted.raw)?;
    stage.go_to(at.unwrap_or(0));
    stage.play(out)
}

/// All of it at once, for a file or a pager; from a moment on.
fn whole(opened: Opened, raw: bool, from: u64, out: &mut Output) -> Answer {
    let Opened { item, mut reader } = opened;
    let mut defuser = Defuser::new();
    let page = out.writer();
    let mut put = |frame: &Frame| match (frame.kind, raw) {
        (Kind::Output, true) => page.write_all(&frame.data),
        (Kind::Output, false) => page.write_all(defuser.push(&frame.data).as_bytes()),
        _ => Ok(()),
    };
    let mut fault = None;
    let mut written = Ok(());
    for frame in reader.frames() {
        match frame {
            Ok(frame) if frame.micros >= from => written = put(&frame),
            Ok(_) => {}
            Err(broken) => fault = Some(broken),
        }
        if written.is_err() {
            break;
        }
    }
    if written.is_ok() && !raw {
        written = page.write_all(defuser.finish().as_bytes());
    }
    match written.and_then(|()| page.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(Error::Output(e)),
        _ => {}
    }
    let Some(fault) = fault else {
        return Ok(Outcome::Yes);
    };
    remark(format_args!("{}: it ends {fault}", printable(item.name())));
    Ok(Outcome::from_bool(matches!(fault.problem, Problem::Cut)))
}

/// A recording on a terminal.
struct Stage {
    film: Film<BufReader<File>>,
    control: Control,
    terminal: Terminal,
    canvas: Canvas,
    raw: bool,
    /// What is to be written before the next wait.
    pending: Vec<u8>,
}

impl Stage {
    fn new(opened: Opened, manner: Manner, raw: bool) -> Result<Self, Error> {
        let Opened { item, reader } = opened;
        let index = BufReader::new(item.place.open()?);
        let film = Film::new(reader, index)
            .map_err(|fault| super::item::wrong(&item.place.path, &fault))?;
        let terminal = Terminal::take(raw)?;
        let size = terminal.size();
        let mut control = Control::new(manner, item.micros);
        control.note = Some(greeting(&item, size));
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let mut stage = Self {
            film,
            control,
            terminal,
            canvas: Canvas::new(size, plain),
            raw,
            pending: Vec::new(),
        };
        if raw {
            let said = stage.control.note.take().unwrap_or_default();
            stage
                .pending
                .extend_from_slice(format!("jumpctl: {said}\r\n").as_bytes());
        }
        Ok(stage)
    }

    fn play(&mut self, out: &mut Output) -> Answer {
        let mut last = Instant::now();
        loop {
            self.draw(out)?;
            let due = self.control.due(&mut self.film);
            let wait = match due {
                Some(due) if self.raw => Some(due),
                Some(due) => Some(due.clamp(PICTURE, TICK)),
                None => None,
            };
            let happened = self.terminal.wait(wait);
            let now = Instant::now();
            self.pass(now.duration_since(last));
            last = now;
            match happened {
                Happened::Nothing => {}
                Happened::Resized => self.canvas.anew(self.terminal.size()),
                Happened::End => return Ok(Outcome::Yes),
                Happened::Suspend => self.suspend(),
                Happened::Typed(bytes) => {
                    for key in keys::keys(&bytes) {
                        if !self.press(key) {
                            return Ok(Outcome::Yes);
                        }
                    }
                }
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let (raw, pending) = (self.raw, &mut self.pending);
        self.control
            .pass(&mut self.film, time, &mut |frame| put(raw, frame, pending));
    }

    /// False if that was enough.
    fn press(&mut self, key: keys::Key) -> bool {
        match self.control.press(key) {
            Asked::Nothing => {}
            Asked::Quit => return false,
            Asked::Suspend => self.suspend(),
            Asked::GoTo(at) => self.go_to(at),
            Asked::Step => self.step(),
        }
        true
    }

    fn suspend(&mut self) {
        self.terminal.suspend();
        self.canvas.anew(self.terminal.size());
    }

    fn go_to(&mut self, at: u64) {
        if self.raw && at < self.film.now() {
            // Nobody knows what the screen was but the terminal itself: all of it again.
            self.film.rewind();
            self.pending
                .extend_from_slice(b"\x1b[!p\x1b[?1049l\x1b[H\x1b[2J");
        }
        let (raw, pending, terminal) = (self.raw, &mut self.pending, &self.terminal);
        let mut frames = 0_u32;
        let mut on = || {
            frames = frames.wrapping_add(1);
            // A key, or a signal, stops a long way.
            !frames.is_multiple_of(64) || !terminal.calls()
        };
        self.film
            .go_to(at, &mut |frame| put(raw, frame, pending), &mut on);
        let stopped = matches!(self.film.next(), Next::Frame(next) if next <= at);
        self.control
            .arrived(if stopped { self.film.now() } else { at });
    }

    fn step(&mut self) {
        while let Some(frame) = self.film.show() {
            put(self.raw, &frame, &mut self.pending);
            if happened(&frame) {
                break;
            }
        }
        self.control.arrived(self.film.now());
    }

    fn draw(&mut self, out: &mut Output) -> Result<(), Error> {
        if !self.raw {
            // What happens next decides what the status says.
            self.control.due(&mut self.film);
            let (_, rows) = self.canvas.size();
            let room = rows > self.film.screen().size().1;
            let status = (room || self.control.speaks()).then(|| self.control.status());
            let drawn = self.canvas.draw(self.film.screen(), status.as_deref());
            self.pending.extend_from_slice(drawn.as_bytes());
        }
        let page = out.writer();
        let written = page.write_all(&self.pending).and_then(|()| page.flush());
        self.pending.clear();
        written.map_err(Error::Output)
    }
}

/// What reaches the terminal of a frame itself.
fn put(raw: bool, frame: &Frame, pending: &mut Vec<u8>) {
    if raw && frame.kind == Kind::Output {
        pending.extend_from_slice(&frame.data);
    }
}

/// Who did this where; and whether all of it fits on this terminal.
fn greeting(item: &Item, (cols, rows): (usize, usize)) -> String {
    let (term, facts) = (&item.header.term, &item.header.facts);
    let (user, place) = (printable(&facts.user), printable(&facts.place()));
    let mut said = format!("{user} on {place}");
    if usize::from(term.cols) > cols || usize::from(term.rows) > rows {
        said.push_str(&format!(
            ", recorded at {}x{}, and this terminal has {cols}x{rows}: not all is seen",
            term.cols, term.rows
        ));
    }
    said
}
