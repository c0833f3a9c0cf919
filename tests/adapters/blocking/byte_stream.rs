//! A WebSocket as a stream of bytes.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use sansws::blocking::{ByteStream, Plain, Transport};
use sansws::{CloseCode, Config, Error, Event, ProtocolError};

use crate::blocking::peer::{Peer, client_and_peer, pair, server, server_on, tcp, within};
use crate::blocking::script::{Op, Script};
use sansws_test::wire;

/// A byte stream and its peer, by role.
fn stream_and_peer(is_server: bool) -> (ByteStream<TcpStream>, Peer<TcpStream>) {
    let config = Config::new();
    let (ws, peer) = if is_server { server(&config) } else { client_and_peer(&config) };
    (ws.into_byte_stream(), peer)
}

/// A frame as the peer of such an end sends it.
fn frame(to_server: bool, fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    wire::encode(fin, opcode, to_server.then_some(wire::KEY), payload)
}

/// The typed error inside.
fn inner(error: &io::Error) -> &Error {
    error.get_ref().and_then(|error| error.downcast_ref()).expect("an error of the crate")
}

/// The same error, however often.
fn read_error<S: Transport>(stream: &mut ByteStream<S>) -> io::Error {
    let error = stream.read(&mut [0; 10]).unwrap_err();
    for _ in 0..3 {
        let again = stream.read(&mut [0; 10]).unwrap_err();
        assert_eq!((again.kind(), again.to_string()), (error.kind(), error.to_string()));
    }
    error
}

#[test]
fn messages_and_fragments_are_one_stream() {
    for is_server in [false, true] {
        within(move || {
            let (mut stream, mut peer) = stream_and_peer(is_server);
            let frame = |fin, opcode, payload: &[u8]| frame(is_server, fin, opcode, payload);
            let bytes = [
                frame(true, wire::BINARY, b""),
                frame(true, wire::BINARY, b"ab"),
                frame(true, wire::PING, b"one"),
                frame(false, wire::BINARY, b""),
                frame(false, wire::CONTINUATION, b"cde"),
                frame(true, wire::PING, b"two"),
                frame(true, wire::CONTINUATION, b""),
                frame(true, wire::BINARY, b"f"),
                frame(true, wire::CLOSE, &wire::close_payload(1000, "done")),
            ];
            peer.send(&bytes.concat());
            let answer = thread::spawn(move || {
                for payload in [b"one", b"two"] {
                    let pong = peer.frame().unwrap();
                    assert_eq!((pong.opcode, &pong.payload[..]), (wire::PONG, &payload[..]));
                }
                assert_eq!(peer.frame().unwrap().close_code(), Some(1000));
            });
            let mut read = Vec::new();
            assert_eq!(stream.read(&mut []).unwrap(), 0);
            assert_eq!(stream.read_to_end(&mut read).unwrap(), 6);
            assert_eq!(read, b"abcdef");
            assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
            answer.join().unwrap();
            assert_eq!(stream.close_info().unwrap().reason, "done");
            assert_eq!(stream.write(b"too late").unwrap_err().kind(), ErrorKind::BrokenPipe);
            stream.flush().unwrap();
            stream.shutdown().unwrap();
        });
    }
}

#[test]
fn lines_can_be_read_without_another_buffer() {
    within(|| {
        let (mut stream, mut peer) = stream_and_peer(true);
        for piece in ["HELO exam", "ple.com\r", "\nMAIL\r\nQU", "IT\r\n"] {
            peer.send(&wire::client(wire::BINARY, piece.as_bytes()));
        }
        peer.send(&wire::client(wire::CLOSE, b""));
        drop(peer);
        let lines: Vec<_> = (&mut stream).lines().map(Result::unwrap).collect();
        assert_eq!(lines, ["HELO example.com", "MAIL", "QUIT"]);
        assert_eq!(stream.close_info().unwrap().code, 1005);
    });
}

/// A protocol on top that brings its own buffers.
#[test]
fn a_protocol_of_lines_goes_through() {
    within(|| {
        let (server, client) = pair(&Config::new());
        let serve = thread::spawn(move || {
            let mut server = BufReader::new(server.into_byte_stream());
            let mut line = String::new();
            while server.read_line(&mut line).unwrap() > 0 {
                let answer = line.to_uppercase();
                server.get_mut().write_all(answer.as_bytes()).unwrap();
                line.clear();
            }
            assert!(server.get_ref().close_info().unwrap().clean);
        });
        let mut client = BufReader::new(client.into_byte_stream());
        for words in ["hello\n", "how are you\n"] {
            write!(client.get_mut(), "{words}").unwrap();
            let mut line = String::new();
            client.read_line(&mut line).unwrap();
            assert_eq!(line, words.to_uppercase());
        }
        client.get_mut().shutdown().unwrap();
        serve.join().unwrap();
    });
}

