//! `sansws`: WebSockets from a command line. `sansws --help` says what it can do.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // that is what it is for

mod args;
mod bench;
mod check;
mod connect;
mod escape;
mod histogram;
mod input;
mod screen;
mod serve;
mod tap;

use std::process::ExitCode;

use args::Command;

/// What a program that calls this one learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// The connection was closed in good order, with 1000 or without a code.
    Ok = 0,
    /// Something else on this machine: input that cannot be sent, output that cannot be written.
    Local = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// There was no connection.
    NotConnected = 3,
    /// The connection broke, or the server broke a rule of the protocol or took too long.
    Broken = 4,
    /// The server closed with another code.
    Closed = 5,
    /// A server that was checked breaks a MUST.
    Wrong,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Wrong => 1, // as programs do that compare
            exit => exit as u8,
        })
    }
}

fn main() -> ExitCode {
    let exit = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            println!("{}", args::USAGE.trim_end());
            Exit::Ok
        }
        Ok(Command::Version) => {
            println!("sansws {}", env!("CARGO_PKG_VERSION"));
            Exit::Ok
        }
        Ok(Command::Connect(options)) => connect::run(&options),
        Ok(Command::Serve(options)) => serve::run(&options),
        Ok(Command::Bench(options)) => bench::run(&options),
        Ok(Command::Check(options)) => check::run(&options),
        Err(problem) => {
            eprintln!("sansws: {problem}\nsansws --help says more");
            Exit::Usage
        }
    };
    exit.into()
}
