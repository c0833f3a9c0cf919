use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use crate::handshake::server as handshake;

/// How a handshake is accepted.
#[derive(Default)]
#[must_use]
pub struct Accept {
    pub(crate) subprotocol: Option<String>,
    headers: Vec<(String, String)>,
    pub(crate) state: Option<Box<dyn Any + Send + Sync>>,
}

impl Accept {
    /// Without a subprotocol, further headers and state.
    pub const fn new() -> Self {
        Self { subprotocol: None, headers: Vec::new(), state: None }
    }

    /// Chooses one of [`Request::subprotocols`](crate::server::Request::subprotocols). Any other is answered with status 500.
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

    /// Keeps a value with the connection, for as long as there is a [`Client`](crate::server::Client) of it:
    /// [`Client::state`](crate::server::Client::state) gives it back, to whoever holds the client. One value;
    /// the last one counts.
    ///
    /// What is to change needs a `Mutex` or an atomic: other tasks may look at the same time.
    pub fn state(mut self, state: impl Send + Sync + 'static) -> Self {
        self.state = Some(Box::new(state));
        self
    }

    pub(crate) fn headers(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub(crate) fn accept<'a>(&'a self, headers: &'a [(&'a str, &'a str)]) -> handshake::Accept<'a> {
        handshake::Accept { subprotocol: self.subprotocol.as_deref(), headers }
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").field("subprotocol", &self.subprotocol).finish_non_exhaustive()
    }
}
