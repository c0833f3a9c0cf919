//! Shutting down: there is no half-closed state, and nothing that has arrived is lost.

use std::io::ErrorKind;
use std::time::Duration;

use sansws::proto::Initiator;
use sansws::{CloseCode, Config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{assert_broken_pipe, frame, quiet, stream_and_peer};
use crate::tokio::peer::{clock_is_paused, pair, within};
use sansws_test::wire;

/// everything that was written, then a Close with 1000, then the peer's, then the end of
/// TCP.
#[tokio::test]
async fn shutting_down_closes_in_good_order() {
    for is_server in [false, true] {
        let (mut stream, mut peer) = stream_and_peer(is_server, &quiet(), 100).await;
        within(stream.write_all(&wire::pattern(5000))).await.unwrap();
        let answer = async {
            assert_eq!(peer.frame().await.unwrap().payload, wire::pattern(5000));
            assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
            peer.send(&frame(is_server, true, wire::CLOSE, &wire::close_payload(1000, ""))).await;
            if is_server {
                assert_eq!(peer.frame().await, None, "a server ends TCP first");
            }
            peer.io.shutdown().await.unwrap();
        };
        let (shut, ()) = within(async { tokio::join!(stream.shutdown(), answer) }).await;
        shut.unwrap();
        let info = stream.close_info().unwrap();
        assert_eq!((info.initiator, info.code, info.clean), (Initiator::Local, 1000, true));
        assert_eq!(within(stream.read(&mut [0; 10])).await.unwrap(), 0);
        assert_broken_pipe(&mut stream).await;
        within(stream.shutdown()).await.unwrap();
    }
}

/// what the peer sends until it sees the Close is not lost, whether it was there before or
/// comes after.
#[tokio::test]
async fn shutting_down_stops_at_data() {
    for is_server in [false, true] {
        for early in [false, true] {
            let (mut stream, mut peer) = stream_and_peer(is_server, &quiet(), 1 << 20).await;
            let frame = |opcode, payload: &[u8]| frame(is_server, true, opcode, payload);
            if early {
                peer.send(&frame(wire::BINARY, b"early, ")).await;
            }
            let answer = async {
                assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
                for piece in wire::pattern(200_000).chunks(10_000) {
                    peer.send(&frame(wire::BINARY, piece)).await;
                }
                peer.send(&frame(wire::CLOSE, &wire::close_payload(1000, ""))).await;
                peer.io.shutdown().await.unwrap();
            };
            let shut = async {
                stream.shutdown().await.unwrap();
                assert!(stream.close_info().is_none(), "it is not over: data waits");
                let mut read = Vec::new();
                stream.read_to_end(&mut read).await.unwrap();
                read
            };
            let (read, ()) = within(async { tokio::join!(shut, answer) }).await;
            let expected = if early { &b"early, "[..] } else { b"" };
            assert_eq!(read, [expected, &wire::pattern(200_000)].concat());
            assert!(stream.close_info().unwrap().clean);
        }
    }
}

/// both at once.
#[tokio::test]
async fn both_ends_may_shut_down() {
    for _ in 0..10 {
        let (one, other) = pair(&Config::new()).await;
        let (mut one, mut other) = (one.into_byte_stream(), other.into_byte_stream());
        within(async {
            let end = async |stream: &mut sansws::tokio::ByteStream<_>, words: &[u8]| {
                stream.write_all(words).await.unwrap();
                stream.shutdown().await.unwrap();
                let mut read = Vec::new();
                stream.read_to_end(&mut read).await.unwrap();
                read
            };
            let (first, second) = tokio::join!(
                end(&mut one, b"from the server"),
                end(&mut other, b"from the client")
            );
            // each end has what the other had sent before it saw the Close
            assert!(first.is_empty() || first == b"from the client");
            assert_eq!((second.is_empty(), &second[..]), (false, &b"from the server"[..]));
        })
        .await;
        assert!(one.close_info().unwrap().clean && other.close_info().unwrap().clean);
    }
}

/// a peer that does not answer is waited for so long and no longer.
#[tokio::test(start_paused = true)]
async fn shutting_down_has_a_time_limit() {
    clock_is_paused();
    for data in [false, true] {
        let config = quiet().close_timeout(Duration::from_secs(7));
        let (mut stream, mut peer) = stream_and_peer(true, &config, 10).await;
        if data {
            // it is in the way: shutting down does not read it, and cannot send the Close either
            within(async {
                let data = wire::client(wire::BINARY, b"data");
                let sending = peer.send(&data);
                let mut byte = [0];
                let reading = stream.read_exact(&mut byte);
                let ((), read) = tokio::join!(sending, reading);
                read.unwrap();
            })
            .await;
        }
        within(stream.write_all(&[0; 100])).await.unwrap();
        let start = tokio::time::Instant::now();
        let error = within(stream.shutdown()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
        assert_eq!(start.elapsed(), Duration::from_secs(7));
    }
}

/// The socket below closes with any code, which is an error for the other end.
#[tokio::test]
async fn another_code_tells_the_peer_that_it_failed() {
    let (one, other) = pair(&Config::new()).await;
    let (mut one, mut other) = (one.into_byte_stream(), other.into_byte_stream());
    within(async {
        one.write_all(b"half of it").await.unwrap();
        let fail = one.get_mut().close(CloseCode::INTERNAL_ERROR, "the database is gone");
        let mut read = Vec::new();
        let (closed, error) = tokio::join!(fail, other.read_to_end(&mut read));
        closed.unwrap();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert_eq!(read, b"half of it");
    })
    .await;
}
