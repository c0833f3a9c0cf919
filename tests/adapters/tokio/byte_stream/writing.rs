//! What goes out, how much may wait, and who is woken.

use core::future::poll_fn;
use core::pin::pin;
use core::task::{Poll, ready};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use sansws::{Config, Error, KeepAlive};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::task::yield_now;
use tokio::time::Instant;

use super::{frame, inner, quiet, read_error, stream_and_peer};
use crate::tokio::faulty::Faulty;
use crate::tokio::peer::{Peer, client_on, clock_is_paused, server_on, tcp_server, within};
use sansws_test::wire;

/// The longest message that is made of a write.
const PIECE: usize = 32 * 1024;

/// Each write is a message, and leaves without a flush.
#[tokio::test]
async fn writes_are_binary_messages() {
    for is_server in [false, true] {
        let (mut stream, mut peer) = stream_and_peer(is_server, &quiet(), 1 << 20).await;
        for len in [1, 125, 126, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let n = within(stream.write(&wire::pattern(len))).await.unwrap();
            assert_eq!(n, len.min(PIECE));
            let frame = peer.frame().await.unwrap();
            assert_eq!(
                (frame.fin, frame.opcode, frame.mask.is_some()),
                (true, wire::BINARY, !is_server)
            );
            assert_eq!(frame.payload, wire::pattern(n));
        }
        assert_eq!(within(stream.write(b"")).await.unwrap(), 0);
        within(stream.flush()).await.unwrap();
        drop(stream);
        assert_eq!(peer.frame().await, None, "an empty write is no message");
    }
}

/// Two writes that came one after the other: the second is not dropped because the first still
/// waits.
#[tokio::test]
async fn flushing_writes_the_rest() {
    let (mut stream, mut peer) = stream_and_peer(true, &quiet(), 64).await;
    within(stream.write_all(&wire::pattern(20_000))).await.unwrap();
    within(stream.write_all(b"behind it")).await.unwrap();
    let read = async {
        assert_eq!(peer.frame().await.unwrap().payload, wire::pattern(20_000));
        assert_eq!(peer.frame().await.unwrap().payload, b"behind it");
    };
    let (flushed, ()) = within(async { tokio::join!(stream.flush(), read) }).await;
    flushed.unwrap();
    assert_eq!(stream.get_ref().unsent(), 0);
}

/// A peer that does not read holds the writer up, with bounded memory, and wakes it when it goes
/// on.
#[tokio::test]
async fn a_peer_that_does_not_read_holds_the_writer_up() {
    for is_server in [false, true] {
        let limit = 100_000;
        let (mut stream, mut peer) =
            stream_and_peer(is_server, &quiet().max_unsent(limit), 1000).await;
        let pattern = wire::pattern(1 << 20);
        let mut taken = 0;
        while let Some(written) = stream.write(&pattern[taken..]).now_or_never() {
            taken += written.unwrap();
            assert!(stream.get_ref().unsent() <= limit + PIECE + 14);
            assert!(taken < 300_000, "there is no limit");
        }
        assert!(taken > limit);
        let writing = tokio::spawn({
            let rest = pattern[taken..].to_vec();
            async move {
                stream.write_all(&rest).await.unwrap();
                stream.flush().await.unwrap();
                stream
            }
        });
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(!writing.is_finished());
        let mut got = Vec::new();
        while got.len() < pattern.len() {
            got.extend(peer.frame().await.unwrap().payload);
        }
        assert_eq!(got, pattern);
        assert_eq!(within(writing).await.unwrap().get_ref().unsent(), 0);
    }
}

/// One task waits for room and another for data: each is woken for its own, in either order.
#[tokio::test]
async fn a_reader_and_a_writer_are_both_woken() {
    for data_first in [false, true] {
        let (stream, mut peer) = stream_and_peer(true, &quiet().max_unsent(1000), 1000).await;
        let (mut reader, mut writer) = split(stream);
        let writing = tokio::spawn(async move {
            writer.write_all(&wire::pattern(200_000)).await.unwrap();
            writer.flush().await.unwrap();
        });
        for _ in 0..20 {
            yield_now().await; // the writer waits before the reader does
        }
        let reading = tokio::spawn(async move {
            let mut read = [0; 4];
            reader.read_exact(&mut read).await.unwrap();
            read
        });
        for _ in 0..20 {
            yield_now().await;
        }
        assert!(!writing.is_finished() && !reading.is_finished());
        let mut got = Vec::new();
        if data_first {
            peer.send(&wire::client(wire::BINARY, b"data")).await;
            assert_eq!(&within(reading).await.unwrap(), b"data");
            while got.len() < 200_000 {
                got.extend(peer.frame().await.unwrap().payload);
            }
        } else {
            while got.len() < 200_000 {
                got.extend(peer.frame().await.unwrap().payload);
            }
            within(writing).await.unwrap();
            peer.send(&wire::client(wire::BINARY, b"data")).await;
            assert_eq!(&within(reading).await.unwrap(), b"data");
            continue;
        }
        within(writing).await.unwrap();
        assert_eq!(got, wire::pattern(200_000));
    }
}

