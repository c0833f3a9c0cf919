#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::accept::accept::Accept;
use super::accept::permits::{Permits, Places};
use super::client::client::Common;
use super::client::handler::Handler;
use super::client::limits::{Limits, SlowClients};
use super::client::rate::RateLimit;
use super::client::task::ErasedHandler;
use super::error::ServerError;
use super::http::origin::OriginPolicy;
use super::http::request::Request;
use crate::config::{Config, KeepAlive};
#[cfg(feature = "deflate")]
use crate::deflate::Deflate;
use crate::handshake::is_token;

/// A handler with settings of its own, for [`Server::route`](super::Server::route).
///
/// What is not set here is as in the [`Server`](super::Server), in whatever order both are set up;
/// where a setting has the name of one there, it means the same. A setting that cannot be meant is
/// an error of [`Server::run`](super::Server::run), and of [`check`](Self::check).
///
/// ```no_run
/// use std::time::Duration;
/// use sansws::server::{Route, Server, ServerError, SlowClients, handler_fn};
///
/// # async fn run() -> Result<(), ServerError> {
/// let echo = handler_fn().on_message(|client, message| client.send(message));
/// let upload = handler_fn().on_message(|client, _| client.send("got it"));
/// Server::bind("ws://127.0.0.1:8181")
///     .await?
///     .route("/echo", echo)
///     .route(
///         "/feed",
///         Route::new(handler_fn()).max_message_len(0).slow_clients(SlowClients::DropOldest),
///     )
///     .route(
///         "/upload",
///         Route::new(upload)
///             .max_message_len(64 * 1024 * 1024)
///             .max_connections(100)
///             .idle_timeout(Duration::from_secs(60)),
///     )
///     .run()
///     .await
/// # }
/// ```
#[must_use = "give it to Server::route"]
pub struct Route {
    handler: Arc<dyn ErasedHandler>,
    max_message_len: Option<usize>,
    max_unsent: Option<usize>,
    keep_alive: Option<KeepAlive>,
    pong_timeout: Option<Duration>,
    close_timeout: Option<Duration>,
    #[cfg(feature = "deflate")]
    deflate: Option<Option<Deflate>>,
    max_queued_bytes: Option<usize>,
    max_burst_bytes: Option<usize>,
    slow_after: Option<Duration>,
    slow_clients: Option<SlowClients>,
    client_rate: Option<RateLimit>,
    idle_timeout: Option<Duration>,
    max_connections: usize,
    origins: Option<OriginPolicy>,
    subprotocols: Vec<Box<str>>,
    /// The first thing that was wrong.
    problem: Option<ServerError>,
}

impl Route {
    /// Makes one with the settings of the server.
    pub fn new(handler: impl Handler) -> Self {
        Self {
            handler: Arc::new(handler),
            max_message_len: None,
            max_unsent: None,
            keep_alive: None,
            pong_timeout: None,
            close_timeout: None,
            #[cfg(feature = "deflate")]
            deflate: None,
            max_queued_bytes: None,
            max_burst_bytes: None,
            slow_after: None,
            slow_clients: None,
            client_rate: None,
            idle_timeout: None,
            max_connections: usize::MAX,
            origins: None,
            subprotocols: Vec::new(),
            problem: None,
        }
    }

    /// Sets the longest message that is taken, in bytes: see
    /// [`Config::max_message_len`].
    pub const fn max_message_len(mut self, bytes: usize) -> Self {
        self.max_message_len = Some(bytes);
        self
    }

    /// Sets the unsent bytes in the send buffer of a client from which on messages wait in its
    /// queue: see [`Server::max_unsent`](super::Server::max_unsent).
    pub const fn max_unsent(mut self, bytes: usize) -> Self {
        self.max_unsent = Some(bytes);
        self
    }

