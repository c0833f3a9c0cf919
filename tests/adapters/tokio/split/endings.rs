//! How senders learn that it is over: from their next call, and while they are blocked.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use futures_util::SinkExt;
use sansws::proto::{SendError, State};
use sansws::tokio::Sender;
use sansws::{CloseCode, Config, Error, Event, KeepAlive, Message, ProtocolError};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::tokio::faulty::{Fault, Faulty};
use crate::tokio::split::peer::{Peer, peer_on, piped, server, within};
use sansws_test::wire::{CLOSE, Frame, TEXT, close_payload};

type Pipe = sansws::tokio::Locked<DuplexStream>;

/// What happens on the connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    PeerCloses,
    Eof,
    Violation,
    Silence,
    WeClose,
}

const CAUSES: [Cause; 5] =
    [Cause::PeerCloses, Cause::Eof, Cause::Violation, Cause::Silence, Cause::WeClose];

fn config() -> Config {
    Config::new()
        .max_unsent(16)
        .keep_alive(KeepAlive::Every(Duration::from_secs(20)))
        .pong_timeout(Duration::from_secs(20))
}

async fn bring_about(cause: Cause, peer: &mut Peer<DuplexStream>, sender: &Sender<Pipe>) {
    match cause {
        Cause::PeerCloses => peer.send_frame(CLOSE, close_payload(1001, "")).await,
        Cause::Eof => peer.io.shutdown().await.unwrap(),
        Cause::Violation => peer.send_frame(3, []).await,
        Cause::Silence => {}
        Cause::WeClose => {
            let sender = sender.clone();
            tokio::spawn(async move { sender.close(CloseCode::NORMAL, "").await });
        }
    }
}

/// What every call of a sender says afterwards.
fn is_the_end(cause: Cause, error: &Error) -> bool {
    match cause {
        // the latter if our answer could not leave
        Cause::PeerCloses => {
            matches!(error, Error::Send(SendError::NotOpen) | Error::Disconnected(None))
        }
        Cause::Eof => matches!(error, Error::Disconnected(None)),
        Cause::Violation => matches!(error, Error::Protocol(ProtocolError::ReservedOpcode(3))),
        Cause::Silence | Cause::WeClose => error.is_timeout(),
    }
}

/// One sender waits for its bytes to be written, one for room. Both hear of the end, however it
/// comes, though the peer never reads.
#[tokio::test(start_paused = true)]
async fn blocked_senders_are_told() {
    for cause in CAUSES {
        let (ws, mut peer) = piped(64, &config());
        let (mut receiver, sender) = ws.split();
        let receiving = tokio::spawn(async move { (receiver.recv().await, receiver) });
        let blocked: Vec<JoinHandle<_>> = (0..3)
            .map(|_| {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(&[0; 1000]).await })
            })
            .collect();
        sleep(Duration::from_secs(1)).await;
        assert!(blocked.iter().all(|task| !task.is_finished()), "{cause:?}");
        assert!(sender.unsent() > 16, "{cause:?}");

        let start = Instant::now();
        bring_about(cause, &mut peer, &sender).await;
        let mut errors = Vec::new();
        for task in blocked {
            errors.push(within(task).await.unwrap().unwrap_err());
        }
        let took = start.elapsed();
        let expected = match cause {
            Cause::Eof => 0..1,
            // a server that has said its last word waits for a second
            Cause::Violation => 0..2,
            // and one that cannot, for messages and its Close to leave
            Cause::WeClose | Cause::PeerCloses => 9..11,
            Cause::Silence => 38..40,
        };
        assert!(expected.contains(&took.as_secs()), "{cause:?} took {took:?}");
        for error in &errors {
            let not_open = matches!(error, Error::Send(SendError::NotOpen));
            assert!(is_the_end(cause, error) || not_open, "{cause:?}: {error:?}");
        }
        assert!(errors.iter().any(|error| is_the_end(cause, error)), "{cause:?}: {errors:?}");

        let (end, receiver) = within(receiving).await.unwrap();
        assert!(is_the_end(cause, &end.unwrap_err()), "{cause:?}");
        // for ever after, and the same for both halves
        for _ in 0..2 {
            assert!(is_the_end(cause, &sender.send("x").await.unwrap_err()), "{cause:?}");
            assert!(is_the_end(cause, &sender.try_send("x").unwrap_err()), "{cause:?}");
            assert!(is_the_end(cause, &sender.feed("x").unwrap_err()), "{cause:?}");
            assert!(is_the_end(cause, &sender.flush().await.unwrap_err()), "{cause:?}");
            let closed = sender.close(CloseCode::NORMAL, "").await;
            assert!(is_the_end(cause, &closed.unwrap_err()), "{cause:?}");
            assert_eq!(sender.state(), State::Closed);
        }
        assert_eq!(receiver.close_info(), sender.close_info());
        let info = sender.close_info().unwrap();
        assert!(!info.clean, "nothing of ours has left: {info:?}");
    }
}

