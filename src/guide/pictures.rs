//! Pictures: the layers, how a connection ends, and where memory goes.
//!
//! # Layers
//!
//! An arrow points at what is used. [`endpoint`](crate::endpoint) says how to put the core into a
//! loop of your own, and `ARCHITECTURE.md` in the repository says more about each layer.
//!
#![doc = include_str!("pictures/layers.svg")]
//!
//! # How a connection ends
//!
//! What you see of it is [`State`](crate::proto::State): `Open`, then `Closing` (the three boxes in
//! the middle and to the right of it), then `Closed`; and, once it is over, a
//! [`CloseInfo`](crate::proto::CloseInfo).
//!
#![doc = include_str!("pictures/closing.svg")]
//!
//! | state | may you send? | does the peer's data arrive? | transport ([`Transport`]) |
//! |---|---|---|---|
//! | Open | yes | yes | is kept open |
//! | CloseSent | no | yes: it may not have seen your Close yet | is kept open |
//! | CloseDone | no | no | a server shuts its side down (RFC 6455 §7.1.1), a client reads on |
//! | Failed | no | no | this side is shut down, and what comes is read and dropped |
//! | closed | no | no | is closed |
//!
//! Each wait has an end: [`Config::close_timeout`] for the peer's Close and then for the end of its
//! stream, [`Config::pong_timeout`] for a peer that says nothing.
//!
//! # Where memory goes
//!
//! By the benchmark `idle_memory` (10 000 connections) and the sizes in `/proc/slabinfo` of Linux;
//! [the event server](crate::server#cost) has the text to it. A `WebSocket` of the tokio adapter
//! without the server takes 1.5 KB in place of 1.8 KB.
//!
#![doc = include_str!("pictures/memory.svg")]
//!
//! [`Config::close_timeout`]: crate::Config::close_timeout
//! [`Config::pong_timeout`]: crate::Config::pong_timeout
//! [`Transport`]: crate::proto::Transport
