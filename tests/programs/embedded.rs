//! The core in a game loop: each end against the other.

use core::time::Duration;
use std::process::Command;

use sansws_test::process::{Process, Server, example};

/// They take a second at most, on a machine that does nothing else.
const RUN: Duration = Duration::from_secs(50);

fn run_client(name: &str, server: &Server) -> String {
    let mut command = Command::new(example(name));
    let addr = server.url("").replace("ws://", "");
    let finished = Process::spawn(command.arg("--client").arg(addr)).finish(RUN);
    assert!(finished.status.success(), "{finished:?}");
    finished.stdout.join("\n")
}

#[test]
fn a_game() {
    let server = Server::start("game_loop", &[]);
    let saw = run_client("game_loop", &server);
    let states: usize = saw.trim().split(' ').nth(1).unwrap().parse().unwrap();
    // one a frame, but for those that a busy machine leaves out
    assert!(states > 5, "{saw}");
}
