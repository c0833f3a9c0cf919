//! Futures dropped at every point where they can wait. All state is in the socket: what both ends
//! see must be what they would have seen without that.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sansws::proto::Initiator;
use sansws::tokio::WebSocket;
use sansws::{CloseCode, Config, Event, KeepAlive, Message, PreparedMessage};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufStream, DuplexStream, duplex};
use tokio::task::yield_now;
use tokio::time::{interval, sleep};

use crate::tokio::faulty::Faulty;
use crate::tokio::peer::{Peer, client_on, clock_is_paused, server, server_on, within};
use sansws_test::wire::{self, Frame};

/// How often futures are polled before they are dropped.
const POLLS: std::ops::Range<usize> = 0..40;

/// Polls a future `n` times at most, drops it, and lets others run.
async fn poll_at_most<F: Future>(n: usize, future: F) -> Option<F::Output> {
    let output = {
        let mut future = pin!(future);
        let mut left = n;
        poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    };
    if output.is_none() {
        yield_now().await;
    }
    output
}

/// Calls an async method again and again, each future dropped after `n` polls, until one of them
/// gets to its end.
macro_rules! insist {
    ($n:expr, $call:expr) => {
        loop {
            drop($call); // not even polled
            if let Some(output) = poll_at_most($n.max(1), $call).await {
                break output;
            }
        }
    };
}

/// One byte at a time, and every other poll in vain.
fn one_byte(io: DuplexStream) -> Faulty<DuplexStream> {
    Faulty::new(io).step(1).stutter()
}

fn quiet() -> Config {
    Config::new().keep_alive(KeepAlive::Off)
}

/// What a client sends, and the messages in it.
fn script() -> (Vec<u8>, Vec<Message>) {
    let key = Some([1, 2, 3, 4]);
    let bytes = [
        wire::client(wire::TEXT, b"Hello"),
        wire::client(wire::TEXT, b""),
        wire::encode(false, wire::TEXT, key, "w\u{f6}r".as_bytes()),
        wire::client(wire::PING, b"are you there?"),
        wire::encode(false, wire::CONTINUATION, key, b""),
        wire::encode(true, wire::CONTINUATION, key, b"ld"),
        wire::client(wire::PONG, b""),
        wire::client(wire::BINARY, &wire::pattern(130)),
        wire::client(wire::PING, b""),
        wire::client(wire::CLOSE, &wire::close_payload(1000, "bye")),
    ]
    .concat();
    let messages = vec!["Hello".into(), "".into(), "w\u{f6}rld".into(), wire::pattern(130).into()];
    (bytes, messages)
}

/// What the server sends until it shuts its direction down; then the peer closes.
async fn answers(mut peer: Peer<DuplexStream>) -> Vec<Frame> {
    wire::frames(&peer.rest().await)
}

/// What the server has to answer to that.
fn assert_answers(frames: &[Frame]) {
    let answers: Vec<_> = frames.iter().map(|frame| (frame.opcode, &*frame.payload)).collect();
    let close = wire::close_payload(1000, "");
    let expected =
        [(wire::PONG, &b"are you there?"[..]), (wire::PONG, b""), (wire::CLOSE, &*close)];
    assert_eq!(answers, expected);
}

/// A-5: `recv`.
#[tokio::test]
async fn receiving_survives_being_dropped() {
    let (bytes, expected) = script();
    for n in POLLS {
        let (near, far) = duplex(64 * 1024);
        let mut peer = Peer::new(far);
        peer.send(&bytes).await;
        let mut ws = server_on(one_byte(near), &quiet());
        let receive = async {
            let mut messages = Vec::new();
            while let Some(message) = insist!(n, ws.recv()).unwrap() {
                messages.push(message);
            }
            messages
        };
        let (messages, answers) = within(async { tokio::join!(receive, answers(peer)) }).await;
        assert_eq!(messages, expected, "dropped after {n} polls");
        assert_answers(&answers);
        let info = ws.close_info().unwrap();
        assert_eq!((info.code, &*info.reason, info.clean), (1000, "bye", true));
    }
}

