#![forbid(unsafe_code)]

use alloc::sync::{Arc, Weak};
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::OnceLock;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::accept::acceptor::{Accepted, Acceptor};
use super::accept::external::ExternalStream;
use super::accept::lifecycle::{Lifecycle, Phase, Stop};
use super::accept::permits::{HandshakePermit, TaskGuard};
use super::accept::refusal::{Refusal, internal_error, unavailable};
use super::client::hub::Hub;
use super::client::stream::ClientStream;
use super::error::ServeError;
use super::http::request::Peer;
use super::http::response::Response;
use crate::handshake::server::{self as handshake, AcceptError, Upgrade};
use crate::proto::SendError;
use crate::tokio::WebSocket;
use crate::wire::CloseCode;

/// A handle on a server: it drains and ends it, and brings it streams and handshakes that were
/// accepted elsewhere. It may be used from any task or thread; cloning it costs a few reference
/// counts.
#[derive(Clone)]
pub struct ServerHandle {
    pub(crate) lifecycle: Arc<Lifecycle>,
    /// Set once the server runs, dead once it is over.
    pub(crate) acceptor: Arc<OnceLock<Weak<Acceptor>>>,
    pub(crate) hub: Hub,
}

impl ServerHandle {
    /// Shuts the server down: it accepts nothing more, answers handshakes under way, and those that
    /// wait in the queue of the operating system, with status 503, closes all connections with this
    /// code and reason, and waits for them and their handlers up to the deadline. What is left then
    /// is aborted. [`Server::run`](super::Server::run) returns after that, and so does this.
    ///
    /// The Close frames are spread over [`Server::close_window`](super::Server::close_window), so
    /// that the clients do not all come back at the same time.
    ///
    /// [`CloseCode::GOING_AWAY`] is the usual code, [`CloseCode::SERVICE_RESTART`] says that coming
    /// back helps. When it is called again, the first call counts; all of them return when it is
    /// over. A server that does not run yet will not run. If its future is there, and nobody polls
    /// it, this returns when that is dropped.
    ///
    /// # Errors
    ///
    /// [`SendError::ReasonTooLong`]; nothing was done then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future once it was polled leaves a server that shuts down.
    pub async fn shutdown(
        &self,
        code: CloseCode,
        reason: &str,
        deadline: Duration,
    ) -> Result<(), SendError> {
        SendError::check_reason(reason)?;
        let now = Instant::now();
        let until = now.checked_add(deadline).unwrap_or(now + A_GENERATION);
        self.lifecycle.stop(Stop { code, reason: reason.into(), until });
        if self.acceptor.get().is_some() {
            // it runs, or has run
            self.lifecycle.reached(|phase| matches!(phase, Phase::Over)).await;
        }
        Ok(())
    }

    /// Refuses new connections, for a server behind a load balancer that is to be replaced:
    /// handshakes are answered with status 503, and so is
    /// [`Server::health`](super::Server::health), so that the load balancer sends its clients
    /// elsewhere. Connections and pages go on as before.
    ///
    /// The next step is [`shutdown`](Self::shutdown), or [`resume`](Self::resume) to take it back.
    /// Where another process takes over the port, there is
    /// [`stop_listening`](Self::stop_listening).
    pub fn drain(&self) {
        self.lifecycle.drain();
    }

    /// Ends [`drain`](Self::drain).
    pub fn resume(&self) {
        self.lifecycle.resume();
    }

    /// Returns whether new connections are refused, because the server drains, shuts down or is
    /// over.
    pub fn is_draining(&self) -> bool {
        self.lifecycle.is_draining()
    }

