//! permessage-deflate against C zlib: what we compress inflates there with the window that was
//! agreed, what it compresses inflates here.
//!
//! zlib is that of Python's standard library (`tests/interop/zlib_peer.py`). Without `python3` the
//! tests say that they have not run, and fail where `CI=true` is set.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::deflate::Deflate;
use sansws::handshake::deflate::choose;
use sansws::proto::{Connection, MessageRef};
use sansws::wire::{FrameHeader, Opcode};
use sansws::{Config, Event};

/// The other end; it ends with its standard input.
struct Zlib {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Zlib {
    fn start(test: &str) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/zlib_peer.py");
        let mut command = Command::new("python3");
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        match command.spawn() {
            Ok(mut child) => {
                let commands = child.stdin.take();
                let answers = BufReader::new(child.stdout.take().unwrap());
                Some(Self { child, commands, answers })
            }
            Err(error) => {
                sansws_test::process::skip(test, &format!("python3: {error}"));
                None
            }
        }
    }

    fn ask(&mut self, command: &str, items: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut line = command.to_owned();
        for item in items {
            line.push(' ');
            line.push_str(&hex(item));
        }
        line.push('\n');
        self.commands.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "zlib does not take it: {line}");
        let answers: Vec<_> = answer.split_whitespace().map(from_hex).collect();
        assert_eq!(answers.len(), items.len());
        answers
    }
}

impl Drop for Zlib {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    match bytes {
        [] => "-".into(),
        bytes => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn from_hex(word: &str) -> Vec<u8> {
    let digits = if word == "-" { "" } else { word };
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// What a connection agrees on.
#[derive(Clone, Copy, Debug)]
struct Agreement {
    bits: u8,
    takeover: bool,
    level: u8,
    mem_level: u8,
}

impl Agreement {
    fn server(self) -> Connection {
        let settings = Deflate::new()
            .level(self.level)
            .mem_level(self.mem_level)
            .threshold(0)
            .server_no_context_takeover(!self.takeover)
            .client_no_context_takeover(!self.takeover)
            .server_max_window_bits(self.bits)
            .client_max_window_bits(Some(self.bits));
        let offer = [&b"permessage-deflate; client_max_window_bits"[..]];
        let (agreed, _) = choose(offer, &settings).unwrap().unwrap();
        Connection::server(&Config::new()).with_deflate(agreed, &settings)
    }
}

fn agreements() -> impl Strategy<Value = Agreement> {
    (8..=15_u8, any::<bool>(), 0..=9_u8, 1..=9_u8).prop_map(|(bits, takeover, level, mem_level)| {
        Agreement { bits, takeover, level, mem_level }
    })
}

/// Messages that repeat themselves and each other, from near and from far, and some that do not.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let repetitive = (vec(any::<u8>(), 1..40), 1..200_usize).prop_map(|(part, n)| part.repeat(n));
    let noise = vec(any::<u8>(), 0..3000);
    let letters = vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b' ')], 0..5000);
    let spread = (vec(any::<u8>(), 20..40), vec(any::<u8>(), 0..40_000))
        .prop_map(|(part, between)| [&part[..], &between, &part].concat());
    vec(prop_oneof![4 => repetitive, 2 => noise, 3 => letters, 1 => spread], 1..6)
}

fn run<S: Strategy>(strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let runs = Runs { cases: 200, failure_persistence: None, ..Runs::default() };
    TestRunner::new(runs).run(&strategy, test).unwrap_or_else(|failure| panic!("{failure}"));
}

/// D-22, D-24, D-25
#[test]
fn zlib_inflates_what_we_compress() {
    let Some(zlib) = Zlib::start("zlib_inflates_what_we_compress") else { return };
    let zlib = std::cell::RefCell::new(zlib);
    run((agreements(), messages()), |(agreement, messages)| {
        let mut server = agreement.server();
        let mut compressed = Vec::new(); // the messages that were worth it, and their payloads
        for message in messages {
            let mut tx = SendBuffer::new();
            server.feed(&mut tx, MessageRef::binary(&message)).unwrap();
            let frame = tx.copy_to_bytes(tx.remaining());
            let (header, at) = FrameHeader::parse(&frame).unwrap().unwrap();
            if header.rsv1 {
                compressed.push((message, frame[at..].to_vec()));
            } else {
                assert_eq!(message, frame[at..]);
            }
        }
        let (messages, payloads): (Vec<_>, Vec<_>) = compressed.into_iter().unzip();
        let takeover = u8::from(agreement.takeover);
        let command = format!("inflate {} {takeover}", agreement.bits);
        prop_assert_eq!(zlib.borrow_mut().ask(&command, &payloads), messages);
        Ok(())
    });
}

/// D-21, D-26, D-27: at every level, with every strategy, flushed in the middle or not.
#[test]
fn we_inflate_what_zlib_compresses() {
    let Some(zlib) = Zlib::start("we_inflate_what_zlib_compresses") else { return };
    let zlib = std::cell::RefCell::new(zlib);
    run((agreements(), 0..=4_u8, messages()), |(agreement, strategy, messages)| {
        let Agreement { bits, takeover, level, mem_level } = agreement;
        // zlib makes no window of 256 bytes
        let bits = bits.max(9);
        let takeover_word = u8::from(takeover);
        let command = format!("deflate {bits} {takeover_word} {level} {mem_level} {strategy}");
        let payloads = zlib.borrow_mut().ask(&command, &messages);
        let mut server = Agreement { bits, ..agreement }.server();
        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        for (payload, message) in payloads.iter().zip(&messages) {
            let mut header = FrameHeader::new(Opcode::Binary, payload.len() as u64, Some([0; 4]));
            header.rsv1 = true;
            rx.extend_from_slice(&header.encode());
            rx.extend_from_slice(payload);
            match server.poll_event(&mut rx, &mut tx) {
                Ok(Some(Event::Binary(got))) => prop_assert_eq!(&*got, &message[..]),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        Ok(())
    });
}
