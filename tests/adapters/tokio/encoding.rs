//! Long messages that are compressed: others have their turns meanwhile, and whoever gives up
//! leaves a connection on which everything goes on.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use futures_util::{FutureExt, SinkExt};
use sansws::buf::RecvBuffer;
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::Connection;
use sansws::tokio::WebSocket;
use sansws::{CloseCode, Config, Message};
use tokio::io::{DuplexStream, duplex};
use tokio::task::{LocalSet, yield_now};

use crate::tokio::peer::within;

type Socket = WebSocket<DuplexStream>;

/// Two ends that compress, and a pipe that takes everything at once.
fn pair(takeover: bool) -> (Socket, Socket) {
    let (near, far) = duplex(16 << 20);
    let mut agreed = Agreement::new();
    agreed.server_no_context_takeover = !takeover;
    agreed.client_no_context_takeover = !takeover;
    let socket = |io, conn: Connection| {
        let conn = conn.with_deflate(agreed, &Deflate::new());
        WebSocket::from_parts(sansws::Parts::new(io, conn, RecvBuffer::new()))
    };
    let server = socket(near, Connection::server(&Config::new()));
    (server, socket(far, Connection::client(&Config::new(), [9; 32])))
}

/// Either end as the one under test, with context takeover and without.
fn pairs() -> impl Iterator<Item = (Socket, Socket)> {
    [(true, true), (true, false), (false, true), (false, false)].into_iter().map(
        |(takeover, server)| {
            let (near, far) = pair(takeover);
            if server { (near, far) } else { (far, near) }
        },
    )
}

/// Text of so many bytes that compresses like text.
fn text(len: usize) -> String {
    let mut text = String::new();
    let mut number = 1_u32;
    while text.len() < len {
        number = number.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        text.push_str(&format!("line {} of a message, ", number >> 20));
    }
    text.truncate(len);
    text
}

/// How often somebody else has his turn while this goes on.
async fn turns_beside(work: impl Future<Output = ()>) -> usize {
    let (turns, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let local = LocalSet::new();
    let (count, over) = (Rc::clone(&turns), Rc::clone(&done));
    local.spawn_local(async move {
        while !over.get() {
            count.set(count.get() + 1);
            yield_now().await;
        }
    });
    local.run_until(within(work)).await;
    done.set(true);
    turns.get()
}

/// Polls once, which must not be enough, and gives up.
async fn give_up<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    let polled =
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(polled, "there was nothing to give up");
}

async fn expect(ws: &mut Socket, expected: &str) {
    let message = within(ws.recv()).await.unwrap().unwrap();
    assert!(message.as_text() == Some(expected), "{} of {}", message.len(), expected.len());
}

const WAYS: usize = 9;

async fn send_some_way(mut near: Socket, way: usize, text: &str) -> Socket {
    match way {
        0 => near.send(text).await.unwrap(),
        1 => {
            near.feed(text.to_owned()).unwrap();
            near.flush().await.unwrap();
        }
        2 => SinkExt::send(&mut near, Message::from(text)).await.unwrap(),
        3 => {
            near.feed(text).unwrap();
            near.recv().await.unwrap().unwrap();
            near.flush().await.unwrap();
        }
        4 => {
            let (_, mut out) = near.next_event().await.unwrap().unwrap();
            out.send(text).await.unwrap();
        }
        _ => {
            let (mut from, mut to) = near.split();
            match way {
                5 => to.send(text).await.unwrap(),
                6 => SinkExt::send(&mut to, Message::from(text)).await.unwrap(),
                7 => {
                    to.feed(text).unwrap();
                    from.recv().await.unwrap().unwrap();
                    to.flush().await.unwrap();
                }
                _ => {
                    to.feed(text).unwrap();
                    to.close(CloseCode::NORMAL, "").await.unwrap();
                }
            }
            near = from.reunite(to).unwrap();
        }
    }
    near
}

