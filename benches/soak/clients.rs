//! The clients: what each kind of them does, and what it expects of its server.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sansws::deflate::Deflate;
use sansws::handshake::client::Request;
use sansws::proto::SendError;
use sansws::tokio::{ClientStream, WebSocket, client, connect_with};
use sansws::{CloseCode, Config, Error, Message};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::payload::{self, Random};
use crate::server::ON_REQUEST;
use crate::tally::{Tally, add};

/// An answer, or an end, that takes longer than this does not come. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long the reader of a flood reads nothing: a server calls it slow after 5 s.
const STALL: Duration = Duration::from_secs(8);

/// Clients that connect at the same time.
const CONNECTING: usize = 256;

/// What all clients share.
pub struct Load {
    pub addr: SocketAddr,
    pub connections: usize,
    pub end: Instant,
    /// How long a connection lasts on the average, unless the server is replaced before.
    pub life: Duration,
    /// Between the messages of a connection.
    pub pause: Duration,
    pub tally: Tally,
    connecting: Semaphore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Idle,
    Small,
    Medium,
    Large,
    Fragmented,
    Compressed,
    Room,
    Slow,
    Flood,
}

impl Kind {
    /// With how many of a thousand connections are of each kind.
    pub const ALL: [(Self, usize); 9] = [
        (Self::Idle, 504),
        (Self::Small, 250),
        (Self::Medium, 80),
        (Self::Large, 4),
        (Self::Fragmented, 50),
        (Self::Compressed, 50),
        (Self::Room, 50),
        (Self::Slow, 8),
        (Self::Flood, 4),
    ];

    fn of(index: usize, connections: usize) -> Self {
        let mut rest = index * 1000 / connections;
        for (kind, share) in Self::ALL {
            if rest < share {
                return kind;
            }
            rest -= share;
        }
        unreachable!("the shares are a thousand")
    }

    const fn message_len(self) -> usize {
        match self {
            Self::Idle | Self::Small | Self::Room | Self::Flood => 125,
            Self::Medium | Self::Fragmented | Self::Compressed => 4096,
            Self::Slow => 256 * 1024,
            Self::Large => payload::LARGEST,
        }
    }

    /// The most messages that are sent before an answer is read.
    const fn burst(self) -> u64 {
        match self {
            Self::Small | Self::Medium | Self::Fragmented | Self::Compressed => 4,
            Self::Slow => 16,
            _ => 1,
        }
    }
}

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By a Close of the client, whose messages were all answered before.
    Closed,
    /// By a Close of the server that the client has asked for, likewise.
    OnRequest,
    /// By a reset of the client.
    Reset,
    /// By a server that aborts.
    Aborted,
    /// Because the server is replaced.
    Restarted,
    /// Because the client has not read.
    Slow,
}

impl End {
    pub const ALL: [Self; 6] =
        [Self::Closed, Self::OnRequest, Self::Reset, Self::Aborted, Self::Restarted, Self::Slow];
}

/// Why a conversation does not go on.
enum Stop {
    Ended(End),
    Fault(String),
}

impl Load {
    pub fn new(
        addr: SocketAddr,
        connections: usize,
        end: Instant,
        life: Duration,
        pause: Duration,
    ) -> Self {
        let (tally, connecting) = (Tally::default(), Semaphore::new(CONNECTING));
        Self { addr, connections, end, life, pause, tally, connecting }
    }

    /// Connects again and again.
    pub async fn client(self: Rc<Self>, index: usize, start: Instant) {
        let kind = Kind::of(index, self.connections);
        let mut random = Random::new(index as u64);
        sleep_until(start).await;
        let mut generation = 0;
        while Instant::now() < self.end {
            generation += 1;
            let id = (generation << 24) + index as u64;
            let failed = match self.connect(kind, index).await {
                Ok(ws) => {
                    add(&self.tally.connected, 1);
                    add(&self.tally.open, 1);
                    let end = Talk::new(&self, kind, id, ws).run(&mut random).await;
                    self.tally.open.set(self.tally.open.get() - 1);
                    end.err()
                }
                Err(error) => Some(format!("could not connect: {error}")),
            };
            if let Some(fault) = failed {
                self.tally.fault(format!("{kind:?} {id:x}: {fault}"));
            }
            sleep(self.pause.mul_f64(0.05 * random.fraction())).await;
        }
    }