#[test]
fn io_copy_copies_everything() {
    within(|| {
        let (server, client) = pair(&Config::new());
        let pattern = wire::pattern(3 << 20);
        let sent = pattern.clone();
        let send = thread::spawn(move || {
            let mut server = server.into_byte_stream();
            assert_eq!(io::copy(&mut &sent[..], &mut server).unwrap(), sent.len() as u64);
            server.shutdown().unwrap();
        });
        let mut got = Vec::new();
        let mut client = client.into_byte_stream();
        assert_eq!(io::copy(&mut client, &mut got).unwrap(), pattern.len() as u64);
        assert!(got == pattern);
        send.join().unwrap();
    });
}

#[test]
fn writes_are_binary_messages() {
    const PIECE: usize = 32 * 1024;
    for is_server in [false, true] {
        within(move || {
            let (mut stream, mut peer) = stream_and_peer(is_server);
            for len in [1, 125, 126, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
                let n = stream.write(&wire::pattern(len)).unwrap();
                assert_eq!(n, len.min(PIECE));
                let frame = peer.frame().unwrap();
                let expected = (true, wire::BINARY, !is_server);
                assert_eq!((frame.fin, frame.opcode, frame.mask.is_some()), expected);
                assert_eq!(frame.payload, wire::pattern(n));
            }
            assert_eq!(stream.write(b"").unwrap(), 0);
            stream.flush().unwrap();
            drop(stream);
            assert_eq!(peer.frame(), None, "an empty write is no message");
        });
    }
}

/// X-16.
#[test]
fn a_stream_that_is_cut_off_is_no_complete_one() {
    within(|| {
        let whole = wire::client(wire::BINARY, b"data");
        let cut = &wire::client(wire::BINARY, b"more data")[..9];
        for tail in [&b""[..], cut] {
            let (mut stream, mut peer) = stream_and_peer(true);
            peer.send(&[&whole, tail].concat());
            drop(peer);
            let mut read = Vec::new();
            let error = stream.read_to_end(&mut read).unwrap_err();
            assert!(read.starts_with(b"data"));
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert!(matches!(inner(&error), Error::Disconnected(None)), "{error:?}");
            assert_eq!(read_error(&mut stream).kind(), ErrorKind::UnexpectedEof);
            assert!(inner(&stream.write(b"void").unwrap_err()).is_disconnect());
            assert!(inner(&stream.shutdown().unwrap_err()).is_disconnect());
        }
    });
}

#[test]
fn only_a_normal_close_is_the_end_of_the_data() {
    within(|| {
        for code in [1001, 1011, 4999] {
            let (mut stream, mut peer) = stream_and_peer(true);
            peer.send(&wire::client(wire::BINARY, b"data"));
            peer.send(&wire::client(wire::CLOSE, &wire::close_payload(code, "why")));
            let answer = thread::spawn(move || {
                assert_eq!(peer.frame().unwrap().close_code(), Some(code));
            });
            let mut read = Vec::new();
            let error = stream.read_to_end(&mut read).unwrap_err();
            answer.join().unwrap();
            assert_eq!((error.kind(), &read[..]), (ErrorKind::ConnectionAborted, &b"data"[..]));
            let expected = CloseCode::new(code).unwrap();
            assert!(matches!(inner(&error), Error::Closed(code) if *code == expected));
        }
    });
}

#[test]
fn text_and_violations_are_refused() {
    within(|| {
        for (bytes, code) in [
            (wire::client(wire::TEXT, b"text"), 1003),
            (wire::server(wire::BINARY, b"not masked"), 1002),
        ] {
            let (mut stream, mut peer) = stream_and_peer(true);
            peer.send(&wire::client(wire::BINARY, b"data"));
            peer.send(&bytes);
            let answer = thread::spawn(move || {
                let close = peer.frame().unwrap();
                assert_eq!(close.close_code(), Some(code));
                if code == 1003 {
                    peer.send(&wire::client(wire::BINARY, b"dropped"));
                    peer.send(&wire::client(wire::CLOSE, &close.payload[..2]));
                }
                assert_eq!(peer.frame(), None);
            });
            let mut read = Vec::new();
            let error = stream.read_to_end(&mut read).unwrap_err();
            answer.join().unwrap();
            assert_eq!((error.kind(), &read[..]), (ErrorKind::InvalidData, &b"data"[..]));
            match inner(&error) {
                Error::UnexpectedText => assert_eq!(code, 1003),
                Error::Protocol(error) => assert_eq!(*error, ProtocolError::UnmaskedFrame),
                other => panic!("{other:?}"),
            }
            assert_eq!(read_error(&mut stream).kind(), ErrorKind::InvalidData);
            let kind = if code == 1003 { ErrorKind::BrokenPipe } else { ErrorKind::InvalidData };
            assert_eq!(stream.write(b"more").unwrap_err().kind(), kind);
        }
    });
}

