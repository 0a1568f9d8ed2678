//! What the keys do: when the next frame is due, and what the status says.
//!
//! No clock and no terminal: time passes when it is told to.

use super::super::clock;
use super::film::{Film, Next};
use super::keys::Key;
use super::moment;
use jump_recording::{Frame, Kind, Speed};
use std::io::{Read, Seek};
use std::time::Duration;

/// What a key that goes skips, in microseconds: the arrows to the sides, and up and down.
const STEP: u64 = 10_000_000;
const LEAP: u64 = 60_000_000;
/// Between half as fast and twice as fast are two presses of a key.
const FASTEST: f64 = 256.0;
const SLOWEST: f64 = 1.0 / 16.0;

/// How it is played.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) speed: Speed,
    /// The longest wait, in microseconds of the recording.
    pub(super) idle: Option<u64>,
    pub(super) paused: bool,
}

/// What a key asks of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Quit,
    Suspend,
    /// Show this moment.
    GoTo(u64),
    /// Show the next thing that happened.
    Step,
}

/// The player's state.
pub(super) struct Control {
    manner: Manner,
    /// The moment that is shown, in microseconds; runs on between two frames.
    at: u64,
    /// Since the last frame.
    waited: u64,
    /// How long the recording is, as far as is known.
    length: u64,
    /// What is being typed behind "go to".
    typed: Option<String>,
    pub(super) note: Option<String>,
    end: Option<Next>,
}

impl Control {
    pub(super) fn new(manner: Manner, length: u64) -> Self {
        Self {
            manner,
            at: 0,
            waited: 0,
            length,
            typed: None,
            note: None,
            end: None,
        }
    }

    /// How long until the next frame is due; `None` while nothing will happen by itself.
    pub(super) fn due<R: Read + Seek>(&mut self, film: &mut Film<R>) -> Option<Duration> {
        let next = film.next();
        let at = match next {
            Next::Frame(at) => at,
            Next::Nothing => {
                self.end = Some(next);
                return Some(Duration::from_millis(250));
            }
            Next::End | Next::Broken(_) => {
                self.end = Some(next);
                return None;
            }
        };
        self.end = None;
        if self.manner.paused || self.typed.is_some() {
            return None;
        }
        let mut wait = at.saturating_sub(self.at);
        if let Some(idle) = self.manner.idle {
            wait = wait.min(idle.saturating_sub(self.waited));
        }
        #[allow(clippy::cast_precision_loss, reason = "a wait, not a sum")]
        let seconds = wait as f64 / 1e6 / self.manner.speed.factor();
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    /// Time has passed: shows what is due. Gives whether anything was.
    pub(super) fn pass<R: Read + Seek>(
        &mut self,
        film: &mut Film<R>,
        time: Duration,
        each: &mut dyn FnMut(&Frame),
    ) -> bool {
        if self.manner.paused || self.typed.is_some() {
            return false;
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number of microseconds"
        )]
        let passed = (time.as_secs_f64() * self.manner.speed.factor() * 1e6) as u64;
        let mut shown = false;
        let (mut to, mut waited) = (
            self.at.saturating_add(passed),
            self.waited.saturating_add(passed),
        );
        while let Next::Frame(at) = film.next() {
            let idle = self.manner.idle.is_some_and(|idle| waited >= idle);
            if at > to && !idle {
                break;
            }
            to = to.max(at);
            waited = to - at;
            if let Some(frame) = film.show() {
                each(&frame);
            }
            shown = true;
        }
        // Where nothing comes, time stands still.
        if matches!(film.next(), Next::Frame(_)) {
            (self.at, self.waited) = (to, waited);
        } else {
            (self.at, self.waited) = (film.now(), 0);
        }
        self.length = self.length.max(self.at);
        shown
    }

    /// The moment that is shown.
    pub(super) fn arrived(&mut self, at: u64) {
        (self.at, self.waited) = (at, 0);
        self.length = self.length.max(at);
    }

