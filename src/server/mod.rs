//! A WebSocket server with events, on tokio.
//!
//! ```no_run
//! use sansws::server::{Response, Server, ServerError, handler_fn};
//!
//! # async fn run() -> Result<(), ServerError> {
//! Server::bind("ws://127.0.0.1:8181")
//!     .await?
//!     .route("/echo", handler_fn().on_message(|client, message| client.send(message)))
//!     .route("/chat", handler_fn().on_message(|client, message| client.hub().all().send(message)))
//!     .page("/", Response::html("<h1>Hello</h1>"))
//!     .run()
//!     .await
//! # }
//! ```
//!
//! - A [`Handler`] is called for what happens on the connections of a route: `on_request`,
//!   `on_open`, `on_message`, `on_close`, and, where it has them, `on_ping`, `on_pong`, `on_drain`
//!   and `on_error`. [`handler_fn`] makes one from closures.
//! - A [`Client`] is a handle on one connection that may be kept and used anywhere: `send` never
//!   waits, never panics, and is an error once the client is gone.
//! - The [`Hub`] has all clients by their ids, and rooms; `hub.all().send(…)` and
//!   `hub.room(name).send(…)` broadcast.
//! - A [`Topic`] is a room that remembers its last messages: a client that comes back gets what it
//!   missed, and then what is new.
//! - A [`Response`] answers plain HTTP on the same port, or a handshake that is refused.
//! - [`Server::http`] takes requests with a body, so that other processes can publish over HTTP.
//! - A [`ServerHandle`] shuts the server down in good order.
//!
//! # Who may connect
//!
//! By default only scripts from the host that they connect to, and programs that are no browsers:
//! see [`OriginPolicy`]. [`Server::allowed_hosts`] sets which hosts the server is; where it is not
//! set, a server on a loopback address takes scripts of this machine and what a proxy passes on.
//! Then the handler decides ([`Handler::on_request`]). In the order of the checks, answers to a
//! handshake are 503 while the server shuts down, 404 for an unknown path, 400, 405 or 426 for a
//! handshake that is not valid, 400 for what a trusted proxy should not have sent, 421 for another
//! host, 403 for the origin, 503 while the server drains and for too many connections, 429 for too
//! many from one address, and whatever the handler answers.
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
//! A reverse proxy has to pass the upgrade and the host on. The README has tested configurations
//! for nginx and haproxy; for nginx it comes down to
//!
//! ```text
//! map $http_upgrade $connection_upgrade { default upgrade; '' close; }
//! proxy_http_version 1.1;
//! proxy_set_header Upgrade $http_upgrade;
//! proxy_set_header Connection $connection_upgrade;
//! proxy_set_header Host $http_host;
//! proxy_set_header X-Forwarded-For $remote_addr;
//! proxy_set_header X-Forwarded-Host $http_host;
//! proxy_set_header X-Forwarded-Proto $scheme;
//! ```
//!
//! Where the upgrade was removed, the client gets an answer that names these lines. Silent
//! connections outlive `proxy_read_timeout` (60 s by default), because keep-alive pings every 20 s.
//! To see addresses of clients and not of the proxy, set
//! [`trusted_proxies(1)`](Server::trusted_proxies), or name the networks of the proxies with
//! [`trusted_networks`](Server::trusted_networks); [`proxy_headers`](Server::proxy_headers) is for
//! those that write `Forwarded` (RFC 7239). A load balancer that passes on bytes says who the
//! client is by the PROXY protocol: see [`proxy_protocol`](Server::proxy_protocol). A proxy on the
//! same machine that sets none of the `X-Forwarded-…` headers has to be told apart from a browser
//! there: name the sites with [`Server::allowed_hosts`].
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
//! [`Server::and_bind`] adds listeners, so that one server speaks `ws://` and `wss://`. Otherwise,
//! put a proxy as above in front, or hand streams from another TLS library to
//! [`ServerHandle::accept`].
//!
//! # When servers are replaced
//!
//! [`ServerHandle::drain`] sends new clients elsewhere (a load balancer asks [`Server::health`]),
//! [`ServerHandle::shutdown`] ends the connections in good order and spreads that over a time, and
//! [`Server::max_lifetime`] makes clients come back now and then, so that they find new servers.
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
//! A page that shows who is there:
//!
//! ```no_run
//! # use sansws::server::{HttpRequest, Response, Server};
//! # fn set_up(server: Server) -> Server {
//! server.http("/debug/clients", |request: HttpRequest| async move {
//!     let line = |client: &sansws::server::Client| {
//!         let (info, queued) = (client.info(), client.queued());
//!         let age = info.opened().elapsed().as_secs();
//!         let (id, ip, rooms) = (client.id(), info.remote_ip(), client.rooms());
//!         let rtt = client.round_trip(); // by the keep-alive pings
//!         format!("{id} {ip} {age} s, {rtt:?}, {queued} bytes wait, in {rooms:?}\n")
//!     };
//!     let clients = request.hub().all().clients();
//!     Response::text(clients.iter().map(line).collect::<String>())
//! })
//! # }
//! ```
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
//! least that it does: work that takes longer belongs into a task or thread of its own.
//!
//! # Cost
//!
//! A message to a handler is lent from the receive buffer and costs no allocation; nor does one
//! that is sent to a client that keeps up. A broadcast costs three allocations, whatever the number
//! of clients.
//!
//! An idle client costs 1.7 KB of resident memory with everything that belongs to it, in 1.4 KB of
//! the heap: its task, socket, timer, handle and entry in the hub
//! (`cargo bench --bench idle_memory`, 10 000 connections). The head of its request is kept on top
//! of that, about as it was sent: some 500 bytes from a browser; and so is what the future of a
//! handler holds while it waits.
//!
//! # Limits
//!
//! | setting | default | at the limit |
//! |---|---|---|
//! | [`max_connections`] | limit on open files less 128 and room for pending ones | 503 |
//! | [`max_connections_per_ip`] | none | 429 |
//! | [`max_pending`] | 8 192 handshakes | newcomers wait, idle ones go |
//! | [`max_body_len`] | 64 KiB of a request to a handler of [`Server::http`] | 413 |
//! | [`max_message_len`] | 1 MiB | close code 1009 |
//! | [`max_receiving_bytes`] | 256 MiB of unfinished messages | close code 1013 |
//! | [`max_queued_bytes`] | 1 MiB for a client whose transport takes none | [`SlowClients`] |
//! | [`slow_after`] | 5 s in which it takes none | [`SlowClients`] |
//! | [`max_burst_bytes`] | 16 MiB for any client | [`SlowClients`] |
//! | [`max_rooms_per_client`] | 1 024 | [`JoinError`] |
//! | [`max_room_name_len`] | 256 bytes | [`JoinError`] |
//! | [`max_history_bytes`] | 64 MiB of all topics | the one not used for longest is forgotten |
//! | [`max_kept_headers`] | 4 KiB of a request | headers are left out of [`ClientInfo`] |
//! | everything in [`Config`](crate::Config) | [`Server::default_config`] | as it says there |
//!
//! [`Config::handshake_timeout`](crate::Config::handshake_timeout) is the time for a request to
//! arrive, and again the time for [`Handler::on_request`], which is given up with a 503 then.
//!
//! [`max_connections`]: Server::max_connections
//! [`max_connections_per_ip`]: Server::max_connections_per_ip
//! [`max_pending`]: Server::max_pending
//! [`max_body_len`]: Server::max_body_len
//! [`max_message_len`]: Server::max_message_len
//! [`max_receiving_bytes`]: Server::max_receiving_bytes
//! [`max_queued_bytes`]: Server::max_queued_bytes
//! [`slow_after`]: Server::slow_after
//! [`max_burst_bytes`]: Server::max_burst_bytes
//! [`max_rooms_per_client`]: Server::max_rooms_per_client
//! [`max_room_name_len`]: Server::max_room_name_len
//! [`max_history_bytes`]: Server::max_history_bytes
//! [`max_kept_headers`]: Server::max_kept_headers

mod accept;
mod client;
mod context;
mod error;
mod handle;
mod http;
mod listener;
mod observe;
mod run;
#[allow(clippy::module_inception)] // the file is named after what it holds
mod server;
#[cfg(feature = "rustls")]
mod tls;

#[cfg(feature = "rustls")]
pub use crate::tls::TlsError;
pub use accept::accept::Accept;
pub use accept::external::ExternalStream;
pub use client::client::Client;
pub use client::handler::{Handler, Received};
pub use client::handler_fn::{HandlerFn, handler_fn};
pub use client::history::{History, Missed, Position, PositionError};
pub use client::hub::Hub;
pub use client::info::ClientInfo;
pub use client::limits::SlowClients;
pub use client::target::Target;
pub use client::topic::{Published, ResumeError, Resumed, Topic};
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
pub use server::Server;
#[cfg(feature = "rustls")]
pub use tls::tls::Tls;
