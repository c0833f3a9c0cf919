#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::mem;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::OnceLock;

use tokio::net::TcpListener;

use super::accept::acceptor::{Acceptor, Settings};
use super::accept::lifecycle::Lifecycle;
use super::accept::permits::{Capacity, Permits};
use super::client::client::Common;
use super::client::hub::Hub;
use super::client::limits::Limits;
use super::context::Context;
use super::error::ServerError;
use super::handle::ServerHandle;
use super::http::forwarded::{ProxyHeaders, Trust};
use super::http::handler::{HttpHandler, HttpRequest};
use super::http::hosts::Hosts;
use super::http::networks::Networks;
use super::http::origin::OriginPolicy;
use super::http::request::Request;
use super::http::response::Response;
use super::http::route::{PathError, Pattern, Table};
use super::listener::{BACKLOG, Listener};
use super::observe::event::LogEvent;
use super::route::Route;
use super::run::{RunSettings, Started};
#[cfg(feature = "rustls")]
use super::tls::tls::Tls;
use crate::config::Config;
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;

/// A WebSocket server that tells handlers what happens, and serves pages on the same port.
///
/// Set it up, then [`run`](Self::run) it: an invalid setting is an error of `run`.
///
/// ```no_run
/// use std::time::Duration;
///
/// use sansws::CloseCode;
/// use sansws::server::{Response, Server, ServerError, handler_fn};
///
/// # async fn run() -> Result<(), ServerError> {
/// let echo = handler_fn().on_message(|client, message| client.send(message));
/// let server = Server::bind("ws://127.0.0.1:8181")
///     .await?
///     .route("/echo", echo)
///     .page("/", Response::html("<h1>Hello</h1>"))
///     .max_message_len(64 * 1024);
/// let (hub, handle) = (server.hub(), server.handle()); // to send, and to end it, from elsewhere
/// tokio::spawn(async move {
///     hub.all().send("in a minute").ok();
///     tokio::time::sleep(Duration::from_secs(60)).await;
///     handle.shutdown(CloseCode::GOING_AWAY, "", Duration::from_secs(10)).await.ok();
/// });
/// server.run().await
/// # }
/// ```
#[must_use = "a server does nothing until it runs"]
pub struct Server {
    /// None in a server that is detached.
    pub(super) listeners: Vec<Listener>,
    #[cfg(feature = "rustls")]
    tls: Option<Tls>,
    /// Complete but for the settings of connections, which `run` puts together from three others,
    /// and the routes, which it puts together with these.
    settings: Settings,
    routes: Table<Route>,
    config: Config,
    max_message_len: Option<usize>,
    max_unsent: Option<usize>,
    #[cfg(feature = "deflate")]
    deflate: Option<Deflate>,
    pub(super) capacity: Capacity,
    pub(super) limits: Limits,
    max_lifetime: Option<Duration>,
    close_window: Option<Duration>,
    lifecycle: Arc<Lifecycle>,
    context: Arc<Context>,
    hub: Hub,
    /// The acceptor, for the handles, once the server runs.
    acceptor: Arc<OnceLock<Weak<Acceptor>>>,
    /// The first thing that was wrong.
    problem: Option<ServerError>,
}

impl Server {
    /// Listens on an address: `ws://HOST:PORT` or `HOST:PORT`, and `wss://HOST:PORT` with the
    /// feature `rustls` for TLS, which needs a certificate: see `Server::tls`. Port 0 takes one
    /// that is free: see [`local_addr`](Self::local_addr). Of several addresses of a host, the
    /// first that is available is taken.
    ///
    /// Up to 4 096 connections wait in the queue of the operating system until they are accepted,
    /// or as many as it allows (`net.core.somaxconn` on Linux), so that all clients can come back
    /// at once.
    ///
    /// # Errors
    ///
    /// [`ServerError::Address`], [`ServerError::Io`], and [`ServerError::Tls`] for `wss://` where
    /// the feature is off.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the listener.
    pub async fn bind(address: &str) -> Result<Self, ServerError> {
        Ok(Self::new(vec![Listener::bind(address, false).await?]))
    }

