//! The event server over streams that were accepted elsewhere, and a crowd of clients.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sansws::handshake::client::Request;
use sansws::proto::{CloseInfo, SendError};
use sansws::server::{Client, ExternalStream, Handler, History, Position, Received};
use sansws::server::{ResumeError, Server, ServerHandle};
use sansws::tokio::{Locked, Sender};
use sansws::{CloseCode, Config, Error, KeepAlive, Message};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::conditions::{Cut, Manners, Path};
use crate::end::End;
use crate::network::Net;
use crate::oracles::Story;
use crate::payload::Item;
use crate::rng::Rng;
use crate::scenario::{Outcome, World, in_virtual_time};

pub fn run(seed: u64) -> Outcome {
    in_virtual_time(Rng::new(seed), |world, rng| (HORIZON, play(world, rng)))
}

/// What the handler of the server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Passes it on to everybody.
    Broadcast,
    /// Passes it on to those in the same room, everybody's.
    Room,
    /// Passes it on by a topic, everybody's; now and then its sender leaves for so many
    /// milliseconds, and comes back to where it was.
    Topic(u64),
    /// Sends it back.
    Echo,
    /// Answers with many messages at once.
    Flood(usize, usize),
    /// Waits before it passes it on to everybody.
    WaitAndBroadcast(u64),
}

/// What a client of the crowd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    /// Reads all the time.
    Healthy,
    /// Reads all the time, over a network that is slow and steady.
    Steady,
    /// Reads nothing.
    Deaf,
    /// Vanishes in the middle.
    Vanishing,
}

async fn play(world: World, mut rng: Rng) {
    let habit = match rng.below(6) {
        0 => Habit::Echo,
        1 => Habit::Flood(rng.magnitude(1, 6000) as usize, rng.magnitude(1, 5000) as usize),
        2 => Habit::WaitAndBroadcast(rng.magnitude(1, 3000)),
        3 if rng.chance(50) => Habit::Topic(rng.magnitude(1, 3000)),
        3 => Habit::Room,
        _ => Habit::Broadcast,
    };
    let habit = match habit {
        Habit::Flood(count, len) => Habit::Flood(count, len.min(1_500_000 / count)),
        habit => habit,
    };
    let mut members: Vec<_> = (0..rng.range(1, 8)).map(|_| Member::Healthy).collect();
    if rng.chance(50) {
        let other = rng.pick(&[Member::Steady, Member::Deaf, Member::Vanishing]);
        members.push(other);
    }
    // how many bytes one of them sends, which all get
    let (count, len) = match habit {
        Habit::Flood(..) => (rng.range(1, 2), 10),
        Habit::WaitAndBroadcast(_) => (rng.range(1, 20), rng.magnitude(1, 100_000)),
        _ => {
            let count = rng.magnitude(1, 5000);
            (count, rng.magnitude(1, ((3 << 20) / count).min(1 << 20)))
        }
    };
    let speakers = rng.range(1, 2).min(members.len() as u64);
    let keep_alive = rng.chance(70).then(|| rng.magnitude(5, 30));
    let config = Server::default_config().keep_alive(match keep_alive {
        Some(seconds) => KeepAlive::Every(Duration::from_secs(seconds)),
        None => KeepAlive::Off,
    });
    let config = match rng.chance(25) {
        true => config.deflate(sansws::deflate::Deflate::new()),
        false => config,
    };
    if std::env::var("SIM_SEED").is_ok() {
        println!("{habit:?} {members:?}, {speakers} say {count} of {len}, {config:?}");
    }
    let hall = Hall {
        habit,
        keep_alive: keep_alive.is_some(),
        net: world.net.clone(),
        story: world.story.clone(),
        opened: Mutex::new(0),
        closed: Mutex::new(Vec::new()),
    };
    let hall = Arc::new(hall);
    let (handle, server) = start(&hall, config.clone()).await;
    // closed for "go"; a semaphore wakes in a certain order, other things do not
    let go = Arc::new(Semaphore::new(0));
    let (mut crowd, mut vanishing) = (Vec::new(), None);
    for (number, &kind) in members.iter().enumerate() {
        let (paths, manners) = conditions(&mut rng, kind);
        let (here, there) = world.net.connect(paths, manners);
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, there.out as u16));
        handle.accept(ExternalStream::new(there, from)).expect("it runs");
        let says = if (number as u64) < speakers { count } else { 0 };
        if kind == Member::Vanishing {
            vanishing = Some(here.out);
        }
        let guest = Guest {
            number: number as u8,
            kind,
            says,
            len: len as usize,
            burst: rng.chance(60),
            config: config.clone().keep_alive(KeepAlive::Off),
            story: world.story.clone(),
            go: Arc::clone(&go),
            rng: rng.fork(),
        };
        crowd.push(tokio::spawn(guest.visit(here)));
    }
    let everybody = members.len();
    while *hall.opened.lock().expect("no panic") < everybody {
        sleep(Duration::from_millis(10)).await;
    }
    go.close();
    if let Some(pipe) = vanishing {
        sleep(Duration::from_millis(rng.magnitude(1, 30_000))).await;
        let cut = rng.pick(&[Cut::Silence, Cut::Reset, Cut::Eof]);
        world.net.lock().cut_now(pipe, cut);
    }
    let expected = match habit {
        Habit::Flood(many, _) => many * count as usize,
        Habit::Echo => count as usize,
        _ => count as usize * speakers as usize,
    };
    // long enough for everything; time passes only while nothing is to be done
    sleep(QUIET).await;
    watch_the_server(&world.story, &hall, &handle, &members);
    world.story.doing("server", "shut down");
    let left = handle.shutdown(CloseCode::GOING_AWAY, "bye", Duration::from_secs(120));
    left.await.expect("a short reason");
    let ran = timeout(Duration::from_secs(1), server).await;
    if ran.is_err() {
        world.story.fault("FREEZE: the server is shut down and goes on");
    }
    let mut reports = Vec::new();
    for member in crowd {
        reports.push(member.await.expect("no panic"));
    }
    judge(&world.story, habit, &members, &reports, expected, speakers);
    let (opened, closed) =
        (*hall.opened.lock().expect("no panic"), hall.closed.lock().expect("no panic"));
    if opened != closed.len() {
        world.story.fault(format!("CLOSED: {opened} were opened, {} closed", closed.len()));
    }
}