    /// Serves a stream that was accepted elsewhere, like one from the server's own listener: see
    /// [`ExternalStream`]. It is answered in a task of its own.
    ///
    /// # Errors
    ///
    /// [`ServeError`]; the stream was dropped then.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn accept<S>(&self, stream: ExternalStream<S>) -> Result<(), ServeError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let ExternalStream { io, received, peer } = stream;
        let acceptor = self.acceptor().ok_or(ServeError::NotRunning)?;
        let permit = acceptor.permits.try_handshake(peer.addr.ip());
        let permit = permit.ok_or(ServeError::TooManyPending)?;
        acceptor.serve(ClientStream::boxed(io), received, peer, permit);
        Ok(())
    }

    /// Asks the server whether to accept a handshake that another HTTP server has read, and is to
    /// answer: hyper, or what is built on it. The routes, the origins, the limits and the handler
    /// decide, as for the server's own port. The request is made by
    /// [`Request::from_parts`](crate::handshake::server::Request::from_parts), or over HTTP/2 and
    /// HTTP/3 by [`from_connect`](crate::handshake::server::Request::from_connect);
    /// `Request::from_http` (feature `http`) takes both.
    ///
    /// # Errors
    ///
    /// The response to send instead: a refusal has been counted and logged, unless the server does
    /// not run or has too many handshakes under way.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future refuses the handshake.
    pub async fn accept_request(
        &self,
        request: handshake::Request,
        peer_addr: SocketAddr,
        secure: bool,
    ) -> Result<PendingUpgrade, Response> {
        let peer = Peer { addr: peer_addr, secure, own_tls: false, local: false };
        let acceptor = self.acceptor().ok_or_else(|| unavailable("the server does not run"))?;
        let permit = acceptor.permits.try_handshake(peer_addr.ip());
        let permit = permit.ok_or_else(|| unavailable("too many handshakes are under way"))?;
        let task = acceptor.permits.task();
        let accepted = acceptor.accept_request(&request, &peer).await;
        let accepted = accepted.map_err(Refusal::into_response)?;
        let accept = accepted.accept.as_handshake();
        match request.upgrade(&accept, &accepted.route.config) {
            Ok(upgrade) => {
                Ok(PendingUpgrade { acceptor, accepted, upgrade, _permit: permit, _task: task })
            }
            Err(AcceptError::Peer(error)) => Err(Response::for_error(&error)),
            Err(AcceptError::Usage(_)) => {
                acceptor.record_unusable(&accepted, &peer);
                Err(internal_error())
            }
        }
    }

    /// Returns the server's acceptor, while it takes connections.
    fn acceptor(&self) -> Option<Arc<Acceptor>> {
        let acceptor = self.acceptor.get().and_then(Weak::upgrade)?;
        // tasks that it has begun keep it a little longer than the server runs
        (!self.lifecycle.is_stopping()).then_some(acceptor)
    }

    /// Returns the hub: the clients and their rooms.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }
}

/// The time until a deadline that no clock reaches.
const A_GENERATION: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("hub", &self.hub).finish_non_exhaustive()
    }
}

/// A handshake that the server has accepted, and another HTTP server is to answer. It counts as a
/// connection, and as a handshake under way, until it is dropped; a shutdown waits for it.
#[must_use = "answer with its headers, then `start` it"]
pub struct PendingUpgrade {
    acceptor: Arc<Acceptor>,
    accepted: Accepted,
    upgrade: Upgrade,
    _permit: HandshakePermit,
    /// A shutdown waits for it.
    _task: TaskGuard,
}

impl PendingUpgrade {
    /// Returns the status of the response: 101, or 200 over HTTP/2 and HTTP/3.
    pub const fn status(&self) -> u16 {
        self.upgrade.status()
    }

    /// Returns the response, with an empty body of the stack's type.
    #[cfg(feature = "http")]
    pub fn response<B: Default>(&self) -> http::Response<B> {
        self.upgrade.response()
    }

    /// Returns the headers of the response.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.upgrade.headers()
    }

    /// Starts the connection on its stream, once the response has been sent. `leftover` are bytes
    /// that were read behind the request; none if `io` brings them again.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start<S>(self, io: S, leftover: &[u8])
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let ws = WebSocket::from_upgrade(ClientStream::boxed(io), self.upgrade, leftover);
        self.acceptor.start(ws, self.accepted);
    }
}

impl fmt::Debug for PendingUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingUpgrade").field("upgrade", &self.upgrade).finish_non_exhaustive()
    }
}
