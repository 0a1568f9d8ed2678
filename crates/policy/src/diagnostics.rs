//! Errors and warnings that point at the text: file, line, column, the offending text underlined, and what to do.
//!
//! Plain text without colour codes: it goes to a terminal, to the journal and
//! into a file alike. The text shown comes from a file that may be hostile, so
//! control and direction-changing characters are escaped before they are shown.

use crate::model::Span;
use std::fmt;

/// The most characters of a line that are shown around the offending text.
const SHOWN: usize = 100;

/// The most errors that are kept; a file with more is something else than a policy.
const MOST_ERRORS: usize = 100;

/// One thing wrong with a policy, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// Line, from 1.
    pub line: usize,
    /// Column, in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    rendered: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

/// Everything wrong with a policy, in the order of the file; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyErrors {
    errors: Vec<PolicyError>,
    left_out: usize,
}

impl PolicyErrors {
    /// Each error.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &PolicyError> {
        self.errors.iter()
    }
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        if self.left_out > 0 {
            writeln!(f, "\n… and {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}

/// Something that is valid and probably not meant. Displayed like an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(PolicyError);

impl Warning {
    /// Where, what and what to do.
    #[must_use]
    pub fn details(&self) -> &PolicyError {
        &self.0
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something wrong, before it is rendered.
#[derive(Debug, Clone)]
struct Problem {
    span: Span,
    message: String,
    help: Option<String>,
}

/// Collects what is wrong, so that one run tells it all.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, span: &Span, message: impl Into<String>) {
        self.0.push(Problem {
            span: span.clone(),
            message: message.into(),
            help: None,
        });
    }

    pub(crate) fn add_help(
        &mut self,
        span: &Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.0.push(Problem {
            span: span.clone(),
            message: message.into(),
            help: Some(help.into()),
        });
    }

    /// Nothing wrong, or every error rendered in the order of the file.
    pub(crate) fn into_errors(mut self, source: &Source<'_>) -> Result<(), PolicyErrors> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by_key(|problem| problem.span.start);
        let left_out = self.0.len().saturating_sub(MOST_ERRORS);
        self.0.truncate(MOST_ERRORS);
        Err(PolicyErrors {
            errors: self.0.iter().map(|p| source.render("error", p)).collect(),
            left_out,
        })
    }

    pub(crate) fn into_warnings(mut self, source: &Source<'_>) -> Vec<Warning> {
        self.0.sort_by_key(|problem| problem.span.start);
        self.0
            .iter()
            .map(|p| Warning(source.render("warning", p)))
            .collect()
    }
}

/// The text that is pointed at.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    name: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            name,
            text,
            line_starts,
        }
    }

    /// The line a byte is in, from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The largest character boundary at or before `offset`.
    fn boundary(&self, offset: usize) -> usize {
        let mut at = offset.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    fn render(&self, kind: &str, problem: &Problem) -> PolicyError {
        let start = self.boundary(problem.span.start);
        let end = self.boundary(problem.span.end.max(start));
        let line = self.line_of(start);
        let line_start = self
            .line_starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(0);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let content = rest.lines().next().unwrap_or_default();
        let in_line = (start - line_start).min(content.len());
        let end_in_line = (end - line_start).clamp(in_line, content.len());
        let before = content.get(..in_line).unwrap_or_default();
        let marked = content.get(in_line..end_in_line).unwrap_or_default();
        let after = content.get(end_in_line..).unwrap_or_default();

        let column = before.chars().count() + 1;
        let (before, marked, after) = excerpt(&visible(before), &visible(marked), &visible(after));
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let indent = " ".repeat(before.chars().count());
        let carets = "^".repeat(marked.chars().count().max(1));
        let mut rendered = format!(
            "{kind}: {message}\n{gutter}--> {name}:{line}:{column}\n{gutter} |\n{number} | {before}{marked}{after}\n{gutter} | {indent}{carets}\n",
            message = problem.message,
            name = visible(self.name),
        );
        if let Some(help) = &problem.help {
            rendered.push_str(&format!("{gutter} = help: {help}\n"));
        }
        PolicyError {
            line,
            column,
            message: problem.message.clone(),
            help: problem.help.clone(),
            rendered,
        }
    }
}

