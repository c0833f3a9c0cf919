//! The examples with compression on, as they are started by hand.
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use sansws::Config;
use sansws::deflate::Deflate;
use sansws_test::process::{Process, Server, example};

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// A connection that offers compression, and what the server answers to that.
fn open(server: &Server, path: &str, offer: &str) -> (TcpStream, Option<String>) {
    let mut stream = TcpStream::connect(&server.addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: {offer}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let answer = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    (stream, answer.map(str::to_owned))
}

/// A compressed message of 600 bytes there, and what comes back.
fn echo(stream: &mut TcpStream) -> (bool, usize) {
    // "Hello", then 600 bytes in a stored block
    let mut payload = HELLO.to_vec();
    payload[6] = 0x00;
    payload.extend([0x00, 0x00, 0xff, 0xff]);
    payload.extend([0x00, 0x58, 0x02, 0xa7, 0xfd]);
    payload.extend([b'a'; 600]);
    payload.push(0x00);
    let mut frame = vec![0xc1, 0xfe];
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    stream.write_all(&frame).unwrap();
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let len = match head[1] {
        126 => {
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            usize::from(u16::from_be_bytes(len))
        }
        len => usize::from(len),
    };
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).unwrap();
    assert_eq!(head[0] & 0x8f, 0x81);
    (head[0] & 0x40 != 0, len)
}

#[test]
fn servers() {
    const PMD: &str = "permessage-deflate";
    for name in ["echo", "echo_blocking", "echo_mio"] {
        for (flags, expected) in [
            (&["--deflate"][..], ""),
            (
                &["--deflate", "--no-context-takeover"],
                "; server_no_context_takeover; client_no_context_takeover",
            ),
            (
                &["--window-bits", "10", "--deflate"],
                "; server_max_window_bits=10; client_max_window_bits=10",
            ),
        ] {
            let server = Server::start(name, flags);
            let (mut stream, answer) =
                open(&server, "/", "permessage-deflate; client_max_window_bits");
            assert_eq!(answer, Some(format!("{PMD}{expected}")), "{name} {flags:?}");
            for _ in 0..3 {
                let (compressed, len) = echo(&mut stream);
                assert!(compressed && len < 50, "{name} {flags:?}: {len} bytes");
            }
        }
        let server = Server::start(name, &[]);
        assert_eq!(open(&server, "/", PMD).1, None);
    }
}

#[test]
fn the_chat() {
    let server = Server::start("chat", &[]);
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for path in ["/chat", "/echo"] {
        assert_eq!(open(&server, path, "permessage-deflate").1.as_deref(), Some(expected));
    }
    let (mut stream, _) = open(&server, "/echo", "permessage-deflate");
    assert!(echo(&mut stream).0);
}

#[test]
fn the_client() {
    for flags in [
        &["--deflate"][..],
        &["--deflate", "--blocking", "--no-context-takeover", "--window-bits", "9"],
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let mut client = Process::spawn(Command::new(example("echo_client")).arg(url).args(flags));
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut head = [0; 1024];
        let n = stream.peek(&mut head).unwrap();
        let head = String::from_utf8_lossy(&head[..n]).into_owned();
        let offer = match flags.len() {
            1 => "permessage-deflate; client_max_window_bits\r\n",
            _ => {
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=9; client_max_window_bits=9\r\n"
            }
        };
        assert!(head.contains(&format!("Sec-WebSocket-Extensions: {offer}")), "{head}");
        let config = Config::new().deflate(Deflate::new());
        let mut ws = sansws::blocking::accept_with(stream, &config).unwrap();
        for len in [0, 10, 1000, 100_000] {
            let text = "Hello, ".repeat(len / 7);
            ws.send(&text).unwrap();
            assert_eq!(ws.recv().unwrap(), Some(text.into()));
        }
        ws.close(sansws::CloseCode::NORMAL, "").unwrap();
        assert!(client.finish(Duration::from_secs(20)).status.success());
    }
}

#[test]
fn wrong_flags() {
    for (name, code) in [("echo", 2), ("echo_blocking", 2), ("echo_mio", 2), ("echo_client", 1)] {
        for flags in [
            &["--window-bits", "7"][..],
            &["--window-bits", "16"],
            &["--window-bits", "x"],
            &["--window-bits"],
            &["--deflat"],
        ] {
            let mut process = Process::spawn(Command::new(example(name)).args(flags));
            let finished = process.finish(Duration::from_secs(20));
            assert_eq!(finished.status.code(), Some(code), "{name} {flags:?}");
            assert!(finished.stderr[0].contains(flags[0]), "{:?}", finished.stderr);
        }
    }
}
