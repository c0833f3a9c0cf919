//! How long an honest client waits while others do their worst: an echo and a new handshake on a
//! server with one thread, beside 0, 1 and 10 attackers.
//!
//! A server is a fresh process for each measurement, as an attack may leave something behind.

mod attack;
mod honest;

use std::io;
use std::thread::sleep;
use std::time::Duration;

use crate::Options;
use crate::children::{self, Generator, Running};
use crate::report::{Cell, Grid};
use crate::servers::{Group, Server, find};

pub use attack::Attack;
pub use honest::Honest;

/// As a process of its own.
pub fn attack(attack: &str, addr: &str, count: &str) -> io::Result<()> {
    let parsed = Attack::parse(attack).zip(addr.parse().ok()).zip(count.parse().ok());
    let ((attack, addr), count) = parsed.ok_or(io::ErrorKind::InvalidInput)?;
    attack::run(attack, addr, count)
}

const SERVERS: [&str; 5] =
    ["sansws-tokio", "sansws-events", "sansws-mio", "tokio-tungstenite", "node-ws"];

/// The same with handlers that compute.
const COMPUTING: [&str; 4] =
    ["sansws-tokio-1ms", "sansws-events-1ms", "tokio-tungstenite-1ms", "node-ws-1ms"];

const ATTACKERS: [usize; 2] = [1, 10];

/// How long they rage before anybody measures.
const WARM_UP: Duration = Duration::from_millis(500);

/// The longest that an echo may take where no handler computes, in all but one of a hundred cases.
const MOST_ECHO: f64 = 20.0;
const MOST_HANDSHAKE: f64 = 100.0;

/// Milliseconds; infinite where nothing came.
#[derive(Clone, Copy)]
struct Latency {
    p50: f64,
    p99: f64,
    max: f64,
}

struct Row {
    server: &'static Server,
    attack: Option<Attack>,
    attackers: usize,
    measured: Measured,
}

#[derive(Clone, Copy)]
struct Measured {
    echo: Latency,
    handshake: Latency,
    /// Attackers that the server had got rid of in the end.
    thrown_out: usize,
}

pub struct Results(Vec<Row>);

pub fn measure(options: &Options, cpus: (usize, usize)) -> io::Result<Results> {
    let time = Duration::from_secs_f64(options.seconds_or(3.0));
    let mut rows = Vec::new();
    let attacks = Attack::ALL.into_iter().map(Some);
    for attack in [None].into_iter().chain(attacks) {
        if attack.is_some_and(|it| !options.attacks.is_empty() && !options.attacks.contains(&it)) {
            continue;
        }
        eprint!("{:16}", attack.map_or("nobody", Attack::name));
        let servers = if attack == Some(Attack::Handlers) { &COMPUTING[..] } else { &SERVERS };
        let counts = if attack.is_some() { &ATTACKERS[..] } else { &[0] };
        for server in servers.iter().filter_map(|name| find(name)) {
            if !options.wants(server.name.trim_end_matches("-1ms")) {
                continue;
            }
            for &attackers in counts {
                eprint!(".");
                let measured = visit(server, attack, attackers, cpus, time);
                let measured = measured.unwrap_or_else(|error| {
                    eprint!("\n{}: {error} ", server.name);
                    let none = Latency { p50: f64::NAN, p99: f64::NAN, max: f64::NAN };
                    Measured { echo: none, handshake: none, thrown_out: 0 }
                });
                rows.push(Row { server, attack, attackers, measured });
            }
        }
        eprintln!();
    }
    Ok(Results(rows))
}

fn visit(
    server: &'static Server,
    attack: Option<Attack>,
    attackers: usize,
    cpus: (usize, usize),
    time: Duration,
) -> io::Result<Measured> {
    let more = if attack == Some(Attack::Zeros) { &["--deflate"][..] } else { &[] };
    if !more.is_empty() && server.name == "tokio-tungstenite" {
        return Err(io::Error::other("does not compress"));
    }
    let running = Running::start(server, more, &[cpus.0])?;
    let mut generator = Generator::start(cpus.1)?;
    generator.ask(&format!("honest 0 {}", running.addr))?;
    let attackers = match attack {
        Some(attack) => {
            let attackers = children::Attackers::start(attack, running.addr, attackers, cpus.1)?;
            sleep(WARM_UP);
            Some(attackers)
        }
        None => None,
    };
    let answer = generator.ask(&format!("latency 0 {}", time.as_millis()))?;
    let &[e50, e99, e_max, h50, h99, h_max] = &answer[..] else {
        return Err(io::Error::other("the load generator is confused"));
    };
    Ok(Measured {
        echo: Latency::new(e50, e99, e_max),
        handshake: Latency::new(h50, h99, h_max),
        thrown_out: attackers.map_or(0, children::Attackers::stop),
    })
}