    async fn connect(
        &self,
        kind: Kind,
        index: usize,
    ) -> Result<Box<WebSocket<ClientStream>>, Error> {
        let _permit = self.connecting.acquire().await.expect("it is not closed");
        let path = match kind {
            Kind::Room => format!("room/{}", index / 10),
            Kind::Flood => "flood".to_string(),
            _ => "echo".to_string(),
        };
        let request = Request::new(&format!("ws://{}/{path}", self.addr))?;
        let mut config = Config::new().handshake_timeout(PATIENCE);
        if kind == Kind::Compressed {
            config = config.deflate(Deflate::new());
        }
        if !matches!(kind, Kind::Slow | Kind::Flood) {
            return connect_with(&request, &config).await.map(Box::new);
        }
        // little fits into their sockets
        let tcp = async {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(16 * 1024)?;
            socket.connect(self.addr).await
        };
        let tcp = tcp.await.map_err(|error| Error::Io(error.into()))?;
        client(ClientStream::from(tcp), &request, &config).await.map(Box::new)
    }
}

/// One connection.
struct Talk<'a> {
    load: &'a Load,
    kind: Kind,
    id: u64,
    ws: Option<Box<WebSocket<ClientStream>>>,
    checks: Checks<'a>,
    sent: u64,
    payload: String,
}

/// What is expected of messages that come.
struct Checks<'a> {
    tally: &'a Tally,
    kind: Kind,
    id: u64,
    answered: u64,
    /// When those were sent that are not answered.
    under_way: VecDeque<std::time::Instant>,
    /// The last message of each other member of the room, by its connection.
    others: HashMap<u64, u64>,
}

impl Checks<'_> {
    /// Each message comes once, and in its turn.
    fn take(&mut self, message: &Message) -> Result<(), Stop> {
        let Some((id, number)) = payload::read_message(message) else {
            return Err(Stop::Fault(format!("{} bytes that nobody sent", message.len())));
        };
        if id != self.id {
            let last = self.others.insert(id, number);
            if self.kind != Kind::Room || last.is_some_and(|last| number != last + 1) {
                return Err(Stop::Fault(format!("{number} of {id:x} after {last:?}")));
            }
            add(&self.tally.overheard, 1);
            return Ok(());
        }
        self.answered += 1;
        if number != self.answered {
            return Err(Stop::Fault(format!("{number} in place of {}", self.answered)));
        }
        add(&self.tally.answered, 1);
        if let Some(sent) = self.under_way.pop_front()
            && self.kind == Kind::Small
        {
            self.tally.delay(sent);
        }
        Ok(())
    }
}

impl<'a> Talk<'a> {
    fn new(load: &'a Load, kind: Kind, id: u64, ws: Box<WebSocket<ClientStream>>) -> Self {
        let checks = Checks {
            tally: &load.tally,
            kind,
            id,
            answered: 0,
            under_way: VecDeque::new(),
            others: HashMap::new(),
        };
        Self { load, kind, id, ws: Some(ws), checks, sent: 0, payload: String::new() }
    }

    fn ws(&mut self) -> &mut WebSocket<ClientStream> {
        self.ws.as_mut().expect("it is here but while it is split")
    }

    /// Talks until the end, and counts what it left.
    async fn run(mut self, random: &mut Random) -> Result<(), String> {
        let stop = if self.kind == Kind::Flood {
            self.flood().await
        } else {
            let Err(stop) = self.converse(random).await;
            stop
        };
        let left = self.sent - self.checks.answered;
        let end = match stop {
            Stop::Ended(end) => end,
            Stop::Fault(fault) => return Err(fault),
        };
        let place = End::ALL.iter().position(|it| *it == end).expect("all are there");
        self.load.tally.ends.borrow_mut()[place] += 1;
        let place = Kind::ALL.iter().position(|it| it.0 == self.kind).expect("all are there");
        self.load.tally.by_kind.borrow_mut()[place] += 1;
        if left > 0 && matches!(end, End::Closed | End::OnRequest) {
            return Err(format!("{left} messages of {} lost before {end:?}", self.sent));
        }
        add(&self.load.tally.cut, left);
        Ok(())
    }