/// A-5: `next_event`.
#[tokio::test]
async fn taking_events_survives_being_dropped() {
    let (bytes, expected) = script();
    for n in POLLS {
        let (near, far) = duplex(64 * 1024);
        let mut peer = Peer::new(far);
        peer.send(&bytes).await;
        let mut ws = server_on(one_byte(near), &quiet());
        let receive = async {
            let (mut messages, mut controls) = (Vec::new(), Vec::new());
            loop {
                drop(ws.next_event());
                let Some(event) = poll_at_most(n.max(1), ws.next_event()).await else { continue };
                match event.unwrap() {
                    None => return (messages, controls),
                    Some((Event::Ping(_), _)) => controls.push("ping"),
                    Some((Event::Pong(_), _)) => controls.push("pong"),
                    Some((Event::Close(_), _)) => controls.push("close"),
                    Some((event, _)) => messages.push(event.into_message().unwrap()),
                }
            }
        };
        let ((messages, controls), answers) =
            within(async { tokio::join!(receive, answers(peer)) }).await;
        assert_eq!(messages, expected, "dropped after {n} polls");
        assert_eq!(controls, ["ping", "pong", "ping", "close"], "dropped after {n} polls");
        assert_answers(&answers);
    }
}

/// The messages that the tests of `send` send: each says its number.
fn numbered(number: usize) -> Vec<u8> {
    let mut payload = wire::pattern([2, 10, 125, 126, 200][number % 5]);
    payload[0] = number as u8;
    payload
}

/// Whether the wire holds whole frames with numbered messages in rising order; returns the numbers.
fn numbers(bytes: &[u8], masked: bool) -> Vec<usize> {
    let frames = wire::frames(bytes);
    let number = |frame: &Frame| {
        let number = usize::from(frame.payload[0]);
        assert_eq!((frame.opcode, frame.mask.is_some()), (wire::BINARY, masked));
        assert_eq!(frame.payload, numbered(number), "message {number} is damaged");
        number
    };
    let numbers: Vec<_> = frames.iter().map(number).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "out of order: {numbers:?}");
    numbers
}

/// A-5: `send`, each message once. A future that was polled took its message, as there was room;
/// one that was not polled did not.
#[tokio::test]
async fn sending_survives_being_dropped() {
    for n in POLLS {
        for masked in [false, true] {
            let (near, far) = duplex(64 * 1024);
            let io = one_byte(near);
            let log = io.log.clone();
            let mut ws = if masked { client_on(io, &quiet()) } else { server_on(io, &quiet()) };
            let send = async {
                for number in 0..20 {
                    drop(ws.send(&b"never polled, never sent"[..]));
                    if let Some(sent) = poll_at_most(n, ws.send(&numbered(number))).await {
                        sent.unwrap();
                        assert_eq!(ws.unsent(), 0);
                    }
                }
                insist!(n, ws.flush()).unwrap();
            };
            within(send).await;
            let expected = if n == 0 { 0..0 } else { 0..20 };
            let numbers = numbers(&log.written(), masked);
            assert_eq!(numbers, expected.collect::<Vec<_>>(), "dropped after {n} polls");
            drop(far);
        }
    }
}

/// The same where most futures are dropped while they still wait for room, and `unsent` says
/// whether the message was taken.
#[tokio::test]
async fn sending_without_room_takes_messages_whole_or_not_at_all() {
    for n in POLLS {
        let (near, far) = duplex(64 * 1024);
        let io = one_byte(near);
        let log = io.log.clone();
        let mut ws = server_on(io, &quiet().max_unsent(150));
        let mut taken = Vec::new();
        let send = async {
            for number in 0..100 {
                let before = ws.unsent();
                match poll_at_most(n, ws.send(&numbered(number))).await {
                    Some(sent) => {
                        sent.unwrap();
                        taken.push(number);
                    }
                    None if ws.unsent() > before => taken.push(number),
                    None => {}
                }
            }
            ws.flush().await.unwrap();
        };
        within(send).await;
        let numbers = numbers(&log.written(), false);
        let lost: Vec<_> = taken.iter().filter(|number| !numbers.contains(number)).collect();
        assert!(lost.is_empty(), "{lost:?} were taken and not sent; dropped after {n} polls");
        assert_eq!(numbers.is_empty(), n == 0);
        drop(far);
    }
}

