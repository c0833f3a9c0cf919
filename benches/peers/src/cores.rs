//! How the cost of a message changes when a server has two threads.

use std::io;

use crate::Options;
use crate::children::Running;
use crate::end_to_end::visit_all;
use crate::report::{Cell, Grid, median};
use crate::scenario::{CORES, Load, Scenario};
use crate::servers::find;

/// Each with one thread and with two: echoes, and a chat for the broadcast.
const ECHOES: [&str; 5] = [
    "floor-tokio",
    "sansws-tokio",
    "sansws-tokio-2-threads",
    "sansws-events",
    "sansws-events-2-threads",
];
const CHATS: [&str; 4] =
    ["floor-broadcast", "sansws-broadcast", "sansws-broadcast-2-threads", "axum-broadcast"];

/// Microseconds of processor time per message or delivery.
pub fn measure(options: &Options, cpus: (usize, usize)) -> io::Result<Vec<Grid>> {
    let (chats, echoes): (Vec<&Scenario>, Vec<&Scenario>) =
        CORES.iter().partition(|scenario| matches!(scenario.load, Load::Broadcast { .. }));
    [(&ECHOES[..], echoes, "message"), (&CHATS[..], chats, "delivery")]
        .into_iter()
        .map(|(names, scenarios, unit)| grid(options, names, &scenarios, unit, cpus))
        .collect()
}

fn grid(
    options: &Options,
    names: &[&str],
    scenarios: &[&'static Scenario],
    unit: &str,
    cpus: (usize, usize),
) -> io::Result<Grid> {
    let mut running = Vec::new();
    for server in names.iter().filter_map(|name| find(name)) {
        let both = [cpus.0, cpus.1]; // two threads share the second one with the load generator
        let cpus = if server.name.ends_with("-2-threads") { &both[..] } else { &both[..1] };
        running.push(Running::start(server, &[], cpus)?);
    }
    let results = visit_all(options, &running, scenarios, cpus.1)?;
    let row = |at: usize| {
        let costs = results.scenarios.iter().map(|(_, rows)| median(&rows[at].cost) / 1000.0);
        costs.map(Cell::number).collect()
    };
    let rows = running.iter().enumerate();
    Ok(Grid {
        title: format!("Processor time per {unit}, µs"),
        columns: scenarios.iter().map(|scenario| scenario.name.into()).collect(),
        rows: rows.map(|(at, it)| (it.server.name.to_string(), row(at))).collect(),
    })
}
