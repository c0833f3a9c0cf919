//! Two connections in memory, and the means to look at every byte between them.

use core::time::Duration;

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::proto::{Connection, MessageKind, Role};
use sansws::wire::Opcode;
use sansws::{Config, Event, ProtocolError};

use crate::wire;
pub use crate::wire::{Frame, KEY};

/// An event that owns what it holds, so that it can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as the events that they come from
pub enum Got {
    Text(String),
    Binary(Vec<u8>),
    Chunk { kind: MessageKind, first: bool, last: bool, payload: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Event<'_>> for Got {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_string()),
            Event::Binary(binary) => Self::Binary(binary.to_vec()),
            Event::Chunk(chunk) => Self::Chunk {
                kind: chunk.kind,
                first: chunk.first,
                last: chunk.last,
                payload: chunk.payload.to_vec(),
            },
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Close(close) => {
                Self::Close(close.map(|close| (close.code.as_u16(), close.reason.to_string())))
            }
            other => panic!("an event that this harness does not know: {other:?}"),
        }
    }
}

/// How an end takes messages: `poll_event`, or `poll_chunk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Delivery {
    Messages,
    Chunks,
    /// Now the one, now the other, without a pattern.
    Mixed(u32),
}

/// Settings, and how messages are taken.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Setting {
    pub config: Config,
    pub delivery: Delivery,
}

impl From<&Config> for Setting {
    fn from(config: &Config) -> Self {
        config.clone().delivery(Delivery::Messages)
    }
}

impl From<&Self> for Setting {
    fn from(setting: &Self) -> Self {
        setting.clone()
    }
}

/// Says how messages are taken under these settings.
pub trait Deliver {
    /// Adds the way.
    fn delivery(self, delivery: Delivery) -> Setting;
}

impl Deliver for Config {
    fn delivery(self, delivery: Delivery) -> Setting {
        Setting { config: self, delivery }
    }
}

/// One connection with its buffers.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct End {
    pub conn: Connection,
    pub delivery: Delivery,
    pub rx: RecvBuffer,
    pub tx: SendBuffer,
}

impl End {
    /// Makes an end that has received nothing; a client has the same keys every time.
    pub fn new(role: Role, setting: impl Into<Setting>) -> Self {
        let Setting { config, delivery } = setting.into();
        let conn = match role {
            Role::Server => Connection::server(&config),
            Role::Client => Connection::client(&config, [7; 32]),
        };
        let mut this = Self { conn, delivery, rx: RecvBuffer::new(), tx: SendBuffer::new() };
        // `advance` looks for what was asked for last
        assert!(matches!(this.poll(), Ok(None)));
        this
    }

    /// Takes the next event, in the way that was chosen.
    pub fn poll(&mut self) -> Result<Option<Event<'_>>, ProtocolError> {
        match self.delivery {
            Delivery::Messages => self.conn.poll_event(&mut self.rx, &mut self.tx),
            Delivery::Chunks => self.conn.poll_chunk(&mut self.rx, &mut self.tx),
            Delivery::Mixed(state) => {
                let state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                self.delivery = Delivery::Mixed(state);
                match state >> 31 {
                    0 => self.conn.poll_event(&mut self.rx, &mut self.tx),
                    _ => self.conn.poll_chunk(&mut self.rx, &mut self.tx),
                }
            }
        }
    }

    /// Makes a server with the default settings.
    pub fn server() -> Self {
        Self::new(Role::Server, &Config::new())
    }

    /// Makes a client with the default settings.
    pub fn client() -> Self {
        Self::new(Role::Client, &Config::new())
    }

    /// Feeds bytes and takes every event up to the end or the first error.
    pub fn receive(&mut self, bytes: &[u8]) -> (Vec<Got>, Result<(), ProtocolError>) {
        self.rx.extend_from_slice(bytes);
        let mut events = Vec::new();
        loop {
            match self.poll() {
                Ok(Some(event)) => events.push(event.into()),
                Ok(None) => return (events, Ok(())),
                Err(error) => return (events, Err(error)),
            }
        }
    }

    /// Feeds bytes that must be valid.
    pub fn events(&mut self, bytes: &[u8]) -> Vec<Got> {
        let (events, result) = self.receive(bytes);
        assert_eq!(result, Ok(()));
        events
    }

    /// Takes everything out of the send buffer.
    pub fn sent(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tx.has_remaining() {
            let chunk = self.tx.chunk();
            assert!(!chunk.is_empty(), "a buffer with something left has an empty chunk");
            bytes.extend_from_slice(chunk);
            let n = chunk.len();
            self.tx.advance(n);
        }
        bytes
    }

    /// Returns the same as frames.
    pub fn sent_frames(&mut self) -> Vec<Frame> {
        parse_frames(&self.sent())
    }

    /// Feeds `bytes`, which break a rule, and checks how the connection fails: the error, the Close
    /// frame on the wire, and that nothing is processed afterwards.
    pub fn assert_fails(&mut self, bytes: &[u8], error: ProtocolError) -> Vec<Got> {
        let (events, result) = self.receive(bytes);
        assert_eq!(result, Err(error), "{bytes:02x?}");
        let frames = self.sent_frames();
        let close = frames.last().expect("a Close frame reports the violation");
        assert_eq!(close.kind(), Opcode::Close);
        assert_eq!(close.payload, error.close_code().as_u16().to_be_bytes());
        // sticky, silent
        let ping = frame(self.peer(), Opcode::Ping, b"x");
        assert_eq!(self.receive(&ping), (vec![], Err(error)));
        assert!(self.tx.is_empty(), "nothing is sent after the Close");
        events
    }

    /// Looks at the clock, which must not end the connection.
    pub fn tick(&mut self, now: Duration) {
        self.conn.handle_timeout(now, &mut self.tx).unwrap();
    }

    /// Returns the role of the other end.
    pub fn peer(&self) -> Role {
        other(self.conn.role())
    }
}