    /// What this key asks for.
    pub(super) fn press(&mut self, key: Key) -> Asked {
        self.note = None;
        if let Some(typed) = self.typed.take() {
            return self.type_moment(typed, key);
        }
        match key {
            Key::Char('q') | Key::Quit => return Asked::Quit,
            Key::Suspend => return Asked::Suspend,
            Key::Char(' ') => {
                self.manner.paused = !self.manner.paused;
            }
            Key::Char('.') => {
                self.manner.paused = true;
                return Asked::Step;
            }
            Key::Char('+' | '=') => self.accelerate(2.0),
            Key::Char('-' | '_') => self.accelerate(0.5),
            Key::Char('h') | Key::Left => return Asked::GoTo(self.at.saturating_sub(STEP)),
            Key::Char('l') | Key::Right => return self.forth(STEP),
            Key::Char('j') | Key::Down => return Asked::GoTo(self.at.saturating_sub(LEAP)),
            Key::Char('k') | Key::Up => return self.forth(LEAP),
            Key::Char('0') => return Asked::GoTo(0),
            Key::Char('g') => self.typed = Some(String::new()),
            Key::Char('?') => {
                self.note = Some(
                    "space pause, . step, + - speed, left right h l 10 s, up down k j 1 min, 0 beginning, g go to, q quit"
                        .to_owned(),
                );
            }
            _ => {}
        }
        Asked::Nothing
    }

    fn forth(&self, by: u64) -> Asked {
        Asked::GoTo(self.at.saturating_add(by).min(self.length.max(self.at)))
    }

    fn accelerate(&mut self, by: f64) {
        let factor = (self.manner.speed.factor() * by).clamp(SLOWEST, FASTEST);
        self.manner.speed = Speed::new(factor).unwrap_or(self.manner.speed);
    }

    fn type_moment(&mut self, mut typed: String, key: Key) -> Asked {
        match key {
            Key::Char(c) if c.is_ascii_digit() || ":.hms".contains(c) => typed.push(c),
            Key::Backspace => {
                typed.pop();
            }
            Key::Enter if !typed.is_empty() => match moment::offset(&typed) {
                Some(at) => return Asked::GoTo(at.min(self.length.max(self.at))),
                None => {
                    self.note = Some(format!("{typed} is no time; write 1:02:03 or 90s"));
                    return Asked::Nothing;
                }
            },
            Key::Quit => return Asked::Quit,
            Key::Enter | Key::Escape | Key::Char('q') => return Asked::Nothing,
            _ => {}
        }
        self.typed = Some(typed);
        Asked::Nothing
    }

    /// Whether there is something that the auditor should read now.
    pub(super) fn speaks(&self) -> bool {
        self.manner.paused || self.typed.is_some() || self.note.is_some() || self.end.is_some()
    }

    /// Where it is and how it goes.
    pub(super) fn status(&self) -> String {
        if let Some(typed) = &self.typed {
            return format!(" go to: {typed}_");
        }
        let state = match &self.end {
            Some(Next::End) => "the end",
            Some(Next::Nothing) => "nothing more yet",
            Some(Next::Broken(_)) => "broken",
            _ if self.manner.paused => "paused",
            _ => "playing",
        };
        let mut status = format!(" {} / {}  {state}", clock(self.at), clock(self.length));
        if self.manner.speed != Speed::REAL {
            status.push_str(&format!("  {}x", self.manner.speed.factor()));
        }
        if let Some(Next::Broken(why)) = &self.end {
            status.push_str(&format!("  {why}"));
        }
        status.push_str("  ");
        status.push_str(self.note.as_deref().unwrap_or("? keys, q quit "));
        status
    }
}

/// Whether something happened that a step should stop at.
pub(super) fn happened(frame: &Frame) -> bool {
    frame.kind != Kind::Keepalive
}

#[cfg(test)]
mod tests {
    use super::super::film::tests::film_of;
    use super::*;
    use std::io::Cursor;

    const SECOND: u64 = 1_000_000;
    const REAL: Manner = Manner {
        speed: Speed::REAL,
        idle: None,
        paused: false,
    };

    /// Frames at these seconds.
    fn film(seconds: &[u64]) -> Film<Cursor<Vec<u8>>> {
        film_of(seconds)
    }

    /// How many frames are shown when so much time passes.
    fn shown(control: &mut Control, film: &mut Film<Cursor<Vec<u8>>>, seconds: f64) -> usize {
        let mut count = 0;
        control.pass(film, Duration::from_secs_f64(seconds), &mut |_| count += 1);
        count
    }