    /// Listens on another address as well, as [`bind`](Self::bind) does: on a second network, or on
    /// `wss://` beside `ws://`. Connections of all listeners are accepted in turn, and everything
    /// else that is set holds for all of them.
    ///
    /// ```no_run
    /// # use sansws::server::{Server, ServerError};
    /// # async fn run() -> Result<(), ServerError> {
    /// Server::bind("ws://127.0.0.1:8181").await?.and_bind("ws://[::1]:8181").await?.run().await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the server.
    pub async fn and_bind(mut self, address: &str) -> Result<Self, ServerError> {
        self.listeners.push(Listener::bind(address, false).await?);
        Ok(self)
    }

    /// Serves on a listener that was made elsewhere, with options of its own. Give it a backlog for
    /// as many clients as may come at once: those that do not fit into it try again a second or
    /// more later. A listener that is passed on from process to process keeps its clients over a
    /// restart: see [the module](super#restarts).
    pub fn from_listener(listener: TcpListener) -> Self {
        Self::new(vec![Listener::new(listener, false)])
    }

    /// Serves on a listener that was made elsewhere, as [`from_listener`](Self::from_listener)
    /// does, with TLS: [`tls`](Self::tls) has to be called as well.
    #[cfg(feature = "rustls")]
    pub fn from_tls_listener(listener: TcpListener) -> Self {
        Self::new(vec![Listener::new(listener, true)])
    }

    /// Serves on another listener as well: see [`from_listener`](Self::from_listener).
    pub fn and_listener(mut self, listener: TcpListener) -> Self {
        self.listeners.push(Listener::new(listener, false));
        self
    }

    /// Serves on another listener as well, with TLS: see
    /// [`from_tls_listener`](Self::from_tls_listener).
    #[cfg(feature = "rustls")]
    pub fn and_tls_listener(mut self, listener: TcpListener) -> Self {
        self.listeners.push(Listener::new(listener, true));
        self
    }

    /// Makes a server that listens nowhere: it has the streams and handshakes that its
    /// [`handle`](Self::handle) brings, from an HTTP server that has the port.
    ///
    /// The handle takes them from the moment in which [`run`](Self::run) is called, before its
    /// future is polled. Everything else is as with a listener, and one may be
    /// [added](Self::and_bind).
    ///
    /// ```
    /// use sansws::server::{ExternalStream, Server, ServerError, handler_fn};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let echo = handler_fn().on_message(|client, message| client.send(message));
    /// let server = Server::detached().route("/echo", echo);
    /// let handle = server.handle();
    /// let run = tokio::spawn(server.run());
    /// # let (stream, peer_addr) = (tokio::io::duplex(1).0, ([127, 0, 0, 1], 7).into());
    /// handle.accept(ExternalStream::new(stream, peer_addr))?; // or `handle.accept_request`
    /// # Ok(())
    /// # }
    /// ```
    pub fn detached() -> Self {
        Self::new(Vec::new())
    }

    pub(super) fn new(listeners: Vec<Listener>) -> Self {
        let settings = Settings {
            routes: Table::default(),
            pages: Table::default(),
            http: Table::default(),
            max_body_len: DEFAULT_MAX_BODY_LEN,
            fallback: None,
            health: None,
            metrics: None,
            origins: OriginPolicy::default(),
            hosts: None,
            trust: Trust::default(),
            proxy_protocol: None,
            #[cfg(feature = "rustls")]
            tls: None,
            config: Self::default_config(),
        };
        let capacity = Capacity {
            pending: DEFAULT_MAX_PENDING,
            sockets: max_sockets(),
            connections: default_max_connections(),
            per_network: None,
            handshakes_per_second: None,
        };
        let context = Arc::new(Context::default());
        Self {
            listeners,
            #[cfg(feature = "rustls")]
            tls: None,
            settings,
            routes: Table::default(),
            config: Config::new(),
            max_message_len: None,
            max_unsent: None,
            #[cfg(feature = "deflate")]
            deflate: None,
            capacity,
            limits: Limits::default(),
            max_lifetime: None,
            close_window: None,
            lifecycle: Arc::new(Lifecycle::new()),
            hub: Hub::new(Arc::clone(&context)),
            context,
            acceptor: Arc::default(),
            problem: None,
        }
    }

