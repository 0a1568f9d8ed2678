//! What a task passed to connect(2), as bytes that nobody can change any more.
//!
//! The lengths and errors are the kernel's own, in its order, so that a
//! program cannot tell that its call was mediated.

use jump_sys::process::read_memory;
use nix::errno::Errno;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// `sizeof(struct sockaddr_storage)`: what the kernel copies at most.
const LONGEST: usize = 128;
/// `sizeof(struct sockaddr_in)`.
const V4_LENGTH: usize = 16;
/// Up to the address; the scope was added later (`SIN6_LEN_RFC2133`).
const V6_LENGTH: usize = 24;
/// With the scope.
const V6_SCOPED: usize = 28;

/// An address, by its family: decisions go by this, not by the socket's domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// `AF_UNSPEC`: dissolve what is connected.
    Unspecified,
    /// `AF_INET` or `AF_INET6`, as spelled (an IPv4-mapped address stays IPv6 here).
    Inet(SocketAddr),
    /// `AF_UNIX` with a path.
    Path(PathBuf),
    /// `AF_UNIX` with an abstract or no name.
    Abstract,
    /// Any other family.
    Other(u16),
}

/// Copies and understands the address at `pointer` of task `tid`.
///
/// # Errors
/// What connect(2) would answer: `EINVAL`, `EFAULT`.
pub fn read(tid: i32, pointer: u64, length: u64) -> Result<Asked, Errno> {
    // The kernel takes the length as an int: the upper half is not looked at.
    let length = usize::try_from(length as u32 as i32).map_err(|_| Errno::EINVAL)?;
    if length > LONGEST {
        return Err(Errno::EINVAL);
    }
    if length == 0 {
        return parse(&[]);
    }
    parse(&read_memory(tid, pointer, length).map_err(|_| Errno::EFAULT)?)
}

/// Understands an address.
///
/// # Errors
/// `EINVAL` when it is too short for its family.
pub fn parse(bytes: &[u8]) -> Result<Asked, Errno> {
    let array = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|b| <[u8; 4]>::try_from(b).ok())
    };
    let family = bytes
        .first_chunk()
        .map(|f| u16::from_ne_bytes(*f))
        .ok_or(Errno::EINVAL)?;
    let port = bytes
        .get(2..4)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u16::from_be_bytes);
    match i32::from(family) {
        nix::libc::AF_UNSPEC => Ok(Asked::Unspecified),
        nix::libc::AF_INET if bytes.len() >= V4_LENGTH => {
            let ip = Ipv4Addr::from(array(4).ok_or(Errno::EINVAL)?);
            Ok(Asked::Inet(SocketAddrV4::new(ip, port).into()))
        }
        nix::libc::AF_INET6 if bytes.len() >= V6_LENGTH => {
            let raw: [u8; 16] = bytes
                .get(8..24)
                .and_then(|b| b.try_into().ok())
                .ok_or(Errno::EINVAL)?;
            let scope = (bytes.len() >= V6_SCOPED)
                .then(|| array(24).map(u32::from_ne_bytes))
                .flatten()
                .unwrap_or(0);
            Ok(Asked::Inet(
                SocketAddrV6::new(Ipv6Addr::from(raw), port, 0, scope).into(),
            ))
        }
        nix::libc::AF_INET | nix::libc::AF_INET6 => Err(Errno::EINVAL),
        nix::libc::AF_UNIX => {
            let name = bytes.get(2..).unwrap_or_default();
            let path = name.split(|b| *b == 0).next().unwrap_or_default();
            Ok(if path.is_empty() {
                Asked::Abstract
            } else {
                Asked::Path(PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())))
            })
        }
        _ => Ok(Asked::Other(family)),
    }
}

/// An IPv4-mapped IPv6 address is the IPv4 address: the packets say so.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(bytes: &[u8]) -> Vec<u8> {
        let mut address = 2u16.to_ne_bytes().to_vec();
        address.extend(bytes);
        address
    }

    fn v6(port: u16, ip: Ipv6Addr) -> Vec<u8> {
        let mut address = 10u16.to_ne_bytes().to_vec();
        address.extend(port.to_be_bytes());
        address.extend([0; 4]);
        address.extend(ip.octets());
        address
    }

    #[test]
    fn an_ipv4_address_needs_sixteen_bytes() {
        let whole = v4(&[0, 22, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            parse(&whole),
            Ok(Asked::Inet("10.0.0.1:22".parse().unwrap()))
        );
        assert_eq!(parse(&whole[..15]), Err(Errno::EINVAL));
        assert_eq!(parse(&whole[..1]), Err(Errno::EINVAL));
        assert_eq!(parse(&[]), Err(Errno::EINVAL));
    }

    #[test]
    fn an_ipv6_address_may_lack_its_scope() {
        let ip = "2001:db8::1".parse().unwrap();
        let mut short = v6(443, ip);
        assert_eq!(
            parse(&short),
            Ok(Asked::Inet("[2001:db8::1]:443".parse().unwrap()))
        );
        assert_eq!(parse(&short[..23]), Err(Errno::EINVAL));
        short.extend(7u32.to_ne_bytes());
        let Ok(Asked::Inet(SocketAddr::V6(scoped))) = parse(&short) else {
            panic!()
        };
        assert_eq!(scoped.scope_id(), 7);
    }

    #[test]
    fn a_mapped_address_is_judged_as_ipv4() {
        let Ok(Asked::Inet(address)) = parse(&v6(80, "::ffff:127.0.0.1".parse().unwrap())) else {
            panic!()
        };
        assert_eq!(canonical(address), "127.0.0.1:80".parse().unwrap());
        assert_eq!(
            canonical("[::1]:80".parse().unwrap()),
            "[::1]:80".parse().unwrap()
        );
    }

    #[test]
    fn unix_names_end_at_the_first_nul() {
        let name = |bytes: &[u8]| [&1u16.to_ne_bytes()[..], bytes].concat();
        assert_eq!(
            parse(&name(b"/run/x\0garbage")),
            Ok(Asked::Path("/run/x".into()))
        );
        assert_eq!(parse(&name(b"/run/x")), Ok(Asked::Path("/run/x".into())));
        assert_eq!(parse(&name(b"\0/run/x")), Ok(Asked::Abstract));
        assert_eq!(parse(&name(b"")), Ok(Asked::Abstract));
    }

    #[test]
    fn other_families_are_named() {
        assert_eq!(parse(&0u16.to_ne_bytes()), Ok(Asked::Unspecified));
        assert_eq!(parse(&40u16.to_ne_bytes()), Ok(Asked::Other(40)));
    }

    #[test]
    fn lengths_are_ints_as_in_the_kernel() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(read(own, 0, u64::MAX), Err(Errno::EINVAL));
        assert_eq!(read(own, 0, 129), Err(Errno::EINVAL));
        assert_eq!(read(own, 0, 16), Err(Errno::EFAULT));
        assert_eq!(read(own, 0, 0), Err(Errno::EINVAL));
    }
}
