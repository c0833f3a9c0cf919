//! How much memory is taken, counted by the allocator.
use core::sync::atomic::Ordering::Relaxed;

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::{Buf, Bytes};
use sansws::proto::{Connection, Role};
use sansws::wire::Opcode;
use sansws::{Config, Event, PreparedMessage};

use sansws_test::counting::{COUNT, HELD, PEAK, peak_beyond};
use sansws_test::pair::*;
use sansws_test::process::alone;

/// What a piece of code took.
#[derive(Debug)]
struct Taken {
    /// The most that was held at once, beyond what was held before.
    peak: usize,
    /// What was still held afterwards, beyond what was held before.
    kept: isize,
    /// How many allocations there were.
    count: usize,
}

fn measure<T>(code: impl FnOnce() -> T) -> (T, Taken) {
    let (held, count) = (HELD.load(Relaxed), COUNT.load(Relaxed));
    PEAK.store(held, Relaxed);
    let value = code();
    let taken = Taken {
        peak: peak_beyond(held),
        kept: HELD.load(Relaxed) - held,
        count: COUNT.load(Relaxed) - count,
    };
    (value, taken)
}

const KIB: usize = 1024;

#[test]
fn memory_follows_the_bytes_received() {
    alone(
        "allocations::memory_follows_the_bytes_received",
        memory_follows_the_bytes_received_alone,
    );
}

fn memory_follows_the_bytes_received_alone() {
    idle_connections_hold_nothing();
    announced_lengths_reserve_nothing();
    receiving_takes_twice_the_bytes_at_most();
    an_echo_allocates_nothing();
    an_echo_by_completion_allocates_nothing();
    floods_leave_nothing_behind();
    small_payloads_keep_no_large_buffer();
    broadcasts_share_one_message();
}

/// A server's connection and its empty buffers are nothing but their own bytes; a client has the
/// state of its key stream besides.
fn idle_connections_hold_nothing() {
    let config = Config::new();
    let (server, taken) =
        measure(|| (Connection::server(&config), RecvBuffer::new(), SendBuffer::new()));
    assert_eq!((taken.count, taken.kept), (0, 0), "{taken:?}");
    drop(server);
    let (client, taken) =
        measure(|| (Connection::client(&config, [1; 32]), RecvBuffer::new(), SendBuffer::new()));
    assert!(taken.kept < 1024, "{taken:?}");
    drop(client);
}

/// F-14: a header that announces 2^62 bytes, with no limit set, takes what any read takes.
fn announced_lengths_reserve_nothing() {
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        let config = Config::new().max_message_len(usize::MAX).delivery(delivery);
        each_role(|role| {
            for len in [1_u64 << 62, (1 << 63) - 1, 1 << 31, 17 << 20] {
                let mut field = vec![127];
                field.extend(len.to_be_bytes());
                let bytes = raw_header(other(role), 0x82, &field);
                let mut end = End::new(role, &config);
                let (_, taken) = measure(|| {
                    end.rx.extend_from_slice(&bytes);
                    assert!(!end.conn.advance(&mut end.rx, &mut end.tx).unwrap());
                });
                assert!(taken.peak <= 17 * KIB, "{len} announced: {taken:?}");
            }
        });
    }
}

/// no more is held than twice what arrived and a constant, and while the buffer grows, the old
/// one besides.
fn receiving_takes_twice_the_bytes_at_most() {
    each_role(|role| {
        let peer = other(role);
        let whole = frame(peer, Opcode::Binary, &vec![1; 3_000_000]);
        let mut pieces = fragment(peer, false, Opcode::Binary, b"");
        pieces.extend(fragment(peer, false, Opcode::Continuation, &[1; 1000]).repeat(2000));
        pieces.extend(fragment(peer, true, Opcode::Continuation, b""));
        for bytes in [&whole, &pieces] {
            for step in [1000, 4096, 16_384] {
                let mut end = End::new(role, &Config::new());
                let mut received = 0;
                for piece in bytes.chunks(step) {
                    received += piece.len();
                    // while it grows, the old buffer, up to an eighth of which is free, is held
                    // beside the new one
                    let before = end.rx.capacity();
                    let (_, taken) = measure(|| {
                        end.rx.extend_from_slice(piece);
                        let done = end.conn.advance(&mut end.rx, &mut end.tx).unwrap();
                        assert_eq!(done, received == bytes.len());
                    });
                    assert!(end.rx.capacity() <= 2 * received + 32 * KIB, "{:?}", end.rx);
                    assert!(taken.peak + before <= received * 13 / 4 + 64 * KIB, "{taken:?}");
                }
            }
        }
    });
}

/// A steady echo of small messages: after the first ones nothing is allocated.
fn an_echo_allocates_nothing() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let mut burst = Vec::new();
        for i in 0..32 {
            let opcode = if i % 2 == 0 { Opcode::Text } else { Opcode::Binary };
            burst.extend(frame(other(role), opcode, &[b'x'; 100]));
        }
        burst.extend(frame(other(role), Opcode::Ping, b"ping"));
        let echo = |end: &mut End| {
            // in three reads, so that frames are cut
            for part in burst.chunks(burst.len() / 3 + 1) {
                end.rx.extend_from_slice(part);
                while let Some(event) = end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap() {
                    match event {
                        Event::Text(text) => end.conn.feed(&mut end.tx, &text).unwrap(),
                        Event::Binary(binary) => end.conn.feed(&mut end.tx, &binary).unwrap(),
                        Event::Ping(_) => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
            let sent = end.tx.remaining();
            end.tx.advance(sent);
            sent
        };
        for _ in 0..10 {
            echo(&mut end);
        }
        let (sent, taken) = measure(|| (0..1000).map(|_| echo(&mut end)).sum::<usize>());
        assert!(sent > 1000 * 32 * 100);
        assert_eq!((taken.count, taken.kept), (0, 0), "{taken:?}");
    });
}

