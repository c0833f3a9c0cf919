//! An endpoint with its buffers, and two of them with wires between.

use std::time::Duration;

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::endpoint::{Endpoint, EndpointError, Step};
use sansws::handshake::client::Request;
use sansws::handshake::server::{Accept, Reject};
use sansws::{Config, Event};

/// What a server answers.
#[derive(Clone)]
pub enum Answer {
    Accept(Accept<'static>),
    Reject(Reject<'static>),
    /// Nothing yet.
    None,
}

pub struct End {
    pub endpoint: Endpoint,
    pub rx: RecvBuffer,
    pub tx: SendBuffer,
    /// Bytes on their way to this end.
    pub input: Vec<u8>,
    /// The other end has shut down its direction; nothing comes behind `input`.
    pub input_ended: bool,
    /// Bytes that this end has written.
    pub output: Vec<u8>,
    pub output_shut: bool,
    /// How many bytes the transport takes before it is full.
    pub takes: usize,
    /// How many come with a read.
    pub gives: usize,
    pub answer: Answer,
    pub echo: bool,
    /// The events, as text.
    pub seen: Vec<String>,
    pub until: Option<Duration>,
    pub result: Option<Result<(), EndpointError>>,
    /// How often there was more to do at once.
    pub again: usize,
}

/// Where [`End::run`] stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nothing to read.
    Read,
    /// The transport is full, and so is the send buffer.
    Wait,
    Closed,
}

impl End {
    pub fn new(endpoint: Endpoint, tx: SendBuffer) -> Self {
        Self {
            endpoint,
            rx: RecvBuffer::new(),
            tx,
            input: Vec::new(),
            input_ended: false,
            output: Vec::new(),
            output_shut: false,
            takes: usize::MAX,
            gives: usize::MAX,
            answer: Answer::Accept(Accept::default()),
            echo: false,
            seen: Vec::new(),
            until: None,
            result: None,
            again: 0,
        }
    }

    pub fn server(config: &Config) -> Self {
        Self::new(Endpoint::server(config), SendBuffer::new())
    }

    pub fn client(config: &Config) -> Self {
        let request = Request::new("ws://example.org/chat").unwrap();
        let mut tx = SendBuffer::new();
        let endpoint = Endpoint::client(&request, [7; 48], config, &mut tx).unwrap();
        Self::new(endpoint, tx)
    }

    /// Takes steps until it can do no more by itself.
    pub fn run(&mut self) -> Stop {
        for _ in 0..1_000_000 {
            match self.endpoint.step(&mut self.rx, &mut self.tx) {
                Step::Write => {
                    assert!(self.tx.has_remaining(), "nothing to write");
                    let n = self.tx.chunk().len().min(self.takes);
                    if n == 0 {
                        self.endpoint.note_blocked();
                        continue;
                    }
                    self.takes -= n;
                    self.output.extend_from_slice(&self.tx.chunk()[..n]);
                    self.tx.advance(n);
                    self.endpoint.note_written(n);
                }
                Step::Read { until } => {
                    self.until = until;
                    let n = self.input.len().min(self.gives);
                    match n {
                        0 if self.input_ended => self.endpoint.receive_eof(),
                        0 => return Stop::Read,
                        _ => {
                            let bytes: Vec<u8> = self.input.drain(..n).collect();
                            self.rx.extend_from_slice(&bytes);
                        }
                    }
                }
                Step::Wait { until } => {
                    self.until = until;
                    if matches!(self.answer, Answer::None) || self.takes == 0 {
                        return Stop::Wait;
                    }
                }
                Step::Again => self.again += 1,
                Step::ShutdownWrite => {
                    assert!(!self.output_shut, "twice");
                    assert!(self.tx.is_empty(), "before everything was written");
                    self.output_shut = true;
                    self.endpoint.note_shut_down();
                }
                Step::Request(request) => {
                    self.seen.push(format!("request {}", request.target()));
                    match &self.answer {
                        Answer::Accept(accept) => {
                            let _ = self.endpoint.accept(request, accept, &mut self.tx);
                        }
                        Answer::Reject(reject) => {
                            let _ = self.endpoint.reject(request, reject, &mut self.tx);
                        }
                        Answer::None => {}
                    }
                }
                Step::Response(accepted) => {
                    self.seen.push(format!("response {:?}", accepted.subprotocol()));
                }
                Step::Event(event) => {
                    self.seen.push(text_of(&event));
                    if self.echo
                        && let Some(message) = event.into_message_ref()
                    {
                        self.endpoint.feed(&mut self.tx, message).unwrap();
                    }
                }
                Step::Close(result) => {
                    self.result = Some(result);
                    return Stop::Closed;
                }
            }
        }
        panic!("turns in circles");
    }

    /// The result as text.
    pub fn result(&self) -> String {
        match self.result.as_ref().expect("it is over") {
            Ok(()) => "ok".to_owned(),
            Err(failure) => format!("{failure:?}"),
        }
    }
}

fn text_of(event: &Event<'_>) -> String {
    match event {
        Event::Text(text) => format!("text {}", &**text),
        Event::Binary(data) => format!("binary {}", data.len()),
        Event::Ping(payload) => format!("ping {}", payload.len()),
        Event::Pong(payload) => format!("pong {}", payload.len()),
        Event::Close(close) => format!("close {:?}", close.as_ref().map(|it| it.code.as_u16())),
        other => format!("{other:?}"),
    }
}

/// A client and a server, connected.
pub struct Pair {
    pub client: End,
    pub server: End,
}

impl Pair {
    pub fn new(config: &Config) -> Self {
        Self { client: End::client(config), server: End::server(config) }
    }

    /// The same with the opening handshake done.
    pub fn open(config: &Config) -> Self {
        let mut pair = Self::new(config);
        pair.exchange();
        assert_eq!(pair.server.seen.split_off(0), ["request /chat"]);
        assert_eq!(pair.client.seen.split_off(0), ["response None"]);
        pair
    }

    /// Lets both go on until neither can.
    pub fn exchange(&mut self) {
        loop {
            let stops = [self.client.run(), self.server.run()];
            let moved = carry(&mut self.client, &mut self.server)
                | carry(&mut self.server, &mut self.client);
            if !moved || stops == [Stop::Closed, Stop::Closed] {
                return;
            }
        }
    }

    /// The ends as (this one, the other one), for both roles of this one.
    pub fn ends(&mut self, this_is_server: bool) -> (&mut End, &mut End) {
        match this_is_server {
            true => (&mut self.server, &mut self.client),
            false => (&mut self.client, &mut self.server),
        }
    }
}

/// Both roles, one after the other.
pub const ROLES: [bool; 2] = [true, false];

/// Takes what one end has written to the other. Whether there was anything.
pub fn carry(from: &mut End, to: &mut End) -> bool {
    let ended = from.output_shut || from.result.is_some();
    let moved = !from.output.is_empty() || ended != to.input_ended;
    to.input.append(&mut from.output);
    to.input_ended = ended;
    moved
}