    /// Sets the certificates for all listeners of `wss://`; the last call counts.
    ///
    /// ```no_run
    /// use sansws::server::{Server, ServerError, Tls, handler_fn};
    ///
    /// # async fn run() -> Result<(), ServerError> {
    /// Server::bind("wss://0.0.0.0:8443")
    ///     .await?
    ///     .tls(Tls::from_pem_files("cert.pem", "key.pem")?)
    ///     .and_bind("ws://127.0.0.1:8181") // beside it, for this machine
    ///     .await?
    ///     .route("/echo", handler_fn().on_message(|client, message| client.send(message)))
    ///     .run()
    ///     .await
    /// # }
    /// ```
    ///
    /// The files are read again when they change. [`Request::is_secure`] is true of a connection to
    /// such a listener, whatever headers say.
    ///
    /// The handshake of TLS, what stands [before it](Self::proxy_protocol) and the request have
    /// [`Config::handshake_timeout`] together, and all three are one [pending](Self::max_pending)
    /// request, which gives way to others like one without TLS. The first message of a client may
    /// take up to 64 KiB meanwhile. A connection that does not become one of TLS is closed
    /// ([`LogEvent::TlsFailed`]); a request in the clear is answered with status 400, which says
    /// so. An open connection takes some 8 KB of memory more than one without TLS,
    /// and up to 64 KiB for what its transport does not take.
    #[cfg(feature = "rustls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Returns the address it listens on: that of the first listener, if there are several.
    ///
    /// # Errors
    ///
    /// That of the operating system, and `AddrNotAvailable` if it is [detached](Self::detached).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.listeners.first() {
            Some(listener) => listener.local_addr(),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Returns the addresses of all listeners, in the order in which they were added.
    ///
    /// # Errors
    ///
    /// That of the operating system.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(Listener::local_addr).collect()
    }

    /// Returns the hub: the clients and their rooms.
    pub fn hub(&self) -> Hub {
        self.hub.clone()
    }

    /// Returns a handle, which drains and ends the server and brings it streams.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle {
            lifecycle: Arc::clone(&self.lifecycle),
            acceptor: Arc::clone(&self.acceptor),
            hub: self.hub(),
        }
    }

    /// Routes handshakes for a path to a handler: `/chat`, `/chat/{room}`, `/files/{*rest}`.
    ///
    /// A parameter is a whole segment; `{*name}` takes all segments that follow and stands last.
    /// Literal segments are preferred to parameters, in whatever order the paths were added.
    /// Parameters are percent-decoded; a path that is not UTF-8 then matches nothing.
    ///
    /// The handler is a [`Handler`](super::Handler), or a [`Route`] of one with settings of its
    /// own.
    pub fn route(mut self, path: &str, handler: impl Into<Route>) -> Self {
        let inserted = self.routes.insert(path, handler.into());
        self.note(inserted);
        self
    }

    /// Sets the response to requests of plain HTTP for a path, with GET or HEAD. The path has the
    /// form of those of [`route`](Self::route), and may be the same.
    pub fn page(mut self, path: &str, response: Response) -> Self {
        if let Err(error) = response.check() {
            self.note::<()>(Err(ServerError::Page { path: path.into(), error }));
        }
        let inserted = self.settings.pages.insert(path, response);
        self.note(inserted);
        self
    }

    /// Sets the closure that answers requests of plain HTTP for a path, whatever their method: it
    /// has their whole body and the [`Hub`]. The path has the form of those of
    /// [`route`](Self::route), and may be the same; where there is a [`page`](Self::page) too, this
    /// answers.
    ///
    /// To publish over HTTP from another process:
    ///
    /// ```no_run
    /// # use sansws::server::{HttpRequest, Response, Server};
    /// # fn set_up(server: Server, token: &'static str) -> Server {
    /// server.http("/publish/{room}", move |request: HttpRequest| async move {
    ///     if request.method() != "POST" {
    ///         return Response::empty(405).header("Allow", "POST");
    ///     }
    ///     if request.header("Authorization") != Some(token) {
    ///         return Response::empty(401).header("WWW-Authenticate", "Bearer");
    ///     }
    ///     let (Some(room), Some(text)) = (request.param("room"), request.text()) else {
    ///         return Response::text("UTF-8, please.\n").status(400);
    ///     };
    ///     match request.hub().room(room).send(text) {
    ///         Ok(clients) => Response::text(format!("sent to {clients}\n")),
    ///         Err(error) => Response::text(format!("{error}\n")).status(400),
    ///     }
    /// })
    /// # }
    /// ```
    ///
    /// and then `curl -d hello -H "Authorization: $TOKEN" http://127.0.0.1:8181/publish/lobby`.
    ///
    /// Scripts of other sites are kept out as from a WebSocket, by [`origins`](Self::origins): a
    /// browser sends the user's cookies along. Programs say no origin and are let in, so that the
    /// closure has to check who they are.
    ///
    /// A request is one of the [pending](Self::max_pending) ones until it has its answer. Its body
    /// comes with a `Content-Length` or in chunks; more than
    /// [`max_body_len`](Self::max_body_len) bytes are answered with status 413, one that is
    /// malformed with 400, one that takes longer than
    /// [`Config::handshake_timeout`] with 408, and one in another transfer coding with 501. The
    /// closure has as long again, and gets a 503 sent for it then; a panic is a 500. The connection
    /// is closed after the answer. For HTTP beyond that, put the server into a stack that has it:
    /// [`ServerHandle::accept_request`].
    pub fn http<A>(
        mut self,
        path: &str,
        answer: impl Fn(HttpRequest) -> A + Send + Sync + 'static,
    ) -> Self
    where
        A: Future<Output = Response> + Send + 'static,
    {
        let handler: Arc<HttpHandler> = Arc::new(move |request| Box::pin(answer(request)));
        let inserted = self.settings.http.insert(path, handler);
        self.note(inserted);
        self
    }

    /// Sets the longest body of a request to a handler of [`http`](Self::http), in bytes. Default
    /// 64 KiB: with all [pending](Self::max_pending) requests that is 512 MiB, and a message to
    /// publish is shorter as a rule.
    pub const fn max_body_len(mut self, bytes: usize) -> Self {
        self.settings.max_body_len = bytes;
        self
    }

    /// Sets a closure that answers requests of plain HTTP for which there is no page and no route,
    /// in place of a 404. It is called for every method; the body of a request is not read.
    pub fn fallback(
        mut self,
        answer: impl Fn(&Request<'_>) -> Response + Send + Sync + 'static,
    ) -> Self {
        self.settings.fallback = Some(Box::new(answer));
        self
    }

    /// Sets the path for health checks of load balancers: 200 while the server takes connections,
    /// 503 while it [drains](ServerHandle::drain) or shuts down.
    pub fn health(mut self, path: &str) -> Self {
        self.settings.health = self.literal(path);
        self
    }

    /// Sets the path where [`Hub::stats`] is served in the text format of OpenMetrics, for
    /// Prometheus and others: to GET and HEAD, on the port of everything else, and before a
    /// [`page`](Self::page) or handler of the same path. A browser gets it as plain text. Nothing
    /// is counted for it that is not counted anyway.
    ///
    /// Anybody who can reach the server can read it, and it tells how busy the server is and how
    /// often it fails. Keep it from the public: refuse the path in the reverse proxy in front, or
    /// serve the same text from a handler of your own that checks who asks:
    ///
    /// ```no_run
    /// # use sansws::server::{HttpRequest, Response, Server, Stats};
    /// # fn set_up(server: Server, token: &'static str) -> Server {
    /// server.http("/metrics", move |request: HttpRequest| async move {
    ///     if request.header("Authorization") != Some(token) {
    ///         return Response::empty(401).header("WWW-Authenticate", "Bearer");
    ///     }
    ///     Response::new(Stats::OPENMETRICS, request.hub().stats().to_openmetrics())
    /// })
    /// # }
    /// ```
    pub fn metrics(mut self, path: &str) -> Self {
        self.settings.metrics = self.literal(path);
        self
    }

    /// Measures how long the calls of handlers for open connections take, from when they begin to
    /// when they are over, what they wait for included: see
    /// [`Stats::handler_times`](super::Stats::handler_times). Costs two looks at the clock for each
    /// call, which is half as much as a small message; off by default.
    pub fn time_handlers(self) -> Self {
        self.context.time_handlers();
        self
    }

    /// Sets the closure that is told of [`LogEvent`]s; it must not wait. By default they are only
    /// [counted](Hub::stats).
    ///
    /// Events of port scanners and probes are [`Level::Debug`](super::Level::Debug), so that a log
    /// can leave them out.
    ///
    /// ```no_run
    /// # use sansws::server::{Level, Server};
    /// # fn set_up(server: Server) -> Server {
    /// server.on_log(|event| {
    ///     if event.level() >= Level::Warn {
    ///         eprintln!("{event}");
    ///     }
    /// })
    /// # }
    /// ```
    pub fn on_log(self, log: impl Fn(&LogEvent<'_>) + Send + Sync + 'static) -> Self {
        self.context.set_log(Box::new(log));
        self
    }

    /// Sets the origins whose scripts may connect. By default those from the host that they connect
    /// to; all others get a 403.
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.settings.origins = policy;
        self
    }

    /// Lets scripts from these origins connect, such as `https://example.com`, and no others.
    pub fn allow_origins<'a>(mut self, origins: impl IntoIterator<Item = &'a str>) -> Self {
        match OriginPolicy::parse(origins) {
            Ok(policy) => self.settings.origins = policy,
            Err(error) => self.note::<()>(Err(error)),
        }
        self
    }

    /// Sets the names of the server: `example.com` with any port, `example.com:8181`, and
    /// `*.example.com` for all names under it. Requests for others are answered with status 421,
    /// those for pages too; only [`health`](Self::health) answers for any host. Behind
    /// [trusted proxies](Self::trusted_proxies) it is their `X-Forwarded-Host` that counts.
    ///
    /// By default the server takes any name. A stranger's page can have its own name point to the
    /// server's address, and then passes for the [same host](OriginPolicy::SameHost): a way in to
    /// servers that only this machine or a private network can reach.
    pub fn allowed_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        match Hosts::parse(hosts) {
            Ok(hosts) => self.settings.hosts = Some(hosts),
            Err(error) => self.note::<()>(Err(error)),
        }
        self
    }

    /// Sets how many reverse proxies in front of the server are believed about the client, in
    /// `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`: of each header, the last
    /// `proxies` elements. Default 0: anybody can send these headers.
    ///
    /// [`Request::remote_ip`], [`Request::host`], [`Request::is_secure`], their like in
    /// [`ClientInfo`](super::ClientInfo), [`OriginPolicy::SameHost`] and
    /// [`max_connections_per_ip`](Self::max_connections_per_ip) go by it. Only the proxies should
    /// be able to reach the server then, and they have to set all three headers: one that they
    /// leave alone is believed as the client sent it. A request of which they say something that is
    /// no address, no host or no scheme (`unknown`, `unix:`) is answered with status 400, the
    /// health check excepted: the client does not pass for the proxy, nor for one with the others
    /// of its kind.
    pub const fn trusted_proxies(mut self, proxies: usize) -> Self {
        self.settings.trust.proxies = proxies;
        self
    }

    /// Believes reverse proxies in these networks about the client, and no others: `10.0.0.0/8`,
    /// `2001:db8::/32`, `192.0.2.7`. Of the addresses in `X-Forwarded-For`, from the last one to
    /// the first, those in the networks are proxies too, and the first other one is the client; of
    /// the other headers, the element at the same place counted from the end is believed. Who
    /// connects from elsewhere is believed nothing.
    ///
    /// With [`trusted_proxies`](Self::trusted_proxies) as well, no more than that many elements are
    /// believed. Everything else is as described there.
    pub fn trusted_networks<'a>(mut self, networks: impl IntoIterator<Item = &'a str>) -> Self {
        match Networks::parse(networks) {
            Ok(networks) => self.settings.trust.networks = Some(networks),
            Err(error) => self.note::<()>(Err(error)),
        }
        self
    }

    /// Sets in which headers the trusted proxies tell of the client. By default in
    /// `X-Forwarded-For`, `-Host` and `-Proto`. The others are never looked at: a proxy that does
    /// not write them passes on what the client has sent.
    pub const fn proxy_headers(mut self, headers: ProxyHeaders) -> Self {
        self.settings.trust.headers = headers;
        self
    }

    /// Expects a header of the PROXY protocol, version 1 or 2, on every connection from these
    /// networks (`10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`): load balancers that pass on bytes say
    /// there who the client is (`send-proxy-v2` of haproxy, `proxy_protocol on` of nginx).
    /// [`Request::peer_addr`] and [`Request::remote_ip`] are the client's then, and
    /// [`Request::is_secure`] is what version 2 says of TLS, unless the client speaks TLS with this
    /// server, for which the header stands before it. Where the proxy speaks for itself, as
    /// in a health check, or knows no address, they stay its own.
    ///
    /// A connection without a valid header is closed ([`LogEvent::BadProxyHeader`]). The header and
    /// the request have [`Config::handshake_timeout`] together. A connection from any other network
    /// is one of a client, which may not send such a header: it is no valid request.
    pub fn proxy_protocol<'a>(mut self, networks: impl IntoIterator<Item = &'a str>) -> Self {
        match Networks::parse(networks) {
            Ok(networks) => self.settings.proxy_protocol = Some(networks),
            Err(error) => self.note::<()>(Err(error)),
        }
        self
    }

    /// Sets the settings of connections. What is not set in them is as in
    /// [`default_config`](Self::default_config); [`max_message_len`](Self::max_message_len),
    /// [`max_unsent`](Self::max_unsent) and `deflate` hold in any case. The order of these calls
    /// does not matter.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Returns the default settings of connections: those of [`Config::new`], but for messages of
    /// at most 1 MiB, and 64 KiB that may be unsent before the queue fills.
    pub fn default_config() -> Config {
        Config::new().max_message_len(1024 * 1024).max_unsent(64 * 1024)
    }

    /// Sets the longest message that is taken, in bytes, whatever [`config`](Self::config) has.
    /// Default 1 MiB.
    pub const fn max_message_len(mut self, bytes: usize) -> Self {
        self.max_message_len = Some(bytes);
        self
    }

    /// Sets the unsent bytes in the send buffer of a client from which on messages wait in its
    /// queue, whatever [`config`](Self::config) has. Default 64 KiB.
    pub const fn max_unsent(mut self, bytes: usize) -> Self {
        self.max_unsent = Some(bytes);
        self
    }

    /// Turns compression on with clients that offer it, whatever [`config`](Self::config) has. Off
    /// by default. A [route](Route::deflate) can have other settings.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        self.deflate = Some(deflate);
        self
    }

    /// Sets the most connections at a time; a handshake beyond them gets a 503. Default, where that
    /// can be read (Linux): as many as the process may open files, less 128 for everything else (or
    /// a quarter, if that is less), and of these less an eighth, or 8 192 if that is less, for
    /// [pending](Self::max_pending) ones, which must be answered when the server is full; 10 000
    /// elsewhere.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.capacity.connections = connections;
        self
    }

    /// Sets the most connections of one address at a time; a handshake beyond them gets a 429.
    /// Default: no limit. The address is [`Request::remote_ip`]; IPv6 addresses that share their
    /// first 64 bits count as one, as those of one customer do.
    pub const fn max_connections_per_ip(mut self, connections: usize) -> Self {
        self.capacity.per_network = Some(connections);
        self
    }

    /// Sets the most handshakes and requests of plain HTTP under way at a time. Default 8 192; at
    /// least 1. With [`Config::max_head_len`] for each it bounds the memory that they take.
    ///
    /// Beyond them, and where the process could not open more files, newcomers wait in the queue of
    /// the operating system. While one waits, connections that have sent nothing for a second are
    /// closed for them, then those that have not completed their request or fetched its answer in
    /// that time: those of the network with the most of them first, the oldest first. Where one
    /// network has more than a quarter of the permits, those of it that have sent nothing are
    /// closed for a newcomer from another one after a tenth of a second.
    /// [`Stats::gave_way`](super::Stats::gave_way) counts all of them. A handshake that a handler
    /// [decides](super::Handler::on_request) about stays.
    pub const fn max_pending(mut self, handshakes: usize) -> Self {
        self.capacity.pending = if handshakes == 0 { 1 } else { handshakes };
        self
    }

    /// Sets the most bytes of messages that have not arrived whole, those of all clients together
    /// and inflated ones as they come out. Their memory is up to twice that. Default 256 MiB: a few
    /// kilobytes from each of many clients can inflate to as much as
    /// [`max_message_len`](Self::max_message_len) allows, and stay unfinished.
    ///
    /// Beyond it, a client that goes on is closed with 1013 if it has sent more than its share,
    /// which is this limit divided by the number of clients, and at least 64 KiB. A message of no
    /// more than 64 KiB is not counted. So the first clients can hold the whole of it, and all
    /// others their share beside them. [`Stats::overload_closed`](super::Stats::overload_closed)
    /// counts them.
    pub const fn max_receiving_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_receiving_bytes = bytes;
        self
    }

    /// Sets the most rooms that one client may be in. Default 1 024: some 300 KB of memory, and
    /// more than a user looks at.
    pub const fn max_rooms_per_client(mut self, rooms: usize) -> Self {
        self.limits.max_rooms_per_client = rooms;
        self
    }

    /// Sets the longest name of a room, in bytes. Default 256: a path or two ids, after which rooms
    /// are named.
    pub const fn max_room_name_len(mut self, bytes: usize) -> Self {
        self.limits.max_room_name_len = bytes;
        self
    }

    /// Sets how much of the headers of a request is kept for the life of its connection, for
    /// [`ClientInfo::headers`](super::ClientInfo::headers): names and values and 3 bytes for each.
    /// Default 4 KiB; browsers send 1 KiB and their cookies.
    /// [`Handler::on_request`](super::Handler::on_request) sees all of them.
    pub const fn max_kept_headers(mut self, bytes: usize) -> Self {
        self.limits.max_kept_headers = bytes;
        self
    }

    /// Sets how many bytes the topics of this server may be charged together: messages as
    /// [`History::max_bytes`](super::History::max_bytes) counts them, and for each topic its name
    /// and 512 bytes. 64 MiB if it is not set.
    ///
    /// Beyond that the topic that was not used for longest is forgotten as a whole: it was neither
    /// entered nor sent to. So names of topics may come from clients.
    pub const fn max_history_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_history_bytes = bytes;
        self
    }

    /// Sets the longest that a connection may last: it is closed with 1001 then, or up to a tenth
    /// earlier, so that connections that came together do not go together. Default: no limit.
    /// Clients that come back find their way to servers that have been added meanwhile.
    ///
    /// Connections are looked at each hundredth of this time, but not more often than every 10 ms,
    /// and at least every second.
    pub const fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// Sets the time over which a shutdown spreads its Close frames, but at most half of its
    /// deadline. Default: a millisecond for each connection.
    pub const fn close_window(mut self, window: Duration) -> Self {
        self.close_window = Some(window);
        self
    }

    /// Serves until [`ServerHandle::shutdown`]. What comes by the [`handle`](Self::handle) is taken
    /// from the call on; the listeners are looked at while the future is polled.
    ///
    /// Errors of accepting, such as the want of descriptors, do not end it: it closes a
    /// [pending](Self::max_pending) connection that is idle, or waits for 50 ms, and tries again
    /// ([`Stats::accept_errors`](super::Stats::accept_errors) counts them).
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the set-up, as soon as the future is polled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the server: the listener is dropped and all connections are
    /// aborted, each as soon as its task runs.
    pub fn run(self) -> impl Future<Output = Result<(), ServerError>> + Send + 'static {
        let started = self.start();
        async {
            started?.run().await;
            Ok(())
        }
    }

    /// Checks the set-up, and lets the handles bring streams.
    fn start(mut self) -> Result<Started, ServerError> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let config = self.connection_config().check()?;
        self.limits.check()?;
        self.capacity.check()?;
        self.set_up_tls()?;
        self.limits.close_timeout = config.close_timeout;
        let permits = Arc::new(Permits::new(self.capacity, Arc::clone(&self.lifecycle.pending)));
        let common = Common {
            hub: self.hub.clone(),
            context: self.context.with_limits(self.limits.clone()),
        };
        let routes = mem::take(&mut self.routes);
        let served = routes.try_map(|route| route.serve(&common, &config, &permits).map(Arc::new));
        self.settings.routes = served.map_err(|(pattern, error)| ServerError::Route {
            path: pattern.text().into(),
            error: error.into(),
        })?;
        #[cfg(feature = "deflate")]
        {
            let of_routes =
                || self.settings.routes.values().find_map(|it| it.config.deflate.clone());
            self.limits.deflate = config.deflate.clone().or_else(of_routes);
        }
        self.context.set_limits(self.limits);
        self.context.set_permits(&permits);
        let acceptor = Acceptor {
            settings: Settings { config, ..self.settings },
            permits,
            lifecycle: self.lifecycle,
            context: self.context,
            hub: self.hub,
        };
        let settings = RunSettings {
            max_lifetime: self.max_lifetime,
            close_window: self.close_window,
            #[cfg(feature = "rustls")]
            tls: self.tls,
        };
        Ok(Started::new(self.listeners, acceptor, &self.acceptor, settings))
    }

    /// Checks that there are certificates if, and only if, a listener needs them.
    fn set_up_tls(&mut self) -> Result<(), ServerError> {
        let is_needed = self.listeners.iter().any(|listener| listener.is_secure);
        #[cfg(feature = "rustls")]
        if let Some(tls) = &self.tls {
            self.settings.tls = Some(tls.config()?);
            return if is_needed { Ok(()) } else { Err(ServerError::UnusedTls) };
        }
        if is_needed { Err(ServerError::Tls) } else { Ok(()) }
    }

    /// Returns what [`config`](Self::config) and the setters beside it come to.
    fn connection_config(&self) -> Config {
        let mut config = self.config.clone();
        if let Some(bytes) = self.max_message_len {
            config = config.max_message_len(bytes);
        }
        if let Some(bytes) = self.max_unsent {
            config = config.max_unsent(bytes);
        }
        #[cfg(feature = "deflate")]
        if let Some(deflate) = &self.deflate {
            config = config.deflate(deflate.clone());
        }
        config.or(&Self::default_config())
    }

    /// Returns a path without parameters; notes what is wrong with another one, and `run` fails.
    fn literal(&mut self, path: &str) -> Option<Box<str>> {
        match Pattern::parse(path) {
            Ok(pattern) if pattern.is_literal() => return Some(path.into()),
            Ok(_) => self.note::<()>(Err(PathError::with_parameters(path))),
            Err(error) => self.note::<()>(Err(error)),
        }
        None
    }

    fn note<T>(&mut self, result: Result<T, impl Into<ServerError>>) {
        if let Err(error) = result {
            self.problem.get_or_insert_with(|| error.into());
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// Returns the most connections, pending ones included: the limit on open files, less what the rest
/// of the program may need.
fn max_sockets() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = soft.and_then(|limits| limits.split_whitespace().next()?.parse().ok());
    soft.map_or(usize::MAX, |files: usize| (files - (files / 4).min(128)).max(2))
}

fn default_max_connections() -> usize {
    match max_sockets() {
        usize::MAX => 10_000,
        sockets => sockets - (sockets / 8).clamp(1, DEFAULT_MAX_PENDING),
    }
}

/// Some pages of text: more is not sent to many clients at once as a rule.
const DEFAULT_MAX_BODY_LEN: usize = 64 * 1024;

/// Twice as many as may wait behind them in the queue, so that a storm of 5 000 clients fits in
/// though all of them take their time. A silent one takes some 5 KB of memory.
const DEFAULT_MAX_PENDING: usize = 2 * BACKLOG as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_connections() {
        assert!(default_max_connections() > 0);
    }
}
