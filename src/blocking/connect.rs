use std::io;
use std::net::{TcpStream, ToSocketAddrs};

use super::accept::Deadline;
use super::{Transport, WebSocket};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::entropy::random;
use crate::error::{Error, WSS_NEEDS_TLS};
use crate::handshake::client::{Handshake, Request, Response};
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
pub fn connect(url: &str) -> Result<WebSocket<TcpStream>, Error> {
    connect_with(&Request::new(url)?, &Config::new())
}

/// [`connect`] with headers, subprotocols and settings.
///
/// # Errors
///
/// As [`connect`], and [`Error::Config`].
pub fn connect_with(request: &Request, config: &Config) -> Result<WebSocket<TcpStream>, Error> {
    if request.is_secure() {
        return Err(Error::Tls(WSS_NEEDS_TLS));
    }
    let deadline = Deadline::after(config.check()?.handshake_timeout);
    let stream = connect_tcp(request, &deadline)?;
    stream.set_nodelay(true)?;
    open(stream, request, config, deadline)
}

/// Opens a WebSocket on a stream that is connected already: TLS, a proxy, a Unix socket.
///
/// # Errors
///
/// As [`connect_with`].
pub fn client<S: Transport>(
    io: S,
    request: &Request,
    config: &Config,
) -> Result<WebSocket<S>, Error> {
    let deadline = Deadline::after(config.check()?.handshake_timeout);
    open(io, request, config, deadline)
}

fn open<S: Transport>(
    mut io: S,
    request: &Request,
    config: &Config,
    mut deadline: Deadline,
) -> Result<WebSocket<S>, Error> {
    let mut rx = RecvBuffer::with_read_ahead(config.read_ahead);
    let mut tx = SendBuffer::new();
    let mut handshake = Handshake::start(request, random()?, config, &mut tx)?;
    let response = exchange(&mut io, &mut handshake, &mut rx, &mut tx, &mut deadline);
    let released = deadline.release(&io);
    match response? {
        Response::Accepted(accepted) => {
            released?;
            let subprotocol = accepted.subprotocol().map(alloc::string::String::from);
            let conn = accepted.into_connection(random()?);
            let ws = WebSocket::new(io, conn, rx, tx);
            Ok(ws.with_subprotocol(subprotocol.as_deref()))
        }
        Response::Refused(refused) => Err(refused.into()),
    }
}

fn exchange<S: Transport>(
    io: &mut S,
    handshake: &mut Handshake,
    rx: &mut RecvBuffer,
    tx: &mut SendBuffer,
    deadline: &mut Deadline,
) -> Result<Response, Error> {
    deadline.write_all(io, tx)?;
    loop {
        if let Some(response) = handshake.read_response(rx)? {
            return Ok(response);
        }
        if deadline.read(io, rx)? == 0 {
            return handshake.receive_eof()?.ok_or(Error::Disconnected(None));
        }
    }
}

/// Tries the addresses of the host one after the other.
fn connect_tcp(request: &Request, deadline: &Deadline) -> Result<TcpStream, Error> {
    let mut last = None;
    for address in (request.host(), request.port()).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, deadline.left()?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    let none = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    Err(last.unwrap_or_else(none).into())
}
