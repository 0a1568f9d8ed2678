//! The only place that writes to the terminal.
//!
//! Names, addresses and commands in what we print come from people who log
//! in, so control characters never reach the operator's terminal as they are.
//! A closed pipe (`jumpctl … | head`) ends the printing, not the command: a
//! command that changes something must not stop half-way because nobody
//! reads.

use crate::error::Error;
use serde::Serialize;
use std::fmt::{Display, Write as _};
use std::io::{self, BufRead as _, IsTerminal as _, Write};

/// Standard output, for people or (`--json`) for programs.
pub struct Output {
    json: bool,
    closed: bool,
    stdout: Box<dyn Write>,
}

impl Output {
    /// Writes to standard output.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self {
            json,
            closed: false,
            stdout: Box::new(io::stdout()),
        }
    }

    /// Writes to somewhere else.
    #[must_use]
    pub fn to(json: bool, sink: Box<dyn Write>) -> Self {
        Self {
            json,
            closed: false,
            stdout: sink,
        }
    }

    /// Whether a program reads.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person at a terminal reads.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// One line for people; nothing under `--json`.
    ///
    /// # Errors
    /// When it cannot be written for another reason than a closed pipe.
    pub fn line(&mut self, text: impl Display) -> Result<(), Error> {
        if self.json {
            return Ok(());
        }
        self.write(format_args!("{text}\n"))
    }

    /// The one value of a `--json` answer; nothing for people.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn json<T: Serialize>(&mut self, value: &T) -> Result<(), Error> {
        if !self.json {
            return Ok(());
        }
        let text = serde_json::to_string(value).map_err(|e| Error::Output(e.into()))?;
        self.write(format_args!("{}\n", inert(&text)))
    }

    /// A table for people: columns as wide as their widest cell, the last one free.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> Result<(), Error> {
        let mut widths: Vec<usize> = head.iter().map(|h| h.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let render = |cells: Vec<&str>| {
            let mut line = String::new();
            for (cell, width) in cells.iter().zip(&widths) {
                let _ = write!(line, "{cell:<width$}  ");
            }
            line.trim_end().to_owned()
        };
        self.line(render(head.to_vec()))?;
        for row in rows {
            self.line(render(row.iter().map(String::as_str).collect()))?;
        }
        Ok(())
    }

    /// For what is neither a line nor JSON; whoever writes there knows that it is safe to look at.
    pub(crate) fn writer(&mut self) -> &mut dyn Write {
        &mut *self.stdout
    }

    /// Asks a question on the terminal and reads one line; `None` at end of input.
    ///
    /// # Errors
    /// When the terminal cannot be read or written.
    pub fn ask(&mut self, question: &str) -> Result<Option<String>, Error> {
        self.write(format_args!("{question}"))?;
        let mut answer = String::new();
        let read = io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(Error::Output)?;
        Ok((read > 0).then(|| answer.trim().to_owned()))
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) -> Result<(), Error> {
        if self.closed {
            return Ok(());
        }
        match self
            .stdout
            .write_fmt(text)
            .and_then(|()| self.stdout.flush())
        {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other.map_err(Error::Output),
        }
    }
}

/// A remark beside the answer, on standard error.
pub(crate) fn remark(text: impl Display) {
    // Nobody is left to be told when this fails.
    let _ = writeln!(io::stderr().lock(), "jumpctl: {text}");
}

/// `text` with everything a terminal would act on made visible: control characters, C1, bidi.
#[must_use]
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a terminal acts on it, or it is not seen.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// JSON that says the same, with nothing in it that a terminal acts on: all of that stands in strings.
fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if acts(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// As [`printable`], but lines stay lines: for reports rendered elsewhere.
#[must_use]
pub(crate) fn printable_lines(text: &str) -> String {
    text.lines()
        .map(|line| printable(line).replace("\\u{9}", "\t"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// `999 B`, `1.5 kB`, `20.0 MB`: powers of ten, IEC 80000-13.
#[must_use]
pub(crate) fn bytes(count: u64) -> String {
    let mut unit = 1000.0;
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let exact = count as f64;
    for name in ["kB", "MB", "GB", "TB"] {
        if exact < unit {
            break;
        }
        if exact < unit * 1000.0 || name == "TB" {
            return format!("{:.1} {name}", exact / unit);
        }
        unit *= 1000.0;
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let mut out = Output::to(false, Box::new(Closed));
        out.line("one").unwrap();
        out.line("two").unwrap();
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let sink = Sink::default();
        let mut out = Output::to(false, Box::new(sink.clone()));
        out.table(
            &["USER", "FROM"],
            &[
                vec!["al".into(), "::1".into()],
                vec!["benjamin".into(), "x".into()],
            ],
        )
        .unwrap();
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "USER      FROM\nal        ::1\nbenjamin  x\n");
    }

    #[test]
    fn programs_get_json_alone() {
        let sink = Sink::default();
        let mut out = Output::to(true, Box::new(sink.clone()));
        out.line("for people").unwrap();
        out.json(&[1, 2]).unwrap();
        assert_eq!(*sink.0.lock().unwrap(), b"[1,2]\n");
    }

    #[test]
    fn json_means_the_same_and_no_terminal_acts_on_it() {
        let sink = Sink::default();
        let mut out = Output::to(true, Box::new(sink.clone()));
        let said = ["a\u{1b}\u{7f}\u{9b}2J\u{202e}\u{feff}é\n"];
        out.json(&said).unwrap();
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            written,
            "[\"a\\u001b\\u007f\\u009b2J\\u202e\\ufeffé\\n\"]\n"
        );
        let read: Vec<String> = serde_json::from_str(&written).unwrap();
        assert_eq!(read, said);
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_is_printed() {
        assert_eq!(
            printable("a\u{1b}[31m\r\n\u{9b}\u{202e}é"),
            "a\\u{1b}[31m\\u{d}\\u{a}\\u{9b}\\u{202e}é"
        );
        assert_eq!(printable_lines("a\n\u{1b}b"), "a\n\\u{1b}b");
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        for (count, said) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (4_000_000_000, "4.0 GB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(bytes(count), said);
        }
    }
}
