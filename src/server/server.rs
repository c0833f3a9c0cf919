#![forbid(unsafe_code)]

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
use super::http::forwarded::Trust;
use super::http::origin::OriginPolicy;
#[cfg(doc)]
use super::http::request::Request;
use super::http::route::Table;
use super::listener::{BACKLOG, Listener};
#[cfg(doc)]
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
    pub(super) settings: Settings,
    pub(super) routes: Table<Route>,
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
    pub(super) context: Arc<Context>,
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
            connections: connections_for(max_sockets()),
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
        let is_needed = self.listeners.iter().any(|listener| listener.kind.is_secure);
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

    /// Keeps the first thing that is wrong for `run`, which fails with it.
    pub(super) fn note<T>(&mut self, result: Result<T, impl Into<ServerError>>) {
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
    max_files().map_or(usize::MAX, sockets_for)
}

fn max_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    soft.and_then(|limits| limits.split_whitespace().next()?.parse().ok())
}

fn sockets_for(files: usize) -> usize {
    (files - (files / 4).min(128)).max(2)
}

/// Returns the most connections that are open, of so many sockets.
fn connections_for(sockets: usize) -> usize {
    match sockets {
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

    /// Of the limit on open files, 128 are for others; and there is always room for a connection
    /// and a handshake.
    #[test]
    fn sockets_for_so_many_files() {
        let of_files = |files| (sockets_for(files), connections_for(sockets_for(files)));
        assert_eq!(of_files(0), (2, 1));
        assert_eq!(of_files(16), (12, 11));
        assert_eq!(of_files(1024), (896, 784));
        assert_eq!(of_files(1 << 20), ((1 << 20) - 128, (1 << 20) - 128 - 8192));
        assert_eq!(connections_for(usize::MAX), 10_000);
        #[cfg(target_os = "linux")]
        assert!(max_files().is_some());
    }

    /// What `limits.md` says, beside the limits of a client.
    #[test]
    fn the_defaults_are_those_of_the_table() {
        let table = include_str!("limits.md");
        let row = |setting: &str, default: &str| {
            let row =
                table.lines().find(|line| line.starts_with(&alloc::format!("| [`{setting}`]")));
            let cell = row.and_then(|row| row.split('|').nth(2)).unwrap_or_default();
            assert!(cell.trim_start().starts_with(default), "{setting} is not {default}: {cell}");
        };
        let server = Server::detached();
        let Capacity { pending, sockets, connections, per_network, handshakes_per_second } =
            server.capacity;
        assert_eq!(pending, 8192);
        row("max_pending", "8 192 ");
        assert_eq!((sockets, connections), (max_sockets(), connections_for(max_sockets())));
        row("max_connections", "limit on open files less 128");
        assert_eq!((per_network, handshakes_per_second), (None, None));
        row("max_connections_per_ip", "none");
        row("max_handshakes_per_ip", "none");
        assert_eq!(server.settings.max_body_len, 64 * 1024);
        row("max_body_len", "64 KiB ");
        let config = server.connection_config();
        assert_eq!((config.message_len(), config.unsent()), (1024 * 1024, 64 * 1024));
        row("max_message_len", "1 MiB,");
        row("max_unsent", "64 KiB,");
        assert_eq!((server.max_lifetime, server.close_window), (None, None));
        row("max_lifetime", "none");
        row("close_window", "1 ms ");
        // and those that the test of `Limits` has
        row("max_receiving_bytes", "256 MiB ");
        row("max_queued_bytes", "1 MiB ");
        row("max_burst_bytes", "16 MiB ");
        row("max_rooms_per_client", "1 024, 256 bytes");
        row("max_history_bytes", "64 MiB ");
        row("max_kept_headers", "4 KiB ");
        row("idle_timeout", "none");
        row("client_rate", "none");
    }
}
