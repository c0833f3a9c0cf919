//! Who is where on all servers, in virtual time.

use std::time::Duration;

use sansws::server::backplane::{Backplane, Memory, Presence};
use sansws::server::{Hub, Server, handler_fn};
use sansws::{CloseCode, Config, KeepAlive};
use sansws_test::peer::Peer;
use sansws_test::wire;
use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep};

use super::common::joined_with;
use super::cutting::{Cutting, Way};
use crate::support::{Running, bind, open, start, until, within};

const PACE: Duration = Duration::from_millis(50);
const INTERVAL: Duration = Duration::from_secs(1);
const EXPIRY: Duration = Duration::from_millis(3200);

fn quick() -> Presence {
    Presence::new().pace(PACE).interval(INTERVAL).expiry(EXPIRY)
}

async fn present(engine: impl Backplane) -> Running {
    present_with(engine, quick()).await
}

async fn present_with(engine: impl Backplane, presence: Presence) -> Running {
    let set_up = |server: Server| {
        // clients here answer no pings
        let config = Config::new().keep_alive(KeepAlive::Off);
        server.presence(presence).config(config).max_rooms_per_client(100_000)
    };
    joined_with(engine, set_up).await
}

/// A client in a room: the connection and its id.
async fn member(server: &Running, room: &str) -> (Peer<DuplexStream>, u64) {
    let before = ids(&server.hub);
    let peer = open(server, &format!("/{room}")).await;
    until(|| server.hub.all().len() > before.len()).await;
    let id = ids(&server.hub).into_iter().find(|id| !before.contains(id)).unwrap();
    until(|| !server.hub.get(id).unwrap().rooms().is_empty()).await;
    (peer, id)
}

/// The ids of all clients of this server.
fn ids(hub: &Hub) -> Vec<u64> {
    hub.all().clients().iter().map(|client| client.id()).collect()
}

fn count(server: &Running, room: &str) -> usize {
    server.hub.room(room).everywhere().len()
}

/// Whether a server knows all of so many, itself among them.
fn knows(server: &Running, servers: usize) -> bool {
    let known = server.hub.servers();
    known.len() == servers && known.iter().all(|it| it.is_complete)
}

