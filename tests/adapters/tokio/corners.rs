//! Corners in which the adapter was wrong once.

use std::time::Duration;

use futures_util::FutureExt;
use sansws::handshake::client::Request;
use sansws::proto::Timeout;
use sansws::tokio::{accept, connect_with};
use sansws::{CloseCode, Config, Error, KeepAlive};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::task::coop;
use tokio::time::{Instant, timeout};

use crate::tokio::faulty::{Fault, Faulty};
use crate::tokio::peer::{Peer, clock_is_paused, listen, server, server_on, within};
use sansws_test::wire;

fn quiet() -> Config {
    Config::new().keep_alive(KeepAlive::Off)
}

/// a peer sends a Close and half-closes while our transport takes no bytes. The reply, and
/// what was sent before it, must follow when the peer reads; the end is called clean.
#[tokio::test]
async fn a_close_reply_is_not_forgotten_when_the_peer_half_closes() {
    let (mut ws, mut peer) = server(&quiet(), 64).await;
    ws.feed(wire::pattern(100)).unwrap(); // more than the pipe holds
    peer.send(&wire::client(wire::CLOSE, &wire::close_payload(1000, ""))).await;
    peer.io.shutdown().await.unwrap();
    let receive = async move {
        let end = ws.recv().await;
        assert!(ws.close_info().unwrap().clean);
        end
    };
    let read = async {
        let (frames, _) = wire::frames_in(&peer.rest().await);
        frames.iter().map(|frame| frame.opcode).collect::<Vec<_>>()
    };
    let (end, opcodes) = within(async { tokio::join!(receive, read) }).await;
    assert_eq!(end.unwrap(), None);
    assert_eq!(opcodes, [wire::BINARY, wire::CLOSE]);
}

/// as `a_violation_by_a_peer_that_does_not_read_ends_in_time`, but the Close frame is
/// what fills the send buffer up to its limit.
#[tokio::test(start_paused = true)]
async fn a_violation_that_fills_the_send_buffer_ends_in_time() {
    clock_is_paused();
    let (mut ws, mut peer) = server(&quiet().max_unsent(1000), 64).await;
    ws.feed(&[0; 995][..]).unwrap(); // 999 bytes in all
    assert_eq!(ws.unsent(), 999);
    // the pipe takes 64 bytes of them
    assert!(ws.recv().now_or_never().is_none());
    ws.feed(&[0; 62][..]).unwrap();
    assert_eq!(ws.unsent(), 999);
    peer.send(&wire::server(wire::TEXT, b"not masked")).await;
    let start = Instant::now();
    let error = within(ws.recv()).await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 1);
}

/// The same for the peer's Close, whose reply fills the buffer.
#[tokio::test(start_paused = true)]
async fn a_close_reply_that_fills_the_send_buffer_ends_in_time() {
    clock_is_paused();
    let (mut ws, mut peer) = server(&quiet().max_unsent(1000), 64).await;
    ws.feed(&[0; 995][..]).unwrap();
    assert!(ws.recv().now_or_never().is_none());
    ws.feed(&[0; 62][..]).unwrap();
    assert_eq!(ws.unsent(), 999);
    peer.send(&wire::client(wire::CLOSE, b"")).await;
    let start = Instant::now();
    // our Close has not left, so this was no complete closing handshake
    assert!(within(ws.recv()).await.unwrap_err().is_disconnect());
    assert_eq!(start.elapsed().as_secs(), 10);
}

/// A pipe that always has bytes, as a fast peer's socket does: it yields only when tokio asks for
/// it.
struct Firehose(DuplexStream);

impl AsyncRead for Firehose {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let spent = std::task::ready!(coop::poll_proceed(cx));
        spent.made_progress();
        let frames = wire::client(wire::BINARY, &[0; 122]).repeat(buf.remaining() / 128);
        buf.put_slice(&frames);
        std::task::Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Firehose {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// a peer that does not answer a Close but sends and sends.
#[tokio::test]
async fn a_peer_that_never_stops_sending_cannot_prevent_the_close_timeout() {
    for receives in [false, true] {
        let (near, _far) = duplex(1024);
        let config = quiet().close_timeout(Duration::from_millis(100));
        let mut ws = server_on(Firehose(near), &config);
        ws.start_close(CloseCode::NORMAL, "").unwrap();
        let end = async {
            if !receives {
                return ws.close(CloseCode::NORMAL, "").await;
            }
            loop {
                match ws.recv().await {
                    Ok(Some(_)) => tokio::task::consume_budget().await,
                    other => return other.map(drop),
                }
            }
        };
        let result = timeout(Duration::from_secs(60), end).await;
        let result = result.expect("the time-out never comes");
        assert!(matches!(result, Err(Error::Timeout(Timeout::Closing))), "{result:?}");
    }
}

/// Design §6: "closed, 1006 (or 1011 where a Close can still be sent)".
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_given_up_can_read_why() {
    clock_is_paused();
    let (mut ws, mut peer) = server(&Config::new(), 1024).await;
    assert!(within(ws.recv()).await.unwrap_err().is_timeout());
    assert_eq!(ws.unsent(), 0);
    drop(ws);
    assert_eq!(peer.frame().await.unwrap().opcode, wire::PING);
    assert_eq!(peer.frame().await.unwrap().close_code(), Some(1011));
}

/// a setting is looked at before anything is connected, and named.
#[tokio::test]
async fn a_wrong_setting_is_found_before_connecting() {
    let (listener, url) = listen().await;
    drop(listener);
    let request = Request::new(&url).unwrap();
    for config in [Config::new().max_unsent(0), Config::new().handshake_timeout(Duration::ZERO)] {
        let error = within(connect_with(&request, &config)).await.unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error:?}");
    }
}

/// A transport that claims to have written more than it was given.
#[tokio::test]
async fn a_lying_transport_is_an_error_in_the_handshake() {
    let (near, mut far) = duplex(4096);
    far.write_all(wire::REQUEST.as_bytes()).await.unwrap();
    let io = Faulty::new(near).write_fault(1, Fault::TooMany);
    let error = within(accept(io)).await.unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error:?}");
}

/// A client that has closed lets TCP go, also while the socket object lives on: the server would
/// wait for the end of file otherwise, a second for each connection.
#[tokio::test(start_paused = true)]
async fn a_closed_client_ends_tcp() {
    clock_is_paused();
    let (mut ws, mut peer) = crate::tokio::peer::client_and_peer(&quiet(), 1024).await;
    let talk = async {
        let close = peer.frame().await.unwrap();
        peer.send(&wire::server(wire::CLOSE, &close.payload)).await;
        peer.io.shutdown().await.unwrap();
    };
    let (closed, ()) = within(async { tokio::join!(ws.close(CloseCode::NORMAL, ""), talk) }).await;
    closed.unwrap();
    let mut rest = [0; 1];
    assert_eq!(peer.io.read(&mut rest).now_or_never().map(Result::unwrap), Some(0));
}

/// After a complete closing handshake there is nothing to flush, which is no error.
#[tokio::test]
async fn flushing_a_closed_socket_is_no_error() {
    let (near, far) = duplex(1024);
    let mut ws = server_on(near, &quiet());
    let mut peer = Peer::new(far);
    peer.send(&wire::client(wire::CLOSE, b"")).await;
    let rest = async move { peer.rest().await };
    let (end, _) = within(async { tokio::join!(ws.recv(), rest) }).await;
    assert_eq!(end.unwrap(), None);
    within(ws.flush()).await.unwrap();
}
