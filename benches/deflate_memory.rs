//! What compression costs a connection that is idle: bytes held, by the allocator's account.
//!
//! `cargo bench --bench deflate_memory`
//!
//! The table is that of the documentation of `sansws::deflate`.
#![allow(missing_docs)]
// A global allocator cannot be written without it.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::alloc::System;

use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::deflate::{Agreement, Deflate};
use sansws::proto::Connection;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    println!("bytes per idle connection that has sent and received 64 KiB, compressed");
    print!("{:>11}  {:>12} {:>12} {:>12}", "", "compressor", "the same,", "the same,");
    println!(" {:>12}", "decompressor");
    println!("{:>11}  {:>12} {:>12} {:>12}", "window bits", "", "mem_level 1", "mem_level 8");
    for bits in 8..=15 {
        let sent = |settings: Deflate| per_connection(false, bits, settings, true);
        let [small, large] = [1, 8].map(|level| sent(Deflate::new().mem_level(level)));
        let received = per_connection(false, bits, Deflate::new(), false);
        let usual = sent(Deflate::new());
        println!("{bits:>11}  {usual:>12} {small:>12} {large:>12} {received:>12}");
    }
    let sent = per_connection(true, 15, Deflate::new(), true);
    let received = per_connection(true, 15, Deflate::new(), false);
    println!("{:>11}  {sent:>12} {sent:>12} {sent:>12} {received:>12}", "no takeover");
    let shelf = {
        let before = HELD.load(Relaxed);
        let thread = std::thread::spawn(move || {
            let _connections = connections(1, true, 15, Deflate::new(), true);
            let _others = connections(1, true, 15, Deflate::new(), false);
            HELD.load(Relaxed) - before
        });
        thread.join().expect("it does not panic")
    };
    println!("for a thread and all its connections without takeover: about {} KiB", shelf / 1024);
}

/// Bytes for each connection, beyond what one that does not compress takes.
fn per_connection(no_takeover: bool, bits: u8, settings: Deflate, sends: bool) -> usize {
    const COUNT: usize = 20;
    drop(connections(1, no_takeover, bits, settings.clone(), sends)); // what all share
    let held = |agreed: bool| {
        let before = HELD.load(Relaxed);
        let connections = match agreed {
            true => connections(COUNT, no_takeover, bits, settings.clone(), sends),
            false => (0..COUNT).map(|_| plain(sends)).collect(),
        };
        let held = HELD.load(Relaxed) - before;
        drop(connections);
        held / COUNT
    };
    held(true) - held(false)
}

fn plain(server: bool) -> Connection {
    match server {
        true => Connection::server(&Config::new()),
        false => Connection::client(&Config::new(), [7; 32]),
    }
}

/// Connections of which each has sent or received a few messages.
fn connections(
    count: usize,
    no_takeover: bool,
    bits: u8,
    settings: Deflate,
    sends: bool,
) -> Vec<Connection> {
    let mut agreed = Agreement::new();
    agreed.server_no_context_takeover = no_takeover;
    agreed.server_max_window_bits = bits;
    let mut text = String::new();
    for i in 0..2000 {
        text.push_str(&format!("{{\"id\":{i},\"name\":\"user {}\"}}", i * i % 97));
    }
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let mut server = Connection::server(&Config::new()).with_deflate(agreed, &settings);
        let mut client =
            Connection::client(&Config::new(), [7; 32]).with_deflate(agreed, &settings);
        for _ in 0..2 {
            server.feed(&mut tx, &text).expect("the connection is open");
            while let Some(chunk) = tx.take_chunk() {
                rx.extend_from_slice(&chunk);
            }
            let event = client.poll_event(&mut rx, &mut tx).expect("valid").expect("a message");
            assert!(event.into_message().is_some_and(|it| it.as_text() == Some(&text)));
        }
        all.push(if sends { server } else { client });
    }
    all
}
