//! RFC 7692, permessage-deflate, on connections in memory.
//!
//! | what the RFC demands | where it is tested |
//! |---|---|
//! | offers and answers, both ends (§5, §7.1) | `negotiation`, `handshake` |
//! | the reserved bit (§6.1) | `receiving`, `sending`, `fragments` |
//! | inflating: examples, cut off, corrupt, empty (§7.2.2, §7.2.3) | `receiving` |
//! | blocks with BFINAL set (§7.2.1, §7.2.3.4) | `final_blocks` |
//! | compressing: windows, takeover (§7.2.1) | `sending`, `windows`, `fragments`, `prepared` |
//! | limits, on what comes out and goes in (RFC 6455 §10.4) | `limits`, `tests/memory/deflate.rs` |
//! | any cut of the bytes makes the same events | `splits` |
//! | one call does only so much | `steps` |
//!
//! What is compressed is read by an inflater of the tests' own, `sansws_test::inflate`.

mod final_blocks;
mod fragments;
mod handshake;
mod limits;
mod negotiation;
mod prepared;
mod receiving;
mod sending;
mod splits;
mod steps;
pub mod support;
mod windows;
