//! The halves of a split socket, in tasks of their own.
//!
//! | what is promised | where it is tested |
//! |---|---|
//! | both directions at once, over every kind of stream | `full_duplex` |
//! | messages of many senders go out whole, in the order of each | `senders` |
//! | a half that only receives answers pings and Close | `answers` |
//! | a sender learns of the end, also while it is blocked | `endings` |
//! | the halves wake each other; time-outs hold whoever waits | `timeouts` |
//! | unsent bytes are bounded, and leave | `backlog` |
//! | a dropped future loses and tears nothing, and steals no wake-up | `cancelled`, `wakeups` |
//! | halves come together again, and go away when dropped | `halves` |

mod answers;
mod backlog;
mod cancelled;
mod endings;
mod full_duplex;
mod halves;
mod peer;
mod senders;
mod timeouts;
mod wakeups;
