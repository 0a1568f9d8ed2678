//! The stories, in the order in which a newcomer would read them.

use jump_lab::lab::Lab;

mod installation;

/// One story.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// Its name, a sentence in snake_case.
    pub(crate) name: &'static str,
    /// Whether it stops or breaks something that others use.
    pub(crate) alone: bool,
    /// Tells it.
    pub(crate) tell: fn(&Lab) -> anyhow::Result<()>,
}

/// A scenario that runs beside others.
const fn beside(name: &'static str, tell: fn(&Lab) -> anyhow::Result<()>) -> Scenario {
    Scenario {
        name,
        alone: false,
        tell,
    }
}

/// A scenario that runs alone.
const fn alone(name: &'static str, tell: fn(&Lab) -> anyhow::Result<()>) -> Scenario {
    Scenario {
        name,
        alone: true,
        tell,
    }
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[beside(
    "the_lab_itself_is_sound",
    installation::the_lab_itself_is_sound,
)];
