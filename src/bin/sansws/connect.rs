//! `sansws connect`.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IsTerminal};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use sansws::client::{Connector, Tls};
use sansws::deflate::Deflate;
use sansws::proto::{Initiator, MessageRef, SendError};
use sansws::tokio::{ClientStream, WebSocket};
use sansws::wire::{FrameHeader, Opcode};
use sansws::{CloseCode, Config, Error, Event, Message};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, Sleep, sleep};

use crate::Exit;
use crate::args::Connect;
use crate::input::{self, Input};
use crate::screen::{Screen, Way};
use crate::tap::Tap;

pub fn run(options: &Connect) -> Exit {
    // before anything is changed about the terminal
    let connector = match connector(options) {
        Ok(connector) => connector,
        Err(problem) => {
            eprintln!("sansws: {problem}");
            return Exit::Usage;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sansws: {error}");
            return Exit::Local;
        }
    };
    let exit = runtime.block_on(start(&connector, options));
    runtime.shutdown_background(); // a name that is still looked up
    exit
}

/// Returns what is to be connected to, or what is wrong about it.
pub fn connector(options: &Connect) -> Result<Connector, String> {
    let mut config = Config::new();
    if !options.no_compression {
        config = config.deflate(Deflate::new());
    }
    if let Some(timeout) = options.timeout {
        config = config.handshake_timeout(timeout);
    }
    let text = |error: &dyn std::error::Error| error.to_string();
    let mut connector = Connector::new(&options.url).map_err(|error| text(&error))?.config(config);
    for (name, value) in &options.headers {
        connector = connector.header(name, value);
    }
    for subprotocol in &options.subprotocols {
        connector = connector.subprotocol(subprotocol);
    }
    if let Some(origin) = &options.origin {
        connector = connector.origin(origin);
    }
    if let Some(file) = &options.ca {
        let tls = Tls::new().and_authority_file(file).map_err(|error| text(&error))?;
        connector = connector.tls(tls);
    }
    connector.check().map_err(|error| text(&error))?;
    Ok(connector)
}

async fn start(connector: &Connector, options: &Connect) -> Exit {
    let ws = match connector.connect().await {
        Ok(ws) => ws,
        Err(error) => {
            let _ = Screen::new(options.json, options.verbose, None).error(&error.to_string());
            return Exit::NotConnected;
        }
    };
    let is_interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
    let terminal = match is_interactive && !options.json {
        true => input::from_terminal().ok(),
        false => None,
    };
    let (mut input, print, _modes) = match terminal {
        Some(terminal) => (terminal.lines, Some(terminal.print), Some(terminal.modes)),
        None => (input::from_pipe(), None, None),
    };
    let screen = Screen::new(options.json, options.verbose, print);
    let mut talk = Talk::new(ws, options, screen);
    let ended = talk.run(&mut input).await;
    talk.screen.settle();
    match ended {
        Ok(exit) => exit,
        // whoever reads has enough
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            eprintln!("sansws: {error}");
            Exit::Local
        }
    }
}

/// A connection and what is shown of it.
struct Talk<'a> {
    ws: WebSocket<Tap<ClientStream>>,
    options: &'a Connect,
    screen: Screen,
    /// Pings that are not answered, and when they left.
    pings: VecDeque<(Vec<u8>, Instant)>,
    incoming: Compressed,
    outgoing: Compressed,
    /// The lengths of the messages whose frames were not seen, if anybody wants to know.
    sent: VecDeque<usize>,
    /// Until the connection is closed, when there is no input any more.
    linger: Option<Pin<Box<Sleep>>>,
    input_failed: bool,
}

/// What came, independent of the connection.
enum Came {
    Message(Message),
    Pong(Vec<u8>),
    Other,
}

enum Step {
    Came(Result<Option<Came>, Error>),
    Input(Option<Input>),
    /// Nothing more is to be sent, and nothing has come for a while.
    Quiet,
    /// Frames were seen, and nothing else happened.
    Frames,
}

impl<'a> Talk<'a> {
    fn new(ws: WebSocket<ClientStream>, options: &'a Connect, screen: Screen) -> Self {
        let parts = ws.into_parts();
        let read = parts.rx.unparsed().to_vec();
        let ws = WebSocket::from_parts(parts.map_io(|io| Tap::new(io, &read, options.verbose)));
        Self {
            ws,
            options,
            screen,
            pings: VecDeque::new(),
            incoming: Compressed::default(),
            outgoing: Compressed::default(),
            sent: VecDeque::new(),
            linger: None,
            input_failed: false,
        }
    }