/// A-5: `send` and `Outgoing::send`.
#[tokio::test]
async fn sending_prepared_messages_survives_being_dropped() {
    for n in POLLS {
        let (near, far) = duplex(64 * 1024);
        let io = one_byte(near);
        let log = io.log.clone();
        let mut ws = server_on(io, &quiet());
        let send = async {
            for number in 0..20 {
                let message = PreparedMessage::new(numbered(number)).unwrap();
                drop(ws.send(&message));
                if let Some(sent) = poll_at_most(n.max(1), ws.send(&message)).await {
                    sent.unwrap();
                }
            }
            insist!(n, ws.flush()).unwrap();
        };
        within(send).await;
        let numbers = numbers(&log.written(), false);
        assert_eq!(numbers, (0..20).collect::<Vec<_>>(), "dropped after {n} polls");
        drop(far);
    }
}

/// A-5: answers sent from within an event.
#[tokio::test]
async fn answering_an_event_survives_being_dropped() {
    for n in POLLS {
        let (near, far) = duplex(64 * 1024);
        let mut peer = Peer::new(far);
        for number in 0..10 {
            peer.send(&wire::client(wire::BINARY, &numbered(number))).await;
        }
        let io = one_byte(near);
        let log = io.log.clone();
        let mut ws = server_on(io, &quiet());
        let echo = async {
            for _ in 0..10 {
                let (event, mut out) = ws.next_event().await.unwrap().unwrap();
                let message = event.as_message_ref().unwrap();
                if let Some(sent) = poll_at_most(n.max(1), out.send(message)).await {
                    sent.unwrap();
                }
                if let Some(flushed) = poll_at_most(n, out.flush()).await {
                    flushed.unwrap();
                }
            }
            insist!(n, ws.flush()).unwrap();
        };
        within(echo).await;
        let numbers = numbers(&log.written(), false);
        assert_eq!(numbers, (0..10).collect::<Vec<_>>(), "dropped after {n} polls");
    }
}

/// A-5, X-24: `close`, also with frames before it that are half written.
#[tokio::test]
async fn closing_survives_being_dropped() {
    for n in POLLS {
        let (near, far) = duplex(64 * 1024);
        let mut ws = server_on(one_byte(near), &quiet());
        let mut peer = Peer::new(far);
        for number in 0..3 {
            if let Some(sent) = poll_at_most(n.max(1), ws.send(&numbered(number))).await {
                sent.unwrap();
            }
        }
        let close = async {
            drop(ws.close(CloseCode::NORMAL, "never polled"));
            insist!(n, ws.close(CloseCode::GOING_AWAY, "the one")).unwrap();
        };
        let answer = async {
            let mut seen = Vec::new();
            loop {
                let frame = peer.frame().await.unwrap();
                seen.extend(frame.payload.first().copied());
                if frame.opcode == wire::CLOSE {
                    assert_eq!(frame.payload, wire::close_payload(1001, "the one"));
                    peer.send(&wire::client(wire::CLOSE, &frame.payload)).await;
                    assert_eq!(peer.frame().await, None, "something behind the Close frame");
                    drop(peer);
                    return seen;
                }
            }
        };
        let ((), seen) = within(async { tokio::join!(close, answer) }).await;
        assert_eq!(seen, [0, 1, 2, 3], "dropped after {n} polls"); // 3 is the code's first byte
        let info = ws.close_info().unwrap();
        assert_eq!((info.initiator, info.code, info.clean), (Initiator::Local, 1001, true));
    }
}

