use std::time::Duration;

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
#[cfg(feature = "deflate")]
use sansws::deflate::Deflate;
use sansws::endpoint::{Endpoint, EndpointError, Step};
use sansws::handshake::client::Request;
use sansws::handshake::server::{Accept, Reject};
use sansws::proto::{MessageKind, MessageRef, State};
use sansws::{CloseCode, CloseFrame, Config, Event, KeepAlive};

use super::model;
use super::source::Source;

/// A server's end from its first byte to its last, driven by any pieces, times and calls.
pub fn endpoint_server(data: &[u8]) {
    run(true, data);
}

/// The same for a client's.
pub fn endpoint_client(data: &[u8]) {
    run(false, data);
}

/// Calls may come in any order: none panics, and none makes steps that lead nowhere. What has to
/// come once comes once, the end is for ever, and what was sent is whole frames. The end comes at
/// once with the end of file; where a peer says nothing and reads nothing, it comes in time after a
/// close. It is a good one if and only if both have closed.
fn run(is_server: bool, data: &[u8]) {
    let mut source = Source(data);
    let switches = source.byte();
    let mut this = End::new(is_server, switches);
    if switches & 1 != 0 {
        // the peer's part of a handshake that succeeds
        let head = if is_server { REQUEST } else { RESPONSE };
        this.rx.extend_from_slice(head.as_bytes());
        if switches & SWITCH_DEFLATE != 0 {
            this.rx.extend_from_slice(b"Sec-WebSocket-Extensions: permessage-deflate\r\n");
        }
        this.rx.extend_from_slice(b"\r\n");
    }
    while let Some(op) = source.next() {
        match op % 16 {
            0..=5 => {
                let n = usize::from(source.byte());
                this.rx.extend_from_slice(source.take(n));
                this.steps(&mut source, op);
            }
            6 | 7 => this.steps(&mut source, op),
            8 => {
                let length = usize::from(source.byte()) * if op & 16 != 0 { 1 } else { 64 };
                let text = "x".repeat(length);
                let message = match op >> 5 {
                    0..=3 => MessageRef::text(&text),
                    4 | 5 => MessageRef::binary(text.as_bytes()),
                    6 => MessageRef::ping(text.as_bytes()),
                    _ => MessageRef::pong(text.as_bytes()),
                };
                let _ = this.endpoint.feed(&mut this.tx, message);
            }
            9 => {
                let kind = if op & 16 != 0 { MessageKind::Text } else { MessageKind::Binary };
                let _ = this.endpoint.start_message(kind).map(|_| ());
            }
            10 => {
                if let Ok(mut writer) = this.endpoint.resume_message() {
                    let _ = match op & 16 != 0 {
                        true => writer.write(&mut this.tx, b"part"),
                        false => writer.finish(&mut this.tx, b"end"),
                    };
                }
            }
            11 if op & 0x30 == 0 => {
                let code = CloseCode::new(1000 + u16::from(source.byte() % 16));
                let close = code.map(|code| CloseFrame { code, reason: "bye" });
                let _ = this.endpoint.close(&mut this.tx, close);
            }
            12 | 13 => {
                let step = u64::from(source.byte()) * if op & 16 != 0 { 4 } else { 100 };
                this.now += Duration::from_millis(step);
                this.endpoint.handle_timeout(this.now, &mut this.tx);
                this.steps(&mut source, op);
            }
            14 if op & 0x70 == 0 => this.endpoint.receive_eof(),
            15 if op & 0x70 == 0 => this.lose_output(),
            15 if op & 0x70 == 16 => this.endpoint.note_shut_down(),
            _ => this.endpoint.note_blocked(),
        }
    }
    // however it stands, it comes to an end
    if switches & SWITCH_TIME == 0 {
        this.endpoint.receive_eof();
        for _ in 0..2 {
            this.steps(&mut Source(b""), 0); // twice: the first ones may have been blocked
        }
    } else {
        this.is_stuck = switches & SWITCH_STUCK != 0;
        this.steps(&mut Source(b""), 0);
        let _ = this.endpoint.close(&mut this.tx, None);
        this.wait_for_the_end();
    }
    assert!(this.end.is_some(), "it does not come to an end: {:?}", this.endpoint);
    this.check_end();
    this.check_sent();
}

