//! Pages to read: they have no items. Every program in them is compiled with the tests, and run
//! where it needs no network.
//!
//! - [Getting started](getting_started): a chat in ten minutes.
//! - [A server in production](production): proxies, TLS, limits, shutdown, metrics.
//! - [Clients](clients): TLS, proxies, headers, errors, connecting again, streams of bytes.
//! - [Compression](compression): when it pays, what it costs, what it gives away.
//! - [Backpressure and fairness](backpressure): peers that read slowly, and those that send fast.
//! - [Security](security): threats, and what the defaults do about them.
//! - [Scaling](scaling): how far one machine goes, and what to do beyond it.
//! - [Testing](testing): in memory, in virtual time, without a socket.
//! - [The command line](command_line): a program to talk to servers and to check them.
//! - [Coming from …](coming_from): what you know from another library, and what it is called here.
//! - [Programs](programs): a chat, rooms, topics, publishing over HTTP and more, in 40 lines each.
//! - [Pictures](pictures): the layers, how a connection ends, and where memory goes.
//!
//! Elsewhere:
//!
//! - [Embedding](crate::endpoint#embedding): a runtime, a game loop or a device of your own.
//! - [Inside another HTTP stack](crate::handshake#inside-another-http-stack): axum, hyper, h2.
//! - [Limits and their defaults](crate::Config#limits-and-their-defaults).
#![forbid(unsafe_code)]

pub mod coming_from;
pub mod pictures;
pub mod programs;

pub mod getting_started {
    #![doc = include_str!("getting_started.md")]
}

pub mod production {
    #![doc = include_str!("production.md")]
    #![doc = include_str!("proxies.md")]
    //!
    #![doc = include_str!("running.md")]
}

pub mod clients {
    #![doc = include_str!("clients.md")]
}

pub mod compression {
    #![doc = include_str!("compression.md")]
}

pub mod backpressure {
    #![doc = include_str!("backpressure.md")]
}

pub mod security {
    #![doc = include_str!("security.md")]
}

pub mod scaling {
    #![doc = include_str!("scaling.md")]
}

pub mod testing {
    #![doc = include_str!("testing.md")]
}

pub mod command_line {
    #![doc = include_str!("command_line.md")]
}
