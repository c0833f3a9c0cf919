//! Frames as RFC 6455 §5.2 draws them, encoded and parsed without the crate's help.

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8A;

/// A frame that a server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(first: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { first, payload: payload.as_ref().to_vec() }
    }
}

/// The bytes of a frame as a client sends it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let mut bytes = vec![first];
    match payload.len() {
        len @ ..126 => bytes.push(0x80 | len as u8),
        len @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The payload of a Close frame.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

/// Takes a server's bytes apart.
#[derive(Debug, Default)]
pub struct Parser {
    bytes: Vec<u8>,
    at: usize,
}

impl Parser {
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at > 1 << 16 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes of a frame that is not complete.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    pub fn next(&mut self) -> Option<Frame> {
        let rest = self.rest();
        let (&first, &second) = (rest.first()?, rest.get(1)?);
        assert!(
            matches!(first, TEXT | BINARY | CLOSE | PING | PONG),
            "{first:#04x} does not begin a frame that this test expects"
        );
        assert_eq!(second & 0x80, 0, "a server must not mask");
        let (len, at) = match second {
            126 => (u16::from_be_bytes(rest.get(2..4)?.try_into().unwrap()).into(), 4),
            127 => (u64::from_be_bytes(rest.get(2..10)?.try_into().unwrap()), 10),
            len => (len.into(), 2),
        };
        let payload = rest.get(at..at + usize::try_from(len).unwrap())?.to_vec();
        self.at += at + payload.len();
        Some(Frame { first, payload })
    }
}