/// Cuts a long line down to what stands around the marked text.
fn excerpt(before: &str, marked: &str, after: &str) -> (String, String, String) {
    let marked_len = marked.chars().count().min(SHOWN);
    let room = SHOWN - marked_len;
    let before_len = before.chars().count();
    // What stands before keeps at least half of the room, more if little stands after.
    let before_room = (room / 2).max(room.saturating_sub(after.chars().count()));
    let before = if before_len > before_room {
        let kept: String = before.chars().skip(before_len - before_room).collect();
        format!("…{kept}")
    } else {
        before.to_owned()
    };
    let cut = |text: &str, most: usize| -> String {
        if text.chars().count() > most {
            let kept: String = text.chars().take(most).collect();
            format!("{kept}…")
        } else {
            text.to_owned()
        }
    };
    let after_room = room.saturating_sub(before.chars().count());
    (before, cut(marked, SHOWN), cut(after, after_room))
}

/// Text with everything escaped that could move the cursor or turn the writing direction.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            c if c.is_control() || is_format_character(c) => {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

/// Zero-width and bidirectional control characters (Unicode general category Cf, the ones in use).
pub(crate) fn is_format_character(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A value from the file, in backticks, escaped and of bounded length.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String = visible(text);
    if shown.chars().count() > MOST {
        shown = shown.chars().take(MOST).collect();
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The candidate that `wrong` most likely means, if one is near.
pub(crate) fn nearest<'c>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(wrong, c), c))
        .filter(|(distance, c)| *distance <= 1.max(c.len().min(wrong.len()) / 3))
        .min()
        .map(|(_, c)| c)
}

/// "did you mean", or what there is to choose from when that is little.
pub(crate) fn suggestion<'c>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'c str> + Clone,
) -> Option<String> {
    const FEW: usize = 12;
    if let Some(near) = nearest(wrong, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let all: Vec<String> = candidates.into_iter().map(|c| format!("`{c}`")).collect();
    match all.len() {
        1 => Some(format!("there is only {}", all.join(""))),
        2..=FEW => Some(format!("choose from {}", all.join(", "))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, span: Span) -> PolicyError {
        let mut problems = Problems::default();
        problems.add_help(&span, "wrong", "write it right");
        let errors = problems
            .into_errors(&Source::new("policy.toml", text))
            .unwrap_err();
        errors.iter().next().unwrap().clone()
    }

    #[test]
    fn an_error_underlines_the_text_it_is_about() {
        let error = rendered("version = 1\nalow = 3\n", 12..16);
        assert_eq!((error.line, error.column), (2, 1));
        assert_eq!(
            error.to_string(),
            "error: wrong\n --> policy.toml:2:1\n  |\n2 | alow = 3\n  | ^^^^\n  = help: write it right\n"
        );
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        let text = "é = \"ü\" x\n";
        let at = text.find('x').unwrap();
        let error = rendered(text, at..at + 1);
        assert_eq!((error.line, error.column), (1, 9));
        assert!(error.to_string().contains("\n  |         ^\n"), "{error}");
    }

    #[test]
    fn any_span_is_rendered_without_a_panic() {
        let text = "a = 1\nü = \"\u{1b}[31m\"\n\n";
        for start in 0..text.len() + 3 {
            for end in start..text.len() + 5 {
                let shown = rendered(text, start..end).to_string();
                assert!(!shown.contains('\u{1b}'), "{shown}");
            }
        }
    }

    #[test]
    fn a_long_line_is_shown_around_the_error() {
        let text = format!("key = \"{}\" WRONG {}\n", "a".repeat(500), "b".repeat(500));
        let at = text.find("WRONG").unwrap();
        let shown = rendered(&text, at..at + 5).to_string();
        assert!(shown.contains("WRONG") && shown.contains("^^^^^"));
        assert!(shown.lines().all(|l| l.chars().count() < 120), "{shown}");
    }

    #[test]
    fn a_suggestion_is_near_or_not_made() {
        assert_eq!(nearest("alow", ["allow", "deny"]), Some("allow"));
        assert_eq!(nearest("tiemzone", ["timezone", "group"]), Some("timezone"));
        assert_eq!(nearest("zzz", ["allow", "deny"]), None);
        assert_eq!(
            suggestion("zzz", ["allow", "deny"]).as_deref(),
            Some("choose from `allow`, `deny`")
        );
        assert_eq!(suggestion("zzz", []), None);
    }
}
