//! The core in memory: headers, masking, UTF-8, decoding, encoding, echo, handshake.
//!
//! `cargo bench --bench core [-- FILTER]`
//!
//! Decoding copies a burst of frames into the receive buffer, as a read from a socket would, and
//! takes every message out; encoding queues a burst and drops it. Times are for one message; the
//! allocations that a message costs once the buffers have grown are counted beside them.

#![allow(missing_docs)] // criterion's macros make items without
#![allow(unsafe_code)] // a global allocator cannot be written without it

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::{Buf, Bytes};
use sansws::handshake::{client, server};
use sansws::proto::{Connection, MessageRef, Role};
use sansws::wire::{self, FrameHeader, Opcode, Utf8Validator};
use sansws_test::pair::fill;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const LENS: [usize; 6] = [16, 125, 1024, 16 * 1024, 64 * 1024, 1024 * 1024];

/// Bytes in a burst, about what a busy socket hands out at once and what stays in the first-level
/// cache; at least one message.
const BURST: usize = 16 * 1024;

fn header(c: &mut Criterion) {
    let mut group = c.benchmark_group("header");
    for len in [16, 1024, 100_000] {
        let header = FrameHeader::new(Opcode::Binary, len, Some(KEY));
        let encoded = header.encode();
        group.bench_function(BenchmarkId::new("parse", len), |b| {
            b.iter(|| FrameHeader::parse(black_box(&encoded)));
        });
        group.bench_function(BenchmarkId::new("encode", len), |b| {
            b.iter(|| black_box(&header).encode());
        });
    }
}

fn mask(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    for len in LENS {
        let source = vec![0x55; len];
        let mut target = vec![0; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("in place", len), |b| {
            b.iter(|| wire::apply_mask(black_box(&mut target), KEY, 1));
        });
        group.bench_function(BenchmarkId::new("copy", len), |b| {
            b.iter(|| wire::apply_mask_to(black_box(&mut target), black_box(&source), KEY, 1));
        });
    }
}

/// Text that is mostly outside ASCII: two, three and four bytes a character.
fn mixed(len: usize) -> String {
    let mut text: String = "Grüße, κόσμε, мир, 世界, 𐍈𝄞! ".chars().cycle().take(len).collect();
    while text.len() > len {
        text.pop();
    }
    text.push_str(&"x".repeat(len - text.len()));
    text
}

fn utf8(c: &mut Criterion) {
    let mut group = c.benchmark_group("utf8");
    for len in [125, 1024, 16 * 1024] {
        for (name, text) in [("ascii", "x".repeat(len)), ("mixed", mixed(len))] {
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(name, len), |b| {
                b.iter(|| Utf8Validator::new().update(black_box(text.as_bytes())));
            });
        }
    }
}

/// As many copies of a frame as make a burst.
fn burst(role: Role, opcode: Opcode, payload: &[u8]) -> (Vec<u8>, u64) {
    let mask = (role == Role::Client).then_some(KEY);
    let mut frame = FrameHeader::new(opcode, payload.len() as u64, mask).encode().to_vec();
    let at = frame.len();
    frame.extend_from_slice(payload);
    if let Some(key) = mask {
        wire::apply_mask(&mut frame[at..], key, 0);
    }
    let count = (BURST / frame.len()).max(1);
    (frame.repeat(count), count as u64)
}

/// Counts allocations.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Says what `turn`, which handles `count` messages, allocates for each in the long run.
fn count_allocations(name: &str, len: usize, count: u64, mut turn: impl FnMut()) {
    const TURNS: u64 = 100;
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let name = format!("{name}/{len}");
    let mut said = SAID.lock().expect("nothing panics with it");
    if said.contains(&name) {
        return; // criterion asks several times
    }
    (0..3).for_each(|_| turn()); // the buffers grow
    let before = ALLOCATIONS.load(Relaxed);
    (0..TURNS).for_each(|_| turn());
    let allocations = (ALLOCATIONS.load(Relaxed) - before) as f64 / (TURNS * count) as f64;
    println!("{name}: {allocations} allocations a message");
    said.push(name);
}

/// Measures `turn`, which handles `count` messages, by the message.
fn by_message(iterations: u64, count: u64, mut turn: impl FnMut()) -> Duration {
    let turns = iterations.div_ceil(count);
    let start = Instant::now();
    for _ in 0..turns {
        turn();
    }
    start.elapsed().mul_f64(iterations as f64 / (turns * count) as f64)
}

