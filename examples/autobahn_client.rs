//! The client that the Autobahn test suite tests: runs every case of the suite's server.
//!
//! `cargo run --release --example autobahn_client -- URL [--blocking] [--agent NAME] [--deflate …]`
//!
//! Exits with 0 when all cases have run, whatever came of them: that is for the suite to say.

mod cli;

use std::process::ExitCode;

use sansws::handshake::client::Request;
use sansws::{Config, Error, Message};

struct Options {
    url: String,
    blocking: bool,
    agent: String,
    compression: cli::Compression,
}

fn main() -> ExitCode {
    let result = options().and_then(|options| {
        let run = if options.blocking { run_blocking } else { run_tokio };
        run(&options).map_err(|error| error.to_string())
    });
    match result {
        Ok(count) => {
            println!("ran {count} cases");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("autobahn_client: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut url = None;
    let mut blocking = false;
    let mut agent = None;
    let mut compression = cli::Compression::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--blocking" => blocking = true,
            "--agent" => agent = args.next(),
            option if option.starts_with('-') => {
                if !compression.read(option, &mut args)? {
                    return Err(format!("unknown option {option}\n{}", usage()));
                }
            }
            _ => url = Some(arg),
        }
    }
    let default_agent = if blocking { "sansws-client-blocking" } else { "sansws-client-tokio" };
    Ok(Options {
        url: url.ok_or_else(usage)?,
        blocking,
        agent: agent.unwrap_or_else(|| default_agent.to_string()),
        compression,
    })
}

fn usage() -> String {
    let compression = cli::Compression::USAGE;
    format!("usage: autobahn_client URL [--blocking] [--agent NAME] {compression}")
}

impl Options {
    fn case_count(&self) -> String {
        format!("{}/getCaseCount", self.url)
    }

    fn case(&self, number: u32) -> String {
        format!("{}/runCase?case={number}&agent={}", self.url, self.agent)
    }

    fn update_reports(&self) -> String {
        format!("{}/updateReports?agent={}", self.url, self.agent)
    }
}

/// The number in the answer to `getCaseCount`.
fn parse_count(answer: Option<Message>) -> Result<u32, Error> {
    let count = answer.as_ref().and_then(Message::as_text).and_then(|text| text.parse().ok());
    count
        .ok_or_else(|| std::io::Error::other("the suite does not say how many cases it has").into())
}

fn run_blocking(options: &Options) -> Result<u32, Error> {
    fn echo(url: &str, config: &Config) -> Result<(), Error> {
        let mut ws = sansws::blocking::connect_with(&Request::new(url)?, config)?;
        while let Some(message) = ws.recv()? {
            ws.feed(message)?;
        }
        Ok(())
    }

    let config = options.compression.apply(Config::new());
    let mut ws = sansws::blocking::connect(&options.case_count())?;
    let count = parse_count(ws.recv()?)?;
    let _ = ws.recv(); // the Close
    for number in 1..=count {
        let _ = echo(&options.case(number), &config); // most cases end in an error
    }
    echo(&options.update_reports(), &config)?;
    Ok(count)
}

fn run_tokio(options: &Options) -> Result<u32, Error> {
    async fn echo(url: &str, config: &Config) -> Result<(), Error> {
        let mut ws = sansws::tokio::connect_with(&Request::new(url)?, config).await?;
        while let Some(message) = ws.recv().await? {
            ws.feed(message)?;
        }
        Ok(())
    }

    let config = options.compression.apply(Config::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ws = sansws::tokio::connect(&options.case_count()).await?;
        let count = parse_count(ws.recv().await?)?;
        let _ = ws.recv().await; // the Close
        for number in 1..=count {
            let _ = echo(&options.case(number), &config).await; // most cases end in an error
        }
        echo(&options.update_reports(), &config).await?;
        Ok(count)
    })
}
