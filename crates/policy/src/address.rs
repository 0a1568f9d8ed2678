//! Addresses and networks: one spelling each, and which of them no network or name ever grants.

use crate::diagnostics::quoted;
use crate::model::HostPattern;
use ipnet::IpNet;
use jump_proto::Reason;
use std::net::{IpAddr, Ipv6Addr};

/// Why a text is not the address, network or name that was needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressError {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

fn refuse(message: impl Into<String>, help: impl Into<String>) -> AddressError {
    AddressError {
        message: message.into(),
        help: Some(help.into()),
    }
}

/// An address in the one form in which it is judged: IPv4-mapped IPv6 is IPv4 (RFC 4291 2.5.5.2).
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Why this address is reached only where a target lists it literally, if it is such a one.
///
/// `own` says whether the bastion itself has it.
pub(crate) fn special(address: IpAddr, own: bool) -> Option<Reason> {
    if own || address.is_unspecified() || address.is_loopback() {
        return Some(Reason::OwnAddress);
    }
    match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            if v4.is_link_local() {
                Some(Reason::OwnAddress)
            } else if first == 0 || first >= 224 {
                // "This network" (RFC 791), multicast, reserved and broadcast: not one host.
                Some(Reason::BadAddress)
            } else {
                None
            }
        }
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v6(address: Ipv6Addr) -> Option<Reason> {
    let s = address.segments();
    if (s[0] & 0xffc0) == 0xfe80 {
        return Some(Reason::OwnAddress);
    }
    let embeds_ipv4 = matches!(s, [0, 0, 0, 0, 0, 0, ..]) // v4-compatible, RFC 4291 2.5.5.1
        || matches!(s, [0, 0, 0, 0, 0xffff, 0, ..])       // v4-translated, RFC 2765
        || matches!(s, [0x64, 0xff9b, 0, 0, 0, 0, ..])    // NAT64, RFC 6052
        || matches!(s, [0x64, 0xff9b, 1, ..])             // local NAT64, RFC 8215
        || s[0] == 0x2002                                 // 6to4, RFC 3056
        || matches!(s, [0x2001, 0, ..]); // Teredo, RFC 4380
    let multicast = (s[0] >> 8) == 0xff;
    (embeds_ipv4 || multicast).then_some(Reason::BadAddress)
}

/// One address, not a network, not a name.
pub(crate) fn parse_address(text: &str) -> Result<IpAddr, AddressError> {
    if text.contains('%') {
        return Err(refuse(
            "an address with a zone means something on one host only",
            "leave out what follows the percent sign",
        ));
    }
    let address: IpAddr = text.parse().map_err(|_| {
        refuse(
            format!("{} is not an IP address", quoted(text)),
            "write it as 10.1.2.3 or 2001:db8::1",
        )
    })?;
    let canonical = canonical(address);
    if canonical != address {
        return Err(refuse(
            format!("{} is an IPv4 address written as IPv6", quoted(text)),
            format!("write `{canonical}`; both spellings are the same to every rule"),
        ));
    }
    Ok(address)
}

/// One network in CIDR form, without host bits.
pub(crate) fn parse_net(text: &str) -> Result<IpNet, AddressError> {
    let bad = || {
        refuse(
            format!("{} is not a network", quoted(text)),
            "write it as 10.20.0.0/24 or 2001:db8:20::/64",
        )
    };
    let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let plain = !prefix.is_empty()
        && prefix.bytes().all(|b| b.is_ascii_digit())
        && (prefix == "0" || !prefix.starts_with('0'));
    let prefix: u8 = if plain {
        prefix.parse().map_err(|_| bad())?
    } else {
        return Err(bad());
    };
    let Ok(net) = IpNet::new(address, prefix) else {
        let most = if address.is_ipv4() { 32 } else { 128 };
        return Err(refuse(
            format!("the prefix of {} is longer than an address", quoted(text)),
            format!("it is at most /{most}"),
        ));
    };
    if let IpAddr::V6(v6) = address {
        if let Some(v4) = v6.to_ipv4_mapped() {
            return Err(mapped_net(text, IpAddr::V4(v4), prefix));
        }
        let mapped = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0);
        if prefix > 0 && net.contains(&IpAddr::V6(mapped)) {
            return Err(refuse(
                format!("{} holds all of IPv4 in its IPv6 spelling", quoted(text)),
                "IPv4 is judged as IPv4; write an IPv4 network as well if it is meant",
            ));
        }
    }
    let trunc = net.trunc();
    if trunc != net {
        return Err(refuse(
            format!("{} has bits set after its prefix", quoted(text)),
            format!("write `{trunc}` for the network, or `{address}` for the one address"),
        ));
    }
    Ok(net)
}

