//! What sansws makes of a stream of frames, in a form that other implementations' verdicts can be
//! brought into as well.

pub mod streams;

use std::fmt;

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::proto::{Connection, Role};
use sansws::wire::{FrameHeader, Opcode, apply_mask};
use sansws::{Config, Event, ProtocolError};

/// The longest message that is taken, in every implementation that has such a limit.
pub const MAX_MESSAGE_LEN: usize = 1000;

/// Something that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

/// How the stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End<E> {
    /// It did not: more bytes are awaited.
    Waits,
    /// With the peer's Close.
    Closed(Option<(u16, String)>),
    /// With a violation, reported by this code.
    Failed(u16, E),
}

/// All that came out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<E> {
    pub events: Vec<Got>,
    pub end: End<E>,
    /// The payloads of the pongs that were sent.
    pub pongs: Vec<Vec<u8>>,
}

/// Our verdict.
pub fn ours(role: Role, bytes: &[u8]) -> Verdict<ProtocolError> {
    let config = Config::new()
        .max_message_len(MAX_MESSAGE_LEN)
        .max_empty_fragments(u32::MAX)
        .max_pending_pongs(usize::MAX);
    let mut connection = match role {
        Role::Server => Connection::server(&config),
        Role::Client => Connection::client(&config, [7; 32]),
    };
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    rx.extend_from_slice(bytes);
    let mut events = Vec::new();
    let end = loop {
        match connection.poll_event(&mut rx, &mut tx) {
            Ok(None) => break End::Waits,
            Ok(Some(Event::Text(text))) => events.push(Got::Text(text.to_string())),
            Ok(Some(Event::Binary(binary))) => events.push(Got::Binary(binary.to_vec())),
            Ok(Some(Event::Ping(payload))) => events.push(Got::Ping(payload.to_vec())),
            Ok(Some(Event::Pong(payload))) => events.push(Got::Pong(payload.to_vec())),
            Ok(Some(Event::Close(close))) => {
                break End::Closed(close.map(|it| (it.code.as_u16(), it.reason.to_owned())));
            }
            Ok(Some(other)) => panic!("{other:?}"),
            Err(error) => break End::Failed(error.close_code().as_u16(), error),
        }
    };
    Verdict { events, end, pongs: pongs(&tx.copy_to_bytes(tx.remaining())) }
}

/// The payloads of the pongs in what an endpoint sent.
pub fn pongs(mut sent: &[u8]) -> Vec<Vec<u8>> {
    let mut pongs = Vec::new();
    while let Some((header, len)) = FrameHeader::parse(sent).expect("what is sent is valid") {
        let end = len + header.payload_len as usize;
        let mut payload = sent[len..end].to_vec();
        if let Some(key) = header.mask {
            apply_mask(&mut payload, key, 0);
        }
        if header.opcode == Opcode::Pong {
            pongs.push(payload);
        }
        sent = &sent[end..];
    }
    assert!(sent.is_empty(), "half a frame was sent");
    pongs
}

/// One word for each event, for programs in other languages: `T`, `B`, `p` and `P` for text,
/// binary, ping and pong, with the payload in hexadecimal digits; at the end `C` with code and
/// reason, `E` with the code and the name of the violation, or `.`.
impl<E: fmt::Debug> fmt::Display for Verdict<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            match event {
                Got::Text(text) => write!(f, "T:{} ", Hex(text.as_bytes()))?,
                Got::Binary(binary) => write!(f, "B:{} ", Hex(binary))?,
                Got::Ping(payload) => write!(f, "p:{} ", Hex(payload))?,
                Got::Pong(payload) => write!(f, "P:{} ", Hex(payload))?,
            }
        }
        match &self.end {
            End::Waits => f.write_str("."),
            End::Closed(None) => f.write_str("C:1005:"),
            End::Closed(Some((code, reason))) => write!(f, "C:{code}:{}", Hex(reason.as_bytes())),
            End::Failed(code, error) => {
                let error = format!("{error:?}");
                let name = error.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
                write!(f, "E:{code}:{name}")
            }
        }
    }
}

/// Bytes in hexadecimal digits.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