/// Messages may be compressed, as much at once as there is.
const SWITCH_DEFLATE: u8 = 16;
/// The same in small steps.
const SWITCH_STEPS: u8 = 32;
/// Time brings the end, and not the end of file.
const SWITCH_TIME: u8 = 64;
/// The transport takes nothing then.
const SWITCH_STUCK: u8 = 128;

/// What is compressed or inflated at once then.
const STEP: usize = 50;

const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Of the defaults, the time for a handshake, and for the client to read why it is refused.
const HANDSHAKE: Duration = Duration::from_secs(11);

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// The answer to the key that the seed of [`End::new`] gives.
const RESPONSE: &str = "HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

struct End {
    endpoint: Endpoint,
    rx: RecvBuffer,
    tx: SendBuffer,
    is_server: bool,
    in_chunks: bool,
    in_steps: bool,
    /// The transport takes nothing.
    is_stuck: bool,
    now: Duration,
    sent: Vec<u8>,
    /// The sending direction is over: what is missing then is nobody's fault.
    is_cut: bool,
    /// A request, or a response, has come.
    has_opened: bool,
    has_closed: bool,
    end: Option<Result<(), EndpointError>>,
}

impl End {
    fn new(is_server: bool, switches: u8) -> Self {
        let mut config = Config::new()
            .max_message_len(2000)
            .max_head_len(1000)
            .max_unsent(if switches & 2 != 0 { 500 } else { 1 << 20 })
            .close_timeout(CLOSE_TIMEOUT)
            .read_ahead(256);
        if switches & 4 != 0 {
            config = config.keep_alive(KeepAlive::Every(Duration::from_secs(1)));
        }
        #[cfg(feature = "deflate")]
        if switches & SWITCH_DEFLATE != 0 {
            config = config.deflate(Deflate::new().threshold(16));
        }
        let mut tx = SendBuffer::new();
        let endpoint = if is_server {
            Endpoint::server(&config)
        } else {
            let mut seed = [7; 48];
            seed[..16].copy_from_slice(b"the sample nonce");
            let request = Request::new("ws://server.example.com/chat").ok();
            let made = request.map(|it| Endpoint::client(&it, seed, &config, &mut tx));
            let Some(Ok(endpoint)) = made else { unreachable!() };
            endpoint
        };
        Self {
            endpoint,
            rx: RecvBuffer::with_read_ahead(256),
            tx,
            is_server,
            in_chunks: switches & 8 != 0,
            in_steps: switches & SWITCH_STEPS != 0,
            is_stuck: false,
            now: Duration::from_secs(1),
            sent: Vec::new(),
            is_cut: false,
            has_opened: false,
            has_closed: false,
            end: None,
        }
    }

    /// Does what is to be done, until it waits for something.
    fn steps(&mut self, source: &mut Source<'_>, op: u8) {
        let most = if op & 64 != 0 { 7 } else { usize::MAX };
        let mut fuel = 20_000;
        while fuel > 0 {
            let step = match self.in_chunks {
                true => self.endpoint.step_in_chunks(&mut self.rx, &mut self.tx),
                false => self.endpoint.step(&mut self.rx, &mut self.tx),
            };
            if let Some(end) = &self.end {
                let Step::Close(result) = step else { panic!("{step:?} behind the end") };
                assert_eq!(format!("{result:?}"), format!("{end:?}"), "another end");
                return;
            }
            match step {
                Step::Write if self.is_stuck => {
                    assert!(self.tx.has_remaining(), "nothing to be written");
                    self.endpoint.note_blocked();
                }
                Step::Write => {
                    assert!(self.tx.has_remaining(), "nothing to be written");
                    let n = self.tx.chunk().len().min(most);
                    self.sent.extend_from_slice(&self.tx.chunk()[..n]);
                    self.tx.advance(n);
                    self.endpoint.note_written(n);
                    fuel += 1; // there is less to be written now
                }
                Step::Read { until } | Step::Wait { until } => {
                    assert_eq!(until, self.endpoint.poll_timeout());
                    assert!(!self.rx.space().is_empty(), "no space to read into");
                    return;
                }
                Step::Again => assert!(self.in_steps, "there is no bound on the work"),
                Step::ShutdownWrite => {
                    assert!(self.tx.is_empty(), "something is left to be written");
                    self.endpoint.note_shut_down();
                }
                Step::Request(request) => {
                    assert!(self.is_server && !core::mem::replace(&mut self.has_opened, true));
                    // what it says of the answer is no matter of the peer
                    let _ = match source.byte() % 8 {
                        0 => {
                            let reject = Reject::new(403).body(b"no");
                            self.endpoint.reject(request, &reject, &mut self.tx)
                        }
                        1 => {
                            let accept = Accept::default().subprotocol("unasked");
                            self.endpoint.accept(request, &accept, &mut self.tx)
                        }
                        _ => self.endpoint.accept(request, &Accept::default(), &mut self.tx),
                    };
                    if self.in_steps {
                        self.endpoint.work_in_steps(STEP);
                    }
                }
                Step::Response(_) => {
                    assert!(!self.is_server && !core::mem::replace(&mut self.has_opened, true));
                    if self.in_steps {
                        self.endpoint.work_in_steps(STEP);
                    }
                }
                Step::Event(event) => {
                    assert!(self.has_opened, "an event before the handshake");
                    assert!(!self.has_closed, "{event:?} behind the Close");
                    match event {
                        Event::Close(_) => self.has_closed = true,
                        Event::Chunk(chunk) => {
                            assert!(self.in_chunks && chunk.payload.len() <= 2000)
                        }
                        _ => {}
                    }
                }
                Step::Close(result) => self.end = Some(result),
            }
            fuel -= 1;
        }
        panic!("steps that lead nowhere: {:?}", self.endpoint);
    }