/// The next call of a sender that was doing nothing when it happened.
#[tokio::test(start_paused = true)]
async fn the_next_call_tells() {
    for cause in CAUSES {
        let (ws, mut peer) = piped(1024, &config());
        let (mut receiver, sender) = ws.split();
        let receiving = tokio::spawn(async move { receiver.recv().await });
        bring_about(cause, &mut peer, &sender).await;
        let _ = within(receiving).await.unwrap();
        let error = within(sender.send("too late")).await.unwrap_err();
        assert!(is_the_end(cause, &error), "{cause:?}: {error:?}");
    }
}

/// The receiver has seen the peer's Close and does nothing any more; the peer does not read. Nobody
/// but the senders themselves can find out that this has no end.
#[tokio::test(start_paused = true)]
async fn senders_do_not_wait_for_an_idle_receiver_to_give_up() {
    for receiver_stays in [true, false] {
        let (ws, mut peer) = piped(64, &Config::new().max_unsent(16));
        let (mut receiver, sender) = ws.split();
        let blocked: Vec<JoinHandle<_>> = (0..3)
            .map(|_| {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(&[0; 1000]).await })
            })
            .collect();
        sleep(Duration::from_millis(1)).await;
        peer.send_frame(CLOSE, close_payload(1000, "")).await;
        let event = within(receiver.next_event()).await.unwrap();
        assert!(matches!(event, Some(Event::Close(Some(_)))), "{event:?}");
        let kept = receiver_stays.then_some(receiver);
        let start = Instant::now();
        for task in blocked {
            let error = within(task).await.unwrap().unwrap_err();
            let is_the_end =
                matches!(error, Error::Send(SendError::NotOpen) | Error::Disconnected(None));
            assert!(is_the_end, "{error:?}");
        }
        // the time for messages and the answer to the Close to leave
        assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
        drop(kept);
    }
}

/// What was taken before the peer closed still reaches it.
#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_and_reads_on_gets_everything() {
    let (ws, mut peer) = piped(64, &Config::new());
    let (mut receiver, sender) = ws.split();
    let receiving = tokio::spawn(async move { receiver.recv().await });
    let text = "a".repeat(1000);
    let sending = tokio::spawn({
        let text = text.clone();
        async move { sender.send(&text).await }
    });
    sleep(Duration::from_millis(1)).await;
    peer.send_frame(CLOSE, close_payload(1000, "")).await;
    sleep(Duration::from_millis(500)).await;
    peer.expect(Frame::new(TEXT, &text)).await;
    peer.expect(Frame::new(CLOSE, close_payload(1000, ""))).await;
    within(sending).await.unwrap().unwrap();
    assert_eq!(peer.frame().await, None);
    drop(peer);
    assert_eq!(within(receiving).await.unwrap().unwrap(), None);
}

