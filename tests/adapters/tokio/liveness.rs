//! Time: pings, time-outs, and peers that do nothing. The clock is paused: these tests take no
//! time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use sansws::proto::{Initiator, State, Timeout};
use sansws::{CloseCode, Config, Error, Event, KeepAlive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use tokio::time::{Instant, sleep};

use crate::tokio::peer::{Peer, client_and_peer, clock_is_paused, server, server_on, within};
use sansws_test::wire;

fn quiet() -> Config {
    Config::new().keep_alive(KeepAlive::Off)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// 20 s to the ping, 20 s for the answer.
#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_nothing_is_given_up_after_forty_seconds() {
    clock_is_paused();
    for is_server in [true, false] {
        let config = Config::new();
        let (mut ws, mut peer) = match is_server {
            true => server(&config, 1024).await,
            false => client_and_peer(&config, 1024).await,
        };
        let start = Instant::now();
        let talk = async {
            let ping = peer.frame().await.unwrap();
            assert_eq!((ping.opcode, ping.mask.is_some()), (wire::PING, !is_server));
            start.elapsed()
        };
        let (result, pinged) = within(async { tokio::join!(ws.recv(), talk) }).await;
        assert_eq!((pinged.as_secs(), start.elapsed().as_secs()), (20, 40));
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Timeout(Timeout::KeepAlive)), "{error:?}");
        assert!(error.is_timeout() && !error.is_disconnect());
        for _ in 0..3 {
            assert!(within(ws.recv()).await.unwrap_err().is_timeout());
            assert!(within(ws.send("hello?")).await.unwrap_err().is_timeout());
            assert!(within(ws.close(CloseCode::NORMAL, "")).await.unwrap_err().is_timeout());
        }
        let info = ws.close_info().unwrap();
        assert_eq!((info.initiator, info.code, info.clean), (Initiator::Local, 1006, false));
        assert_eq!(ws.state(), State::Closed);
    }
}

/// A pong is an answer, and its time is measured.
#[tokio::test(start_paused = true)]
async fn a_pong_keeps_the_connection_and_is_measured() {
    clock_is_paused();
    let (mut ws, mut peer) = server(&Config::new(), 1024).await;
    assert_eq!(ws.round_trip(), None);
    let start = Instant::now();
    let talk = async {
        for _ in 0..10 {
            let ping = peer.frame().await.unwrap();
            assert_eq!(ping.opcode, wire::PING);
            sleep(Duration::from_millis(300)).await;
            peer.send(&wire::client(wire::PONG, &ping.payload)).await;
        }
        peer.send(&wire::client(wire::TEXT, b"enough")).await;
    };
    let (message, ()) = within(async { tokio::join!(ws.recv(), talk) }).await;
    assert_eq!(message.unwrap(), Some("enough".into()));
    assert_eq!(start.elapsed().as_secs(), 200);
    assert_eq!(ws.round_trip().unwrap().as_millis() / 10, 30);
}

/// K-5: any byte shows for minutes that the peer lives, also one of a message that never ends; the
/// ping goes out all the same.
#[tokio::test(start_paused = true)]
async fn any_byte_keeps_the_connection() {
    clock_is_paused();
    let (mut ws, peer) = server(&Config::new(), 4096).await;
    let start = Instant::now();
    let (mut from, mut to) = tokio::io::split(peer.io);
    let talk = async {
        let message = wire::client(wire::BINARY, &[1; 14]);
        for byte in &message[..message.len() - 1] {
            sleep(secs(15)).await;
            to.write_all(&[*byte]).await.unwrap();
        }
        sleep(secs(15)).await;
        to.write_all(&message[message.len() - 1..]).await.unwrap();
    };
    let (message, ()) = within(async { tokio::join!(ws.recv(), talk) }).await;
    assert_eq!(message.unwrap().unwrap().as_bytes(), [1; 14]);
    assert_eq!(start.elapsed().as_secs(), 20 * 15);
    drop(ws);
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).await.unwrap();
    let pings = wire::frames(&bytes);
    assert_eq!(pings.len(), 1, "one at a time: {pings:?}");
}