/// Two ends and the wire between them.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Pair {
    pub client: End,
    pub server: End,
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

impl Pair {
    /// Two ends with the default settings.
    pub fn new() -> Self {
        Self::with_config(&Config::new())
    }

    /// Two ends with these settings.
    pub fn with_config(config: &Config) -> Self {
        Self { client: End::new(Role::Client, config), server: End::new(Role::Server, config) }
    }

    /// Moves bytes both ways until the wire is quiet. Returns the events of client and server.
    pub fn drive(&mut self) -> (Vec<Got>, Vec<Got>) {
        let (mut client, mut server) = (Vec::new(), Vec::new());
        loop {
            let to_server = self.client.sent();
            let to_client = self.server.sent();
            if to_server.is_empty() && to_client.is_empty() {
                return (client, server);
            }
            server.extend(self.server.events(&to_server));
            client.extend(self.client.events(&to_client));
        }
    }
}

/// Splits a byte stream into frames, some of them compressed; panics if it does not end with a
/// whole one.
pub fn parse_frames(bytes: &[u8]) -> Vec<Frame> {
    wire::frames_with_deflate(bytes)
}

/// Returns a frame as `from` sends it, FIN set.
pub fn frame(from: Role, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    fragment(from, true, opcode, payload)
}

/// Returns a frame as `from` sends it.
pub fn fragment(from: Role, fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    wire::encode(fin, opcode as u8, (from == Role::Client).then_some(KEY), payload)
}

/// Returns a Close frame as `from` sends it.
pub fn close_frame(from: Role, code: u16, reason: &str) -> Vec<u8> {
    frame(from, Opcode::Close, &wire::close_payload(code, reason))
}

/// Returns a header written by hand, for what no encoder would write: the first byte, then the
/// length as it stands behind the mask bit, then a key if `from` is a client.
pub fn raw_header(from: Role, first: u8, len: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend_from_slice(len);
    if from == Role::Client {
        bytes[1] |= 0x80;
        bytes.extend_from_slice(&KEY);
    }
    bytes
}

/// Returns the other role.
pub fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// Puts bytes into a receive buffer as reads from a socket would.
pub fn fill(rx: &mut RecvBuffer, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let space = rx.space();
        let n = space.len().min(bytes.len());
        space[..n].copy_from_slice(&bytes[..n]);
        rx.commit(n);
        bytes = &bytes[n..];
    }
}

/// Runs a test in both roles: `test` gets the role of the end under test.
pub fn each_role(test: impl Fn(Role)) {
    test(Role::Server);
    test(Role::Client);
}

/// Runs a test in both roles: `test` gets the end under test.
pub fn both_roles(test: impl Fn(End)) {
    both_roles_with(&Config::new(), test);
}

/// The same with settings.
pub fn both_roles_with(setting: impl Into<Setting>, test: impl Fn(End)) {
    let setting = setting.into();
    test(End::new(Role::Server, &setting));
    test(End::new(Role::Client, &setting));
}
