//! Bytes on the wire, made and taken apart without the crate under test: every rule that a frame has
//! to keep is checked again here, the slow and obvious way.
#![allow(dead_code)] // each test binary uses its part of this

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A valid request with the key of RFC 6455 §1.3.
pub const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// The answer to that key.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A valid response to a client's request.
pub fn response(request: &str) -> String {
    let key = header(request, "sec-websocket-key").expect("a key in the request");
    let accept = sansws::handshake::accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        String::from_utf8_lossy(&accept)
    )
}

/// The first header of that name in a head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub opcode: u8,
    pub masked: bool,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("UTF-8")
    }

    /// The code in a Close frame.
    pub fn close_code(&self) -> Option<u16> {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        self.payload.first_chunk().copied().map(u16::from_be_bytes)
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = String::from_utf8_lossy(&self.payload[..self.payload.len().min(40)]);
        write!(
            f,
            "Frame(fin {}, {:#x}, {} B, {shown:?})",
            self.fin,
            self.opcode,
            self.payload.len()
        )
    }
}

/// A frame as a client sends it.
pub fn client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    encode(true, opcode, Some([0x37, 0xfa, 0x21, 0x3d]), payload)
}

/// A frame as a server sends it.
pub fn server(opcode: u8, payload: &[u8]) -> Vec<u8> {
    encode(true, opcode, None, payload)
}

/// The payload of a Close frame.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

pub fn encode(fin: bool, opcode: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
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
    let key = mask.unwrap_or_default();
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    frame
}

/// The first frame in `bytes` and its length there; `None` if it is not complete.
///
/// Panics if no frame may look like that.
pub fn first(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (fin, opcode, masked) = (first & 0x80 != 0, first & 0x0f, second & 0x80 != 0);
    assert_eq!(first & 0x70, 0, "a reserved bit is set");
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
    let (key, rest) = if masked {
        let (&key, rest) = rest.split_first_chunk::<4>()?;
        (key, rest)
    } else {
        ([0; 4], rest)
    };
    let payload = rest.get(..len)?;
    let payload = payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
    let used = bytes.len() - rest.len() + len;
    Some((Frame { fin, opcode, masked, payload }, used))
}

/// All frames in `bytes`, and how many bytes they have; what remains is part of a frame.
pub fn frames_in(bytes: &[u8]) -> (Vec<Frame>, usize) {
    let (mut frames, mut used) = (Vec::new(), 0);
    while let Some((frame, len)) = first(&bytes[used..]) {
        frames.push(frame);
        used += len;
    }
    (frames, used)
}

/// All frames in `bytes`, which must hold nothing else.
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    let (frames, used) = frames_in(bytes);
    assert_eq!(used, bytes.len(), "a torn frame behind {frames:?}");
    frames
}

/// Bytes that differ from their neighbours, so that a shift shows.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) ^ at >> 8) as u8).collect()
}
