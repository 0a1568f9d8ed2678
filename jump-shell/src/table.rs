//! Answers as a person reads them: tables, and facts with a label each.

use crate::style::Style;
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

/// Where the facts of a card begin.
const LABEL: usize = 15;

/// Rows under one another, the first of them the titles, the first of each a name.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], style: Style) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        let mut line = String::new();
        let mut due = 0;
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if cell.is_empty() {
                due += width + 2;
                continue;
            }
            line.extend(std::iter::repeat_n(' ', std::mem::take(&mut due)));
            line.push_str(&match (at, column) {
                (0, _) => style.strong(cell),
                (_, 0) => style.name(cell),
                _ => cell.clone(),
            });
            due = width - cell.width() + 2;
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// One fact of a card.
pub(crate) fn fact(out: &mut String, style: Style, label: &str, value: &str) {
    let gap = LABEL.saturating_sub(label.width());
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}{:gap$}{value}", style.strong(label), "");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(a: &str, b: &str, c: &str) -> [String; 3] {
        [a, b, c].map(str::to_owned)
    }

    #[test]
    fn columns_stand_under_one_another_however_wide_their_letters() {
        let rows = [
            row("A", "B", "C"),
            row("東京", "x", "1"),
            row("abc", "", "2"),
            row("d", "y", ""),
        ];
        assert_eq!(
            table(&rows, Style::default()),
            "A     B  C\n東京  x  1\nabc      2\nd     y\n"
        );
    }

    #[test]
    fn a_fact_has_its_label() {
        let mut out = String::new();
        fact(&mut out, Style::default(), "user", "alice");
        assert_eq!(out, "user           alice\n");
    }
}
