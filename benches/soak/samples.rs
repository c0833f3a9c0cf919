//! What is looked at every few seconds.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use sansws_test::system::{self, descriptors};

use crate::clients::Load;

/// By how much memory may differ between two halves of a time, in bytes: large messages come
/// and go.
const NOISE: f64 = 8.0 * 1024.0 * 1024.0;

/// And in proportion.
const SHARE: f64 = 0.05;

#[derive(Clone, Debug)]
pub struct Sample {
    pub seconds: f64,
    pub open: u64,
    /// Resident memory of the server, of the one before it while it is there, and of the load.
    pub server: u64,
    pub old_server: u64,
    pub load: u64,
    pub server_descriptors: usize,
    pub load_descriptors: usize,
    pub connected: u64,
    pub answered: u64,
    /// The median and the 99th percentile, in milliseconds.
    pub delay: Option<(f64, f64)>,
    pub faults: u64,
}

pub struct Samples {
    start: Instant,
    server: Cell<u32>,
    old_server: Cell<Option<u32>>,
    taken: RefCell<Vec<Sample>>,
    restarts: RefCell<Vec<f64>>,
    /// From when to when the last server has all its clients, in seconds.
    last_server: Cell<(f64, f64)>,
}

impl Samples {
    pub fn new(start: Instant, server: u32) -> Self {
        Self {
            start,
            server: Cell::new(server),
            old_server: Cell::new(None),
            taken: RefCell::default(),
            restarts: RefCell::default(),
            last_server: Cell::new((0.0, f64::INFINITY)),
        }
    }

    fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    pub fn restarted(&self, next: u32) {
        self.old_server.set(Some(self.server.replace(next)));
        self.restarts.borrow_mut().push(self.now());
    }

    pub fn last_one_stays(&self) {
        self.last_server.set((self.now(), f64::INFINITY));
    }

    pub fn clients_are_gone(&self) {
        self.last_server.set((self.last_server.get().0, self.now()));
    }

    pub async fn take_each(self: Rc<Self>, time: Duration, load: Rc<Load>) {
        let mut ticks = interval(time);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (tally, server, own) = (&load.tally, self.server.get(), std::process::id());
            let resident = |pid| system::resident(pid).unwrap_or(0) as u64; // 0 if it is gone
            let sample = Sample {
                seconds: self.now(),
                open: tally.open.get(),
                server: resident(server),
                old_server: self.old_server.get().map_or(0, resident),
                load: resident(own),
                server_descriptors: descriptors(server),
                load_descriptors: descriptors(own),
                connected: tally.connected.get(),
                answered: tally.answered.get(),
                delay: tally.take_delays(),
                faults: tally.faults.get(),
            };
            self.taken.borrow_mut().push(sample);
        }
    }

    pub fn all(&self) -> Vec<Sample> {
        self.taken.borrow().clone()
    }

    pub fn restarts(&self) -> Vec<f64> {
        self.restarts.borrow().clone()
    }

    /// Memory in the two halves of the time that the last server is warm: its median.
    fn halves(&self, of: fn(&Sample) -> u64) -> Option<[f64; 2]> {
        let (from, to) = self.last_server.get();
        // a fifth to warm up, and no clients that leave
        let (from, to) = (from + (to - from) * 0.2, from + (to - from) * 0.97);
        let middle = (from + to) / 2.0;
        let median = |from, to| {
            let mut values: Vec<u64> = (self.taken.borrow().iter())
                .filter(|it| (from..to).contains(&it.seconds))
                .map(of)
                .collect();
            values.sort_unstable();
            values.get(values.len() / 2).map(|it| *it as f64)
        };
        Some([median(from, middle)?, median(middle, to)?])
    }

    /// What is not flat.
    pub fn growth(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, of) in RESIDENT {
            match self.halves(of) {
                Some([first, second]) if second <= first * (1.0 + SHARE) + NOISE => {}
                halves => problems.push(format!("memory of the {name} grows: {halves:?} bytes")),
            }
        }
        problems
    }

    pub fn summary(&self) -> String {
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        let mut text = String::new();
        for (name, of) in RESIDENT {
            let [first, second] = self.halves(of).unwrap_or_default();
            let _ = writeln!(
                text,
                "resident memory of the {name}, medians of two halves: {:.1} and {:.1} MiB",
                mib(first),
                mib(second)
            );
        }
        let (from, to) = self.last_server.get();
        let mut delays: Vec<_> = (self.taken.borrow().iter())
            .filter(|it| (from..to).contains(&it.seconds))
            .filter_map(|it| it.delay)
            .collect();
        let last = delays.len().saturating_sub(1);
        delays.sort_by(|a, b| a.0.total_cmp(&b.0));
        let p50 = delays.get(last / 2).map_or(f64::NAN, |it| it.0);
        delays.sort_by(|a, b| a.1.total_cmp(&b.1));
        let p99 = delays.get(last / 2).map_or(f64::NAN, |it| it.1);
        let worst = delays.last().map_or(f64::NAN, |it| it.1);
        let _ = write!(
            text,
            "echo of 125 B beside the last server, medians of all samples: p50 {p50:.2} ms, p99 \
             {p99:.2} ms; the worst p99 {worst:.1} ms"
        );
        text
    }

    pub fn csv(&self) -> String {
        let mut text = "seconds,open,server_bytes,old_server_bytes,load_bytes,server_descriptors,\
                        load_descriptors,connected,answered,p50_ms,p99_ms,faults\n"
            .to_string();
        for it in self.taken.borrow().iter() {
            let delay = it.delay.map_or_else(|| ",".into(), |(p50, p99)| format!("{p50},{p99}"));
            let _ = writeln!(
                text,
                "{:.2},{},{},{},{},{},{},{},{},{delay},{}",
                it.seconds,
                it.open,
                it.server,
                it.old_server,
                it.load,
                it.server_descriptors,
                it.load_descriptors,
                it.connected,
                it.answered,
                it.faults
            );
        }
        text
    }
}

type Resident = fn(&Sample) -> u64;

const RESIDENT: [(&str, Resident); 2] = [("server", |it| it.server), ("load", |it| it.load)];
