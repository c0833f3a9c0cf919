use core::time::Duration;

use super::EndpointError;
use crate::handshake::{client, server};
use crate::proto::Event;

/// The next thing to do for an [`Endpoint`](super::Endpoint). Its documentation has the table.
#[derive(Debug)]
#[must_use = "nothing goes on until this is done"]
#[allow(clippy::exhaustive_enums)] // callers must know all of them to act on them
#[allow(clippy::large_enum_variant)] // the large ones come once in a connection
pub enum Step<'b> {
    /// Write what the send buffer holds, or the beginning of it.
    Write,
    /// Read into the receive buffer.
    Read {
        /// When to call [`handle_timeout`](super::Endpoint::handle_timeout) if nothing comes; zero
        /// is at once.
        until: Option<Duration>,
    },
    /// Wait until the transport takes bytes, and read nothing: there is too much unsent to take in
    /// more. On a server that has not decided on the request: wait for that.
    Wait {
        /// As in [`Read`](Self::Read).
        until: Option<Duration>,
    },
    /// Go on as soon as others have had their turn: there is more to be taken from the receive
    /// buffer, which takes a while.
    Again,
    /// Shut down the sending direction and go on reading. Closing with unread data would make TCP
    /// discard what is on its way to the peer. Where the transport cannot do that, go on without.
    ShutdownWrite,
    /// A client asks a server: [`accept`](super::Endpoint::accept) or
    /// [`reject`](super::Endpoint::reject) it. Comes once.
    Request(server::Request),
    /// The server has accepted: the connection is open. Comes once on a client.
    Response(client::Accepted),
    /// A message, a part of one, or a control frame. Pings and the peer's Close are answered
    /// already.
    Event(Event<'b>),
    /// It is over: close the transport. `Ok` after a complete closing handshake, and after a
    /// request that the caller rejected. Every later step is the same.
    Close(Result<(), EndpointError>),
}
