//! What may reach the auditor's terminal when a recording is played.
//!
//! A terminal obeys what it shows: it can be told to answer (and the answer is
//! typed into the auditor's shell), to fill the clipboard, to change its title
//! or its keys. Whoever is recorded chooses those bytes. So only what draws
//! passes: text, colours, moving the cursor, erasing and shifting what is on
//! the screen. Everything else is dropped, by an allow-list of sequences in
//! the form that ECMA-48 gives them; the parser's states are those of any
//! terminal, so nothing is text here and a sequence there.

use crate::text::{Decoder, straight};

/// The longest sequence that draws; longer ones are dropped.
const LONGEST: usize = 64;
/// No colours, and the whole screen scrolls: setting that moves the cursor, so it is kept.
const AFTER: &str = "\u{1b}[0m\u{1b}7\u{1b}[r\u{1b}8";

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Text.
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte: a character set or the like.
    EscapeIntermediate,
    /// Inside `CSI ...`.
    Control,
    /// Inside a string: OSC, DCS, SOS, PM or APC. Ends with ST.
    Text {
        /// OSC ends with BEL as well.
        bell: bool,
    },
}

/// Lets through what draws, of a stream that comes in pieces of any size.
#[derive(Debug, Default)]
pub struct Defuser {
    decoder: Decoder,
    state: State,
    /// Parameters and intermediates of the sequence so far.
    sequence: String,
}

impl Defuser {
    /// At the beginning of a recording.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What may be shown of these bytes. The beginning of a sequence waits for its end.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let text = self.decoder.push(bytes);
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            self.character(c, &mut out);
        }
        out
    }

    /// Nothing more comes: a sequence without an end is dropped, and colours
    /// and the scroll region are as they were before.
    pub fn finish(&mut self) -> String {
        let rest = self.decoder.finish();
        let mut out = String::new();
        for c in rest.chars() {
            self.character(c, &mut out);
        }
        self.state = State::Ground;
        out.push_str(AFTER);
        out
    }

    fn character(&mut self, c: char, out: &mut String) {
        // What begins or ends a sequence does so inside of any other.
        match c {
            '\u{1b}' => return self.begin(State::Escape),
            '\u{18}' | '\u{1a}' | '\u{9c}' => return self.begin(State::Ground),
            '\u{9b}' => return self.begin(State::Control),
            '\u{9d}' => return self.begin(State::Text { bell: true }),
            '\u{90}' | '\u{98}' | '\u{9e}' | '\u{9f}' => {
                return self.begin(State::Text { bell: false });
            }
            '\u{80}'..='\u{9f}' => return self.begin(State::Ground),
            _ => {}
        }
        match self.state {
            State::Ground => ground(c, out),
            State::Escape => self.escape(c, out),
            State::EscapeIntermediate => match c {
                ' '..='/' => {}
                '\0'..'\u{20}' => ground(c, out),
                _ => self.begin(State::Ground),
            },
            State::Control => self.control(c, out),
            State::Text { bell } => {
                if bell && c == '\u{7}' {
                    self.begin(State::Ground);
                }
            }
        }
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.sequence.clear();
    }

    fn escape(&mut self, c: char, out: &mut String) {
        match c {
            '[' => self.begin(State::Control),
            ']' => self.begin(State::Text { bell: true }),
            'P' | 'X' | '^' | '_' => self.begin(State::Text { bell: false }),
            ' '..='/' => self.begin(State::EscapeIntermediate),
            '\0'..'\u{20}' => ground(c, out),
            _ => {
                // Save and restore the cursor; index, next line, reverse index.
                if matches!(c, '7' | '8' | 'D' | 'E' | 'M') {
                    out.push('\u{1b}');
                    out.push(c);
                }
                self.begin(State::Ground);
            }
        }
    }

    fn control(&mut self, c: char, out: &mut String) {
        match c {
            ' '..='?' => {
                // Beyond the longest it cannot pass any more; it is not kept either.
                if self.sequence.len() <= LONGEST {
                    self.sequence.push(c);
                }
            }
            '@'..='~' => {
                if draws(&self.sequence, c) {
                    out.push_str("\u{1b}[");
                    out.push_str(&self.sequence);
                    out.push(c);
                }
                self.begin(State::Ground);
            }
            // Obeyed by terminals in the middle of a sequence.
            '\0'..'\u{20}' => ground(c, out),
            '\u{7f}' => {}
            _ => {
                self.begin(State::Ground);
                ground(c, out);
            }
        }
    }
}

