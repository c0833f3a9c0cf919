//! An echo in memory of every size from 1 B to 1 MiB: is there one that costs far more than those
//! beside it?
//!
//! `cargo bench --bench sizes [-- FACTOR]`
//!
//! Where two buffers lie a multiple of a page apart, some processors copy thirty times as slowly
//! between them, for some sizes only. Every size has buffers of its own here, as a connection has,
//! at whatever place the allocator gives them; a power of two, those next to it, and what lies in
//! between in steps of a twentieth. A size is an outlier if it takes more than `FACTOR` (default 2)
//! times what the sizes around it lead to expect, in all rounds.

use std::hint::black_box;
use std::time::Instant;

use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::proto::{Connection, Role};
use sansws::wire::{FrameHeader, Opcode};
use sansws_test::pair::fill;

const LARGEST: usize = 1024 * 1024;

/// The bytes of a round for one size, at least one message.
const ROUND: usize = 2 * LARGEST;

const ROUNDS: usize = 5;

/// The sizes on either side that one is compared with.
const AROUND: usize = 4;

fn main() {
    let factor = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(2.0);
    let sizes = sizes();
    for role in [Role::Server, Role::Client] {
        // the least of all rounds, each of which visits all sizes: what else runs does not count
        let mut least = vec![f64::MAX; sizes.len()];
        for _ in 0..ROUNDS {
            for (least, len) in least.iter_mut().zip(&sizes) {
                *least = least.min(echo(role, *len));
            }
        }
        let mut outliers = 0;
        for (at, len) in sizes.iter().enumerate() {
            let expected = expected(&least, at);
            if least[at] > factor * expected {
                outliers += 1;
                println!("OUTLIER: {role:?} {len} B: {:.0} ns, not {expected:.0}", least[at]);
            }
        }
        println!("{role:?}: {} sizes, {outliers} of them outliers", sizes.len());
        for len in [1, 125, 1024, 12_000, 16 * 1024, 64 * 1024, LARGEST] {
            let at = sizes.binary_search(&len).expect("it is among them");
            println!("  {len:8} B {:10.0} ns", least[at]);
        }
    }
}

fn sizes() -> Vec<usize> {
    let mut sizes = vec![125, 126, 12_000, 65_535];
    let mut len = 1.0_f64;
    while len < LARGEST as f64 {
        sizes.push(len as usize);
        len = (len + 1.0).max(len * 1.05);
    }
    for power in 0..=LARGEST.ilog2() {
        let power = 1_usize << power;
        sizes.extend([power, power + 1, (power - 1).max(1)].map(|len| len.min(LARGEST)));
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The median of those around it.
fn expected(times: &[f64], at: usize) -> f64 {
    let around = at.saturating_sub(AROUND)..(at + AROUND + 1).min(times.len());
    let mut times = times[around].to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Returns nanoseconds per message.
fn echo(role: Role, len: usize) -> f64 {
    let config = Config::new().max_unsent(usize::MAX);
    let (mut conn, mask) = match role {
        Role::Server => (Connection::server(&config), Some([0x37, 0xfa, 0x21, 0x3d])),
        Role::Client => (Connection::client(&config, [7; 32]), None),
    };
    let mut frame = FrameHeader::new(Opcode::Binary, len as u64, mask).encode().to_vec();
    frame.resize(frame.len() + len, 7);
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut turn = || {
        fill(&mut rx, &frame);
        while let Some(event) = conn.poll_event(&mut rx, &mut tx).expect("valid") {
            let message = event.into_message_ref().expect("a message");
            conn.feed(&mut tx, message).expect("there is room");
        }
        while tx.has_remaining() {
            let n = black_box(tx.chunk()).len();
            tx.advance(n);
        }
    };
    (0..3).for_each(|_| turn()); // the buffers are as large as they get
    let count = (ROUND / len).clamp(1, 2000);
    let start = Instant::now();
    (0..count).for_each(|_| turn());
    start.elapsed().as_secs_f64() * 1e9 / count as f64
}
