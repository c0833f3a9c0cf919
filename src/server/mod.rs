//! A WebSocket server with events, on tokio.
//!
//! ```no_run
//! use sansws::server::{Response, Server, ServerError, handler_fn};
//!
//! # async fn run() -> Result<(), ServerError> {
//! let echo = handler_fn().on_message(|client, message| client.send(message));
//! let chat = handler_fn().on_message(|client, message| client.hub().all().send(message));
//! Server::bind("ws://127.0.0.1:8181")
//!     .await?
//!     .route("/echo", echo)
//!     .route("/chat", chat)
//!     .page("/", Response::html("<h1>Hello</h1>"))
//!     .run()
//!     .await
//! # }
//! ```
//!
//! - A [`Handler`] is called for what happens on the connections of a route: `on_request`,
//!   `on_open`, `on_message`, `on_close`, and, where it has them, `on_ping`, `on_pong`, `on_drain`
//!   and `on_error`. [`handler_fn`] makes one from closures.
//! - A [`Route`] is a handler with settings of its own: longer messages, another policy, fewer
//!   connections.
//! - A [`Client`] is a handle on one connection that may be kept and used anywhere: `send` never
//!   waits, never panics, and is an error once the client is gone.
//! - The [`Hub`] has all clients by their ids, and rooms; `hub.all().send(…)` and
//!   `hub.room(name).send(…)` broadcast.
//! - A [`Topic`] is a room that remembers its last messages (`hub.topic("a", History::last(200))`):
//!   with [`join_since`](Topic::join_since) a client that comes back gets what it missed, and then
//!   what is new, and is told what is lost. A [`SharedTopic`] is one of all servers of a
//!   [backplane].
//! - A [`Guard`] is a function that is asked before a handler: see [`guard`](guard()).
//! - A [`Response`] answers plain HTTP on the same port, or a handshake that is refused.
//! - [`Server::http`] takes requests with a body, so that other processes can publish over HTTP in
//!   ten lines.
//! - A [`ServerHandle`] drains the server and shuts it down in good order, and takes streams that
//!   were accepted elsewhere, such as those of a TLS library.
//!
//! [Getting started](crate::guide::getting_started) has a chat with its page, and
//! [A server in production](crate::guide::production) what to decide before the public comes.
//!
//! # Who may connect
//!
//! By default only scripts from the host that they connect to, and programs that are no browsers:
//! see [`OriginPolicy`]. [`Server::allowed_hosts`] sets which hosts the server is; where it is not
//! set, a server on a loopback address takes scripts of this machine and what a proxy passes on.
//! Then the handler decides ([`Handler::on_request`]), and before it whatever [`guard`](guard())
//! puts there: who the user is, and how many connections it may have.
//!
//! In the order of the checks, answers to a handshake are 503 while the server shuts down, 404 for
//! an unknown path, 400, 405 or 426 for a handshake that is not valid, 400 for what a trusted proxy
//! should not have sent, 421 for another host, 403 for the origin, 503 while the server drains, 429
//! for an address that comes too often, 503 for too many connections, 429 for too many from one
//! address, and whatever the handler answers.
//!
//! # When everybody comes at once
//!
//! No client is refused for it: [`Server::bind`] lets 4 096 clients wait in the queue of the
//! operating system, and the server takes them from there as fast as it answers them. Strangers
//! that connect and send nothing, or next to nothing, are closed for those that wait: see
//! [`Server::max_pending`]. Requests that are not complete take at most that many times
//! [`Config::max_head_len`](crate::Config::max_head_len). All connections, pending ones included,
//! are as many as the process may open files, less what the program itself may need.
//!
//! # Behind a proxy
//!
//! A reverse proxy has to pass on the upgrade, the host and the address of the client.
//! [Behind a proxy](crate::guide::production#behind-a-proxy) has configurations of nginx and
//! haproxy that are tested, and [`trusted_proxies`](Server::trusted_proxies) is what the server has
//! to be told.
//!
//! # TLS
//!
//! With the feature `rustls` the server ends TLS itself: `Server::bind("wss://0.0.0.0:8443")`, and
//! `Server::tls` with the certificates, which are read again when their files change:
//!
//! ```text
//! .tls(Tls::from_pem_files("cert.pem", "key.pem")?)
//! ```
//!
//! Of several certificates the name that the client asks for chooses one. [`Server::and_bind`] adds
//! listeners, so that one server speaks `ws://` and `wss://`. Otherwise, put a proxy in
//! front, or hand streams from another TLS library to [`ServerHandle::accept`].
//!
//! # When servers are replaced
//!
//! [`ServerHandle::drain`] sends new clients elsewhere (a load balancer asks [`Server::health`]),
//! [`ServerHandle::shutdown`] ends the connections in good order and spreads that over a time, and
//! [`Server::max_lifetime`] makes clients come back now and then, so that they find new servers.
//! Who waits in the queue of the operating system when a server shuts down gets a 503 as well.
//!
//! # Restarts
//!
//! A new process takes the place of an old one, and no client on its way to either is refused or
//! reset. There are two ways; `examples/service.rs` has both. In either the old process ends with
//!
//! ```no_run
//! # use core::time::Duration;
//! # use sansws::{CloseCode, proto::SendError, server::ServerHandle};
//! # async fn end(handle: ServerHandle) -> Result<(), SendError> {
//! // once `tokio::signal` tells of a SIGTERM
//! handle.stop_listening().await; // who is on the way is let in
//! let deadline = Duration::from_secs(10);
//! handle.shutdown(CloseCode::SERVICE_RESTART, "", deadline).await // and all are to come back
//! # }
//! ```
//!
//! *Two processes on one port*: both listen by [`Server::bind_shared`]. Start the new one, wait
//! until it listens, and send SIGTERM to the old one. [`ServerHandle::stop_listening`] empties the
//! queue of the operating system before it closes it, which Linux would reset.
//!
//! *A socket that stays*: systemd has it (`service.socket` with `ListenStream=8181` and
//! `Backlog=4096`), passes it on to the process that it starts (`service.service`), and who
//! connects while there is none waits in its queue. The crate `listenfd` takes it:
//!
//! ```no_run
//! # use sansws::server::Server;
//! # fn server() -> std::io::Result<Option<Server>> {
//! let socket = listenfd::ListenFd::from_env().take_tcp_listener(0)?;
//! # let Some(listener) = socket else { return Ok(None) };
//! listener.set_nonblocking(true)?;
//! let server = Server::from_listener(tokio::net::TcpListener::from_std(listener)?);
//! # Ok(Some(server))
//! # }
//! ```
//!
//! Without that crate, `StandardInput=socket` in the unit of the service makes it the standard
//! input, from where the standard library takes it:
//!
//! ```no_run
//! # #[cfg(unix)]
//! # fn listener() -> std::io::Result<std::net::TcpListener> {
//! use std::os::fd::AsFd;
//!
//! let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
//! let listener = std::net::TcpListener::from(socket);
//! # Ok(listener)
//! # }
//! ```
//!
//! # A runtime for each core
//!
//! With [`Server::bind_shared`] several servers share a port (`SO_REUSEPORT`), each in a runtime on
//! one thread, and Linux spreads the connections over them: `examples/reuse_port.rs`. Each server
//! has a hub of its own, and an engine in memory joins them, so that rooms and broadcasts span all
//! cores:
//!
//! ```
//! use sansws::server::Server;
//! use sansws::server::backplane::Memory;
//!
//! fn join(servers: Vec<Server>) -> Vec<Server> {
//!     let engine = Memory::new();
//!     servers.into_iter().map(|server| server.backplane(engine.clone())).collect()
//! }
//! ```
//!
//! What [several servers](#several-servers) have in common holds for these. Limits are those of
//! each server: divide [`max_connections`] by the number of servers, because the default of each
//! allows for all files that the process may open. Shut all of them down at the same time, each
//! with its [`ServerHandle`].
//!
//! # Several servers
//!
//! A [`backplane`] joins servers, so that broadcasts and rooms span all of them: `Redis` (feature
//! `redis`), `Nats` (feature `nats`), `Memory` for those in one process, or an engine of your own.
//! [Scaling](crate::guide::scaling) has when that is due, and how far it goes.
//!
//! # What goes on inside
//!
//! [`Hub::stats`] counts connections, handshakes, messages, bytes and what goes wrong;
//! [`Server::metrics`] serves that in the text format of OpenMetrics, which is not for the public.
//! [`Server::time_handlers`] adds how long handlers take. [`Server::on_log`] is told of what a log
//! should know.
//!
//! With the feature `tracing` each connection has a span `connection` with the fields `id`, `path`
//! and `peer`, in which all calls of its handler are but `on_request`, and which ends with it. Log
//! events become events of their [`Level`], and the end of a connection one of level debug with its
//! close code, all with the target `sansws`. A message becomes none.
//!
//! A page that shows who is there, how old each connection is, how far away, and what waits for it:
//! [`Target::to_table`].
//!
//! # Clients that read slowly
//!
//! The bytes that wait for a client are bounded: [`Config::max_unsent`](crate::Config::max_unsent)
//! bytes in its send buffer (64 KiB here), then [`max_queued_bytes`](Server::max_queued_bytes) in
//! its queue, and one message more in each. Each message in the queue counts with its payload and
//! 64 bytes.
//!
//! More than that waits for a client only while its transport takes bytes, because much was sent at
//! once, and never more than [`max_burst_bytes`](Server::max_burst_bytes). One whose transport
//! takes nothing for [`slow_after`](Server::slow_after) is slow: by [`SlowClients`] it is closed
//! (1013), or messages are dropped. No other client waits for it. While its send buffer is full,
//! nothing is read from it either.
//!
//! A program that sends a client much waits for [`Client::writable`] between the messages; then it
//! takes as long as the client needs, and neither limit is reached. [`Client::closed`] resolves
//! once it is gone.
//!
//! # Turns
//!
//! The task of a connection gives way to all others after a quarter of a millisecond, or when its
//! handler has put 256 KiB into queues, however much has arrived. One call of a handler is the
//! least that it does: work that takes longer belongs into a task or thread of its own. Where the
//! messages of a handler go to many clients, a turn lasts up to 2 µs longer for each of them, 20 ms
//! at the most, so that what has come together is written at once.
//!
//! A broadcast is written by tasks of their own, each for up to 64 clients that wait with nothing
//! unsent; those that are busy, under TLS or compressing have it written by their own tasks.
//!
//! # Cost
//!
//! A message to a handler is lent from the receive buffer and costs no allocation; nor does one
//! that is sent to a client that keeps up. A broadcast costs three allocations, and two more for
//! each 64 clients that it is written to.
//!
//! An idle client costs 1.8 KB of resident memory with everything that belongs to it, in 1.5 KB of
//! the heap: its task, socket, timer, handle and entry in the hub
//! (`cargo bench --bench idle_memory`, 10 000 connections). The head of its request is kept on top
//! of that, about as it was sent: some 500 bytes from a browser; and so is what the future of a
//! handler holds while it waits.
//!
#![doc = include_str!("limits.md")]