/// X-13: what the peer sends until it sees the Close is not lost.
#[test]
fn shutting_down_stops_at_data() {
    for is_server in [false, true] {
        within(move || {
            let (mut stream, mut peer) = stream_and_peer(is_server);
            let answer = thread::spawn(move || {
                assert_eq!(peer.frame().unwrap().payload, b"request");
                assert_eq!(peer.frame().unwrap().close_code(), Some(1000));
                for piece in wire::pattern(200_000).chunks(10_000) {
                    peer.send(&frame(is_server, true, wire::BINARY, piece));
                }
                let close = wire::close_payload(1000, "");
                peer.send(&frame(is_server, true, wire::CLOSE, &close));
            });
            stream.write_all(b"request").unwrap();
            stream.shutdown().unwrap();
            assert!(stream.close_info().is_none(), "it is not over: data waits");
            let mut read = Vec::new();
            stream.read_to_end(&mut read).unwrap();
            assert!(read == wire::pattern(200_000));
            answer.join().unwrap();
            assert!(stream.close_info().unwrap().clean);
        });
    }
}

/// X-9.
#[test]
fn shutting_down_has_a_time_limit() {
    within(|| {
        let config = Config::new().close_timeout(Duration::from_millis(100));
        let (ws, _peer) = server(&config);
        let error = ws.into_byte_stream().shutdown().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(inner(&error).is_timeout());
    });
}

/// What was taken is not written again, though a time-out of the user's has passed meanwhile.
#[test]
fn a_time_out_of_the_users_loses_and_repeats_nothing() {
    let would_block = || Op::Error(ErrorKind::WouldBlock);
    let io = Script::new(
        // the first two are looks of a write that cannot go on
        [
            would_block(),
            would_block(),
            would_block(),
            Op::Bytes(wire::client(wire::BINARY, b"data")),
            would_block(),
        ],
        [Op::Take(3), would_block(), would_block(), Op::Take(2)],
    );
    let log = io.log.clone();
    let mut stream = server_on(Plain(io), &Config::new()).into_byte_stream();
    stream.write_all(b"hello").unwrap();
    assert_eq!(stream.flush().unwrap_err().kind(), ErrorKind::WouldBlock);
    stream.flush().unwrap();
    assert_eq!(log.written(), b"\x82\x05hello");
    let mut read = [0; 10];
    assert_eq!(stream.read(&mut read).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(stream.read(&mut read).unwrap(), 4);
    let error = stream.read(&mut read).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(matches!(inner(&error), Error::Io(_)), "{error:?}");
}

#[test]
fn nothing_is_lost_between_socket_and_stream() {
    let frames = [wire::client(wire::BINARY, b"first"), wire::client(wire::BINARY, b"second")];
    let io = Script::bringing(&frames.concat());
    let mut ws = server_on(Plain(io), &Config::new());
    assert_eq!(ws.recv().unwrap(), Some(b"first".to_vec().into()));
    let mut stream = ws.into_byte_stream();
    let mut read = [0; 3];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"sec");
    let mut ws = stream.into_inner();
    let Some((Event::Chunk(rest), _)) = ws.next_event().unwrap() else { panic!("no chunk") };
    assert_eq!((rest.payload, rest.last), (&b"ond"[..], true));
}

