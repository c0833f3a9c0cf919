//! A backplane: an engine that joins several servers, so that their rooms span all of them.
//!
//! Give each server a connection to the same engine:
//! [`Server::backplane`](crate::server::Server::backplane).
//!
//! | engine | for | feature | crates in all |
//! |---|---|---|---|
//! | [`Memory`] | several servers in one process | | 24 |
//! | `Redis::connect("redis://127.0.0.1").await?` | Redis and Valkey, by Pub/Sub | `redis` | 72 |
//! | `Nats::connect("nats://127.0.0.1").await?` | NATS, by Core NATS | `nats` | 98 |
//! | what implements [`Backplane`] | anything else | | |
//!
//! ```no_run
//! # #[cfg(feature = "redis")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use sansws::server::backplane::Redis;
//! use sansws::server::{Server, handler_fn};
//!
//! // the same on every machine
//! let engine = Redis::connect("redis://user:password@10.0.0.5").await?;
//! let server = Server::bind("ws://0.0.0.0:8181").await?.backplane(engine);
//! server
//!     .route("/", handler_fn().on_message(|client, message| client.hub().all().send(message)))
//!     .run()
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! `connect` fails where the broker cannot be reached, and says why. From then on a task keeps the
//! connection. What waits for the broker, and what has come from it and waits for the server, is
//! bounded by `max_queued`, 16 MiB each; `overflow` says what is dropped beyond that. `rediss://`
//! needs the feature `rustls` as well.
//!
//! Any node of a cluster of Redis will do, because each passes a `PUBLISH` on to all others; it is
//! one node that all is sent to. A cluster of NATS is one engine.
//!
//! # What spans servers
//!
//! | call | reaches |
//! |---|---|
//! | `hub.all().send(…)`, `hub.room(name).send(…)` | clients of all servers |
//! | the same with `.except(id)` | all of them but that one: ids differ between servers |
//! | `hub.all().close(…)`, `hub.room(name).close(…)` | clients of all servers |
//! | [`Hub::close`](crate::server::Hub::close) | the client with this id, wherever it is |
//! | `clients()`, `len()`, `hub.rooms()`, `hub.get(id)`, `hub.send_to(…)` | this server alone |
//! | a [`Topic`](crate::server::Topic), its history and what is sent to it | this server alone |
//! | [`ServerHandle::shutdown`](crate::server::ServerHandle::shutdown) | this server alone |
//!
//! There is no list of who is in a room on other servers yet, and no history that they share.
//!
//! The id of a client has a random part of its server in its upper 32 bits, one that changes with
//! each start, and a number in the lower ones. It is above 2^53: where it goes to JavaScript, send
//! it as text.
//!
//! # What is promised
//!
//! In brackets the tests, in `tests/server/backplane`: those of `scenarios.rs` run on Redis and on
//! NATS, each on one of its own.
//!
//! - Clients of the server that sends get a message at once, without the engine, and not a second
//!   time from it. That goes on while the engine is away (`rooms_span_servers`,
//!   `an_engine_that_is_killed`).
//! - A message comes to each client at most once (`every_message_is_accounted_for`). It is lost to
//!   the clients of other servers if the engine is away or loses it: nothing is sent again.
//! - What one task sends to one room comes in that order, everywhere
//!   (`every_message_arrives_in_order`). What different servers send may come in different orders
//!   to the clients of different servers.
//! - Nobody who sends or enters a room waits for the engine, nor for one that stands still. What
//!   waits for it is bounded, and what finds no room is not published:
//!   [`Target::publish`](crate::server::Target::publish) says so, and
//!   [`BackplaneStats::not_published`] counts it (`an_engine_that_stands_still`).
//! - What was under way when the connection was lost, and what has come and found no room, is
//!   counted: [`BackplaneStats::lost`] (`every_message_is_accounted_for`, `link.rs`).
//! - A server subscribes to a room while it has members there, and gets the messages of no other
//!   one (`rooms_without_members_are_not_subscribed_to`). For the first member that takes a moment,
//!   in which messages of other servers pass it by.
//! - The log is told when the connection is lost, and when it is there again with all
//!   subscriptions ([`LogEvent::BackplaneDown`](crate::server::LogEvent::BackplaneDown) and
//!   `BackplaneUp`; `an_engine_that_is_killed`, `a_restart_finds_all_subscriptions`). What was
//!   published between is lost to the clients of this server: they may be told so, or be closed, to
//!   start anew. Servers that lost a broker together come back at random times, within 5 s of its
//!   return.
//! - The end of a server ends its connections (`an_end_leaves_no_connection`): those to NATS after
//!   up to half a minute, where it stands still.
//!
//! # What is published
//!
//! The subjects are `sansws.all`, `sansws.room.NAME`, and `sansws.node.PART` for single clients of
//! one server: eight hexadecimal digits, the upper half of their ids. `NAME` is the name of the
//! room in UTF-8, percent-encoded but for letters, digits, `-`, `_` and `~`.
//! [`Server::backplane_at`](crate::server::Server::backplane_at) replaces `sansws`.
//!
//! Any program may publish: whatever does not begin with the byte 0xFF is a message, text if it is
//! valid UTF-8, and binary otherwise. So these two are a text message to the room `lobby`
//! (`anybody_may_publish`, which does it from python without a library too):
//!
//! ```text
//! redis-cli PUBLISH sansws.room.lobby hello
//! nats pub sansws.room.lobby hello
//! ```
//!
//! Servers among themselves publish an envelope, its numbers with the highest byte first:
//!
//! - byte 0: 0xFF, with which no text begins
//! - byte 1, version: 1; what has another is dropped
//! - byte 2, kind: 1 message, 2 close
//! - byte 3: the opcode of RFC 6455, 1 text, 2 binary, 9 ping, 10 pong, and 128 more if it must not
//!   be compressed; 8 for a close
//! - bytes 4 to 11, node: a number that the server has drawn at its start; it drops its own
//! - bytes 12 to 19: the id of the client to leave out, 0 for none; on the subject of a node, of
//!   the client that is meant
//! - from byte 20: the payload; for a close its code in two bytes and its reason, at most 123 bytes
//!   of UTF-8
//!
//! Whoever can publish can send to and close all clients: keep the engine from strangers.
//!
//! # Cost
//!
//! Without a backplane, a comparison for each broadcast. With one, an allocation and a copy for
//! each message that is published; one that comes is encoded, and compressed, once for each server
//! that has members in the room. Clients take no more memory. Messages go to a broker in batches,
//! whatever waits at the time: `benches/README.md` has figures.

#[cfg(any(feature = "redis", feature = "nats"))]
mod connect;
mod engine;
mod envelope;
#[cfg(any(feature = "redis", feature = "nats"))]
mod keep;
#[cfg(any(feature = "redis", feature = "nats"))]
mod link;
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod plane;
#[cfg(feature = "redis")]
mod redis;
mod settings;
mod stats;
mod subject;

#[cfg(any(feature = "redis", feature = "nats"))]
pub use connect::{ConnectError, Overflow};
pub use engine::{Backplane, EngineEvent, PublishError};
pub use memory::Memory;
#[cfg(feature = "nats")]
pub use nats::Nats;
pub(super) use plane::Plane;
#[cfg(feature = "redis")]
pub use redis::Redis;
pub use stats::{BackplaneStats, Reach};