fn mapped_net(text: &str, v4: IpAddr, prefix: u8) -> AddressError {
    let message = format!("{} is an IPv4 network written as IPv6", quoted(text));
    let net = prefix
        .checked_sub(96)
        .and_then(|prefix| IpNet::new(v4, prefix).ok());
    match net {
        Some(net) => refuse(
            message,
            format!(
                "write `{}`; both spellings are the same to every rule",
                net.trunc()
            ),
        ),
        None => refuse(message, "write the IPv4 network that is meant"),
    }
}

/// One entry of `from`: an address or a network. Never a name: who answers for a name could then log in.
pub(crate) fn parse_source(text: &str) -> Result<IpNet, AddressError> {
    if text.contains('/') {
        return parse_net(text);
    }
    let looks_like_name = text.bytes().any(|b| b.is_ascii_alphabetic()) && !text.contains(':');
    if looks_like_name {
        return Err(refuse(
            format!("{} is not an address", quoted(text)),
            "a source is an address or a network, never a name: names can be changed by others",
        ));
    }
    parse_address(text).map(IpNet::from)
}

/// One entry of `hosts`: a name, an address or a network.
pub(crate) fn parse_host(text: &str) -> Result<HostPattern, AddressError> {
    if text.contains('/') {
        return parse_net(text).map(HostPattern::Net);
    }
    if text.contains(':') || text.parse::<IpAddr>().is_ok() {
        return match parse_address(text) {
            Ok(address) => Ok(HostPattern::Address(address)),
            Err(_) if text.matches(':').count() == 1 => Err(refuse(
                format!("{} has a port in it", quoted(text)),
                "ports stand in `ports`",
            )),
            Err(error) => Err(error),
        };
    }
    host_name(text).map(HostPattern::Name)
}

/// A host name in the one form in which it is compared: lower case, no trailing dot (RFC 1123 2.1, RFC 1034 3.5).
pub(crate) fn host_name(text: &str) -> Result<String, AddressError> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.contains(['*', '?']) {
        return Err(refuse(
            format!("{} has a wildcard", quoted(text)),
            "list the names, or the network they are in as CIDR",
        ));
    }
    if !name.is_ascii() {
        return Err(refuse(
            format!(
                "{} has characters that host names do not have",
                quoted(text)
            ),
            "write an internationalised name in its `xn--` form",
        ));
    }
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label_ok) {
        return Err(refuse(
            format!("{} is not a host name", quoted(text)),
            "a name is letters, digits and hyphens between dots",
        ));
    }
    if looks_numeric(&name) {
        return Err(refuse(
            format!("{} is an unusual spelling of an address", quoted(text)),
            "write all four parts of an IPv4 address in decimal without leading zeros",
        ));
    }
    Ok(name)
}

