//! What all forms have in common: the seed decides about the network, and about what two users say
//! to each other over one connection.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use sansws::buf::RecvBuffer;
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::Connection;
use sansws::tokio::WebSocket;
use sansws::{Config, KeepAlive};
use tokio::time::{sleep, timeout};

use crate::conditions::{Cut, Manners, Path};
use crate::end::End;
use crate::network::Net;
use crate::oracles::{Ending, Story, judge};
use crate::payload::Item;
use crate::rng::Rng;
use crate::turns;

/// What a run has to tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub steps: u64,
    pub trace: u64,
    pub faults: Vec<String>,
}

/// Where a scenario takes place.
#[derive(Clone)]
pub struct World {
    pub net: Net,
    pub story: Story,
}

/// Runs a scenario in virtual time, which stands still while there is anything to do. What is not
/// over at the `horizon` never will be.
pub fn in_virtual_time<F: Future<Output = ()>>(
    mut rng: Rng,
    scenario: impl FnOnce(World, Rng) -> (Duration, F),
) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let world = World { net: Net::new(rng.fork()), story: Story::default() };
        let network = tokio::spawn(world.net.clone().run());
        let counter = tokio::spawn(turns::count(world.net.clone()));
        let (horizon, scenario) = scenario(world.clone(), rng);
        if timeout(horizon, scenario).await.is_err() {
            world.story.fault(format!("FREEZE: {}", world.story.summary()));
        }
        network.abort();
        counter.abort();
        let state = world.net.lock();
        let most = state.turns.most;
        if most.messages > MAX_MESSAGES || most.bytes > MAX_BYTES {
            world.story.fault(format!("UNFAIR: {most:?} while others were ready"));
        }
        Outcome { steps: state.steps, trace: state.trace, faults: world.story.faults() }
    })
}

/// One side of a conversation.
pub struct User {
    pub end: Option<End>,
    pub net: Net,
    /// The number of its end.
    pub number: usize,
    pub side: usize,
    pub config: Config,
    /// Settings of `config` that forms have to know.
    pub max_unsent: usize,
    pub read_ahead: usize,
    pub is_server: bool,
    pub deflate: Option<Agreement>,
    pub story: Story,
    pub rng: Rng,
    /// What it says.
    pub says: Vec<Item>,
    pub closes: Closes,
    /// Speaks only when it was answered: one sends, the other listens.
    pub takes_turns: bool,
    /// Gives calls up in the middle, as `select!` does.
    pub fickle: bool,
    /// Does something else now and then, for up to that many milliseconds.
    pub pause: u64,
    /// Sends pings.
    pub may_ping: bool,
    /// How long it listens before it thinks of what it has to say itself, in milliseconds.
    pub attention: u64,
    /// When a peer of whom nothing is heard is given up, by those who have no keep-alive.
    pub patience: Duration,
    /// Nothing breaks the network.
    pub honest: bool,
    /// It has done nothing for a long time once; that is enough.
    pub was_quiet: bool,
}

/// Whoever hears messages.
pub struct Ear {
    net: Net,
    number: usize,
    pub side: usize,
    pub story: Story,
}

impl Ear {
    /// A message arrived. Whether it is the last.
    pub fn hear(&self, text: bool, payload: &[u8]) -> bool {
        self.net.lock().turns.add(self.number, 0, 1);
        self.story.arrived(self.side, text, payload);
        Item::is_bye(payload)
    }

