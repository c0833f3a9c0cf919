//! A WebSocket server that sends every message back, on tokio.
//!
//! `cargo run --release --example echo -- [ADDR] [--max-message-len N] [--threads N]
//! [--deflate [--no-context-takeover] [--window-bits N]]`

mod cli;

use std::io::{self, ErrorKind};
use std::sync::Arc;

use sansws::{Config, Error};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How many connections may wait to be accepted: a crowd that comes back at the same moment. Linux
/// takes no more by default; `TcpListener::bind` has room for 128, and the others try again after a
/// second.
const BACKLOG: u32 = 4096;

fn main() -> io::Result<()> {
    let options = cli::Options::parse("echo", "127.0.0.1:9001");
    let mut builder = if options.threads > 1 {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder.worker_threads(options.threads).enable_all().build()?.block_on(serve(options))
}

async fn serve(options: cli::Options) -> io::Result<()> {
    let config = Arc::new(options.config()); // not a copy in each connection's task
    let (listener, is_tuned) = listen(&options.addr).await?;
    cli::announce(listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if !is_tuned {
                    let _ = sansws::tokio::tune(&stream); // it shows soon
                }
                // Its error is dropped: a peer that breaks off or breaks a rule is none of the
                // server's business.
                tokio::spawn(echo(stream, Arc::clone(&config)));
            }
            // gone before its turn came
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // out of descriptors, most likely: they come back when connections close
                eprintln!("accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

/// Returns a listener, and whether what it accepts is tuned.
async fn listen(addr: &str) -> io::Result<(TcpListener, bool)> {
    let addr = tokio::net::lookup_host(addr).await?.next();
    let addr = addr.ok_or_else(|| io::Error::other("the name has no address"))?;
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?; // as `TcpListener::bind` does: it may start again at once
    socket.bind(addr)?;
    let is_tuned = sansws::tokio::tune_listener(&socket)?;
    Ok((socket.listen(BACKLOG)?, is_tuned))
}

async fn echo(stream: TcpStream, config: Arc<Config>) -> Result<(), Error> {
    let mut ws = sansws::tokio::accept_with(stream, &config).await?;
    while let Some((event, mut out)) = ws.next_event().await? {
        if let Some(message) = event.into_message_ref() {
            out.feed(message)?;
        }
    }
    Ok(())
}
