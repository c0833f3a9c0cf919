//! The protocol layers in memory: bursts of frames decoded and encoded, without system calls.

mod io;
mod subjects;

use std::time::{Duration, Instant};

use crate::report::{Cell, Grid};
use crate::scenario::{KEY, Kind, frame};
use subjects::{SUBJECTS, Turn};

/// Bytes in a burst, about what a busy socket hands out at once and what stays in the first-level
/// cache; at least one message.
const BURST: usize = 16 * 1024;

const ROUNDS: usize = 9;
const SLICE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, PartialEq)]
pub enum Operation {
    Decode,
    Encode,
}

#[derive(Clone, Copy, PartialEq)]
pub enum End {
    Server,
    Client,
}

#[derive(Clone, Copy)]
pub struct Case {
    operation: Operation,
    end: End,
    kind: Kind,
    len: usize,
}

impl Case {
    fn payload(&self) -> Vec<u8> {
        self.kind.payload(self.len)
    }

    /// The frames to decode.
    fn burst(&self) -> Vec<u8> {
        let key = (self.end == End::Server).then_some(KEY);
        frame(self.kind.opcode(), &self.payload(), key).repeat(self.count())
    }

    /// Messages in a burst.
    fn count(&self) -> usize {
        (BURST / (self.len + 8)).max(1)
    }

    fn name(&self) -> String {
        let len = match self.len {
            len @ 0..1024 => format!("{len} B"),
            len @ 1024..0x10_0000 => format!("{} KiB", len >> 10),
            len => format!("{} MiB", len >> 20),
        };
        match self.kind {
            Kind::Binary => len,
            kind => format!("{} {len}", kind.name()),
        }
    }
}

/// One grid for decoding and one for encoding at each end.
pub fn measure(cpu: usize) -> Vec<Grid> {
    crate::sys::bind_thread(cpu);
    const LENS: [usize; 6] = [16, 125, 1 << 10, 16 << 10, 64 << 10, 1 << 20];
    let case = |operation, end, kind, len| Case { operation, end, kind, len };
    let mut decode: Vec<Case> =
        LENS.map(|len| case(Operation::Decode, End::Server, Kind::Binary, len)).into();
    for kind in [Kind::Ascii, Kind::Mixed] {
        decode.extend([1 << 10, 16 << 10].map(|l| case(Operation::Decode, End::Server, kind, l)));
    }
    let encode = |end| LENS.map(|len| case(Operation::Encode, end, Kind::Binary, len)).to_vec();
    [
        ("Decoding at the server, ns per message", decode),
        ("Encoding at the server, ns per message", encode(End::Server)),
        ("Encoding at the client, ns per message", encode(End::Client)),
    ]
    .into_iter()
    .map(|(title, cases)| grid(title, &cases))
    .collect()
}

fn grid(title: &str, cases: &[Case]) -> Grid {
    eprint!("{title} ");
    let columns: Vec<Vec<f64>> = cases.iter().map(column).collect();
    eprintln!();
    Grid {
        title: title.to_string(),
        columns: cases.iter().map(Case::name).collect(),
        rows: SUBJECTS
            .iter()
            .enumerate()
            .map(|(at, subject)| {
                let cells = columns.iter().map(|column| Cell::number(column[at])).collect();
                (subject.name.to_string(), cells)
            })
            .collect(),
    }
}

/// All subjects in turn; the median nanoseconds per message of each.
fn column(case: &Case) -> Vec<f64> {
    eprint!(".");
    let mut turns: Vec<Turn> = SUBJECTS.iter().map(|subject| (subject.build)(case)).collect();
    let mut figures = vec![Vec::new(); turns.len()];
    for turn in &mut turns {
        run(turn, case);
    }
    for _ in 0..ROUNDS {
        for (turn, figures) in turns.iter_mut().zip(&mut figures) {
            figures.push(run(turn, case));
        }
    }
    figures.iter().map(|figures| crate::report::median(figures)).collect()
}

/// Runs for one slice; nanoseconds per message.
fn run(turn: &mut Turn, case: &Case) -> f64 {
    let start = Instant::now();
    let mut turns = 0;
    while start.elapsed() < SLICE {
        for _ in 0..8 {
            turn();
        }
        turns += 8;
    }
    start.elapsed().as_nanos() as f64 / (turns * case.count()) as f64
}
