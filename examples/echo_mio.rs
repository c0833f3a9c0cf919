//! A WebSocket server that sends every message back: the core embedded in a `mio` loop on one
//! thread, with nothing in between.
//!
//! `cargo run --release --example echo_mio -- [ADDR] [--max-message-len N]
//! [--deflate [--no-context-takeover] [--window-bits N]]`
//!
//! All connections share one receive buffer and one send buffer. A connection has buffers of its
//! own only while it holds half a message, or bytes that the socket does not take.
//!
//! They take turns, each bounded by the work that is done in it. An edge tells only once that a
//! socket has something; who is not done with it at the end of the turn waits in a queue, and one
//! of those has its next turn after all who have news.
//!
//! There is no keep-alive unless `Config::keep_alive` is set: a peer that falls silent stays, for a
//! quarter of a kilobyte.
//!
//! The listener of `mio` lets 128 connections wait to be accepted. Where thousands may come at the
//! same moment, set up the socket with the crate `socket2` and a larger backlog.

mod cli;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::endpoint::{Endpoint, Step};
use sansws::handshake::server::Accept;
use sansws::{Config, Event};

const LISTENER: Token = Token(usize::MAX);

/// There is one receive buffer for all, so it may be large.
const READ_AHEAD: usize = 64 * 1024;

/// A buffer that grew for one client is worth keeping up to this while messages come.
const MAX_SHARED: usize = 4 * 1024 * 1024;

/// What is kept of it when nothing has come for a while.
const MAX_IDLE: usize = 256 * 1024;
const A_WHILE: Duration = Duration::from_millis(100);

/// The work of a turn, in bytes read, sent back and written: about a fifth of a millisecond, which
/// is what those who have little to say wait for others.
const TURN: usize = 512 * 1024;

/// What an event costs besides its payload, in the same unit: an empty one takes as long as to copy
/// about this much.
const EVENT: usize = 512;

/// The most that is inflated or compressed in one call. A message may take many of these, and the
/// others have their turns in between.
const STEP: usize = 64 * 1024;

/// To compress a byte takes as long as to copy about so many.
const COMPRESSION: usize = 8;

/// How many connections are accepted, and alarms heard, before clients have their turns again.
const ACCEPTS: usize = 64;
const ALARMS: usize = 256;

/// How long to wait before accepting again when that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
        if events.is_empty() && server.unfinished.is_empty() && server.is_large() {
            server.rx = RecvBuffer::with_read_ahead(READ_AHEAD);
            server.tx = SendBuffer::new();
        }
        for event in &events {
            match event.token() {
                // not before the end of a pause
                LISTENER => drop(server.accept_at.get_or_insert_default()),
                Token(id) => server.hear(id, event.is_read_closed()),
            }
        }
        server.handle_timeouts();
        server.accept(&listener, poll.registry());
        server.go_on();
    }
}

struct Server {
    config: Config,
    /// The index is the token.
    clients: Clients,
    /// Who was not done at the end of the turn.
    unfinished: VecDeque<usize>,
    /// When which client has something to do; stale where it differs from `Client::alarm`.
    alarms: BinaryHeap<Reverse<(Duration, usize)>>,
    /// When to accept, as connections may be waiting.
    accept_at: Option<Duration>,
    epoch: Instant,
    rx: RecvBuffer,
    tx: SendBuffer,
}

/// The clients by their tokens, in pages: one list that grows would be copied, and its old memory
/// stays with the process.
#[derive(Default)]
struct Clients {
    pages: Vec<Vec<Option<Client>>>,
    free: Vec<usize>,
}

/// Clients in a page.
const PAGE: usize = 256;

impl Clients {
    fn get_mut(&mut self, id: usize) -> Option<&mut Client> {
        self.pages.get_mut(id / PAGE)?.get_mut(id % PAGE)?.as_mut()
    }

    /// The token of the next client.
    fn vacant(&mut self) -> usize {
        if self.free.is_empty() {
            let first = self.pages.len() * PAGE;
            self.pages.push((0..PAGE).map(|_| None).collect());
            self.free.extend((first..first + PAGE).rev());
        }
        self.free[self.free.len() - 1]
    }

    fn insert(&mut self, client: Client) {
        let id = self.vacant();
        self.free.pop();
        self.pages[id / PAGE][id % PAGE] = Some(client);
    }