    /// Lets time go by, with a close behind it, and nothing that comes.
    fn wait_for_the_end(&mut self) {
        let begin = self.now;
        self.steps(&mut Source(b""), 0);
        // the two waits of closing, each up to three times more, and once for what has come and
        // gone before
        let most = match self.endpoint.connection() {
            Some(_) => 10 * CLOSE_TIMEOUT,
            None => HANDSHAKE,
        };
        for _ in 0..100 {
            if self.end.is_some() {
                return;
            }
            let Some(until) = self.endpoint.poll_timeout() else {
                panic!("it waits for nothing: {:?}", self.endpoint)
            };
            assert!(until > self.now || until == Duration::ZERO, "it should be over by now");
            self.now = self.now.max(until);
            assert!(self.now - begin <= most, "{:?} is too long", self.now - begin);
            self.endpoint.handle_timeout(self.now, &mut self.tx);
            self.steps(&mut Source(b""), 0);
        }
    }

    /// The end is good for a connection if both ends have closed, and all was written.
    fn check_end(&self) {
        let Some(connection) = self.endpoint.connection() else { return };
        let is_good = matches!(self.end, Some(Ok(())));
        assert!(self.has_closed || !is_good, "nobody has closed: {:?}", self.endpoint);
        assert_eq!(connection.state(), State::Closed);
        assert_eq!(connection.close_info().is_some_and(|it| it.clean), is_good);
        if self.has_closed && !self.is_cut && self.tx.is_empty() {
            assert!(is_good, "{:?}", self.end);
        }
    }

    fn lose_output(&mut self) {
        self.endpoint.note_write_failed(&mut self.tx);
        self.is_cut = true;
    }

    /// A head of HTTP, and frames behind it as the role wants them.
    fn check_sent(&self) {
        let mut sent = &self.sent[..];
        while let Some(end) = sent.windows(4).position(|it| it == b"\r\n\r\n") {
            let is_head = sent.starts_with(b"HTTP/1.1 ") || sent.starts_with(b"GET ");
            if !is_head {
                break;
            }
            sent = &sent[end + 4..];
        }
        if self.endpoint.connection().is_none() || self.is_cut || self.tx.has_remaining() {
            return;
        }
        if self.is_server {
            assert!(is_frames(sent), "half a frame");
        } else {
            assert!(model::without_masks(sent).is_some(), "no frames of a client");
        }
    }
}

/// Whole frames without masks.
fn is_frames(mut bytes: &[u8]) -> bool {
    while let Some(&second) = bytes.get(1) {
        let (end, len) = match (second, bytes) {
            (0..126, _) => (2, usize::from(second)),
            (126, [_, _, high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return false,
        };
        let Some(rest) = bytes.get(end + len..) else { return false };
        bytes = rest;
    }
    bytes.is_empty()
}
