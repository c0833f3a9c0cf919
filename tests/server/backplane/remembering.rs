//! Rooms that remember on all servers: what holds for every engine, in memory and brokers. The
//! tests of brokers that are killed, stopped and started again are in `outages`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sansws::server::backplane::{Backplane, HistoryError, Memory};
use sansws::server::{
    Client, History, Hub, Missed, Position, ResumeError, Resumed, SharedTopic, TopicError,
    handler_fn,
};
use sansws::tokio::{ClientStream, WebSocket};

use crate::support::{Running, bind, start, text, within};

pub const LINES: History = History::last(5000);

/// A server whose clients are in no room.
pub async fn server(engine: impl Backplane) -> Running {
    start(bind().await.route("/{number}", handler_fn()).backplane(engine))
}

/// A client with its handle.
pub async fn visit(server: &Running) -> (WebSocket<ClientStream>, Client) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let path = format!("/{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let ws = server.connect(&path).await;
    let find = |hub: &Hub| hub.all().clients().into_iter().find(|it| it.info().path() == path);
    loop {
        match find(&server.hub) {
            Some(client) => return (ws, client),
            None => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

pub fn topic(server: &Running) -> SharedTopic<'_> {
    server.hub.shared_topic("t", LINES)
}

/// A client that enters the topic behind a position.
pub async fn since(server: &Running, position: Position) -> (WebSocket<ClientStream>, Resumed) {
    let (ws, client) = visit(server).await;
    let resumed = within(topic(server).join_since(&client, position)).await.unwrap();
    (ws, resumed)
}

/// What a client that comes is told to have missed.
pub async fn missed(server: &Running, history: History, position: Position) -> Missed {
    let (_ws, client) = visit(server).await;
    let topic = server.hub.shared_topic("t", history);
    match within(topic.join_since(&client, position)).await {
        Err(ResumeError::Missed(missed)) => {
            assert_eq!(client.rooms(), Vec::<String>::new());
            missed
        }
        other => panic!("{other:?}"),
    }
}

pub async fn texts(ws: &mut WebSocket<ClientStream>, texts: &[&str]) {
    for expected in texts {
        assert_eq!(text(ws).await, *expected);
    }
}

/// Nothing else has been sent to a client.
async fn nothing_more(server: &Running, ws: &mut WebSocket<ClientStream>) {
    server.hub.all().send("nothing more").unwrap();
    assert_eq!(text(ws).await, "nothing more");
}

pub async fn send(server: &Running, text: &str) -> Position {
    within(topic(server).send(text)).await.unwrap().position
}

/// A test of each scenario, for what makes engines.
macro_rules! all {
    ($start:expr) => {
        remembering::each!($start => a_client_comes_back_anywhere, both_ends_of_a_history,
            all_have_the_same_order, nothing_is_kept_for_ever, one_history_after_the_other);
    };
}
pub(super) use all;

macro_rules! each {
    ($start:expr => $($name:ident),*) => {$(
        #[tokio::test]
        async fn $name() {
            if let Some(broker) = $start {
                remembering::$name(async || broker.engine().await).await;
            }
        }
    )*};
}
pub(super) use each;

/// And servers go and come.
pub async fn a_client_comes_back_anywhere<E: Backplane>(engine: impl AsyncFn() -> E) {
    let (one, two) = (server(engine().await).await, server(engine().await).await);
    let (mut here, client) = visit(&one).await;
    let resumed = within(topic(&one).join_last(&client, 10)).await.unwrap();
    assert_eq!((resumed.position.offset, resumed.messages), (0, 0));
    let begin = resumed.position;
    let at = |offset| Position { offset, ..begin };
    assert_eq!(within(topic(&two).position()).await, Ok(Some(begin)));
    let (mut there, _) = since(&two, begin).await;
    // from both, to both
    assert_eq!(send(&one, "1").await, at(1));
    assert_eq!(send(&two, "2").await, at(2));
    assert_eq!(within(topic(&one).send_with(|it| it.to_string())).await.unwrap().position, at(3));
    assert_eq!(within(topic(&two).send_with(|it| it.to_string())).await.unwrap().position, at(4));
    let (third, fourth) = (at(3).to_string(), at(4).to_string());
    for ws in [&mut here, &mut there] {
        texts(ws, &["1", "2", &third, &fourth]).await;
    }
    // one that was at the one server comes to the other
    drop(here);
    let (mut back, resumed) = since(&two, at(2)).await;
    assert_eq!((resumed.position, resumed.messages), (at(4), 2));
    texts(&mut back, &[&third, &fourth]).await;
    // whoever is there already gets nothing twice
    let client = two.hub.room("t").clients().pop().unwrap();
    let resumed = within(topic(&two).join_since(&client, begin)).await.unwrap();
    assert_eq!((resumed.position, resumed.messages), (at(4), 0));
    // all servers but one are started again, and then the last one
    within(topic(&two).send("5")).await.unwrap();
    one.stop().await;
    let three = server(engine().await).await;
    assert_eq!(send(&three, "6").await, at(6));
    texts(&mut there, &["5", "6"]).await;
    texts(&mut back, &["5", "6"]).await;
    two.stop().await;
    let four = server(engine().await).await;
    let (mut ws, resumed) = since(&three, at(3)).await;
    assert_eq!((resumed.position, resumed.messages), (at(6), 3));
    texts(&mut ws, &[&fourth, "5", "6"]).await;
    assert_eq!(send(&four, "7").await, at(7));
    texts(&mut ws, &["7"]).await;
    let (mut ws, resumed) = since(&four, at(5)).await;
    assert_eq!((resumed.position, resumed.messages), (at(7), 2));
    texts(&mut ws, &["6", "7"]).await;
    three.stop().await;
    four.stop().await;
}

/// Kinds of messages, who is left out, and what is not there.
pub async fn both_ends_of_a_history<E: Backplane>(engine: impl AsyncFn() -> E) {
    let (one, two) = (server(engine().await).await, server(engine().await).await);
    let begin = within(topic(&one).position()).await.unwrap().unwrap();
    let at = |offset| Position { offset, ..begin };
    let (mut here, resumed) = since(&one, begin).await;
    assert_eq!(resumed.messages, 0);
    let id = one.hub.room("t").clients()[0].id();
    let (mut there, _) = since(&two, begin).await;
    // but for one of the other server
    within(topic(&two).except(id).send("not to here")).await.unwrap();
    within(topic(&two).send(&[0xFF, 0xFE][..])).await.unwrap();
    within(topic(&two).send("")).await.unwrap();
    let bytes = within(here.recv()).await.unwrap().unwrap();
    assert_eq!(bytes, sansws::Message::Binary(vec![0xFF, 0xFE].into()));
    texts(&mut here, &[""]).await;
    texts(&mut there, &["not to here"]).await;
    assert_eq!(within(there.recv()).await.unwrap().unwrap().as_bytes(), [0xFF, 0xFE]);
    texts(&mut there, &[""]).await;
    // it is kept all the same
    let (mut ws, resumed) = since(&one, begin).await;
    assert_eq!((resumed.position, resumed.messages), (at(3), 3));
    texts(&mut ws, &["not to here"]).await;
    // a ping is not kept
    let ping = sansws::proto::MessageRef::ping(b"");
    assert_eq!(within(topic(&one).send(ping)).await.unwrap().position, at(3));
    let (ws, client) = visit(&two).await;
    let resumed = within(topic(&two).join_last(&client, usize::MAX)).await.unwrap();
    assert_eq!((resumed.position, resumed.messages), (at(3), 3));
    drop(ws);
    let all = one.hub.shared_topic("all", History::last(usize::MAX));
    assert_eq!(within(all.send("1")).await.unwrap().position.offset, 1);
    // positions that nobody has been at
    assert_eq!(missed(&one, LINES, at(4)).await, Missed::OtherEpoch);
    let other = Position { epoch: !begin.epoch, offset: 1 };
    assert_eq!(missed(&two, LINES, other).await, Missed::OtherEpoch);
    // another one begins, and all who are there go on
    assert_eq!(within(topic(&one).forget()).await, Ok(true));
    let next = send(&two, "of another").await;
    assert_ne!(next.epoch, begin.epoch);
    assert_eq!(next.offset, 1);
    texts(&mut here, &["of another"]).await;
    texts(&mut there, &["of another"]).await;
    assert_eq!(missed(&one, LINES, at(3)).await, Missed::OtherEpoch);
    nothing_more(&one, &mut here).await;
    one.stop().await;
    two.stop().await;
}

/// Each server has sent to the one before.
pub async fn one_history_after_the_other<E: Backplane>(engine: impl AsyncFn() -> E) {
    let (one, two) = (server(engine().await).await, server(engine().await).await);
    let begin = within(topic(&one).position()).await.unwrap().unwrap();
    let (mut here, _) = since(&one, begin).await;
    let mut before = begin;
    for _ in 0..2 {
        let sent = within(topic(&one).send_with(|it| it.to_string())).await.unwrap().position;
        texts(&mut here, &[&sent.to_string()]).await;
        assert_eq!(within(topic(&two).forget()).await, Ok(true));
        let next = send(&two, "of another").await;
        assert_ne!(next.epoch, before.epoch);
        assert_eq!(next.offset, 1);
        // the one knows of it now
        texts(&mut here, &["of another"]).await;
        let sent = within(topic(&one).send_with(|it| it.to_string())).await.unwrap().position;
        assert_eq!(sent, Position { offset: 2, ..next });
        texts(&mut here, &[&sent.to_string()]).await;
        assert_eq!(send(&two, "3").await, Position { offset: 3, ..next });
        texts(&mut here, &["3"]).await;
        before = next;
    }
    one.stop().await;
    two.stop().await;
}

/// Several send on both servers at once, and readers go from one to the other all the time.
pub async fn all_have_the_same_order<E: Backplane>(engine: impl AsyncFn() -> E) {
    const EACH: usize = 300;
    const SENDERS: usize = 6;
    const READERS: usize = 6;
    const ALL: usize = EACH * SENDERS;
    let servers = [server(engine().await).await, server(engine().await).await];
    let begin = within(topic(&servers[0]).position()).await.unwrap().unwrap();
    let senders = (0..SENDERS).map(|sender| {
        let hub = servers[sender % 2].hub.clone();
        tokio::spawn(async move {
            let topic = hub.shared_topic("t", LINES);
            for at in 0..EACH {
                let say = |position: Position| format!("{sender} {at} {}", position.offset);
                if sender < 2 {
                    topic.send_with(say).await.unwrap();
                } else {
                    topic.send(format!("{sender} {at} ?")).await.unwrap();
                }
            }
        })
    });
    let senders: Vec<_> = senders.collect();
    let read = async |reader: usize| {
        let mut got: Vec<String> = Vec::new();
        for round in 0.. {
            let server = &servers[(reader + round) % 2];
            let (mut ws, resumed) =
                since(server, Position { offset: got.len() as u64, ..begin }).await;
            let before = resumed.position.offset - resumed.messages as u64;
            assert_eq!(before, got.len() as u64, "{reader}, {round}");
            for _ in 0..(ALL - got.len()).min(97 + 10 * reader) {
                got.push(text(&mut ws).await);
            }
            if got.len() == ALL {
                return got;
            }
        }
        unreachable!()
    };
    let readers = futures_util::future::join_all((0..READERS).map(read)).await;
    for sender in senders {
        within(sender).await.unwrap();
    }
    assert_eq!(within(topic(&servers[1]).position()).await.unwrap().unwrap().offset, ALL as u64);
    let mut counts = [0; SENDERS];
    for (offset, line) in (1..).zip(&readers[0]) {
        let mut words = line.split(' ');
        let mut number = || words.next().unwrap().parse::<usize>();
        let (sender, at) = (number().unwrap(), number().unwrap());
        assert_eq!(at, counts[sender], "{line}: in order for each who sends");
        counts[sender] += 1;
        if sender < 2 {
            assert_eq!(number(), Ok(offset), "{line}");
        }
    }
    assert_eq!(counts, [EACH; SENDERS]);
    assert!(readers.iter().all(|it| *it == readers[0]), "all have read the same");
    for server in servers {
        assert_eq!(server.hub.stats().backplane.unwrap().missed, 0);
        server.stop().await;
    }
}

/// By number, by age, and for one client.
pub async fn nothing_is_kept_for_ever<E: Backplane>(engine: impl AsyncFn() -> E) {
    const FEW: History = History::last(3);
    let (one, two) = (server(engine().await).await, server(engine().await).await);
    let few = one.hub.shared_topic("t", FEW);
    for at in 1..=1000 {
        within(few.send(format!("{at}"))).await.unwrap();
    }
    let last = within(few.position()).await.unwrap().unwrap();
    assert_eq!(last.offset, 1000);
    let at = |offset| Position { offset, ..last };
    for server in [&one, &two] {
        assert_eq!(missed(server, FEW, at(996)).await, Missed::TooOld { lost: 1 });
        assert_eq!(missed(server, FEW, at(0)).await, Missed::TooOld { lost: 997 });
        let few = server.hub.shared_topic("t", FEW);
        let (mut ws, client) = visit(server).await;
        let resumed = within(few.join_since(&client, at(997))).await.unwrap();
        assert_eq!((resumed.position, resumed.messages), (last, 3));
        texts(&mut ws, &["998", "999", "1000"]).await;
        let (mut ws, client) = visit(server).await;
        let resumed = within(few.join_last(&client, usize::MAX)).await.unwrap();
        assert_eq!((resumed.position, resumed.messages), (last, 3));
        texts(&mut ws, &["998", "999", "1000"]).await;
    }
    // what the engine has let go itself, whoever asks for it
    match missed(&two, LINES, at(0)).await {
        Missed::TooOld { lost } => assert!((500..=997).contains(&lost), "{lost}"),
        other => panic!("{other:?}"),
    }
    // as many as may wait for a client
    let long = "x".repeat(100_000);
    let big = one.hub.shared_topic("big", LINES);
    let begin = within(big.position()).await.unwrap().unwrap();
    for _ in 0..20 {
        within(big.send(&*long)).await.unwrap();
    }
    let (_ws, client) = visit(&two).await;
    let big = two.hub.shared_topic("big", LINES);
    match within(big.join_since(&client, begin)).await {
        Err(ResumeError::Missed(Missed::TooMuch { messages, limit, .. })) => {
            assert_eq!((messages, limit), (20, 1024 * 1024));
        }
        other => panic!("{other:?}"),
    }
    let resumed = within(big.join_last(&client, 1000)).await.unwrap();
    assert_eq!((resumed.position.offset, resumed.messages), (20, 10));
    // too old
    let young = History::last(100).max_age(Duration::from_millis(20));
    let topic = one.hub.shared_topic("young", young);
    let begin = within(topic.position()).await.unwrap().unwrap();
    within(topic.send("1")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    for server in [&one, &two] {
        let topic = server.hub.shared_topic("young", young);
        let (_ws, client) = visit(server).await;
        let error = within(topic.join_since(&client, begin)).await.unwrap_err();
        assert_eq!(error, ResumeError::Missed(Missed::TooOld { lost: 1 }));
        let resumed = within(topic.join_last(&client, 10)).await.unwrap();
        assert_eq!((resumed.position.offset, resumed.messages), (1, 0));
    }
    one.stop().await;
    two.stop().await;
}

mod memory {
    use super::*;
    use crate::backplane::remembering;

    struct Bus(Memory);

    impl Bus {
        #[allow(clippy::unnecessary_wraps, clippy::unused_async)] // as a broker
        async fn engine(&self) -> Memory {
            self.0.clone()
        }
    }

    remembering::all!(Some(Bus(Memory::new())));
}

/// An engine that carries messages and keeps none.
struct Forgetful(Memory);

impl Backplane for Forgetful {
    fn publish(
        &self,
        subject: &str,
        message: bytes::Bytes,
    ) -> Result<(), sansws::server::backplane::PublishError> {
        self.0.publish(subject, message)
    }

    fn subscribe(&self, subject: &str) {
        self.0.subscribe(subject);
    }

    fn unsubscribe(&self, subject: &str) {
        self.0.unsubscribe(subject);
    }

    fn poll_event(
        &self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<sansws::server::backplane::EngineEvent> {
        self.0.poll_event(cx)
    }
}

#[tokio::test]
async fn an_engine_without_history_is_named() {
    let server = server(Forgetful(Memory::new())).await;
    let topic = topic(&server);
    let error = within(topic.send("1")).await.unwrap_err();
    assert_eq!(error, TopicError::History(HistoryError::Unsupported));
    let text = error.to_string();
    assert!(text.starts_with("the engine of the backplane has no history: take one"), "{text}");
    let (_ws, client) = visit(&server).await;
    let error = within(topic.join_last(&client, 1)).await.unwrap_err();
    assert_eq!(error, ResumeError::History(HistoryError::Unsupported));
    assert_eq!(within(topic.position()).await, Err(HistoryError::Unsupported));
    server.stop().await;
}

/// The same program without a backplane.
#[tokio::test]
async fn one_server_alone_keeps_its_own() {
    let server = start(bind().await.route("/{number}", handler_fn()));
    let begin = send(&server, "1").await;
    let sent = within(topic(&server).send_with(|it| it.to_string())).await.unwrap();
    assert_eq!(sent.position, Position { offset: 2, ..begin });
    let (mut ws, resumed) = since(&server, begin).await;
    assert_eq!((resumed.position, resumed.messages), (sent.position, 1));
    texts(&mut ws, &[&sent.position.to_string()]).await;
    assert_eq!(within(topic(&server).forget()).await, Ok(true));
    assert_eq!(missed(&server, LINES, begin).await, Missed::OtherEpoch);
    server.stop().await;
}
