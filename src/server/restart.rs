//! Listeners that outlive a process, or are shared with the next one.
#![forbid(unsafe_code)]

use alloc::vec;

use super::accept::lifecycle::Listening;
use super::error::ServerError;
use super::handle::ServerHandle;
use super::listener::Listener;
use super::server::Server;

impl Server {
    /// Listens on an address that others share (`SO_REUSEPORT`), as [`bind`](Self::bind) does
    /// otherwise: other processes of the same user, for a [restart](super#restarts) that no client
    /// notices, or other servers of this one. The operating system spreads new connections over
    /// all who listen there: Linux evenly, others perhaps to the last one only.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), and [`ServerError::Io`] where it cannot be done (Windows).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the listener.
    pub async fn bind_shared(address: &str) -> Result<Self, ServerError> {
        Ok(Self::new(vec![Listener::bind(address, true).await?]))
    }

    /// Listens on another address that others share: see [`bind_shared`](Self::bind_shared) and
    /// [`and_bind`](Self::and_bind).
    ///
    /// # Errors
    ///
    /// Those of [`bind_shared`](Self::bind_shared).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the server.
    pub async fn and_bind_shared(mut self, address: &str) -> Result<Self, ServerError> {
        self.listeners.push(Listener::bind(address, true).await?);
        Ok(self)
    }
}

impl ServerHandle {
    /// Closes the listeners without losing a client that is on its way, and waits until all who
    /// came by them have an answer. Connections go on, and so does
    /// [`Server::run`](super::Server::run): the next step is [`shutdown`](Self::shutdown).
    ///
    /// For a server that another one has taken the place of, on the same port: the operating system
    /// gives new connections to that one from now on. Where the server has bound its address itself
    /// ([`Server::bind`](super::Server::bind), [`bind_shared`](super::Server::bind_shared)), those
    /// that wait in its queue are accepted, and for half a second those whose connection is being
    /// made; on Linux whoever else comes meanwhile is not answered, tries again after a second, and
    /// reaches the other one. A listener that was made elsewhere is closed at once: its queue
    /// belongs to whoever else has it open, and is lost if nobody has.
    ///
    /// Takes half a second, up to another one for connections that have sent nothing, and for
    /// handshakes under way twice
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout) at the most. A server that
    /// does not run yet will close its listeners when it does. To turn clients away instead, there
    /// is [`drain`](Self::drain): after it, those that are still accepted get a 503.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future once it was polled leaves a server that closes its listeners.
    pub async fn stop_listening(&self) {
        self.lifecycle.listen_no_more(Listening::Closing);
        if self.acceptor.get().is_some() {
            // it runs, or has run
            self.lifecycle.listens_no_more(Listening::Closed).await;
        }
    }
}