/// Those who are there have to be there, and those who are gone, gone.
fn watch_the_server(story: &Story, hall: &Hall, handle: &ServerHandle, members: &[Member]) {
    for client in handle.hub().all().clients() {
        if client.queued() > MAX_QUEUED {
            story.fault(format!("MEMORY: {} bytes wait for {client:?}", client.queued()));
        }
    }
    let healthy = members.iter().filter(|kind| matches!(kind, Member::Healthy | Member::Steady));
    let closed = hall.closed.lock().expect("no panic").len();
    if hall.keep_alive && handle.hub().all().len() != healthy.count() {
        story.fault(format!(
            "FORGOTTEN: {} clients of {members:?}, {closed} closed, {:?}",
            handle.hub().all().len(),
            hall.habit
        ));
    }
}

fn judge(
    story: &Story,
    habit: Habit,
    members: &[Member],
    reports: &[Report],
    expected: usize,
    speakers: u64,
) {
    let mut first: Option<&Report> = None;
    for (number, (kind, report)) in members.iter().zip(reports).enumerate() {
        if !matches!(kind, Member::Healthy | Member::Steady) {
            continue;
        }
        let who = format!("{kind:?} member {number} of {}, {habit:?}", members.len());
        if report.code != Some(1001) {
            story.fault(format!("THROWN OUT: {who}: {:?}, {:?}", report.code, report.error));
            continue;
        }
        let own = matches!(habit, Habit::Echo | Habit::Flood(..));
        if own && number as u64 >= speakers {
            continue;
        }
        // A speaker that vanishes takes along what it has not said. So does one that reads nothing,
        // when it is thrown out for that.
        let lasts = |kind: &Member| matches!(kind, Member::Healthy | Member::Steady);
        let lasting = members[..speakers as usize].iter().filter(|kind| lasts(kind)).count();
        let all_spoke = lasting == speakers as usize;
        let due = if own { expected } else { expected / speakers as usize * lasting };
        let heard = report.heard.len();
        if heard < due || heard > due && (own || all_spoke) {
            story.fault(format!("LOST: {who} got {heard} of {due}"));
        }
        if own {
            continue;
        }
        match first {
            Some(first) if first.heard != report.heard && all_spoke => {
                story.fault(format!("ORDER: {who} got them in another order"));
            }
            _ => first = Some(report),
        }
    }
}

