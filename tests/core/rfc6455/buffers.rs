//! The two buffers, through connections. What can be seen from inside only is tested beside them.

use proptest::prelude::*;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::{Buf, Bytes, BytesMut};
use sansws::proto::{MessageRef, Role};
use sansws::wire::Opcode;
use sansws::{Config, PreparedMessage};

use sansws_test::pair::*;

/// Something that puts bytes into the send buffer, or takes some out.
#[derive(Clone, Debug)]
enum Op {
    Send(usize),
    SendOwned(usize),
    Prepared(usize),
    Pong(usize),
    Advance(usize),
    TakeChunk,
    Shrink,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0..300_usize).prop_map(Op::Send),
        2 => (16_000..17_000_usize).prop_map(Op::SendOwned),
        2 => prop_oneof![0..50_usize, 500..520_usize, 3000..3010_usize].prop_map(Op::Prepared),
        4 => (0..=125_usize).prop_map(Op::Pong),
        4 => prop_oneof![0..50_usize, 0..40_000_usize].prop_map(Op::Advance),
        1 => Just(Op::TakeChunk),
        1 => Just(Op::Shrink),
    ];
    prop::collection::vec(op, 1..40)
}

/// Runs the operations; everything that leaves, in order. `limited` operations take part of what is
/// there, `by_chunks` drains the end with owned chunks.
fn run(role: Role, ops: &[Op], take: bool, by_chunks: bool) -> Vec<u8> {
    let mut end = End::new(role, &Config::new().max_pending_pongs(3).max_unsent(usize::MAX));
    let mut out = Vec::new();
    for (i, op) in ops.iter().enumerate() {
        let payload = |len: usize| vec![i as u8; len];
        let (conn, tx) = (&mut end.conn, &mut end.tx);
        match *op {
            Op::Send(len) => conn.feed(tx, payload(len).as_slice()).unwrap(),
            Op::SendOwned(len) => conn.feed(tx, Bytes::from(payload(len))).unwrap(),
            Op::Prepared(len) => {
                conn.feed(tx, &PreparedMessage::new(payload(len)).unwrap()).unwrap();
            }
            Op::Pong(len) => {
                let ping = frame(other(role), Opcode::Ping, &payload(len));
                end.rx.extend_from_slice(&ping);
                end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap();
            }
            Op::Advance(n) if take => {
                let mut left = n.min(tx.remaining());
                while left > 0 {
                    let n = left.min(tx.chunk().len());
                    out.extend_from_slice(&tx.chunk()[..n]);
                    tx.advance(n);
                    left -= n;
                }
            }
            Op::TakeChunk if take => out.extend(tx.take_chunk().unwrap_or_default()),
            Op::Shrink => tx.shrink(),
            Op::Advance(_) | Op::TakeChunk => {}
        }
        check_laws(&end.tx);
    }
    if by_chunks {
        while let Some(chunk) = end.tx.take_chunk() {
            out.extend(chunk);
        }
    } else {
        out.extend(end.sent());
    }
    out
}