/// A-5: a stream with a buffer of its own, which is where a flush waits and not a write.
#[tokio::test]
async fn flushing_a_buffering_stream_survives_being_dropped() {
    for n in POLLS {
        let (near, far) = duplex(7);
        let mut ws = server_on(BufStream::new(near), &quiet());
        let send = async {
            for number in 0..20 {
                if let Some(sent) = poll_at_most(n.max(1), ws.send(&numbered(number))).await {
                    sent.unwrap();
                }
            }
            insist!(n, ws.flush()).unwrap();
            drop(ws);
        };
        let mut peer = Peer::new(far);
        let ((), bytes) = within(async { tokio::join!(send, peer.rest()) }).await;
        assert_eq!(numbers(&bytes, false), (0..20).collect::<Vec<_>>(), "dropped after {n} polls");
    }
}

/// Echoes in a `select!` loop with a timer that fires all the time.
async fn echo_between_ticks<S>(mut ws: WebSocket<S>, period: Duration) -> (usize, WebSocket<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut ticks = interval(period);
    let mut fired = 0;
    loop {
        tokio::select! {
            message = ws.recv() => match message.unwrap() {
                Some(message) => ws.feed(message).unwrap(),
                None => return (fired, ws),
            },
            _ = ticks.tick() => fired += 1,
        }
    }
}

/// The loop that everybody writes.
#[tokio::test(start_paused = true)]
async fn a_select_loop_with_a_timer_loses_nothing() {
    clock_is_paused();
    let (ws, mut peer) = server(&quiet(), 16).await;
    let echo = tokio::spawn(echo_between_ticks(ws, Duration::from_micros(700)));
    let (bytes, expected) = script();
    let mut answers = Vec::new();
    let (mut from, mut to) = tokio::io::split(&mut peer.io);
    let write = async {
        for byte in bytes {
            sleep(Duration::from_millis(1)).await;
            to.write_all(&[byte]).await.unwrap();
        }
    };
    let read = tokio::io::AsyncReadExt::read_to_end(&mut from, &mut answers);
    let ((), read) = within(async { tokio::join!(write, read) }).await;
    read.unwrap();
    drop(peer);
    let (fired, _ws) = within(echo).await.unwrap();
    assert!(fired > 200, "the timer fired {fired} times only");
    let frames = wire::frames(&answers);
    let echoes: Vec<_> = frames.iter().filter(|frame| frame.opcode < 8).collect();
    assert_eq!(echoes.len(), expected.len());
    for (echo, message) in echoes.into_iter().zip(&expected) {
        assert_eq!(echo.payload, message.as_bytes());
    }
    let controls: Vec<_> = frames.into_iter().filter(|frame| frame.opcode >= 8).collect();
    assert_answers(&controls);
}

/// The waker of a dropped future is not the one that is kept.
#[tokio::test]
async fn the_newest_future_is_the_one_that_is_woken() {
    let (mut ws, mut peer) = server(&quiet(), 16).await;
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(pin!(ws.recv()).poll(&mut nobody).is_pending());
    let send = async {
        yield_now().await;
        peer.send(&wire::client(wire::TEXT, b"for the second")).await;
    };
    let receive = tokio::spawn(async move {
        let message = ws.recv().await;
        (ws, message)
    });
    send.await;
    let (mut ws, message) = within(receive).await.unwrap();
    assert_eq!(message.unwrap(), Some("for the second".into()));

    let large = vec![1; 1000]; // more than the pipe holds
    assert!(pin!(ws.send(&large)).poll(&mut nobody).is_pending());
    let flush = tokio::spawn(async move { ws.flush().await });
    yield_now().await;
    assert_eq!(peer.frame().await.unwrap().payload, large);
    within(flush).await.unwrap().unwrap();
}

/// The same for the alarm: it wakes whoever waits when it goes off.
#[tokio::test(start_paused = true)]
async fn the_newest_future_gets_the_alarm() {
    clock_is_paused();
    let config = Config::new().keep_alive(KeepAlive::Every(Duration::from_secs(5)));
    let (mut ws, mut peer) = server(&config, 1024).await;
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(pin!(ws.recv()).poll(&mut nobody).is_pending());
    let receive = tokio::spawn(async move { ws.recv().await });
    assert_eq!(peer.frame().await.unwrap().opcode, wire::PING);
    receive.abort();
}
