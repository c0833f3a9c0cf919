//! A backplane: an engine that joins several servers, so that their rooms span all of them.
//!
//! Give each server a connection to the same engine:
//! [`Server::backplane`](crate::server::Server::backplane).
//!
//! | engine | for | feature | crates in all |
//! |---|---|---|---|
//! | [`Memory`] | several servers in one process | | 24 |
//! | `Redis::connect("redis://127.0.0.1").await?` | Redis and Valkey | `redis` | 72 |
//! | `Nats::connect("nats://127.0.0.1").await?` | NATS | `nats` | 106 |
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
//! bounded by `max_queued`, 16 MiB each; `overflow` says what is dropped beyond that.
//!
//! User and password are in the URL. With TLS it is one of `rediss://`, which needs the feature
//! `rustls` as well, or `tls://` of NATS; [`BrokerTls`] has an authority of your own, and a
//! certificate for a broker that asks for one (tests `tls_is_verified` of both). Over a network
//! that others share use TLS: passwords and messages are in the clear without it.
//!
//! Any node of a cluster of Redis will do, because each passes a `PUBLISH` on to all others; it is
//! one node that all is sent to. A cluster of NATS is one engine.
//!
//! When that is due, and what an engine carries, is in the guide to
//! [scaling](crate::guide::scaling).
//!
//! # What spans servers
//!
//! | call | reaches |
//! |---|---|
//! | `hub.all().send(…)`, `hub.room(name).send(…)` | clients of all servers |
//! | the same with `.except(id)` | all of them but that one: ids differ between servers |
//! | `hub.all().close(…)`, `hub.room(name).close(…)` | clients of all servers |
//! | [`Hub::send_to`](crate::server::Hub::send_to) | the client with this id, wherever it is |
//! | [`Hub::close`](crate::server::Hub::close) | the same |
//! | [`Target::everywhere`](crate::server::Target::everywhere) | [clients of all](#who-is-where) |
//! | `clients()`, `len()`, `hub.rooms()`, `hub.get(id)` | this server alone |
//! | a [`SharedTopic`](crate::server::SharedTopic) | [clients of all](#rooms-that-remember) |
//! | a [`Topic`](crate::server::Topic), its history and what is sent to it | this server alone |
//! | [`ServerHandle::shutdown`](crate::server::ServerHandle::shutdown) | this server alone |
//!
//! The id of a client has a random part of its server in its upper 32 bits, one that changes with
//! each start, and a number in the lower ones. It is above 2^53: where it goes to JavaScript, send
//! it as text.
//!
//! # What is promised
//!
//! In brackets the tests, in `tests/server/backplane`: those of `scenarios.rs` and `cluster` run on
//! Redis and on NATS, each on one of its own.
//!
//! - Clients of the server that sends get a message at once, without the engine, and not a second
//!   time from it. That goes on while the engine is away (`rooms_span_servers`,
//!   `an_engine_that_is_killed`).
//! - A message comes to each client at most once (`every_message_is_accounted_for`). It is lost to
//!   the clients of other servers if the engine is away or loses it: nothing is sent again.
//! - What one task sends to one room comes in that order, everywhere
//!   (`every_message_arrives_in_order`). What different servers send may come in different orders
//!   to the clients of different servers.
//! - A server that gets messages of another one knows when some of them have not come: they are
//!   numbered. [`BackplaneStats::missed`] counts them when a later one comes to the same room, and
//!   the log is told ([`LogEvent::BackplaneMissed`](crate::server::LogEvent::BackplaneMissed); test
//!   `what_is_lost_between_servers_is_counted`). A server that comes later, is started again, or
//!   had nobody in the room has missed nothing (`who_comes_later_has_missed_nothing`); but messages
//!   that are on their way while all leave a room and others enter it may make it count too many.
//! - So nothing is lost in silence: with three servers, 600 clients, and servers and brokers that
//!   are killed, held up and cut off, each message comes to each client, or is not published, or
//!   the server of the clients that lack it counts it (`a_cluster_loses_nothing_silently`). The
//!   exception is what a server had not sent when it was killed: only its own clients, whose
//!   connections end, can know of it.
//! - What an engine carries twice, or late, is dropped ([`BackplaneStats::duplicates`]).
//! - Messages to 65 536 rooms at a time are kept account of, in up to 6 MB for those that are sent
//!   and as much for those that come. With more, some of what is missed is not noticed.
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
//! # Who is where
//!
//! With [`Server::presence`](crate::server::Server::presence) each server tells the others how many
//! clients it has, and how many members in each room, and keeps account of what they tell:
//!
//! ```
//! # use sansws::server::Hub;
//! # fn count(hub: &Hub) {
//! let in_lobby = hub.room("lobby").everywhere().len();
//! let in_all = hub.all().everywhere().len();
//! for server in hub.servers() {
//!     println!("{:08x}: {} clients", server.id, server.clients);
//! }
//! # }
//! ```
//!
//! - What changes is known to the others after a quarter of a second and the way there
//!   ([`Presence::pace`]; test `counts_span_servers`).
//! - What is lost on the way is noticed with the next message, at the latest after 5 s
//!   ([`Presence::interval`]), and asked for: the numbers become right again
//!   (`counts_become_right_again`). A server whose rooms are not all known yet says so:
//!   [`ServerInfo::is_complete`].
//! - A server that is new asks for all that the others have, and gets it within some two seconds
//!   and another one for each 30 000 rooms (`who_comes_later_learns_all`).
//! - A server that is shut down says goodbye, and is forgotten at once if that arrives. One that is
//!   gone without a word, or cut off, is forgotten after 16 s ([`Presence::expiry`]), and known
//!   again when it is back (`servers_that_are_gone_are_forgotten`). While the engine is away, each
//!   server has its own clients alone, after that time.
//! - The ids of members are not told, but [asked for](Everywhere::members), within a time and up to
//!   a number (`members_are_told_when_asked_for`).
//!
//! It costs a server, for each room of each other server, its name and some 80 bytes: 100 MB for a
//! million. An announcement has 6 bytes and the name for each room that has changed, at most once
//! for each in a quarter of a second, however many come and go (`announcements_are_paced`); an idle
//! server sends 40 bytes in 5 s. To enter and to leave a room takes a lock and an entry in a map
//! more. Clients take no more memory. Without `Server::presence` nothing is told, and nothing costs
//! anything (`nothing_is_told_unless_it_is_set`).
//!
//! All of this is in memory, of the servers alone: the engine keeps nothing.
//!
#![forbid(unsafe_code)]
#![doc = include_str!("remembering.md")]
//!
//! # What is published
//!
//! The subjects are `sansws.all`, `sansws.room.NAME`, `sansws.node.PART` for one server and its
//! clients, eight hexadecimal digits, the upper half of their ids, and `sansws.presence` for all
//! servers that keep account of who is where. `NAME` is the name of the
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
//! - byte 2, kind: 1 message, 2 close; 3 to 8 who is where; 9 a message that is kept
//! - byte 3: the opcode of RFC 6455, 1 text, 2 binary, 9 ping, 10 pong, and 128 more if it must not
//!   be compressed; 8 for a close; and 64 more if there is a number
//! - bytes 4 to 11, node: a number that the server has drawn at its start; it drops its own
//! - bytes 12 to 19: the id of the client to leave out, 0 for none; on the subject of a node, of
//!   the client that is meant
//! - if there is a number, 4 bytes for a stream, and 8 for the place in it: 1 for the first message
//!   of this server to this subject in this stream, also for one that the engine did not take;
//!   another stream begins when a server has forgotten the last one. What has no number is neither
//!   missed nor dropped
//! - the rest is the payload; for a close its code in two bytes and its reason, at most 123 bytes
//!   of UTF-8
//!
//! Who is where, with 0 in byte 3 and for the id; a name is 2 bytes for its length, and its UTF-8:
//!
//! - kind 3, a change, to all: a revision in 8 bytes, from 1 and one more each time; the number of
//!   all clients in 8; the milliseconds after which the server is gone, in 4; and rows: the name of
//!   a room, and in 4 bytes how many members it has now
//! - kind 4, a part of the state, to one: the first three as above, with the revision of the last
//!   change; a byte, 1 if there is another part; the name where this part begins; if there is
//!   another, the name where that begins; and the rows of all rooms between that have members. Of
//!   two rows for a room the one of the later revision counts, so that parts and changes may
//!   overtake each other
//! - kind 5: all rooms, please; to one or to all
//! - kind 6: goodbye
//! - kind 7, a question for ids: a number in 8 bytes; then 0 for all clients, or 1 and the name of
//!   a room without its length
//! - kind 8, a part of the answer: the number; a byte, 1 in the last part, and 2 more if there are
//!   more ids than may be told; in 4 bytes how many came in the parts before; and ids
//!
//! A message that the engine has kept, with 0 in byte 3 and for the id, on the subject of its room:
//! kind 9, its epoch in 8 bytes, its offset in 8, and the bytes that are kept.
//!
//! Whoever can publish can send to and close all clients: keep the engine from strangers.
//!
//! # Cost
//!
//! Without a backplane, a comparison for each broadcast. With one, an allocation and a copy for
//! each message that is published, 32 bytes in front of its payload, and a look into a map of the
//! subjects, as for each that comes; one that comes is encoded, and compressed, once for each
//! server that has members in the room. Clients take no more memory. Messages go to a broker in
//! batches, whatever waits at the time: `benches/README.md` has figures.