    fn remove(&mut self, id: usize) {
        self.pages[id / PAGE][id % PAGE] = None;
        self.free.push(id);
    }
}

struct Client {
    /// In place, not in a box: a quarter of what an idle client takes would be the allocator's.
    endpoint: Endpoint,
    stream: TcpStream,
    /// In `Server::unfinished`.
    unfinished: bool,
    /// The end of the stream has come, which no further event announces.
    read_closed: bool,
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

/// How a turn ends.
enum Turn {
    /// The socket has nothing more or takes nothing more; it will say when that changes.
    Done,
    /// There is more to do.
    More,
    /// The client is to be dropped.
    Over,
}

impl Server {
    fn new(config: Config) -> Self {
        Self {
            config,
            clients: Clients::default(),
            unfinished: VecDeque::new(),
            alarms: BinaryHeap::new(),
            accept_at: None,
            epoch: Instant::now(),
            rx: RecvBuffer::with_read_ahead(READ_AHEAD),
            tx: SendBuffer::new(),
        }
    }

    fn accept(&mut self, listener: &TcpListener, registry: &Registry) {
        if self.accept_at.is_none_or(|at| at > self.epoch.elapsed()) {
            return;
        }
        for _ in 0..ACCEPTS {
            match listener.accept() {
                // a client that cannot be served is no reason to end the others
                Ok((stream, _)) => drop(self.welcome(stream, registry)),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return self.accept_at = None,
                    // gone before its turn came
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {}
                    _ => {
                        // out of descriptors, most likely: they come back when connections close
                        eprintln!("accept: {error}");
                        return self.accept_at = Some(self.epoch.elapsed() + ACCEPT_PAUSE);
                    }
                },
            }
        }
    }

    fn welcome(&mut self, mut stream: TcpStream, registry: &Registry) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let id = self.clients.vacant();
        // edges: one registration does for ever
        registry.register(&mut stream, Token(id), Interest::READABLE | Interest::WRITABLE)?;
        self.clients.insert(Client {
            endpoint: Endpoint::server(&self.config),
            stream,
            unfinished: false,
            read_closed: false,
            busy: None,
        });
        self.take_turn(id);
        Ok(())
    }

    /// Its socket has news.
    fn hear(&mut self, id: usize, read_closed: bool) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.read_closed |= read_closed;
        if !client.unfinished {
            self.take_turn(id);
        }
    }

    /// The next turn of one who was not done. It will take long again, so there is a look at the
    /// sockets of the others before the next.
    fn go_on(&mut self) {
        if let Some(id) = self.unfinished.pop_front()
            && let Some(client) = self.clients.get_mut(id)
        {
            client.unfinished = false;
            self.take_turn(id);
        }
    }

    /// Does for a client what can be done now, up to the work of a turn.
    fn take_turn(&mut self, id: usize) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let turn = client.run(&mut self.rx, &mut self.tx).unwrap_or(Turn::Over);
        if matches!(turn, Turn::Over) {
            self.clients.remove(id);
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
        let due = client.endpoint.poll_timeout();
        let set = due.filter(|_| due != client.busy.as_ref().and_then(|busy| busy.alarm));
        if due.is_some() || client.busy.is_some() {
            client.busy().alarm = due;
        }
        client.busy.take_if(|busy| busy.is_over());
        if matches!(turn, Turn::More) && !client.unfinished {
            client.unfinished = true;
            self.unfinished.push_back(id);
        }
        if let Some(due) = set {
            self.set_alarm(due, id);
        }
    }

    /// Notes when a client has something to do. Where there is no room, what is stale makes some,
    /// for as many alarms as there were: each handshake leaves one behind.
    fn set_alarm(&mut self, due: Duration, id: usize) {
        if self.alarms.len() == self.alarms.capacity() {
            self.alarms.retain(|Reverse((due, id))| {
                let client = self.clients.get_mut(*id);
                client.is_some_and(|it| it.busy.as_ref().is_some_and(|it| it.alarm == Some(*due)))
            });
            self.alarms.reserve(self.alarms.len().max(16));
        }
        self.alarms.push(Reverse((due, id)));
    }

    /// Whether the shared buffers, which are empty between two turns, hold much memory.
    fn is_large(&self) -> bool {
        self.rx.capacity().max(self.tx.capacity()) > MAX_IDLE
    }

    /// How long the loop may sleep.
    fn next_timeout(&self) -> Option<Duration> {
        if !self.unfinished.is_empty() {
            return Some(Duration::ZERO);
        }
        let alarm = self.alarms.peek().map(|Reverse((due, _))| *due);
        let due = alarm.into_iter().chain(self.accept_at).min();
        let sleep = due.map(|due| match due.saturating_sub(self.epoch.elapsed()) {
            Duration::ZERO => Duration::ZERO,
            // up to a whole millisecond, which is what the system call counts in
            sleep => sleep + Duration::from_millis(1),
        });
        let shrink = self.is_large().then_some(A_WHILE);
        sleep.into_iter().chain(shrink).min()
    }

    fn handle_timeouts(&mut self) {
        if self.alarms.is_empty() {
            return;
        }
        let now = self.epoch.elapsed();
        for _ in 0..ALARMS {
            let Some(&Reverse((due, id))) = self.alarms.peek() else { return };
            if due > now {
                return;
            }
            self.alarms.pop();
            let client = self.clients.get_mut(id);
            let Some(Client { endpoint, busy: Some(busy), .. }) = client else { continue };
            if busy.alarm != Some(due) {
                continue;
            }
            busy.alarm = None;
            endpoint.handle_timeout(now, busy.tx.as_mut().unwrap_or(&mut self.tx));
            self.take_turn(id);
        }
    }
}

