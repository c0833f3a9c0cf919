//! Time-outs, as they are by default: they strike whoever has earned it, in time, and nobody else.
//!
//! One end is the crate's, in one of its forms, and sends or is idle; the other speaks in bytes.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sansws::buf::RecvBuffer;
use sansws::proto::Connection;
use sansws::tokio::WebSocket;
use sansws::{CloseCode, Config, Error, KeepAlive, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use crate::conditions::{Manners, Path};
use crate::end::End;
use crate::oracles::Story;
use crate::rng::Rng;
use crate::scenario::{Outcome, World, in_virtual_time};
use sansws_test::wire;

pub fn run(seed: u64) -> Outcome {
    in_virtual_time(Rng::new(seed), |world, rng| (HORIZON, play(world, rng)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// Reads so many bytes a second, and answers.
    Reads(u64),
    /// Reads nothing, and says nothing.
    Stuck,
    /// Reads everything, and answers no ping.
    Silent,
    /// As that, and sends a message, one byte in so many seconds.
    Trickles(u64),
    /// Answers when it is asked; that is all.
    Idle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Unsplit,
    Halves,
    Sink,
    Bytes,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    peer: Peer,
    shape: Shape,
    is_server: bool,
    /// The bytes that are sent at once.
    sends: usize,
    /// Closes behind that, with its default time-out.
    closes: bool,
}

async fn play(world: World, mut rng: Rng) {
    let rate = rng.magnitude(1000, 200_000);
    let peer = match rng.below(6) {
        0 => Peer::Stuck,
        1 => Peer::Silent,
        2 => Peer::Trickles(rng.range(5, 19)),
        3 => Peer::Idle,
        _ => Peer::Reads(rate),
    };
    let seconds = rng.magnitude(1, 3600);
    let closes = matches!(peer, Peer::Reads(_)) && rng.chance(50);
    let plan = Plan {
        peer,
        shape: rng.pick(&[Shape::Unsplit, Shape::Halves, Shape::Sink, Shape::Bytes]),
        is_server: rng.chance(50),
        sends: match peer {
            Peer::Reads(rate) => (rate * seconds).min(8 << 20) as usize,
            Peer::Stuck => rng.magnitude(1, 4 << 20) as usize,
            _ if rng.chance(50) => 0,
            _ => rng.magnitude(1, 100_000) as usize,
        },
        closes,
    };
    // The kernels hold up to ten looks of what the reader takes, where a ping lies behind it, and
    // three where a Close does, which has less of them: nobody can see what happens inside of them.
    // Such a reader is given its time for what was written. One that takes less than 16 KiB in the
    // 10 s that a Close is waited for has to come to its end within those.
    let most = match peer {
        Peer::Reads(rate) if closes && rate < 2000 => rate * 4,
        Peer::Reads(rate) if closes => rate * 15,
        Peer::Reads(rate) => rate * 100,
        _ => u64::MAX,
    };
    let most = most.min(2 << 20);
    let path = |rng: &mut Rng| Path {
        send_buffer: rng.magnitude(2048, most) as usize,
        recv_buffer: rng.magnitude(2048, most) as usize,
        latency: if rng.chance(50) { 0 } else { rng.range(1, 500) },
        late_calls: rng.chance(70),
        ..Path::perfect()
    };
    let mut paths = [path(&mut rng), path(&mut rng)];
    if let Peer::Reads(rate) = peer {
        // or it would read less than that: it finds what its kernel has room for
        let window = rate / 4 + rate * paths[0].latency / 1000;
        for buffer in [&mut paths[0].send_buffer, &mut paths[0].recv_buffer] {
            *buffer = (*buffer).max(window as usize);
        }
    }
    let mut manners = Manners::perfect();
    manners.cooperative = rng.chance(50);
    manners.hiccups = if rng.chance(30) { rng.range(1, 20) } else { 0 };
    manners.staging = rng.chance(30).then_some(most.min(16 * 1024) as usize / 4);
    let hiccups = manners.hiccups;
    let (here, there) = world.net.connect(paths, [manners, Manners::perfect()]);
    if std::env::var("SIM_SEED").is_ok() {
        println!("{plan:?} {paths:?} {here}");
    }
    let config = Config::new().keep_alive(KeepAlive::Every(Duration::from_secs(20)));
    let conn = match plan.is_server {
        true => Connection::server(&config),
        false => Connection::client(&config, [1; 32]),
    };
    let ws = WebSocket::from_parts(sansws::Parts::new(here, conn, RecvBuffer::new()));
    let start = Instant::now();
    let peer = tokio::spawn(peer_of(plan, there, world.story.clone()));
    world.story.doing("this end", format!("{plan:?}"));
    let result = timeout(PATIENCE, this_end(plan, ws)).await;
    let took = start.elapsed().as_secs();
    world.story.doing("this end", format!("over after {took} s, {result:?}"));
    let fault = match (plan.peer, &result) {
        (Peer::Reads(_) | Peer::Idle, Ok(Ok(()))) => None,
        (Peer::Reads(_) | Peer::Idle, _) => Some("TIME-OUT: it was not earned"),
        (_, Ok(Err(error))) if error.is_timeout() => {
            // a peer that has said nothing at all is given up soon, the others in the end
            let most = match plan.peer == Peer::Silent && plan.sends == 0 {
                // a transport that refuses the ping and takes it then looks like a peer that reads
                true if hiccups > 0 => 65,
                true => 45,
                false => 600,
            };
            (took > most).then_some("TIME-OUT: it comes too late")
        }
        (_, _) => Some("TIME-OUT: it was earned and does not come"),
    };
    if let Some(fault) = fault {
        world.story.fault(format!("{fault}: {plan:?}, {took} s, {result:?}"));
    }
    let heard = timeout(Duration::from_secs(3600), peer).await;
    if let (Peer::Reads(_), Ok(Ok(heard))) = (plan.peer, &heard)
        && (heard.payload != plan.sends || !heard.closed)
    {
        world.story.fault(format!("LOST: {heard:?} of {plan:?}"));
    }
}

/// What the user does: sends, listens, closes.
async fn this_end(plan: Plan, ws: WebSocket<End>) -> Result<(), Error> {
    let payload = vec![b'p'; plan.sends];
    let code = CloseCode::NORMAL;
    match plan.shape {
        Shape::Unsplit => {
            let mut ws = ws;
            if plan.closes {
                ws.feed(&payload)?;
                return ws.close(code, "").await;
            }
            if plan.sends > 0 {
                ws.send(&payload).await?;
            }
            let listening = async {
                while ws.recv().await?.is_some() {}
                Ok::<_, Error>(())
            };
            match timeout(LISTENING, listening).await {
                Ok(result) => result,
                Err(_) => ws.close(code, "").await,
            }
        }
        Shape::Halves => {
            let (mut receiver, sender) = ws.split();
            let speaking = tokio::spawn(async move {
                if plan.closes {
                    sender.send(&payload).await?;
                    return sender.close(code, "").await;
                }
                if plan.sends > 0 {
                    sender.send(&payload).await?;
                }
                sleep(LISTENING).await;
                sender.close(code, "").await
            });
            while receiver.recv().await?.is_some() {}
            speaking.await.expect("no panic")
        }
        Shape::Sink => {
            let (mut sink, mut stream) = StreamExt::split::<Message>(ws);
            let speaking = tokio::spawn(async move {
                if plan.sends > 0 {
                    sink.send(Message::from(payload)).await?;
                }
                if !plan.closes {
                    sleep(LISTENING).await;
                }
                sink.close().await
            });
            while let Some(message) = stream.next().await {
                message?;
            }
            speaking.await.expect("no panic")
        }
        Shape::Bytes => {
            let (mut reading, mut writing) = tokio::io::split(ws.into_byte_stream());
            let speaking = tokio::spawn(async move {
                writing.write_all(&payload).await?;
                writing.flush().await?;
                if !plan.closes {
                    sleep(LISTENING).await;
                }
                writing.shutdown().await
            });
            let mut buf = [0; 1024];
            while reading.read(&mut buf).await.map_err(inner)? > 0 {}
            speaking.await.expect("no panic").map_err(inner)
        }
    }
}

fn inner(error: io::Error) -> Error {
    error.downcast().unwrap_or_else(Error::from)
}

#[derive(Debug, Default)]
struct Heard {
    payload: usize,
    closed: bool,
}

async fn peer_of(plan: Plan, mut io: End, story: Story) -> Heard {
    let mut heard = Heard::default();
    let encode = if plan.is_server { wire::client } else { wire::server };
    let (mut buffer, mut start) = (vec![0; 64 * 1024], Instant::now());
    let mut frames = Frames::default();
    let mut trickle: Vec<u8> = encode(wire::BINARY, &[0; 10_000]);
    trickle.reverse();
    loop {
        let n = match plan.peer {
            Peer::Stuck => {
                sleep(PATIENCE * 2).await;
                return heard;
            }
            Peer::Reads(rate) => {
                // a quarter of a second's worth at a time
                let since = start.elapsed();
                sleep(Duration::from_millis(250).saturating_sub(since)).await;
                start = Instant::now();
                let n = (rate / 4).min(buffer.len() as u64) as usize;
                io.read(&mut buffer[..n]).await
            }
            Peer::Trickles(seconds) => {
                let pause = timeout(Duration::from_secs(seconds), io.read(&mut buffer));
                match pause.await {
                    Ok(n) => n,
                    Err(_) => match trickle.pop() {
                        Some(byte) => io.write_all(&[byte]).await.map(|()| usize::MAX),
                        None => return heard,
                    },
                }
            }
            Peer::Silent | Peer::Idle => io.read(&mut buffer).await,
        };
        match n {
            Err(_) | Ok(0) => return heard,
            Ok(usize::MAX) => continue,
            Ok(n) => frames.add(&buffer[..n]),
        }
        while let Some(event) = frames.next() {
            match event {
                Piece::Data(n) => heard.payload += n,
                Piece::Control(wire::PING, payload) => {
                    if matches!(plan.peer, Peer::Reads(_) | Peer::Idle) {
                        let _ = io.write_all(&encode(wire::PONG, &payload)).await;
                    }
                }
                Piece::Control(wire::CLOSE, payload) => {
                    heard.closed = true;
                    let _ = io.write_all(&encode(wire::CLOSE, &payload)).await;
                    if !plan.is_server {
                        let _ = io.shutdown().await;
                    }
                }
                Piece::Control(..) => {}
            }
        }
        story.doing("peer", format!("{heard:?}"));
    }
}

/// Takes frames apart as they come, without keeping what is in them.
#[derive(Default)]
struct Frames {
    head: Vec<u8>,
    left: usize,
}

enum Piece {
    Data(usize),
    Control(u8, Vec<u8>),
}

impl Frames {
    fn add(&mut self, bytes: &[u8]) {
        self.head.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Piece> {
        if self.left > 0 {
            let n = self.left.min(self.head.len());
            if n == 0 {
                return None;
            }
            self.left -= n;
            self.head.drain(..n);
            return Some(Piece::Data(n));
        }
        let (&[first, second], rest) = self.head.split_first_chunk()?;
        let masked = if second & 0x80 != 0 { 4 } else { 0 };
        let (len, used) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, 10),
            len => (usize::from(len), 2),
        };
        let head = used + masked;
        if first & 0x0f < 8 {
            if self.head.len() < head {
                return None;
            }
            self.head.drain(..head);
            self.left = len;
            return Some(Piece::Data(0));
        }
        let (frame, used) = wire::first(&self.head)?;
        self.head.drain(..used);
        Some(Piece::Control(frame.opcode, frame.payload))
    }
}

/// How long the user of this end listens, in virtual time, before it closes.
const LISTENING: Duration = Duration::from_secs(3600);

/// When the test gives this end up.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

const HORIZON: Duration = Duration::from_secs(30 * 3600);
