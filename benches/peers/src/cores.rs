//! How the cost of a message changes when a server has two threads.

use std::io;

use crate::Options;
use crate::end_to_end::{start_these, visit_all};
use crate::report::Grid;
use crate::scenario::{CORES, Load, Scenario};

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
pub fn measure(options: &Options, cpus: (usize, usize)) -> io::Result<[Grid; 2]> {
    let (chats, echoes): (Vec<&Scenario>, Vec<&Scenario>) =
        CORES.iter().partition(|scenario| matches!(scenario.load, Load::Broadcast { .. }));
    let grid = |names: &[&str], scenarios: &[&'static Scenario], title: &str| {
        let running = start_these(names, cpus)?;
        Ok::<_, io::Error>(visit_all(options, &running, scenarios, cpus.1)?.costs(title))
    };
    Ok([
        grid(&ECHOES, &echoes, "Processor time per message, µs")?,
        grid(&CHATS, &chats, "Processor time per delivery, µs")?,
    ])
}