    async fn converse(&mut self, random: &mut Random) -> Result<std::convert::Infallible, Stop> {
        // exponential, as a process without memory has it
        let life = self.load.life.mul_f64(-(1.0 - random.fraction()).ln());
        let deadline = (Instant::now() + life).min(self.load.end);
        loop {
            let burst = 1 + random.below(self.kind.burst());
            if self.kind == Kind::Slow {
                self.send_and_read_slowly(burst).await?;
            } else {
                self.send_all(burst).await?;
                while self.checks.answered < self.sent {
                    self.read().await?;
                }
            }
            if Instant::now() >= deadline {
                break;
            }
            let pause = self.load.pause.mul_f64(match self.kind {
                Kind::Idle => 1e6,
                Kind::Large | Kind::Slow => 2.0 + 4.0 * random.fraction(),
                _ => 0.5 + random.fraction(),
            });
            self.stay(deadline.min(Instant::now() + pause)).await?;
        }
        let burst = 1 + random.below(self.kind.burst());
        let is_over = Instant::now() >= self.load.end;
        Err(Stop::Ended(match random.below(8) {
            0 if !is_over => self.abort(burst).await?,
            1 => self.close_on_request(burst).await?,
            2..=4 if !is_over => self.reset(burst).await?,
            _ => self.close(burst).await?,
        }))
    }

    /// Reads the next message.
    async fn read(&mut self) -> Result<(), Stop> {
        let left = self.sent - self.checks.answered;
        match timeout(PATIENCE, self.ws().recv()).await {
            Ok(Ok(Some(message))) => self.checks.take(&message),
            Ok(Ok(None)) => Err(self.closed()),
            Ok(Err(error)) => Err(Stop::Fault(format!("{error}, with {left} under way"))),
            Err(_) => Err(Stop::Fault(format!("stuck, with {left} under way"))),
        }
    }

    /// Why there is no further message.
    fn closed(&mut self) -> Stop {
        match self.ws().close_info() {
            Some(info) if info.clean && info.code == CloseCode::SERVICE_RESTART.as_u16() => {
                Stop::Ended(End::Restarted)
            }
            info => Stop::Fault(format!("ended by {info:?}")),
        }
    }

    /// Waits, and listens meanwhile.
    async fn stay(&mut self, until: Instant) -> Result<(), Stop> {
        while let Ok(result) = timeout_at(until, self.ws().recv()).await {
            match result {
                Ok(Some(message)) => self.checks.take(&message)?,
                Ok(None) => return Err(self.closed()),
                Err(error) => return Err(Stop::Fault(format!("{error}, while it waits"))),
            }
        }
        Ok(())
    }

