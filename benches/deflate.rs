//! What compression costs a server, and what it saves: an echo of JSON texts of 1 KiB.
//!
//! `cargo bench --bench deflate [-- SECONDS]`
//!
//! For each setting: the bytes of a reply's payload; microseconds per message in memory, on one
//! connection; and the processor time of a tokio server on one thread per message over loopback, on
//! 1 and on 100 connections with one message under way on each, system included. Messages arrive
//! compressed, each on its own. The settings are visited in turn, in rounds; the figures are
//! medians. Linux only.

mod texts;

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::deflate::Deflate;
use sansws::handshake::deflate::choose;
use sansws::proto::Connection;
use texts::text;

/// Length of a text, in bytes.
const LEN: usize = 1024;

/// Different texts: as many as a compressor with takeover is likely to remember some of.
const TEXTS: usize = 64;

const ROUNDS: usize = 5;

struct Setting {
    name: &'static str,
    deflate: Option<Deflate>,
}

fn settings() -> Vec<Setting> {
    let without = |name, deflate| Setting { name, deflate: Some(deflate) };
    let base = || {
        Deflate::new().level(1).server_no_context_takeover(true).client_no_context_takeover(true)
    };
    let with = |name, deflate: Deflate| Setting {
        name,
        deflate: Some(deflate.server_no_context_takeover(false).client_no_context_takeover(false)),
    };
    vec![
        Setting { name: "plain", deflate: None },
        without("no takeover, level 1", base()),
        without("no takeover, level 2", base().level(2)),
        without("no takeover, level 3", base().level(3)),
        without("no takeover, level 6", base().level(6)),
        without("no takeover, level 1, mem 8", base().mem_level(8)),
        without("no takeover, level 6, 12 bits", base().level(6).server_max_window_bits(12)),
        with("takeover, level 1", base()),
        with("takeover, level 2", base().level(2)),
        with("takeover, level 3", base().level(3)),
        with("takeover, level 6", base().level(6)),
        with("takeover, level 1, 12 bits", base().server_max_window_bits(12)),
        with("takeover, level 1, mem 8", base().mem_level(8)),
    ]
}

