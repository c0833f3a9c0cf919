//! What comes out, and how it ends.

use std::io::ErrorKind;

use futures_util::FutureExt;
use sansws::proto::Initiator;
use sansws::{CloseCode, Error, Event, ProtocolError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use super::{assert_broken_pipe, frame, inner, quiet, read_error, stream_and_peer};
use crate::tokio::peer::{server, tcp_server, within};
use sansws_test::wire;

/// Boundaries do not show, empty messages and fragments are no end, and pings are answered
/// meanwhile.
#[tokio::test]
async fn messages_and_fragments_are_one_stream() {
    for is_server in [false, true] {
        let (mut stream, mut peer) = stream_and_peer(is_server, &quiet(), 4096).await;
        let frame = |fin, opcode, payload: &[u8]| frame(is_server, fin, opcode, payload);
        let bytes = [
            frame(true, wire::BINARY, b""),
            frame(true, wire::BINARY, b"ab"),
            frame(true, wire::PING, b"one"),
            frame(false, wire::BINARY, b""),
            frame(false, wire::CONTINUATION, b"cde"),
            frame(true, wire::PING, b"two"),
            frame(true, wire::CONTINUATION, b""),
            frame(true, wire::BINARY, b""),
            frame(true, wire::PONG, b"unasked for"),
            frame(true, wire::BINARY, b"f"),
        ];
        peer.send(&bytes.concat()).await;
        let mut read = [0; 6];
        within(stream.read_exact(&mut read[..1])).await.unwrap();
        within(stream.read_exact(&mut read[1..])).await.unwrap();
        assert_eq!(&read, b"abcdef");
        assert!(stream.read(&mut read).now_or_never().is_none(), "nothing more is there");
        for payload in [b"one", b"two"] {
            let pong = peer.frame().await.unwrap();
            assert_eq!((pong.opcode, &pong.payload[..]), (wire::PONG, &payload[..]));
        }
        // an empty buffer is no end either
        assert_eq!(within(stream.read(&mut [])).await.unwrap(), 0);

        peer.send(&frame(true, wire::CLOSE, &wire::close_payload(1000, "done"))).await;
        let end = async {
            for _ in 0..3 {
                assert_eq!(within(stream.read(&mut read)).await.unwrap(), 0);
            }
        };
        let answer = async {
            assert_eq!(peer.frame().await.unwrap().close_code(), Some(1000));
            peer.io.shutdown().await.unwrap();
        };
        within(async { tokio::join!(end, answer) }).await;
        let info = stream.close_info().unwrap();
        assert_eq!((info.initiator, info.code, &*info.reason), (Initiator::Peer, 1000, "done"));
        assert_broken_pipe(&mut stream).await;
        within(stream.flush()).await.unwrap();
        within(stream.shutdown()).await.unwrap();
    }
}

/// One read takes what lies in several messages; a message does not have to fit into a read.
#[tokio::test]
async fn a_read_takes_as_much_as_there_is() {
    let (mut stream, mut peer) = stream_and_peer(true, &quiet(), 1 << 16).await;
    let pattern = wire::pattern(1000);
    let frames = pattern.chunks(7).map(|piece| wire::client(wire::BINARY, piece));
    peer.send(&frames.collect::<Vec<_>>().concat()).await;
    let mut read = [0; 2000];
    assert_eq!(within(stream.read(&mut read[..900])).await.unwrap(), 900);
    assert_eq!(within(stream.read(&mut read[900..])).await.unwrap(), 100);
    assert_eq!(read[..1000], pattern);
}

/// A message comes out before it is complete.
#[tokio::test]
async fn payloads_are_handed_on_as_they_arrive() {
    let (mut stream, mut peer) = stream_and_peer(true, &quiet(), 4096).await;
    let message = wire::client(wire::BINARY, &wire::pattern(100));
    peer.send(&message[..36]).await; // a header of 6 bytes
    let mut read = [0; 100];
    within(stream.read_exact(&mut read[..30])).await.unwrap();
    assert!(stream.read(&mut read[30..]).now_or_never().is_none());
    peer.send(&message[36..]).await;
    within(stream.read_exact(&mut read[30..])).await.unwrap();
    assert_eq!(read[..], wire::pattern(100));
}

#[tokio::test]
async fn lines_can_be_read_without_another_buffer() {
    let (mut stream, mut peer) = stream_and_peer(true, &quiet(), 4096).await;
    for piece in ["HELO exam", "ple.com\r", "\nMAIL\r\nQU", "IT\r\n"] {
        peer.send(&wire::client(wire::BINARY, piece.as_bytes())).await;
    }
    peer.send(&wire::client(wire::CLOSE, b"")).await;
    let mut lines = Vec::new();
    let read = async {
        let mut line = String::new();
        while stream.read_line(&mut line).await.unwrap() > 0 {
            lines.push(std::mem::take(&mut line));
        }
    };
    let answer = async {
        assert_eq!(peer.frame().await.unwrap().close_code(), None);
        assert_eq!(peer.frame().await, None);
        peer.io.shutdown().await.unwrap();
    };
    within(async { tokio::join!(read, answer) }).await;
    assert_eq!(lines, ["HELO example.com\r\n", "MAIL\r\n", "QUIT\r\n"]);
    assert_eq!(stream.close_info().unwrap().code, 1005);
}

/// X-16: an end that is no good end is an error, whatever came before it.
#[tokio::test]
async fn a_stream_that_is_cut_off_is_no_complete_one() {
    let whole = wire::client(wire::BINARY, b"data");
    let cut = &wire::client(wire::BINARY, b"more data")[..9];
    let unfinished = wire::encode(false, wire::BINARY, Some([0; 4]), b"");
    for tail in [&b""[..], cut, &unfinished] {
        let (mut stream, mut peer) = stream_and_peer(true, &quiet(), 4096).await;
        peer.send(&[&whole, tail].concat()).await;
        drop(peer);
        let mut read = Vec::new();
        let error = within(stream.read_to_end(&mut read)).await.unwrap_err();
        assert!(read.starts_with(b"data"));
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(matches!(inner(&error), Error::Disconnected(None)), "{error:?}");
        assert_eq!(read_error(&mut stream).await.kind(), ErrorKind::UnexpectedEof);
        let error = within(stream.write(b"into the void")).await.unwrap_err();
        assert!(inner(&error).is_disconnect(), "{error:?}");
        let error = within(stream.shutdown()).await.unwrap_err();
        assert!(inner(&error).is_disconnect(), "{error:?}");
    }
}

#[tokio::test]
async fn a_reset_has_its_own_kind() {
    let (ws, mut peer) = tcp_server(&quiet()).await;
    let mut stream = ws.into_byte_stream();
    peer.send(&wire::client(wire::BINARY, b"data")).await;
    let mut read = [0; 4];
    within(stream.read_exact(&mut read)).await.unwrap();
    peer.io.set_zero_linger().unwrap();
    drop(peer);
    assert_eq!(read_error(&mut stream).await.kind(), ErrorKind::ConnectionReset);
}

/// A peer that fails or goes away closes in good order, and has not said all that it wanted to say.
#[tokio::test]
async fn only_a_normal_close_is_the_end_of_the_data() {
    for code in [1001, 1002, 1011, 3000, 4999] {
        let (mut stream, mut peer) = stream_and_peer(true, &quiet(), 4096).await;
        peer.send(&wire::client(wire::BINARY, b"data")).await;
        peer.send(&wire::client(wire::CLOSE, &wire::close_payload(code, "why"))).await;
        let mut read = Vec::new();
        let answer = async {
            assert_eq!(peer.frame().await.unwrap().close_code(), Some(code));
            drop(peer);
        };
        let reading = stream.read_to_end(&mut read);
        let (result, ()) = within(async { tokio::join!(reading, answer) }).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), &read[..]), (ErrorKind::ConnectionAborted, &b"data"[..]));
        let expected = CloseCode::new(code).unwrap();
        assert!(matches!(inner(&error), Error::Closed(code) if *code == expected), "{error:?}");
        assert_eq!(read_error(&mut stream).await.kind(), ErrorKind::ConnectionAborted);
        assert_eq!(stream.close_info().unwrap().reason, "why");
    }
}