/// A writer that waits learns from what a reader finds out.
#[tokio::test]
async fn a_writer_that_waits_hears_of_the_end() {
    let (stream, mut peer) = stream_and_peer(false, &quiet().max_unsent(1000), 1000).await;
    let (mut reader, mut writer) = split(stream);
    let writing = tokio::spawn(async move { writer.write_all(&[0; 200_000]).await });
    for _ in 0..20 {
        yield_now().await;
    }
    assert!(!writing.is_finished());
    peer.send(&wire::server(wire::CLOSE, &wire::close_payload(1000, ""))).await;
    let reading = tokio::spawn(async move { reader.read(&mut [0; 4]).await });
    let error = within(writing).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    drop(peer);
    // the end of file came instead of the rest of a frame, behind which our Close was
    assert_eq!(within(reading).await.unwrap().unwrap(), 0);
}

/// K-4: while somebody only writes, pings are answered, also when the write has to wait.
#[tokio::test]
async fn pings_are_answered_while_writing() {
    for is_server in [false, true] {
        let (mut stream, mut peer) = stream_and_peer(is_server, &quiet(), 1 << 16).await;
        let ping = |payload: &[u8]| frame(is_server, true, wire::PING, payload);
        peer.send(&ping(b"one")).await;
        peer.send(&frame(is_server, true, wire::BINARY, b"")).await;
        peer.send(&ping(b"two")).await;
        within(stream.write_all(b"data")).await.unwrap();
        for (opcode, payload) in
            [(wire::PONG, &b"one"[..]), (wire::PONG, b"two"), (wire::BINARY, b"data")]
        {
            let frame = peer.frame().await.unwrap();
            assert_eq!((frame.opcode, &frame.payload[..]), (opcode, payload));
        }
        // a write that waits
        let writing = tokio::spawn(async move {
            stream.write_all(&[7; 2 << 20]).await.unwrap();
            stream.flush().await.unwrap();
        });
        for _ in 0..20 {
            yield_now().await;
        }
        peer.send(&ping(b"three")).await;
        let (mut pong, mut got) = (false, 0);
        while got < 2 << 20 || !pong {
            let frame = peer.frame().await.unwrap();
            match frame.opcode {
                wire::PONG => pong = frame.payload == b"three",
                _ => got += frame.payload.len(),
            }
        }
        within(writing).await.unwrap();
    }
}

/// Keep-alive goes on while a read waits.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_is_noticed_while_reading() {
    clock_is_paused();
    let config = Config::new().keep_alive(KeepAlive::Every(Duration::from_secs(20)));
    let (mut stream, mut peer) = stream_and_peer(true, &config, 4096).await;
    let start = Instant::now();
    let error = read_error(&mut stream).await;
    assert_eq!(start.elapsed(), Duration::from_secs(40));
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(matches!(inner(&error), Error::Timeout(_)), "{error:?}");
    assert_eq!(peer.frame().await.unwrap().opcode, wire::PING);
}

/// K-8: the same while a write waits.
#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_is_noticed_while_writing() {
    clock_is_paused();
    let config = Config::new().keep_alive(KeepAlive::Every(Duration::from_secs(20)));
    let (mut stream, _peer) = stream_and_peer(true, &config.max_unsent(1000), 4096).await;
    let start = Instant::now();
    let error = within(stream.write_all(&[0; 100_000])).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(40));
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

