//! Room in the transport is news for everyone who waits for it, whatever becomes of the others.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex};

use sansws::Config;
use sansws::tokio::{Locked, Sender};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::task::JoinHandle;

use crate::tokio::split::peer::{peer_on, piped, server, tcp_pair, within};
use sansws_test::wire::{BINARY, Frame, TEXT};

/// Numbers without a pattern, the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Several senders are blocked on a full pipe. Some of them are dropped while the peer begins to
/// read; all others finish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_go_on_when_one_is_dropped() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..1500 {
        let max_unsent = if random.below(2) == 0 { 1 } else { 1 << 20 };
        let (ws, mut peer) = piped(32, &Config::new().max_unsent(max_unsent));
        let (mut receiver, sender) = ws.split();
        let receiving = (random.below(2) == 0)
            .then(|| tokio::spawn(async move { receiver.recv().await.map(|_| ()) }));
        let mut blocked: Vec<JoinHandle<_>> = (0..2 + random.below(3))
            .map(|id| {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(&[id as u8; 100]).await })
            })
            .collect();
        for _ in 0..random.below(4) {
            tokio::task::yield_now().await;
        }
        let dropped = blocked.swap_remove(random.below(blocked.len() as u64) as usize);
        let reading = tokio::spawn(async move {
            let mut count = 0;
            while let Some(frame) = peer.frame().await {
                assert_eq!((frame.whole(), frame.payload.len()), (BINARY, 100));
                count += 1;
            }
            count
        });
        for _ in 0..random.below(4) {
            tokio::task::yield_now().await;
        }
        dropped.abort();
        let rest = blocked.len();
        for task in blocked {
            within(task).await.unwrap().unwrap();
        }
        let was_sent = within(dropped).await.is_ok();
        within(sender.flush()).await.unwrap();
        if let Some(receiving) = receiving {
            receiving.abort();
            let _ = within(receiving).await;
        }
        drop(sender);
        let count = within(reading).await.unwrap();
        assert!(
            (rest + usize::from(was_sent)..=rest + 1).contains(&count),
            "round {round}: {count}"
        );
    }
}

/// One blocked sender gives up again and again; the other one, which waits behind it all the time,
/// gets its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impatient_senders_steal_no_wake_up() {
    let (near, far) = tcp_pair().await;
    let (_receiver, sender) = server(near, &Config::new().max_unsent(1000)).into_split();
    let mut peer = peer_on(far);
    let impatient = {
        let sender = sender.clone();
        tokio::spawn(async move {
            let wait = Duration::from_micros(200);
            // until the peer is gone
            while !matches!(tokio::time::timeout(wait, sender.send(&[0; 40_000])).await, Ok(Err(_)))
            {
            }
        })
    };
    let patient = tokio::spawn(async move {
        for number in 1..=100 {
            sender.send(&[number; 40_000]).await.unwrap();
        }
    });
    let mut next = 1;
    while next <= 100 {
        let frame = peer.frame().await.unwrap();
        assert_eq!(frame.payload.len(), 40_000);
        if frame.payload[0] != 0 {
            assert_eq!(frame.payload[0], next);
            next += 1;
        }
    }
    within(patient).await.unwrap();
    drop(peer);
    within(impatient).await.unwrap();
}

/// A pipe that is read late: by then a sender has queued a message, and is gone.
struct Late {
    io: DuplexStream,
    sender: Arc<Mutex<Option<Sender<Locked<Self>>>>>,
}

impl AsyncRead for Late {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(sender) = self.sender.lock().unwrap().take() {
            sender.feed("left").unwrap();
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Late {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The receiving half has found nothing to write and is about to wait. What is left to it then
/// leaves all the same.
#[tokio::test]
async fn the_receiver_misses_no_call() {
    let (near, far) = duplex(64);
    let late = Arc::new(Mutex::new(None));
    let ws = server(Late { io: near, sender: Arc::clone(&late) }, &Config::new());
    let (mut receiver, sender) = ws.split();
    *late.lock().unwrap() = Some(sender);
    let receiving = tokio::spawn(async move { receiver.recv().await });
    let mut peer = peer_on(far);
    peer.expect(Frame::new(TEXT, "left")).await;
    receiving.abort();
}
