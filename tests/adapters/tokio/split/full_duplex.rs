//! Two tasks on each end, both directions at once.

use sansws::tokio::{Receiver, Sender, SplitStream};
use sansws::{Config, KeepAlive, Message};
use tokio::io::duplex;

use crate::tokio::split::peer::{Trickle, client, server, tcp_pair, unix_pair, within};

const MESSAGES: usize = 10_000;

/// The message with this number; every tenth is larger than what a pipe or a small buffer holds.
fn message(number: usize, longest: usize) -> Message {
    let len = if number.is_multiple_of(10) { longest } else { longest.min(number % 50) };
    let mut payload = number.to_string();
    payload.extend(core::iter::repeat_n('.', len.saturating_sub(payload.len())));
    if number.is_multiple_of(2) {
        Message::from(payload)
    } else {
        Message::from(payload.into_bytes())
    }
}

type Halves<S> = (Receiver<S>, Sender<S>);

/// Sends and receives [`MESSAGES`] on both ends; closes from one of them.
async fn converse<A, B>(near: Halves<A>, far: Halves<B>, longest: usize)
where
    A: SplitStream<ReadHalf: Send, WriteHalf: Send> + 'static,
    B: SplitStream<ReadHalf: Send, WriteHalf: Send> + 'static,
{
    async fn send<S: SplitStream>(sender: Sender<S>, longest: usize) {
        for number in 0..MESSAGES {
            sender.send(&message(number, longest)).await.unwrap();
        }
    }

    /// Returns at the last message, so that the end can be left to one side.
    async fn receive<S: SplitStream>(mut receiver: Receiver<S>, longest: usize) -> Receiver<S> {
        for number in 0..MESSAGES {
            let received = receiver.recv().await.unwrap();
            assert_eq!(received, Some(message(number, longest)));
        }
        receiver
    }

    let closer = near.1.clone();
    let sending = [tokio::spawn(send(near.1, longest)), tokio::spawn(send(far.1, longest))];
    let near = tokio::spawn(receive(near.0, longest));
    let far = tokio::spawn(receive(far.0, longest));
    for task in sending {
        within(task).await.unwrap();
    }
    let (mut near, mut far) = (within(near).await.unwrap(), within(far).await.unwrap());
    within(closer.close(sansws::CloseCode::GOING_AWAY, "done")).await.unwrap();
    let (a, b) = within(async { tokio::join!(near.recv(), far.recv()) }).await;
    assert_eq!((a.unwrap(), b.unwrap()), (None, None));
    for info in [near.close_info(), far.close_info()] {
        assert!(info.as_ref().is_some_and(|info| info.clean && info.code == 1001), "{info:?}");
    }
}

fn config() -> Config {
    Config::new().max_unsent(4096).keep_alive(KeepAlive::Off)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_small_pipe() {
    let (near, far) = duplex(256);
    converse(server(near, &config()).split(), client(far, &config()).split(), 700).await;
}

#[tokio::test]
async fn over_single_bytes() {
    let (near, far) = duplex(64);
    let near = server(Trickle::new(near), &config());
    converse(near.split(), client(far, &config()).split(), 9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp() {
    let (near, far) = tcp_pair().await;
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    converse(server(near, &config()).into_split(), client(far, &config()).into_split(), 9000).await;
}

/// Also with the lock that other streams need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_unix_socket() {
    let (near, far) = unix_pair();
    converse(server(near, &config()).into_split(), client(far, &config()).split(), 9000).await;
}

#[tokio::test]
async fn in_one_thread() {
    let (near, far) = duplex(100);
    converse(server(near, &config()).split(), client(far, &config()).split(), 300).await;
}
