//! Time windows: sets of local wall-clock intervals.

use crate::model::Span;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

/// One entry of `hours`, in minutes since local midnight: half-open, `end` up to 24:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    pub(crate) start: i16,
    pub(crate) end: i16,
}

/// `[windows.NAME]`.
#[derive(Debug, Clone)]
pub struct Window {
    /// The name.
    pub name: String,
    pub(crate) days: Vec<Weekday>,
    pub(crate) hours: Vec<Hours>,
    pub(crate) except: Vec<Date>,
    pub(crate) timezone: TimeZone,
    pub(crate) span: Span,
}
