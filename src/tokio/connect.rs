use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::task::Poll;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep_until, timeout};
#[cfg(feature = "rustls-no-provider")]
use tokio_rustls::TlsConnector;

use super::opening::Opening;
use super::pooled::PooledRx;
use super::proxy::through;
use super::{ClientStream, WebSocket, tune, with_defaults};
#[cfg(feature = "rustls-no-provider")]
use crate::client::tls;
use crate::client::{Connector, Way};
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::entropy::random;
use crate::error::Error;
use crate::handshake::client::{Accepted, Request};
use crate::opening::Stop;
use crate::pool::PooledTx;
use crate::race::{Next, Race};

/// Connects to a `ws://` or `wss://` URL.
///
/// [Tunes](tune) the socket. `wss://` needs the feature `rustls`; what is trusted there is told by
/// `client::Tls`. With more to set than a request and a configuration, take a [`Connector`].
///
/// A host with several addresses is connected to at the one that answers first (RFC 8305): they are
/// tried in the order that the system prefers, IPv6 and IPv4 by turns, the next one 250 ms after
/// the one before or as soon as that has failed, at most eight at the same time. All of that
/// happens in this future.
///
/// # Errors
///
/// [`Error::Url`], [`Error::Tls`], [`Error::Io`] (the last one, if several addresses have failed,
/// with all of them in its text),
/// [`Error::Handshake`], [`Error::Refused`] with the response of a server that answered anything
/// but 101, [`Error::HandshakeTimeout`], which is for connecting, TLS and the handshake together.
///
/// # Cancel safety
///
/// Dropping the future drops the connection.
pub async fn connect(url: &str) -> Result<WebSocket<ClientStream>, Error> {
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
) -> Result<WebSocket<ClientStream>, Error> {
    connect_with_response(request, config).await.map(|(ws, _)| ws)
}

/// [`connect_with`], with the response of the server: its headers may hold a session or a cookie.
///
/// # Errors
///
/// As [`connect_with`].
///
/// # Cancel safety
///
/// Dropping the future drops the connection.
pub async fn connect_with_response(
    request: &Request,
    config: &Config,
) -> Result<(WebSocket<ClientStream>, Accepted), Error> {
    connect_by(request, config, &Way::default()).await
}

impl Connector {
    /// Connects, for use with tokio: see [`connect`].
    ///
    /// # Errors
    ///
    /// As [`connect_with`], [`Error::Proxy`] and [`Error::Redirect`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the connection.
    pub async fn connect(&self) -> Result<WebSocket<ClientStream>, Error> {
        self.connect_with_response().await.map(|(ws, _)| ws)
    }

    /// [`connect`](Self::connect), with the response of the server: its headers may hold a session
    /// or a cookie.
    ///
    /// # Errors
    ///
    /// As [`connect_with`], [`Error::Proxy`] and [`Error::Redirect`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the connection.
    pub async fn connect_with_response(
        &self,
    ) -> Result<(WebSocket<ClientStream>, Accepted), Error> {
        connect_by(&self.request, &self.config, &self.way).await
    }

    /// Connects without the opening handshake: TCP, through the proxy if there is one, and TLS if
    /// the URL says so. What is said on the stream is the caller's affair; [`client`] opens a
    /// WebSocket on it.
    ///
    /// # Errors
    ///
    /// As [`connect_with`], without those of the handshake, and [`Error::Proxy`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the connection.
    pub async fn connect_stream(&self) -> Result<ClientStream, Error> {
        self.check()?;
        let until = Instant::now().checked_add(self.config.handshake_timeout);
        let connecting = connect_stream(&self.request, &self.config, &self.way, until);
        let connected = timeout(self.config.handshake_timeout, connecting).await;
        connected
            .unwrap_or(Err(Error::HandshakeTimeout))
            .map_err(|error| Way::explain(error, &self.request))
    }
}

async fn connect_by(
    request: &Request,
    config: &Config,
    way: &Way,
) -> Result<(WebSocket<ClientStream>, Accepted), Error> {
    way.check(request, config)?;
    // before the one around all, so that what a proxy has said by then counts
    let until = Instant::now().checked_add(config.handshake_timeout);
    let connecting = async {
        let mut request = Cow::Borrowed(request);
        let mut followed = 0;
        loop {
            match connect_once(&request, config, way, until).await {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    request = Cow::Owned(way.follow(&request, error, &mut followed)?);
                    way.check(&request, config)?;
                }
            }
        }
    };
    // In a box, because the task would keep the room that the handshake needs for its whole life.
    let connecting = Box::pin(timeout(config.handshake_timeout, connecting));
    connecting.await.unwrap_or(Err(Error::HandshakeTimeout))
}

async fn connect_once(
    request: &Request,
    config: &Config,
    way: &Way,
    until: Option<Instant>,
) -> Result<(WebSocket<ClientStream>, Accepted), Error> {
    let connecting = async {
        let stream = connect_stream(request, config, way, until).await?;
        open(stream, request, config).await
    };
    connecting.await.map_err(|error| Way::explain(error, request))
}

