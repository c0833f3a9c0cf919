use alloc::boxed::Box;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accept::{read_some, write_all};
use super::lent::LentRx;
use super::{WebSocket, with_defaults};
use crate::entropy::random;
use crate::error::Error;
use crate::handshake::client::{Handshake, Request, Response};
use crate::pool::LentTx;
use crate::proto::Config;

/// Connects to a `ws://` URL.
///
/// Sets `TCP_NODELAY`. For `wss://` connect a TLS stream and hand it to [`client`].
///
/// # Errors
///
/// [`Error::Url`], [`Error::Tls`] for `wss://`, [`Error::Io`],
/// [`Error::Handshake`], [`Error::Refused`] with the response of a server that answered anything
/// but 101, [`Error::HandshakeTimeout`].
///
/// # Cancel safety
///
/// Dropping the future drops the connection.
pub async fn connect(url: &str) -> Result<WebSocket<TcpStream>, Error> {
    connect_with(&Request::new(url)?, &Config::new()).await
}

/// [`connect`] with headers, subprotocols and settings.
///
/// # Errors
///
/// As [`connect`], and [`Error::Config`].
///
/// # Cancel safety
///
/// Dropping the future drops the connection.
pub async fn connect_with(
    request: &Request,
    config: &Config,
) -> Result<WebSocket<TcpStream>, Error> {
    config.check()?;
    if request.is_secure() {
        return Err(Error::Tls(crate::error::WSS_NEEDS_TLS));
    }
    let connecting = async {
        let stream = TcpStream::connect((request.host(), request.port())).await?;
        stream.set_nodelay(true)?;
        open(stream, request, config).await
    };
    // In a box, because the task would keep the room that the handshake needs for its whole life.
    let connecting = Box::pin(timeout(config.handshake_timeout, connecting));
    connecting.await.unwrap_or(Err(Error::HandshakeTimeout))
}

/// Opens a WebSocket on a stream that is connected already: TLS, a proxy, a Unix socket.
///
/// # Errors
///
/// As [`connect_with`].
///
/// # Cancel safety
///
/// Dropping the future drops the stream.
pub async fn client<S>(io: S, request: &Request, config: &Config) -> Result<WebSocket<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Box::pin(open(io, request, config)).await
}

async fn open<S>(mut io: S, request: &Request, config: &Config) -> Result<WebSocket<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = with_defaults(&config.check()?);
    let mut rx = LentRx::empty(config.read_ahead);
    let mut tx = LentTx::default();
    let mut handshake = Handshake::start(request, random()?, &config, tx.fetch())?;
    let exchange = async {
        write_all(&mut io, tx.fetch()).await?;
        loop {
            if let Some(response) = handshake.read_response(rx.fetch())? {
                return Ok(response);
            }
            if read_some(&mut io, &mut rx).await? == 0 {
                return match handshake.receive_eof()? {
                    Some(response) => Ok(response),
                    None => Err(Error::Disconnected(None)),
                };
            }
        }
    };
    let response = timeout(config.handshake_timeout, exchange)
        .await
        .unwrap_or(Err(Error::HandshakeTimeout))?;
    match response {
        Response::Accepted(accepted) => {
            let subprotocol = accepted.subprotocol().map(alloc::string::String::from);
            let conn = accepted.into_connection(random()?);
            let ws = WebSocket::new(io, conn, rx, tx);
            Ok(ws.with_subprotocol(subprotocol.as_deref()))
        }
        Response::Refused(refused) => Err(refused.into()),
    }
}