async fn start(
    hall: &Arc<Hall>,
    config: Config,
) -> (ServerHandle, tokio::task::JoinHandle<Result<(), sansws::server::ServerError>>) {
    // its own listener is there, and nobody comes to it
    let listener = StdListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(listener).expect("a listener");
    let server = Server::from_listener(listener).config(config).route("/", Arc::clone(hall));
    let server = match hall.habit {
        // for all that is said, at once
        Habit::Topic(_) => server.max_queued_bytes(MAX_QUEUED),
        _ => server,
    };
    let handle = server.handle();
    let running = tokio::spawn(server.run());
    tokio::task::yield_now().await;
    (handle, running)
}

/// The paths from the client to the server and back, and the manners of both ends.
fn conditions(rng: &mut Rng, kind: Member) -> ([Path; 2], [Manners; 2]) {
    let mut paths = [Path::perfect(); 2];
    let mut manners = [Manners::perfect(), Manners::perfect()];
    for manners in &mut manners {
        manners.hiccups = if rng.chance(30) { rng.range(1, 20) } else { 0 };
        manners.cooperative = rng.chance(70);
        manners.vectored = rng.chance(70);
    }
    match kind {
        Member::Healthy | Member::Deaf | Member::Vanishing => {}
        Member::Steady => {
            let rate = rng.magnitude(20_000, 1_000_000);
            for path in &mut paths {
                // small buffers: bytes go all the time, and a pong does not lie behind too much
                (path.send_buffer, path.recv_buffer) = (16 * 1024, 16 * 1024);
                (path.rate, path.chunk) = (Some(rate), rate / 4);
            }
        }
    }
    (paths, manners)
}

/// The handler.
struct Hall {
    habit: Habit,
    keep_alive: bool,
    net: Net,
    story: Story,
    opened: Mutex<usize>,
    closed: Mutex<Vec<u64>>,
}

impl Hall {
    /// Lets a client in again after a while, behind a position.
    fn come_back(
        &self,
        client: Client,
        position: Position,
        millis: u64,
    ) -> impl Future<Output = ()> + use<> {
        let story = self.story.clone();
        async move {
            sleep(Duration::from_millis(millis)).await;
            let topic = client.hub().topic("everybody", LINES);
            if let Err(ResumeError::Missed(missed)) = topic.join_since(&client, position) {
                story.fault(format!("LOST: {client:?} missed something: {missed}"));
            }
        }
    }
}

impl Handler for Hall {
    fn on_open(&self, client: &Client) -> impl Future<Output = ()> + Send {
        let _ = client.join("everybody");
        *self.opened.lock().expect("no panic") += 1;
        std::future::ready(())
    }

    async fn on_message(&self, client: &Client, message: Received<'_>) {
        let end = client.info().peer_addr().port();
        self.net.lock().turns.add(end.into(), 0, 1);
        match self.habit {
            Habit::Broadcast => drop(client.hub().all().send(message)),
            Habit::Room => drop(client.hub().room("everybody").send(message)),
            Habit::Topic(millis) => {
                let topic = client.hub().topic("everybody", LINES);
                let Ok(sent) = topic.send(message) else { return };
                if sent.position.offset % 7 == 3 && client.leave("everybody") {
                    tokio::spawn(self.come_back(client.clone(), sent.position, millis));
                }
            }
            Habit::Echo => drop(client.send(message)),
            Habit::Flood(count, len) => {
                let payload = vec![b'f'; len];
                for _ in 0..count {
                    let _ = client.send(&payload);
                }
            }
            Habit::WaitAndBroadcast(millis) => {
                let message = message.into_message();
                sleep(Duration::from_millis(millis)).await;
                let _ = client.hub().all().send(message);
            }
        }
    }

