//! The ways to use the crate.

mod blocking;
mod bytes;
mod core;
mod halves;
mod patience;
mod raw;
mod server;
mod sink;
mod unsplit;

use crate::rng::Rng;
use crate::runner;
use crate::scenario::{Conversation, Outcome, Running, User, Wishes, in_virtual_time};

/// A way to use the crate, under a name.
pub struct Form {
    pub name: &'static str,
    /// Runs the scenario of a seed.
    pub run: fn(u64) -> Outcome,
    /// How many of them an ordinary test run takes.
    pub seeds: u64,
}

macro_rules! forms {
    ($($name:ident: $run:path, $seeds:literal;)*) => {
        /// All of them.
        pub const ALL: &[Form] = &[
            $(Form { name: stringify!($name), run: $run, seeds: $seeds },)*
        ];

        $(
            #[test]
            fn $name() {
                let form = ALL.iter().find(|form| form.name == stringify!($name));
                runner::run(form.expect("it is in the list"));
            }
        )*
    };
}

forms! {
    unsplit: unsplit::run, 60;
    sink: sink::run, 60;
    halves: halves::run, 60;
    bytes: bytes::run, 60;
    server: server::run, 60;
    patience: patience::run, 60;
    blocking: blocking::run, 60;
    core: core::run, 60;
}

/// The same seed is the same scenario, step for step.
///
/// The blocking adapter also looks at the clock of the machine, to learn whether a stream waits: a
/// busy one may cost it a step, so that two runs of some are the same.
#[test]
fn a_seed_is_a_scenario() {
    for form in ALL {
        let most_runs = if form.name == "blocking" { 5 } else { 2 };
        for seed in 0..5 {
            let mut runs = vec![runner::scenario(form, seed)];
            while runs.len() < most_runs && !runs[1..].contains(&runs[0]) {
                runs.push(runner::scenario(form, seed));
                runs.rotate_right(1);
            }
            assert!(runs[1..].contains(&runs[0]), "{} {seed}: {runs:?}", form.name);
        }
    }
}

/// A conversation between the form and itself, or a peer that speaks in bytes.
pub fn converse(seed: u64, wishes: Wishes, form: fn(User) -> Running) -> Outcome {
    in_virtual_time(Rng::new(seed), |world, mut rng| {
        let conversation = Conversation::new(&world, &mut rng, wishes);
        let raw = conversation.users[0].deflate.is_none() && rng.chance(30);
        let forms = [form, if raw { raw::user } else { form }];
        conversation.run(world, forms)
    })
}

/// A conversation between the form and itself.
pub fn converse_alone(seed: u64, wishes: Wishes, form: fn(User) -> Running) -> Outcome {
    in_virtual_time(Rng::new(seed), |world, mut rng| {
        Conversation::new(&world, &mut rng, wishes).run(world, [form; 2])
    })
}
