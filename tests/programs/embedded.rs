//! The core in a game loop and on smol: each end against the other, and against the tokio adapter.

use core::time::Duration;
use std::process::Command;

use sansws::proto::MessageRef;
use sansws::{CloseCode, Message};
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

#[test]
fn an_echo_on_smol() {
    let server = Server::start("echo_smol", &[]);
    assert_eq!(run_client("echo_smol", &server), "3 of 3 came back");
}

#[test]
fn smol_asks_others() {
    for other in ["echo", "echo_blocking", "echo_mio"] {
        let server = Server::start(other, &[]);
        assert_eq!(run_client("echo_smol", &server), "3 of 3 came back", "{other}");
    }
}

#[tokio::test]
async fn others_ask_smol() {
    let server = Server::start("echo_smol", &[]);
    let mut ws = sansws::tokio::connect(&server.url("/")).await.unwrap();
    ws.send(MessageRef::ping(b"here?")).await.unwrap();
    for len in [0, 1, 125, 126, 65_536, 3_000_000] {
        let message = Message::from(vec![7; len]);
        ws.send(&message).await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), Some(message));
    }
    ws.close(CloseCode::NORMAL, "").await.unwrap();
    assert!(ws.close_info().unwrap().clean);
}
