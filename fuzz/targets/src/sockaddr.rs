//! An address as a task passed it to connect(2): any bytes are understood as
//! the kernel would understand them, or refused with `EINVAL`.

use jump_guard::address::{Asked, canonical, parse};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

/// The family's number in the first two bytes (`AF_*`, socket(2)).
const UNSPEC: u16 = 0;
const UNIX: u16 = 1;
const INET: u16 = 2;
const INET6: u16 = 10;

/// The guard's copy of a sockaddr.
pub fn sockaddr(bytes: &[u8]) {
    let family = bytes.first_chunk().map(|f| u16::from_ne_bytes(*f));
    let Ok(asked) = parse(bytes) else {
        // Only what is too short for its family.
        assert!(match family {
            None => true,
            Some(INET) => bytes.len() < 16,
            Some(INET6) => bytes.len() < 24,
            Some(_) => false,
        });
        return;
    };
    match asked {
        Asked::Unspecified => assert_eq!(family, Some(UNSPEC)),
        Asked::Inet(address) => {
            assert_eq!(address.port().to_be_bytes(), bytes[2..4]);
            match address {
                SocketAddr::V4(v4) => {
                    assert_eq!(family, Some(INET));
                    assert_eq!(v4.ip().octets(), bytes[4..8]);
                }
                SocketAddr::V6(v6) => {
                    assert_eq!(family, Some(INET6));
                    assert_eq!(v6.ip().octets(), bytes[8..24]);
                    let scope = bytes.get(24..28).unwrap_or(&[0; 4]);
                    assert_eq!(v6.scope_id().to_ne_bytes(), scope);
                }
            }
            let judged = canonical(address);
            assert_eq!(canonical(judged), judged);
            // What is judged as IPv6 is no spelling of an IPv4 address.
            if let SocketAddr::V6(v6) = judged {
                assert!(v6.ip().to_ipv4_mapped().is_none());
            }
        }
        Asked::Path(path) => {
            assert_eq!(family, Some(UNIX));
            let path = path.as_os_str().as_bytes();
            assert!(!path.is_empty() && !path.contains(&0));
            assert!(bytes[2..].starts_with(path));
        }
        Asked::Abstract => {
            assert_eq!(family, Some(UNIX));
            assert!(bytes.get(2).is_none_or(|first| *first == 0));
        }
        Asked::Other(other) => {
            assert_eq!(family, Some(other));
            assert!(![UNSPEC, UNIX, INET, INET6].contains(&other));
        }
    }
}
