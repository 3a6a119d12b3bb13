//! What can be read of TLS from outside: the heads of its records, and the client's first message. RFC
//! 8446, sections 4.1.2 and 5.1.

use std::fmt;

/// The head of a record: type, version, length.
const HEAD: usize = 5;

/// How much of the first message is kept: as much as one record holds.
const HELLO_KEPT: usize = 16 * 1024;

/// How many protocols of a client's list are kept; who speaks gRPC offers one or two.
const PROTOCOLS: usize = 8;

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordType {
    /// Before TLS 1.3 the sign that encryption begins; since then without a meaning.
    ChangeCipherSpec,
    /// Why the connection ends.
    Alert,
    /// The part of the handshake that isn't encrypted.
    Handshake,
    /// Anything that is encrypted, in TLS 1.3 most of the handshake too.
    ApplicationData,
}

impl RecordType {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            20 => Self::ChangeCipherSpec,
            21 => Self::Alert,
            22 => Self::Handshake,
            23 => Self::ApplicationData,
            _ => return None,
        })
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChangeCipherSpec => "TLS change of keys",
            Self::Alert => "TLS alert",
            Self::Handshake => "TLS handshake",
            Self::ApplicationData => "encrypted",
        })
    }
}

/// The client's first message. Nothing in it is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientHello {
    /// Whom the client wants to talk to. None if that is an IP address.
    pub server_name: Option<String>,
    /// What it wants to speak inside of TLS: `h2`.
    pub protocols: Vec<String>,
}

impl ClientHello {
    /// Reads a handshake message, from its type on. `None` if it's another one, or malformed.
    fn parse(message: &[u8]) -> Option<Self> {
        let mut rest = Reader(message);
        if rest.number(1)? != 1 {
            return None;
        }
        let mut body = Reader(rest.block(3)?);
        // The version, and a random number.
        body.take(2 + 32)?;
        // A session, the ciphers, the ways to compress.
        body.block(1)?;
        body.block(2)?;
        body.block(1)?;
        let mut hello = Self::default();
        let mut extensions = Reader(body.block(2)?);
        while !extensions.0.is_empty() {
            let kind = extensions.number(2)?;
            let content = Reader(extensions.block(2)?);
            match kind {
                0 => hello.server_name = server_name(content),
                16 => hello.protocols = protocols(content)?,
                _ => {}
            }
        }
        Some(hello)
    }
}

/// RFC 6066, section 3.
fn server_name(mut content: Reader<'_>) -> Option<String> {
    let mut names = Reader(content.block(2)?);
    let is_host = names.number(1)? == 0;
    let name = names.block(2)?;
    is_host.then(|| String::from_utf8_lossy(&name[..name.len().min(255)]).into_owned())
}

/// RFC 7301, section 3.1.
fn protocols(mut content: Reader<'_>) -> Option<Vec<String>> {
    let mut list = Reader(content.block(2)?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() && protocols.len() < PROTOCOLS {
        protocols.push(String::from_utf8_lossy(list.block(1)?).into_owned());
    }
    Some(protocols)
}

/// Takes bytes from the front, as long as there are enough.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of that many bytes, four at most.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        let bytes = self.take(bytes)?;
        let number = bytes
            .iter()
            .fold(0_u32, |n, byte| n << 8 | u32::from(*byte));
        usize::try_from(number).ok()
    }

    /// What follows its length, which has that many bytes.
    fn block(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(length)
    }
}

/// A record, once its last byte has been seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub kind: RecordType,
    pub length: u16,
    pub hello: Option<ClientHello>,
}

/// Finds the records of one direction, in whatever pieces its bytes arrive.
#[derive(Debug)]
pub(crate) struct Records {
    head: [u8; HEAD],
    have: usize,
    left: u16,
    /// The beginning of the first message; `None` once it has been read, or can't be.
    hello: Option<Vec<u8>>,
    is_broken: bool,
}

impl Records {
    /// The most that is ever held.
    pub const BOUND: usize = 2 * HELLO_KEPT;

    pub fn of_client() -> Self {
        Self::new(Some(Vec::new()))
    }

    pub fn of_server() -> Self {
        Self::new(None)
    }

    fn new(hello: Option<Vec<u8>>) -> Self {
        Self {
            head: [0; HEAD],
            have: 0,
            left: 0,
            hello,
            is_broken: false,
        }
    }

