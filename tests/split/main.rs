//! The halves of a split socket, in tasks and in threads of their own.
//!
//! | what is promised | where it is tested |
//! |---|---|
//! | both directions at once, over every kind of stream | `full_duplex`, `threads` |
//! | messages of many senders go out whole, in the order of each | `senders`, `threads` |
//! | a half that only receives answers pings and Close | `answers`, `threads` |
//! | a sender learns of the end, also while it is blocked | `endings`, `threads_endings` |
//! | the halves wake each other; time-outs hold whoever waits | `timeouts`, `threads_endings` |
//! | unsent bytes are bounded, and leave | `backlog` |
//! | a dropped future loses and tears nothing, and steals no wake-up | `cancelled`, `wakeups` |
//! | halves come together again, and go away when dropped | `halves` |
#![cfg(feature = "tokio")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod answers;
mod backlog;
mod cancelled;
mod endings;
mod full_duplex;
mod halves;
mod peer;
mod senders;
mod threads;
mod threads_endings;
mod timeouts;
mod wakeups;
mod wire;