    /// Talks until the connection is over. An error is one of the output.
    async fn run(&mut self, input: &mut Receiver<Input>) -> io::Result<Exit> {
        self.opened()?;
        let mut input = Some(input);
        loop {
            let step = poll_fn(|cx| self.poll_step(&mut input, cx)).await;
            self.show_frames()?;
            let done = match step {
                Step::Frames => continue,
                Step::Came(Ok(Some(came))) => {
                    if let Some(linger) = &mut self.linger {
                        linger.as_mut().reset(Instant::now() + self.options.linger());
                    }
                    self.came(came)?;
                    continue;
                }
                Step::Came(end) => return self.over(end.map(drop)),
                Step::Input(Some(line)) => self.act(line)?,
                Step::Input(None) => {
                    input = None;
                    if self.screen.is_terminal() {
                        self.ws.start_close(CloseCode::NORMAL, "")
                    } else {
                        if !self.options.wait {
                            self.linger = Some(Box::pin(sleep(self.options.linger())));
                        }
                        Ok(())
                    }
                }
                Step::Quiet => {
                    self.linger = None;
                    self.ws.start_close(CloseCode::NORMAL, "")
                }
            };
            self.show_frames()?;
            match done {
                // it ends, and what has come before that is still to be shown
                Ok(()) | Err(Error::Disconnected(_) | Error::Timeout(_)) => {}
                Err(Error::Send(SendError::NotOpen)) => {
                    self.screen.detail("the connection is closing".into())?;
                }
                Err(error) => self.screen.error(&error.to_string())?,
            }
        }
    }

    /// Waits for an event, or for input while there is room for it. Sending never keeps what comes
    /// from being taken: a server that answers each message would wait for that.
    fn poll_step(
        &mut self,
        input: &mut Option<&mut Receiver<Input>>,
        cx: &mut Context<'_>,
    ) -> Poll<Step> {
        if let Poll::Ready(came) = pin!(next(&mut self.ws)).poll(cx) {
            return Poll::Ready(Step::Came(came));
        }
        if self.ws.unsent() < MAX_UNSENT
            && let Some(input) = input
            && let Poll::Ready(input) = input.poll_recv(cx)
        {
            return Poll::Ready(Step::Input(input));
        }
        if !self.ws.get_ref().is_silent() {
            return Poll::Ready(Step::Frames);
        }
        match &mut self.linger {
            Some(linger) => linger.as_mut().poll(cx).map(|()| Step::Quiet),
            None => Poll::Pending,
        }
    }

