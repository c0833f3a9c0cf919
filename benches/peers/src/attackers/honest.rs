//! The honest client: how long an echo takes, and how long a new connection.
//!
//! A message every 5 ms on a connection that was there before the attack, whether or not the last
//! one has come back; and new connections one after the other, every 20 ms where they take less.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::load::{shake_hands, shake_hands_within};
use crate::scenario::{KEY, Kind, frame};

const ECHO_EVERY: Duration = Duration::from_millis(5);
const HANDSHAKE_EVERY: Duration = Duration::from_millis(20);

/// What has not come this long after the last was sent never came.
const PATIENCE: Duration = Duration::from_secs(1);

/// What stands for the latency of what did not come, in nanoseconds: a year.
pub const NEVER: u64 = 365 * 24 * 60 * 60 * 1_000_000_000;

pub struct Honest {
    addr: SocketAddr,
    stream: TcpStream,
    message: Vec<u8>,
    reply: Vec<u8>,
}

impl Honest {
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::from(shake_hands(addr, "")?);
        stream.set_nonblocking(false)?;
        let payload = Kind::Binary.payload(20);
        let (message, reply) = (frame(2, &payload, Some(KEY)), frame(2, &payload, None));
        let this = Self { addr, stream, message, reply };
        (&this.stream).write_all(&this.message)?;
        this.receive(Instant::now() + Duration::from_secs(5))?;
        Ok(this)
    }

    /// p50, p99 and the longest in nanoseconds, of the echo, then of the handshake.
    pub fn measure(&self, time: Duration) -> String {
        let start = Instant::now();
        let count = time.div_duration_f64(ECHO_EVERY) as u32;
        let due = |at: u32| start + ECHO_EVERY * at;
        thread::scope(|scope| {
            scope.spawn(move || {
                for at in 0..count {
                    sleep(due(at).saturating_duration_since(Instant::now()));
                    if (&self.stream).write_all(&self.message).is_err() {
                        return; // which the reader finds out as well
                    }
                }
            });
            let echoes = scope.spawn(move || {
                let until = start + time + PATIENCE;
                let latency = |at| self.receive(until).ok().map(|()| due(at).elapsed());
                (0..count).map(latency).collect()
            });
            let handshakes = self.shake_hands(start + time);
            let echoes: Vec<_> = echoes.join().unwrap_or_default();
            // a socket that takes no more holds the writer up
            let _ = self.stream.shutdown(std::net::Shutdown::Both);
            format!("{} {}", numbers(echoes), numbers(handshakes))
        })
    }

    fn receive(&self, until: Instant) -> io::Result<()> {
        let mut reply = vec![0; self.reply.len()];
        let left = until.saturating_duration_since(Instant::now());
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        (&self.stream).read_exact(&mut reply)?;
        if reply == self.reply { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
    }

    /// New connections up to the server's consent, which are then reset.
    fn shake_hands(&self, end: Instant) -> Vec<Option<Duration>> {
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let start = Instant::now();
            let left = (end + PATIENCE).saturating_duration_since(start);
            let done = shake_hands_within(self.addr, "", left);
            latencies.push(done.ok().map(|_| start.elapsed()));
            sleep((start + HANDSHAKE_EVERY).saturating_duration_since(Instant::now()));
        }
        latencies
    }
}

fn numbers(latencies: Vec<Option<Duration>>) -> String {
    let nanos = |latency: Option<Duration>| latency.map_or(NEVER, |it| it.as_nanos() as u64);
    let mut nanos: Vec<_> = latencies.into_iter().map(nanos).collect();
    nanos.sort_unstable();
    let at = |share: f64| {
        let index = (nanos.len() as f64 * share) as usize;
        nanos.get(index.min(nanos.len().saturating_sub(1))).copied().unwrap_or(NEVER)
    };
    format!("{} {} {}", at(0.5), at(0.99), at(1.0))
}
