//! Bytes on the wire, made and taken apart without the crate under test: every rule that a frame
//! has to keep is checked again here, the slow and obvious way.

use core::fmt;

use sansws::wire::Opcode;

/// The opcodes (RFC 6455 §5.2).
pub const CONTINUATION: u8 = 0;
/// A text message, or the first frame of one.
pub const TEXT: u8 = 1;
/// A binary message, or the first frame of one.
pub const BINARY: u8 = 2;
/// A Close frame.
pub const CLOSE: u8 = 8;
/// A ping.
pub const PING: u8 = 9;
/// A pong.
pub const PONG: u8 = 10;

/// The masking key of the RFC's examples (RFC 6455 §5.7).
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The first reserved bit of a frame's first byte: its message is compressed (RFC 7692 §6).
const RSV1: u8 = 0x40;

/// A valid request with the key of RFC 6455 §1.3.
pub const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// The answer to that key.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Returns a valid response to a client's request.
pub fn response(request: &str) -> String {
    let key = header(request, "sec-websocket-key").expect("a key in the request");
    let accept = sansws::handshake::accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        String::from_utf8_lossy(&accept)
    )
}

/// Returns the first header of that name in a head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Returns the bytes up to the end of a head, taken out of `bytes`; `None` if it is not complete.
pub(crate) fn take_head(bytes: &mut Vec<u8>) -> Option<String> {
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let rest = bytes.split_off(end + 4);
    let head = core::mem::replace(bytes, rest);
    Some(String::from_utf8(head).expect("ASCII"))
}

/// A frame on the wire, its payload unmasked.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// FIN: the last frame of its message.
    pub fin: bool,
    /// The first reserved bit: the message is compressed.
    pub rsv1: bool,
    /// One of the six opcodes.
    pub opcode: u8,
    /// The masking key, in the frames of a client.
    pub mask: Option<[u8; 4]>,
    /// The payload, unmasked.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Makes a whole frame as a server sends it.
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        assert!(opcode < 16, "{opcode:#x} is more than an opcode");
        let payload = payload.as_ref().to_vec();
        Self { fin: true, rsv1: false, opcode, mask: None, payload }
    }

    /// Returns the opcode, as the crate has it.
    pub fn kind(&self) -> Opcode {
        match self.opcode {
            CONTINUATION => Opcode::Continuation,
            TEXT => Opcode::Text,
            BINARY => Opcode::Binary,
            CLOSE => Opcode::Close,
            PING => Opcode::Ping,
            PONG => Opcode::Pong,
            reserved => panic!("opcode {reserved} is reserved"),
        }
    }

    /// Returns the opcode of a frame that has to be whole and unmasked.
    pub fn whole(&self) -> u8 {
        assert!(self.fin && self.mask.is_none(), "not a whole frame of a server: {self:?}");
        assert_ne!(self.opcode, CONTINUATION, "a continuation of nothing");
        self.opcode
    }

    /// Returns the payload as text.
    pub fn text(&self) -> &str {
        core::str::from_utf8(&self.payload).expect("UTF-8")
    }

    /// Returns the code in a Close frame.
    pub fn close_code(&self) -> Option<u16> {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        self.payload.first_chunk().copied().map(u16::from_be_bytes)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = String::from_utf8_lossy(&self.payload[..self.payload.len().min(40)]);
        let rsv1 = if self.rsv1 { ", rsv1" } else { "" };
        let mask = if self.mask.is_some() { ", masked" } else { "" };
        write!(
            f,
            "Frame(fin {}{rsv1}{mask}, {:#x}, {} B, {shown:?})",
            self.fin,
            self.opcode,
            self.payload.len()
        )
    }
}

/// Returns a frame as a client sends it.
pub fn client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    encode(true, opcode, Some(KEY), payload)
}

/// Returns a frame as a server sends it.
pub fn server(opcode: u8, payload: &[u8]) -> Vec<u8> {
    encode(true, opcode, None, payload)
}

/// Returns the payload of a Close frame.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Returns a frame with a length as short as it can be, masked with a key if there is one.
pub fn encode(fin: bool, opcode: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    assert!(opcode < 16, "{opcode:#x} is more than an opcode");
    let mut frame = vec![u8::from(fin) << 7 | opcode];
    let mask_bit = u8::from(mask.is_some()) << 7;
    match payload.len() {
        len @ ..126 => frame.push(mask_bit | len as u8),
        len @ ..0x1_0000 => {
            frame.push(mask_bit | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(mask_bit | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(mask.iter().flatten());
    frame.extend(unmasked(payload, mask));
    frame
}

/// Masking, which is its own inverse (RFC 6455 §5.3).
fn unmasked(payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    match mask {
        Some(key) => payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect(),
        None => payload.to_vec(),
    }
}

/// Returns the first frame in `bytes` and its length there; `None` if it is not complete. No
/// reserved bit may be set.
///
/// Panics if no frame may look like that.
pub fn first(bytes: &[u8]) -> Option<(Frame, usize)> {
    parse(bytes, 0)
}

/// Returns the same, where the reserved bits in `extensions` are spoken for.
fn parse(bytes: &[u8], extensions: u8) -> Option<(Frame, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (fin, opcode, masked) = (first & 0x80 != 0, first & 0x0f, second & 0x80 != 0);
    assert_eq!(first & 0x70 & !extensions, 0, "a reserved bit is set");
    assert!(matches!(opcode, 0..=2 | 8..=10), "opcode {opcode} is reserved");
    let (len, rest) = match second & 0x7f {
        126 => {
            let (&len, rest) = rest.split_first_chunk()?;
            let len = u16::from_be_bytes(len);
            assert!(len >= 126, "a length of {len} in three bytes");
            (usize::from(len), rest)
        }
        127 => {
            let (&len, rest) = rest.split_first_chunk()?;
            let len = u64::from_be_bytes(len);
            assert!(len >= 0x1_0000, "a length of {len} in nine bytes");
            (usize::try_from(len).expect("a sane length"), rest)
        }
        len => (usize::from(len), rest),
    };
    assert!(opcode < 8 || fin && len < 126, "a control frame is whole and short");
    let (mask, rest) = if masked {
        let (&key, rest) = rest.split_first_chunk()?;
        (Some(key), rest)
    } else {
        (None, rest)
    };
    let payload = unmasked(rest.get(..len)?, mask);
    let used = bytes.len() - rest.len() + len;
    Some((Frame { fin, rsv1: first & RSV1 != 0, opcode, mask, payload }, used))
}

/// Returns all frames in `bytes`, and how many bytes they have; what remains is part of a frame.
pub fn frames_in(bytes: &[u8]) -> (Vec<Frame>, usize) {
    let (mut frames, mut used) = (Vec::new(), 0);
    while let Some((frame, len)) = first(&bytes[used..]) {
        frames.push(frame);
        used += len;
    }
    (frames, used)
}

/// Returns all frames in `bytes`, which must hold nothing else.
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    let (frames, used) = frames_in(bytes);
    assert_eq!(used, bytes.len(), "a torn frame behind {frames:?}");
    frames
}

/// Returns the same, where messages may be compressed.
pub fn frames_with_deflate(bytes: &[u8]) -> Vec<Frame> {
    let (mut frames, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let (frame, len) = parse(&bytes[at..], RSV1).expect("a whole frame");
        frames.push(frame);
        at += len;
    }
    frames
}

/// Bytes that differ from their neighbours, so that a shift shows.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) ^ at >> 8) as u8).collect()
}