    fn opened(&mut self) -> io::Result<()> {
        let subprotocol = self.ws.subprotocol().map(str::to_owned);
        let deflate = self.ws.deflate().is_some();
        let name = subprotocol.as_deref().map_or_else(|| "null".into(), crate::escape::json);
        self.screen.event("open", &format!(r#""subprotocol":{name},"compression":{deflate}"#))?;
        let subprotocol = subprotocol.map_or(String::new(), |name| format!(", subprotocol {name}"));
        let deflate = if deflate { ", compression" } else { "" };
        let text = format!("connected to {}{subprotocol}{deflate}", self.options.url);
        self.screen.detail(crate::escape::for_terminal(&text))
    }

    fn came(&mut self, came: Came) -> io::Result<()> {
        match came {
            Came::Message(message) => {
                if let Some(Some(wire)) = self.incoming.done.pop_front() {
                    self.screen.compressed(Way::In, wire, message.len())?;
                }
                self.screen.message(&message)
            }
            Came::Pong(payload) => {
                let at = self.pings.iter().position(|(sent, _)| *sent == payload);
                let Some((_, sent)) = at.and_then(|at| self.pings.drain(..=at).next_back()) else {
                    return Ok(()); // of keep-alive, or unasked
                };
                self.screen.round_trip(sent.elapsed())
            }
            Came::Other => Ok(()),
        }
    }

    /// Does what was entered. The inner error is one of the connection.
    fn act(&mut self, input: Input) -> io::Result<Result<(), Error>> {
        match input {
            Input::Send(line) => {
                let len = line.len();
                let fed = match self.options.binary {
                    true => self.ws.feed(line),
                    false => match String::from_utf8(line) {
                        Ok(text) => self.ws.feed(text),
                        Err(_) => {
                            self.input_failed = true;
                            self.screen.error("a line is not UTF-8, so it is no text: --binary")?;
                            self.ws.start_close(CloseCode::NORMAL, "")
                        }
                    },
                };
                if self.options.verbose && fed.is_ok() {
                    self.sent.push_back(len);
                }
                Ok(fed)
            }
            Input::Ping(payload) => {
                self.pings.push_back((payload.clone(), Instant::now()));
                Ok(self.ws.feed(MessageRef::ping(&payload)))
            }
            Input::Close(code, reason) => Ok(self.ws.start_close(code, &reason)),
            Input::Hint(text) => self.screen.note(text).map(Ok),
            Input::Failed(problem) => {
                self.input_failed = true;
                self.screen.error(&problem)?;
                Ok(self.ws.start_close(CloseCode::NORMAL, ""))
            }
        }
    }

    fn show_frames(&mut self) -> io::Result<()> {
        let (incoming, outgoing) = self.ws.get_mut().take();
        for frame in outgoing {
            self.outgoing.note(&frame);
            self.screen.frame(Way::Out, &frame)?;
        }
        while let Some(wire) = self.outgoing.done.pop_front() {
            if let (Some(wire), Some(plain)) = (wire, self.sent.pop_front()) {
                self.screen.compressed(Way::Out, wire, plain)?;
            }
        }
        for frame in incoming {
            self.incoming.note(&frame);
            self.screen.frame(Way::In, &frame)?;
        }
        Ok(())
    }

    /// Says how it ended.
    fn over(&mut self, end: Result<(), Error>) -> io::Result<Exit> {
        if let Err(error) = end {
            self.screen.error(&error.to_string())?;
            return Ok(Exit::Broken);
        }
        let Some(info) = self.ws.close_info() else { return Ok(Exit::Ok) };
        let (code, reason) = (info.code, info.reason.clone().into_owned());
        let by_peer = info.initiator == Initiator::Peer;
        let name = match CloseCode::new(code) {
            Some(code) => code.to_string(),
            None => "no code".to_owned(), // 1005
        };
        let quoted = crate::escape::json(&reason);
        self.screen.event("close", &format!(r#""code":{code},"reason":{quoted}"#))?;
        let who = if by_peer { "the server closed" } else { "closed" };
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason:?}") };
        let text = format!("{who} with {name}{reason}");
        let exit = match code {
            _ if self.input_failed => Exit::Local,
            1000 | 1005 => Exit::Ok,
            _ if by_peer => Exit::Closed,
            _ => Exit::Ok, // the code that was asked for came back
        };
        match exit {
            Exit::Closed if !self.options.json => self.screen.error(&text)?,
            _ => self.screen.detail(text)?,
        }
        Ok(exit)
    }
}

async fn next(ws: &mut WebSocket<Tap<ClientStream>>) -> Result<Option<Came>, Error> {
    let Some((event, _)) = ws.next_event().await? else { return Ok(None) };
    Ok(Some(match event {
        Event::Pong(payload) => Came::Pong(payload.to_vec()),
        event => event.into_message().map_or(Came::Other, Came::Message),
    }))
}

/// The most bytes that wait to be sent before more is read.
const MAX_UNSENT: usize = 256 * 1024;

/// The lengths of compressed messages, from the headers of their frames.
#[derive(Debug, Default)]
struct Compressed {
    /// The bytes of the message that has begun, if it is compressed.
    current: Option<u64>,
    /// Those of the messages that are complete and were not asked for.
    done: VecDeque<Option<u64>>,
}

impl Compressed {
    fn note(&mut self, frame: &FrameHeader) {
        if frame.opcode.is_control() {
            return;
        }
        // RFC 7692 §6: the first frame of a compressed message has RSV1 set
        if frame.opcode != Opcode::Continuation {
            self.current = frame.rsv1.then_some(0);
        }
        if let Some(len) = &mut self.current {
            *len += frame.payload_len;
        }
        if frame.fin {
            self.done.push_back(self.current.take());
        }
    }
}