impl Latency {
    fn new(p50: u64, p99: u64, max: u64) -> Self {
        let ms = |nanos| if nanos >= honest::NEVER { f64::INFINITY } else { nanos as f64 / 1e6 };
        Self { p50: ms(p50), p99: ms(p99), max: ms(max) }
    }

    fn cell(self, thrown_out: usize) -> Cell {
        let text = |ms: f64| match ms {
            ms if ms.is_nan() => "–".to_string(),
            f64::INFINITY => "∞".to_string(),
            ms => Cell::number(ms).text,
        };
        let mut cell = format!("{} / {} / {}", text(self.p50), text(self.p99), text(self.max));
        if thrown_out > 0 {
            cell.push_str(&format!(" ({thrown_out} out)"));
        }
        Cell::text(cell)
    }
}

impl Results {
    /// A table for each attack.
    pub fn grids(&self) -> Vec<Grid> {
        let rows = |attack| self.0.iter().filter(move |row| row.attack == attack);
        let mut grids = Vec::new();
        for attack in [None].into_iter().chain(Attack::ALL.map(Some)) {
            if rows(attack).next().is_none() {
                continue;
            }
            let (title, counts) = match attack {
                None => ("Nobody attacks", &[0][..]),
                Some(attack) => (attack.title(), &ATTACKERS[..]),
            };
            let columns = ["echo", "handshake"].into_iter();
            let columns = columns.flat_map(|what| {
                counts.iter().map(move |count| match count {
                    0 => what.to_string(),
                    1 => format!("{what}, 1 attacker"),
                    count => format!("{what}, {count} attackers"),
                })
            });
            let mut grid = Grid {
                title: format!("{title}: p50 / p99 / max, ms"),
                columns: columns.collect(),
                rows: Vec::new(),
            };
            for first in rows(attack).filter(|row| row.attackers == counts[0]) {
                let of_it = || rows(attack).filter(|row| row.server.name == first.server.name);
                let measured = || of_it().map(|row| row.measured);
                let echo = measured().map(|it| it.echo.cell(it.thrown_out));
                let handshake = measured().map(|it| it.handshake.cell(it.thrown_out));
                grid.rows.push((first.server.name.to_string(), echo.chain(handshake).collect()));
            }
            grids.push(grid);
        }
        grids
    }

    /// Which of our rows miss the target, and which are behind a peer.
    pub fn verdict(&self) -> String {
        let mut text = String::from("\n");
        for row in self.0.iter().filter(|row| row.server.group == Group::Ours) {
            let attack = row.attack.map_or("nobody", Attack::name);
            let peers = || {
                let same = |it: &&Row| it.attack == row.attack && it.attackers == row.attackers;
                let peers = self.0.iter().filter(|it| it.server.group == Group::Peer).filter(same);
                // who throws the attackers out is left in peace
                peers.filter(|it| it.measured.thrown_out == 0)
            };
            let mut check = |what, most: f64, p99: f64, peers: Vec<(&str, f64)>| {
                let computes = row.attack == Some(Attack::Handlers);
                let mut faults = Vec::new();
                if !computes && p99 > most {
                    faults.push(format!("p99 above {most:.0} ms"));
                }
                // a tenth, and a tenth of a millisecond, are noise
                let ahead = peers.into_iter().filter(|it| it.1 * 1.1 + 0.1 < p99);
                faults.extend(ahead.map(|(name, _)| format!("behind {name}")));
                if !faults.is_empty() {
                    let (name, count) = (row.server.name, row.attackers);
                    let faults = faults.join(", ");
                    text.push_str(&format!("- {name}, {count} × {attack}, {what}: {faults}\n"));
                }
            };
            let figures = |of: fn(&Measured) -> f64| {
                peers().map(|it| (it.server.name, of(&it.measured))).collect()
            };
            check("echo", MOST_ECHO, row.measured.echo.p99, figures(|it| it.echo.p99));
            let handshakes = figures(|it| it.handshake.p99);
            check("handshake", MOST_HANDSHAKE, row.measured.handshake.p99, handshakes);
        }
        if text.len() == 1 { "\nAll targets are met.\n".into() } else { text }
    }
}
