//! A server that is restarted without a client that is refused: by systemd, which keeps the socket,
//! or one process after the other on the same port.
//!
//! `cargo run --example service [-- ADDR]`. Start it a second time, then end the first with
//! Ctrl-C: new clients come to the second, those of the first are told to come back (1012), and do.
//!
//! For systemd, two files and `systemctl restart service`:
//!
//! ```text
//! # service.socket                  # service.service
//! [Socket]                          [Service]
//! ListenStream=8181                 ExecStart=/usr/local/bin/service
//! Backlog=4096                      TimeoutStopSec=30
//! [Install]
//! WantedBy=sockets.target
//! ```
//!
//! The socket is open as long as `service.socket` is active: who connects while one process has
//! ended and the next has not begun waits in its queue. By hand: `systemd-socket-activate -l
//! 127.0.0.1:8181 target/debug/examples/service`.

use std::error::Error;
use std::time::Duration;

use listenfd::ListenFd;
use sansws::CloseCode;
use sansws::server::{Server, ServerHandle, handler_fn};
use tokio::net::TcpListener;

mod cli;
#[path = "cli/stop.rs"]
mod stop;

/// How long clients may take to close: less than systemd waits.
const FAREWELL: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = cli::Options::parse("service", "127.0.0.1:8181");
    let server = match ListenFd::from_env().take_tcp_listener(0)? {
        Some(listener) => {
            listener.set_nonblocking(true)?;
            Server::from_listener(TcpListener::from_std(listener)?)
        }
        None => Server::bind_shared(&options.addr).await?,
    };
    let server = server.route(
        "/",
        handler_fn()
            .on_open(|client| client.send(format!("this is process {}", std::process::id())))
            .on_message(|client, message| client.send(message)),
    );
    tokio::spawn(end(server.handle()));
    cli::announce(server.local_addr()?);
    server.run().await?;
    Ok(())
}

/// Ends the server when it is told to: nobody who is on the way is lost, and all others are asked
/// to come back.
async fn end(handle: ServerHandle) {
    if stop::until_told_to_stop().await.is_ok() {
        handle.stop_listening().await;
        let _ = handle.shutdown(CloseCode::SERVICE_RESTART, "", FAREWELL).await;
    }
}
