//! Instructions per message, counted: the one figure that a busy machine does not disturb.
//!
//! `cargo bench --bench instructions [-- --check]`
//!
//! With `--check` it fails where a figure is more than a twentieth above what it was.
//!
//! Needs `valgrind`. Runs this program under callgrind twice for each figure, with different
//! numbers of messages, and divides the difference: what starting and ending costs drops out. A
//! burst of messages is read into the receive buffer as from a socket, copying included; what is
//! sent is dropped. The event server, which has a thread of its own, and its client are counted
//! together, with what they do for a system call. valgrind knows AVX2 and no AVX-512.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::proto::{Connection, MessageRef};
use sansws::server::{Client, Handler, Received, Server, handler_fn};
use sansws::wire::{FrameHeader, Opcode, apply_mask};

const LENS: [usize; 3] = [16, 125, 1024];

/// Name, what it does to a burst of messages, and what it took for each length, with Rust 1.95.
type Operation = (&'static str, fn(&mut Bench), [u64; LENS.len()]);

const OPERATIONS: [Operation; 7] = [
    ("decode, server, binary", Bench::decode, [187, 253, 432]),
    ("decode, server, text", Bench::decode, [211, 321, 603]),
    ("encode, server", Bench::encode, [150, 161, 266]),
    ("encode, client", Bench::encode, [251, 310, 501]),
    ("echo, server, binary", Bench::echo, [366, 443, 727]),
    ("echo, events, closure", Bench::exchange, [736, 800, 979]),
    ("echo, events, async fn", Bench::exchange, [1081, 1147, 1320]),
];

/// Messages in a burst.
const BURST: usize = 16;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [run, operation, len, bursts] = &args[..]
        && run == "run"
    {
        let number = |arg: &str| arg.parse::<usize>().expect("a number");
        let (name, turn, _) = OPERATIONS[number(operation)];
        let mut bench = Bench::new(name, number(len));
        (0..number(bursts)).for_each(|_| turn(&mut bench));
        return;
    }
    println!("instructions per message");
    println!("{:24} {:>8} {:>8} {:>8}", "", "16 B", "125 B", "1 KiB");
    let mut more = false;
    for (operation, (name, _, before)) in OPERATIONS.iter().enumerate() {
        print!("{name:24}");
        for (len, before) in LENS.iter().zip(before) {
            let [few, many] = [100, 1100].map(|bursts| count(operation, *len, bursts));
            let each = (many - few) / (1000 * BURST) as u64;
            let is_more = each > before + before / 20;
            more |= is_more;
            print!(" {each:7}{}", if is_more { '!' } else { ' ' });
        }
        println!();
    }
    if more {
        println!("! more than a twentieth above what it was");
        std::process::exit(i32::from(args.iter().any(|arg| arg == "--check")));
    }
}

/// The instructions of a whole run.
fn count(operation: usize, len: usize, bursts: usize) -> u64 {
    let exe = std::env::current_exe().expect("the path of this program");
    let out: PathBuf = std::env::temp_dir().join(format!("callgrind.{}", std::process::id()));
    let result = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(exe)
        .args(["run".into(), operation.to_string(), len.to_string(), bursts.to_string()])
        .output()
        .expect("valgrind is installed");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let profile = std::fs::read_to_string(&out).expect("callgrind wrote its profile");
    let _ = std::fs::remove_file(&out);
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).expect("a total")
}

struct Bench {
    conn: Connection,
    rx: RecvBuffer,
    tx: SendBuffer,
    payload: Vec<u8>,
    burst: Vec<u8>,
    /// The way to an event server, and what is to come back for a burst.
    peer: Option<(TcpStream, Vec<u8>)>,
}

/// Sends back what comes, and might wait for something.
struct Echo;

impl Handler for Echo {
    async fn on_message(&self, client: &Client, message: Received<'_>) {
        client.send(message).expect("there is room");
    }
}

/// Starts an event server, and opens a connection to it.
fn serve(handler: impl Handler) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let server = runtime.block_on(Server::bind("127.0.0.1:0")).expect("a port");
    let addr = server.local_addr().expect("it is bound");
    thread::spawn(move || runtime.block_on(server.route("/", handler).run()));
    let mut stream = TcpStream::connect(addr).expect("it listens");
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request).expect("it takes a request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("it answers");
        head.extend_from_slice(&byte);
    }
    stream
}

impl Bench {
    fn new(name: &str, len: usize) -> Self {
        const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
        let payload = vec![b'x'; len];
        let opcode = if name.ends_with("text") { Opcode::Text } else { Opcode::Binary };
        let mut frame = FrameHeader::new(opcode, len as u64, Some(KEY)).encode().to_vec();
        let at = frame.len();
        frame.extend_from_slice(&payload);
        apply_mask(&mut frame[at..], KEY, 0);
        let config = Config::new();
        let stream = match name {
            "echo, events, closure" => {
                Some(serve(handler_fn().on_message(|client, message| client.send(message))))
            }
            "echo, events, async fn" => Some(serve(Echo)),
            _ => None,
        };
        let answers = BURST * (FrameHeader::new(opcode, len as u64, None).encode().len() + len);
        Self {
            peer: stream.map(|stream| (stream, vec![0; answers])),
            conn: match name.contains("client") {
                true => Connection::client(&config, [7; 32]),
                false => Connection::server(&config),
            },
            rx: RecvBuffer::with_read_ahead(64 * 1024),
            tx: SendBuffer::new(),
            payload,
            burst: frame.repeat(BURST),
        }
    }

    fn read(&mut self) {
        // in pieces, because callgrind counts each byte that `rep movsb` moves
        let space = &mut self.rx.space()[..self.burst.len()];
        for (to, from) in space.chunks_mut(1024).zip(self.burst.chunks(1024)) {
            to.copy_from_slice(from);
        }
        self.rx.commit(self.burst.len());
    }

    fn exchange(&mut self) {
        let (stream, answers) = self.peer.as_mut().expect("there is a server");
        stream.write_all(&self.burst).expect("it takes a burst");
        stream.read_exact(answers).expect("it answers");
    }

    fn decode(&mut self) {
        self.read();
        while let Some(event) = self.conn.poll_event(&mut self.rx, &mut self.tx).expect("valid") {
            black_box(&event);
        }
    }

    fn encode(&mut self) {
        for _ in 0..BURST {
            let message = MessageRef::binary(black_box(&self.payload));
            self.conn.feed(&mut self.tx, message).expect("there is room");
        }
        black_box(self.tx.chunk());
        self.tx.advance(self.tx.remaining());
    }

    fn echo(&mut self) {
        self.read();
        while let Some(event) = self.conn.poll_event(&mut self.rx, &mut self.tx).expect("valid") {
            let message = event.into_message_ref().expect("a message");
            self.conn.feed(&mut self.tx, message).expect("there is room");
        }
        black_box(self.tx.chunk());
        self.tx.advance(self.tx.remaining());
    }
}