/// Every way to send, none of which has to wait for the transport.
#[tokio::test]
async fn others_have_their_turns_meanwhile() {
    const STEPS: usize = 32;
    let text = text(STEPS * 64 * 1024);
    for way in 0..WAYS {
        for (near, mut far) in pairs() {
            far.send("go").await.unwrap();
            let mut back = None;
            let turns = turns_beside(async {
                back = Some(send_some_way(near, way, &text).await);
            })
            .await;
            assert!(turns >= STEPS / 2 - 1, "{way}: {turns} turns");
            expect(&mut far, &text).await;
            assert_eq!(back.unwrap().unsent(), 0);
        }
    }
}

/// A message is taken the first time that its future is polled, and leaves whole with what comes
/// next.
#[tokio::test]
async fn whoever_gives_up_leaves_a_whole_message() {
    let text = text(1 << 20);
    for way in 0..4 {
        for (mut near, mut far) in pairs() {
            for _ in 0..2 {
                match way {
                    0 => {
                        give_up(near.send(&text)).await;
                        near.send("next").await.unwrap();
                    }
                    1 => {
                        near.feed(&text).unwrap();
                        give_up(near.flush()).await;
                        near.feed("next").unwrap();
                        near.flush().await.unwrap();
                    }
                    2 => {
                        let (from, to) = near.split();
                        give_up(to.send(&text)).await;
                        yield_now().await; // or the pipe has no time for this task
                        to.clone().try_send("next").unwrap();
                        near = from.reunite(to).unwrap();
                    }
                    _ => {
                        // half of it in one piece, half of it in two
                        let (from, to) = near.split();
                        give_up(to.send(&text)).await;
                        assert!(to.unsent() > 0);
                        near = from.reunite(to).unwrap();
                        near.send("next").await.unwrap();
                    }
                }
                expect(&mut far, &text).await;
                expect(&mut far, "next").await;
            }
            near.send(&text).await.unwrap();
            expect(&mut far, &text).await;
        }
    }
}

/// Between halves the rest is for the receiving one.
#[tokio::test]
async fn the_receiving_half_finishes_what_a_sender_gave_up() {
    let text = text(1 << 20);
    for (near, mut far) in pairs() {
        let (mut from, to) = near.split();
        let receiving = tokio::spawn(async move { from.recv().await });
        yield_now().await; // until it waits
        give_up(to.send(&text)).await;
        expect(&mut far, &text).await;
        far.send("thanks").await.unwrap();
        let message = within(receiving).await.unwrap().unwrap().unwrap();
        assert_eq!(message.as_text(), Some("thanks"));
        drop(to);
    }
}

/// Two senders at once: both messages arrive whole.
#[tokio::test]
async fn two_senders() {
    let texts = [text(700_000), text(500_000).replace("line", "LINE")];
    for (near, mut far) in pairs() {
        let (_from, to) = near.split();
        let sending = async {
            let (one, other) = tokio::join!(to.send(&texts[0]), to.send(&texts[1]));
            one.and(other).unwrap();
        };
        within(sending).await;
        expect(&mut far, &texts[0]).await;
        expect(&mut far, &texts[1]).await;
    }
}

/// A Close that comes in the middle is answered behind the message.
#[tokio::test]
async fn the_peers_close_waits_for_it() {
    let text = text(1 << 20);
    for halves in [true, false] {
        for (mut near, mut far) in pairs() {
            far.start_close(CloseCode::NORMAL, "").unwrap();
            far.flush().await.unwrap();
            let sent = near.feed(&text);
            sent.unwrap();
            let turns = turns_beside(async {
                if halves {
                    let (mut from, to) = near.split();
                    assert!(from.recv().now_or_never().is_none());
                    assert!(to.unsent() > 0);
                    let (ended, ()) = tokio::join!(from.recv(), async {
                        expect(&mut far, &text).await;
                        assert_eq!(far.recv().await.unwrap(), None);
                        drop(far);
                    });
                    assert_eq!(ended.unwrap(), None);
                } else {
                    let (ended, ()) = tokio::join!(near.recv(), async {
                        expect(&mut far, &text).await;
                        assert_eq!(far.recv().await.unwrap(), None);
                        drop(far);
                    });
                    assert_eq!(ended.unwrap(), None);
                }
            })
            .await;
            assert!(turns >= 7, "{turns} turns");
        }
    }
}
