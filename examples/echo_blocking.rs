//! A WebSocket server that sends every message back, on `std::net` with a thread a connection.
//!
//! `cargo run --release --example echo_blocking -- [ADDR] [--max-message-len N]
//! [--deflate [--no-context-takeover] [--window-bits N]]`
//!
//! `TcpListener::bind` lets 128 connections wait to be accepted. Where thousands may come at the
//! same moment, set up the socket with the crate `socket2` and a larger backlog.

mod cli;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sansws::{Config, Error};

fn main() -> std::io::Result<()> {
    let options = cli::Options::parse("echo_blocking", "127.0.0.1:9001");
    let config = options.config();
    let listener = TcpListener::bind(&options.addr)?;
    cli::announce(listener.local_addr()?);
    loop {
        let config = config.clone();
        let served = listener.accept().and_then(|(stream, _)| {
            // `thread::spawn` would panic where no thread can be had
            thread::Builder::new().stack_size(256 * 1024).spawn(move || {
                // a peer that breaks off or breaks a rule is none of the server's business
                let _ = echo(stream, &config);
            })
        });
        match served {
            Ok(_) => {}
            // gone before its turn came
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // out of descriptors or threads, most likely: they come back when connections close
                eprintln!("accept: {error}");
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

fn echo(stream: TcpStream, config: &Config) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut ws = sansws::blocking::accept_with(stream, config)?;
    while let Some((event, mut out)) = ws.next_event()? {
        if let Some(message) = event.into_message_ref() {
            out.feed(message)?;
        }
    }
    Ok(())
}
