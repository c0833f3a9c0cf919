use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::handshake::server as handshake;
use crate::server::client::values::Values;

/// The way in which a handler accepts a handshake:
/// [`Handler::on_request`](crate::server::Handler::on_request).
#[derive(Default)]
#[must_use]
pub struct Accept {
    pub(crate) subprotocol: Option<String>,
    headers: Vec<(String, String)>,
    pub(crate) values: Values,
}

impl Accept {
    /// Accepts without a subprotocol, further headers and state.
    pub const fn new() -> Self {
        Self { subprotocol: None, headers: Vec::new(), values: Values::new() }
    }

    /// Chooses one of [`Request::subprotocols`](crate::server::Request::subprotocols). Any other is
    /// answered with status 500.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// Adds a header, such as a cookie. One that HTTP does not allow, or that the handshake writes
    /// itself, is answered with status 500.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Keeps a value with the connection, for as long as there is a
    /// [`Client`](crate::server::Client) of it: [`Client::state`](crate::server::Client::state)
    /// lends it to whoever holds the client, by its type. Of several of one type the last counts.
    ///
    /// A value that is to change needs a `Mutex` or an atomic: other tasks may look at the same
    /// time.
    pub fn client_state(mut self, state: impl Send + Sync + 'static) -> Self {
        self.values.put(state);
        self
    }

    /// Adds what another function accepts with: its headers and values, and its subprotocol if it
    /// has chosen one.
    pub fn and(mut self, other: Self) -> Self {
        self.subprotocol = other.subprotocol.or(self.subprotocol);
        self.headers.extend(other.headers);
        self.values.append(other.values);
        self
    }

    /// Returns the same in the terms of the handshake.
    pub(crate) fn as_handshake(&self) -> handshake::Accept<'_> {
        let accept = handshake::Accept::new().subprotocol(self.subprotocol.as_deref());
        self.headers.iter().fold(accept, |accept, (name, value)| accept.header(name, value))
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").field("subprotocol", &self.subprotocol).finish_non_exhaustive()
    }
}