/// The same with IO by completion, where memory is lent to the reader and taken by the writer; and
/// no more for large messages than IO by readiness takes, whose memory goes on to be sent and comes
/// back.
fn an_echo_by_completion_allocates_nothing() {
    each_role(|role| {
        for (len, count) in
            [(100, 10), (10 * KIB, 1), (10 * KIB, 3), (100 * KIB, 3), (KIB * KIB, 1)]
        {
            let bytes = frame(other(role), Opcode::Binary, &vec![7; len]).repeat(count);
            let [by_readiness, by_completion] = [false, true].map(|completion| {
                let mut end = End::new(role, &Config::new());
                (0..10).for_each(|_| echo(&mut end, &bytes, completion));
                measure(|| (0..20).for_each(|_| echo(&mut end, &bytes, completion))).1
            });
            let what = format!("{role:?}, {count} of {len}: {by_readiness:?} {by_completion:?}");
            // memory that is lent has a reference count, allocated once for as long as it serves
            assert!(2 * by_completion.count <= 3 * by_readiness.count, "{what}");
            assert!(by_completion.peak <= by_readiness.peak + 128 * KIB, "{what}");
            if len * count <= 10 * KIB {
                assert_eq!((by_completion.count, by_completion.kept), (0, 0), "{what}");
            }
        }
    });
}

/// Receives these messages and sends them back, in steps of 64 KiB at most.
fn echo(end: &mut End, mut bytes: &[u8], completion: bool) {
    while !bytes.is_empty() {
        let mut taken;
        let space = match completion {
            true => {
                taken = Some(end.rx.take_space());
                taken.as_deref_mut().unwrap()
            }
            false => {
                taken = None;
                end.rx.space()
            }
        };
        let n = space.len().min(bytes.len()).min(64 * KIB);
        space[..n].copy_from_slice(&bytes[..n]);
        bytes = &bytes[n..];
        match taken {
            Some(space) => end.rx.put_space(space, n),
            None => end.rx.commit(n),
        }
        while let Some(event) = end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap() {
            let message = event.into_message_ref().unwrap();
            end.conn.feed(&mut end.tx, message).unwrap();
            if completion {
                while let Some(chunk) = end.tx.take_chunk() {
                    assert!(!chunk.is_empty());
                }
            }
            end.tx.advance(end.tx.remaining());
        }
    }
}

/// K-9: pings, pongs and fragments by the hundred thousand.
fn floods_leave_nothing_behind() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        end.events(&fragment(peer, false, Opcode::Text, b"x"));
        let mut burst = frame(peer, Opcode::Ping, &[1; 125]).repeat(20);
        burst.extend(frame(peer, Opcode::Pong, &[2; 125]).repeat(20));
        burst.extend(fragment(peer, false, Opcode::Continuation, b"x").repeat(5));
        let (_, taken) = measure(|| {
            for _ in 0..10_000 {
                end.rx.extend_from_slice(&burst);
                while end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap().is_some() {}
            }
        });
        // 50 000 bytes of message, 17 pongs
        assert!(taken.kept <= 200 * KIB as isize, "{taken:?}");
        assert!(taken.peak <= 400 * KIB, "{taken:?}");
    });
}

/// However messages follow each other in a large buffer, what is kept of them is in proportion.
fn small_payloads_keep_no_large_buffer() {
    each_role(|role| {
        let peer = other(role);
        let lengths = [8000 * KIB, 4000 * KIB, 2000 * KIB, 500 * KIB, 50 * KIB, 5 * KIB, 100];
        let bytes: Vec<u8> =
            lengths.iter().flat_map(|len| frame(peer, Opcode::Binary, &vec![1; *len])).collect();
        for keep in 0..lengths.len() {
            let (kept, taken) = measure(|| {
                let mut end = End::new(role, &Config::new());
                end.rx.extend_from_slice(&bytes);
                let mut kept = None;
                for i in 0..lengths.len() {
                    let event = end.conn.poll_event(&mut end.rx, &mut end.tx).unwrap().unwrap();
                    let owned = event.into_message().unwrap();
                    if i == keep {
                        kept = Some(owned);
                    }
                }
                kept.unwrap()
            });
            assert_eq!(kept.len(), lengths[keep]);
            let bound = 2 * kept.len() + 16 * KIB;
            assert!(taken.kept <= bound as isize, "{} bytes: {taken:?}", kept.len());
        }
    });
}

/// A prepared message costs a server a reference, however many there are to hear it.
fn broadcasts_share_one_message() {
    let prepared = PreparedMessage::new(vec![1; 100 * KIB]).unwrap();
    let mut ends: Vec<End> = (0..100).map(|_| End::new(Role::Server, &Config::new())).collect();
    let (_, taken) = measure(|| {
        for end in &mut ends {
            end.conn.feed(&mut end.tx, &prepared).unwrap();
        }
    });
    assert!(taken.kept <= 100 * 1024, "{taken:?}");
    let large = Bytes::from(vec![1; 100 * KIB]);
    let mut end = End::server();
    let (_, taken) = measure(|| end.conn.feed(&mut end.tx, large.clone()).unwrap());
    assert!(taken.peak <= 2 * KIB, "an owned payload is queued by reference: {taken:?}");
}
