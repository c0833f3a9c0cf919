use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The stream of a client: TCP, with TLS over it for `wss://`.
///
/// Both are one type, so that a program connects to either. Other streams go in through
/// [`client`](super::client).
pub struct ClientStream(Kind);

enum Kind {
    Plain(TcpStream),
    #[cfg(feature = "rustls")]
    Tls(alloc::boxed::Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl ClientStream {
    /// Returns the socket, for its addresses and options. What is read from or written to it is
    /// missing in the connection.
    pub fn tcp(&self) -> &TcpStream {
        match &self.0 {
            Kind::Plain(tcp) => tcp,
            #[cfg(feature = "rustls")]
            Kind::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Returns whether there is TLS between.
    pub fn is_secure(&self) -> bool {
        !matches!(self.0, Kind::Plain(_))
    }
}

impl From<TcpStream> for ClientStream {
    fn from(tcp: TcpStream) -> Self {
        Self(Kind::Plain(tcp))
    }
}

#[cfg(feature = "rustls")]
impl ClientStream {
    pub(super) fn secure(tls: tokio_rustls::client::TlsStream<TcpStream>) -> Self {
        Self(Kind::Tls(alloc::boxed::Box::new(tls)))
    }
}

/// Calls a method of the stream that there is.
macro_rules! on_either {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().0 {
            Kind::Plain(tcp) => {
                let $stream = Pin::new(tcp);
                $call
            }
            #[cfg(feature = "rustls")]
            Kind::Tls(tls) => {
                let $stream = Pin::new(&mut **tls);
                $call
            }
        }
    };
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => stream.poll_shutdown(cx))
    }
}

impl fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStream")
            .field("tcp", self.tcp())
            .field("is_secure", &self.is_secure())
            .finish()
    }
}
