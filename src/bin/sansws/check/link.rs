//! A connection of one probe: bytes as they are, so that wrong ones can be sent too.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use sansws::CloseFrame;
use sansws::blocking::ClientStream;
use sansws::deflate::Agreement;
use sansws::wire::{FrameHeader, Opcode, apply_mask};

use super::verdict::{Trouble, Verdict};

/// The longest payload that is kept, in bytes: above what any probe sends.
const MAX_PAYLOAD: u64 = 64 << 20;

/// Frames that are passed over while something else is waited for: a feed must not go on for ever.
const MAX_SKIPPED: usize = 1_000;

/// A connection behind its opening handshake.
pub struct Link {
    io: ClientStream,
    received: Vec<u8>,
    patience: Duration,
    pub agreed: Option<Agreement>,
    /// The message that has begun.
    partial: Option<(Opcode, Vec<u8>)>,
}

/// What has come from the server.
#[derive(Debug)]
pub enum Came {
    Message(Opcode, Vec<u8>),
    Ping,
    Pong(Vec<u8>),
    /// The code and the reason.
    Close(Option<(u16, String)>),
    /// TCP was closed.
    End,
    /// TCP was reset, or broke otherwise.
    Broken(String),
    /// Nothing, in all the time that there was.
    Silence,
    /// Something that a server must not send.
    Invalid(String),
}

/// Returns a frame of a client with this header, which gets a length and a masking key.
pub fn frame_with(mut header: FrameHeader, payload: &[u8]) -> Result<Vec<u8>, Trouble> {
    let mut key = [0; 4];
    getrandom::fill(&mut key).map_err(|error| Trouble(error.to_string()))?;
    header.mask = Some(key);
    header.payload_len = payload.len() as u64;
    let mut bytes = header.encode().to_vec();
    let begin = bytes.len();
    bytes.extend_from_slice(payload);
    apply_mask(&mut bytes[begin..], key, 0);
    Ok(bytes)
}

/// Returns a whole message or a control frame.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Result<Vec<u8>, Trouble> {
    frame_with(FrameHeader::new(opcode, 0, None), payload)
}

/// Returns a frame that is not the last one of its message.
pub fn fragment(opcode: Opcode, payload: &[u8]) -> Result<Vec<u8>, Trouble> {
    frame_with(FrameHeader { fin: false, ..FrameHeader::new(opcode, 0, None) }, payload)
}

impl Link {
    pub fn new(
        io: ClientStream,
        received: Vec<u8>,
        patience: Duration,
        agreed: Option<Agreement>,
    ) -> Self {
        Self { io, received, patience, agreed, partial: None }
    }

    /// Writes bytes. If the server does not take them, what comes from it says more.
    pub fn write(&mut self, bytes: &[u8]) {
        let written = self.io.write_all(bytes).and_then(|()| self.io.flush());
        drop(written);
    }

    /// Writes many bytes, and reads meanwhile, so that a server that answers early is heard.
    pub fn write_long(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(256 * 1024) {
            if self.io.write_all(chunk).and_then(|()| self.io.flush()).is_err() {
                return;
            }
            while let Ok(true) = self.more(Duration::from_millis(1)) {}
        }
    }

    /// Reads what is there within a time. `Ok(false)` is the end of the stream.
    fn more(&mut self, within: Duration) -> std::io::Result<bool> {
        let mut chunk = [0; 64 * 1024];
        // zero would be an error
        self.io.tcp().set_read_timeout(Some(within.max(Duration::from_millis(1))))?;
        let n = self.io.read(&mut chunk)?;
        self.received.extend_from_slice(&chunk[..n]);
        Ok(n > 0)
    }

    /// Waits for what comes next, as long as one is patient.
    pub fn next(&mut self) -> Came {
        self.next_within(self.patience)
    }

