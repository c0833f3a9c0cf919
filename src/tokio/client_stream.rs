use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, tcp};

use super::halves::SplitStream;
#[cfg(feature = "rustls-no-provider")]
use super::halves::{Locked, LockedHalf};

#[cfg(feature = "rustls-no-provider")]
type TlsStream = alloc::boxed::Box<tokio_rustls::client::TlsStream<TcpStream>>;

/// The stream of a client: TCP, with TLS over it for `wss://`.
///
/// Both are one type, so that a program connects to either. Other streams go in through
/// [`client`](super::client).
pub struct ClientStream(Kind);

enum Kind {
    Plain(TcpStream),
    #[cfg(feature = "rustls-no-provider")]
    Tls(TlsStream),
}

impl ClientStream {
    /// Returns the socket, for its addresses and options. What is read from or written to it is
    /// missing in the connection.
    pub fn tcp(&self) -> &TcpStream {
        match &self.0 {
            Kind::Plain(tcp) => tcp,
            #[cfg(feature = "rustls-no-provider")]
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

#[cfg(feature = "rustls-no-provider")]
impl ClientStream {
    pub(super) fn secure(tls: tokio_rustls::client::TlsStream<TcpStream>) -> Self {
        Self(Kind::Tls(alloc::boxed::Box::new(tls)))
    }
}

/// Calls a method of the stream that there is.
macro_rules! on_either {
    ($kind:ident, $self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().0 {
            $kind::Plain(tcp) => {
                let $stream = Pin::new(tcp);
                $call
            }
            #[cfg(feature = "rustls-no-provider")]
            $kind::Tls(tls) => {
                let $stream = Pin::new(tls);
                $call
            }
        }
    };
}

/// Reads from the stream that there is.
macro_rules! impl_read {
    ($stream:ident, $kind:ident) => {
        impl AsyncRead for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                on_either!($kind, self, stream => stream.poll_read(cx, buf))
            }
        }
    };
}

/// Writes to the stream that there is.
macro_rules! impl_write {
    ($stream:ident, $kind:ident) => {
        impl AsyncWrite for $stream {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                on_either!($kind, self, stream => stream.poll_write(cx, buf))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                on_either!($kind, self, stream => stream.poll_write_vectored(cx, bufs))
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                on_either!($kind, self, stream => stream.poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                on_either!($kind, self, stream => stream.poll_shutdown(cx))
            }
        }
    };
}

impl_read!(ClientStream, Kind);
impl_write!(ClientStream, Kind);
impl_read!(ClientReadHalf, ReadKind);
impl_write!(ClientWriteHalf, WriteKind);

impl fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStream")
            .field("tcp", self.tcp())
            .field("is_secure", &self.is_secure())
            .finish()
    }
}

/// A stream without TLS is taken apart without a lock; the halves of one with TLS lock its state,
/// each for single reads and writes that do not wait.
impl SplitStream for ClientStream {
    type Whole = Self;
    type ReadHalf = ClientReadHalf;
    type WriteHalf = ClientWriteHalf;

    fn split(whole: Self) -> (ClientReadHalf, ClientWriteHalf) {
        match whole.0 {
            Kind::Plain(tcp) => {
                let (read, write) = tcp.into_split();
                (ClientReadHalf(ReadKind::Plain(read)), ClientWriteHalf(WriteKind::Plain(write)))
            }
            #[cfg(feature = "rustls-no-provider")]
            Kind::Tls(tls) => {
                let (read, write) = Locked::split(tls);
                (ClientReadHalf(ReadKind::Tls(read)), ClientWriteHalf(WriteKind::Tls(write)))
            }
        }
    }

    fn unsplit(read: ClientReadHalf, write: ClientWriteHalf) -> Option<Self> {
        match (read.0, write.0) {
            (ReadKind::Plain(read), WriteKind::Plain(write)) => {
                read.reunite(write).ok().map(Self::from)
            }
            #[cfg(feature = "rustls-no-provider")]
            (ReadKind::Tls(read), WriteKind::Tls(write)) => {
                Locked::unsplit(read, write).map(|tls| Self(Kind::Tls(tls)))
            }
            #[cfg(feature = "rustls-no-provider")]
            _ => None,
        }
    }
}

/// The receiving direction of a [`ClientStream`].
#[derive(Debug)]
pub struct ClientReadHalf(ReadKind);

/// The sending direction of a [`ClientStream`].
#[derive(Debug)]
pub struct ClientWriteHalf(WriteKind);

#[derive(Debug)]
enum ReadKind {
    Plain(tcp::OwnedReadHalf),
    #[cfg(feature = "rustls-no-provider")]
    Tls(LockedHalf<TlsStream>),
}

#[derive(Debug)]
enum WriteKind {
    Plain(tcp::OwnedWriteHalf),
    #[cfg(feature = "rustls-no-provider")]
    Tls(LockedHalf<TlsStream>),
}

impl ClientReadHalf {
    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            ReadKind::Plain(tcp) => tcp.peer_addr(),
            #[cfg(feature = "rustls-no-provider")]
            ReadKind::Tls(tls) => tls.lock().get_ref().0.peer_addr(),
        }
    }
}

impl ClientWriteHalf {
    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            WriteKind::Plain(tcp) => tcp.peer_addr(),
            #[cfg(feature = "rustls-no-provider")]
            WriteKind::Tls(tls) => tls.lock().get_ref().0.peer_addr(),
        }
    }
}
