//! What the examples have in common: their command line and their first line of output.
#![allow(dead_code)] // no example needs all of it

use std::io::Write;
use std::net::SocketAddr;
use std::process::exit;

/// The command line of the echo servers.
pub struct Options {
    pub addr: String,
    pub max_message_len: Option<usize>,
    pub threads: usize,
}

impl Options {
    /// Reads the command line; on anything unknown prints how to use `name` and exits.
    pub fn parse(name: &str, default_addr: &str) -> Self {
        let mut options =
            Self { addr: default_addr.to_string(), max_message_len: None, threads: 1 };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--max-message-len" => options.max_message_len = Some(number(name, args.next())),
                "--threads" => options.threads = number(name, args.next()).max(1),
                addr if !addr.starts_with('-') => options.addr = addr.to_string(),
                unknown => usage(name, &format!("unknown option {unknown}")),
            }
        }
        options
    }

    /// The configuration that the options ask for.
    pub fn config(&self) -> sansws::Config {
        let config = sansws::Config::new();
        match self.max_message_len {
            Some(len) => config.max_message_len(len),
            None => config,
        }
    }
}

fn number(name: &str, arg: Option<String>) -> usize {
    match arg.as_deref().map(str::parse) {
        Some(Ok(number)) => number,
        _ => usage(name, "a number is missing or not a number"),
    }
}

fn usage(name: &str, problem: &str) -> ! {
    eprintln!("{name}: {problem}");
    eprintln!("usage: {name} [ADDR] [--max-message-len N] [--threads N]");
    exit(2);
}

/// Prints the line that says where the server is, at once, for whoever started it.
pub fn announce(addr: SocketAddr) {
    println!("listening on ws://{addr}");
    // nobody may be reading
    let _ = std::io::stdout().flush();
}