/// A tunnel: two threads on each of its ends, much data in both directions at once, and both ends
/// of it on TCP.
#[test]
fn a_tunnel_of_threads() {
    const LEN: usize = 3 << 20;
    within(|| {
        let (ours, theirs) = pair(&Config::new());
        let mut threads = Vec::new();
        let mut ends = Vec::new();
        for ws in [ours, theirs] {
            let (end, tcp) = tcp();
            let (mut from_peer, mut to_peer) = ws.into_byte_stream().split();
            let (mut from_tcp, mut to_tcp) = (tcp.try_clone().unwrap(), tcp);
            threads.push(thread::spawn(move || {
                io::copy(&mut from_tcp, &mut to_peer).unwrap();
                to_peer.shutdown().unwrap();
            }));
            threads.push(thread::spawn(move || {
                io::copy(&mut from_peer, &mut to_tcp).unwrap();
                assert!(from_peer.close_info().unwrap().clean);
                to_tcp.shutdown(std::net::Shutdown::Both).unwrap();
            }));
            ends.push(end);
        }
        let [client, mut server] = <[TcpStream; 2]>::try_from(ends).unwrap();
        let echo = thread::spawn(move || {
            let mut from = server.try_clone().unwrap();
            io::copy(&mut from, &mut server).unwrap();
        });
        let mut writer = client.try_clone().unwrap();
        let write = thread::spawn(move || writer.write_all(&wire::pattern(LEN)).unwrap());
        let mut read = vec![0; LEN];
        (&client).read_exact(&mut read).unwrap();
        assert!(read == wire::pattern(LEN));
        write.join().unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        echo.join().unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// The halves: pings are answered by the one that reads while the other waits for room.
#[test]
fn halves_answer_and_refuse() {
    within(|| {
        let (stream, mut peer) = stream_and_peer(true);
        let (mut reader, mut writer) = stream.split();
        let answer = thread::spawn(move || {
            peer.send(&wire::client(wire::PING, b"ping"));
            peer.send(&wire::client(wire::BINARY, b"line\n"));
            peer.send(&wire::client(wire::TEXT, b"text"));
            let (mut pong, mut got) = (false, 0);
            let close = loop {
                let frame = peer.frame().unwrap();
                match frame.opcode {
                    wire::PONG => pong = true,
                    wire::BINARY => got += frame.payload.len(),
                    _ => break frame,
                }
            };
            assert_eq!((pong, got, close.close_code()), (true, 5, Some(1003)));
            peer.send(&wire::client(wire::CLOSE, &close.payload[..2]));
            assert_eq!(peer.frame(), None);
        });
        writer.write_all(b"hello").unwrap();
        writer.flush().unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "line\n");
        let error = reader.read(&mut [0; 10]).unwrap_err();
        assert!(matches!(inner(&error), Error::UnexpectedText), "{error:?}");
        answer.join().unwrap();
        assert_eq!(writer.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
        writer.shutdown().unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the sizes of frames, reads of the transport and reads of the stream.
    #[test]
    fn any_frames_are_one_stream(
        frames in proptest::collection::vec((any::<bool>(), 0_usize..300, any::<bool>()), 0..40),
        steps in proptest::collection::vec(1_usize..500, 1..20),
        reads in proptest::collection::vec(1_usize..700, 1..20),
        by_line: bool,
    ) {
        let total: usize = frames.iter().map(|(_, len, _)| len).sum();
        let pattern = wire::pattern(total);
        let (mut bytes, mut at, mut fresh) = (Vec::new(), 0, true);
        for (fin, len, ping) in frames {
            if ping {
                bytes.extend(wire::client(wire::PING, b"ping"));
            }
            let opcode = if fresh { wire::BINARY } else { wire::CONTINUATION };
            bytes.extend(frame(true, fin, opcode, &pattern[at..at + len]));
            at += len;
            fresh = fin;
        }
        bytes.extend(wire::client(wire::CLOSE, &wire::close_payload(1000, "")));
        let mut ops = Vec::new();
        for step in steps.iter().cycle() {
            let rest = bytes.split_off(bytes.len().min(*step));
            ops.push(Op::Bytes(std::mem::replace(&mut bytes, rest)));
            if bytes.is_empty() {
                break;
            }
        }
        let io = Plain(Script::new(ops, []));
        let mut stream = server_on(io, &Config::new()).into_byte_stream();
        let mut read = Vec::new();
        if by_line {
            while stream.read_until(0, &mut read).unwrap() > 0 {}
        } else {
            for size in reads.iter().cycle() {
                let mut piece = vec![0; *size];
                match stream.read(&mut piece).unwrap() {
                    0 => break,
                    n => read.extend_from_slice(&piece[..n]),
                }
            }
        }
        prop_assert!(read == pattern);
    }

    /// Whatever the sizes of writes and of what the transport takes.
    #[test]
    fn any_writes_are_one_stream(
        writes in proptest::collection::vec(0_usize..100_000, 0..6),
        steps in proptest::collection::vec(1_usize..60_000, 0..20),
    ) {
        let io = Script::default().with_writes(steps.into_iter().map(Op::Take));
        let log = io.log.clone();
        let mut stream = server_on(Plain(io), &Config::new()).into_byte_stream();
        let pattern = wire::pattern(writes.iter().sum());
        let mut rest = &pattern[..];
        for len in writes {
            stream.write_all(&rest[..len]).unwrap();
            rest = &rest[len..];
        }
        let frames = wire::frames(&log.written());
        let payloads: Vec<_> = frames.into_iter().flat_map(|frame| frame.payload).collect();
        prop_assert!(payloads == pattern);
    }
}
