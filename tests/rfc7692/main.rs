//! RFC 7692, permessage-deflate, on connections in memory.
//!
//! | what the RFC demands | where it is tested |
//! |---|---|
//! | offers and answers, both ends (§5, §7.1) | `negotiation`, and through the handshakes `handshake` |
//! | the reserved bit (§6.1) | `receiving`, `sending`, `fragments` |
//! | inflating: examples, cut off, corrupt, empty (§7.2.2, §7.2.3) | `receiving` |
//! | blocks with BFINAL set (§7.2.1, §7.2.3.4) | `final_blocks` |
//! | compressing: windows, takeover, the tail (§7.2.1) | `sending`, `windows`, `fragments`, `prepared` |
//! | limits, on what comes out and on what goes in (RFC 6455 §10.4) | `limits`, and in bytes of memory `../deflate_memory.rs` |
//! | any cut of the bytes makes the same events | `splits` |
//! | one call does only so much | `steps` |
//!
//! What is compressed is read by an inflater of the tests' own, `reference`.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "../rfc6455/pair.rs"]
#[allow(dead_code)] // every test target uses a part of it
mod pair;

mod final_blocks;
mod fragments;
mod handshake;
mod limits;
mod negotiation;
mod prepared;
mod receiving;
mod reference;
mod sending;
mod splits;
mod steps;
mod support;
mod windows;
