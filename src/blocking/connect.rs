use alloc::borrow::Cow;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use super::deadline::Deadline;
use super::opening::Opening;
use super::proxy::through;
#[cfg(feature = "rustls-no-provider")]
use super::tls_stream::TlsStream;
use super::{ClientStream, Transport, WebSocket};
use crate::buf::{RecvBuffer, SendBuffer};
#[cfg(feature = "rustls-no-provider")]
use crate::client::tls;
use crate::client::{Connector, Way};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::entropy::random;
use crate::error::Error;
use crate::handshake::client::{Accepted, Request};
use crate::opening::Stop;
use crate::race::{Next, Race};

/// Connects to a `ws://` or `wss://` URL.
///
/// Sets `TCP_NODELAY`. `wss://` needs the feature `rustls`; what is trusted there is told by
/// `client::Tls`. With more to set than a request and a configuration, take a [`Connector`].
///
/// A host with several addresses is connected to at the one that answers first (RFC 8305): they are
/// tried in the order that the system prefers, IPv6 and IPv4 by turns, the next one 250 ms after
/// the one before or as soon as that has failed, at most eight at the same time. Each attempt then
/// has a thread, which ends with it, after [`Config::handshake_timeout`] at the latest; with a
/// single address there is none. Looking up the name takes as long as the system lets it.
///
/// # Errors
///
/// [`Error::Url`], [`Error::Tls`], [`Error::Io`] (the last one, if several addresses have failed,
/// with all of them in its text),
/// [`Error::Handshake`], [`Error::Refused`] with the response of a server that answered anything
/// but 101, [`Error::HandshakeTimeout`], which is for connecting, TLS and the handshake together.
pub fn connect(url: &str) -> Result<WebSocket<ClientStream>, Error> {
    connect_with(&Request::new(url)?, &Config::new())
}

/// [`connect`] with headers, subprotocols and settings.
///
/// # Errors
///
/// As [`connect`], and [`Error::Config`].
pub fn connect_with(request: &Request, config: &Config) -> Result<WebSocket<ClientStream>, Error> {
    connect_with_response(request, config).map(|(ws, _)| ws)
}

/// [`connect_with`], with the response of the server: its headers may hold a session or a cookie.
///
/// # Errors
///
/// As [`connect_with`].
pub fn connect_with_response(
    request: &Request,
    config: &Config,
) -> Result<(WebSocket<ClientStream>, Accepted), Error> {
    connect_by(request, config, &Way::default())
}

impl Connector {
    /// Connects, for use without a runtime: see [`connect`].
    ///
    /// # Errors
    ///
    /// As [`connect_with`], [`Error::Proxy`] and [`Error::Redirect`].
    pub fn connect_blocking(&self) -> Result<WebSocket<ClientStream>, Error> {
        self.connect_blocking_with_response().map(|(ws, _)| ws)
    }

    /// [`connect_blocking`](Self::connect_blocking), with the response of the server: its headers
    /// may hold a session or a cookie.
    ///
    /// # Errors
    ///
    /// As [`connect_with`], [`Error::Proxy`] and [`Error::Redirect`].
    pub fn connect_blocking_with_response(
        &self,
    ) -> Result<(WebSocket<ClientStream>, Accepted), Error> {
        connect_by(&self.request, &self.config, &self.way)
    }

    /// Connects without the opening handshake: TCP, through the proxy if there is one, and TLS if
    /// the URL says so. What is said on the stream is the caller's affair; [`client`] opens a
    /// WebSocket on it.
    ///
    /// # Errors
    ///
    /// As [`connect_with`], without those of the handshake, and [`Error::Proxy`].
    pub fn connect_stream_blocking(&self) -> Result<ClientStream, Error> {
        self.check()?;
        let deadline = Deadline::after(self.config.handshake_timeout);
        connect_stream(&self.request, &self.config, &self.way, &deadline)
            .map_err(|error| Way::explain(error, &self.request))
    }
}

fn connect_by(
    request: &Request,
    config: &Config,
    way: &Way,
) -> Result<(WebSocket<ClientStream>, Accepted), Error> {
    way.check(request, config)?;
    let deadline = Deadline::after(config.handshake_timeout);
    let mut request = Cow::Borrowed(request);
    let mut followed = 0;
    loop {
        match connect_once(&request, config, way, deadline.again()) {
            Ok(connected) => return Ok(connected),
            Err(error) => {
                request = Cow::Owned(way.follow(&request, error, &mut followed)?);
                way.check(&request, config)?;
            }
        }
    }
}

fn connect_once(
    request: &Request,
    config: &Config,
    way: &Way,
    deadline: Deadline,
) -> Result<(WebSocket<ClientStream>, Accepted), Error> {
    connect_stream(request, config, way, &deadline)
        .and_then(|stream| open(stream, request, config, deadline))
        .map_err(|error| Way::explain(error, request))
}

fn connect_stream(
    request: &Request,
    config: &Config,
    way: &Way,
    deadline: &Deadline,
) -> Result<ClientStream, Error> {
    let tcp = match way.proxy(request) {
        None => connect_to_host(request.host(), request.port(), deadline)?,
        Some(proxy) => through(proxy, request, config, deadline)?,
    };
    secure(tcp, request, way, deadline)
}