/// The laws of `Buf`.
fn check_laws(tx: &SendBuffer) {
    assert_eq!(tx.has_remaining(), tx.remaining() > 0);
    assert_eq!(tx.chunk().is_empty(), tx.remaining() == 0);
    assert_eq!((tx.len(), tx.is_empty()), (tx.remaining(), !tx.has_remaining()));
    assert!(tx.chunk().len() <= tx.remaining());
    #[cfg(feature = "std")]
    {
        let mut slices = [std::io::IoSlice::new(b""); 100];
        let count = tx.chunks_vectored(&mut slices);
        let total: usize = slices[..count].iter().map(|slice| slice.len()).sum();
        assert!(count == slices.len() || total == tx.remaining());
        if let Some(first) = slices[..count].first() {
            assert!(tx.chunk().starts_with(first) || first.starts_with(tx.chunk()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// All ways to take bytes out agree, whatever is put in between.
    #[test]
    fn the_byte_stream_is_the_same_however_it_is_taken(ops in ops()) {
        for role in [Role::Server, Role::Client] {
            // without taking anything in between, chunk by chunk and as owned pieces
            prop_assert!(run(role, &ops, false, false) == run(role, &ops, false, true));
            // with partial writes: whole frames, the messages all there and in order
            for by_chunks in [false, true] {
                let frames = parse_frames(&run(role, &ops, true, by_chunks));
                let sent: Vec<_> = frames
                    .iter()
                    .filter(|frame| frame.kind() == Opcode::Binary)
                    .map(|frame| frame.payload.clone())
                    .collect();
                let expected: Vec<_> = ops
                    .iter()
                    .enumerate()
                    .filter_map(|(i, op)| match *op {
                        Op::Send(len) | Op::SendOwned(len) | Op::Prepared(len) => {
                            Some(vec![i as u8; len])
                        }
                        _ => None,
                    })
                    .collect();
                prop_assert!(sent == expected);
                // pongs: in order, and the last ping is always answered
                let pongs: Vec<_> = frames
                    .iter()
                    .filter(|frame| frame.kind() == Opcode::Pong)
                    .map(|frame| frame.payload.clone())
                    .collect();
                let pings: Vec<_> = ops
                    .iter()
                    .enumerate()
                    .filter_map(|(i, op)| match *op {
                        Op::Pong(len) => Some(vec![i as u8; len]),
                        _ => None,
                    })
                    .collect();
                prop_assert_eq!(pongs.last(), pings.last());
                let mut rest = pings.iter();
                prop_assert!(pongs.iter().all(|pong| rest.any(|ping| ping == pong)));
            }
        }
    }
}

/// Completion IO: the spare tail goes out as an owned buffer and comes back, partly filled.
#[test]
fn reading_into_an_owned_buffer() {
    each_role(|role| {
        let bytes = frame(other(role), Opcode::Binary, &[5; 100_000]);
        for step in [1000, 5000, 100_000] {
            let mut end = End::new(role, &Config::new());
            let mut left = &bytes[..];
            let mut events = Vec::new();
            while !left.is_empty() {
                let mut space = end.rx.take_space();
                assert!(!space.is_empty());
                let n = space.len().min(left.len()).min(step);
                space[..n].copy_from_slice(&left[..n]);
                left = &left[n..];
                // parsing goes on while the read is under way
                events.extend(end.events(b""));
                end.rx.put_space(space, n);
            }
            events.extend(end.events(b""));
            assert_eq!(events, [Got::Binary(vec![5; 100_000])]);
            assert!(end.rx.is_idle());
        }
    });
}

/// Giving the tail back costs no copy as long as the buffer has not moved.
#[test]
fn an_owned_tail_comes_back_in_place() {
    let mut rx = RecvBuffer::new();
    rx.extend_from_slice(b"\x82\x05abc");
    let mut space = rx.take_space();
    let at = space.as_ptr();
    space[..2].copy_from_slice(b"de");
    rx.put_space(space, 2);
    assert_eq!(rx.space().as_ptr(), at.wrapping_add(2));
}

/// Whatever comes back, the bytes said to be read are taken, and the buffer stays sound.
#[test]
fn foreign_and_late_buffers_are_taken_as_bytes() {
    let message = frame(Role::Client, Opcode::Binary, &[6; 300]);
    let (head, tail) = message.split_at(100);
    let expected = [Got::Binary(vec![6; 300])];

    // a buffer that this one never lent
    let mut server = End::server();
    server.rx.extend_from_slice(head);
    server.rx.put_space(BytesMut::from(tail), tail.len());
    assert_eq!(server.events(b""), expected);

    // the same, while the own tail is out and never comes back
    let mut server = End::server();
    server.rx.extend_from_slice(head);
    drop(server.rx.take_space());
    server.rx.put_space(BytesMut::from(tail), tail.len());
    assert_eq!(server.events(b""), expected);

    // as the first thing of all, longer than what was read
    let mut server = End::server();
    let mut foreign = BytesMut::from(&message[..]);
    foreign.extend_from_slice(&[0xff; 50]);
    server.rx.put_space(foreign, message.len());
    assert_eq!(server.events(b""), expected);

    // the buffer has grown while its tail was out
    let mut server = End::server();
    server.rx.extend_from_slice(head);
    let mut space = server.rx.take_space();
    server.rx.extend_from_slice(&tail[..100]);
    let rest = &tail[100..];
    space[..rest.len()].copy_from_slice(rest);
    server.rx.put_space(space, rest.len());
    assert_eq!(server.events(b""), expected);

    // a whole message was handed over while the tail was out
    let mut server = End::server();
    let large = frame(Role::Client, Opcode::Binary, &[7; 10_000]);
    server.rx.extend_from_slice(&large);
    let mut space = server.rx.take_space();
    let event = server.conn.poll_event(&mut server.rx, &mut server.tx).unwrap().unwrap();
    let owned = event.into_message().unwrap();
    space[..message.len()].copy_from_slice(&message);
    server.rx.put_space(space, message.len());
    assert_eq!(server.events(b""), expected);
    assert_eq!(owned.as_bytes(), [7; 10_000]);

    // cut short, or with a claim that is too high
    let mut server = End::server();
    server.rx.extend_from_slice(head);
    let mut space = server.rx.take_space();
    space.truncate(tail.len());
    space.copy_from_slice(tail);
    server.rx.put_space(space, usize::MAX);
    assert_eq!(server.events(b""), expected);
}

/// Whatever way each piece of a stream comes in by, the events are the same.
#[test]
fn every_way_in_gives_the_same_events() {
    each_role(|role| {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (i, len) in [0, 20, 5000, 3, 40_000, 4096, 125, 9000, 100_000].into_iter().enumerate() {
            let payload = vec![i as u8; len];
            bytes.extend(frame(other(role), Opcode::Ping, &[i as u8]));
            let (first, rest) = payload.split_at(len / 3);
            bytes.extend(fragment(other(role), false, Opcode::Binary, first));
            bytes.extend(frame(other(role), Opcode::Ping, &[i as u8; 100]));
            bytes.extend(fragment(other(role), true, Opcode::Continuation, rest));
            bytes.extend(frame(other(role), Opcode::Binary, &payload));
            let ping = |len| Got::Ping(vec![i as u8; len]);
            let message = Got::Binary(payload);
            expected.extend([ping(1), ping(100), message.clone(), message]);
        }
        for seed in 0..60_u32 {
            let mut state = seed;
            let mut random = |bound: usize| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as usize % bound
            };
            let mut end = End::new(role, &Config::new());
            let (mut left, mut events) = (&bytes[..], Vec::new());
            let mut lent = None;
            while !left.is_empty() {
                let most = [100, 5000, 20_000, 200_000][random(4)];
                let (piece, rest) = left.split_at(left.len().min(1 + random(most)));
                left = rest;
                match random(4) {
                    0 => end.rx.put(BytesMut::from(piece)),
                    1 => end.rx.put_space(BytesMut::from(piece), piece.len()),
                    2 => end.rx.extend_from_slice(piece),
                    _ => {
                        let mut space = end.rx.take_space();
                        let n = space.len().min(piece.len());
                        space[..n].copy_from_slice(&piece[..n]);
                        if random(2) == 0 {
                            end.rx.put_space(space, n);
                        } else {
                            // the space is lost for a while, and comes back as any other memory
                            end.rx.put(BytesMut::from(&piece[..n]));
                            lent = Some(space);
                        }
                        end.rx.extend_from_slice(&piece[n..]);
                    }
                }
                if random(3) > 0 {
                    events.extend(end.events(b""));
                }
                if random(3) == 0
                    && let Some(space) = lent.take()
                {
                    end.rx.put_space(space, 0);
                }
            }
            events.extend(end.events(b""));
            assert_eq!(events, expected, "{role:?}, seed {seed}");
            assert!(end.rx.is_idle());
        }
    });
}

/// Memory that was never lent does not stay, however much of it comes: the bytes said to be read
/// are copied, and no more than they.
#[test]
fn foreign_memory_does_not_pile_up() {
    let message = frame(Role::Client, Opcode::Binary, &[6; 300]);
    for lend in [false, true] {
        let mut server = End::server();
        for _ in 0..200 {
            if lend {
                drop(server.rx.take_space());
            }
            let mut foreign = BytesMut::zeroed(1 << 20);
            foreign[..message.len()].copy_from_slice(&message);
            server.rx.put_space(foreign, message.len());
            assert_eq!(server.events(b""), [Got::Binary(vec![6; 300])]);
            assert!(server.rx.is_idle());
            assert!(server.rx.capacity() <= 2 * RecvBuffer::DEFAULT_READ_AHEAD, "{:?}", server.rx);
        }
        for _ in 0..200 {
            server.rx.put_space(BytesMut::zeroed(1 << 20), 0);
            assert!(server.rx.capacity() <= 2 * RecvBuffer::DEFAULT_READ_AHEAD, "{:?}", server.rx);
        }
    }
}

/// A buffer that carries nothing may serve another connection.
#[test]
fn an_idle_buffer_can_be_passed_on() {
    let mut first = End::server();
    first.events(&frame(Role::Client, Opcode::Text, b"first"));
    assert!(first.rx.is_idle());
    let mut second = End::client();
    second.rx = core::mem::take(&mut first.rx);
    assert_eq!(
        second.events(&frame(Role::Server, Opcode::Text, b"second")),
        [Got::Text("second".into())]
    );
    first.events(&fragment(Role::Client, false, Opcode::Text, b"part"));
    assert!(!first.rx.is_idle(), "a partial message is held");
}

/// A small payload keeps no large buffer alive; a large one is not copied.
#[test]
fn what_is_handed_over_and_what_is_copied() {
    let mut server = End::server();
    server.rx.extend_from_slice(&frame(Role::Client, Opcode::Binary, &[1; 1000]));
    let buffer = server.rx.capacity();
    assert!(buffer >= 16 * 1024);
    let event = server.conn.poll_event(&mut server.rx, &mut server.tx).unwrap().unwrap();
    let small = event.into_message().unwrap().into_bytes();
    assert_eq!(server.rx.capacity(), buffer, "the buffer stays where it is");
    assert_eq!(small, [1; 1000][..]);

    server.rx.extend_from_slice(&frame(Role::Client, Opcode::Binary, &[2; 20_000]));
    let end = server.rx.unparsed().as_ptr_range().end;
    let event = server.conn.poll_event(&mut server.rx, &mut server.tx).unwrap().unwrap();
    let large = event.into_message().unwrap().into_bytes();
    assert_eq!(large, [2; 20_000][..]);
    assert_eq!(large.as_ptr_range().end, end, "it lies where it was read");
    server.rx.extend_from_slice(&[0x82; 100_000]);
    assert_eq!(large, [2; 20_000][..], "nobody else writes to it");
}

/// F-27: growth is geometric in what has arrived, so that copying is linear over all: in one frame,
/// in frames smaller and larger than a read.
#[test]
fn growth_is_geometric() {
    const LEN: usize = 8 * 1024 * 1024;
    each_role(|role| {
        for size in [LEN, 64, 5000, 300_000] {
            let mut bytes = fragment(other(role), size == LEN, Opcode::Binary, &vec![0; size]);
            let next = fragment(other(role), false, Opcode::Continuation, &vec![0; size]);
            bytes.extend(next.repeat(LEN / size - 1));
            let mut end = End::new(role, &Config::new());
            let (mut growths, mut capacity) = (0, 0);
            for piece in bytes.chunks(4096) {
                end.rx.extend_from_slice(piece);
                end.conn.advance(&mut end.rx, &mut end.tx).unwrap();
                growths += u32::from(end.rx.capacity() != capacity);
                capacity = end.rx.capacity();
            }
            assert!(growths <= 14, "{growths} growths to {capacity} bytes, in {size}");
        }
    });
}

/// What a last frame announces is the most that is reserved for it, once that much has arrived.
#[test]
fn the_buffer_grows_no_further_than_the_message() {
    each_role(|role| {
        let bytes = frame(other(role), Opcode::Binary, &[3; 1_000_000]);
        let mut end = End::new(role, &Config::new());
        for piece in bytes.chunks(4096) {
            end.rx.extend_from_slice(piece);
            end.conn.advance(&mut end.rx, &mut end.tx).unwrap();
        }
        assert!(end.rx.capacity() <= bytes.len() + 64 * 1024, "{:?}", end.rx);
        assert_eq!(end.events(b""), [Got::Binary(vec![3; 1_000_000])]);
    });
}

/// Bytes that were fed but not parsed grow the buffer by doubling, not by steps.
#[test]
fn a_large_feed_is_linear() {
    let stream = frame(Role::Client, Opcode::Pong, b"x").repeat(2_000_000);
    let mut server = End::server();
    server.events(&frame(Role::Client, Opcode::Text, b"x"));
    server.rx.extend_from_slice(&stream);
    assert!(server.rx.capacity() <= 2 * stream.len() + 32 * 1024);
    let mut pongs = 0;
    while server.conn.poll_event(&mut server.rx, &mut server.tx).unwrap().is_some() {
        pongs += 1;
    }
    assert_eq!(pongs, 2_000_000);
}

/// A pong that left together with those before it waits no more: one that comes later is in line at
/// once, whichever bound there is.
#[test]
fn pongs_that_left_together_are_forgotten() {
    each_role(|role| {
        for limit in [1, 2, 16] {
            let mut end = End::new(role, &Config::new().max_pending_pongs(limit));
            let ping = |payload: &[u8]| frame(other(role), Opcode::Ping, payload);
            for _ in 0..3 {
                for n in 0..=limit {
                    end.events(&ping(&[n as u8]));
                }
                end.tx.advance(end.tx.remaining());
                assert!(end.tx.is_empty());
                end.events(&ping(b"later"));
                assert!(!end.tx.is_empty() && !end.tx.chunk().is_empty());
                let sent = end.sent_frames();
                assert_eq!(sent.len(), 1);
            }
        }
    });
}

/// A pong that waits behind the others is part of what is unsent.
#[test]
fn the_newest_pong_counts_as_unsent() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new().max_pending_pongs(1));
        for payload in [&b"first"[..], b"skipped", b"newest"] {
            end.events(&frame(other(role), Opcode::Ping, payload));
        }
        let key = if role == Role::Client { 4 } else { 0 };
        assert_eq!(end.tx.remaining(), 2 + key + 5 + 2 + key + 6);
        end.tx.advance(end.tx.remaining());
        assert!(end.tx.is_empty());
        end.conn.feed(&mut end.tx, MessageRef::ping(b"")).unwrap();
        assert_eq!(end.sent_frames().len(), 1);
    });
}
