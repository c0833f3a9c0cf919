//! The servers' processor time per message over loopback.
//!
//! All servers run at once and are visited in turn for short slices, so that whatever slows the
//! machine down slows all of them; a server's figure is its processor time per message divided by
//! that of the first floor in the same round.

use std::io;

use crate::Options;
use crate::children::{Generator, Running};
use crate::report::{Cell, Grid, median};
use crate::scenario::{Kind, Load, SCENARIOS, Scenario};
use crate::servers::{For, Group, Program, SERVERS, Server, find};
use crate::sys;

const SLICE_MS: u64 = 250;
const WARM_UP_MS: u64 = 50;

/// All scenarios that were run, each with one row for every server, the first floor first.
pub struct Results {
    pub scenarios: Vec<(&'static Scenario, Vec<Row>)>,
    pub rounds: usize,
}

pub struct Row {
    pub server: &'static Server,
    /// Nanoseconds of processor time per message, one figure for each round.
    pub cost: Vec<f64>,
    /// Divided by that of the first server in the same round.
    pub relative: Vec<f64>,
    /// Bytes of payload that came back for each message, where they are counted.
    pub bytes: Vec<f64>,
}

pub fn measure(options: &Options, cpus: (usize, usize)) -> io::Result<Results> {
    let running = start_all(options, For::Everything, &[], cpus.0)?;
    let scenarios: Vec<_> = SCENARIOS
        .iter()
        .filter(|it| options.scenarios.is_empty() || options.scenarios.iter().any(|o| o == it.name))
        .collect();
    visit_all(options, &running, &scenarios, cpus.1)
}

/// Starts the servers of a part, its first floor in any case. One that is not installed is told of,
/// and left out.
pub fn start_all(
    options: &Options,
    part: For,
    more: &[&str],
    cpu: usize,
) -> io::Result<Vec<Running>> {
    let mut running = Vec::new();
    for server in SERVERS.iter().filter(|server| server.part == part) {
        let is_floor = running.is_empty() && server.group == Group::Floor;
        if !is_floor && !options.wants(server.name) {
            continue;
        }
        match Running::start(server, more, &[cpu]) {
            Ok(server) => running.push(server),
            Err(error) if matches!(server.program, Program::Script(..) | Program::Foreign(_)) => {
                eprintln!("not run: {}: {error}", server.name);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(running)
}

/// Starts these servers. Those with two threads share the second processor with the load generator.
pub fn start_these(names: &[&str], cpus: (usize, usize)) -> io::Result<Vec<Running>> {
    let start = |server: &'static Server| match server.part {
        For::Scale => Running::start(server, &[], &[cpus.0, cpus.1]),
        _ => Running::start(server, &[], &[cpus.0]),
    };
    names.iter().filter_map(|name| find(name)).map(start).collect()
}

/// All scenarios, one after the other.
pub fn visit_all(
    options: &Options,
    running: &[Running],
    scenarios: &[&'static Scenario],
    cpu: usize,
) -> io::Result<Results> {
    let mut generator = Generator::start(cpu)?;
    let rounds = ((options.seconds_or(1.25) * 1000.0 / SLICE_MS as f64).round() as usize).max(1);
    let mut results = Results { scenarios: Vec::new(), rounds };
    for &scenario in scenarios {
        eprint!("{:16}", scenario.name);
        let rows = visit(scenario, running, &mut generator, rounds);
        results.scenarios.push((scenario, rows));
        eprintln!();
    }
    Ok(results)
}

/// One scenario: all servers in turn, `rounds` times.
fn visit(
    scenario: &Scenario,
    running: &[Running],
    generator: &mut Generator,
    rounds: usize,
) -> Vec<Row> {
    let mut measures = vec![Vec::new(); running.len()];
    let mut failed = vec![false; running.len()];
    let fail = |id: usize, failed: &mut [bool], error: &io::Error| {
        eprint!("\n{}: {error} ", running[id].server.name);
        failed[id] = true;
    };
    let open = |id: usize, generator: &mut Generator, failed: &mut [bool]| {
        let server = &running[id];
        let opened = match scenario.load {
            Load::Echo { connections, .. } | Load::Broadcast { connections, .. } => {
                generator.ask(&format!("open {id} {} {connections}", server.addr))
            }
            Load::Texts { connections, takeover, .. } => {
                let offer = if takeover { "takeover" } else { "alone" };
                generator.ask(&format!("open {id} {} {connections} {offer}", server.addr))
            }
            Load::Handshakes { .. } => Ok(Vec::new()),
        };
        let warm = opened.and_then(|_| slice(scenario, id, server, generator, WARM_UP_MS));
        if let Err(error) = warm {
            fail(id, failed, &error);
        }
    };
    let mut run = |id: usize, generator: &mut Generator, failed: &mut [bool]| {
        let none = (f64::NAN, f64::NAN);
        let measured = match failed[id] {
            true => Ok(none),
            false => slice(scenario, id, &running[id], generator, SLICE_MS),
        };
        measures[id].push(measured.unwrap_or_else(|error| {
            fail(id, failed, &error);
            none
        }));
    };
    if scenario.connections() * running.len() > sys::raise_file_limit() / 2 {
        // More connections than there are descriptors: one server after the other.
        for id in 0..running.len() {
            open(id, generator, &mut failed);
            (0..rounds).for_each(|_| run(id, generator, &mut failed));
            let _ = generator.ask(&format!("close {id}"));
            eprint!(".");
        }
    } else {
        (0..running.len()).for_each(|id| open(id, generator, &mut failed));
        for round in 0..rounds {
            eprint!(".");
            for at in 0..running.len() {
                // not always the same neighbour
                run((at + round) % running.len(), generator, &mut failed);
            }
        }
        for id in 0..running.len() {
            let _ = generator.ask(&format!("close {id}"));
        }
    }
    let costs = |of: &[(f64, f64)]| of.iter().map(|it| it.0).collect::<Vec<_>>();
    let floor = costs(measures.first().map_or(&[], Vec::as_slice));
    let row = |(server, measured): (&Running, &Vec<(f64, f64)>)| {
        let cost = costs(measured);
        Row {
            server: server.server,
            relative: cost.iter().zip(&floor).map(|(cost, floor)| cost / floor).collect(),
            bytes: measured.iter().map(|it| it.1).collect(),
            cost,
        }
    };
    running.iter().zip(&measures).map(row).collect()
}

/// Loads one server for a while; the nanoseconds of processor time per message, and the bytes that
/// came back for one.
fn slice(
    scenario: &Scenario,
    id: usize,
    server: &Running,
    generator: &mut Generator,
    ms: u64,
) -> io::Result<(f64, f64)> {
    let command = match scenario.load {
        Load::Echo { depth, kind, len, .. } => {
            format!("echo {id} {} {len} {depth} {ms}", kind.name())
        }
        Load::Broadcast { depth, len, .. } => {
            format!("broadcast {id} {} {len} {depth} {ms}", Kind::Ascii.name())
        }
        Load::Texts { len, .. } => format!("texts {id} {len} 1 {ms}"),
        Load::Handshakes { at_once } => format!("handshakes {id} {} {at_once} {ms}", server.addr),
    };
    let before = server.cpu_time()?;
    let answer = generator.ask(&command)?;
    let spent = server.cpu_time()?.saturating_sub(before);
    match answer[..] {
        [count, _, ref bytes @ ..] if count > 0 => {
            let each = |total: f64| total / count as f64;
            let bytes = bytes.first().map_or(f64::NAN, |&bytes| each(bytes as f64));
            Ok((each(spent.as_nanos() as f64), bytes))
        }
        _ => Err(io::Error::other("nothing came back")),
    }
}

impl Results {
    /// The medians, how far apart the rounds were, and the absolute figures.
    pub fn grids(&self) -> [Grid; 3] {
        let first = self.scenarios.first().and_then(|(_, rows)| rows.first());
        let floor = first.map_or("?", |row| row.server.name);
        let title = format!("Processor time per message, × {floor} (median of the rounds)");
        let mut relative = self.grid(&title, |row| Cell::new(median(&row.relative), 2));
        let best = self.scenarios.iter().map(|(_, rows)| {
            let peers = rows.iter().filter(|row| row.server.group == Group::Peer);
            let medians = peers.map(|row| (median(&row.relative), row.server.name));
            let best = medians.filter(|it| it.0.is_finite()).min_by(|a, b| a.0.total_cmp(&b.0));
            Cell::text(best.map_or("–".into(), |(ratio, name)| format!("{ratio:.2} {name}")))
        });
        relative.rows.push(("best peer".into(), best.collect()));
        [
            relative,
            self.grid("The same, lowest and highest round", |row| {
                let (low, high) = range(&row.relative);
                Cell::text(format!("{low:.2}–{high:.2}"))
            }),
            self.costs("Processor time per message, µs (median)"),
        ]
    }

    /// Microseconds of processor time.
    pub fn costs(&self, title: &str) -> Grid {
        self.grid(title, |row| Cell::number(median(&row.cost) / 1000.0))
    }

    pub fn grid(&self, title: &str, cell: impl Fn(&Row) -> Cell) -> Grid {
        let servers = self.scenarios.first().map_or(&[][..], |(_, rows)| &rows[..]);
        let row = |at: usize| self.scenarios.iter().map(|(_, rows)| cell(&rows[at])).collect();
        Grid {
            title: title.to_string(),
            columns: self.scenarios.iter().map(|(it, _)| it.name.to_string()).collect(),
            rows: servers
                .iter()
                .enumerate()
                .map(|(at, it)| (it.server.name.to_string(), row(at)))
                .collect(),
        }
    }
}

fn range(figures: &[f64]) -> (f64, f64) {
    let finite = || figures.iter().copied().filter(|it| it.is_finite());
    (finite().fold(f64::NAN, f64::min), finite().fold(f64::NAN, f64::max))
}
