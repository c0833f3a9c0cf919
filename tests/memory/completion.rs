//! What IO by completion allocates: reads into owned memory, writes of owned pieces.
use core::sync::atomic::Ordering::Relaxed;

use sansws::Config;
use sansws::buf::RecvBuffer;
use sansws::bytes::{Bytes, BytesMut};
use sansws::proto::Role;
use sansws::wire::{FrameHeader, Opcode};

use sansws_test::counting::{COUNT, TAKEN, ZEROED};
use sansws_test::pair::*;
use sansws_test::process::alone;

const KIB: usize = 1024;

/// The lengths of messages.
const LENGTHS: [usize; 4] = [20, 16 * KIB, 100 * KIB, KIB * KIB];

/// What one read takes at most: a segment, a TLS record, a large read, a whole message.
const READS: [usize; 4] = [1400, 16 * KIB, 64 * KIB, 2 * KIB * KIB];

/// What a read is into.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Memory {
    /// What the receive buffer lends.
    Lent,
    /// A part of a buffer of the caller's, which reads into it again when it is back.
    Own,
    /// The same, and all of it was received: what a runtime provides.
    Provided,
}

/// What a piece of code allocated.
#[derive(Debug, PartialEq)]
struct Spent {
    allocations: usize,
    bytes: usize,
    /// Those of `bytes` that were asked for as zeros.
    zeroed: usize,
}

fn spent(code: impl FnOnce()) -> Spent {
    let counters = [&COUNT, &TAKEN, &ZEROED];
    let before = counters.map(|counter| counter.load(Relaxed));
    code();
    let [allocations, bytes, zeroed] = [0, 1, 2].map(|i| counters[i].load(Relaxed) - before[i]);
    Spent { allocations, bytes, zeroed }
}

/// One end of a connection and the memory that its owner reads into.
struct Loop {
    end: End,
    memory: Memory,
    /// One is read into while the other may be held for what came in it.
    own: [BytesMut; 2],
    /// What one read takes at most.
    read: usize,
    /// As many pieces are written together.
    together: usize,
    pieces: Vec<Bytes>,
}

impl Loop {
    fn new(role: Role, memory: Memory, read: usize, together: usize) -> Self {
        let capacity = if memory == Memory::Lent { 0 } else { read };
        let own = [0, 1].map(|_| BytesMut::with_capacity(capacity));
        let pieces = Vec::with_capacity(together);
        Self { end: End::new(role, &Config::new()), memory, own, read, together, pieces }
    }

    /// Receives these frames and sends the messages in them back, each before the next read.
    fn echo(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut space = match self.memory {
                Memory::Lent => self.end.rx.take_space(),
                Memory::Own | Memory::Provided => {
                    self.own.swap(0, 1);
                    self.own[0].reserve(self.read);
                    self.own[0].resize(self.read, 0);
                    self.own[0].split()
                }
            };
            let n = space.len().min(bytes.len()).min(self.read);
            space[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if self.memory == Memory::Provided {
                space.truncate(n);
                self.end.rx.put(space);
            } else {
                self.end.rx.put_space(space, n);
            }
            let End { conn, rx, tx, .. } = &mut self.end;
            while let Some(event) = conn.poll_event(rx, tx).unwrap() {
                if let Some(message) = event.into_message_ref() {
                    conn.feed(tx, message).unwrap();
                }
            }
            while self.end.tx.take_chunks(&mut self.pieces, self.together) > 0 {
                for piece in self.pieces.drain(..) {
                    assert!(!piece.is_empty());
                    self.end.tx.recycle(piece);
                }
            }
        }
        assert!(self.end.rx.is_idle());
    }
}

/// The frames of an echo of `len` bytes: one message, with a ping before it, in two fragments.
fn frames(role: Role, len: usize) -> [Vec<u8>; 3] {
    let peer = other(role);
    let payload = vec![7; len];
    let message = frame(peer, Opcode::Binary, &payload);
    let mut ping = frame(peer, Opcode::Ping, &[1; 100]);
    ping.extend(&message);
    let (first, rest) = payload.split_at(len / 3);
    let mut fragments = fragment(peer, false, Opcode::Binary, first);
    fragments.extend(fragment(peer, true, Opcode::Continuation, rest));
    [message, ping, fragments]
}

fn each_loop(check: impl Fn(Role, Memory, usize, usize)) {
    each_role(|role| {
        for memory in [Memory::Lent, Memory::Own, Memory::Provided] {
            for len in LENGTHS {
                for read in READS {
                    check(role, memory, len, read);
                }
            }
        }
    });
}

/// Once the buffers are as large as a message needs, nothing is allocated for the next one.
#[test]
fn an_echo_allocates_nothing() {
    alone("completion::an_echo_allocates_nothing", || {
        each_loop(|role, memory, len, read| {
            for (kind, bytes) in frames(role, len).iter().enumerate() {
                for together in [1, 64] {
                    let mut ours = Loop::new(role, memory, read, together);
                    (0..4).for_each(|_| ours.echo(bytes));
                    let held = ours.end.rx.capacity();
                    let spent = spent(|| (0..10).for_each(|_| ours.echo(bytes)));
                    let none = Spent { allocations: 0, bytes: 0, zeroed: 0 };
                    let case =
                        format!("{role:?} {memory:?} {len} by {read}, kind {kind}, {together}");
                    assert_eq!(spent, none, "{case}");
                    assert_eq!(ours.end.rx.capacity(), held, "{case}");
                }
            }
        });
    });
}

/// Bytes in memory that was not lent make the buffer as large as they need, in one step for those
/// that come together.
#[test]
fn what_comes_together_takes_one_growth() {
    alone("completion::what_comes_together_takes_one_growth", || {
        each_role(|role| {
            for len in LENGTHS {
                let bytes = frame(other(role), Opcode::Binary, &vec![7; len]);
                let mut end = End::new(role, &Config::new());
                let spent = {
                    let space = BytesMut::from(&bytes[..]);
                    spent(|| end.rx.put_space(space, bytes.len()))
                };
                assert_eq!(spent.allocations, 1, "{len}: {spent:?}");
                let held = bytes.len() + FrameHeader::MAX_LEN;
                // 512 more, off the page
                let needed = held.max(RecvBuffer::DEFAULT_READ_AHEAD) + 512;
                assert!(end.rx.capacity() <= needed, "{len}: {:?}", end.rx.capacity());
                assert_eq!(end.events(b""), [Got::Binary(vec![7; len])]);
            }
        });
    });
}
