//! How the cost of a message grows with connections, size and threads.

use std::io;

use crate::Options;
use crate::end_to_end::{start_these, visit_all};
use crate::report::Grid;
use crate::scenario::SCALE;

/// The first columns of the table: so many connections each.
pub const CONNECTIONS: &[usize] = &[10, 100, 1000, 10_000];

/// Two floors, ours, and the peers that do best and that most people use.
const ROWS: [&str; 7] = [
    "floor-epoll",
    "floor-tokio",
    "sansws-tokio",
    "sansws-mio",
    "tokio-tungstenite",
    "fastwebsockets",
    "sansws-tokio-2-threads",
];

/// Microseconds of processor time per message.
pub fn measure(options: &Options, cpus: (usize, usize)) -> io::Result<Grid> {
    let running = start_these(&ROWS, cpus)?;
    let scenarios: Vec<_> = SCALE.iter().collect();
    let results = visit_all(options, &running, &scenarios, cpus.1)?;
    Ok(results.costs("Processor time per message, µs"))
}
