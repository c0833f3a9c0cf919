//! Clones of one sender in tasks that run in parallel.

use sansws::{Config, Message, PreparedMessage};
use tokio::io::AsyncWriteExt;

use crate::tokio::split::peer::{peer_on, piped, within};
use sansws_test::wire::{self, BINARY, PING, PONG};

const SENDERS: usize = 6;
const MESSAGES: usize = 400;

/// Whose message, the how manieth, and as much of a pattern as makes frames of all sizes.
fn payload(sender: usize, number: usize) -> Vec<u8> {
    let len = (sender * 7919 + number * 131) % 1500;
    let mut payload = vec![sender as u8, (number >> 8) as u8, number as u8];
    payload.extend((0..len).map(|at| (at * 31 + sender + number) as u8));
    payload
}

/// Every way to send, in turn. The messages of each sender arrive whole and in order, with control
/// frames between them and never in them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_stay_whole_and_in_order() {
    let (ws, peer) = piped(97, &Config::new().max_unsent(4000));
    let (mut receiver, sender) = ws.split();
    let receiving =
        tokio::spawn(async move { while receiver.recv().await.is_ok_and(|m| m.is_some()) {} });
    let sending: Vec<_> = (0..SENDERS)
        .map(|id| {
            let sender = sender.clone();
            tokio::spawn(async move {
                for number in 0..MESSAGES {
                    let payload = payload(id, number);
                    match number % 4 {
                        0 => sender.send(&payload[..]).await.unwrap(),
                        1 => sender.send(&Message::from(payload)).await.unwrap(),
                        2 => {
                            let prepared = PreparedMessage::new(payload).unwrap();
                            sender.send(&prepared).await.unwrap();
                        }
                        _ => {
                            while sender.try_send(&payload[..]).is_err() {
                                sender.flush().await.unwrap();
                            }
                        }
                    }
                }
            })
        })
        .collect();

    let (read, mut write) = tokio::io::split(peer.io);
    let pinging = tokio::spawn(async move {
        for number in 0..200_u8 {
            write.write_all(&wire::client(PING, &[number])).await.unwrap();
            tokio::task::yield_now().await;
        }
        write
    });
    let mut next = [0; SENDERS];
    let mut pongs = Vec::new();
    let mut peer = peer_on(tokio::io::join(read, tokio::io::sink()));
    while next != [MESSAGES; SENDERS] || pongs.last() != Some(&199) {
        let frame = peer.frame().await.unwrap();
        match frame.whole() {
            BINARY => {
                let id = usize::from(frame.payload[0]);
                assert_eq!(frame.payload, payload(id, next[id]));
                next[id] += 1;
            }
            PONG => pongs.extend(frame.payload),
            other => panic!("{other:#04x}"),
        }
    }
    assert!(pongs.is_sorted(), "{pongs:?}");
    for task in sending {
        within(task).await.unwrap();
    }
    let write = within(pinging).await.unwrap();
    within(sender.flush()).await.unwrap();
    assert_eq!(sender.unsent(), 0);
    drop((peer, write));
    within(receiving).await.unwrap();
}
