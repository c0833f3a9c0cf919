//! A WebSocket server with events, on tokio.
//!
//! ```no_run
//! use sansws::server::{Page, Server, ServerError, handler};
//!
//! # async fn run() -> Result<(), ServerError> {
//! Server::bind("ws://127.0.0.1:8181")
//!     .await?
//!     .route("/echo", handler().on_message(|client, message| client.send(message)))
//!     .route("/chat", handler().on_message(|client, message| client.hub().broadcast(message)))
//!     .page("/", Page::html("<h1>Hello</h1>"))
//!     .run()
//!     .await
//! # }
//! ```
//!
//! - A [`Handler`] is told what happens on the connections of a route: `on_request`, `on_open`,
//!   `on_message`, `on_close`. [`handler`] makes one from closures.
//! - A [`Client`] is a handle on one connection that may be kept and used anywhere: `send` never
//!   waits, never panics, and is an error once the client is gone.
//! - The [`Hub`] knows all clients by their ids and has rooms and broadcasts.
//! - A [`Page`] is an answer to plain HTTP on the same port, or to a handshake that is refused.
//! - A [`ServerHandle`] shuts the server down in good order.
//!
//! # Who may connect
//!
//! By default only scripts from the host that they connect to, and programs that are no browsers:
//! [`OriginPolicy`]. Then the handler decides ([`Handler::on_request`]). In the order in which they are
//! looked at, answers to a handshake are 503 while the server shuts down, 404 for an unknown path, 400,
//! 405 or 426 for what is no valid handshake, 403 for the origin, 503 for too many connections, and
//! whatever the handler says.
//!
//! # Clients that read slowly
//!
//! What waits for a client is bounded: [`Config::max_unsent`](crate::Config::max_unsent) bytes in its
//! send buffer (64 KiB here), then [`max_queued_bytes`](Server::max_queued_bytes) and
//! [`max_queued_messages`](Server::max_queued_messages) in its queue, and one message more in each.
//! Beyond that [`SlowClients`] says whether it is closed (1013) or messages are dropped. Nobody else
//! waits for it. While its send buffer is full, nothing is read from it either.
//!
//! # Cost
//!
//! A message to a handler is lent from the receive buffer and costs no allocation; nor does one that
//! is sent to a client that keeps up. A broadcast costs three allocations, whatever the number of
//! clients.
//!
//! An idle client costs 1.7 KB of resident memory with everything that belongs to it, in 1.4 KB of the
//! heap: its task, socket, timer, handle and place in the hub (`cargo bench --bench idle_memory`, 10 000
//! connections). What its request's head said is kept on top of that, about as it was sent: some 500
//! bytes from a browser; as is what the future of a handler holds while it waits.
//!
//! # Limits
//!
//! | setting | default | at the limit |
//! |---|---|---|
//! | [`max_connections`](Server::max_connections) | limit on open files less 128 | 503 |
//! | [`max_pending`](Server::max_pending) | 1 024 handshakes under way | 503 |
//! | [`max_message_len`](Server::max_message_len) | 1 MiB | close code 1009 |
//! | [`max_queued_bytes`](Server::max_queued_bytes) | 1 MiB for a client | [`SlowClients`] |
//! | [`max_queued_messages`](Server::max_queued_messages) | 4 096 for a client | [`SlowClients`] |
//! | everything in [`Config`](crate::Config) | [`Server::default_config`] | as it says there |
//!
//! The time for a handshake ends with the request; what [`Handler::on_request`] takes is up to it.

mod client;
mod connection;
mod desk;
mod error;
mod handler;
mod hub;
mod limits;
mod mailbox;
mod origin;
mod page;
mod request;
mod route;
#[allow(clippy::module_inception)] // the file is named after what it holds
mod server;
mod shutdown;
mod stats;

pub use client::{Client, ClientInfo};
pub use error::{NotSent, ServerError};
pub use handler::{Acceptance, Closures, Decision, Handler, Received, handler};
pub use hub::Hub;
pub use limits::SlowClients;
pub use origin::OriginPolicy;
pub use page::Page;
pub use request::Request;
pub use route::InvalidPath;
pub use server::Server;
pub use shutdown::ServerHandle;
pub use stats::Stats;
