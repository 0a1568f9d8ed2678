//! Colours, where they are wanted.
//!
//! Standard output must be a terminal, `TERM` must name one that knows colours, and
//! `NO_COLOR` must not be set (no-color.org). Colour says nothing that the words do not.

/// Terminals without escape sequences.
const PLAIN: [&str; 2] = ["dumb", "unknown"];

/// Whether a terminal of this name (`TERM`) understands escape sequences.
pub(crate) fn is_capable(term: Option<&str>) -> bool {
    term.is_some_and(|term| !PLAIN.contains(&term))
}

/// How answers look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Style {
    coloured: bool,
}

impl Style {
    /// The style that the user wants on standard output.
    pub(crate) fn wanted(term: Option<&str>, no_color: bool, output_is_terminal: bool) -> Self {
        Self {
            coloured: output_is_terminal && is_capable(term) && !no_color,
        }
    }

    /// A prompt, a title, a label.
    pub(crate) fn strong(self, text: &str) -> String {
        self.painted("1", text)
    }

    /// The name by which something is asked for.
    pub(crate) fn name(self, text: &str) -> String {
        self.painted("36", text)
    }

    /// What should not be overlooked.
    pub(crate) fn warning(self, text: &str) -> String {
        self.painted("33", text)
    }

    /// `text` in a way of ECMA-48 section 8.3.117.
    fn painted(self, way: &str, text: &str) -> String {
        if self.coloured && !text.is_empty() {
            format!("\x1b[{way}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_need_a_terminal_that_has_them_and_a_user_who_wants_them() {
        for (term, no_color, terminal, coloured) in [
            (Some("xterm-256color"), false, true, true),
            (Some("xterm-256color"), true, true, false),
            (Some("xterm-256color"), false, false, false),
            (Some("dumb"), false, true, false),
            (None, false, true, false),
        ] {
            let style = Style::wanted(term, no_color, terminal);
            assert_eq!(style.coloured, coloured, "{term:?} {no_color} {terminal}");
        }
    }

    #[test]
    fn without_colours_a_text_is_itself() {
        assert_eq!(Style::default().strong("x"), "x");
        assert_eq!(Style { coloured: true }.strong("x"), "\x1b[1mx\x1b[0m");
        assert_eq!(Style { coloured: true }.strong(""), "");
    }
}
