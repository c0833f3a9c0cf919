//! What all clients together have done and seen.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use crate::clients::{End, Kind};

/// Faults that are kept with their text.
const KEPT: usize = 20;

#[derive(Default)]
pub struct Tally {
    pub open: Cell<u64>,
    pub connected: Cell<u64>,
    /// Messages that a connection took, and those whose answer came.
    pub sent: Cell<u64>,
    pub answered: Cell<u64>,
    /// Messages without an answer whose connection has ended in a way that allows for it.
    pub cut: Cell<u64>,
    /// Messages of others in a room.
    pub overheard: Cell<u64>,
    /// Messages of floods.
    pub flooded: Cell<u64>,
    pub ends: RefCell<[u64; End::ALL.len()]>,
    pub by_kind: RefCell<[u64; Kind::ALL.len()]>,
    pub faults: Cell<u64>,
    pub texts: RefCell<Vec<String>>,
    /// From a message of 125 B to its answer, in microseconds, since the last sample.
    delays: RefCell<Vec<u32>>,
    /// From the start of a close to its end, the longest.
    pub longest_close: Cell<Duration>,
}

impl Tally {
    pub fn fault(&self, text: String) {
        self.faults.set(self.faults.get() + 1);
        if self.texts.borrow().len() < KEPT {
            eprintln!("soak: {text}");
            self.texts.borrow_mut().push(text);
        }
    }

    pub fn delay(&self, sent: Instant) {
        self.delays.borrow_mut().push(sent.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
    }

    pub fn closed_within(&self, time: Duration) {
        self.longest_close.set(self.longest_close.get().max(time));
    }

    /// Returns the median and the 99th percentile since the last call, in milliseconds.
    pub fn take_delays(&self) -> Option<(f64, f64)> {
        let mut delays = self.delays.take();
        delays.sort_unstable();
        let last = delays.len().checked_sub(1)?;
        let at = |percent: usize| f64::from(delays[last * percent / 100]) / 1000.0;
        Some((at(50), at(99)))
    }
}

pub fn add(cell: &Cell<u64>, count: u64) {
    cell.set(cell.get() + count);
}
