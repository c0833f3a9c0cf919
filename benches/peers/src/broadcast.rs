//! What it costs to send what one client says to a thousand.

use std::io;

use crate::Options;
use crate::end_to_end::{Results, start_all, visit_all};
use crate::scenario::BROADCAST;
use crate::servers::For;

/// Processor time per delivery, all servers in turn.
pub fn measure(options: &Options, cpus: (usize, usize)) -> io::Result<Results> {
    let running = start_all(options, For::Broadcast, &[], cpus.0)?;
    visit_all(options, &running, &BROADCAST.iter().collect::<Vec<_>>(), cpus.1)
}