/// Whether resolvers take the name for a number (inet_aton(3): `127.1`, `0x7f.1`, `2130706433`).
fn looks_numeric(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    match last.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|b| b.is_ascii_hexdigit()),
        None => last.bytes().all(|b| b.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(result: Result<impl std::fmt::Debug, AddressError>) -> String {
        result.unwrap_err().help.unwrap_or_default()
    }

    #[test]
    fn networks_have_no_host_bits_and_the_right_one_is_suggested() {
        assert_eq!(
            parse_net("10.20.0.0/24").unwrap().to_string(),
            "10.20.0.0/24"
        );
        assert!(help(parse_net("10.20.0.7/24")).contains("`10.20.0.0/24`"));
        assert!(help(parse_net("2001:db8::1/64")).contains("`2001:db8::/64`"));
        assert!(help(parse_net("10.0.0.0/33")).contains("at most /32"));
        for bad in [
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "/8",
            "010.0.0.0/8",
            "a/8",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/300",
        ] {
            assert!(parse_net(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ipv4_in_ipv6_spelling_is_refused_with_the_ipv4_spelling() {
        assert!(help(parse_net("::ffff:10.0.0.0/104")).contains("`10.0.0.0/8`"));
        assert!(help(parse_net("::ffff:0:0/96")).contains("`0.0.0.0/0`"));
        assert!(parse_net("::/64").is_err());
        assert!(parse_net("::/0").is_ok());
        assert!(help(parse_address("::ffff:10.0.0.1")).contains("`10.0.0.1`"));
        assert!(parse_address("fe80::1%eth0").is_err());
    }

    #[test]
    fn hosts_are_names_addresses_or_networks() {
        assert_eq!(
            parse_host("DB1.Example.Internal.").unwrap(),
            HostPattern::Name("db1.example.internal".to_owned())
        );
        assert!(matches!(
            parse_host("10.0.0.1"),
            Ok(HostPattern::Address(_))
        ));
        assert!(matches!(
            parse_host("2001:db8::1"),
            Ok(HostPattern::Address(_))
        ));
        assert!(matches!(parse_host("10.0.0.0/8"), Ok(HostPattern::Net(_))));
        assert!(help(parse_host("db1:22")).contains("`ports`"));
        assert!(help(parse_host("*.example.internal")).contains("CIDR"));
        assert!(help(parse_host("bücher.example")).contains("xn--"));
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "a b",
            "a\n",
            "a\0",
            &"a".repeat(64),
            &"a.".repeat(128),
            "[::1]",
        ] {
            assert!(parse_host(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn spellings_that_resolvers_take_for_numbers_are_not_names() {
        for bad in [
            "127.1",
            "0",
            "0x7f.1",
            "2130706433",
            "017700000001",
            "1.2.3",
            "0x7f000001",
            "a.1",
            "127.0.0.1.",
        ] {
            assert!(parse_host(bad).is_err(), "{bad}");
        }
        assert!(parse_host("0x7g").is_ok());
        assert!(parse_host("1password.example").is_ok());
    }

    #[test]
    fn sources_are_never_names() {
        assert_eq!(parse_source("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        assert!(help(parse_source("office.example")).contains("never a name"));
    }

    #[test]
    fn special_addresses_are_told_from_ordinary_ones() {
        let reason = |text: &str| special(canonical(text.parse().unwrap()), false);
        for own in [
            "127.0.0.1",
            "127.255.0.1",
            "0.0.0.0",
            "::",
            "::1",
            "169.254.169.254",
            "fe80::1",
            "febf::1",
            "::ffff:127.0.0.1",
            "::ffff:0.0.0.0",
        ] {
            assert_eq!(reason(own), Some(Reason::OwnAddress), "{own}");
        }
        for bad in [
            "::127.0.0.1",
            "::2",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "::ffff:0:127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "0.1.2.3",
            "ff02::1",
        ] {
            assert_eq!(reason(bad), Some(Reason::BadAddress), "{bad}");
        }
        for ordinary in [
            "10.0.0.1",
            "192.0.2.1",
            "2001:db8::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "2001:4860::8888",
            "8.8.8.8",
        ] {
            assert_eq!(reason(ordinary), None, "{ordinary}");
        }
        assert_eq!(
            special("10.0.0.1".parse().unwrap(), true),
            Some(Reason::OwnAddress)
        );
    }
}