    #[test]
    fn frames_are_shown_when_they_are_due() {
        let mut film = film(&[0, 1, 1, 10]);
        let mut control = Control::new(REAL, 10 * SECOND);
        assert_eq!(shown(&mut control, &mut film, 0.0), 1);
        assert_eq!(control.due(&mut film), Some(Duration::from_secs(1)));
        assert_eq!(shown(&mut control, &mut film, 0.5), 0);
        assert_eq!(shown(&mut control, &mut film, 0.5), 2);
        control.press(Key::Char('+'));
        assert_eq!(control.due(&mut film), Some(Duration::from_millis(4500)));
        assert!(
            control.status().contains("0:00:01 / 0:00:10  playing  2x"),
            "{}",
            control.status()
        );
        assert_eq!(shown(&mut control, &mut film, 4.5), 1);
        assert_eq!(control.due(&mut film), None);
        assert!(control.status().contains("the end") && control.speaks());
    }

    #[test]
    fn a_long_wait_is_cut_short_where_that_is_wanted() {
        let mut film = film(&[0, 1, 1000, 1001]);
        let manner = Manner {
            idle: Some(2 * SECOND),
            ..REAL
        };
        let mut control = Control::new(manner, 1001 * SECOND);
        assert_eq!(shown(&mut control, &mut film, 1.0), 2);
        assert_eq!(control.due(&mut film), Some(Duration::from_secs(2)));
        assert_eq!(shown(&mut control, &mut film, 1.0), 0);
        assert_eq!(control.due(&mut film), Some(Duration::from_secs(1)));
        assert_eq!(shown(&mut control, &mut film, 1.0), 1);
        assert_eq!(control.at, 1000 * SECOND);
        assert_eq!(shown(&mut control, &mut film, 1.0), 1);
    }

    #[test]
    fn while_it_is_paused_nothing_is_due() {
        let mut film = film(&[0, 1]);
        let mut control = Control::new(REAL, SECOND);
        assert_eq!(control.press(Key::Char(' ')), Asked::Nothing);
        assert_eq!(control.due(&mut film), None);
        assert_eq!(shown(&mut control, &mut film, 60.0), 0);
        assert_eq!(control.press(Key::Char('.')), Asked::Step);
        assert!(control.status().contains("paused"));
        control.press(Key::Char(' '));
        assert_eq!(shown(&mut control, &mut film, 1.0), 2);
    }

    #[test]
    fn keys_go_forth_and_back_and_to_what_is_typed() {
        let mut control = Control::new(REAL, 100 * SECOND);
        control.arrived(30 * SECOND);
        for (key, at) in [
            (Key::Right, 40),
            (Key::Char('l'), 40),
            (Key::Left, 20),
            (Key::Char('h'), 20),
            (Key::Up, 90),
            (Key::Down, 0),
            (Key::Char('0'), 0),
        ] {
            assert_eq!(control.press(key), Asked::GoTo(at * SECOND), "{key:?}");
        }
        let mut typed = |keys: &str| {
            let keys = keys.chars().map(Key::Char);
            keys.chain([Key::Enter])
                .map(|key| control.press(key))
                .last()
        };
        assert_eq!(typed("g1:10"), Some(Asked::GoTo(70 * SECOND)));
        assert_eq!(
            typed("g99:00"),
            Some(Asked::GoTo(100 * SECOND)),
            "no further than the end"
        );
        assert_eq!(typed("g1:2:3:4"), Some(Asked::Nothing));
        assert!(control.status().contains("no time"));
        control.press(Key::Char('g'));
        assert_eq!(control.press(Key::Escape), Asked::Nothing);
        assert_eq!(control.press(Key::Char('q')), Asked::Quit);
        assert_eq!(control.press(Key::Quit), Asked::Quit);
        assert_eq!(control.press(Key::Suspend), Asked::Suspend);
    }

    #[test]
    fn speeds_have_bounds() {
        let mut control = Control::new(REAL, 0);
        for (key, bound) in [('+', FASTEST), ('-', SLOWEST)] {
            for _ in 0..100 {
                control.press(Key::Char(key));
            }
            assert_eq!(control.manner.speed.factor(), bound);
        }
    }
}