async fn connect_stream(
    request: &Request,
    config: &Config,
    way: &Way,
    until: Option<Instant>,
) -> Result<ClientStream, Error> {
    let tcp = match way.proxy(request) {
        None => connect_to_host(request.host(), request.port()).await?,
        Some(proxy) => through(proxy, request, config, until).await?,
    };
    secure(tcp, request, way).await
}

pub(super) async fn connect_to_host(host: &str, port: u16) -> Result<TcpStream, Error> {
    let tcp = connect_to(lookup_host((host, port)).await?).await?;
    tune(&tcp)?;
    Ok(tcp)
}

/// Speaks TLS if the URL says so.
#[cfg(feature = "rustls-no-provider")]
async fn secure(tcp: TcpStream, request: &Request, way: &Way) -> Result<ClientStream, Error> {
    if !request.is_secure() {
        return Ok(tcp.into());
    }
    let connector = TlsConnector::from(tls::config(way.tls.as_ref())?);
    let stream = connector.connect(tls::server_name(request.host())?, tcp).await?;
    Ok(ClientStream::secure(stream))
}

/// Leaves it at TCP.
#[cfg(not(feature = "rustls-no-provider"))]
async fn secure(tcp: TcpStream, _: &Request, _: &Way) -> Result<ClientStream, Error> {
    Ok(tcp.into()) // `Way::check` has refused `wss://`
}

/// Opens a WebSocket on a stream that is connected already, such as a Unix socket.
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
    client_with_response(io, request, config).await.map(|(ws, _)| ws)
}

/// [`client`], with the response of the server: its headers may hold a session or a cookie.
///
/// # Errors
///
/// As [`connect_with`].
///
/// # Cancel safety
///
/// Dropping the future drops the stream.
pub async fn client_with_response<S>(
    io: S,
    request: &Request,
    config: &Config,
) -> Result<(WebSocket<S>, Accepted), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Box::pin(open(io, request, config)).await
}

async fn open<S>(
    io: S,
    request: &Request,
    config: &Config,
) -> Result<(WebSocket<S>, Accepted), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    config.validate()?;
    let config = with_defaults(config);
    let mut tx = PooledTx::default();
    let endpoint = Endpoint::client(request, random()?, &config, tx.fetch())?;
    let mut opening = Opening::new(io, endpoint, PooledRx::empty(config.read_ahead), tx);
    let accepted = match poll_fn(|cx| opening.poll(cx, || ())).await {
        Stop::Response(accepted) => accepted,
        Stop::Over(Err(error)) => return Err(error),
        // not the stops of a client
        Stop::Over(Ok(())) | Stop::Request(_) => return Err(Error::Disconnected(None)),
    };
    let ws = opening.into_socket().ok_or(Error::Disconnected(None))?;
    Ok((ws.with_subprotocol(accepted.subprotocol()), accepted))
}

/// Connects to the address that answers first. Dropping the future drops all attempts.
async fn connect_to(addresses: impl IntoIterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut race = Race::new(addresses);
    if let Some(address) = race.only() {
        return TcpStream::connect(address).await;
    }
    let begin = Instant::now();
    let mut attempts: Vec<(SocketAddr, Attempt)> = Vec::new();
    let mut alarm = pin!(sleep_until(begin));
    poll_fn(|cx| {
        loop {
            let mut at = 0;
            while let Some((address, attempt)) = attempts.get_mut(at) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(error)) => {
                        race.failed(*address, error);
                        drop(attempts.swap_remove(at));
                    }
                    Poll::Pending => at += 1,
                }
            }
            match race.next(begin.elapsed()) {
                Next::Start(address) => {
                    attempts.push((address, Box::pin(TcpStream::connect(address))));
                }
                Next::Wait(Some(until)) => {
                    let until = begin + until;
                    if alarm.deadline() != until {
                        alarm.as_mut().reset(until);
                    }
                    if alarm.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Next::Wait(None) => return Poll::Pending,
                Next::Lost => {
                    let lost = core::mem::replace(&mut race, Race::new([]));
                    return Poll::Ready(Err(lost.into_error()));
                }
            }
        }
    })
    .await
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use core::time::Duration;
    use std::net::TcpListener;

    use super::*;
    use crate::race::black_hole::black_hole;

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(future)
    }

    #[test]
    fn an_address_that_does_not_answer_is_passed_by() {
        let hole = black_hole();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let start = std::time::Instant::now();
        let stream = run(connect_to([hole.address, address])).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(240) && took < Duration::from_secs(3), "{took:?}");
    }

    #[test]
    fn an_address_that_refuses_is_passed_by_at_once() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let stream = run(connect_to([closed, address])).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);

        let also = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = run(connect_to([closed, also])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!([closed, also].iter().all(|one| text.contains(&one.to_string())), "{text}");
    }

    /// Nothing goes on behind a future that was dropped.
    #[test]
    fn a_dropped_race_leaves_nothing_behind() {
        let hole = black_hole();
        run(async {
            let racing = connect_to([hole.address, hole.address_again()]);
            let late = timeout(Duration::from_millis(400), racing).await;
            assert!(late.is_err(), "{late:?}");
            assert_eq!(::tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
        });
    }
}
