use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::accept::acceptor::{Accepted, Acceptor, Refusal, unavailable};
use super::accept::external::ExternalStream;
use super::accept::lifecycle::{Control, Phase, Stop};
use super::accept::pending::HandshakePermit;
use super::client::hub::Hub;
use super::client::stream::ClientStream;
use super::client::task::{Foreign, internal_error};
use super::error::NotServed;
use super::http::request::Peer;
use super::http::response::Response;
use crate::handshake::server::{self as http, AcceptError, Upgrade};
use crate::proto::SendError;
use crate::tokio::WebSocket;
use crate::wire::CloseCode;

/// Ends a server from anywhere. Cloning it costs a reference count.
#[derive(Clone)]
pub struct ServerHandle {
    pub(crate) control: Arc<Control>,
    pub(crate) hub: Hub,
}

impl ServerHandle {
    /// Shuts the server down: it accepts nothing more, answers handshakes under way with status 503,
    /// closes all connections with this code and reason, and waits for them and their handlers up to
    /// the deadline. What is left then is cut off. [`Server::run`](super::Server::run) returns after
    /// that, and so does this.
    ///
    /// The Close frames are spread over [`Server::close_window`](super::Server::close_window), so that
    /// the clients do not all come back at the same time.
    ///
    /// [`CloseCode::GOING_AWAY`] is the usual code, [`CloseCode::SERVICE_RESTART`] says that coming
    /// back helps. When it is called again, the first call counts; all of them return when it is over.
    /// A server that does not run yet will not run.
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
        let stop = Stop { code, reason: reason.into(), until };
        self.control.change(|phase| !phase.is_stopping(), Phase::Stopping(Arc::new(stop)));
        if self.control.running.load(Ordering::Acquire) {
            self.control.reached(|phase| matches!(phase, Phase::Over)).await;
        }
        Ok(())
    }

    /// Takes no new connections, for a server behind a load balancer that is to be replaced: handshakes
    /// are answered with status 503, and so is [`Server::health`](super::Server::health), so that the
    /// load balancer sends its clients elsewhere. Connections and pages go on as before.
    ///
    /// The next step is [`shutdown`](Self::shutdown), or [`resume`](Self::resume) to take it back.
    pub fn drain(&self) {
        self.control.change(|phase| matches!(phase, Phase::Serving), Phase::Draining);
    }

    /// Ends [`drain`](Self::drain).
    pub fn resume(&self) {
        self.control.change(|phase| matches!(phase, Phase::Draining), Phase::Serving);
    }

    /// Whether new connections are refused, because the server drains, shuts down or is over.
    pub fn is_draining(&self) -> bool {
        self.control.is_draining()
    }

    /// Serves a stream that was accepted elsewhere, like one from the server's own listener: see
    /// [`ExternalStream`]. It is answered in a task of its own.
    ///
    /// # Errors
    ///
    /// [`NotServed`]; the stream was dropped then.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn accept<S>(&self, arrival: ExternalStream<S>) -> Result<(), NotServed>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let acceptor = self.acceptor().ok_or(NotServed::NotRunning)?;
        let pending = self.control.pending_now(arrival.peer.addr.ip(), acceptor.room);
        let pending = pending.ok_or(NotServed::TooManyPending)?;
        let ExternalStream { io, received, peer } = arrival;
        let io: Foreign = Box::new(io);
        acceptor.start(ClientStream::new(io), received, peer, pending);
        Ok(())
    }

    /// Asks the server whether to accept a handshake that another HTTP server has read, and is to answer:
    /// hyper, or what is built on it. The routes, the origins, the limits and the handler decide, as for
    /// the server's own port. The request is made by
    /// [`Request::from_parts`](crate::handshake::server::Request::from_parts).
    ///
    /// # Errors
    ///
    /// The page to answer instead: a refusal has been counted and told to the log, unless the server
    /// does not run or has too many handshakes under way.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future refuses the handshake.
    pub async fn accept_request(
        &self,
        request: http::Request,
        peer_addr: SocketAddr,
        secure: bool,
    ) -> Result<PendingUpgrade, Response> {
        let peer = Peer { addr: peer_addr, secure, local: false };
        let acceptor = self.acceptor().ok_or_else(|| unavailable("the server does not run"))?;
        let pending = self.control.pending_now(peer_addr.ip(), acceptor.room);
        let pending = pending.ok_or_else(|| unavailable("too many handshakes are under way"))?;
        let accepted = match acceptor.accept_request(&request, peer).await {
            Ok(accepted) => accepted,
            Err(Refusal::Response(page)) => return Err(page),
            Err(Refusal::Invalid(error)) => return Err(Response::for_error(&error)),
        };
        let headers = accepted.acceptance.headers();
        match request.upgrade(&accepted.acceptance.accept(&headers), &acceptor.config) {
            Ok(upgrade) => {
                drop(headers);
                Ok(PendingUpgrade { acceptor, accepted, upgrade, _pending: pending })
            }
            Err(AcceptError::Peer(error)) => Err(Response::for_error(&error)),
            // the handler has answered with what cannot be sent
            Err(AcceptError::Usage(_)) => {
                let page = internal_error();
                acceptor.refusal(accepted.info.path(), peer, &page);
                Err(page)
            }
        }
    }

    /// The server's set-up, while it takes connections.
    fn acceptor(&self) -> Option<Arc<Acceptor>> {
        let acceptor = self.control.acceptor.get().and_then(Weak::upgrade)?;
        let running = self.control.running.load(Ordering::Acquire) && !self.control.is_stopping();
        running.then_some(acceptor)
    }

    /// All clients of the server.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }
}

/// For deadlines that no clock reaches.
const A_GENERATION: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("hub", &self.hub).finish_non_exhaustive()
    }
}

/// A handshake that the server has accepted, and another HTTP server is to answer. It counts as a
/// connection, and as a handshake under way, until it is dropped.
#[must_use = "answer with its headers, then `start` it"]
pub struct PendingUpgrade {
    acceptor: Arc<Acceptor>,
    accepted: Accepted,
    upgrade: Upgrade,
    _pending: HandshakePermit,
}

impl PendingUpgrade {
    /// The headers of the response, whose status is 101.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.upgrade.headers()
    }

    /// Starts the connection on its stream, once the response has been sent. `leftover` are bytes that
    /// were read behind the request; none if `io` brings them again.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start<S>(self, io: S, leftover: &[u8])
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io: Foreign = Box::new(io);
        let ws = WebSocket::from_upgrade(ClientStream::new(io), self.upgrade, leftover);
        self.acceptor.start_connection(ws, self.accepted);
    }
}

impl fmt::Debug for PendingUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingUpgrade").field("upgrade", &self.upgrade).finish_non_exhaustive()
    }
}