/// A text message is refused, and what follows it is dropped; what came before is delivered.
#[tokio::test]
async fn text_is_refused() {
    for is_server in [false, true] {
        for text in [&b""[..], b"text", "\u{2713}".repeat(3000).as_bytes()] {
            let (mut stream, mut peer) = stream_and_peer(is_server, &quiet(), 1 << 16).await;
            let frame = |opcode, payload: &[u8]| frame(is_server, true, opcode, payload);
            peer.send(&frame(wire::BINARY, b"data")).await;
            peer.send(&frame(wire::TEXT, text)).await;
            peer.send(&frame(wire::BINARY, b"dropped")).await;
            let mut read = [0; 100];
            assert_eq!(within(stream.read(&mut read)).await.unwrap(), 4);
            let answer = async {
                let close = peer.frame().await.unwrap();
                assert_eq!(close.close_code(), Some(1003));
                peer.send(&frame(wire::BINARY, b"dropped as well")).await;
                peer.send(&frame(wire::CLOSE, &close.payload[..2])).await;
                peer.io.shutdown().await.unwrap();
            };
            let (error, ()) = within(async { tokio::join!(stream.read(&mut read), answer) }).await;
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(matches!(inner(&error), Error::UnexpectedText), "{error:?}");
            assert_eq!(inner(&error).close_code(), Some(CloseCode::UNSUPPORTED_DATA));
            assert_eq!(read_error(&mut stream).await.kind(), ErrorKind::InvalidData);
            assert_broken_pipe(&mut stream).await;
        }
    }
}