#[cfg(any(feature = "redis", feature = "nats"))]
mod connect;
mod engine;
mod envelope;
mod everywhere;
pub(super) mod follow;
pub(super) mod fuzzing;
#[cfg(feature = "nats")]
mod jetstream;
#[cfg(any(feature = "redis", feature = "nats"))]
mod keep;
#[cfg(any(feature = "redis", feature = "nats"))]
mod link;
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod notice;
mod numbers;
mod peers;
mod plane;
mod presence;
#[cfg(feature = "redis")]
mod redis;
mod roster;
mod settings;
mod stats;
pub(super) mod store;
#[cfg(feature = "redis")]
mod streams;
mod subject;
#[cfg(any(feature = "nats", all(feature = "redis", feature = "rustls")))]
mod tls;

#[cfg(any(feature = "redis", feature = "nats"))]
pub use connect::{ConnectError, Overflow};
pub use engine::{Backplane, EngineEvent, PublishError};
pub use everywhere::{Everywhere, Members, ServerInfo};
pub use memory::Memory;
#[cfg(feature = "nats")]
pub use nats::Nats;
pub(super) use plane::Plane;
pub use presence::Presence;
#[cfg(feature = "redis")]
pub use redis::Redis;
pub use stats::{BackplaneStats, Reach};
pub use store::{Answer, Append, Appended, HistoryError, Page, Read, Store};
#[cfg(any(feature = "nats", all(feature = "redis", feature = "rustls")))]
pub use tls::BrokerTls;
