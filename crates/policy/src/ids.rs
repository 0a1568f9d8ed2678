//! Which uids and gids a policy may give: those that no system component hands out by itself.

use std::ops::RangeInclusive;

/// Ranges that are taken, and by whom (systemd's UIDS-GIDS, Debian policy 9.2.2).
const TAKEN: &[(RangeInclusive<u32>, &str)] = &[
    (0..=0, "root has it"),
    (1..=999, "system accounts have 1 to 999"),
    (60_001..=60_513, "systemd-homed gives out 60001 to 60513"),
    (
        60_514..=60_705,
        "systemd maps users of containers and greeters to 60514 to 60705",
    ),
    (
        61_184..=65_519,
        "systemd gives out 61184 to 65519 to services with DynamicUser",
    ),
    (65_534..=65_534, "nobody has it"),
    (
        65_535..=65_535,
        "the kernel reads 65535 as \"no id\" in 16 bits",
    ),
    (
        2_147_352_576..=2_147_418_111,
        "systemd keeps it for files of foreign systems",
    ),
    (
        2_147_483_648..=u32::MAX,
        "many programs read ids above 2147483647 as negative, and the last one as \"no id\"",
    ),
];

/// Why this id cannot be used, if it cannot.
pub(crate) fn taken(id: u32) -> Option<&'static str> {
    TAKEN
        .iter()
        .find(|(range, _)| range.contains(&id))
        .map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ids_are_taken_and_ordinary_ones_are_not() {
        for id in [
            0,
            1,
            100,
            999,
            60_001,
            61_184,
            65_519,
            65_534,
            65_535,
            2_147_483_648,
            u32::MAX,
        ] {
            assert!(taken(id).is_some(), "{id}");
        }
        for id in [
            1000,
            60_000,
            65_536,
            66_000,
            70_001,
            2_000_000_000,
            2_147_483_647,
        ] {
            assert!(taken(id).is_none(), "{id}");
        }
    }
}