fn connection(role: Role) -> Connection {
    let config = Config::new().max_unsent(usize::MAX);
    match role {
        Role::Server => Connection::server(&config),
        Role::Client => Connection::client(&config, [7; 32]),
    }
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let texts = |len: usize| {
        [
            ("server binary", Role::Server, Opcode::Binary, vec![7; len]),
            ("client binary", Role::Client, Opcode::Binary, vec![7; len]),
            ("server ascii", Role::Server, Opcode::Text, "x".repeat(len).into_bytes()),
            ("server mixed", Role::Server, Opcode::Text, mixed(len).into_bytes()),
        ]
    };
    for len in LENS {
        for (name, role, opcode, payload) in texts(len) {
            let peer = if role == Role::Server { Role::Client } else { Role::Server };
            let (bytes, count) = burst(peer, opcode, &payload);
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(name, len), |b| {
                let mut conn = connection(role);
                let (mut rx, mut tx) = (RecvBuffer::with_read_ahead(BURST), SendBuffer::new());
                let mut turn = || {
                    fill(&mut rx, &bytes);
                    while let Some(event) = conn.poll_event(&mut rx, &mut tx).expect("valid") {
                        black_box(&event);
                    }
                };
                count_allocations(&format!("decode/{name}"), len, count, &mut turn);
                b.iter_custom(|iterations| by_message(iterations, count, &mut turn));
            });
        }
    }
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for len in LENS {
        let payload = Bytes::from(vec![7; len]);
        let count = (BURST / len).max(1) as u64;
        for (name, role, owned) in [
            ("server", Role::Server, true),
            ("server copied", Role::Server, false),
            ("client", Role::Client, false),
        ] {
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(name, len), |b| {
                let mut conn = connection(role);
                let mut tx = SendBuffer::new();
                let mut turn = || {
                    for _ in 0..count {
                        let sent = if owned {
                            conn.feed(&mut tx, payload.clone())
                        } else {
                            conn.feed(&mut tx, MessageRef::binary(&payload))
                        };
                        sent.expect("there is room");
                    }
                    black_box(tx.chunk());
                    tx.advance(tx.remaining());
                };
                count_allocations(&format!("encode/{name}"), len, count, &mut turn);
                b.iter_custom(|iterations| by_message(iterations, count, &mut turn));
            });
        }
    }
}

fn echo(c: &mut Criterion) {
    let mut group = c.benchmark_group("echo");
    for len in LENS {
        for (name, opcode) in [("binary", Opcode::Binary), ("text", Opcode::Text)] {
            let (bytes, count) = burst(Role::Client, opcode, &vec![b'x'; len]);
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(name, len), |b| {
                let mut conn = connection(Role::Server);
                let (mut rx, mut tx) = (RecvBuffer::with_read_ahead(BURST), SendBuffer::new());
                let mut turn = || {
                    fill(&mut rx, &bytes);
                    while let Some(event) = conn.poll_event(&mut rx, &mut tx).expect("valid") {
                        let message = event.into_message_ref().expect("a message");
                        conn.feed(&mut tx, message).expect("there is room");
                    }
                    black_box(tx.chunk());
                    tx.advance(tx.remaining());
                };
                count_allocations(&format!("echo/{name}"), len, count, &mut turn);
                b.iter_custom(|iterations| by_message(iterations, count, &mut turn));
            });
        }
    }
}

fn handshake(c: &mut Criterion) {
    let config = Config::new();
    let request = client::Request::new("ws://server.example.com/chat").expect("a good URL");
    let (mut tx, mut answer) = (SendBuffer::new(), SendBuffer::new());
    client::Handshake::start(&request, [7; 16], &config, &mut tx).expect("a good request");
    let head = tx.take_chunk().expect("a request");
    c.bench_function("handshake/server", |b| {
        let mut rx = RecvBuffer::new();
        b.iter(|| {
            fill(&mut rx, &head);
            let mut handshake = server::Handshake::new(&config);
            let request = handshake.read_request(&mut rx, &mut answer).expect("valid");
            let request = request.expect("complete");
            let conn = request.accept(&server::Accept::default(), &config, &mut answer);
            answer.advance(answer.remaining());
            conn
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(30);
    targets = header, mask, utf8, decode, encode, echo, handshake
}
criterion_main!(benches);