/// Off is off, and other times are other times.
#[tokio::test(start_paused = true)]
async fn keep_alive_is_a_setting() {
    clock_is_paused();
    let (mut ws, mut peer) = server(&quiet(), 1024).await;
    let talk = async {
        sleep(secs(3000)).await;
        assert!(peer.frame().now_or_never().is_none(), "something was sent");
        peer.send(&wire::client(wire::TEXT, b"still there?")).await;
    };
    let (message, ()) = within(async { tokio::join!(ws.recv(), talk) }).await;
    assert_eq!(message.unwrap(), Some("still there?".into()));

    let config = Config::new().keep_alive(KeepAlive::Every(secs(3))).pong_timeout(secs(2));
    let (mut ws, mut peer) = server(&config, 1024).await;
    let start = Instant::now();
    let talk = async {
        assert_eq!(peer.frame().await.unwrap().opcode, wire::PING);
        start.elapsed().as_secs()
    };
    let (result, pinged) = within(async { tokio::join!(ws.recv(), talk) }).await;
    assert!(result.unwrap_err().is_timeout());
    assert_eq!((pinged, start.elapsed().as_secs()), (3, 5));
}

/// A program that was busy or suspended for an hour sends one ping and gives the peer the
/// full time for the answer.
#[tokio::test(start_paused = true)]
async fn an_hour_without_a_call_costs_one_ping() {
    clock_is_paused();
    let (mut ws, mut peer) = server(&Config::new(), 1024).await;
    assert!(ws.recv().now_or_never().is_none());
    sleep(secs(3600)).await;
    let start = Instant::now();
    let talk = async {
        let ping = peer.frame().await.unwrap();
        sleep(secs(19)).await;
        peer.send(&wire::client(wire::PONG, &ping.payload)).await;
        peer.send(&wire::client(wire::TEXT, b"here")).await;
    };
    let (message, ()) = within(async { tokio::join!(ws.recv(), talk) }).await;
    assert_eq!(message.unwrap(), Some("here".into()));
    assert_eq!(start.elapsed().as_secs(), 19);
}

/// Bytes that wait to be read prove that the peer was there, whatever the clock says.
#[tokio::test(start_paused = true)]
async fn bytes_that_wait_count_as_alive() {
    clock_is_paused();
    let (mut ws, mut peer) = server(&Config::new(), 1024).await;
    assert!(ws.recv().now_or_never().is_none());
    sleep(secs(21)).await;
    assert!(ws.recv().now_or_never().is_none()); // the ping
    let ping = peer.frame().await.unwrap();
    peer.send(&wire::client(wire::PONG, &ping.payload)).await;
    sleep(secs(100)).await; // nobody looks
    let start = Instant::now();
    let talk = async {
        assert_eq!(peer.frame().await.unwrap().opcode, wire::PING);
        peer.send(&wire::client(wire::TEXT, b"alive")).await;
    };
    let (message, ()) = within(async { tokio::join!(ws.recv(), talk) }).await;
    assert_eq!(message.unwrap(), Some("alive".into()));
    assert!(start.elapsed() < secs(1));
}

///
#[tokio::test(start_paused = true)]
async fn a_close_that_nobody_answers_times_out_after_ten_seconds() {
    clock_is_paused();
    for config in [Config::new(), Config::new().keep_alive(KeepAlive::Off)] {
        let (mut ws, mut peer) = server(&config, 1024).await;
        let start = Instant::now();
        let talk = async {
            assert_eq!(peer.frame().await.unwrap().close_code(), Some(1001));
            // all but an answer
            for _ in 0..30 {
                sleep(Duration::from_millis(300)).await;
                peer.send(&wire::client(wire::TEXT, b"la la la")).await;
            }
        };
        let close = ws.close(CloseCode::GOING_AWAY, "");
        let (closed, ()) = within(async { tokio::join!(close, talk) }).await;
        let error = closed.unwrap_err();
        assert!(matches!(error, Error::Timeout(Timeout::Closing)), "{error:?}");
        assert!(error.is_timeout());
        assert_eq!(start.elapsed().as_secs(), 10);
        let info = ws.close_info().unwrap();
        assert_eq!((info.code, info.clean), (1006, false));
        assert!(within(ws.recv()).await.unwrap_err().is_timeout());
    }
}

