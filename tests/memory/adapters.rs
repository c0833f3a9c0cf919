//! An echo on the adapters: what was read is lent, and the answer needs no memory of its own.
use core::sync::atomic::Ordering::Relaxed;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use sansws::buf::RecvBuffer;
use sansws::proto::Connection;
use sansws::{Config, Parts, blocking, tokio as asynchronous};

use sansws_test::counting::COUNT;
use sansws_test::process::alone;
use sansws_test::wire;

#[test]
fn an_echo_allocates_nothing() {
    alone("adapters::an_echo_allocates_nothing", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for len in [5, 1000, 20_000] {
            let (near, far) = UnixStream::pair().unwrap();
            let mut ws = blocking::WebSocket::from_parts(parts(near));
            let count = allocations(far, len, || {
                let (event, mut out) = ws.next_event().unwrap().unwrap();
                out.feed(event.into_message_ref().unwrap()).unwrap();
                ws.flush().unwrap();
            });
            assert_eq!(count, 0, "blocking, {len} bytes");

            let (near, far) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            let _inside = runtime.enter();
            let near = tokio::net::UnixStream::from_std(near).unwrap();
            let mut ws = asynchronous::WebSocket::from_parts(parts(near));
            let count = allocations(far, len, || {
                runtime.block_on(async {
                    let (event, mut out) = ws.next_event().await.unwrap().unwrap();
                    out.feed(event.into_message_ref().unwrap()).unwrap();
                    ws.flush().await.unwrap();
                });
            });
            assert_eq!(count, 0, "tokio, {len} bytes");
        }
    });
}

fn parts<S>(io: S) -> Parts<S> {
    Parts::new(io, Connection::server(&Config::new()), RecvBuffer::new())
}

/// How many allocations 100 messages cost, each of which `echo` answers, after some others.
fn allocations(mut peer: UnixStream, len: usize, mut echo: impl FnMut()) -> usize {
    let sent = wire::client(wire::BINARY, &vec![7; len]);
    let expected = wire::server(wire::BINARY, &vec![7; len]);
    let mut answer = vec![0; expected.len()];
    let mut exchange = |times| {
        for _ in 0..times {
            peer.write_all(&sent).unwrap();
            echo();
            peer.read_exact(&mut answer).unwrap();
            assert_eq!(answer, expected);
        }
    };
    exchange(20);
    let before = COUNT.load(Relaxed);
    exchange(100);
    COUNT.load(Relaxed) - before
}
