//! `HOST[:PORT]` as the operator types it.

use crate::error::Error;
use std::net::Ipv6Addr;

/// ssh's port, where none is named.
const SSH: u16 = 22;

/// Splits into host and port. IPv6 addresses need brackets only with a port.
///
/// # Errors
/// [`Error::Usage`].
pub(super) fn parse(text: &str) -> Result<(String, u16), Error> {
    let bad = || {
        Error::Usage(format!(
            "{text:?} is no destination; write db1.example.com, db1.example.com:5432, 10.0.0.1:22 or [2001:db8::1]:22"
        ))
    };
    let port = |digits: &str| match digits.parse::<u16>() {
        Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(bad()),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or_else(bad)?;
        let address: Ipv6Addr = address.parse().map_err(|_| bad())?;
        return match after.strip_prefix(':') {
            Some(digits) => Ok((address.to_string(), port(digits)?)),
            None if after.is_empty() => Ok((address.to_string(), SSH)),
            None => Err(bad()),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text.to_owned(), SSH));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, digits)) => (host, port(digits)?),
        None => (text, SSH),
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || ":/@[]".contains(c);
    if host.is_empty() || host.contains(odd) {
        return Err(bad());
    }
    Ok((host.to_owned(), port))
}

/// The other way round, for answers.
pub(super) fn show(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_a_destination() {
        for (text, host, port) in [
            ("db1", "db1", 22),
            ("db1.example.com:5432", "db1.example.com", 5432),
            ("10.0.0.1", "10.0.0.1", 22),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("2001:db8::1", "2001:db8::1", 22),
            ("[2001:db8::1]", "2001:db8::1", 22),
            ("[2001:db8::1]:65535", "2001:db8::1", 65535),
            ("::1", "::1", 22),
        ] {
            assert_eq!(parse(text).unwrap(), (host.to_owned(), port), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            ":22",
            "db1:",
            "db1:0",
            "db1:65536",
            "db1:+22",
            "db1:2 2",
            "[::1",
            "[::1]22",
            "[db1]:22",
            "a@b",
            "ssh://db1",
            "db 1",
            "1:2:3",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(host in "[a-z][a-z0-9.-]{0,20}", port in 1u16..) {
            prop_assert_eq!(parse(&show(&host, port)).unwrap(), (host, port));
        }

        #[test]
        fn addresses_read_back(address: Ipv6Addr, port in 1u16..) {
            let host = address.to_string();
            prop_assert_eq!(parse(&show(&host, port)).unwrap(), (host, port));
        }
    }
}