/// The same through `recv`.
#[tokio::test(start_paused = true)]
async fn the_close_timeout_runs_in_recv() {
    clock_is_paused();
    let config = quiet().close_timeout(secs(2));
    let (mut ws, _peer) = client_and_peer(&config, 1024).await;
    let start = Instant::now();
    ws.start_close(CloseCode::NORMAL, "").unwrap();
    let error = within(ws.recv()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(Timeout::Closing)), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 2);
}

/// A peer that answers the Close and never ends TCP. The closing handshake is complete,
/// so this is a clean end.
#[tokio::test(start_paused = true)]
async fn a_peer_that_never_ends_tcp_is_not_waited_for() {
    clock_is_paused();
    for (is_server, patience) in [(true, 1), (false, 10)] {
        let (mut ws, mut peer) = match is_server {
            true => server(&quiet(), 1024).await,
            false => client_and_peer(&quiet(), 1024).await,
        };
        let start = Instant::now();
        let talk = async {
            let close = peer.frame().await.unwrap();
            let frame = if is_server { wire::client } else { wire::server };
            peer.send(&frame(wire::CLOSE, &close.payload)).await;
        };
        let (closed, ()) =
            within(async { tokio::join!(ws.close(CloseCode::NORMAL, ""), talk) }).await;
        closed.unwrap();
        assert_eq!(start.elapsed().as_secs(), patience);
        assert!(ws.close_info().unwrap().clean);
        assert_eq!(within(ws.recv()).await.unwrap(), None);
        drop(peer);
    }
}

/// K-8: a peer that takes no bytes is noticed while `send` waits.
#[tokio::test(start_paused = true)]
async fn a_blocked_send_times_out() {
    clock_is_paused();
    let config = Config::new().max_unsent(1000);
    for len in [100, 100_000] {
        let (mut ws, _peer) = server(&config, 64).await;
        let start = Instant::now();
        let payload = vec![0; len];
        let error = loop {
            // several small ones, so that it is the wait for room that is stuck
            match within(ws.send(&payload)).await {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Timeout(Timeout::KeepAlive)), "{error:?}");
        assert_eq!(start.elapsed().as_secs(), 40);
        assert!(within(ws.recv()).await.unwrap_err().is_timeout());
    }
}

/// K-8: the same where messages are fed, and one more `send` waits for room.
#[tokio::test(start_paused = true)]
async fn a_send_that_waits_for_room_times_out() {
    clock_is_paused();
    let (mut ws, _peer) = server(&Config::new().max_unsent(1000), 64).await;
    while ws.feed(&[0; 100][..]).is_ok() {}
    let start = Instant::now();
    let error = within(ws.send("no room")).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 40);
}

/// K-8: a blocked flush, and a blocked `recv` that has too much unsent to take in more.
#[tokio::test(start_paused = true)]
async fn a_blocked_flush_times_out_and_so_does_recv() {
    clock_is_paused();
    for receives in [false, true] {
        let (mut ws, _peer) = server(&Config::new().max_unsent(1000), 64).await;
        ws.feed(&[0; 2000][..]).unwrap();
        let start = Instant::now();
        let result = match receives {
            true => within(ws.recv()).await.map(drop),
            false => within(ws.flush()).await,
        };
        assert!(result.unwrap_err().is_timeout());
        assert_eq!(start.elapsed().as_secs(), 40);
    }
}