    /// The next record, or `None` when more bytes are needed. What isn't TLS has no end.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Option<Record> {
        loop {
            if self.is_broken {
                *bytes = &[];
                return None;
            }
            if self.have < HEAD {
                let (&first, rest) = bytes.split_first()?;
                self.head[self.have] = first;
                self.have += 1;
                *bytes = rest;
                if self.have == HEAD {
                    self.left = u16::from_be_bytes([self.head[3], self.head[4]]);
                    self.is_broken = self.head[1] != 3 || self.kind().is_none();
                }
                continue;
            }
            if self.left > 0 {
                if bytes.is_empty() {
                    return None;
                }
                let length = bytes.len().min(self.left.into());
                let (payload, rest) = bytes.split_at(length);
                *bytes = rest;
                // At most `left`.
                self.left -= u16::try_from(length).unwrap_or(self.left);
                self.keep(payload);
                if self.left > 0 {
                    return None;
                }
            }
            self.have = 0;
            let length = u16::from_be_bytes([self.head[3], self.head[4]]);
            let hello = self.take_hello();
            return self.kind().map(|kind| Record {
                kind,
                length,
                hello,
            });
        }
    }

    fn kind(&self) -> Option<RecordType> {
        RecordType::from_number(self.head[0])
    }

    fn keep(&mut self, payload: &[u8]) {
        let is_handshake = self.kind() == Some(RecordType::Handshake);
        match &mut self.hello {
            Some(hello) if is_handshake && hello.len() + payload.len() <= HELLO_KEPT => {
                hello.extend_from_slice(payload);
            }
            // Too long, or something came in between.
            _ => self.hello = None,
        }
    }

    /// The first message, if it is complete now.
    fn take_hello(&mut self) -> Option<ClientHello> {
        let message = self.hello.as_deref()?;
        let length = Reader(message.get(1..)?).number(3)?;
        if message.len() < 4 + length {
            return None;
        }
        ClientHello::parse(&self.hello.take()?)
    }

    pub fn held_bytes(&self) -> usize {
        self.hello.as_ref().map_or(0, Vec::capacity)
    }
}

#[cfg(test)]
mod tests {
    use arbtest::arbtest;

    use super::*;

    /// A handshake record with a ClientHello for `localhost` that offers `h2` and `http/1.1`.
    fn hello() -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        let mut extensions = vec![0, 43, 0, 3, 2, 3, 4];
        extensions.extend([0, 0, 0, 14, 0, 12, 0, 0, 9]);
        extensions.extend(b"localhost");
        extensions.extend([0, 16, 0, 14, 0, 12, 2]);
        extensions.extend(b"h2\x08http/1.1");
        body.extend([0, u8::try_from(extensions.len()).unwrap()]);
        body.extend(extensions);
        let mut message = vec![1, 0, 0, u8::try_from(body.len()).unwrap()];
        message.extend(body);
        message
    }

    fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 3, 1][..], &length, payload].concat()
    }

    fn read(bytes: &[u8], piece: usize) -> Vec<Record> {
        let mut records = Records::of_client();
        let mut found = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while let Some(record) = records.next(&mut piece) {
                found.push(record);
            }
            assert!(piece.is_empty());
            assert!(records.held_bytes() <= Records::BOUND);
        }
        found
    }

    #[test]
    fn the_first_message_says_whom_and_what() {
        let bytes = [
            record(22, &hello()),
            record(20, &[1]),
            record(23, &[0; 300]),
        ]
        .concat();
        for piece in [1, 2, 7, bytes.len()] {
            let records = read(&bytes, piece);
            let hello = records[0].hello.clone().unwrap();
            assert_eq!(hello.server_name.as_deref(), Some("localhost"));
            assert_eq!(hello.protocols, ["h2", "http/1.1"]);
            let kinds: Vec<_> = records.iter().map(|it| (it.kind, it.length)).collect();
            let length = u16::try_from(super::tests::hello().len()).unwrap();
            assert_eq!(
                kinds,
                [
                    (RecordType::Handshake, length),
                    (RecordType::ChangeCipherSpec, 1),
                    (RecordType::ApplicationData, 300),
                ]
            );
        }
    }

    #[test]
    fn it_may_come_in_several_records_and_nothing_may_come_between() {
        let hello = hello();
        let (first, second) = hello.split_at(30);
        let bytes = [record(22, first), record(22, second)].concat();
        let records = read(&bytes, 11);
        assert_eq!(records[0].hello, None);
        assert!(records[1].hello.is_some());
        let bytes = [record(22, first), record(20, &[1]), record(22, second)].concat();
        assert!(read(&bytes, 11).iter().all(|it| it.hello.is_none()));
    }

    #[test]
    fn another_message_a_longer_one_and_what_is_not_tls_are_none() {
        let mut other = hello();
        other[0] = 2;
        assert_eq!(read(&record(22, &other), 5)[0].hello, None);
        let long = [[1, 0, 0xff, 0xff].to_vec(), vec![0; 16_000]].concat();
        let bytes = [record(22, &long), record(22, &long), record(22, &hello())].concat();
        assert!(read(&bytes, 1000).iter().all(|it| it.hello.is_none()));
        assert_eq!(read(b"\x16\x02\x00\x00\x01\x00", 1), []);
        assert_eq!(read(b"GET / HTTP/1.1\r\n", 3), []);
        // Every cut and every length that lies.
        for end in 0..super::tests::hello().len() {
            assert_eq!(ClientHello::parse(&super::tests::hello()[..end]), None);
        }
    }

    #[test]
    fn an_empty_record_is_one_too() {
        assert_eq!(read(&record(23, &[]), 1).len(), 1);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_within_the_bound() {
        arbtest(|u| {
            let mut bytes = record(22, &hello());
            for _ in 0..u.int_in_range(0..=5)? {
                let at = u.choose_index(bytes.len())?;
                bytes[at] = u.arbitrary()?;
            }
            bytes.extend(u.arbitrary::<Vec<u8>>()?);
            read(&bytes, u.int_in_range(1..=40)?);
            let _ = ClientHello::parse(&bytes[5..]);
            Ok(())
        });
    }
}
