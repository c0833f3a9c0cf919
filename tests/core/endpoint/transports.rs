//! `read_from` and `write_to`.

use std::io::{self, ErrorKind, Read, Write};

use sansws::Config;
use sansws::buf::SendBuffer;
use sansws::bytes::Buf;
use sansws::endpoint::{Endpoint, Step};

use crate::endpoint::driver::{End, Pair, Stop};

/// A transport that does what it is told.
struct Script(Vec<io::Result<usize>>, Vec<u8>);

impl Read for Script {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.remove(0)?;
        buf[..n].copy_from_slice(&b"\x81\x02ab\x81\x02cd"[..n]);
        Ok(n)
    }
}

impl Write for Script {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.0.remove(0)?.min(buf.len());
        self.1.extend_from_slice(&buf[..n]);
        Ok(n)
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.write(&bufs[0])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn script(results: impl IntoIterator<Item = io::Result<usize>>) -> Script {
    Script(results.into_iter().collect(), Vec::new())
}

fn error<T>(kind: ErrorKind) -> io::Result<T> {
    Err(kind.into())
}

fn open_client() -> End {
    Pair::open(&Config::new()).client
}

#[test]
fn reads() {
    let mut client = open_client();
    let mut io = script([
        error(ErrorKind::Interrupted),
        Ok(4),
        error(ErrorKind::WouldBlock),
        error(ErrorKind::TimedOut),
        error(ErrorKind::ConnectionReset),
    ]);
    let End { endpoint, rx, .. } = &mut client;
    assert!(endpoint.read_from(rx, &mut io).unwrap());
    assert!(!endpoint.read_from(rx, &mut io).unwrap());
    assert!(!endpoint.read_from(rx, &mut io).unwrap());
    let reset = endpoint.read_from(rx, &mut io).unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    assert_eq!(client.run(), Stop::Closed);
    assert_eq!(client.seen, ["text ab"]);
    assert_eq!(client.result(), "Disconnected");
}

#[test]
fn the_end_of_file() {
    let mut client = open_client();
    assert!(client.endpoint.read_from(&mut client.rx, &mut script([Ok(0)])).unwrap());
    assert_eq!(client.run(), Stop::Closed);
}

#[test]
fn writes() {
    let mut server = Pair::open(&Config::new()).server;
    let End { endpoint, rx, tx, .. } = &mut server;
    endpoint.feed(tx, "Hello").unwrap();
    let mut io = script([
        error(ErrorKind::Interrupted),
        Ok(3),
        error(ErrorKind::WouldBlock),
        Ok(100),
        Ok(0),
    ]);
    assert!(matches!(endpoint.step(rx, tx), Step::Write));
    assert!(endpoint.write_to(tx, &mut io).unwrap());
    assert!(!endpoint.write_to(tx, &mut io).unwrap());
    assert!(matches!(endpoint.step(rx, tx), Step::Read { .. }), "it is blocked");
    assert!(matches!(endpoint.step(rx, tx), Step::Write), "and tried again");
    assert!(endpoint.write_to(tx, &mut io).unwrap());
    assert_eq!(io.1, b"\x81\x05Hello");

    endpoint.feed(tx, "lost").unwrap();
    let full = endpoint.write_to(tx, &mut io).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::WriteZero);
    assert!(tx.is_empty());
}

#[test]
fn a_write_that_fails_in_the_handshake_ends_it() {
    let request = sansws::handshake::client::Request::new("ws://example.org").unwrap();
    let mut tx = SendBuffer::new();
    let endpoint = Endpoint::client(&request, [1; 48], &Config::new(), &mut tx).unwrap();
    let mut client = End::new(endpoint, tx);
    assert!(client.tx.has_remaining());
    let mut io = script([error(ErrorKind::BrokenPipe)]);
    assert!(client.endpoint.write_to(&mut client.tx, &mut io).is_err());
    assert_eq!(client.run(), Stop::Closed);
    assert_eq!(client.result(), "Handshake(Incomplete)");
}