/// K-8, the other way: a peer that takes a few bytes now and then is slow, and not dead.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_given_up() {
    clock_is_paused();
    let (mut ws, mut peer) = server(&Config::new(), 16).await;
    let start = Instant::now();
    let send = async {
        ws.send(&[0; 1000][..]).await.unwrap();
        drop(ws);
    };
    let read = async {
        let mut bytes = Vec::new();
        let mut chunk = [0; 16];
        loop {
            sleep(secs(10)).await;
            match peer.io.read(&mut chunk).await.unwrap() {
                0 => return bytes,
                n => bytes.extend_from_slice(&chunk[..n]),
            }
        }
    };
    let ((), bytes) = within(async { tokio::join!(send, read) }).await;
    assert!(start.elapsed() > secs(600), "{:?}", start.elapsed());
    let frames = wire::frames(&bytes);
    assert_eq!(frames.iter().filter(|frame| frame.opcode == wire::BINARY).count(), 1);
}

/// the Close that reports a violation is not waited for longer than the end of TCP would be.
#[tokio::test(start_paused = true)]
async fn a_violation_by_a_peer_that_does_not_read_ends_in_time() {
    clock_is_paused();
    for (is_server, patience) in [(true, 1), (false, 10)] {
        let (mut ws, mut peer) = match is_server {
            true => server(&quiet(), 1024).await,
            false => client_and_peer(&quiet(), 1024).await,
        };
        ws.feed(&[0; 5000][..]).unwrap(); // more than the pipe holds
        let start = Instant::now();
        let wrong = if is_server { wire::server } else { wire::client };
        peer.send(&wrong(wire::TEXT, b"")).await;
        let error = within(ws.recv()).await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error:?}");
        assert_eq!(start.elapsed().as_secs(), patience);
    }
}

/// The default is for sockets that this adapter opened; the handshake of others was done elsewhere,
/// with the same configuration.
#[tokio::test(start_paused = true)]
async fn a_wait_that_begins_late_begins_then() {
    clock_is_paused();
    let (mut ws, mut peer) = server(&Config::new(), 1024).await;
    sleep(secs(100)).await; // nobody waits for anything
    assert!(peer.frame().now_or_never().is_none());
    let start = Instant::now();
    let talk = async {
        assert_eq!(peer.frame().await.unwrap().opcode, wire::PING);
        start.elapsed().as_secs()
    };
    let (error, pinged) = within(async { tokio::join!(ws.next_event(), talk) }).await;
    assert!(error.unwrap_err().is_timeout());
    assert_eq!((pinged, start.elapsed().as_secs()), (20, 40));
}

/// The events that keep-alive causes are the peer's pongs, and nothing else.
#[tokio::test(start_paused = true)]
async fn a_keep_alive_ping_causes_one_event() {
    clock_is_paused();
    let (mut ws, mut peer) = client_and_peer(&Config::new(), 1024).await;
    let talk = async {
        let ping = peer.frame().await.unwrap();
        peer.send(&wire::server(wire::PONG, &ping.payload)).await;
        ping.payload
    };
    let (event, payload) = within(async { tokio::join!(ws.next_event(), talk) }).await;
    let (event, _) = event.unwrap().unwrap();
    assert!(matches!(event, Event::Pong(pong) if pong == payload), "{event:?}");
}

/// A stream whose shutdown never ends.
struct NoShutdown<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for NoShutdown<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for NoShutdown<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

/// A TLS stream waits for room for its goodbye; nobody waits longer than for the end of TCP.
#[tokio::test(start_paused = true)]
async fn a_shutdown_that_never_ends_is_not_waited_for() {
    clock_is_paused();
    let (near, far) = duplex(1024);
    let mut ws = server_on(NoShutdown(near), &quiet());
    let mut peer = Peer::new(far);
    peer.send(&wire::client(wire::CLOSE, b"")).await;
    let start = Instant::now();
    assert_eq!(within(ws.recv()).await.unwrap(), None);
    assert_eq!(start.elapsed().as_secs(), 1);
}
