//! The simulation: everything that can be done with a connection, over every network there is, in
//! virtual time and on one thread, with every decision made by a seed.
//!
//! A *form* is a way to use the crate: the unsplit socket, its halves, `Stream` and `Sink` in two
//! tasks, the event server. A *scenario* is a form and a seed. [`network`] is what the bytes pass
//! through, [`oracles`] says what must hold in every scenario, and [`scenario`] makes two users
//! talk.
//!
//! # Running it
//!
//! `cargo test --test simulation` runs a fixed set of seeds for each form. With variables it runs
//! others:
//!
//! | variable | means |
//! |---|---|
//! | `SIM_SEEDS=100000` | so many seeds for each form |
//! | `SIM_FIRST=5000` | beginning with this one |
//! | `SIM_STEPS=1000000` | no further than so many steps of each form |
//! | `SIM_FORM=sink` | this form only |
//! | `SIM_SEED=17` | this seed only |
//!
//! A scenario that fails prints the line that runs it again. The same seed does the same, step for
//! step: a test holds on to that.
//!
//! # Another form
//!
//! A file in `forms/` with a function that takes a seed and returns an
//! [`Outcome`](scenario::Outcome), and a line in [`forms::ALL`].
//! For a form with two ends and messages between them, write one user
//! (`async fn(User) -> Ending`) and let [`forms::converse`] do the rest: the other end is the
//! same form or another one, as the seed decides.
#![cfg(all(feature = "server", feature = "deflate"))]
#![allow(missing_docs)]

mod conditions;
mod end;
mod forms;
mod network;
mod oracles;
mod payload;
mod rng;
mod runner;
mod scenario;
mod turns;
