//! Ten thousand clients and a server that restarts, in virtual time: the policy alone, and a model
//! of a server.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use sansws::Error;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::client::{Backoff, Lost, Retries};
use sansws::handshake::client::{Handshake, Request, Response};

const CLIENTS: usize = 10_000;

/// What the server is able to do.
struct Server {
    /// From the loss of all connections on, nothing is accepted.
    outage: Duration,
    /// Handshakes in each second after that.
    capacity: u32,
    /// What those beyond it see, after this time.
    overload: (Duration, Lost),
}

struct Outcome {
    /// Attempts in each second.
    attempts: Vec<u32>,
    /// When the last client was connected.
    complete: Duration,
}

impl Outcome {
    /// The most attempts in a second, from `begin` on.
    fn peak(&self, begin: Duration) -> u32 {
        let begin = usize::try_from(begin.as_secs()).unwrap();
        self.attempts.iter().skip(begin).copied().max().unwrap_or(0)
    }

    fn total(&self) -> u32 {
        self.attempts.iter().sum()
    }
}

/// All clients lose their connections at the time 0.
fn restart(server: &Server, backoff: &Backoff, mut random: impl FnMut() -> u32) -> Outcome {
    let gone = Lost::Failed(Error::Disconnected(None));
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let refused = Lost::Failed(refused.into());
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Retries::new(backoff.clone())).collect();
    let mut attempts = Vec::new();
    let mut taken = Vec::new();
    let mut complete = Duration::ZERO;
    let mut due = BinaryHeap::new();
    for (who, client) in clients.iter_mut().enumerate() {
        client.connected(Duration::ZERO);
        due.push(Reverse((client.lost(Duration::ZERO, &gone, random()).unwrap(), who)));
    }
    while let Some(Reverse((now, who))) = due.pop() {
        assert!(now < Duration::from_secs(3600), "it takes too long");
        let second = usize::try_from(now.as_secs()).unwrap();
        attempts.resize(attempts.len().max(second + 1), 0);
        taken.resize(attempts.len(), 0);
        attempts[second] += 1;
        let (after, why) = if now < server.outage {
            (Duration::ZERO, &refused)
        } else if taken[second] < server.capacity {
            taken[second] += 1;
            clients[who].connected(now);
            complete = complete.max(now);
            continue;
        } else {
            (server.overload.0, &server.overload.1)
        };
        let now = now + after;
        due.push(Reverse((now + clients[who].lost(now, why, random()).unwrap(), who)));
    }
    assert_eq!(taken.iter().sum::<u32>() as usize, CLIENTS);
    Outcome { attempts, complete }
}

/// Numbers that are spread evenly, the same on each run (splitmix64).
fn numbers() -> impl FnMut() -> u32 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }
}

fn too_slow() -> (Duration, Lost) {
    (Duration::from_secs(10), Lost::Failed(Error::HandshakeTimeout))
}

fn refusal(headers: &str) -> Lost {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let request = Request::new("ws://h").unwrap();
    let config = sansws::Config::new();
    let mut handshake = Handshake::start(&request, [1; 16], &config, &mut tx).unwrap();
    let head = format!("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n{headers}\r\n");
    rx.extend_from_slice(head.as_bytes());
    match handshake.read_response(&mut rx) {
        Ok(Some(Response::Refused(refused))) => Lost::Failed(refused.into()),
        other => panic!("{other:?}"),
    }
}

/// However long it was away, the server sees little more than an even spread: 2 000 a second in the
/// first 5 s, some of them again, and ever fewer the longer it takes.
#[test]
fn clients_come_back_spread_over_time() {
    for (outage, peak, within) in [(0, 2_200, 6), (3, 2_800, 60), (30, 1_100, 90), (300, 500, 365)]
    {
        let outage = Duration::from_secs(outage);
        let server = Server { outage, capacity: 2_500, overload: too_slow() };
        let outcome = restart(&server, &Backoff::new(), numbers());
        assert!(outcome.peak(outage) <= peak, "{outage:?}: {}", outcome.peak(outage));
        assert!(outcome.peak(Duration::ZERO) <= 3_500, "{outage:?}: down or not");
        let complete = outcome.complete.as_secs();
        assert!(complete <= within, "{outage:?}: all are back only after {complete} s");
    }
}

/// A server that takes a twentieth of those who come first is not buried by those it turned away.
#[test]
fn a_slow_server_is_left_the_time_it_needs() {
    let wait = Lost::Failed(Error::HandshakeTimeout);
    for overload in [(Duration::from_secs(10), wait), (Duration::ZERO, refusal(""))] {
        let server = Server { outage: Duration::ZERO, capacity: 100, overload };
        let outcome = restart(&server, &Backoff::new(), numbers());
        let settled = outcome.peak(Duration::from_secs(60));
        assert!(settled <= 400, "{settled} a second after a minute");
        // at its best it would take 100 s
        assert!(outcome.complete.as_secs() <= 400, "{:?}", outcome.complete);
        assert!(outcome.total() <= 70_000, "{} attempts", outcome.total());
    }
}

/// Those who were all told the same time do not come at the same time.
#[test]
fn retry_after_is_no_appointment() {
    let overload = (Duration::ZERO, refusal("Retry-After: 120\r\n"));
    let server = Server { outage: Duration::ZERO, capacity: 500, overload };
    let outcome = restart(&server, &Backoff::new(), numbers());
    assert!(outcome.attempts[6..120].iter().all(|&n| n == 0), "before the time");
    assert!(outcome.peak(Duration::from_secs(120)) <= 1_000);
    assert!(outcome.complete.as_secs() <= 600, "{:?}", outcome.complete);
}

/// The model tells a stampede when there is one: the same delays for all.
#[test]
fn without_randomness_they_would_stampede() {
    let outage = Duration::from_secs(30);
    let server = Server { outage, capacity: u32::MAX, overload: too_slow() };
    let outcome = restart(&server, &Backoff::new(), || u32::MAX);
    assert_eq!(outcome.peak(outage), 10_000);
}