    /// Sets when pings are sent: see [`Config::keep_alive`].
    pub const fn keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.keep_alive = Some(keep_alive);
        self
    }

    /// Sets how long after a ping the client must show life: see [`Config::pong_timeout`].
    pub const fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.pong_timeout = Some(timeout);
        self
    }

    /// Limits the time of the closing handshake: see [`Config::close_timeout`].
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = Some(timeout);
        self
    }

    /// Turns compression on, or off with `None`: see [`Config::deflate`]. A broadcast
    /// is compressed once for all clients, by the settings of the server, or where it has none, by
    /// those of one of the routes that have some.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.deflate = Some(deflate.into());
        self
    }

    /// Sets the most bytes that may wait for a client whose transport takes none: see
    /// [`Server::max_queued_bytes`](super::Server::max_queued_bytes).
    pub const fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.max_queued_bytes = Some(bytes);
        self
    }

    /// Sets the most bytes that may wait for a client in any case: see
    /// [`Server::max_burst_bytes`](super::Server::max_burst_bytes).
    pub const fn max_burst_bytes(mut self, bytes: usize) -> Self {
        self.max_burst_bytes = Some(bytes);
        self
    }

    /// Sets how long the transport of a client may take no byte while too much waits: see
    /// [`Server::slow_after`](super::Server::slow_after).
    pub const fn slow_after(mut self, time: Duration) -> Self {
        self.slow_after = Some(time);
        self
    }

    /// Sets the policy for clients that read too slowly: see
    /// [`Server::slow_clients`](super::Server::slow_clients).
    pub const fn slow_clients(mut self, policy: SlowClients) -> Self {
        self.slow_clients = Some(policy);
        self
    }

    /// Sets the rate at which each client may send: see
    /// [`Server::client_rate`](super::Server::client_rate). [`RateLimit::new`] is no limit, where
    /// the server has one.
    pub const fn client_rate(mut self, rate: RateLimit) -> Self {
        self.client_rate = Some(rate);
        self
    }

    /// Sets how long neither end may send a message: see
    /// [`Server::idle_timeout`](super::Server::idle_timeout). [`Duration::MAX`] is no limit, where
    /// the server has one.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self
    }

    /// Sets the most connections of this route at a time; a handshake beyond them gets a 503. They
    /// count among those of the server as well, whose limits hold beside it. Default: no limit.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets the origins whose scripts may connect: see [`Server::origins`](super::Server::origins).
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.origins = Some(policy);
        self
    }

    /// Lets scripts from these origins connect, such as `https://example.com`, and no others.
    pub fn allow_origins<'a>(mut self, origins: impl IntoIterator<Item = &'a str>) -> Self {
        match OriginPolicy::parse(origins) {
            Ok(policy) => self.origins = Some(policy),
            Err(error) => self.note(error),
        }
        self
    }

    /// Sets the subprotocols that the handler speaks, the favourite first. Of those that a client
    /// offers, the first one of these is agreed on, unless
    /// [`Handler::on_request`](super::Handler::on_request) has chosen one itself
    /// ([`Accept::subprotocol`]). A client that offers none of them is accepted without one: it
    /// knows then, and a browser closes the connection.
    pub fn subprotocols<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.subprotocols.clear();
        for name in names {
            if !is_token(name.as_bytes()) {
                self.note(ServerError::Subprotocol(name.into()));
            }
            self.subprotocols.push(name.into());
        }
        self
    }

    /// Validates what is set here, and returns it if all can be meant.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(mut self) -> Result<Self, ServerError> {
        match self.problem.take() {
            Some(problem) => Err(problem),
            None => {
                self.config(&Config::new()).check()?;
                self.limits(&Limits::default(), &Config::new()).check()?;
                Ok(self)
            }
        }
    }

    fn note(&mut self, problem: ServerError) {
        self.problem.get_or_insert(problem);
    }

    /// Returns the settings of connections, with those of the server where nothing is set.
    fn config(&self, server: &Config) -> Config {
        let mut config = server.clone();
        if let Some(bytes) = self.max_message_len {
            config = config.max_message_len(bytes);
        }
        if let Some(bytes) = self.max_unsent {
            config = config.max_unsent(bytes);
        }
        if let Some(keep_alive) = self.keep_alive {
            config = config.keep_alive(keep_alive);
        }
        #[cfg(feature = "deflate")]
        if let Some(deflate) = &self.deflate {
            config.deflate.clone_from(deflate);
        }
        config.pong_timeout = self.pong_timeout.unwrap_or(config.pong_timeout);
        config.close_timeout = self.close_timeout.unwrap_or(config.close_timeout);
        config
    }

    /// Returns the limits on clients, with those of the server where nothing is set. `config` is
    /// that of their connections.
    fn limits(&self, server: &Limits, config: &Config) -> Limits {
        Limits {
            max_queued_bytes: self.max_queued_bytes.unwrap_or(server.max_queued_bytes),
            max_burst_bytes: self.max_burst_bytes.unwrap_or(server.max_burst_bytes),
            slow_after: self.slow_after.unwrap_or(server.slow_after),
            slow_clients: self.slow_clients.unwrap_or(server.slow_clients),
            rate: self.client_rate.or(server.rate),
            idle_timeout: self.idle_timeout.unwrap_or(server.idle_timeout),
            close_timeout: config.close_timeout,
            ..server.clone()
        }
    }

    /// Puts the settings together with those of the server, which are complete.
    pub(super) fn serve(
        self,
        server: &Common,
        config: &Config,
        permits: &Arc<Permits>,
    ) -> Result<Served, ServerError> {
        let this = self.check()?;
        let config = this.config(config).check()?;
        let limits = this.limits(server.context.limits(), &config);
        Ok(Served {
            places: Arc::new(Places::new(permits, this.max_connections)),
            common: Arc::new(Common {
                hub: server.hub.clone(),
                context: server.context.with_limits(limits),
            }),
            handler: this.handler,
            config,
            origins: this.origins,
            subprotocols: this.subprotocols,
        })
    }
}

impl<H: Handler> From<H> for Route {
    fn from(handler: H) -> Self {
        Self::new(handler)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").finish_non_exhaustive()
    }
}

/// A route of a server that runs.
pub(crate) struct Served {
    pub(crate) handler: Arc<dyn ErasedHandler>,
    pub(crate) common: Arc<Common>,
    pub(crate) places: Arc<Places>,
    pub(crate) config: Config,
    /// Those of the server if there are none.
    pub(crate) origins: Option<OriginPolicy>,
    /// The favourite first.
    subprotocols: Vec<Box<str>>,
}

impl Served {
    /// Chooses a subprotocol if the handler has left that to its route.
    pub(crate) fn choose_subprotocol(&self, request: &Request<'_>, accept: &mut Accept) {
        if accept.subprotocol.is_none() {
            let offers = |name: &&str| request.subprotocols().any(|offered| offered == *name);
            let mut names = self.subprotocols.iter().map(|name| &**name);
            accept.subprotocol = names.find(offers).map(Into::into);
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}
