//! Streams that do what no good stream does.

use std::io::ErrorKind;

use sansws::blocking::{Plain, WebSocket};
use sansws::bytes::Bytes;
use sansws::{CloseCode, Config, Error};

use crate::blocking::peer::{client_on, server_on, within};
use crate::blocking::script::{Log, Op, Script};
use sansws_test::wire;

fn socket(io: Script) -> (WebSocket<Plain<Script>>, Log) {
    let log = io.log.clone();
    (server_on(Plain(io), &Config::new()), log)
}

/// One byte at a time, with signals in between, in both directions.
#[test]
fn short_and_interrupted_calls_change_nothing() {
    let frames = [
        wire::client(wire::TEXT, b"Hello"),
        wire::client(wire::PING, b"ping"),
        wire::client(wire::BINARY, &wire::pattern(300)),
        wire::client(wire::CLOSE, &wire::close_payload(1000, "")),
    ];
    let reads = frames
        .concat()
        .into_iter()
        .flat_map(|byte| [Op::Error(ErrorKind::Interrupted), Op::Bytes(vec![byte])]);
    let writes = (0..2000).map(|at| match at % 2 {
        0 => Op::Error(ErrorKind::Interrupted),
        _ => Op::Take(1),
    });
    let (mut ws, log) = socket(Script::new(reads, writes));
    let mut count = 0;
    while let Some(message) = ws.recv().unwrap() {
        ws.feed(message).unwrap();
        count += 1;
    }
    assert_eq!(count, 2);
    let answers = wire::frames(&log.written());
    let opcodes: Vec<_> = answers.iter().map(|frame| frame.opcode).collect();
    assert_eq!(opcodes, [wire::TEXT, wire::PONG, wire::BINARY, wire::CLOSE]);
    assert_eq!(answers[2].payload, wire::pattern(300));
    assert!(ws.close_info().unwrap().clean);
}

/// A write that takes nothing is the end of writing, and no loop.
#[test]
fn a_write_of_nothing_is_an_error() {
    within(|| {
        let script = Script::bringing(&wire::client(wire::TEXT, b"sent before"));
        let (mut ws, log) = socket(script.with_writes([Op::Take(3), Op::Take(0)]));
        let error = ws.send("a message").unwrap_err();
        let Error::Disconnected(Some(io)) = &error else { panic!("{error:?}") };
        assert_eq!((io.kind(), log.writes()), (ErrorKind::WriteZero, 2));
        // what the peer had said is delivered, and then it is over
        assert_eq!(ws.recv().unwrap(), Some("sent before".into()));
        for _ in 0..3 {
            assert!(ws.recv().unwrap_err().is_disconnect());
            assert!(ws.send("again").unwrap_err().is_disconnect());
            assert!(ws.flush().unwrap_err().is_disconnect());
        }
        assert_eq!((log.writes(), ws.unsent()), (2, 0));
    });
}

/// More written than there was.
#[test]
fn a_write_of_too_much_is_an_error() {
    let script = Script::default().with_writes([Op::TooMany]);
    let (mut ws, _) = socket(script);
    let error = ws.send("a message").unwrap_err();
    assert!(error.is_disconnect(), "{error:?}");
    assert_eq!(ws.unsent(), 0);
    for client in [false, true] {
        let io = Plain(Script::default().with_writes([Op::TooMany]));
        let config = Config::new();
        let mut ws = if client { client_on(io, &config) } else { server_on(io, &config) };
        // by reference on a server: several slices
        ws.feed("small").unwrap();
        ws.feed(Bytes::from(wire::pattern(100_000))).unwrap();
        assert!(ws.flush().unwrap_err().is_disconnect());
    }
}

