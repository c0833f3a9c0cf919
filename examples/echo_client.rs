//! A client that connects and sends every message back until the connection closes.
//!
//! `cargo run --release --example echo_client -- URL [--blocking]
//! [--deflate [--no-context-takeover] [--window-bits N]]`
//!
//! Exits with 0 after a clean close; otherwise with 1 and one line that says why.

mod cli;

use std::process::ExitCode;

use sansws::handshake::client::Request;
use sansws::{Config, Error};

fn main() -> ExitCode {
    let mut url = None;
    let mut blocking = false;
    let mut compression = cli::Compression::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--blocking" => blocking = true,
            option if option.starts_with('-') => {
                let problem = match compression.read(option, &mut args) {
                    Ok(true) => continue,
                    Ok(false) => format!("unknown option {option}"),
                    Err(problem) => problem,
                };
                eprintln!("echo_client: {problem}");
                return ExitCode::FAILURE;
            }
            _ => url = Some(arg),
        }
    }
    let Some(url) = url else {
        eprintln!("usage: echo_client URL [--blocking] {}", cli::Compression::USAGE);
        return ExitCode::FAILURE;
    };
    let config = compression.apply(Config::new());
    let echo = if blocking { echo_blocking } else { echo_tokio };
    let result =
        Request::new(&url).map_err(Error::from).and_then(|request| echo(&request, &config));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn echo_blocking(request: &Request, config: &Config) -> Result<(), Error> {
    let mut ws = sansws::blocking::connect_with(request, config)?;
    while let Some(message) = ws.recv()? {
        ws.feed(message)?;
    }
    Ok(())
}

fn echo_tokio(request: &Request, config: &Config) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ws = sansws::tokio::connect_with(request, config).await?;
        while let Some(message) = ws.recv().await? {
            ws.feed(message)?;
        }
        Ok(())
    })
}
