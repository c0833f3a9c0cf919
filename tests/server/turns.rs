//! What one client does at once is no trouble for the others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sansws::server::{Client, Handler, Received, Server, handler_fn};
use sansws::tokio::{ClientStream, WebSocket};
use sansws::{CloseCode, Config, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime;
use tokio::task::yield_now;
use tokio::time::{pause, resume, sleep};

use crate::support::{bind, frames, start, text, until, within};
use sansws_test::peer::within_limit;
use sansws_test::wire;

/// Frames of messages that are numbered as far as their length allows.
fn burst(count: usize, len: usize) -> Vec<u8> {
    let frame = |at: usize| {
        let mut payload = format!("{at} ").into_bytes();
        payload.resize(len, b' ');
        wire::client(wire::TEXT, &payload)
    };
    (0..count).flat_map(frame).collect()
}

async fn takes_burst(mut ws: WebSocket<ClientStream>, count: usize, len: usize) {
    for at in 0..count {
        let message = text(&mut ws).await;
        assert_eq!(message.len(), len);
        if len >= 8 {
            assert!(message.starts_with(&format!("{at} ")), "{at}: {}", &message[..8]);
        }
    }
}

/// More than a queue holds, sent by one client in one go: whoever reads gets all of it.
#[tokio::test]
async fn a_burst_that_is_broadcast_closes_nobody() {
    const MEMBERS: usize = 20;
    for (count, len) in [(4200, 0), (9000, 1), (100, 16 * 1024), (5, 1_000_000)] {
        let route = handler_fn().on_message(|client, message| client.hub().all().send(message));
        let server = start(bind().await.route("/", route));
        let mut members = Vec::new();
        for _ in 0..MEMBERS {
            let ws = server.connect("/").await;
            members.push(tokio::spawn(takes_burst(ws, count, len)));
        }
        until(|| server.hub.all().len() == MEMBERS).await;
        let (mut reading, mut writing) = server.raw("/").await.into_split();
        // it gets its own messages back
        let reading = tokio::spawn(async move {
            let mut space = vec![0; 64 * 1024];
            while reading.read(&mut space).await.is_ok_and(|n| n > 0) {}
        });
        writing.write_all(&burst(count, len)).await.unwrap();
        for member in members {
            // some seconds of processor time where nothing is optimised, and others have tests too
            within_limit(Duration::from_secs(60), member).await.unwrap();
        }
        assert_eq!(server.hub.stats().slow_closed, 0, "{count} of {len} bytes");
        reading.abort();
        server.stop().await;
    }
}

/// The same from a handler to its own client, in one call.
#[tokio::test]
async fn a_handler_may_send_much_at_once() {
    for (count, len) in [(5000, 20), (300, 5000), (100, 16_000)] {
        let route = handler_fn().on_message(move |client, _| {
            for at in 0..count {
                client.send(format!("{at:<len$}")).unwrap();
            }
        });
        let server = start(bind().await.route("/", route));
        let mut ws = server.connect("/").await;
        ws.send("go").await.unwrap();
        takes_burst(ws, count, len).await;
        server.stop().await;
    }
}

/// Echoes of `count` tiny messages come in few writes although the turns of a task are bounded.
#[tokio::test]
async fn a_burst_is_answered_in_few_writes() {
    const COUNT: usize = 2000;
    let route = handler_fn().on_message(|client, message| client.send(message));
    let server = start(bind().await.route("/", route));
    let mut raw = server.raw("/").await;
    raw.write_all(&burst(COUNT, 8)).await.unwrap();
    let mut reads = 0;
    let mut bytes = Vec::new();
    while bytes.len() < COUNT * 10 {
        let mut more = vec![0; 64 * 1024];
        let n = within(raw.read(&mut more)).await.unwrap();
        bytes.extend_from_slice(&more[..n]);
        reads += 1;
    }
    assert!(reads < COUNT / 10, "{reads} reads");
    server.stop().await;
}

/// The messages of a burst are one event after the other to a handler, whether it may wait or not:
/// others may send between them, and none comes behind a Close or a panic.
#[tokio::test]
async fn a_burst_is_one_message_after_the_other() {
    fn answer(client: &Client, message: Received<'_>) {
        match message.as_text() {
            Some("close") => client.close(CloseCode::new(4000).unwrap(), "").unwrap(),
            Some("panic") => panic!("on_message panics, as the test wants"),
            Some("thread") => {
                let client = client.clone();
                thread::spawn(move || client.send("between").unwrap()).join().unwrap();
            }
            _ => client.send(message).unwrap(),
        }
    }
    struct MayWait;
    impl Handler for MayWait {
        async fn on_message(&self, client: &Client, message: Received<'_>) {
            answer(client, message);
        }
    }
    let closures = handler_fn().on_message(answer);
    let server = start(bind().await.route("/closures", closures).route("/waits", MayWait));
    for path in ["/closures", "/waits"] {
        for (last, code) in [("close", 4000), ("panic", 1011)] {
            let before = server.hub.stats().panics;
            let mut raw = server.raw(path).await;
            let words = ["1", "2", "thread", "3", last, "4", "5"];
            let burst = words.map(|word| wire::client(wire::TEXT, word.as_bytes())).concat();
            raw.write_all(&burst).await.unwrap();
            let is_close = |frame: &wire::Frame| frame.whole() == wire::CLOSE;
            let is_over = |frames: &[wire::Frame]| frames.last().is_some_and(is_close);
            let frames = frames(&mut raw, is_over).await;
            let (close, texts) = frames.split_last().unwrap();
            let texts: Vec<&str> = texts.iter().map(|frame| frame.text()).collect();
            assert_eq!((texts, close.close_code()), (vec!["1", "2", "between", "3"], Some(code)));
            assert_eq!(server.hub.stats().panics - before, u64::from(last == "panic"));
        }
    }
    server.stop().await;
}

/// A handler is told of no message whose answer has no room: nothing waits in the queue of a client
/// that takes what it is sent.
#[tokio::test]
async fn a_burst_is_taken_as_fast_as_its_answers_leave() {
    const COUNT: usize = 40;
    static QUEUED: AtomicUsize = AtomicUsize::new(0);
    let route = handler_fn().on_message(|client, message| {
        client.send(message).unwrap();
        QUEUED.fetch_max(client.queued(), Ordering::Relaxed);
    });
    let config = Config::new().max_unsent(4096);
    let server = start(bind().await.config(config).route("/", route));
    let mut raw = server.raw("/").await;
    raw.write_all(&burst(COUNT, 1024)).await.unwrap();
    frames(&mut raw, |frames| frames.len() == COUNT).await;
    assert_eq!(QUEUED.load(Ordering::Relaxed), 0);
    server.stop().await;
}

/// Between two turns of a client's task the runtime looks for what arrived, although its handler
/// answers: the answer does not wake the task that runs.
#[tokio::test]
async fn others_are_looked_for_between_turns() {
    const COUNT: usize = 60_000;
    static PASSES: AtomicUsize = AtomicUsize::new(0);
    // a task that gives way is polled again once the runtime has looked for events
    let watch = tokio::spawn(async {
        loop {
            PASSES.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
        }
    });
    static LONGEST: AtomicUsize = AtomicUsize::new(0);
    let (pass, events) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let route = handler_fn().on_message(move |client, message| {
        let now = PASSES.load(Ordering::Relaxed);
        if pass.swap(now, Ordering::Relaxed) != now {
            events.store(0, Ordering::Relaxed);
        }
        LONGEST.fetch_max(events.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        client.send(message)
    });
    let server = start(bind().await.route("/", route));
    let (mut reading, mut writing) = server.raw("/").await.into_split();
    // no turn ends by the clock, however slow the machine is; the watch keeps it from going on
    pause();
    let write = tokio::spawn(async move { writing.write_all(&burst(COUNT, 1)).await });
    let mut left = COUNT * 3;
    let mut space = vec![0; 64 * 1024];
    while left > 0 {
        let n = within(reading.read(&mut space)).await.unwrap();
        assert!(n > 0);
        left -= n;
    }
    within(write).await.unwrap().unwrap();
    resume();
    // two turns by tokio's budget of 2 048 events: the watch may have its turn before or after
    let longest = LONGEST.load(Ordering::Relaxed);
    assert!(longest <= 2 * 2048, "{longest} events");
    watch.abort();
    server.stop().await;
}

/// A server whose runtime has one thread, for as long as the program runs.
fn serve_on_one_thread(set_up: impl FnOnce(Server) -> Server + Send + 'static) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = set_up(bind().await);
            tell.send(server.local_addr().unwrap()).unwrap();
            server.run().await.unwrap();
        });
    });
    format!("ws://{}/", told.recv().unwrap())
}

