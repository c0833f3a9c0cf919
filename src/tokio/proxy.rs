//! The way through a proxy.

use alloc::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connect::connect_to_host;
use crate::buf::{RecvBuffer, SendBuffer};
use crate::client::{Server, Tunnel};
use crate::config::Config;
use crate::error::Error;
use crate::handshake::client::Request;

/// Connects to a proxy, and by it to the server of a request.
pub(super) async fn through(
    proxy: &Arc<Server>,
    request: &Request,
    config: &Config,
    until: Option<Instant>,
) -> Result<TcpStream, Error> {
    let connected = connect_to_host(&proxy.host, proxy.port).await;
    let mut tcp = connected.map_err(|error| proxy.unreachable(error))?;
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut tunnel = Tunnel::start(proxy, request, config, &mut tx)?;
    loop {
        let exchange = exchange(&mut tcp, &mut tunnel, &mut rx, &mut tx);
        let open = match until {
            Some(until) => timeout_at(until, exchange).await,
            None => Ok(exchange.await),
        };
        match open {
            Ok(Ok(true)) => return Ok(tcp),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(tunnel.timed_out()),
        }
    }
}

/// Says what there is to say, and takes one piece of what the proxy says to that.
async fn exchange(
    tcp: &mut TcpStream,
    tunnel: &mut Tunnel,
    rx: &mut RecvBuffer,
    tx: &mut SendBuffer,
) -> Result<bool, Error> {
    let mut seen = [0; 512];
    if let Err(error) = tcp.write_all_buf(tx).await {
        return Err(tunnel.disconnected(Some(error)));
    }
    // Only looked at, and then taken as far as it is the proxy's: what follows is the server's, and
    // stays in the socket for whoever reads next.
    let n = match tcp.peek(&mut seen).await {
        Ok(0) => return Err(tunnel.disconnected(None)),
        Ok(n) => n,
        Err(error) => return Err(tunnel.disconnected(Some(error))),
    };
    rx.extend_from_slice(&seen[..n]);
    let open = tunnel.read(rx, tx)?;
    let taken = n - rx.unparsed().len();
    rx.clear();
    tcp.read_exact(&mut seen[..taken]).await?;
    Ok(open)
}
