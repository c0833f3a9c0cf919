//! Ours with handlers that compute for a millisecond, which no server can help: what can be had is
//! that they do so in turn.

use std::io;

use sansws::server::{OriginPolicy, Server, handler_fn};

pub fn tokio() -> io::Result<()> {
    super::on_tokio(|stream| async {
        let mut ws = sansws::tokio::accept(stream).await.ok()?;
        while let Some((event, mut out)) = ws.next_event().await.ok()? {
            if let Some(message) = event.into_message_ref() {
                super::compute();
                out.feed(message).ok()?;
            }
        }
        Some(())
    })
}

pub fn events() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let echo = handler_fn().on_message(|client, message| {
            super::compute();
            client.send(message)
        });
        let server = Server::bind("127.0.0.1:0").await?.route("/", echo).origins(OriginPolicy::Any);
        super::announce(server.local_addr()?)?;
        server.run().await
    });
    served.map_err(io::Error::other)
}
