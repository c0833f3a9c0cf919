//! What the servers are put through, and the frames for it.

/// What is in a message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Binary,
    Ascii,
    /// Text that is mostly outside ASCII.
    Mixed,
}

#[derive(Clone, Copy)]
pub enum Load {
    /// Messages that come back: so many connections, so many messages under way on each.
    Echo { connections: usize, depth: usize, kind: Kind, len: usize },
    /// Messages of one connection that come to all of them, so many under way.
    Broadcast { connections: usize, depth: usize, len: usize },
    /// JSON texts that come back compressed, with or without takeover.
    Texts { connections: usize, takeover: bool, len: usize },
    /// Connections that are opened and reset, so many at a time.
    Handshakes { at_once: usize },
}

pub struct Scenario {
    pub name: &'static str,
    pub load: Load,
}

pub const SCENARIOS: [Scenario; 11] = [
    echo("c100-20B", 100, 1, Kind::Binary, 20),
    echo("c100-1K", 100, 1, Kind::Binary, 1 << 10),
    echo("c100-16K", 100, 1, Kind::Binary, 16 << 10),
    echo("c100-64K", 100, 1, Kind::Binary, 64 << 10),
    echo("c10-d32-20B", 10, 32, Kind::Binary, 20),
    echo("c10-d32-1K", 10, 32, Kind::Binary, 1 << 10),
    echo("c500-1K", 500, 1, Kind::Binary, 1 << 10),
    echo("c1-1M", 1, 1, Kind::Binary, 1 << 20),
    echo("text-ascii-16K", 100, 1, Kind::Ascii, 16 << 10),
    echo("text-mixed-16K", 100, 1, Kind::Mixed, 16 << 10),
    Scenario { name: "handshake", load: Load::Handshakes { at_once: 32 } },
];

/// How cost grows with the number of connections, and with the size of messages.
pub const SCALE: [Scenario; 8] = [
    echo("c10-1K", 10, 1, Kind::Binary, 1 << 10),
    echo("c100-1K", 100, 1, Kind::Binary, 1 << 10),
    echo("c1000-1K", 1000, 1, Kind::Binary, 1 << 10),
    echo("c10000-1K", 10_000, 1, Kind::Binary, 1 << 10),
    echo("c100-125B", 100, 1, Kind::Binary, 125),
    echo("c100-4K", 100, 1, Kind::Binary, 4 << 10),
    echo("c100-32K", 100, 1, Kind::Binary, 32 << 10),
    echo("c100-256K", 100, 1, Kind::Binary, 256 << 10),
];

/// Many subscribers.
pub const BROADCAST: [Scenario; 3] = [
    broadcast("128B alone", 1, 128),
    broadcast("128B, 16 under way", 16, 128),
    broadcast("1K, 4 under way", 4, 1 << 10),
];

/// What more threads can share.
pub const CORES: [Scenario; 4] = [
    echo("c100-1K", 100, 1, Kind::Binary, 1 << 10),
    echo("c1000-1K", 1000, 1, Kind::Binary, 1 << 10),
    echo("c10-d32-1K", 10, 32, Kind::Binary, 1 << 10),
    Scenario {
        name: "128B to 4 000",
        load: Load::Broadcast { connections: 4000, depth: 4, len: 128 },
    },
];

/// Compressed texts.
pub const COMPRESSION: [Scenario; 5] = [
    texts("125B", false, 125),
    texts("1K", false, 1 << 10),
    texts("16K", false, 16 << 10),
    texts("125B, takeover", true, 125),
    texts("1K, takeover", true, 1 << 10),
];

const fn broadcast(name: &'static str, depth: usize, len: usize) -> Scenario {
    Scenario { name, load: Load::Broadcast { connections: 1000, depth, len } }
}

const fn texts(name: &'static str, takeover: bool, len: usize) -> Scenario {
    Scenario { name, load: Load::Texts { connections: 50, takeover, len } }
}

const fn echo(
    name: &'static str,
    connections: usize,
    depth: usize,
    kind: Kind,
    len: usize,
) -> Scenario {
    Scenario { name, load: Load::Echo { connections, depth, kind, len } }
}

impl Scenario {
    pub fn connections(&self) -> usize {
        match self.load {
            Load::Echo { connections, .. }
            | Load::Broadcast { connections, .. }
            | Load::Texts { connections, .. } => connections,
            Load::Handshakes { at_once } => at_once,
        }
    }
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Ascii => "ascii",
            Self::Mixed => "mixed",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Binary, Self::Ascii, Self::Mixed].into_iter().find(|kind| kind.name() == name)
    }

    pub const fn opcode(self) -> u8 {
        if matches!(self, Self::Binary) { 2 } else { 1 }
    }

    pub fn payload(self, len: usize) -> Vec<u8> {
        match self {
            Self::Binary => {
                let mut state = 0x9e37_79b9_7f4a_7c15_u64;
                let mut next = || {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 32) as u8
                };
                (0..len).map(|_| next()).collect()
            }
            Self::Ascii => (0..len).map(|i| b' ' + (i * 7 % 95) as u8).collect(),
            Self::Mixed => {
                let mut text = String::with_capacity(len);
                for c in "Grüße, κόσμε, мир, 世界, 𐍈𝄞! ".chars().cycle() {
                    if text.len() + c.len_utf8() > len {
                        break;
                    }
                    text.push(c);
                }
                text.push_str(&"x".repeat(len - text.len()));
                text.into_bytes()
            }
        }
    }
}

pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A whole message in one frame, as a client sends it or (without a key) a server.
pub fn frame(opcode: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + payload.len());
    push_header(&mut frame, opcode, payload.len(), key.is_some());
    match key {
        None => frame.extend_from_slice(payload),
        Some(key) => {
            frame.extend_from_slice(&key);
            frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
    }
    frame
}

/// The header without the key.
pub fn push_header(out: &mut Vec<u8>, opcode: u8, len: usize, masked: bool) {
    let mask = if masked { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    match len {
        0..126 => out.push(mask | len as u8),
        126..0x1_0000 => {
            out.push(mask | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// A header: what the first byte has, the key, its own length and that of the payload.
#[derive(Clone, Copy)]
pub struct Header {
    pub first: u8,
    pub key: Option<[u8; 4]>,
    pub header_len: usize,
    pub len: usize,
}

/// Reads a header, checking nothing; `None` when it is cut.
#[inline]
pub fn parse_header(bytes: &[u8]) -> Option<Header> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (at, len) = match second & 0x7f {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?) as usize),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        len => (2, len as usize),
    };
    if second & 0x80 == 0 {
        return Some(Header { first, key: None, header_len: at, len });
    }
    let key = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(Header { first, key: Some(key), header_len: at + 4, len })
}
