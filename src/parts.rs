#![forbid(unsafe_code)]

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;
use std::time::Instant;

use crate::buf::{RecvBuffer, SendBuffer};
use crate::driver::{Driver, Rest};
use crate::proto::{Connection, Receiver};

/// Parts of a WebSocket: the stream, the state of the connection, and the bytes on either side of
/// it.
///
/// [`WebSocket::into_parts`](crate::blocking::WebSocket::into_parts) of either adapter takes a
/// socket apart, at any moment and without losing a byte; `from_parts` of the same or the other one
/// puts it together again. In between, a program of its own can drive the connection, or take the
/// stream: to end TLS in good order behind the closing handshake, for example. A Close of the peer
/// that was found and not delivered yet is answered then.
///
/// A `WebSocket` whose opening handshake was done elsewhere begins with [`new`](Self::new).
#[non_exhaustive]
pub struct Parts<S> {
    /// The stream.
    pub io: S,
    /// The state of the connection.
    pub connection: Connection,
    /// Bytes that were read from the stream, and messages in them that were not taken.
    pub rx: RecvBuffer,
    /// Bytes that are to be written to the stream before any other.
    pub tx: SendBuffer,
    /// Beginning of the connection's time; that is still to come while this is `None`.
    pub(crate) epoch: Option<Instant>,
    pub(crate) rest: Rest,
    pub(crate) subprotocol: Option<Box<str>>,
}

impl<S> Parts<S> {
    /// Makes a new connection of a stream. Bytes that were read behind the head of the handshake go
    /// into `rx` first ([`RecvBuffer::extend_from_slice`]).
    pub fn new(io: S, connection: Connection, rx: RecvBuffer) -> Self {
        let (tx, rest) = (SendBuffer::new(), Rest::new());
        Self { io, connection, rx, tx, epoch: None, rest, subprotocol: None }
    }

    /// Returns the time of the connection, for
    /// [`handle_timeout`](Connection::handle_timeout): zero for one that no adapter has driven.
    pub fn now(&self) -> Duration {
        self.epoch.map_or(Duration::ZERO, |epoch| epoch.elapsed())
    }

    /// Exchanges the stream for what `map` makes of it: the same one for another runtime, or with a
    /// layer less.
    pub fn map_io<T>(self, map: impl FnOnce(S) -> T) -> Parts<T> {
        let Self { io, connection, rx, tx, epoch, rest, subprotocol } = self;
        Parts { io: map(io), connection, rx, tx, epoch, rest, subprotocol }
    }

    /// Puts together what an adapter has taken apart.
    pub(crate) fn of(
        io: S,
        receiver: Receiver,
        rx: RecvBuffer,
        driver: Driver,
        epoch: Instant,
    ) -> Self {
        let (sender, mut tx, rest) = driver.into_parts();
        let mut connection = Connection::join(receiver, sender, &rx, &mut tx);
        // whoever drives it next need not know of steps
        connection.work_in_steps(usize::MAX);
        while !connection.proceed(&mut tx) {}
        Self { io, connection, rx, tx, epoch: Some(epoch), rest, subprotocol: None }
    }
}

impl<S: fmt::Debug> fmt::Debug for Parts<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("io", &self.io)
            .field("state", &self.connection.state())
            .field("rx", &self.rx)
            .field("tx", &self.tx)
            .finish_non_exhaustive()
    }
}