/// Ten clients that always have something to do, for handlers quick and slow, and one that has not:
/// it is answered although there is one thread for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_starves_beside_busy_clients() {
    for busy in [Duration::ZERO, Duration::from_micros(100), Duration::from_millis(1)] {
        let url = serve_on_one_thread(move |server| {
            server.route(
                "/",
                handler_fn().on_message(move |client, message| {
                    if message.as_bytes() == b"honest" {
                        return client.send(message);
                    }
                    let began = Instant::now();
                    while began.elapsed() < busy {}
                    Ok(())
                }),
            )
        });
        let mut attackers = Vec::new();
        for _ in 0..10 {
            let mut ws = within(sansws::tokio::connect(&url)).await.unwrap();
            attackers.push(tokio::spawn(async move {
                let burst = burst(2000, 8);
                while ws.get_mut().write_all(&burst).await.is_ok() {}
            }));
        }
        let mut honest = within(sansws::tokio::connect(&url)).await.unwrap();
        sleep(Duration::from_millis(100)).await; // until all are at it
        let mut times = Vec::new();
        for _ in 0..30 {
            let began = Instant::now();
            honest.send("honest").await.unwrap();
            let answer = within(honest.recv()).await.unwrap();
            assert_eq!(answer, Some(Message::from("honest")));
            times.push(began.elapsed());
            sleep(Duration::from_millis(3)).await;
        }
        times.sort_unstable();
        // 20 ms are the aim; processors that are busy with something else get their part of the
        // time
        assert!(times[27] < Duration::from_millis(200), "{busy:?}: {times:?}");
        for attacker in attackers {
            attacker.abort();
        }
    }
}

/// A client that has sent much and closes gets what was queued for it before the Close is answered.
#[tokio::test]
async fn answers_come_before_the_answer_to_a_close() {
    let route = handler_fn().on_message(|client, _| {
        for _ in 0..10 {
            client.send(vec![7; 100_000]).unwrap();
        }
    });
    let server = start(bind().await.route("/", route));
    let mut raw = server.raw("/").await;
    let close = wire::client(wire::CLOSE, &wire::close_payload(1000, ""));
    raw.write_all(&[wire::client(wire::TEXT, b"go"), close].concat()).await.unwrap();
    let seen = frames(&mut raw, |frames| frames.last().is_some_and(|it| it.opcode == 8)).await;
    assert_eq!(seen.len(), 11);
    assert_eq!(seen[10].close_code(), Some(1000));
    server.stop().await;
}
