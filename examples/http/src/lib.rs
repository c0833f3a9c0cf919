//! What the programs share: an echo, and a listener that says where it listens.

use sansws::Error;
use sansws::tokio::WebSocket;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

/// Sends every message back, until the other end closes.
pub async fn echo<S>(mut ws: WebSocket<S>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = ws.recv().await? {
        ws.feed(message)?;
    }
    Ok(())
}

/// Listens on the address that the first argument names, or on a free port of this machine.
pub async fn listen() -> std::io::Result<TcpListener> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    Ok(listener)
}