async fn all_know(servers: &[&Running]) {
    within(async {
        while !servers.iter().all(|server| knows(server, servers.len())) {
            sleep(PACE).await; // to look at many rooms costs time
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn counts_span_servers() {
    let bus = Memory::new();
    let servers = [present(bus.clone()).await, present(bus.clone()).await, present(bus).await];
    let [one, two, three] = &servers;
    let (mut a1, id_a1) = member(one, "a").await;
    let (_a2, id_a2) = member(two, "a").await;
    let (_b2, _) = member(two, "b").await;
    let (_a3, id_a3) = member(two, "a").await;
    until(|| servers.iter().all(|it| (count(it, "a"), count(it, "b")) == (3, 1))).await;
    until(|| servers.iter().all(|it| it.hub.all().everywhere().len() == 4)).await;
    all_know(&[one, two, three]).await;
    for server in &servers {
        assert_eq!(
            (count(server, "nobody"), server.hub.room("a").everywhere().is_empty()),
            (0, false)
        );
        let mut by_server = server.hub.room("a").everywhere().by_server();
        by_server.sort_by_key(|it| it.1);
        assert_eq!(by_server, [((id_a1 >> 32) as u32, 1), ((id_a2 >> 32) as u32, 2)]);
        assert_eq!(server.hub.stats().backplane.unwrap().servers, 2);
    }
    let known = two.hub.servers();
    let own = known[0];
    assert_eq!((own.id, own.is_own), ((id_a2 >> 32) as u32, true));
    assert_eq!((own.clients, own.rooms, own.is_complete), (3, 2, true));
    let other = known.iter().find(|it| it.id == (id_a1 >> 32) as u32).unwrap();
    assert_eq!((other.clients, other.rooms, other.is_own), (1, 1, false));
    // but for one
    assert_eq!(two.hub.room("a").except(id_a3).everywhere().len(), 2);

    // by the calls as well as by the end of the connection, and in a room that remembers
    let client = two.hub.get(id_a2).unwrap();
    client.join("c").unwrap();
    two.hub.topic("d", sansws::server::History::last(3)).join_last(&client, 1).unwrap();
    until(|| (count(three, "c"), count(three, "d")) == (1, 1)).await;
    client.leave("c");
    client.leave("a");
    until(|| (count(three, "a"), count(three, "c"), count(three, "d")) == (2, 0, 1)).await;
    a1.send(&wire::client(8, &wire::close_payload(1000, ""))).await;
    until(|| servers.iter().all(|it| count(it, "a") == 1)).await;
    until(|| servers.iter().all(|it| it.hub.all().everywhere().len() == 3)).await;
    // two goes, and says so
    let begin = Instant::now();
    let [one, two, three] = servers;
    two.stop().await;
    until(|| knows(&one, 2) && knows(&three, 2)).await;
    assert!(begin.elapsed() < INTERVAL, "{:?}", begin.elapsed());
    assert_eq!((count(&one, "a"), three.hub.all().everywhere().len()), (0, 0));
    assert!(one.hub.room("a").everywhere().is_empty());
    // one that is over knows nobody any more
    let hub = three.hub.clone();
    three.stop().await;
    assert_eq!(hub.servers().len(), 1);
    one.stop().await;
}

/// A server that comes later asks, and gets all in parts.
#[tokio::test(start_paused = true)]
async fn who_comes_later_learns_all() {
    let bus = Memory::new();
    // when more than 500 change at once, that is not told one by one
    let one = present_with(bus.clone(), quick().max_rooms(500)).await;
    let two = present(bus.clone()).await;
    let (_ws, id) = member(&one, "a").await;
    let client = one.hub.get(id).unwrap();
    let rooms_of_one = |server: &Running| {
        let servers = server.hub.servers();
        let info = servers.into_iter().find(|it| u64::from(it.id) == id >> 32).unwrap();
        (info.clients, info.rooms, info.is_complete)
    };
    all_know(&[&one, &two]).await;
    for at in 0..9_000 {
        client.join(&format!("room {at}")).unwrap();
    }
    until(|| count(&two, "room 8999") == 1).await;
    all_know(&[&one, &two]).await;
    assert_eq!(rooms_of_one(&two), (1, 9_001, true));

    let begin = Instant::now();
    let three = present(bus.clone()).await;
    // while it changes
    for at in 0..100 {
        client.leave(&format!("room {at}"));
        client.join(&format!("new {at}")).unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    all_know(&[&one, &two, &three]).await;
    assert!(begin.elapsed() < 4 * INTERVAL, "{:?}", begin.elapsed());
    sleep(INTERVAL).await;
    for server in [&two, &three] {
        assert_eq!(rooms_of_one(server), (1, 9_001, true));
        let rooms = ["a", "room 0", "room 100", "room 8999", "new 99"];
        assert_eq!(rooms.map(|room| count(server, room)), [1, 0, 1, 1, 1]);
    }
    // long names have parts of their own
    for at in 0..500 {
        client.join(&format!("{}{at}", "x".repeat(250))).unwrap();
    }
    let four = present(bus).await;
    all_know(&[&one, &two, &three, &four]).await;
    for server in [&two, &three, &four] {
        assert_eq!(count(server, &format!("{}499", "x".repeat(250))), 1);
        assert_eq!(rooms_of_one(server), (1, 9_501, true));
    }
    for server in [one, two, three, four] {
        server.stop().await;
    }
}

/// A server that is gone without a word, or cut off, is forgotten after the time that is set, and
/// known again when it is back.
#[tokio::test(start_paused = true)]
async fn servers_that_are_gone_are_forgotten() {
    let bus = Memory::new();
    let engine = Cutting::new(&bus);
    let (one, two, three) =
        (present(bus.clone()).await, present(bus.clone()).await, present(engine.clone()).await);
    let (_ws1, _) = member(&one, "a").await;
    let (_ws3, id) = member(&three, "a").await;
    all_know(&[&one, &two, &three]).await;
    until(|| [&one, &two, &three].iter().all(|it| count(it, "a") == 2)).await;
    // idle for long: nobody is forgotten
    sleep(EXPIRY * 3).await;
    all_know(&[&one, &two, &three]).await;

    engine.cut(true);
    let begin = Instant::now();
    until(|| count(&one, "a") == 1 && count(&two, "a") == 1).await;
    let gone_after = begin.elapsed();
    assert!(gone_after >= EXPIRY - INTERVAL, "{gone_after:?}");
    assert!(gone_after <= EXPIRY + INTERVAL, "{gone_after:?}");
    assert!(knows(&one, 2) && knows(&two, 2));
    // it has its own clients, and knows no others
    until(|| knows(&three, 1)).await;
    assert_eq!(count(&three, "a"), 1);
    // both sides go on
    let (_ws2, _) = member(&two, "a").await;
    three.hub.get(id).unwrap().join("b").unwrap();
    until(|| count(&one, "a") == 2).await;
    engine.cut(false);
    all_know(&[&one, &two, &three]).await;
    until(|| [&one, &two, &three].iter().all(|it| (count(it, "a"), count(it, "b")) == (3, 1)))
        .await;

    // away, which it knows: what has changed meanwhile is told when it is back, without a question
    engine.set(Way::Away);
    three.hub.get(id).unwrap().join("c").unwrap();
    sleep(INTERVAL).await;
    assert_eq!(count(&one, "c"), 0);
    engine.published();
    engine.set(Way::Open);
    until(|| count(&one, "c") == 1 && count(&two, "c") == 1).await;
    assert!(knows(&one, 3) && knows(&two, 3));
    sleep(INTERVAL * 2).await;
    let published = engine.published();
    assert!(published.iter().all(|subject| subject == "sansws.presence"), "{published:?}");

    // and gone for good
    engine.cut(true);
    three.stop().await;
    until(|| knows(&one, 2) && knows(&two, 2)).await;
    assert_eq!((count(&one, "a"), count(&two, "b")), (2, 0));
    one.stop().await;
    two.stop().await;
}

/// Whatever is lost, doubled or held up on the way is right in the end.
#[tokio::test(start_paused = true)]
async fn counts_become_right_again() {
    let bus = Memory::new();
    let engine = Cutting::new(&bus);
    let (one, two) = (present(engine.clone()).await, present(bus).await);
    let (_ws, id) = member(&one, "a").await;
    let client = one.hub.get(id).unwrap();
    let ways = [Way::Lost, Way::Open, Way::Twice, Way::Held, Way::Open, Way::Away, Way::Lost];
    for round in 0..40 {
        engine.set(ways[round % ways.len()]);
        for room in ["b", "c", "d"] {
            match (round / 2 + room.len() * usize::from(room == "c")) % 3 {
                0 => drop(client.join(room)),
                1 => drop(client.leave(room)),
                _ => {}
            }
        }
        client.join(&format!("room {round}")).unwrap();
        client.leave(&format!("room {}", round / 2));
        sleep(Duration::from_millis([10, 120, 700, 1700][round % 4])).await;
    }
    engine.set(Way::Open);
    sleep(INTERVAL * 3).await;
    all_know(&[&one, &two]).await;
    let mut names: Vec<_> = (0..40).map(|round| format!("room {round}")).collect();
    names.extend(["a", "b", "c", "d"].map(str::to_owned));
    for name in names {
        assert_eq!(count(&two, &name), one.hub.room(&name).len(), "{name}");
    }
    assert_eq!(two.hub.servers()[1].rooms, client.rooms().len());
    one.stop().await;
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn members_are_told_when_asked_for() {
    let bus = Memory::new();
    let engine = Cutting::new(&bus);
    let few = || quick().max_ids(3);
    let (one, two, three) = (
        present_with(bus.clone(), few()).await,
        present_with(bus.clone(), few()).await,
        present_with(engine.clone(), few()).await,
    );
    let wait = Duration::from_secs(1);
    let alone = one.hub.room("a").everywhere().members(wait).await;
    assert_eq!((alone.ids.len(), alone.is_complete), (0, true));
    let mut peers = Vec::new();
    let mut expected = Vec::new();
    for server in [&one, &one, &two, &three, &three] {
        let (peer, id) = member(server, "a").await;
        peers.push(peer);
        expected.push(id);
    }
    let (_other, id_other) = member(&two, "b").await;
    until(|| count(&one, "a") == 5 && count(&two, "a") == 5).await;
    expected.sort_unstable();
    for server in [&one, &two] {
        let begin = Instant::now();
        let members = server.hub.room("a").everywhere().members(wait).await;
        assert_eq!((&members.ids, members.is_complete), (&expected, true));
        assert!(begin.elapsed() < wait, "nobody was waited for");
    }
    let but_one = one.hub.room("a").except(expected[4]).everywhere().members(wait).await;
    assert_eq!(but_one.ids, expected[..4]);
    until(|| one.hub.all().everywhere().len() == 6).await;
    let all = one.hub.all().everywhere().members(wait).await;
    assert_eq!((all.ids.len(), all.is_complete), (6, true));
    assert!(all.ids.contains(&id_other));

    // one that does not answer costs the time, and no more
    engine.cut(true);
    let begin = Instant::now();
    let rest = one.hub.room("a").everywhere().members(wait).await;
    assert_eq!((rest.ids.len(), rest.is_complete), (3, false));
    assert!(begin.elapsed() >= wait && begin.elapsed() < wait * 2, "{:?}", begin.elapsed());
    // and if it is gone meanwhile, not even that
    let rest = one.hub.room("a").everywhere().members(EXPIRY * 4).await;
    assert_eq!((rest.ids.len(), rest.is_complete), (3, false));
    assert!(begin.elapsed() < EXPIRY * 2, "{:?}", begin.elapsed());
    // one that asks and hears nothing, and gives up
    let asking = {
        let hub = three.hub.clone();
        tokio::spawn(async move { hub.all().everywhere().members(EXPIRY).await })
    };
    tokio::task::yield_now().await;
    asking.abort();
    engine.cut(false);
    all_know(&[&one, &two, &three]).await;

    // more than are told at a time: the oldest
    for _ in 0..2 {
        let (peer, id) = member(&three, "a").await;
        peers.push(peer);
        expected.push(id);
    }
    until(|| count(&one, "a") == 7).await;
    let some = one.hub.room("a").everywhere().members(wait).await;
    assert_eq!((some.ids.len(), some.is_complete), (6, false));
    let cut: Vec<_> = expected.iter().filter(|id| !some.ids.contains(id)).collect();
    assert_eq!(cut, [&expected[6]]);
    for server in [one, two, three] {
        server.stop().await;
    }
}

/// An answer of several parts, one of which is lost or comes twice.
#[tokio::test(start_paused = true)]
async fn answers_have_parts() {
    let bus = Memory::new();
    let (one, two) = (present(bus.clone()).await, present(bus.clone()).await);
    let mut peers = Vec::new();
    for _ in 0..40 {
        peers.push(member(&two, "a").await);
    }
    until(|| count(&one, "a") == 40).await;
    let wait = Duration::from_secs(1);
    let members = one.hub.room("a").everywhere().members(wait).await;
    assert_eq!(members.ids, ids(&two.hub));
    assert!(members.is_complete);
    one.stop().await;
    two.stop().await;
}

/// However many come and go: so many announcements, and no more.
#[tokio::test(start_paused = true)]
async fn announcements_are_paced() {
    let bus = Memory::new();
    let engine = Cutting::new(&bus);
    let one = present_with(engine.clone(), Presence::new()).await;
    let two = present_with(bus, Presence::new()).await;
    let (_ws, id) = member(&one, "a").await;
    all_know(&[&one, &two]).await;
    sleep(Duration::from_secs(10)).await;
    let client = one.hub.get(id).unwrap();
    engine.published();
    for at in 0..1000 {
        client.join(&format!("room {}", at % 7)).unwrap();
        client.leave(&format!("room {}", (at + 3) % 7));
        sleep(Duration::from_millis(2)).await;
    }
    // two seconds
    let told = engine.published().len();
    assert!((4..=10).contains(&told), "{told}");
    sleep(Duration::from_secs(60)).await;
    let told = engine.published().len();
    assert!((12..=18).contains(&told), "{told}");
    one.stop().await;
    two.stop().await;
}

/// Nothing is told without it, and nobody minds those who do.
#[tokio::test(start_paused = true)]
async fn nothing_is_told_unless_it_is_set() {
    let bus = Memory::new();
    let engine = Cutting::new(&bus);
    let (one, two) = (joined_with(engine.clone(), |server| server).await, present(bus).await);
    let (_ws1, id) = member(&one, "a").await;
    let (_ws2, _) = member(&two, "a").await;
    sleep(INTERVAL * 5).await;
    assert_eq!(engine.published(), [""; 0]);
    for server in [&one, &two] {
        assert_eq!((count(server, "a"), server.hub.servers().len()), (1, 1));
        let members = server.hub.room("a").everywhere().members(INTERVAL).await;
        assert_eq!((members.ids.len(), members.is_complete), (1, true));
        let stats = server.hub.stats().backplane.unwrap();
        assert_eq!((stats.invalid, stats.received, stats.servers), (0, 0, 0));
    }
    assert_eq!(u64::from(one.hub.servers()[0].id), id >> 32);
    one.stop().await;
    two.stop().await;

    let server = start(bind().await.route("/", handler_fn()).presence(Presence::new()));
    let _ws = open(&server, "/").await;
    until(|| server.hub.all().everywhere().len() == 1).await;
    let info = server.hub.servers()[0];
    assert_eq!((info.id, info.clients, info.is_own), (0, 1, true));
    within(server.handle.shutdown(CloseCode::GOING_AWAY, "", Duration::ZERO)).await.unwrap();
    server.stop().await;
}