#[tokio::test]
async fn a_violation_is_invalid_data() {
    let (ws, mut peer) = tcp_server(&quiet()).await;
    let mut stream = ws.into_byte_stream();
    peer.send(&wire::server(wire::BINARY, b"not masked")).await;
    let answer = async move {
        assert_eq!(peer.frame().await.unwrap().close_code(), Some(1002));
        assert_eq!(peer.frame().await, None);
    };
    let (error, ()) = within(async { tokio::join!(read_error(&mut stream), answer) }).await;
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(matches!(inner(&error), Error::Protocol(ProtocolError::UnmaskedFrame)), "{error:?}");
}

/// What the socket has begun to receive belongs to the stream, and what the stream has begun to
/// read is still in the socket that comes out of it.
#[tokio::test]
async fn nothing_is_lost_between_socket_and_stream() {
    let (mut ws, mut peer) = server(&quiet(), 1 << 16).await;
    let message = wire::client(wire::BINARY, &wire::pattern(20_000));
    peer.send(&wire::client(wire::PING, b"ping")).await;
    peer.send(&message[..9_000]).await;
    assert!(ws.recv().now_or_never().is_none(), "half a message");
    let mut stream = ws.into_byte_stream();
    peer.send(&message[9_000..15_000]).await;
    let mut read = vec![0; 20_000];
    within(stream.read_exact(&mut read[..14_000])).await.unwrap();
    // in the middle of what has arrived
    let mut ws = stream.into_inner();
    peer.send(&message[15_000..]).await;
    let mut at = 14_000;
    while at < 20_000 {
        let Some((Event::Chunk(chunk), _)) = within(ws.next_event()).await.unwrap() else {
            panic!("no chunk")
        };
        read[at..at + chunk.payload.len()].copy_from_slice(chunk.payload);
        at += chunk.payload.len();
        assert_eq!(chunk.last, at == 20_000);
    }
    assert_eq!(read, wire::pattern(20_000));
    assert_eq!(peer.frame().await.unwrap().opcode, wire::PONG);
}

/// The same where messages are delivered in chunks from the beginning.
#[tokio::test]
async fn chunks_that_were_not_taken_are_read() {
    let (mut ws, mut peer) = server(&quiet(), 1 << 16).await;
    peer.send(&wire::client(wire::BINARY, b"first")).await;
    peer.send(&wire::client(wire::BINARY, b"second")).await;
    assert!(matches!(within(ws.next_chunk()).await, Ok(Some((Event::Chunk(_), _)))));
    let mut stream = ws.into_byte_stream();
    let mut read = [0; 6];
    within(stream.read_exact(&mut read)).await.unwrap();
    assert_eq!(&read, b"second");
}