    /// Sends so many messages.
    async fn send_all(&mut self, count: u64) -> Result<(), Stop> {
        for _ in 0..count {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Stop> {
        let number = self.sent + 1;
        payload::write(self.id, number, self.kind.message_len(), &mut self.payload);
        let start = std::time::Instant::now();
        let ws = self.ws.as_mut().expect("it is here but while it is split");
        let sent = if self.kind == Kind::Fragmented {
            let frames = fragments(number, self.payload.as_bytes());
            let sending = async {
                ws.flush().await?;
                let written = ws.get_mut().write_all(&frames).await;
                written.map_err(|error| Error::Disconnected(Some(error.into())))
            };
            timeout(PATIENCE, sending).await
        } else {
            timeout(PATIENCE, ws.send(payload::message(number, &self.payload))).await
        };
        match sent {
            Ok(Ok(())) => {
                self.sent = number;
                add(&self.load.tally.sent, 1);
                self.checks.under_way.push_back(start);
                Ok(())
            }
            Ok(Err(Error::Send(SendError::NotOpen))) => loop {
                // the server closes: what it has sent before
                self.read().await?;
            },
            Ok(Err(error)) => Err(Stop::Fault(format!("{error}, while it sends"))),
            Err(_) => Err(Stop::Fault("stuck, while it sends".to_string())),
        }
    }

    /// Sends what does not fit into the sockets, and reads it long after it has come.
    async fn send_and_read_slowly(&mut self, count: u64) -> Result<(), Stop> {
        let (first, len, id) = (self.sent + 1, self.kind.message_len(), self.id);
        let ws = self.ws.take().expect("it was put back");
        let (mut receiver, sender) = ws.split();
        let mut sent = 0;
        let pause = self.load.pause / 10;
        let (payload, checks) = (&mut self.payload, &mut self.checks);
        let sending = async {
            for number in first..first + count {
                payload::write(id, number, len, payload);
                match sender.send(payload::message(number, payload)).await {
                    Ok(()) => sent += 1,
                    Err(Error::Send(SendError::NotOpen)) => break,
                    Err(error) => return Err(Stop::Fault(format!("{error}, while it sends"))),
                }
            }
            Ok(())
        };
        let receiving = async {
            while checks.answered < first + count - 1 {
                sleep(pause).await;
                match timeout(PATIENCE, receiver.recv()).await {
                    Ok(Ok(Some(message))) => checks.take(&message)?,
                    Ok(Ok(None)) => break,
                    Ok(Err(error)) => return Err(Stop::Fault(format!("{error}, of a half"))),
                    Err(_) => return Err(Stop::Fault("stuck, reading slowly".to_string())),
                }
            }
            Ok(())
        };
        let both = async { tokio::join!(sending, receiving) };
        let both = timeout(PATIENCE, both).await;
        self.sent += sent;
        add(&self.load.tally.sent, sent);
        let Ok((sending, receiving)) = both else {
            return Err(Stop::Fault("stuck, in halves".to_string()));
        };
        let whole = receiver.reunite(sender);
        self.ws = Some(Box::new(whole.map_err(|error| Stop::Fault(error.to_string()))?));
        sending.and(receiving)?;
        if self.checks.answered < self.sent || sent < count { Err(self.closed()) } else { Ok(()) }
    }

    /// Closes behind messages, whose answers come nevertheless.
    async fn close(&mut self, burst: u64) -> Result<End, Stop> {
        self.send_last(burst).await?;
        let start = Instant::now();
        match self.ws().start_close(CloseCode::NORMAL, "") {
            Ok(()) => {}
            Err(Error::Send(SendError::NotOpen)) => loop {
                self.read().await?;
            },
            Err(error) => return Err(Stop::Fault(format!("{error}, while it closes"))),
        }
        self.expect_end(CloseCode::NORMAL.as_u16(), End::Closed, start).await
    }

    /// Has the server close behind its answers.
    async fn close_on_request(&mut self, burst: u64) -> Result<End, Stop> {
        self.send_last(burst).await?;
        let start = Instant::now();
        self.ask("close").await?;
        self.expect_end(ON_REQUEST, End::OnRequest, start).await
    }

    /// Reads to the end, which is the one that was asked for unless the server is replaced.
    async fn expect_end(&mut self, code: u16, end: End, start: Instant) -> Result<End, Stop> {
        loop {
            match self.read().await {
                Ok(()) => {}
                Err(Stop::Fault(fault)) if self.ws().close_info().is_none_or(|it| !it.clean) => {
                    return Err(Stop::Fault(format!("{fault}, while it closes")));
                }
                Err(Stop::Ended(end)) => return Ok(end),
                Err(stop) => {
                    self.load.tally.closed_within(start.elapsed());
                    let info = self.ws().close_info();
                    let as_asked = info.is_some_and(|info| info.clean && info.code == code);
                    return if as_asked { Ok(end) } else { Err(stop) };
                }
            }
        }
    }

    /// The last messages before an end; a slow reader has nobody left who reads meanwhile.
    async fn send_last(&mut self, burst: u64) -> Result<(), Stop> {
        self.send_all(if self.kind == Kind::Slow { 1 } else { burst }).await
    }

    /// Breaks the connection with messages under way.
    async fn reset(&mut self, burst: u64) -> Result<End, Stop> {
        self.send_last(burst).await?;
        let set = self.ws().get_ref().tcp().set_zero_linger();
        set.map_err(|error| Stop::Fault(error.to_string()))?;
        self.ws = None;
        Ok(End::Reset)
    }

    /// Has the server break the connection.
    async fn abort(&mut self, burst: u64) -> Result<End, Stop> {
        self.send_last(burst).await?;
        self.ask("abort").await?;
        loop {
            match timeout(PATIENCE, self.ws().recv()).await {
                Ok(Ok(Some(message))) => self.checks.take(&message)?,
                Ok(Ok(None)) => return Err(self.closed()),
                Ok(Err(Error::Disconnected(_))) => return Ok(End::Aborted),
                Ok(Err(error)) => return Err(Stop::Fault(format!("{error}, not aborted"))),
                Err(_) => return Err(Stop::Fault("stuck, not aborted".to_string())),
            }
        }
    }

    async fn ask(&mut self, for_what: &str) -> Result<(), Stop> {
        match self.ws().send(for_what).await {
            Ok(()) | Err(Error::Send(SendError::NotOpen)) => Ok(()), // then reading tells
            Err(error) => Err(Stop::Fault(format!("{error}, while it asks to {for_what}"))),
        }
    }

    /// Asks for much, and reads it only when the server has given it up.
    async fn flood(&mut self) -> Stop {
        if Instant::now() + 2 * STALL > self.load.end {
            if let Err(stop) = self.stay(self.load.end).await {
                return stop;
            }
            return self.close(0).await.map_or_else(|stop| stop, Stop::Ended);
        }
        if let Err(stop) = self.ask("flood").await {
            return stop;
        }
        sleep(STALL).await;
        let mut last = 0;
        loop {
            match timeout(PATIENCE, self.ws().recv()).await {
                Ok(Ok(Some(message))) => match payload::read_message(&message) {
                    Some((0, number)) if number == last + 1 => last = number,
                    other => return Stop::Fault(format!("{other:?} after {last} of a flood")),
                },
                Ok(Ok(None)) => {
                    let code = self.ws().close_info().map_or(0, |info| info.code);
                    add(&self.load.tally.flooded, last);
                    return match CloseCode::new(code) {
                        Some(CloseCode::TRY_AGAIN_LATER) => Stop::Ended(End::Slow),
                        _ => self.closed(),
                    };
                }
                // it may have waited long enough for the answer to its Close
                Ok(Err(Error::Disconnected(_))) => {
                    add(&self.load.tally.flooded, last);
                    return Stop::Ended(End::Slow);
                }
                Ok(Err(error)) => return Stop::Fault(format!("{error}, in a flood")),
                Err(_) => return Stop::Fault("stuck, in a flood".to_string()),
            }
        }
    }
}

/// A message in eight frames, masked, and a ping in their middle.
fn fragments(number: u64, payload: &[u8]) -> Vec<u8> {
    const COUNT: usize = 8;
    let mut frames = Vec::with_capacity(payload.len() + 100);
    for (at, part) in payload.chunks(payload.len().div_ceil(COUNT)).enumerate() {
        if at == COUNT / 2 {
            frames.extend([0x89, 0x80, 1, 2, 3, 4]);
        }
        let opcode = match at {
            0 if payload::is_text(number) => 0x1,
            0 => 0x2,
            _ => 0x0,
        };
        let key = (number as u32).wrapping_mul(0x9e37_79b9).to_be_bytes();
        frames.push(if at == COUNT - 1 { 0x80 | opcode } else { opcode });
        frames.push(0x80 | 126);
        frames.extend((part.len() as u16).to_be_bytes());
        frames.extend(key);
        frames.extend(part.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
    frames
}
