//! Room in the transport is news for everyone who waits for it, whatever becomes of the others.

use core::time::Duration;

use sansws::Config;
use tokio::task::JoinHandle;

use crate::tokio::split::peer::{peer_on, piped, tcp_pair, within};
use sansws_test::wire::BINARY;

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
    let (_receiver, sender) =
        crate::tokio::split::peer::server(near, &Config::new().max_unsent(1000)).into_split();
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
