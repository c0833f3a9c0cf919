//! A WebSocket server that sends every message back: the core embedded in a `mio` loop on one
//! thread, with nothing in between.
//!
//! `cargo run --release --example echo_mio -- [ADDR] [--max-message-len N]
//! [--deflate [--no-context-takeover] [--window-bits N]]`
//!
//! All connections share one receive buffer and one send buffer. A connection has buffers of its own
//! only while it holds half a message, or bytes that the socket does not take.

mod cli;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::handshake::server::{Accept, AcceptError, Handshake};
use sansws::proto::{Connection, Transport};

const LISTENER: Token = Token(usize::MAX);

/// There is one receive buffer for all, so it may be large.
const READ_AHEAD: usize = 64 * 1024;

/// A buffer that grew for one client is worth keeping up to this while messages come.
const MAX_SHARED: usize = 4 * 1024 * 1024;

/// What is kept of it when nothing has come for a while.
const MAX_IDLE: usize = 256 * 1024;
const A_WHILE: Duration = Duration::from_millis(100);

/// How long to wait before accepting again when that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a refused peer may take to read why.
const LINGER: Duration = Duration::from_secs(1);

fn main() -> io::Result<()> {
    let options = cli::Options::parse("echo_mio", "127.0.0.1:9001");
    let addr =
        options.addr.parse().map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
    let mut listener = TcpListener::bind(addr)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    cli::announce(listener.local_addr()?);

    let mut server = Server::new(options.config());
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, server.next_timeout()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        if events.is_empty() && server.rx.capacity() > MAX_IDLE {
            server.rx = RecvBuffer::with_read_ahead(READ_AHEAD);
        }
        let mut accept = server.handle_timeouts();
        for event in &events {
            match event.token() {
                LISTENER => accept = true,
                Token(id) => server.serve(id, event.is_read_closed()),
            }
        }
        if accept {
            server.accept(&listener, poll.registry())?;
        }
    }
}

struct Server {
    config: Config,
    /// The index is the token.
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    /// When which client has something to do; stale where it differs from `Client::alarm`.
    alarms: BinaryHeap<Reverse<(Duration, usize)>>,
    /// When to accept again.
    accept_at: Option<Duration>,
    epoch: Instant,
    rx: RecvBuffer,
    tx: SendBuffer,
}

struct Client {
    stream: TcpStream,
    write_shut: bool,
    phase: Phase,
    /// What an idle client has no need of.
    busy: Option<Box<Busy>>,
}

#[derive(Default)]
struct Busy {
    /// When the client has something to do, as `Server::alarms` has it.
    alarm: Option<Duration>,
    /// Half a message.
    rx: Option<RecvBuffer>,
    /// Bytes that the socket did not take.
    tx: Option<SendBuffer>,
}

enum Phase {
    Handshake(Box<Handshake>),
    Open(Box<Connection>),
    /// The handshake failed; the peer may read why until this time.
    Refused(Option<Duration>),
    Over,
}

