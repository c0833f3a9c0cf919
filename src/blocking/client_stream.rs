use core::fmt;
use core::time::Duration;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};

#[cfg(feature = "rustls-no-provider")]
use super::tls_stream::TlsStream;
use super::{SplitTransport, Transport};

/// The stream of a client: TCP, with TLS over it for `wss://`.
///
/// Both are one type, so that a program connects to either. Other streams go in through
/// [`client`](super::client).
pub struct ClientStream(Kind);

enum Kind {
    Plain(TcpStream),
    #[cfg(feature = "rustls-no-provider")]
    Tls(alloc::boxed::Box<TlsStream>),
}

impl ClientStream {
    /// Returns the socket, for its addresses and options. What is read from or written to it is
    /// missing in the connection.
    pub fn tcp(&self) -> &TcpStream {
        match &self.0 {
            Kind::Plain(tcp) => tcp,
            #[cfg(feature = "rustls-no-provider")]
            Kind::Tls(tls) => tls.tcp(),
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
impl From<TlsStream> for ClientStream {
    fn from(tls: TlsStream) -> Self {
        Self(Kind::Tls(alloc::boxed::Box::new(tls)))
    }
}

impl Read for ClientStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_shared(buf)
    }
}

impl Write for ClientStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(tcp) => tcp.write_vectored(slices),
            #[cfg(feature = "rustls-no-provider")]
            Kind::Tls(tls) => tls.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Plain(_) => Ok(()),
            #[cfg(feature = "rustls-no-provider")]
            Kind::Tls(tls) => tls.flush(),
        }
    }
}

impl Transport for ClientStream {
    fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.tcp().read_timeout()
    }

    fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.tcp().write_timeout()
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp().set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp().set_write_timeout(timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.0 {
            Kind::Plain(tcp) => tcp.shutdown(how),
            #[cfg(feature = "rustls-no-provider")]
            Kind::Tls(tls) => tls.shutdown(how),
        }
    }
}

impl SplitTransport for ClientStream {
    fn read_shared(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Plain(tcp) => tcp.read_shared(buf),
            #[cfg(feature = "rustls-no-provider")]
            Kind::Tls(tls) => tls.read_shared(buf),
        }
    }

    fn write_shared(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.0 {
            Kind::Plain(tcp) => tcp.write_shared(slices),
            #[cfg(feature = "rustls-no-provider")]
            Kind::Tls(tls) => tls.write_shared(slices),
        }
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
