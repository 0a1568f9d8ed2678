//! What ssh of a hop asks of its agent: any bytes are one of two questions,
//! whole, or none; and nothing is signed that is not a login.

use jump_ca::Login;
use jump_ca::agent::Request;

/// A string as SSH writes it down (RFC 4251, section 5).
fn string(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), text].concat()
}

/// A message without its length.
pub fn agent(bytes: &[u8]) {
    match Request::read(bytes) {
        Request::Other => {}
        Request::Identities => assert_eq!(bytes, [11]),
        Request::Sign { key, data } => {
            let again = [&[13][..], &string(key), &string(data), &[0; 4]].concat();
            assert_eq!(bytes, again);
            let login = Login {
                name: "admin",
                certificate: key,
            };
            if login.is_asked_for(data) {
                assert!(data.windows(5).any(|window| window == b"admin"));
                assert!(!login.is_asked_for(&data[..data.len() - 1]));
            }
        }
    }
}