    fn on_close(&self, client: &Client, _: &CloseInfo<'_>) -> impl Future<Output = ()> + Send {
        let mut closed = self.closed.lock().expect("no panic");
        if closed.contains(&client.id()) {
            self.story.fault("CLOSED: on_close was called twice");
        }
        closed.push(client.id());
        std::future::ready(())
    }
}

/// A client of the crowd.
struct Guest {
    number: u8,
    kind: Member,
    says: u64,
    len: usize,
    burst: bool,
    config: Config,
    story: Story,
    go: Arc<Semaphore>,
    rng: Rng,
}

/// What came of it.
#[derive(Default)]
struct Report {
    /// Of each message the length and its beginning.
    heard: Vec<(usize, [u8; 12])>,
    code: Option<u16>,
    error: Option<String>,
}

impl Guest {
    async fn visit(self, io: End) -> Report {
        let who = format!("member {} ({:?})", self.number, self.kind);
        let request = Request::new("ws://h/").expect("a URL");
        self.story.doing(&who, "handshake");
        let ws = match sansws::tokio::client(io, &request, &self.config).await {
            Ok(ws) => ws,
            Err(error) => return Report { error: Some(error.to_string()), ..Report::default() },
        };
        let (mut receiver, sender) = ws.split();
        self.story.doing(&who, "waiting for the others");
        let _ = self.go.acquire().await;
        let kind = self.kind;
        let speaking = tokio::spawn(self.speak(sender));
        if kind == Member::Deaf {
            let _ = speaking.await;
            sleep(QUIET * 2).await;
            return Report::default();
        }
        let mut report = Report::default();
        let hearing = async {
            while let Some(message) = receiver.recv().await? {
                let mut beginning = [0; 12];
                let bytes = message.as_bytes();
                let n = bytes.len().min(12);
                beginning[..n].copy_from_slice(&bytes[..n]);
                report.heard.push((bytes.len(), beginning));
            }
            Ok::<(), Error>(())
        };
        // one that has vanished may never hear about it
        let ended = timeout(QUIET * 3, hearing).await;
        report.error = ended.ok().and_then(Result::err).map(|error| error.to_string());
        report.code = receiver.close_info().map(|info| info.code);
        speaking.abort();
        report
    }

    async fn speak(mut self, sender: Sender<Locked<End>>) -> Result<(), Error> {
        let item = |number| Item { sender: self.number, number, len: self.len, text: true };
        if self.burst {
            // all in as few writes as possible
            for number in 0..self.says as u32 {
                while let Err(error) = sender.feed(item(number).message()) {
                    if !matches!(error, Error::Send(SendError::BufferFull { .. })) {
                        return Err(error);
                    }
                    sender.flush().await?;
                }
            }
            sender.flush().await?;
            return Ok(());
        }
        for number in 0..self.says as u32 {
            if self.rng.chance(10) {
                sleep(Duration::from_millis(self.rng.magnitude(1, 2000))).await;
            }
            let message: Message = item(number).message();
            sender.send(message).await?;
        }
        Ok(())
    }
}

/// In virtual time: everything that is sent has arrived by then, and whoever is gone was missed.
const QUIET: Duration = Duration::from_secs(1200);

const HORIZON: Duration = Duration::from_secs(24 * 3600);

/// For all that is said.
const LINES: History = History::last(100_000).max_bytes(2 * MAX_QUEUED);

/// The most that may wait for one client.
const MAX_QUEUED: usize = 17 * 1024 * 1024;