fn main() {
    let seconds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(0.25);
    let slice = Duration::from_secs_f64(seconds);
    let texts: Vec<String> = (0..TEXTS).map(|at| text(at, LEN)).collect();
    let mut rows: Vec<(Setting, [Vec<f64>; 4])> =
        settings().into_iter().map(|setting| (setting, Default::default())).collect();
    for _ in 0..ROUNDS {
        for (setting, figures) in &mut rows {
            let (bytes, in_memory) = in_memory(setting.deflate.clone(), &texts, slice);
            figures[0].push(bytes);
            figures[1].push(in_memory);
            figures[2].push(over_loopback(setting.deflate.clone(), &texts, 1, slice));
            figures[3].push(over_loopback(setting.deflate.clone(), &texts, 100, slice));
        }
    }
    println!(
        "| JSON texts of {LEN} bytes | reply, bytes | in memory, µs | 1 connection, µs | 100 |"
    );
    println!("|---|---:|---:|---:|---:|");
    for (setting, figures) in &mut rows {
        let [bytes, memory, one, many] = figures.each_mut().map(|figures| median(figures));
        println!("| {} | {bytes:.0} | {memory:.1} | {one:.1} | {many:.1} |", setting.name);
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Both ends of a connection that has agreed on compression.
fn pair(deflate: Option<Deflate>) -> (Connection, Connection) {
    let config = Config::new().max_unsent(usize::MAX);
    let (server, client) = (Connection::server(&config), Connection::client(&config, [7; 32]));
    let Some(deflate) = deflate else { return (server, client) };
    let offer = [&b"permessage-deflate; client_max_window_bits"[..]];
    let (agreed, _) = choose(offer, &deflate).expect("a good offer").expect("it is accepted");
    (server.with_deflate(agreed, &deflate), client.with_deflate(agreed, &Deflate::new()))
}

/// The texts as a client sends them, each compressed on its own.
fn frames(deflate: Option<Deflate>, texts: &[String]) -> Vec<Vec<u8>> {
    let frame = |text: &String| {
        let (_, mut client) = pair(deflate.clone().map(|it| it.client_no_context_takeover(true)));
        let mut tx = SendBuffer::new();
        client.feed(&mut tx, text).expect("there is room");
        tx.copy_to_bytes(tx.remaining()).to_vec()
    };
    texts.iter().map(frame).collect()
}

/// Bytes of a reply's payload, and microseconds for each message.
fn in_memory(deflate: Option<Deflate>, texts: &[String], slice: Duration) -> (f64, f64) {
    let frames = frames(deflate.clone(), texts);
    let (mut server, _) = pair(deflate);
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let (mut bytes, mut count) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < slice {
        for frame in &frames {
            rx.extend_from_slice(frame);
            let event = server.poll_event(&mut rx, &mut tx).expect("valid").expect("whole");
            let message = event.as_message_ref().expect("a message");
            server.feed(&mut tx, message).expect("there is room");
            bytes += tx.remaining() - 4; // the header of a payload of this size
            count += 1;
            black_box(tx.chunk());
            tx.advance(tx.remaining());
        }
    }
    (bytes as f64 / count as f64, start.elapsed().as_secs_f64() * 1e6 / count as f64)
}

/// Microseconds of the server's processor time for each message.
fn over_loopback(
    deflate: Option<Deflate>,
    texts: &[String],
    connections: usize,
    slice: Duration,
) -> f64 {
    let (send, receive) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let theirs = deflate.clone();
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let serving = async {
            tokio::select! {
                result = serve(theirs, |addr| send.send(addr).expect("is waited for")) => result,
                _ = stopped => Ok(()),
            }
        };
        runtime.and_then(|runtime| runtime.block_on(serving)).expect("a server on loopback");
    });
    let (addr, task) = receive.recv().expect("the server says where it is");

    let frames = frames(deflate.clone(), texts);
    let mut streams: Vec<_> = (0..connections).map(|_| open(addr, deflate.is_some())).collect();
    let mut turn = 0;
    let mut round = |streams: &mut [TcpStream]| {
        for (at, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&frames[(turn + at) % frames.len()]).expect("the server reads");
        }
        streams.iter_mut().for_each(read_message);
        turn += 1;
    };
    (0..3).for_each(|_| round(&mut streams));
    let (before, start) = (cpu_time(&task), Instant::now());
    let mut rounds = 0;
    while start.elapsed() < slice {
        round(&mut streams);
        rounds += 1;
    }
    let spent = (cpu_time(&task) - before).as_secs_f64() * 1e6;
    drop(streams);
    let _ = stop.send(());
    server.join().expect("the server ends well");
    spent / (rounds * connections) as f64
}

/// An echo server; says where it is, and which thread it runs on.
async fn serve(
    deflate: Option<Deflate>,
    announce: impl FnOnce((SocketAddr, String)),
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let task = std::fs::read_link("/proc/thread-self")?;
    announce((listener.local_addr()?, task.display().to_string()));
    let config = deflate.map_or(Config::new(), |deflate| Config::new().deflate(deflate));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let config = config.clone();
        tokio::spawn(async move {
            let mut ws = sansws::tokio::accept_with(stream, &config).await?;
            while let Some((event, mut out)) = ws.next_event().await? {
                if let Some(message) = event.into_message_ref() {
                    out.feed(message)?;
                }
            }
            Ok::<(), sansws::Error>(())
        });
    }
}

/// The processor time of a thread.
fn cpu_time(task: &str) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{task}/schedstat")).expect("Linux");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

fn open(addr: SocketAddr, deflate: bool) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_nodelay(true).expect("an option of every socket");
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let request = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
        if deflate { offer } else { "" }
    );
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server answers");
        response.extend(byte);
    }
    let response = String::from_utf8(response).expect("ASCII");
    assert_eq!(response.contains("permessage-deflate"), deflate, "{response}");
    stream
}

/// Reads one message whose length takes two bytes.
fn read_message(stream: &mut TcpStream) {
    let mut buffer = [0; 4 + LEN];
    let mut filled = 0;
    while filled < 4 || filled < 4 + usize::from(u16::from_be_bytes([buffer[2], buffer[3]])) {
        match stream.read(&mut buffer[filled..]).expect("the server echoes") {
            0 => panic!("the server hung up"),
            n => filled += n,
        }
    }
    assert!(matches!(buffer[..2], [0x81 | 0xc1, 126]), "{:02x?}", &buffer[..2]);
}
