//! The servers' processor time per message over loopback.
//!
//! All servers run at once and are visited in turn for short slices, so that whatever slows the
//! machine down slows all of them; a server's figure is its processor time per message divided by
//! that of the first floor in the same round.

use std::fmt::Write as _;
use std::io;

use crate::Options;
use crate::children::{Generator, Running};
use crate::scenario::{Load, SCENARIOS, Scenario};
use crate::servers::SERVERS;

const SLICE_MS: u64 = 250;
const WARM_UP_MS: u64 = 50;

/// What one scenario gave.
pub struct Result {
    pub scenario: &'static Scenario,
    /// One for each server, the first floor first.
    pub rows: Vec<Row>,
}

pub struct Row {
    pub server: &'static str,
    /// Nanoseconds of processor time per message, one figure for each round.
    pub cost: Vec<f64>,
    /// Divided by the floor's of the same round.
    pub relative: Vec<f64>,
}

pub fn measure(options: &Options, server_cpu: usize, load_cpu: usize) -> io::Result<Vec<Result>> {
    let mut running = Vec::new();
    for (at, server) in SERVERS.iter().enumerate() {
        let wanted = options.only.is_empty() || options.only.iter().any(|it| it == server.name);
        if at == 0 || wanted && !server.memory_only {
            running.push(Running::start(server, server_cpu)?);
        }
    }
    let mut generator = Generator::start(load_cpu)?;
    let rounds = ((options.seconds * 1000.0 / SLICE_MS as f64).round() as usize).max(1);
    let mut results = Vec::new();
    for scenario in &SCENARIOS {
        if options.scenarios.is_empty() || options.scenarios.iter().any(|it| it == scenario.name) {
            eprint!("{:16}", scenario.name);
            results
                .push(Result { scenario, rows: visit(scenario, &running, &mut generator, rounds) });
            eprintln!();
        }
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
    let mut costs = vec![Vec::new(); running.len()];
    let mut failed = vec![false; running.len()];
    let fail = |id: usize, failed: &mut [bool], error: &io::Error| {
        eprint!("\n{}: {error}", running[id].server.name);
        failed[id] = true;
    };
    for (id, server) in running.iter().enumerate() {
        let opened = match scenario.load {
            Load::Echo { connections, .. } => {
                generator.ask(&format!("open {id} {} {connections}", server.addr))
            }
            Load::Handshakes { .. } => Ok(Vec::new()),
        };
        if let Err(error) = opened.and_then(|_| slice(scenario, id, server, generator, WARM_UP_MS))
        {
            fail(id, &mut failed, &error);
        }
    }
    for round in 0..rounds {
        eprint!(".");
        for at in 0..running.len() {
            // not always the same neighbour
            let id = (at + round) % running.len();
            let cost = match failed[id] {
                true => Ok(f64::NAN),
                false => slice(scenario, id, &running[id], generator, SLICE_MS),
            };
            costs[id].push(cost.unwrap_or_else(|error| {
                fail(id, &mut failed, &error);
                f64::NAN
            }));
        }
    }
    for id in 0..running.len() {
        let _ = generator.ask(&format!("close {id}"));
    }
    let floor = costs[0].clone();
    let relative = |cost: &[f64]| -> Vec<f64> {
        cost.iter().zip(&floor).map(|(cost, floor)| cost / floor).collect()
    };
    let rows = running.iter().zip(costs).map(|(server, cost)| Row {
        server: server.server.name,
        relative: relative(&cost),
        cost,
    });
    rows.collect()
}

/// Loads one server for a while; the nanoseconds of processor time per message.
fn slice(
    scenario: &Scenario,
    id: usize,
    server: &Running,
    generator: &mut Generator,
    ms: u64,
) -> io::Result<f64> {
    let command = match scenario.load {
        Load::Echo { depth, kind, len, .. } => {
            format!("echo {id} {} {len} {depth} {ms}", kind.name())
        }
        Load::Handshakes { at_once } => format!("handshakes {id} {} {at_once} {ms}", server.addr),
    };
    let before = server.cpu_time()?;
    let answer = generator.ask(&command)?;
    let spent = server.cpu_time()?.saturating_sub(before);
    match answer[..] {
        [count, _] if count > 0 => Ok(spent.as_nanos() as f64 / count as f64),
        _ => Err(io::Error::other("nothing came back")),
    }
}

/// The middle one of the figures that are any.
pub fn median(figures: &[f64]) -> f64 {
    let mut figures: Vec<f64> = figures.iter().copied().filter(|it| it.is_finite()).collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => figures[n / 2],
        n => (figures[n / 2 - 1] + figures[n / 2]) / 2.0,
    }
}

pub fn table(results: &[Result]) -> String {
    let mut out = String::from("| server |");
    for result in results {
        let _ = write!(out, " {} |", result.scenario.name);
    }
    out.push_str("\n|---|");
    out.push_str(&"---:|".repeat(results.len()));
    out.push('\n');
    for at in 0..results.first().map_or(0, |result| result.rows.len()) {
        let _ = write!(out, "| {} |", results[0].rows[at].server);
        for result in results {
            let _ = write!(out, " {:.2} |", median(&result.rows[at].relative));
        }
        out.push('\n');
    }
    out
}
