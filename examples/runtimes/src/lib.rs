//! What the programs of this crate have in common: the command line, and what they say. A program
//! itself is what its host needs, and nothing else.
//!
//! All servers echo at `/`, compressed if the client wants that, and have no other path. All
//! clients send three messages, one after the other, close when the last came back, and say how
//! that went.

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use sansws::deflate::Deflate;
use sansws::handshake::server::{Reject, Request};
use sansws::proto::CloseInfo;
use sansws::{Config, KeepAlive, Message};

pub mod on_blocking;
pub mod on_endpoint;
pub mod on_tokio;
pub mod tls;

pub type Failure = Box<dyn Error + Send + Sync>;

/// The command line: `[--client] [ADDR] [MORE…]`.
pub struct Arguments {
    pub is_client: bool,
    pub addr: String,
    pub more: Vec<String>,
}

/// Runs a program, and says in a line why it failed.
pub fn run(program: impl FnOnce(Arguments) -> Result<(), Failure>) -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    let is_client = words.next_if(|word| word == "--client").is_some();
    let addr = words.next().unwrap_or_else(|| "127.0.0.1:9001".into());
    match program(Arguments { is_client, addr, more: words.collect() }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Says how a connection failed, if it did: a server goes on.
pub fn report(result: Result<(), impl Display>) {
    if let Err(failure) = result {
        eprintln!("{failure}");
    }
}

/// The settings of all programs.
pub fn config() -> Config {
    Config::new().deflate(Deflate::new()).keep_alive(KeepAlive::Every(Duration::from_secs(20)))
}

/// Why a request is not for these servers.
pub fn refusal(request: &Request) -> Option<Reject<'static>> {
    // what is no WebSocket request at all gets its answer from `accept`
    (request.path() != "/").then(|| Reject::new(404).body("there is only /\n"))
}

/// What the clients say.
pub fn messages() -> [Message; 3] {
    [Message::from("Hello"), Message::from(vec![7; 1000]), Message::from("x".repeat(1 << 20))]
}

/// Says how a client fared.
pub fn sum_up(came_back: usize, close: Option<CloseInfo<'_>>) {
    let code = close.map_or(1006, |close| close.code);
    println!("{came_back} of {} came back, closed with {code}", messages().len());
}