/// Text, and the controls that move the cursor; not BEL, ENQ (which is answered), or shifts of the character set.
fn ground(c: char, out: &mut String) {
    if matches!(c, '\u{8}' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r') || !c.is_control() {
        out.push(straight(c));
    }
}

/// Whether `CSI sequence last` only draws: never with a private prefix or an
/// intermediate, both of which make something else of the same letter.
fn draws(sequence: &str, last: char) -> bool {
    if sequence.len() > LONGEST {
        return false;
    }
    if last == 'm' {
        return sequence
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b';' | b':'));
    }
    let mut numbers = Vec::new();
    for parameter in sequence.split(';') {
        match parameter.parse::<u16>() {
            Ok(number) if parameter.len() <= 4 && !parameter.starts_with('+') => {
                numbers.push(number);
            }
            Err(_) if parameter.is_empty() => numbers.push(0),
            _ => return false,
        }
    }
    match (last, numbers.as_slice()) {
        // Moving, inserting, deleting, scrolling, tabs.
        ('@' | 'A'..='G' | 'I' | 'L' | 'M' | 'P' | 'S' | 'T' | 'X' | 'Z', [_]) => true,
        ('`' | 'a' | 'b' | 'd' | 'e', [_]) => true,
        ('H' | 'f', [_] | [_, _]) => true,
        // Erasing; not what has scrolled away, which is the auditor's.
        ('J' | 'K', [0..=2]) => true,
        ('r', [_] | [_, _]) => true,
        // Saving and restoring the cursor; with parameters they are margins and keyboards.
        ('s' | 'u', [_]) => sequence.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In two pieces, cut everywhere, and byte by byte.
    fn shown(bytes: &[u8]) -> String {
        let push = |pieces: &[&[u8]]| {
            let mut defuser = Defuser::new();
            let shown: String = pieces.iter().map(|piece| defuser.push(piece)).collect();
            shown + &defuser.finish()
        };
        let whole = push(&[bytes]);
        for at in 0..=bytes.len() {
            let (one, two) = bytes.split_at(at);
            assert_eq!(push(&[one, two]), whole, "cut at {at}");
        }
        assert_eq!(push(&bytes.chunks(1).collect::<Vec<_>>()), whole);
        whole
            .strip_suffix(AFTER)
            .map(str::to_owned)
            .unwrap_or(whole)
    }

    #[test]
    fn text_colours_and_the_cursor_pass() {
        for good in [
            "plain text, é € 😀\r\n\ttab\u{8}",
            "\u{1b}[1;38;5;196mred\u{1b}[0m \u{1b}[38:2::1:2:3mrgb\u{1b}[m",
            "\u{1b}[H\u{1b}[2J\u{1b}[10;20Hhere\u{1b}[K\u{1b}[3A\u{1b}[4X",
            "\u{1b}7\u{1b}[5d\u{1b}8\u{1b}M\u{1b}[2;20r\u{1b}[s\u{1b}[u",
        ] {
            assert_eq!(shown(good.as_bytes()), good);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_or_answer_is_dropped() {
        for bad in [
            "\u{1b}]0;title\u{7}",
            "\u{1b}]0;title\u{1b}\\",
            "\u{1b}]52;c;cm0gLXJmIC8=\u{7}",
            "\u{1b}]8;;http://evil/\u{1b}\\",
            "\u{1b}]1337;File=inline=1:AAAA\u{7}",
            "\u{1b}P$qm\u{1b}\\",
            "\u{1b}P+q544e\u{1b}\\",
            "\u{1b}Pq#0;2;0;0;0~~\u{1b}\\",
            "\u{1b}_Gi=1,a=q;AAAA\u{1b}\\",
            "\u{1b}^private\u{1b}\\",
            "\u{1b}Xstart of string\u{1b}\\",
            "\u{1b}[c\u{1b}[>c\u{1b}[=c\u{1b}[0c",
            "\u{1b}[5n\u{1b}[6n\u{1b}[?6n",
            "\u{1b}[21t\u{1b}[8;1;1t\u{1b}[22;0t",
            "\u{1b}[?1049h\u{1b}[?1000h\u{1b}[?2004h\u{1b}[4h\u{1b}[20h",
            "\u{1b}[>4;2m\u{1b}[?4m\u{1b}[>1u\u{1b}[=1u\u{1b}[1;2s",
            "\u{1b}[3J\u{1b}[!p\u{1b}[$p\u{1b}[1 q\u{1b}[x\u{1b}[99999A\u{1b}[+1A",
            "\u{1b}[1;2;3;4;5T",
            "\u{1b}c\u{1b}Z\u{1b}=\u{1b}>\u{1b}(0\u{1b}#8\u{1b}%G",
            "\u{5}\u{7}\u{e}\u{f}\u{0}\u{7f}",
            "\u{9d}52;c;AAAA\u{9c}\u{90}$qm\u{9c}\u{9b}6n\u{85}",
            "\u{1b}[6\u{18}\u{1b}]0;x\u{1a}",
        ] {
            assert_eq!(shown(bad.as_bytes()), "", "{bad:?}");
            let around = format!("a{bad}b");
            assert_eq!(shown(around.as_bytes()), "ab", "{bad:?}");
        }
    }

    #[test]
    fn eight_bit_controls_that_are_no_utf8_are_shown_as_such() {
        assert_eq!(shown(b"\x9b6n\x9d0;x\x07"), "\u{fffd}6n\u{fffd}0;x");
        assert_eq!(shown(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn nobody_is_made_to_read_from_right_to_left() {
        assert_eq!(
            shown("a\u{202e}b\u{2066}c\u{2028}d\u{200f}".as_bytes()),
            "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}"
        );
    }

    #[test]
    fn a_sequence_inside_a_sequence_hides_nothing() {
        assert_eq!(shown(b"\x1b[\x1b]0;x\x07A"), "A");
        assert_eq!(shown(b"\x1b]0;\x1b[31mx"), "\u{1b}[31mx");
        assert_eq!(shown(b"\x1b[3\n1mx"), "\n\u{1b}[31mx");
        assert_eq!(shown("\u{1b}[3é1m".as_bytes()), "é1m");
    }

    #[test]
    fn an_endless_sequence_takes_no_memory_and_does_not_pass() {
        let mut defuser = Defuser::new();
        assert_eq!(defuser.push(b"\x1b["), "");
        for _ in 0..1000 {
            assert_eq!(defuser.push(&[b'1'; 1000]), "");
        }
        assert!(defuser.sequence.capacity() < 1024);
        assert_eq!(defuser.push(b"mx"), "x");
    }

    proptest::proptest! {
        /// Whatever comes, what is left is text and sequences of the allow-list.
        #[test]
        fn only_what_draws_is_left(bytes in proptest::collection::vec(proptest::prop_oneof![
            3 => proptest::sample::select(b"\x1b[]P_\\;?>0123456789mcntHAJq\x07\x9b\xc2 x".to_vec()),
            1 => proptest::num::u8::ANY,
        ], 0..200)) {
            let shown = shown(&bytes);
            for part in shown.split('\u{1b}').skip(1) {
                let drawn = part.strip_prefix('[').and_then(|rest| {
                    let end = rest.find(|c: char| ('@'..='~').contains(&c))?;
                    Some(draws(&rest[..end], rest[end..].chars().next()?))
                });
                let single = part.starts_with(['7', '8', 'D', 'E', 'M']);
                assert!(single || drawn == Some(true), "{part:?} in {shown:?}");
            }
            assert!(shown.chars().all(|c| c == '\u{1b}' || !c.is_control() || "\u{8}\t\n\u{b}\u{c}\r".contains(c)));
        }
    }
}
