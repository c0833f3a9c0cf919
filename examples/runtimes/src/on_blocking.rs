//! Both ends on the blocking adapter.

use sansws::CloseCode;
use sansws::blocking::{Transport, WebSocket, client, read_request};
use sansws::handshake::{client::Request, server::Accept};

use crate::{Failure, config, messages, refusal, sum_up};

/// Serves one connection to its end.
pub fn serve<S: Transport>(io: S) -> Result<(), sansws::Error> {
    let incoming = read_request(io, &config())?;
    if let Some(reject) = refusal(incoming.request()) {
        return incoming.reject(&reject);
    }
    echo(incoming.accept(&Accept::default())?)
}

/// Sends every message back. What was fed leaves with the next `recv`.
pub fn echo<S: Transport>(mut ws: WebSocket<S>) -> Result<(), sansws::Error> {
    while let Some(message) = ws.recv()? {
        ws.feed(message)?;
    }
    Ok(())
}

/// Asks a server for an echo.
pub fn ask<S: Transport>(io: S, url: &str) -> Result<(), Failure> {
    let mut ws = client(io, &Request::new(url)?, &config())?;
    let mut came_back = 0;
    for message in messages() {
        ws.send(&message)?;
        match ws.recv()? {
            Some(echo) => came_back += usize::from(echo == message),
            None => break, // the server has closed
        }
    }
    ws.close(CloseCode::NORMAL, "")?;
    sum_up(came_back, ws.close_info());
    Ok(())
}