pub(super) fn connect_to_host(
    host: &str,
    port: u16,
    deadline: &Deadline,
) -> Result<TcpStream, Error> {
    let tcp = connect_to((host, port).to_socket_addrs()?, deadline)?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Speaks TLS if the URL says so.
#[cfg(feature = "rustls-no-provider")]
fn secure(
    tcp: TcpStream,
    request: &Request,
    way: &Way,
    deadline: &Deadline,
) -> Result<ClientStream, Error> {
    if !request.is_secure() {
        return Ok(tcp.into());
    }
    let name = tls::server_name(request.host())?;
    let state = rustls::ClientConnection::new(tls::config(way.tls.as_ref())?, name);
    let state = state.map_err(io::Error::other)?;
    Ok(TlsStream::shake_hands(tcp, state.into(), deadline)?.into())
}

/// Leaves it at TCP.
#[cfg(not(feature = "rustls-no-provider"))]
fn secure(tcp: TcpStream, _: &Request, _: &Way, _: &Deadline) -> Result<ClientStream, Error> {
    Ok(tcp.into()) // `Way::check` has refused `wss://`
}

/// Opens a WebSocket on a stream that is connected already, such as a Unix socket.
///
/// # Errors
///
/// As [`connect_with`].
pub fn client<S: Transport>(
    io: S,
    request: &Request,
    config: &Config,
) -> Result<WebSocket<S>, Error> {
    client_with_response(io, request, config).map(|(ws, _)| ws)
}

/// [`client`], with the response of the server: its headers may hold a session or a cookie.
///
/// # Errors
///
/// As [`connect_with`].
pub fn client_with_response<S: Transport>(
    io: S,
    request: &Request,
    config: &Config,
) -> Result<(WebSocket<S>, Accepted), Error> {
    config.validate()?;
    let deadline = Deadline::after(config.handshake_timeout);
    open(io, request, config, deadline)
}

fn open<S: Transport>(
    io: S,
    request: &Request,
    config: &Config,
    deadline: Deadline,
) -> Result<(WebSocket<S>, Accepted), Error> {
    let rx = RecvBuffer::with_read_ahead(config.read_ahead);
    let mut tx = SendBuffer::new();
    let endpoint = Endpoint::client(request, random()?, config, &mut tx)?;
    let mut opening = Opening::new(io, endpoint, rx, tx, deadline);
    let accepted = match opening.run()? {
        Stop::Response(accepted) => accepted,
        Stop::Over(Err(error)) => return Err(error),
        // not the stops of a client
        Stop::Over(Ok(())) | Stop::Request(_) => return Err(Error::Disconnected(None)),
    };
    let Opening { io, endpoint, rx, tx, .. } = opening;
    let connection = endpoint.into_connection().ok_or(Error::Disconnected(None))?;
    let ws = WebSocket::new(io, connection, rx, tx).with_subprotocol(accepted.subprotocol());
    Ok((ws, accepted))
}

/// Connects to the address that answers first.
fn connect_to(
    addresses: impl IntoIterator<Item = SocketAddr>,
    deadline: &Deadline,
) -> Result<TcpStream, Error> {
    let mut race = Race::new(addresses);
    if let Some(address) = race.only() {
        let connected = TcpStream::connect_timeout(&address, deadline.left()?);
        return connected.map_err(|error| match deadline.left() {
            Ok(_) => error.into(),
            Err(late) => late,
        });
    }
    let begin = Instant::now();
    let (sender, ended) = mpsc::channel();
    loop {
        let left = deadline.left()?;
        let wait = match race.next(begin.elapsed()) {
            Next::Start(address) => {
                attempt(address, left, &sender);
                continue;
            }
            Next::Wait(until) => {
                until.map_or(left, |until| left.min(until.saturating_sub(begin.elapsed())))
            }
            Next::Lost => return Err(race.into_error().into()),
        };
        match ended.recv_timeout(wait) {
            Ok((_, Ok(stream))) => return Ok(stream),
            Ok((address, Err(error))) => race.failed(address, error),
            Err(_) => {} // it is time for the next one, or for the end
        }
    }
}

type Attempt = (SocketAddr, io::Result<TcpStream>);

/// Connects in a thread: `std` has no other way to have several attempts under way. It ends with
/// its attempt, in `left` at the latest. A stream that nobody waits for any more is closed at once.
fn attempt(address: SocketAddr, left: Duration, ended: &mpsc::Sender<Attempt>) {
    let result = ended.clone();
    let connect = move || {
        let stream = TcpStream::connect_timeout(&address, left);
        let _ = result.send((address, stream));
    };
    let thread = thread::Builder::new().name("sansws connect".into()).stack_size(STACK);
    if let Err(error) = thread.spawn(connect) {
        let _ = ended.send((address, Err(error)));
    }
}

/// Enough for one system call, in bytes.
const STACK: usize = 64 * 1024;

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use super::*;
    use alloc::string::ToString;

    use crate::race::black_hole::black_hole;

    fn deadline(ms: u64) -> Deadline {
        Deadline::after(Duration::from_millis(ms))
    }

    #[test]
    fn an_address_that_does_not_answer_is_passed_by() {
        let hole = black_hole();
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let start = Instant::now();
        let stream = connect_to([hole.address, address], &deadline(10_000)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(240) && took < Duration::from_secs(3), "{took:?}");
    }

    #[test]
    fn an_address_that_refuses_is_passed_by_at_once() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let stream = connect_to([closed, address], &deadline(10_000)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);

        let also = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let Err(Error::Io(error)) = connect_to([closed, also], &deadline(10_000)) else {
            panic!("connected to nobody")
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!([closed, also].iter().all(|one| text.contains(&one.to_string())), "{text}");
    }

    #[test]
    fn nobody_answers() {
        let hole = black_hole();
        for addresses in [&[hole.address][..], &[hole.address, hole.address_again()]] {
            let start = Instant::now();
            let error = connect_to(addresses.iter().copied(), &deadline(400)).unwrap_err();
            assert!(matches!(error, Error::HandshakeTimeout), "{error:?}");
            assert!(start.elapsed() < Duration::from_secs(3));
        }
    }
}
