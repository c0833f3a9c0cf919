//! How the cost of a message grows with connections, size and threads.

use std::io;

use crate::Options;
use crate::children::Running;
use crate::end_to_end::visit_all;
use crate::report::{Cell, Grid, median};
use crate::scenario::SCALE;
use crate::servers::{For, SERVERS};

/// The first columns of the table: so many connections each.
pub const CONNECTIONS: &[usize] = &[10, 100, 1000, 10_000];

/// Two floors, ours, and the peers that do best and that most people use.
const ROWS: [&str; 7] = [
    "floor-epoll",
    "floor-tokio",
    "sansws-tokio",
    "sansws-mio",
    "sansws-tokio-2-threads",
    "fastwebsockets",
    "tokio-tungstenite",
];

/// Microseconds of processor time per message.
pub fn measure(options: &Options, cpus: (usize, usize)) -> io::Result<Grid> {
    let mut running = Vec::new();
    for server in SERVERS.iter().filter(|server| ROWS.contains(&server.name)) {
        let cpus = [cpus.0, cpus.1];
        // two threads share the second processor with the load generator
        let cpus = if server.part == For::Scale { &cpus[..] } else { &cpus[..1] };
        running.push(Running::start(server, &[], cpus)?);
    }
    let scenarios: Vec<_> = SCALE.iter().collect();
    let results = visit_all(options, &running, &scenarios, cpus.1)?;
    let row = |at: usize| {
        let costs = results.scenarios.iter().map(|(_, rows)| median(&rows[at].cost) / 1000.0);
        costs.map(Cell::number).collect()
    };
    Ok(Grid {
        title: "Processor time per message, µs".into(),
        columns: SCALE.iter().map(|scenario| scenario.name.into()).collect(),
        rows: running
            .iter()
            .enumerate()
            .map(|(at, it)| (it.server.name.to_string(), row(at)))
            .collect(),
    })
}
