//! A backplane: an engine that joins several servers, so that their rooms span all of them.
//!
//! Give each server a connection to the same engine:
//! [`Server::backplane`](crate::server::Server::backplane). There is [`Memory`] for several
//! servers in one process; any other engine implements [`Backplane`]. Engines for brokers, such as
//! Redis or NATS, are not part of the crate yet.
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
//! - Clients of the server that sends get a message at once, without the engine, and not a second
//!   time from it. That goes on while the engine is away.
//! - A message comes to each client at most once. It is lost to the clients of other servers if the
//!   engine is away or loses it: nothing is sent again.
//! - What one task sends to one room comes in that order, everywhere. What different servers send
//!   may come in different orders to the clients of different servers.
//! - Nobody who sends or enters a room waits for the engine. What waits for it is bounded, and what
//!   finds no room is not published: [`Target::publish`](crate::server::Target::publish) says so,
//!   and [`BackplaneStats::not_published`] counts it.
//! - A server subscribes to a room while it has members there, and gets the messages of no other
//!   one. For the first member that takes a moment, in which messages of other servers pass it by.
//! - The log is told when the connection is lost, and when it is there again with all
//!   subscriptions ([`LogEvent::BackplaneDown`](crate::server::LogEvent::BackplaneDown) and
//!   `BackplaneUp`). What was published between is lost to the clients of this server: they may be
//!   told so, or be closed, to start anew.
//!
//! # What is published
//!
//! The subjects are `sansws.all`, `sansws.room.NAME`, and `sansws.node.PART` for single clients of
//! one server: eight hexadecimal digits, the upper half of their ids. `NAME` is the name of the
//! room in UTF-8, percent-encoded but for letters, digits, `-`, `_` and `~`.
//! [`Server::backplane_at`](crate::server::Server::backplane_at) replaces `sansws`.
//!
//! Any program may publish: whatever does not begin with the byte 0xFF is a message, text if it is
//! valid UTF-8, and binary otherwise. So the text `hello`, published to `sansws.room.lobby` by
//! whatever an engine has for that, is a text message to the room `lobby`.
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
//! that has members in the room. Clients take no more memory.

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