impl Server {
    fn new(config: Config) -> Self {
        Self {
            config,
            clients: Vec::new(),
            free: Vec::new(),
            alarms: BinaryHeap::new(),
            accept_at: None,
            epoch: Instant::now(),
            rx: RecvBuffer::with_read_ahead(READ_AHEAD),
            tx: SendBuffer::new(),
        }
    }

    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    // out of descriptors, most likely: they come back when connections close
                    eprintln!("accept: {error}");
                    self.accept_at = Some(self.epoch.elapsed() + ACCEPT_PAUSE);
                    return Ok(());
                }
            };
            stream.set_nodelay(true)?;
            let id = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            // edges: one registration does for ever
            let interest = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, Token(id), interest)?;
            self.clients[id] = Some(Client {
                stream,
                write_shut: false,
                phase: Phase::Handshake(Box::new(Handshake::new(&self.config))),
                busy: None,
            });
            self.serve(id, false);
        }
    }

    /// Does all that can be done for a client now.
    fn serve(&mut self, id: usize, read_closed: bool) {
        let Some(client) = self.clients.get_mut(id).and_then(Option::as_mut) else { return };
        let kept = client.run(&mut self.rx, &mut self.tx, &self.config, read_closed);
        if !kept.unwrap_or(false) {
            self.clients[id] = None;
            self.free.push(id);
            // whatever is left in the shared buffers was this client's
            if !self.rx.is_idle() || !self.tx.is_empty() {
                self.rx = RecvBuffer::with_read_ahead(READ_AHEAD);
                self.tx = SendBuffer::new();
            }
            return;
        }
        if !self.rx.is_idle() {
            let rx = std::mem::replace(&mut self.rx, RecvBuffer::with_read_ahead(READ_AHEAD));
            client.busy().rx = Some(rx);
        }
        if !self.tx.is_empty() {
            client.busy().tx = Some(std::mem::take(&mut self.tx));
        }
        let due = client.phase.poll_timeout();
        if due != client.busy.as_ref().and_then(|busy| busy.alarm) {
            client.busy().alarm = due;
            if let Some(due) = due {
                self.alarms.push(Reverse((due, id)));
            }
        }
        client.busy.take_if(|busy| busy.is_over());
    }

    /// How long the loop may sleep.
    fn next_timeout(&self) -> Option<Duration> {
        let alarm = self.alarms.peek().map(|Reverse((due, _))| *due);
        let due = alarm.into_iter().chain(self.accept_at).min();
        // up to a whole millisecond, which is what the system call counts in
        let sleep =
            due.map(|due| due.saturating_sub(self.epoch.elapsed()) + Duration::from_millis(1));
        let shrink = (self.rx.capacity() > MAX_IDLE).then_some(A_WHILE);
        sleep.into_iter().chain(shrink).min()
    }

    /// Says whether to accept again.
    fn handle_timeouts(&mut self) -> bool {
        if self.alarms.is_empty() && self.accept_at.is_none() {
            return false;
        }
        let now = self.epoch.elapsed();
        while let Some(&Reverse((due, id))) = self.alarms.peek()
            && due <= now
        {
            self.alarms.pop();
            let client = self.clients.get_mut(id).and_then(Option::as_mut);
            let Some(Client { phase, busy: Some(busy), .. }) = client else { continue };
            if busy.alarm != Some(due) {
                continue;
            }
            busy.alarm = None;
            phase.handle_timeout(now, busy.tx.as_mut().unwrap_or(&mut self.tx));
            self.serve(id, false);
        }
        self.accept_at.take_if(|at| *at <= now).is_some()
    }
}

impl Client {
    /// `false` when the client is to be dropped.
    fn run(
        &mut self,
        shared_rx: &mut RecvBuffer,
        shared_tx: &mut SendBuffer,
        config: &Config,
        read_closed: bool,
    ) -> io::Result<bool> {
        let mut busy = self.busy.take();
        let (own_rx, own_tx) = match &mut busy {
            Some(busy) => (busy.rx.as_mut(), busy.tx.as_mut()),
            None => (None, None),
        };
        let rx = own_rx.unwrap_or(&mut *shared_rx);
        let tx = own_tx.unwrap_or(shared_tx);
        let kept = self.exchange(rx, tx, config, read_closed)?;
        if let Some(busy) = &mut busy {
            // buffers that are empty again go back to the allocator, or serve all from now on
            if let Some(rx) = busy.rx.take_if(|rx| rx.is_idle())
                && (shared_rx.capacity()..MAX_SHARED).contains(&rx.capacity())
            {
                *shared_rx = rx;
            }
            busy.tx.take_if(|tx| tx.is_empty());
        }
        self.busy = busy;
        Ok(kept)
    }

    fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    /// Reads, echoes and writes until the socket has nothing more or takes nothing more.
    fn exchange(
        &mut self,
        rx: &mut RecvBuffer,
        tx: &mut SendBuffer,
        config: &Config,
        read_closed: bool,
    ) -> io::Result<bool> {
        let mut drained = false;
        loop {
            let more = self.phase.take_in(rx, tx, config);
            if !self.write(tx)? {
                return Ok(true); // it will say when it is writable again
            }
            if more {
                continue;
            }
            match self.phase.transport() {
                Transport::KeepOpen => {}
                Transport::Close => return Ok(false),
                Transport::ShutdownWrite => {
                    if !self.write_shut {
                        self.stream.shutdown(Shutdown::Write)?;
                        self.write_shut = true;
                    }
                }
            }
            if drained {
                return Ok(true);
            }
            let space = rx.space();
            let room = space.len();
            match self.stream.read(space) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    rx.commit(n);
                    // Less than there was room for: another read would only find that out. Not so
                    // at the end of the stream, which no further event announces.
                    drained = n < room && !read_closed;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes; `false` when something is left.
    fn write(&mut self, tx: &mut SendBuffer) -> io::Result<bool> {
        while tx.has_remaining() {
            let chunk = tx.chunk();
            let written = if chunk.len() == tx.remaining() {
                self.stream.write(chunk)
            } else {
                let mut slices = [IoSlice::new(&[]); 64];
                let count = tx.chunks_vectored(&mut slices);
                self.stream.write_vectored(&slices[..count])
            };
            match written {
                Ok(n) => tx.advance(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Busy {
    fn is_over(&self) -> bool {
        self.alarm.is_none() && self.rx.is_none() && self.tx.is_none()
    }
}

impl Phase {
    /// Takes in what is complete in `rx`: the request, then messages, which go back as they are.
    /// `true` when `tx` had no room for all of them.
    fn take_in(&mut self, rx: &mut RecvBuffer, tx: &mut SendBuffer, config: &Config) -> bool {
        if let Self::Handshake(handshake) = self {
            match handshake.read_request(rx, tx) {
                Ok(None) => {}
                Ok(Some(request)) => {
                    *self = match request.accept(&Accept::default(), config, tx) {
                        Ok(conn) => Self::Open(Box::new(conn)),
                        // the answer is in `tx`
                        Err(AcceptError::Peer(_)) => Self::Refused(None),
                        Err(_) => Self::Over,
                    };
                }
                Err(_) => *self = Self::Refused(None),
            }
        }
        match self {
            Self::Open(conn) => {
                while tx.remaining() < config.max_unsent {
                    // a violation is answered in `tx`, and shows in `transport`
                    let Ok(Some(event)) = conn.poll_event(rx, tx) else { return false };
                    if let Some(message) = event.into_message_ref() {
                        // refused only after a Close, when there is nobody to hear it
                        let _ = conn.send(tx, message);
                    }
                }
                true
            }
            Self::Refused(_) => {
                *rx = RecvBuffer::new();
                false
            }
            Self::Handshake(_) | Self::Over => false,
        }
    }

    fn transport(&self) -> Transport {
        match self {
            Self::Handshake(_) => Transport::KeepOpen,
            Self::Open(conn) => conn.transport(),
            Self::Refused(_) => Transport::ShutdownWrite,
            Self::Over => Transport::Close,
        }
    }

    fn poll_timeout(&self) -> Option<Duration> {
        match self {
            Self::Handshake(handshake) => handshake.poll_timeout(),
            Self::Open(conn) => conn.poll_timeout(),
            Self::Refused(until) => Some(until.unwrap_or(Duration::ZERO)),
            Self::Over => None,
        }
    }

    fn handle_timeout(&mut self, now: Duration, tx: &mut SendBuffer) {
        match self {
            Self::Handshake(handshake) => {
                if handshake.handle_timeout(now, tx).is_err() {
                    *self = Self::Refused(None); // the answer is in `tx`
                }
            }
            Self::Open(conn) => {
                // the end of patience shows in `transport`
                let _ = conn.handle_timeout(now, tx);
            }
            Self::Refused(None) => *self = Self::Refused(Some(now + LINGER)),
            Self::Refused(Some(_)) => *self = Self::Over,
            Self::Over => {}
        }
    }
}
