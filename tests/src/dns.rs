//! The lab's name server: it says what a story wants it to say, once one
//! thing, then another, as somebody does who has a domain of their own.
//!
//! It listens in the run's own network namespace, at an address of the office.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where it is asked.
pub const NAME_SERVER: &str = "10.77.1.53";
/// Record types (RFC 1035 section 3.2.2, RFC 3596).
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
/// Response, authoritative, recursion available; the client's own bits are added.
const RESPONSE: u16 = 0x8480;
const RECURSION_DESIRED: u16 = 0x0100;
const NO_SUCH_NAME: u16 = 3;
const HEADER: usize = 12;

/// What a name stands for, for nobody to remember (time to live 0).
#[derive(Debug, Clone, Default)]
pub struct Answer {
    alias: Option<String>,
    addresses: Vec<IpAddr>,
}

impl Answer {
    /// These addresses, in this order.
    ///
    /// # Errors
    /// When one is no address.
    pub fn addresses(addresses: &[&str]) -> Result<Self> {
        let addresses = addresses.iter().map(|text| text.parse());
        Ok(Self {
            alias: None,
            addresses: addresses.collect::<Result<_, _>>()?,
        })
    }

    /// The same by way of another name (`CNAME`).
    #[must_use]
    pub fn by_way_of(mut self, alias: &str) -> Self {
        self.alias = Some(alias.to_owned());
        self
    }
}

type Names = BTreeMap<String, Vec<Answer>>;

/// The name server, which answers until the run ends.
#[derive(Debug, Clone, Default)]
pub struct NameServer {
    names: Arc<Mutex<Names>>,
}

impl NameServer {
    /// Begins to answer.
    ///
    /// # Errors
    /// When the address is not there; see [`crate::network::lay`].
    pub fn serve() -> Result<Self> {
        let socket = UdpSocket::bind((NAME_SERVER, 53)).context("the name server")?;
        let server = Self::default();
        let names = server.clone();
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                let question = question.get(..length).unwrap_or_default();
                if let Some(answer) = names.answer(question) {
                    let _lost = socket.send_to(&answer, from);
                }
            }
        });
        Ok(server)
    }

    /// From now on says this of a name.
    pub fn say(&self, name: &str, answer: Answer) {
        self.say_in_turn(name, [answer]);
    }

    /// Says one after the other, to whoever asks; then the last for ever.
    pub fn say_in_turn(&self, name: &str, answers: impl IntoIterator<Item = Answer>) {
        let answers = answers.into_iter().collect();
        self.names().insert(name.to_owned(), answers);
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a message with one question (RFC 1035 section 4.1).
    fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = name_at(message, HEADER)?;
        let kind = u16_at(message, end)?;
        let question = message.get(HEADER..end + 4)?;
        let told = self.next(&name, kind);
        let code = if told.is_some() { 0 } else { NO_SUCH_NAME };
        let flags = RESPONSE | (u16_at(message, 2)? & RECURSION_DESIRED) | code;
        let mut records = Vec::new();
        if let Some(answer) = told {
            let mut owner = name;
            if let Some(alias) = answer.alias {
                records.push(record(&owner, CNAME, &encoded(&alias)));
                owner = alias;
            }
            for address in answer.addresses {
                match (kind, address) {
                    (A, IpAddr::V4(v4)) => records.push(record(&owner, A, &v4.octets())),
                    (AAAA, IpAddr::V6(v6)) => records.push(record(&owner, AAAA, &v6.octets())),
                    _ => {}
                }
            }
        }
        let mut answer = message.get(..2)?.to_vec();
        for word in [flags, 1, u16::try_from(records.len()).ok()?, 0, 0] {
            answer.extend(word.to_be_bytes());
        }
        answer.extend(question);
        answer.extend(records.concat());
        Some(answer)
    }

    /// What is said now. A turn ends with the question for IPv4 addresses: whoever asks for both asks for these once.
    fn next(&self, name: &str, kind: u16) -> Option<Answer> {
        let mut names = self.names();
        let answers = names.get_mut(&name.to_ascii_lowercase())?;
        let answer = answers.first().cloned()?;
        if kind == A && answers.len() > 1 {
            answers.remove(0);
        }
        Some(answer)
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at + 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// The uncompressed name at `at`, with dots between labels, and where it ends.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        at += length;
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A record of class Internet with time to live 0.
fn record(owner: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = encoded(owner);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 0]);
    bytes.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    bytes.extend(data);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend(encoded(name));
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    #[test]
    fn answers_come_in_turn_and_the_last_stays() {
        let server = NameServer::default();
        let answers = ["192.0.2.1", "192.0.2.2"].map(|a| Answer::addresses(&[a]).unwrap());
        server.say_in_turn("a.test", answers);
        let last = |kind| {
            *server
                .answer(&question("A.test", kind))
                .unwrap()
                .last()
                .unwrap()
        };
        assert_eq!(last(AAAA), 1, "no record: the message ends with the class");
        assert_eq!([last(A), last(A), last(A)], [1, 2, 2]);
    }

    #[test]
    fn an_unknown_name_does_not_exist() {
        let answer = NameServer::default()
            .answer(&question("b.test", A))
            .unwrap();
        assert_eq!(answer.get(3), Some(&0x83));
        assert_eq!(answer.get(..2), Some(&[0xab, 0xcd][..]));
    }
}