/// More read than there was room for. What was read before is delivered.
#[test]
fn a_read_of_too_much_is_an_error() {
    let reads = [Op::Bytes(wire::client(wire::TEXT, b"before")), Op::TooMany];
    let (mut ws, _) = socket(Script::new(reads, []));
    assert_eq!(ws.recv().unwrap(), Some("before".into()));
    for _ in 0..3 {
        let error = ws.recv().unwrap_err();
        let Error::Disconnected(Some(io)) = &error else { panic!("{error:?}") };
        assert_eq!(io.kind(), ErrorKind::InvalidData);
    }
}

/// Would-block without an end: one call of ours, one of the stream's.
#[test]
fn a_stream_that_would_block_is_left_alone() {
    within(|| {
        let blocked = || std::iter::repeat_n(Op::Error(ErrorKind::WouldBlock), 1000);
        let (mut ws, log) = socket(Script::new(blocked(), blocked()));
        for calls in 1..=10 {
            let error = ws.recv().unwrap_err();
            assert!(matches!(error, Error::Io(_)), "{error:?}");
            assert_eq!(log.reads(), calls);
        }
        for calls in 1..=10 {
            let error =
                if calls == 1 { ws.send("queued").unwrap_err() } else { ws.flush().unwrap_err() };
            assert!(matches!(error, Error::Io(_)), "{error:?}");
            assert_eq!((log.writes(), ws.unsent()), (calls, 8));
        }
    });
}

/// Any operation may be the one that fails: an error or an end, never a hang, and then the same for
/// ever.
#[test]
fn a_stream_that_fails_at_any_operation_ends_the_connection() {
    within(|| {
        let bytes = [
            wire::client(wire::TEXT, b"1234567890"),
            wire::client(wire::PING, b"12"),
            wire::client(wire::CLOSE, &wire::close_payload(1000, "")),
        ]
        .concat();
        for at in 0..40 {
            for reading in [false, true] {
                for fault in [Op::Error(ErrorKind::ConnectionReset), Op::Take(0)] {
                    let mut reads: Vec<_> =
                        bytes.chunks(2).map(|piece| Op::Bytes(piece.to_vec())).collect();
                    let mut writes = vec![Op::Take(2); 100];
                    if reading {
                        reads.truncate(at);
                        reads.push(fault.clone());
                    } else {
                        writes.truncate(at);
                        writes.extend(std::iter::repeat_n(fault.clone(), 100));
                    }
                    let (mut ws, log) = socket(Script::new(reads, writes));
                    let mut echo = || {
                        while let Some(message) = ws.recv()? {
                            ws.send(message)?;
                        }
                        ws.close(CloseCode::NORMAL, "")
                    };
                    let text = format!("{at}, {fault:?}, reading: {reading}");
                    match echo() {
                        Ok(()) => assert!(ws.close_info().unwrap().clean, "{text}"),
                        Err(error) => assert!(error.is_disconnect(), "{text}: {error:?}"),
                    }
                    while let Ok(Some(_)) = ws.recv() {}
                    let last = ws.recv().map(drop).map_err(|error| error.to_string());
                    for _ in 0..3 {
                        assert_eq!(ws.recv().map(drop).map_err(|e| e.to_string()), last, "{text}");
                    }
                    let (frames, _) = wire::frames_in(&log.written());
                    let closes = frames.iter().filter(|frame| frame.opcode == wire::CLOSE).count();
                    assert!(closes <= 1, "{text}: {frames:?}");
                }
            }
        }
    });
}

/// A flush ends with the connection, on a stream that never gets rid of what it keeps.
#[test]
fn a_flush_after_the_end_ends() {
    within(|| {
        let script = Script::bringing(&wire::client(wire::CLOSE, b""));
        let (mut ws, _) = socket(script.with_flushes([ErrorKind::WouldBlock; 1000]));
        assert!(matches!(ws.send("text"), Err(Error::Io(_))));
        let mut calls = 0;
        let end = loop {
            match ws.recv() {
                Err(Error::Io(_)) if calls < 100 => calls += 1,
                end => break end,
            }
        };
        assert_eq!(end.unwrap(), None);
        ws.flush().unwrap();
    });
}