impl Client {
    fn run(&mut self, shared_rx: &mut RecvBuffer, shared_tx: &mut SendBuffer) -> io::Result<Turn> {
        let mut busy = self.busy.take();
        let (own_rx, own_tx) = match &mut busy {
            Some(busy) => (busy.rx.as_mut(), busy.tx.as_mut()),
            None => (None, None),
        };
        let rx = own_rx.unwrap_or(&mut *shared_rx);
        let tx = own_tx.unwrap_or(shared_tx);
        let turn = self.exchange(rx, tx)?;
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
        Ok(turn)
    }

    fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    /// Reads, echoes and writes until the socket has nothing more or takes nothing more, or the
    /// work of a turn is done.
    fn exchange(&mut self, rx: &mut RecvBuffer, tx: &mut SendBuffer) -> io::Result<Turn> {
        let Self { endpoint, stream, .. } = self;
        let mut work = TURN;
        // The socket has nothing more, or takes nothing more: it tells when that changes.
        let mut waits = false;
        while work > 0 {
            let done = match endpoint.step(rx, tx) {
                Step::Event(event) => {
                    let len = match &event {
                        Event::Text(text) => text.len(),
                        Event::Binary(data) => data.len(),
                        _ => 0,
                    };
                    if let Some(message) = event.into_message_ref() {
                        // refused only after a Close, when there is nobody to hear it
                        let _ = endpoint.feed(tx, message);
                    }
                    EVENT + len
                }
                Step::Write => {
                    let unsent = tx.remaining();
                    waits |= !endpoint.write_to(tx, stream)?;
                    unsent - tx.remaining()
                }
                Step::Read { .. } | Step::Wait { .. } if waits => return Ok(Turn::Done),
                Step::Read { .. } => {
                    let space = rx.space();
                    let room = space.len().min(TURN);
                    match stream.read(&mut space[..room]) {
                        Ok(0) => {
                            endpoint.receive_eof();
                            0
                        }
                        Ok(n) => {
                            rx.commit(n);
                            // Less than there was room for: another read would only find that
                            // out. Not so at the end of the stream.
                            waits = n < room && !self.read_closed;
                            n
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            return Ok(Turn::Done);
                        }
                        Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                        Err(error) => return Err(error),
                    }
                }
                Step::Again => STEP * COMPRESSION,
                Step::ShutdownWrite => {
                    stream.shutdown(Shutdown::Write)?;
                    endpoint.note_shut_down();
                    0
                }
                Step::Request(request) => {
                    // a request that cannot be accepted is answered by the endpoint
                    let _ = endpoint.accept(request, &Accept::default(), tx);
                    endpoint.work_in_steps(STEP);
                    EVENT
                }
                Step::Wait { .. } | Step::Response(_) => return Ok(Turn::Done), // not on a server
                Step::Close(_) => return Ok(Turn::Over),
            };
            work = work.saturating_sub(done);
        }
        Ok(Turn::More)
    }
}

impl Busy {
    fn is_over(&self) -> bool {
        self.alarm.is_none() && self.rx.is_none() && self.tx.is_none()
    }
}
