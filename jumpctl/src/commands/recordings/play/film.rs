//! The recording as it is played: forwards frame by frame, and to any moment.
//!
//! The screen at a moment is what all frames before it drew. Going back does
//! not begin anew: at each segment's beginning the screen is kept, a few
//! kilobytes for every five minutes.

use jump_recording::{
    Fault, Frame, Header, KeptScreen, Problem, Reader, Screen, SegmentStart, segments,
};
use std::io::{Read, Seek};

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// A frame, at this microsecond.
    Frame(u64),
    /// Nothing yet: it has no end so far.
    Nothing,
    /// Nothing more: it has ended.
    End,
    /// What comes next is not as it was written.
    Broken(String),
}

/// Where a screen was kept.
struct Kept {
    start: SegmentStart,
    screen: KeptScreen,
}

/// A recording and the screen it draws.
pub(super) struct Film<R> {
    /// Absent only after it could not be read.
    reader: Option<Reader<R>>,
    header: Header,
    starts: Vec<SegmentStart>,
    kept: Vec<Kept>,
    screen: Screen,
    frame: Option<Frame>,
    broken: Option<String>,
    /// When the last frame was shown.
    now: u64,
}

impl<R: Read + Seek> Film<R> {
    /// `index` is the same file, opened once more.
    pub(super) fn new(reader: Reader<R>, index: impl Read + Seek) -> Result<Self, Fault> {
        let header = reader.header().clone();
        Ok(Self {
            screen: Screen::new(&header.term),
            reader: Some(reader),
            header,
            starts: segments(index)?,
            kept: Vec::new(),
            frame: None,
            broken: None,
            now: 0,
        })
    }

    pub(super) fn screen(&self) -> &Screen {
        &self.screen
    }

    /// When the last frame was shown, in microseconds.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// What comes next, without showing it.
    pub(super) fn next(&mut self) -> Next {
        if let Some(frame) = &self.frame {
            return Next::Frame(frame.micros);
        }
        let Some(reader) = self.reader.as_mut().filter(|_| self.broken.is_none()) else {
            return Next::Broken(self.broken.clone().unwrap_or_default());
        };
        match reader.next_frame() {
            Ok(Some(frame)) => {
                let micros = frame.micros;
                self.frame = Some(frame);
                Next::Frame(micros)
            }
            Ok(None) if reader.trailer().is_some() => Next::End,
            // The rest of a frame may be on its way.
            Ok(None) => Next::Nothing,
            Err(fault) if matches!(fault.problem, Problem::Cut) => Next::Nothing,
            Err(fault) => {
                self.broken = Some(fault.to_string());
                Next::Broken(fault.to_string())
            }
        }
    }

    /// Shows the next frame and gives it; `None` where there is none.
    pub(super) fn show(&mut self) -> Option<Frame> {
        self.next();
        let frame = self.frame.take()?;
        self.keep(&frame);
        self.screen.feed(&frame);
        self.now = frame.micros;
        Some(frame)
    }

    fn keep(&mut self, next: &Frame) {
        let last = self.kept.last().map(|kept| kept.start.sequence);
        let begins = |start: &&SegmentStart| start.sequence == next.sequence;
        if last.is_none_or(|last| last < next.sequence)
            && let Some(start) = self.starts.iter().find(begins)
        {
            self.kept.push(Kept {
                start: *start,
                screen: self.screen.keep(),
            });
        }
    }

    /// Shows all up to a moment, and that moment's frames, as long as `on`
    /// says so. Each frame is given to `each`, from the beginning if it goes back.
    pub(super) fn go_to(
        &mut self,
        micros: u64,
        each: &mut dyn FnMut(&Frame),
        on: &mut dyn FnMut() -> bool,
    ) {
        if micros < self.now {
            self.back(micros);
        }
        while matches!(self.next(), Next::Frame(at) if at <= micros) && on() {
            if let Some(frame) = self.show() {
                each(&frame);
            }
        }
    }

    /// To a screen that was kept before this moment.
    fn back(&mut self, micros: u64) {
        let Some(reader) = self.reader.take() else {
            return;
        };
        let kept = self.kept.iter().rev();
        let kept = kept.clone().find(|kept| kept.start.micros <= micros);
        let (reader, screen, now) = match kept {
            Some(kept) => (
                reader.go_to(&kept.start),
                Screen::again(&kept.screen),
                kept.start.micros,
            ),
            None => (reader.rewind(), Screen::new(&self.header.term), 0),
        };
        self.screen = screen;
        self.now = now;
        self.frame = None;
        self.broken = None;
        match reader {
            Ok(reader) => self.reader = Some(reader),
            Err(fault) => self.broken = Some(fault.to_string()),
        }
    }