    fn next_within(&mut self, within: Duration) -> Came {
        let deadline = Instant::now() + within;
        loop {
            match self.take() {
                Ok(None) => {}
                Ok(Some(came)) => return came,
                Err(problem) => return Came::Invalid(problem),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Came::Silence;
            }
            match self.more(left) {
                Ok(true) => {}
                Ok(false) if self.received.is_empty() => return Came::End,
                Ok(false) => return Came::Broken("TCP was closed in a frame".into()),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Came::Broken(error.to_string()),
                },
            }
        }
    }

    /// Takes a message or control frame out of what was received.
    fn take(&mut self) -> Result<Option<Came>, String> {
        loop {
            let parsed = FrameHeader::parse(&self.received).map_err(|error| error.to_string())?;
            let Some((header, header_len)) = parsed else { return Ok(None) };
            if header.mask.is_some() {
                return Err("a masked frame (RFC 6455 §5.1)".into());
            }
            let rsv1 = header.rsv1 && self.agreed.is_none();
            if rsv1 || header.rsv2 || header.rsv3 {
                return Err("a reserved bit that nothing was agreed about (RFC 6455 §5.2)".into());
            }
            if header.payload_len > MAX_PAYLOAD {
                return Err(format!("a frame of {} bytes", header.payload_len));
            }
            let end = header_len + header.payload_len as usize;
            if self.received.len() < end {
                return Ok(None);
            }
            let payload = self.received[header_len..end].to_vec();
            self.received.drain(..end);
            let (opcode, mut message) = match (header.opcode, self.partial.take()) {
                (Opcode::Close, _) => return close(&payload).map(|it| Some(Came::Close(it))),
                (Opcode::Ping, partial) => {
                    self.partial = partial;
                    return Ok(Some(Came::Ping));
                }
                (Opcode::Pong, partial) => {
                    self.partial = partial;
                    return Ok(Some(Came::Pong(payload)));
                }
                (Opcode::Continuation, Some(partial)) => partial,
                (Opcode::Continuation, None) | (_, Some(_)) => {
                    return Err("a fragment out of its order (RFC 6455 §5.4)".into());
                }
                (opcode, None) => (opcode, Vec::new()),
            };
            message.extend_from_slice(&payload);
            if message.len() as u64 > MAX_PAYLOAD {
                return Err("a message without an end".into());
            }
            if header.fin {
                return Ok(Some(Came::Message(opcode, message)));
            }
            self.partial = Some((opcode, message));
        }
    }

    /// Waits for a Close, an end, or nothing, and passes over messages meanwhile.
    pub fn end(&mut self) -> Came {
        self.skip(self.patience, |came| {
            !matches!(came, Came::Message(..) | Came::Ping | Came::Pong(_))
        })
    }

    /// Waits for something, and passes over all else.
    fn skip(&mut self, within: Duration, found: impl Fn(&Came) -> bool) -> Came {
        let deadline = Instant::now() + within;
        for _ in 0..MAX_SKIPPED {
            let came = self.next_within(deadline.saturating_duration_since(Instant::now()));
            let over = !matches!(came, Came::Message(..) | Came::Ping | Came::Pong(_));
            if over || found(&came) {
                return came;
            }
        }
        Came::Silence
    }

    /// Waits for this message to come back.
    pub fn echo(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Came> {
        let is_it =
            |came: &Came| matches!(came, Came::Message(o, p) if (*o, &p[..]) == (opcode, payload));
        match self.skip(self.patience, is_it) {
            Came::Message(..) => Ok(()),
            other => Err(other),
        }
    }

    /// Waits for the answer to a ping.
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), Came> {
        match self.skip(self.patience, |came| matches!(came, Came::Pong(p) if p == payload)) {
            Came::Pong(_) => Ok(()),
            other => Err(other),
        }
    }

    /// Asks whether the connection goes on.
    pub fn is_alive(&mut self) -> Result<Result<(), Came>, Trouble> {
        self.write(&frame(Opcode::Ping, b"still there?")?);
        Ok(self.pong(b"still there?"))
    }

    /// Says how the server has failed the connection (RFC 6455 §7.1.7), if it has. `codes` are
    /// those that fit the reason, the first one best.
    pub fn failed(&mut self, codes: &[u16]) -> Result<Verdict, Trouble> {
        // not at once: a server that closes TCP with bytes unread takes its Close back
        let came = self.skip(self.patience / 2, |_| false);
        let came = match came {
            Came::Silence => match self.is_alive()? {
                Ok(()) => return Ok(Verdict::Wrong("the connection goes on".into())),
                Err(came) => came,
            },
            came => came,
        };
        Ok(match came {
            Came::Close(Some((code, reason))) if codes.contains(&code) => {
                Verdict::Right(closed(code, &reason))
            }
            Came::Close(None) => Verdict::Noted("closed without a code".into()),
            Came::Close(Some((code, reason))) => {
                Verdict::Noted(format!("{}, where {} fits", closed(code, &reason), codes[0]))
            }
            Came::End => Verdict::Noted("TCP was closed without a Close".into()),
            Came::Broken(how) => Verdict::Noted(format!("no Close that can be read: {how}")),
            Came::Silence => Verdict::Wrong("neither closed nor answered".into()),
            other => Verdict::Wrong(other.to_string()),
        })
    }
}

/// Takes a Close apart.
fn close(payload: &[u8]) -> Result<Option<(u16, String)>, String> {
    let close = CloseFrame::parse(payload).map_err(|error| format!("its Close: {error}"))?;
    Ok(close.map(|close| (close.code.as_u16(), close.reason.to_owned())))
}

/// Names a Close.
pub fn closed(code: u16, reason: &str) -> String {
    match reason {
        "" => format!("closed with {code}"),
        reason => format!("closed with {code}: {reason:?}"),
    }
}

impl std::fmt::Display for Came {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(opcode, payload) => write!(f, "a {opcode} of {} bytes", payload.len()),
            Self::Ping => f.write_str("a ping"),
            Self::Pong(payload) => write!(f, "a pong of {} bytes", payload.len()),
            Self::Close(None) => f.write_str("closed without a code"),
            Self::Close(Some((code, reason))) => f.write_str(&closed(*code, reason)),
            Self::End => f.write_str("TCP was closed without a Close"),
            Self::Broken(how) => f.write_str(how),
            Self::Silence => f.write_str("nothing came in time"),
            Self::Invalid(what) => f.write_str(what),
        }
    }
}
