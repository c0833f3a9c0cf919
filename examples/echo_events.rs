//! An echo server on the event server.
//!
//! `cargo run --release --example echo_events -- [ADDR] [--max-message-len N]`

use sansws::server::{OriginPolicy, Server, ServerError, handler_fn};

#[path = "cli/mod.rs"]
mod cli;

fn main() -> Result<(), ServerError> {
    let options = cli::Options::parse("echo_events", "127.0.0.1:9001");
    let runtime = match options.threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        threads => {
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
        }
    };
    runtime?.block_on(serve(&options))
}

async fn serve(options: &cli::Options) -> Result<(), ServerError> {
    let echo = || handler_fn().on_message(|client, message| client.send(message));
    let server = Server::bind(&options.addr)
        .await?
        .route("/", echo())
        .route("/{*path}", echo())
        .origins(OriginPolicy::Any)
        .config(options.config());
    cli::announce(server.local_addr()?);
    server.run().await
}
