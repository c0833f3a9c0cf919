//! permessage-deflate: compressed messages (RFC 7692).
//!
//! Compiled in with feature `deflate`, off until [`Config::deflate`](crate::Config::deflate)
//! turns it on. Then a client offers it and a server agrees to it in the opening handshake, and
//! messages are compressed and inflated on the way. Nothing else changes: the connection, its
//! events and its limits are the same.
//!
//! ```
//! use sansws::Config;
//! use sansws::deflate::Deflate;
//!
//! let config = Config::new().deflate(Deflate::new());
//! // for sansws::tokio::connect_with, accept_with, and so on
//! # let _ = config;
//! ```
//!
//! - **What is compressed**: messages from [`Deflate::threshold`] on, unless that makes them no
//!   smaller or [`MessageRef::uncompressed`](crate::proto::MessageRef::uncompressed) says no.
//!   Messages in fragments are, whatever their length. Control frames never are.
//! - **For many receivers**:
//!   [`PreparedMessage::with_deflate`](crate::PreparedMessage::with_deflate) compresses
//!   once.
//! - **Limits**: [`Config::max_message_len`](crate::Config::max_message_len) holds for what
//!   comes out, while it comes out: a bomb costs the limit, 16 KiB of output, the decompressor and
//!   what was received of it. What goes in may be an eighth longer, which is the most that a
//!   compressor makes of a message, and a little for each fragment.
//! - **Long messages**: the tokio adapter and the event server inflate and compress 64 KiB at a
//!   time and give way to others in between; on the core there is
//!   [`Connection::work_in_steps`](crate::proto::Connection::work_in_steps).
//! - **Handshake done elsewhere**: [`handshake::deflate`](crate::handshake::deflate) and
//!   [`Connection::with_deflate`](crate::proto::Connection::with_deflate).
//!
//! # Memory
//!
//! With *context takeover* a compressor refers to earlier messages, which makes small ones much
//! smaller. For that both ends keep it in memory for as long as the connection lives, from the
//! first compressed message on. Without, an idle connection holds nothing: compressors and
//! decompressors are the thread's, at most four of each, and are lent for the duration of a
//! message.
//!
//! So a server asks for no takeover in both directions, unless it is told otherwise
//! ([`Deflate::server_no_context_takeover`], [`Deflate::client_no_context_takeover`]). A client
//! does not ask, and does what the server says.
//!
//! Bytes per idle connection, by the allocator's account (`cargo bench --bench deflate_memory`):
//!
//! | window bits | compressor | with `mem_level` 1 | with 8 | decompressor |
//! |---|---|---|---|---|
//! | 8 | 150 904 | 137 464 | 251 256 | 48 088 |
//! | 9 | 150 904 | 137 464 | 251 256 | 48 344 |
//! | 10 | 152 952 | 139 512 | 253 304 | 48 856 |
//! | 11 | 157 048 | 143 608 | 257 400 | 49 880 |
//! | 12 | 165 240 | 151 800 | 265 592 | 51 928 |
//! | 13 | 181 624 | 168 184 | 281 976 | 56 024 |
//! | 14 | 214 392 | 200 952 | 314 744 | 64 216 |
//! | 15 | 279 928 | 266 488 | 380 280 | 80 600 |
//! | no takeover | 112 | 112 | 112 | 112 |
//!
//! and about 320 KiB for each thread with connections of the last kind. A smaller window saves less
//! than one would think: a table of 128 KiB stays. The decompressor's window is 32 KiB whatever was
//! agreed; beside it, as much as the agreed window of the last output is kept, for the blocks with
//! BFINAL set that RFC 7692 allows between and inside messages and the engine takes for the end.
//!
//! # Speed
//!
//! An echo of JSON texts of 1 KiB on tokio: the payload of a reply, microseconds in memory (one
//! connection, everything in the cache), and the server's processor time with 100 connections over
//! loopback, system included. `cargo bench --bench deflate` measures again; this was one virtual
//! processor of an Intel Xeon (Sapphire Rapids), on which the engine takes twice the time of a
//! desktop machine.
//!
//! | | reply, bytes | in memory, µs | 100 connections, µs |
//! |---|---|---|---|
//! | plain | 1024 | 0.1 | 4.1 |
//! | no takeover, level 1 | 446 | 8.7 | 15.1 |
//! | no takeover, level 2 | 363 | 18.8 | 27.1 |
//! | no takeover, level 3 | 350 | 21.0 | 30.9 |
//! | no takeover, level 6 | 348 | 21.4 | 33.0 |
//! | no takeover, level 1, mem 8 | 446 | 9.8 | 16.8 |
//! | no takeover, level 6, 12 bits | 348 | 21.3 | 33.4 |
//! | takeover, level 1 | 287 | 4.8 | 25.6 |
//! | takeover, level 2 | 244 | 12.8 | 35.8 |
//! | takeover, level 3 | 221 | 14.7 | 41.7 |
//! | takeover, level 6 | 189 | 26.6 | 58.0 |
//! | takeover, level 1, 12 bits | 311 | 5.8 | 19.2 |
//! | takeover, level 1, mem 8 | 287 | 4.8 | 26.1 |
//!
//! What 100 connections cost over one is the cache: with takeover every connection has a compressor
//! of its own, of which a message touches some 100 KiB, and without it the one of the thread is
//! cleared before every message. So: level 2, the default, without takeover for most; level 1 where
//! processors are short, with takeover where bytes are and a smaller window in between; higher
//! levels for few and large messages.
//!
//! By length and level, without takeover, in memory (a slower machine, an AMD EPYC; microseconds
//! and bytes):
//!
//! | | 1 | 2 | 3 | 6 |
//! |---|---|---|---|---|
//! | 300 B | 10, 176 | 19, 155 | 20, 153 | 17, 153 |
//! | 1 KiB | 9.5, 415 | 23, 334 | 26, 318 | 27, 314 |
//! | 4 KiB | 21, 1 322 | 44, 989 | 55, 907 | 63, 840 |
//! | 16 KiB | 63, 4 825 | 133, 3 550 | 183, 3 180 | 270, 2 794 |
//! | 64 KiB | 373, 18 474 | 864, 13 567 | 1 073, 11 857 | 2 379, 9 973 |
//!
//! # Security
//!
//! The length of a compressed message tells how much of it repeats. Who can make a victim send
//! chosen bytes beside a secret, in one message or with takeover in one connection, and sees the
//! lengths on the wire (TLS does not hide them), can guess the secret piece by piece: CRIME and
//! BREACH, RFC 7692 §8. Keep secrets out: send what holds them with
//! [`uncompressed`](crate::proto::MessageRef::uncompressed), and do not turn on takeover where
//! users can address each other.
//!
//! Inflating is work that the peer decides about: a byte may become a thousand. The limit on
//! messages bounds it, and what arrives is inflated as it arrives.
//!
//! # Windows of 256 bytes
//!
//! 8 window bits are legal, and no engine of the zlib family makes them; some fail on the value.
//! Here such a connection compresses with 9 and never refers farther back than 250 bytes, which is
//! a property of the engine that the tests hold on to.
#![forbid(unsafe_code)]

mod compressor;
mod decompressor;
mod history;
mod params;
mod pool;
mod settings;

pub use params::Agreement;
pub use settings::Deflate;

pub(crate) use compressor::{Compressor, CompressorKind};
pub(crate) use decompressor::{Decompressor, Progress, Stop, ends_with_tail};
pub(crate) use params::{NAME, Params};
pub(crate) use pool::{keep_compressor, keep_decompressor, take_compressor, take_decompressor};