/// A peer is not given up because its data, and so its pong, was not read here.
#[tokio::test(start_paused = true)]
async fn a_peer_whose_data_is_not_read_is_not_judged() {
    clock_is_paused();
    let config = Config::new().keep_alive(KeepAlive::Every(Duration::from_secs(20)));
    let (stream, mut peer) = stream_and_peer(true, &config.max_unsent(1000), 4096).await;
    let (mut reader, mut writer) = split(stream);
    peer.send(&wire::client(wire::BINARY, b"data")).await;
    let writing = tokio::spawn(async move {
        writer.write_all(&[7; 100_000]).await.unwrap();
        writer.flush().await.unwrap();
    });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!writing.is_finished());
    let mut got = 0;
    while got < 100_000 {
        let frame = peer.frame().await.unwrap();
        got += if frame.opcode == wire::BINARY { frame.payload.len() } else { 0 };
    }
    within(writing).await.unwrap();
    let mut read = [0; 4];
    within(reader.read_exact(&mut read)).await.unwrap();
    assert_eq!(&read, b"data");
}

/// It is again as soon as they are read, though nobody reads on: the task that writes is woken for
/// that.
#[tokio::test(start_paused = true)]
async fn a_peer_whose_data_was_read_is_judged() {
    clock_is_paused();
    let config = Config::new().keep_alive(KeepAlive::Every(Duration::from_secs(20)));
    for in_place in [false, true] {
        let config = config.clone().max_unsent(1000);
        let (stream, mut peer) = stream_and_peer(true, &config, 4096).await;
        let stream = Arc::new(Mutex::new(stream));
        peer.send(&wire::client(wire::BINARY, b"data")).await;
        let writer = Arc::clone(&stream);
        let writing = tokio::spawn(poll_fn(move |cx| {
            loop {
                let written = pin!(&mut *writer.lock().unwrap()).poll_write(cx, &[7; 1000]);
                if let Err(error) = ready!(written) {
                    return Poll::Ready(error);
                }
            }
        }));
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(!writing.is_finished());
        let start = Instant::now();
        if in_place {
            let mut stream = stream.lock().unwrap();
            assert_eq!(stream.fill_buf().now_or_never().unwrap().unwrap(), b"data");
            stream.consume(4);
        } else {
            let mut read = [0; 4];
            let mut stream = stream.lock().unwrap();
            assert_eq!(stream.read(&mut read).now_or_never().unwrap().unwrap(), 4);
        }
        let error = within(writing).await.unwrap();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() <= Duration::from_secs(60), "{:?}", start.elapsed());
    }
}

/// short and stuttering transports change nothing, and neither does a task that gives up all
/// the time.
#[tokio::test]
async fn given_up_reads_and_writes_lose_nothing() {
    let (near, far) = duplex(100);
    let faulty = |io| Faulty::new(io).step(33).stutter();
    let mut near = server_on(faulty(near), &quiet().max_unsent(1000)).into_byte_stream();
    let mut far = client_on(faulty(far), &quiet().max_unsent(1000)).into_byte_stream();
    let pattern = wire::pattern(100_000);
    let writing = tokio::spawn({
        let pattern = pattern.clone();
        async move {
            let mut at = 0;
            while at < pattern.len() {
                let end = pattern.len().min(at + 777);
                // polled once and given up
                match near.write(&pattern[at..end]).now_or_never() {
                    Some(written) => at += written.unwrap(),
                    None => yield_now().await,
                }
            }
            while near.shutdown().now_or_never().is_none() {
                yield_now().await;
            }
        }
    });
    let mut got = Vec::new();
    let read = async {
        let mut piece = [0; 501];
        loop {
            match far.read(&mut piece).now_or_never() {
                Some(Ok(0)) => break,
                Some(n) => got.extend_from_slice(&piece[..n.unwrap()]),
                None => yield_now().await,
            }
        }
    };
    within(read).await;
    assert_eq!(got, pattern);
    drop(far);
    within(writing).await.unwrap();
}

/// What was taken and cannot be sent shows with the next call.
#[tokio::test]
async fn a_broken_connection_shows_with_the_next_write() {
    let (ws, peer): (_, Peer<_>) = tcp_server(&quiet()).await;
    let mut stream = ws.into_byte_stream();
    peer.io.set_zero_linger().unwrap();
    drop(peer);
    let error = loop {
        if let Err(error) = within(stream.write_all(b"anybody there?")).await {
            break error;
        }
        yield_now().await;
    };
    assert!(inner(&error).is_disconnect(), "{error:?}");
    assert!(inner(&within(stream.flush()).await.unwrap_err()).is_disconnect());
}
