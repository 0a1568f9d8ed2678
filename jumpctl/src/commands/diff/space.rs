//! Cuts addresses and ports into pieces within which two policies cannot differ.
//!
//! A policy speaks of networks and ranges. Between two neighbouring
//! boundaries of all of them, every address gets the same answer; so one
//! question per piece answers for the whole piece, exactly.

use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

/// Addresses from the first to the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    /// The first; it stands for all.
    pub(super) first: IpAddr,
    /// The last.
    pub(super) last: IpAddr,
}

impl std::fmt::Display for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match networks(*self).as_slice() {
            [] => write!(f, "{}-{}", self.first, self.last),
            [one] if one.prefix_len() == one.max_prefix_len() => self.first.fmt(f),
            [one] => one.fmt(f),
            _ => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// The networks that make up a piece, if at most one does.
fn networks(piece: Piece) -> Vec<IpNet> {
    let all: Vec<IpNet> = match (piece.first, piece.last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => ipnet::Ipv4Subnets::new(first, last, 0)
            .map(IpNet::V4)
            .take(2)
            .collect(),
        (IpAddr::V6(first), IpAddr::V6(last)) => ipnet::Ipv6Subnets::new(first, last, 0)
            .map(IpNet::V6)
            .take(2)
            .collect(),
        _ => Vec::new(),
    };
    all
}

/// Pieces that lie inside at least one of the networks.
pub(super) fn inside(nets: &[IpNet]) -> Vec<Piece> {
    everywhere(nets)
        .into_iter()
        .filter(|piece| nets.iter().any(|net| net.contains(&piece.first)))
        .collect()
}

/// Pieces that together are every address of both families.
pub(super) fn everywhere(nets: &[IpNet]) -> Vec<Piece> {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let mut pieces = Vec::new();
    for v4 in [true, false] {
        let top = if v4 { u128::from(u32::MAX) } else { u128::MAX };
        let bounds = nets
            .iter()
            .filter(|net| net.network().is_ipv4() == v4)
            .map(|net| (bits(net.network()), bits(net.broadcast())));
        let address = |bits: u128| -> IpAddr {
            if v4 {
                // Within the top of the family by construction.
                Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into()
            } else {
                Ipv6Addr::from_bits(bits).into()
            }
        };
        for (first, last) in cut(bounds, 0, top) {
            pieces.push(Piece {
                first: address(first),
                last: address(last),
            });
        }
    }
    pieces
}

/// Port ranges inside at least one of the given ones.
pub(super) fn ports(ranges: &[RangeInclusive<u16>]) -> Vec<RangeInclusive<u16>> {
    let bounds = ranges
        .iter()
        .map(|range| (u128::from(*range.start()), u128::from(*range.end())));
    let port = |bits: u128| u16::try_from(bits).unwrap_or(u16::MAX);
    cut(bounds, 1, u128::from(u16::MAX))
        .into_iter()
        .map(|(first, last)| port(first)..=port(last))
        .filter(|piece| ranges.iter().any(|range| range.contains(piece.start())))
        .collect()
}

/// Cuts `low..=high` before every first and after every last value.
fn cut(bounds: impl Iterator<Item = (u128, u128)>, low: u128, high: u128) -> Vec<(u128, u128)> {
    let mut starts = BTreeSet::from([low]);
    for (first, last) in bounds {
        starts.insert(first.max(low));
        if last < high {
            starts.insert(last + 1);
        }
    }
    let starts: Vec<u128> = starts.into_iter().collect();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([high]);
    starts.iter().copied().zip(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nets(all: &[&str]) -> Vec<IpNet> {
        all.iter().map(|net| net.parse().unwrap()).collect()
    }

    fn shown(pieces: &[Piece]) -> Vec<String> {
        pieces.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nested_networks_fall_into_their_parts() {
        assert_eq!(
            shown(&inside(&nets(&[
                "10.0.0.0/24",
                "10.0.0.0/25",
                "10.0.0.7/32",
                "2001:db8::/64"
            ]))),
            [
                "10.0.0.0-10.0.0.6",
                "10.0.0.7",
                "10.0.0.8-10.0.0.127",
                "10.0.0.128/25",
                "2001:db8::/64"
            ]
        );
    }

    #[test]
    fn everywhere_is_everything() {
        assert_eq!(shown(&everywhere(&[])), ["0.0.0.0/0", "::/0"]);
        assert_eq!(
            shown(&everywhere(&nets(&["0.0.0.0/0", "::/0"]))),
            ["0.0.0.0/0", "::/0"]
        );
    }

    #[test]
    fn ports_fall_into_the_parts_of_their_ranges() {
        assert_eq!(
            ports(&[22..=22, 20..=30, 65535..=65535]),
            [20..=21, 22..=22, 23..=30, 65535..=65535]
        );
    }

    proptest! {
        #[test]
        fn no_network_cuts_through_a_piece(all in proptest::collection::vec((any::<u32>(), 0u8..=32), 0..8)) {
            let nets: Vec<IpNet> = all
                .into_iter()
                .map(|(bits, length)| IpNet::new(Ipv4Addr::from_bits(bits).into(), length).unwrap().trunc())
                .collect();
            for piece in everywhere(&nets) {
                for net in &nets {
                    prop_assert_eq!(net.contains(&piece.first), net.contains(&piece.last));
                }
            }
        }
    }
}
