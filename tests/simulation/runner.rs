//! Which seeds are run, and what is said of those that fail.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::forms::Form;
use crate::rng::mix;
use crate::scenario::Outcome;

/// Runs the seeds of a form, and panics with the list of those that fail.
pub fn run(form: &Form) {
    if variable("SIM_FORM").is_some_and(|name| name != form.name) {
        return;
    }
    let one = variable("SIM_SEED").map(number);
    let first = one.or_else(|| variable("SIM_FIRST").map(number)).unwrap_or(0);
    let seeds = variable("SIM_SEEDS").map(number);
    let count = if one.is_some() { 1 } else { seeds.unwrap_or(form.seeds) };
    let most_steps = variable("SIM_STEPS").map_or(u64::MAX, number);
    let start = Instant::now();
    let (mut steps, mut ran, mut failed) = (0, 0, Vec::new());
    for seed in first..first + count {
        let outcome = scenario(form, seed);
        steps += outcome.steps;
        ran += 1;
        if !outcome.faults.is_empty() {
            let line =
                format!("SIM_SEED={seed} SIM_FORM={} cargo test --test simulation", form.name);
            eprintln!("{line}\n    {}", outcome.faults.join("\n    "));
            failed.push(seed);
        }
        if steps >= most_steps || failed.len() >= MAX_FAILURES {
            break;
        }
    }
    let took = start.elapsed().as_secs_f64();
    println!("{}: {ran} seeds, {steps} steps, {} failed, {took:.1} s", form.name, failed.len());
    assert!(failed.is_empty(), "{} of {ran} seeds of {} fail: {failed:?}", failed.len(), form.name);
}

/// Runs one scenario in a thread of its own: the buffers that a thread keeps would carry something
/// over from one to the next.
pub fn scenario(form: &Form, seed: u64) -> Outcome {
    let run = form.run;
    let (done, result) = channel();
    // names differ so that no two forms get the same scenario
    let spread = mix(seed ^ form.name.bytes().fold(1, |sum, byte| mix(sum ^ u64::from(byte))));
    let thread = thread::Builder::new().name(format!("{} {seed}", form.name));
    let thread = thread.spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(spread)));
        let _ = done.send(outcome);
    });
    thread.expect("a thread");
    match result.recv_timeout(PATIENCE) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            failure(text.unwrap_or_else(|| "PANIC".to_owned()))
        }
        Err(RecvTimeoutError::Timeout) => failure("HANG: a task turns in circles".to_owned()),
        Err(RecvTimeoutError::Disconnected) => failure("PANIC".to_owned()),
    }
}

fn failure(text: String) -> Outcome {
    Outcome { faults: vec![text], ..Outcome::default() }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn number(text: String) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// Real time for one scenario, which as a rule takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(60);

/// More would not tell more.
const MAX_FAILURES: usize = 20;
