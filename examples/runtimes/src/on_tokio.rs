//! Both ends on the tokio adapter.

use sansws::CloseCode;
use sansws::handshake::{client::Request, server::Accept};
use sansws::tokio::{WebSocket, client, read_request};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Failure, config, messages, refusal, sum_up};

/// Serves one connection to its end.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> Result<(), sansws::Error> {
    let incoming = read_request(io, &config()).await?;
    if let Some(reject) = refusal(incoming.request()) {
        return incoming.reject(&reject).await;
    }
    echo(incoming.accept(&Accept::default()).await?).await
}

/// Sends every message back. What was fed leaves with the next `recv`.
pub async fn echo<S: AsyncRead + AsyncWrite + Unpin>(
    mut ws: WebSocket<S>,
) -> Result<(), sansws::Error> {
    while let Some(message) = ws.recv().await? {
        ws.feed(message)?;
    }
    Ok(())
}

/// Asks a server for an echo.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(io: S, url: &str) -> Result<(), Failure> {
    let mut ws = client(io, &Request::new(url)?, &config()).await?;
    let mut came_back = 0;
    for message in messages() {
        ws.send(&message).await?;
        match ws.recv().await? {
            Some(echo) => came_back += usize::from(echo == message),
            None => break, // the server has closed
        }
    }
    ws.close(CloseCode::NORMAL, "").await?;
    sum_up(came_back, ws.close_info());
    Ok(())
}
