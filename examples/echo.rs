//! A WebSocket server that sends every message back, on tokio.
//!
//! `cargo run --release --example echo -- [ADDR] [--max-message-len N] [--threads N]
//! [--deflate [--no-context-takeover] [--window-bits N]]`

mod cli;

use sansws::{Config, Error};
use tokio::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    let options = cli::Options::parse("echo", "127.0.0.1:9001");
    let mut builder = if options.threads > 1 {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder.worker_threads(options.threads).enable_all().build()?.block_on(serve(options))
}

async fn serve(options: cli::Options) -> std::io::Result<()> {
    let config = options.config();
    let listener = TcpListener::bind(&options.addr).await?;
    cli::announce(listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(async move {
                    // a peer that breaks off or breaks a rule is none of the server's business
                    let _ = echo(stream, &config).await;
                });
            }
            Err(error) => {
                // out of descriptors, most likely: they come back when connections close
                eprintln!("accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn echo(stream: TcpStream, config: &Config) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut ws = sansws::tokio::accept_with(stream, config).await?;
    while let Some((event, mut out)) = ws.next_event().await? {
        if let Some(message) = event.into_message_ref() {
            out.feed(message)?;
        }
    }
    Ok(())
}