    /// To the very beginning.
    pub(super) fn rewind(&mut self) {
        self.kept.clear();
        self.back(0);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use jump_recording::{Facts, Keys, Kind, Terminal, Writer};
    use std::io::Cursor;

    const SECOND: u64 = 1_000_000;

    fn header() -> Header {
        Header {
            version: 3,
            term: Terminal {
                cols: 20,
                rows: 3,
                kind: None,
            },
            timestamp: 0,
            facts: Facts {
                recording: "r".to_owned(),
                session: "s".to_owned(),
                user: "alice".to_owned(),
                uid: 1,
                source: "::1".parse().unwrap(),
                key: None,
                target: "db1".to_owned(),
                address: "[::1]:22".parse().unwrap(),
                login: None,
                rule: "r".to_owned(),
                policy: "p".to_owned(),
                version: "v".to_owned(),
                sealed_to: Vec::new(),
            },
        }
    }

    /// A line every minute, for an hour.
    fn hour(end: bool) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), &header(), None).unwrap();
        for minute in 0..60 {
            let line = format!("\r\nminute {minute}");
            let at = minute * 60 * SECOND;
            writer.write(at, Kind::Output, line.as_bytes()).unwrap();
        }
        match end {
            true => writer.end(3600 * SECOND).unwrap().0,
            false => writer.get_ref().clone(),
        }
    }

    /// One with a frame at each of these seconds.
    pub(in super::super) fn film_of(seconds: &[u64]) -> Film<Cursor<Vec<u8>>> {
        let mut writer = Writer::begin(Vec::new(), &header(), None).unwrap();
        for second in seconds {
            writer.write(second * SECOND, Kind::Output, b"x").unwrap();
        }
        let (bytes, _) = writer.end(0).unwrap();
        let reader = Reader::open(Cursor::new(bytes.clone()), &Keys::none()).unwrap();
        Film::new(reader, Cursor::new(bytes)).unwrap()
    }

    fn film(bytes: &[u8]) -> Film<Cursor<&[u8]>> {
        let reader = Reader::open(Cursor::new(bytes), &Keys::none()).unwrap();
        Film::new(reader, Cursor::new(bytes)).unwrap()
    }

    /// The last row with something on it.
    fn last_row<R: Read + Seek>(film: &Film<R>) -> String {
        let looks = film.screen().looks();
        let row = looks.iter().rfind(|row| !row.is_empty()).unwrap();
        row.iter().map(|run| run.text.as_str()).collect()
    }

    #[test]
    fn the_screen_of_a_moment_is_the_same_whichever_way_it_was_reached() {
        let bytes = hour(true);
        let mut film = film(&bytes);
        for minute in [0, 59, 3, 30, 29, 31, 0, 59, 58] {
            film.go_to(minute * 60 * SECOND + 1, &mut |_| {}, &mut || true);
            assert_eq!(last_row(&film), format!("minute {minute}"));
        }
        assert!(film.kept.len() > 10, "screens are kept on the way");
        let mut frames = 0;
        film.go_to(50 * 60 * SECOND, &mut |_| frames += 1, &mut || true);
        assert!(frames <= 6, "going back begins at the segment: {frames}");
        film.rewind();
        assert_eq!(film.now(), 0);
        assert_eq!(film.next(), Next::Frame(0));
    }

    #[test]
    fn it_stops_on_the_way_when_it_is_told_to() {
        let bytes = hour(true);
        let mut film = film(&bytes);
        let mut left = 10;
        let mut on = || {
            left -= 1;
            left > 0
        };
        film.go_to(3600 * SECOND, &mut |_| {}, &mut on);
        assert_eq!(last_row(&film), "minute 8");
    }

    #[test]
    fn the_end_is_told_from_what_is_not_there_yet_and_from_what_is_broken() {
        let end = |bytes: &[u8]| {
            let mut film = film(bytes);
            film.go_to(u64::MAX, &mut |_| {}, &mut || true);
            film.next()
        };
        assert_eq!(end(&hour(true)), Next::End);
        let open = hour(false);
        assert_eq!(end(&open), Next::Nothing);
        assert_eq!(end(&open[..open.len() - 3]), Next::Nothing);
        let mut changed = open;
        let last = changed.len() - 40;
        changed[last] ^= 1;
        assert!(matches!(end(&changed), Next::Broken(said) if said.contains("chain")));
    }
}
