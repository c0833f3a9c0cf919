//! Peers that mean harm, against the `echo` examples as they are started by hand: whatever they
//! send, other connections are served meanwhile and the server's memory stays where it was.
//!
//! Memory is read where Linux tells it; elsewhere only the service is tested.

#![cfg(feature = "tokio")]

use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use sansws_test::process::Server;
use sansws_test::system::resident;

/// The servers, and what an attack may cost each in resident memory, in bytes. With a thread for
/// each of a hundred peers that is 60 KiB for its stack and what the allocator and the system keep
/// for it; the others need a quarter of what is allowed here.
const SERVERS: [(&str, usize); 3] =
    [("echo", 1024 * 1024), ("echo_blocking", 100 * 60 * 1024), ("echo_mio", 1024 * 1024)];

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// Runs an attack against every server.
fn against_all(attack: impl Fn(&Server)) {
    for (name, most) in SERVERS {
        let server = Server::start(name, &[]);
        let mut bystander = open(&server);
        echo(&mut bystander);
        let before = resident(server.process.id());
        attack(&server);
        echo(&mut bystander);
        echo(&mut open(&server));
        if let (Some(before), Some(after)) = (before, resident(server.process.id())) {
            let growth = after.saturating_sub(before);
            assert!(growth < most, "{name} grew by {growth} bytes");
        }
    }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(&server.addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn open(server: &Server) -> TcpStream {
    let mut stream = connect(server);
    stream.write_all(REQUEST).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// A message there and back, at once.
fn echo(stream: &mut TcpStream) {
    let start = Instant::now();
    stream.write_all(b"\x81\x82\0\0\0\0hi").unwrap();
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"\x81\x02hi");
    assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
}

/// The code of the Close frame that is the next thing to come.
fn close_code(stream: &mut TcpStream) -> u16 {
    let mut frame = [0; 4];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(&frame[..2], b"\x88\x02");
    u16::from_be_bytes([frame[2], frame[3]])
}

/// Writes as much as the server takes, and gives up where it takes no more.
fn push(stream: &mut TcpStream, bytes: &[u8]) {
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    match stream.write_all(bytes) {
        Ok(()) => {}
        Err(error) => assert!(
            matches!(
                error.kind(),
                ErrorKind::WouldBlock
                    | ErrorKind::TimedOut
                    | ErrorKind::BrokenPipe
                    | ErrorKind::ConnectionReset
            ),
            "{error}"
        ),
    }
}

/// Somebody who always has something to say, and reads what comes back as fast.
struct Flooder {
    stream: TcpStream,
    threads: Vec<JoinHandle<()>>,
}

impl Flooder {
    fn start(server: &Server, frame: &[u8]) -> Self {
        let stream = open(server);
        let (mut writer, mut reader) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
        let burst = frame.repeat(64 * 1024 / frame.len());
        let write = move || while writer.write_all(&burst).is_ok() {};
        let mut sink = vec![0; 64 * 1024];
        let read = move || while reader.read(&mut sink).is_ok_and(|n| n > 0) {};
        Self { stream, threads: vec![thread::spawn(write), thread::spawn(read)] }
    }

    fn is_alive(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }
}

impl Drop for Flooder {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Others are heard beside them, those who come only now among them.
#[test]
fn floods() {
    // without turns there is no answer at all, however long one waits
    const PATIENCE: Duration = Duration::from_secs(8);
    let floods: [(&str, &[u8]); 3] = [
        ("empty pongs", b"\x8a\x80\0\0\0\0"),
        ("pings", b"\x89\x84\0\0\0\0ping"),
        ("messages", b"\x82\x81\0\0\0\0x"),
    ];
    for name in ["echo", "echo_blocking", "echo_events", "echo_mio"] {
        let server = Server::start(name, &[]);
        for (what, frame) in floods {
            let mut bystander = open(&server); // a new one, before keep-alive has to ask for it
            let flooder = Flooder::start(&server, frame);
            thread::sleep(Duration::from_millis(200)); // until it is in full swing
            for _ in 0..2 {
                let start = Instant::now();
                echo(&mut bystander);
                let heard = start.elapsed();
                assert!(heard < PATIENCE, "{name}, {what}: an echo took {heard:?}");
                let start = Instant::now();
                echo(&mut open(&server));
                let heard = start.elapsed();
                assert!(heard < PATIENCE, "{name}, {what}: a newcomer waited for {heard:?}");
            }
            assert!(flooder.is_alive(), "{name}, {what}: the flood ended");
        }
    }
}

/// K-3: a million pings from a peer that does not read.
#[test]
fn pings_without_an_ear_for_the_pongs() {
    against_all(|server| {
        let mut peer = open(server);
        let pings = b"\x89\x84\0\0\0\0ping".repeat(1_000_000);
        push(&mut peer, &pings);
    });
}

/// Messages to be echoed to a peer that does not read, 64 MiB of them.
#[test]
fn echoes_for_nobody() {
    against_all(|server| {
        let mut peer = open(server);
        let mut message = vec![0x82, 0xfe, 0x04, 0x00, 0, 0, 0, 0];
        message.resize(8 + 1024, 7);
        push(&mut peer, &message.repeat(64 * 1024));
    });
}

/// F-27: a million empty continuations.
#[test]
fn fragments_of_nothing() {
    against_all(|server| {
        let mut peer = open(server);
        peer.write_all(b"\x02\x81\0\0\0\0x").unwrap();
        push(&mut peer, &b"\x00\x80\0\0\0\0".repeat(1_000_000));
        assert_eq!(close_code(&mut peer), 1008);
    });
}

/// F-27: one fragment of one byte more than a message may have.
#[test]
fn fragments_of_one_byte() {
    against_all(|server| {
        let mut peer = open(server);
        peer.write_all(b"\x02\x81\0\0\0\0x").unwrap();
        push(&mut peer, &b"\x00\x81\0\0\0\0x".repeat(131_072));
        assert_eq!(close_code(&mut peer), 1008);
    });
}

/// F-14: a header that announces 2^62 bytes, on some connections at once.
#[test]
fn announcements() {
    against_all(|server| {
        let mut peers: Vec<_> = (0..20).map(|_| open(server)).collect();
        for peer in &mut peers {
            peer.write_all(b"\x82\xff\x40\0\0\0\0\0\0\0\0\0\0\0").unwrap();
        }
        for peer in &mut peers {
            assert_eq!(close_code(peer), 1009);
        }
    });
}

/// H-40: handshakes that never end, a byte now and then.
#[test]
fn handshakes_by_the_byte() {
    against_all(|server| {
        let mut peers: Vec<_> = (0..100).map(|_| connect(server)).collect();
        for byte in &REQUEST[..40] {
            for peer in &mut peers {
                peer.write_all(&[*byte]).unwrap();
            }
        }
        echo(&mut open(server));
    });
}

/// H-1, P-18: requests that are none; each gets an answer that can be read.
#[test]
fn requests_that_are_none() {
    let requests: &[(&[u8], &[u8])] = &[
        (b"GET ? HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"HTTP/1.1 400 "),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 505 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 4"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 426 "),
    ];
    against_all(|server| {
        for (request, answer) in requests {
            let mut peer = connect(server);
            peer.write_all(request).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let mut response = Vec::new();
            peer.read_to_end(&mut response).unwrap();
            let start = &response[..response.len().min(answer.len())];
            assert_eq!(start, *answer, "{:?}", request.escape_ascii().to_string());
        }
    });
}
