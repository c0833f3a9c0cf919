//! A client that connects and sends every message back until the connection closes.
//!
//! `cargo run --release --example echo_client -- URL [--blocking]`
//!
//! Exits with 0 after a clean close; otherwise with 1 and one line that says why.

use std::process::ExitCode;

use sansws::Error;

fn main() -> ExitCode {
    let mut url = None;
    let mut blocking = false;
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--blocking" => blocking = true,
            option if option.starts_with('-') => {
                eprintln!("echo_client: unknown option {option}");
                return ExitCode::FAILURE;
            }
            _ => url = Some(arg),
        }
    }
    let Some(url) = url else {
        eprintln!("usage: echo_client URL [--blocking]");
        return ExitCode::FAILURE;
    };
    let result = if blocking { echo_blocking(&url) } else { echo_tokio(&url) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn echo_blocking(url: &str) -> Result<(), Error> {
    let mut ws = sansws::blocking::connect(url)?;
    while let Some(message) = ws.recv()? {
        ws.feed(message)?;
    }
    Ok(())
}

fn echo_tokio(url: &str) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ws = sansws::tokio::connect(url).await?;
        while let Some(message) = ws.recv().await? {
            ws.feed(message)?;
        }
        Ok(())
    })
}
