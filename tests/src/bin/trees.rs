//! Makes the trees that the machines of the named releases are booted from, for a lab that comes later.

#![forbid(unsafe_code)]

use jump_lab::base::{self, Kind};

fn main() -> anyhow::Result<()> {
    for kind in [Kind::Server, Kind::Workbench] {
        for suite in std::env::args().skip(1) {
            base::tree_of(&suite, kind)?;
        }
    }
    Ok(())
}
