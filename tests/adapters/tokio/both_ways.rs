//! Two ends in one piece that have both queued more than lies between them, and receive: neither
//! may wait for the other to read first.

use futures_util::StreamExt;
use sansws::tokio::{SplitStream, WebSocket};
use sansws::{Config, Error, Event, KeepAlive, Message};
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio::net::UnixStream;

use crate::tokio::peer::{client_on, server_on, tcp, within};

const MAX_UNSENT: usize = 1_000_000;

/// Fills the send buffer: messages of one length, and a last one that there is just room for.
fn fill<S>(ws: &mut WebSocket<S>, len: usize, last: usize) -> usize {
    let mut fed = 0;
    while ws.unsent() + len + 20 < MAX_UNSENT {
        ws.feed(vec![1; len]).unwrap();
        fed += len;
    }
    ws.feed(vec![2; last]).unwrap();
    fed + last
}

#[derive(Clone, Copy, Debug)]
enum How {
    Recv,
    NextEvent,
    Stream,
}

async fn next<S: AsyncRead + AsyncWrite + Unpin>(
    ws: &mut WebSocket<S>,
    how: How,
) -> Result<Option<Message>, Error> {
    match how {
        How::Recv => ws.recv().await,
        How::NextEvent => {
            Ok(ws.next_event().await?.and_then(|(event, _): (Event<'_>, _)| event.into_message()))
        }
        How::Stream => ws.next().await.transpose(),
    }
}

async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    ws: &mut WebSocket<S>,
    how: How,
    mut left: usize,
) {
    while left > 0 {
        left -= next(ws, how).await.unwrap().unwrap().len();
    }
    ws.flush().await.unwrap();
}

async fn both<S: AsyncRead + AsyncWrite + Unpin>((near, far): (S, S), how: How, len: usize) {
    let config = Config::new().keep_alive(KeepAlive::Off).max_unsent(MAX_UNSENT);
    let (mut a, mut b) = (server_on(near, &config), client_on(far, &config));
    for last in [[2000, 2000], [8_000_000, 2000], [7_000_000, 10_000_000]] {
        let (from_a, from_b) = (fill(&mut a, len, last[0]), fill(&mut b, len, last[1]));
        within(async { tokio::join!(receive(&mut a, how, from_b), receive(&mut b, how, from_a)) })
            .await;
    }
}

#[tokio::test]
async fn two_ends_with_full_buffers_receive() {
    for how in [How::Recv, How::NextEvent, How::Stream] {
        for len in [1000, 990_000] {
            both(duplex(4096), how, len).await;
            both(UnixStream::pair().unwrap(), how, len).await;
            both(tcp().await, how, len).await;
        }
    }
}

/// Nobody remembers how much went through halves, or through parts in other hands: two ends that
/// then both have much to write do not wait for each other either.
#[tokio::test]
async fn ends_that_were_taken_apart_receive() {
    for halves in [true, false] {
        taken_apart(halves, UnixStream::pair().unwrap()).await;
        taken_apart(halves, tcp().await).await;
    }
}

async fn taken_apart<S: SplitStream<Whole = S> + AsyncRead + AsyncWrite + Unpin>(
    halves: bool,
    (near, far): (S, S),
) {
    let config = Config::new().keep_alive(KeepAlive::Off).max_unsent(MAX_UNSENT);
    let (mut a, mut b) = (server_on(near, &config), client_on(far, &config));
    let sent = vec![1; 15_000_000];
    let (sent, received) = within(async { tokio::join!(a.send(sent), b.recv()) }).await;
    assert_eq!((sent.unwrap(), received.unwrap().unwrap().len()), ((), 15_000_000));
    a = if halves {
        let (receiver, sender) = a.split();
        receiver.reunite(sender).unwrap()
    } else {
        WebSocket::from_parts(a.into_parts())
    };
    let sent = vec![1; 8_000_000];
    let (received, sent) = within(async { tokio::join!(a.recv(), b.send(sent)) }).await;
    assert_eq!((sent.unwrap(), received.unwrap().unwrap().len()), ((), 8_000_000));
    a.feed(vec![1; 6_000_000]).unwrap();
    b.feed(vec![1; 6_000_000]).unwrap();
    let (a, b) = (&mut a, &mut b);
    let both =
        async { tokio::join!(receive(a, How::Recv, 6_000_000), receive(b, How::Recv, 6_000_000)) };
    within(both).await;
}