type Received = Result<Option<Message>, Error>;

/// The receiving half, which whoever wakes it runs at once.
struct AtOnce<F> {
    receiving: Mutex<(Pin<Box<F>>, Option<Received>)>,
    may_run: AtomicBool,
}

impl<F: Future<Output = Received>> AtOnce<F> {
    fn poll(&self, waker: &Waker) {
        let (receiving, end) = &mut *self.receiving.lock().unwrap();
        if let Poll::Ready(received) = receiving.as_mut().poll(&mut Context::from_waker(waker)) {
            *end = Some(received);
        }
    }
}

impl<F: Future<Output = Received>> Wake for AtOnce<F> {
    fn wake(self: Arc<Self>) {
        if self.may_run.swap(false, Ordering::Relaxed) {
            self.poll(Waker::noop());
        }
    }
}

/// The receiving half writes the Close, has the answer and sees the end before the sender that
/// closes comes to look: it has closed all the same.
#[tokio::test]
async fn a_close_that_the_receiver_has_done_with_already() {
    let (ws, mut peer) = piped(64, &Config::new());
    let (mut receiver, sender) = ws.split();
    let receiving = Mutex::new((Box::pin(async move { receiver.recv().await }), None));
    let receiving = Arc::new(AtOnce { receiving, may_run: AtomicBool::new(false) });
    receiving.poll(&Arc::clone(&receiving).into());
    peer.send_frame(CLOSE, close_payload(1000, "")).await;
    peer.io.shutdown().await.unwrap();
    receiving.may_run.store(true, Ordering::Relaxed);
    within(sender.close(CloseCode::NORMAL, "")).await.unwrap();
    assert_eq!(receiving.receiving.lock().unwrap().1.take().unwrap().unwrap(), None);
    peer.expect(Frame::new(CLOSE, close_payload(1000, ""))).await;
}

/// Where nothing can be written any more, a Close begins the wait for the end all the same: the
/// half that reads does not wait for a peer that says nothing.
#[tokio::test(start_paused = true)]
async fn a_close_that_cannot_leave_begins_the_end() {
    let (near, _far) = duplex(1024);
    let near = Faulty::new(near).write_fault(1, Fault::Error(ErrorKind::BrokenPipe));
    let config = Config::new().keep_alive(KeepAlive::Off).close_timeout(Duration::from_secs(7));
    let (mut receiver, sender) = server(near, &config).split();
    let receiving = tokio::spawn(async move { receiver.recv().await });
    sender.send("text").await.unwrap_err();
    assert_eq!(sender.state(), State::Open);
    sleep(Duration::from_secs(1)).await; // the half that reads waits again
    sender.close(CloseCode::NORMAL, "").await.unwrap_err();
    assert_eq!(sender.state(), State::Closing);
    let error = within(receiving).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Timeout(_) | Error::Disconnected(_)), "{error:?}");
}

/// What was written to a stream that never says that it has passed it on was sent, once both ends
/// have closed.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_flush_after_the_end() {
    for way in 0..3 {
        let (near, far) = duplex(1024);
        let ws = server(Faulty::new(near).never_flushed(), &Config::new());
        let (mut receiver, mut sender) = ws.split();
        let mut peer = peer_on(far);
        let sending = tokio::spawn(async move {
            match way {
                0 => sender.send("text").await,
                1 => sender.close(CloseCode::NORMAL, "").await,
                _ => SinkExt::close(&mut sender).await,
            }
        });
        assert_eq!(peer.frame().await.unwrap().whole(), if way == 0 { TEXT } else { CLOSE });
        peer.send_frame(CLOSE, close_payload(1000, "")).await;
        peer.io.shutdown().await.unwrap();
        assert_eq!(within(receiver.recv()).await.unwrap(), None);
        let sent = within(sending).await.unwrap();
        assert!(sent.is_ok(), "{way}: {sent:?}");
    }
}
