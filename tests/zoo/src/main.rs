//! Our side of the zoo, and the peers in Rust. `run.py` starts it.
//!
//! ```text
//! zoo serve              our servers, each on a port that it prints; what comes of each connection
//! zoo call URL           our client: connects once for each case
//! zoo peer NAME version | client URL… | server
//! ```
//!
//! A result is a line of four fields, with tabs between: which of our ends, the peer, the case,
//! and `ok` or what went wrong.

mod cases;
mod end;
mod peers;
mod serve;
mod tap;

use std::process::ExitCode;
use std::time::Duration;

use sansws::handshake::client::Request;
use sansws::{Error, tokio::client};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cases::{CASES, Takeover};
use crate::end::End;
use crate::tap::Tap;

/// What a connection may take, with a MiB in a slow language.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let result = match args[..] {
        ["serve"] => runtime.block_on(serve::run()),
        ["call", url] => runtime.block_on(call(url)),
        ["peer", name, ref rest @ ..] => peers::run(&runtime, name, rest),
        _ => Err("usage: zoo serve | call URL | peer NAME ARGUMENT…".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("zoo: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Every case with the server at `url`.
async fn call(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    for case in CASES {
        let result = timeout(PATIENCE, call_once(url, case)).await;
        report("client", "-", case, result.unwrap_or_else(|_| Err("nothing came".into())));
    }
    Ok(())
}

async fn call_once(url: &str, case: &str) -> Result<(), String> {
    let request = Request::new(&format!("{url}/{case}")).map_err(|error| error.to_string())?;
    let address = url.trim_start_matches("ws://");
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    sansws::tokio::tune(&stream).map_err(|error| error.to_string())?;
    let (stream, received) = Tap::new(stream);
    let config = Takeover::of(case).config();
    let opened: Result<_, Error> = client(stream, &request, &config).await;
    let ws = opened.map_err(|error| format!("the handshake: {error}"))?;
    cases::run(case, &mut End::socket(ws, received)).await
}

/// Prints what came of a connection.
fn report(end: &str, peer: &str, case: &str, result: Result<(), String>) {
    let said = result.err().unwrap_or_else(|| "ok".into()).replace(['\t', '\n'], " ");
    println!("{end}\t{peer}\t{case}\t{}", said.chars().take(300).collect::<String>());
}
