use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::server::http::request::Peer;

/// A stream that was accepted elsewhere, for
/// [`ServerHandle::accept`](crate::server::ServerHandle::accept): from a TLS acceptor, a Unix
/// socket, a tunnel.
///
/// ```no_run
/// use sansws::server::{ExternalStream, ServerHandle};
/// use tokio::net::{TcpListener, TcpStream};
/// # use tokio::io::DuplexStream as TlsStream;
/// # async fn tls_accept(_: TcpStream) -> std::io::Result<TlsStream> { Ok(tokio::io::duplex(1).0) }
///
/// /// Runs beside `server.run()`, whose listener takes those without TLS.
/// async fn serve_tls(listener: TcpListener, handle: ServerHandle) -> std::io::Result<()> {
///     loop {
///         let (stream, peer_addr) = listener.accept().await?;
///         stream.set_nodelay(true)?;
///         let handle = handle.clone();
///         tokio::spawn(async move {
///             if let Ok(stream) = tls_accept(stream).await {
///                 let _ = handle.accept(ExternalStream::new(stream, peer_addr).secure(true));
///             }
///         });
///     }
/// }
/// ```
#[derive(Debug)]
#[must_use = "hand it to ServerHandle::accept"]
pub struct ExternalStream<S> {
    pub(crate) io: S,
    pub(crate) received: Vec<u8>,
    pub(crate) peer: Peer,
}

impl<S> ExternalStream<S> {
    /// Makes one of a stream and the address of its other end.
    pub const fn new(io: S, peer_addr: SocketAddr) -> Self {
        let peer = Peer { addr: peer_addr, secure: false, own_tls: false, local: false };
        Self { io, received: Vec::new(), peer }
    }

    /// Sets whether TLS was ended on the way.
    /// [`Request::is_secure`](crate::server::Request::is_secure) and
    /// [`ClientInfo::is_secure`](crate::server::ClientInfo::is_secure) pass it on. Default `false`.
    pub const fn secure(mut self, secure: bool) -> Self {
        self.peer.secure = secure;
        self
    }

    /// Adds bytes that have been read from the stream already: the head of a request, or a part of
    /// it, and what came behind. Several calls add up.
    pub fn received(mut self, bytes: &[u8]) -> Self {
        self.received.extend_from_slice(bytes);
        self
    }
}
