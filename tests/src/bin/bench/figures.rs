//! Figures, each beside the bound that it must keep.

use serde_json::{Value, json};
use std::time::Duration;

/// What a figure must not be above, or below.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// It is told for the reader.
    None,
}

#[derive(Debug)]
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    bound: Bound,
}

impl Figure {
    fn is_kept(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.value <= most,
            Bound::AtLeast(least) => self.value >= least,
            Bound::None => true,
        }
    }
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    suite: String,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(suite: &str) -> Self {
        Self {
            suite: suite.to_owned(),
            figures: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        bound: Bound,
    ) {
        self.figures.push(Figure {
            what: what.into(),
            value,
            unit,
            bound,
        });
    }

    /// Whether every bound is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.figures.iter().all(Figure::is_kept)
    }

    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            let figures: Vec<Value> = self
                .figures
                .iter()
                .map(|figure| {
                    json!({"what": figure.what, "value": figure.value, "unit": figure.unit, "kept": figure.is_kept()})
                })
                .collect();
            println!("{}", json!({"suite": self.suite, "figures": figures}));
            return;
        }
        println!("\nOn {}:", self.suite);
        for figure in &self.figures {
            let bound = match figure.bound {
                Bound::AtMost(most) => format!("at most {most} {}", figure.unit),
                Bound::AtLeast(least) => format!("at least {least} {}", figure.unit),
                Bound::None => String::new(),
            };
            let word = match (figure.bound, figure.is_kept()) {
                (Bound::None, _) => "",
                (_, true) => "kept",
                (_, false) => "NOT KEPT",
            };
            println!(
                "{:<58} {:>10.2} {:<6} {bound:<20} {word}",
                figure.what, figure.value, figure.unit
            );
        }
    }
}

/// The time below which `part` of all are, `part` between 0 and 1.
pub(crate) fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index below the length"
    )]
    let index = ((times.len() as f64 - 1.0) * part).round() as usize;
    times.get(index).copied().unwrap_or_default()
}
