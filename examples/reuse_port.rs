//! One runtime on one thread for each core, and a server on each of them, all on the same port: the
//! kernel spreads the connections (`SO_REUSEPORT`, on Linux), and no connection changes its core.
//! An engine in memory makes one hub of them: rooms and broadcasts span all cores.
//!
//! `cargo run --release --example reuse_port -- [ADDR] [THREADS]`
//!
//! `/echo` sends a message back, `/chat` sends it to everybody on all servers, `/` says how many
//! clients each of them has. Ctrl-C closes every connection with 1001 and ends the program.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sansws::CloseCode;
use sansws::server::backplane::Memory;
use sansws::server::{Hub, Response, Server, ServerHandle, handler_fn};
use tokio::runtime::{Builder, Runtime};

mod cli;

/// All servers together. The default limit would count for each of them.
const MAX_CONNECTIONS: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut addr = args.next().unwrap_or_else(|| "127.0.0.1:9001".into());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = args.next().and_then(|count| count.parse().ok()).unwrap_or(cores).max(1);

    let mut servers = Vec::new();
    for _ in 0..threads {
        let runtime = runtime()?;
        let server = runtime.block_on(Server::bind_shared(&addr))?;
        addr = server.local_addr()?.to_string(); // if the port was 0
        servers.push((runtime, server));
    }

    // what counts and ends is each server's own
    let hubs: Arc<[Hub]> = servers.iter().map(|(_, server)| server.hub()).collect();
    let handles: Vec<ServerHandle> = servers.iter().map(|(_, server)| server.handle()).collect();
    let engine = Memory::new();
    let running: Vec<_> = servers
        .into_iter()
        .map(|(runtime, server)| {
            let server = set_up(server, &hubs)
                .backplane(engine.clone())
                .max_connections(MAX_CONNECTIONS.div_ceil(threads));
            thread::spawn(move || runtime.block_on(server.run()))
        })
        .collect();
    cli::announce(addr.parse()?);

    runtime()?.block_on(until_interrupted(handles))?;
    for thread in running {
        thread.join().expect("no server panics")?;
    }
    Ok(())
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn set_up(server: Server, hubs: &Arc<[Hub]>) -> Server {
    let counted = Arc::clone(hubs);
    server
        .route("/echo", handler_fn().on_message(|client, message| client.send(message)))
        .route("/chat", handler_fn().on_message(|client, message| client.hub().all().send(message)))
        .fallback(move |_| {
            let lines = counted.iter().enumerate();
            let lines =
                lines.map(|(at, hub)| format!("server {at}: {} clients\n", hub.all().len()));
            Response::text(lines.collect::<String>())
        })
}

async fn until_interrupted(handles: Vec<ServerHandle>) -> io::Result<()> {
    tokio::signal::ctrl_c().await?;
    let ends: Vec<_> = handles
        .into_iter()
        .map(|handle| {
            tokio::spawn(async move {
                handle.shutdown(CloseCode::GOING_AWAY, "", Duration::from_secs(10)).await
            })
        })
        .collect();
    for end in ends {
        // there is no reason that could be too long
        let _ = end.await;
    }
    Ok(())
}
