//! What an idle connection costs a server: resident memory after minus before, divided.
//!
//! `cargo build --release --examples && cargo bench --bench idle_memory [-- CONNECTIONS]`
//!
//! Starts `echo`, `echo_events` and `echo_mio`, opens 10 000 connections to each from this process,
//! and reads the server's resident set: after the handshakes, after every connection has echoed 125
//! bytes, and after every connection has echoed 1 MiB. Linux only.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sansws_test::system;

fn main() {
    system::raise_file_limit();
    let count = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(10_000);
    println!("bytes of RSS per idle connection, {count} connections");
    println!("{:12} {:>8} {:>11} {:>11}", "", "opened", "echoed 125", "echoed 1Mi");
    for name in ["echo", "echo_events", "echo_mio"] {
        measure(name, count);
    }
}

fn measure(name: &str, count: usize) {
    let server = Server::start(name);
    // the first connections pay for what all share
    let warm: Vec<_> = (0..100).map(|_| open(server.addr)).collect();
    for mut stream in &warm {
        echo(&mut stream, 1024 * 1024);
    }
    drop(warm);
    std::thread::sleep(Duration::from_millis(500));

    let before = server.resident();
    let per_connection = || (server.resident() - before) / count as f64;
    let streams: Vec<_> = (0..count).map(|_| open(server.addr)).collect();
    settle();
    let opened = per_connection();
    echo_on_all(&streams, 125);
    settle();
    let small = per_connection();
    echo_on_all(&streams, 1024 * 1024);
    settle();
    let large = per_connection();
    println!("{name:12} {opened:8.0} {small:11.0} {large:11.0}");
}

/// Lets the server finish what it is at.
fn settle() {
    std::thread::sleep(Duration::from_millis(300));
}

fn open(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_nodelay(true).expect("an option of every socket");
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .expect("the server reads");
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server answers");
        response.extend(byte);
    }
    assert!(response.starts_with(b"HTTP/1.1 101 "), "the server accepts the handshake");
    stream
}

fn echo_on_all(streams: &[TcpStream], len: usize) {
    let mut last_sign = Instant::now();
    for mut stream in streams {
        // an unsolicited pong now and then keeps the server from giving up on those in line
        if last_sign.elapsed() > Duration::from_secs(10) {
            last_sign = Instant::now();
            for mut stream in streams {
                stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).expect("the server reads");
            }
        }
        echo(&mut stream, len);
    }
}

/// Sends a masked message of zeros and reads it back.
fn echo(stream: &mut &TcpStream, len: usize) {
    let mut frame = vec![0x82];
    match len {
        0..126 => frame.push(0x80 | len as u8),
        126..0x1_0000 => frame.extend([&[0xfe], &(len as u16).to_be_bytes()[..]].concat()),
        _ => frame.extend([&[0xff], &(len as u64).to_be_bytes()[..]].concat()),
    }
    let header = frame.len();
    frame.resize(header + 4 + len, 0); // a key of zeros
    std::thread::scope(|scope| {
        let mut writer = *stream;
        let frame = &frame;
        let sent = scope.spawn(move || writer.write_all(frame));
        let mut start = [0; 2];
        loop {
            stream.read_exact(&mut start).expect("the server echoes");
            if start[0] != 0x89 {
                break;
            }
            let mut ping = vec![0; start[1].into()];
            stream.read_exact(&mut ping).expect("the whole ping");
        }
        stream.read_exact(&mut vec![0; header - 2 + len]).expect("the server echoes");
        sent.join().expect("no panic").expect("the server reads");
    });
}

struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(name: &str) -> Self {
        let path = example(name);
        let mut child =
            Command::new(&path).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap_or_else(
                |error| panic!("{}: {error}; run cargo build --release --examples", path.display()),
            );
        let stdout = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it is");
        let addr = line.trim().trim_start_matches("listening on ws://").parse();
        Self { child, addr: addr.expect("an address") }
    }

    /// The resident set, in bytes.
    fn resident(&self) -> f64 {
        system::resident(self.child.id()).expect("the server runs") as f64
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `target/release/examples/NAME`, next to where this program lies.
fn example(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("the path of this program");
    let release = exe.parent().and_then(Path::parent).expect("target/release/deps");
    release.join("examples").join(name)
}