    /// Bytes of a stream arrived.
    pub fn hear_bytes(&self, bytes: &[u8]) {
        // a read takes as much as it takes to be worth a turn
        self.net.lock().turns.add(self.number, 0, 1);
        self.story.stream_arrived(self.side, bytes);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closes {
    /// Leaves that to the other.
    Never,
    /// When everything was said and heard.
    AtTheEnd,
    /// When it has said everything, whatever the other still says.
    Early,
}

pub type Running = Pin<Box<dyn Future<Output = Ending> + Send>>;

impl User {
    pub fn name(&self) -> String {
        format!("side {} ({})", self.side, if self.is_server { "server" } else { "client" })
    }

    /// The WebSocket on its end, without an opening handshake.
    pub fn socket(&mut self) -> WebSocket<End> {
        WebSocket::from_parts(sansws::Parts::new(
            self.take_end(),
            self.connection(),
            RecvBuffer::new(),
        ))
    }

    pub fn take_end(&mut self) -> End {
        self.end.take().expect("it is taken once")
    }

    pub fn connection(&mut self) -> Connection {
        let conn = match self.is_server {
            true => Connection::server(&self.config),
            false => Connection::client(&self.config, [self.side as u8 + 1; 32]),
        };
        match self.deflate {
            Some(agreed) => conn.with_deflate(agreed, &Deflate::new().threshold(64)),
            None => conn,
        }
    }

    pub fn is_done(&self, said_all: bool, heard_bye: bool) -> bool {
        match self.closes {
            Closes::Never => false,
            Closes::AtTheEnd => said_all && heard_bye,
            Closes::Early => said_all,
        }
    }

    pub fn doing(&self, what: &str) {
        self.story.doing(&self.name(), what);
    }

    /// Does nothing for a long time. What was sent before has arrived then, if the network allows
    /// it.
    pub async fn quiet(&mut self) {
        if std::mem::replace(&mut self.was_quiet, true) {
            return;
        }
        sleep(self.patience).await;
        let lost = self.story.lost(self.side);
        if self.honest && lost > 0 {
            self.story.fault(format!("STUCK: {lost} messages of {} never arrive", self.name()));
        }
    }

    /// A message arrived. Whether it is the last.
    pub fn hear(&self, text: bool, payload: &[u8]) -> bool {
        self.ear().hear(text, payload)
    }

    /// What hears in another task than the one that speaks.
    pub fn ear(&self) -> Ear {
        Ear {
            net: self.net.clone(),
            number: self.number,
            side: self.side,
            story: self.story.clone(),
        }
    }
}

/// Two users and what lies between them.
pub struct Conversation {
    pub users: [User; 2],
    pub horizon: Duration,
    /// Nothing breaks, so that everything has to end well.
    pub honest: bool,
}

/// What a form wants of a conversation.
#[derive(Clone, Copy)]
pub struct Wishes {
    /// Both may talk at the same time, without thinking of the other's buffers.
    pub full_duplex: bool,
    /// Several senders for each side.
    pub senders: u8,
    /// Binary messages only.
    pub binary: bool,
}

impl Conversation {
    pub fn new(world: &World, rng: &mut Rng, wishes: Wishes) -> Self {
        let takes_turns = !wishes.full_duplex && rng.chance(50);
        let total = rng.magnitude(1, 3 << 20);
        let deflate = rng.chance(30).then(|| any_agreement(rng));
        let max_unsent = rng.magnitude(64, 1 << 20).max(total / 100) as usize;
        let talk = |rng: &mut Rng, few: bool| {
            let mut left = if few { total / 50 } else { total };
            let (mut items, mut number) = (Vec::new(), 0);
            let (least, most) = if rng.chance(30) { (0, 200) } else { (0, left) };
            while left > 0 && items.len() < 300 {
                let mut len =
                    if rng.chance(5) { 0 } else { rng.magnitude(least.max(1), most.max(1)) };
                len = len.min(left);
                if !wishes.full_duplex && !takes_turns {
                    // such a user keeps what is unsent below the limit, or nobody would read
                    len = len.min(max_unsent as u64 / 2);
                }
                let sender = rng.below(wishes.senders.into()) as u8;
                if wishes.senders > 1 {
                    len = len.max(1);
                }
                left = left.saturating_sub(len + 6);
                let text = !wishes.binary && rng.chance(50);
                items.push(Item { sender, number, len: len as usize, text });
                number += 1;
            }
            items.push(Item::bye());
            items
        };
        let asymmetric = rng.below(3);
        let says = [talk(rng, asymmetric == 1), talk(rng, asymmetric == 2)];
        let (there, back) = (Path::any(rng, 2 * total), Path::any(rng, 2 * total));
        let mut paths = [there, back];
        let honest = rng.chance(70);
        if !honest {
            let side = rng.below(2) as usize;
            let at = rng.below(2 * total + 100);
            paths[side].cut = Some((at, rng.pick(&[Cut::Reset, Cut::Eof, Cut::Silence])));
        }
        let manners = [Manners::any(rng, total), Manners::any(rng, total)];
        let pause = if rng.chance(50) { 0 } else { rng.magnitude(1, 3000) };
        // What a user may expect: who is asked answers when what lies before the question, and
        // before the answer, has passed, and when the other had time to look.
        let held = 2 * max_unsent as u64 + longest(&says) as u64 + 4096;
        let round_trip: u64 =
            paths.iter().map(|path| path.drain_time() + path.time_for(held)).sum::<u64>();
        let patience = Duration::from_millis(2 * round_trip + (MAX_PAUSES + 2) * pause + 5000);
        let silence = matches!(paths[0].cut.or(paths[1].cut), Some((_, Cut::Silence)));
        let keep_alive = match silence || rng.chance(60) {
            true => KeepAlive::Every(patience.mul_f64(rng.pick(&[0.5, 1.0, 2.0]))),
            false => KeepAlive::Off,
        };
        let read_ahead = rng.magnitude(64, 64 * 1024) as usize;
        let config = Config::new()
            .max_unsent(max_unsent)
            .keep_alive(keep_alive)
            .pong_timeout(patience)
            .close_timeout(patience)
            .read_ahead(read_ahead);
        let messages = (says[0].len() + says[1].len()) as u64;
        let talking: u64 = paths.iter().map(|path| path.time_for(2 * total + 4096)).sum();
        let turns: u64 = paths.iter().map(|path| path.delay(1)).sum::<u64>();
        let thinking = messages * (4 * pause + 2 * turns);
        let horizon = 4 * (talking + thinking) + 20 * patience.as_millis() as u64 + 60_000;
        let (one, other) = world.net.connect(paths, manners);
        let server = rng.below(2) as usize;
        let closer = rng.below(2) as usize;
        let how = if rng.chance(70) { Closes::AtTheEnd } else { Closes::Early };
        let fickle = [rng.chance(40), rng.chance(40)];
        let [first, second] = says;
        let attention = (horizon / 2000).max(100);
        let mut user = |end: End, side: usize, says: Vec<Item>| User {
            number: end.out,
            end: Some(end),
            net: world.net.clone(),
            side,
            config: config.clone(),
            max_unsent,
            read_ahead,
            is_server: side == server,
            deflate,
            story: world.story.clone(),
            rng: rng.fork(),
            says,
            closes: if side == closer { how } else { Closes::Never },
            takes_turns,
            fickle: fickle[side],
            pause,
            // A client that closes early answers pings behind its Close. The server answers that,
            // and reads on for a second; a pong that comes later than that, because the ping lay in
            // a slow network for so long, meets a closed socket: TCP makes a reset of it, and what
            // else was under way is lost. No server can know how long that would be.
            may_ping: !honest || side != server || side == closer || how != Closes::Early,
            attention,
            patience: Duration::from_millis(horizon / 8),
            honest,
            was_quiet: false,
        };
        let users = [user(one, 0, first), user(other, 1, second)];
        // Where nothing gets through any more, one end may give up after the other: each after 16
        // looks, and 12 more for what the transport has taken.
        let horizon = horizon + if silence { 40 * patience.as_millis() as u64 } else { 0 };
        Self { users, horizon: Duration::from_millis(horizon), honest }
    }

    /// Shows what the seed has decided.
    pub fn print(&self, world: &World) {
        for user in &self.users {
            let bytes: usize = user.says.iter().map(|item| item.len).sum();
            println!(
                "{}: {} messages, {bytes} bytes, closes {:?}, takes turns {}, fickle {}, \
                 pause {}, {:?}",
                user.name(),
                user.says.len(),
                user.closes,
                user.takes_turns,
                user.fickle,
                user.pause,
                user.config,
            );
            println!("    {}", user.end.as_ref().map(|end| end.to_string()).unwrap_or_default());
            println!("    {}", world.net.lock().pipe(user.number));
        }
        println!("honest {}, horizon {:?}", self.honest, self.horizon);
    }

    /// Lets both users talk until both are done, and judges what came of it.
    pub fn run(
        self,
        world: World,
        forms: [fn(User) -> Running; 2],
    ) -> (Duration, impl Future<Output = ()>) {
        if std::env::var("SIM_SEED").is_ok() {
            self.print(&world);
        }
        let Self { users: [one, other], horizon, honest } = self;
        let scenario = async move {
            let one = tokio::spawn(forms[0](one));
            let other = tokio::spawn(forms[1](other));
            match tokio::join!(one, other) {
                (Ok(one), Ok(other)) => judge(&world.story, &[one, other], honest),
                (one, other) => world.story.fault(format!("PANIC: {one:?}, {other:?}")),
            }
        };
        (horizon, scenario)
    }
}

fn longest(says: &[Vec<Item>; 2]) -> usize {
    says.iter().flatten().map(|item| item.len).max().unwrap_or(0)
}

fn any_agreement(rng: &mut Rng) -> Agreement {
    let mut agreed = Agreement::new();
    agreed.server_no_context_takeover = rng.chance(50);
    agreed.client_no_context_takeover = rng.chance(50);
    agreed.server_max_window_bits = rng.range(9, 15) as u8;
    agreed.client_max_window_bits = rng.range(9, 15) as u8;
    agreed
}

/// Does something else for a while, sometimes.
pub async fn pause(rng: &mut Rng, longest: u64) {
    thread_local! {
        static PAUSES: Cell<u64> = const { Cell::new(0) };
    }
    if longest > 0 && PAUSES.get() < MAX_PAUSES && rng.chance(20) {
        PAUSES.set(PAUSES.get() + 1);
        sleep(Duration::from_millis(rng.range(1, longest))).await;
    }
}

/// A future that may be given up: after some polls, or after some time. `None` if it was.
pub async fn perhaps<T>(rng: &mut Rng, fickle: bool, future: impl Future<Output = T>) -> Option<T> {
    thread_local! {
        static GIVEN_UP: Cell<u32> = const { Cell::new(0) };
    }
    let count = GIVEN_UP.get();
    if !fickle || count >= MAX_GIVEN_UP || rng.chance(50) {
        return Some(future.await);
    }
    GIVEN_UP.set(count + 1);
    if rng.chance(50) {
        return timeout(Duration::from_millis(rng.magnitude(1, 10_000)), future).await.ok();
    }
    some_polls(rng.range(1, 4), future).await
}

/// A future that is given up when it was polled so many times. `None` if it was.
pub async fn some_polls<T>(mut polls: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => {
            polls -= 1;
            if polls == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// All pauses of a scenario. Whoever is asked may take all of them before it answers.
const MAX_PAUSES: u64 = 20;

/// Calls that are given up in a scenario; a wait of days would be nothing but that.
const MAX_GIVEN_UP: u32 = 2000;

/// The most that one connection may do before all others had their turn. Far above what any form
/// does in one turn, far below what lies in a buffer at times.
const MAX_MESSAGES: usize = 2200;
const MAX_BYTES: usize = 4 * 1024 * 1024;