mod accept;
mod access;
pub mod backplane;
mod client;
mod context;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod http;
mod listener;
mod observe;
mod restart;
mod route;
mod run;
#[allow(clippy::module_inception)] // the file is named after what it holds
mod server;
mod serving;
mod settings;
mod step;
#[cfg(feature = "rustls")]
mod tls;

#[cfg(feature = "rustls")]
pub use crate::tls::TlsError;
pub use accept::accept::Accept;
pub use accept::external::ExternalStream;
pub use client::client::Client;
pub use client::guard::{Guard, Guarded, guard};
pub use client::handler::{Handler, Received};
pub use client::handler_fn::{HandlerFn, handler_fn};
pub use client::history::{History, Missed, Position, PositionError};
pub use client::hub::Hub;
pub use client::info::ClientInfo;
pub use client::limits::SlowClients;
pub use client::rate::{Excess, RateLimit};
pub use client::shared::{SharedTopic, TopicError};
pub use client::target::Target;
pub use client::topic::{Published, ResumeError, Resumed, Topic};
pub use client::traffic::Traffic;
pub use error::{JoinError, ServeError, ServerError, TrySendError};
pub use handle::{PendingUpgrade, ServerHandle};
pub use http::forwarded::ProxyHeaders;
pub use http::handler::HttpRequest;
pub use http::origin::OriginPolicy;
pub use http::request::Request;
pub use http::response::Response;
pub use http::route::PathError;
pub use observe::event::{Level, LogEvent};
pub use observe::stats::Stats;
pub use route::Route;
pub use server::Server;
#[cfg(feature = "rustls")]
pub use tls::tls::Tls;
