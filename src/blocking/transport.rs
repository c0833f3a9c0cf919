use alloc::boxed::Box;
use core::time::Duration;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;

/// A blocking stream, and what it can do besides reading and writing.
///
/// Implement it for a stream of your own, such as TLS over a socket, by handing the calls to the
/// socket below. Every method has a default that says [`Unsupported`](io::ErrorKind::Unsupported),
/// which means "cannot"; connections get along with that:
///
/// - Without time-outs, waits have no end, and a call waits in one direction at a time. A client
///   ends as soon as the closing handshake is complete, without a look at whether the server closes
///   first.
/// - If time-outs cannot be read back, those that you had set are taken off by the handshake and by
///   keep-alive.
/// - If one direction cannot be ended, a server ends as soon as its last frame is written: drop it,
///   so that the peer sees the end.
///
/// [`Plain`] is any stream that can do none of this.
///
/// ```
/// use std::io::{self, Read, Write};
/// use std::net::{Shutdown, TcpStream};
/// use std::time::Duration;
///
/// use sansws::blocking::Transport;
///
/// /// Stands for the stream of a TLS library.
/// struct Tls {
///     socket: TcpStream,
/// }
/// # impl Tls { fn send_close_notify(&mut self) -> io::Result<()> { Ok(()) } }
/// # impl Read for Tls {
/// #     fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> { self.socket.read(buf) }
/// # }
/// # impl Write for Tls {
/// #     fn write(&mut self, buf: &[u8]) -> io::Result<usize> { self.socket.write(buf) }
/// #     fn flush(&mut self) -> io::Result<()> { self.socket.flush() }
/// # }
///
/// impl Transport for Tls {
///     fn read_timeout(&self) -> io::Result<Option<Duration>> {
///         self.socket.read_timeout()
///     }
///
///     fn write_timeout(&self) -> io::Result<Option<Duration>> {
///         self.socket.write_timeout()
///     }
///
///     fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
///         self.socket.set_read_timeout(timeout)
///     }
///
///     fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
///         self.socket.set_write_timeout(timeout)
///     }
///
///     fn shutdown_write(&mut self) -> io::Result<()> {
///         self.send_close_notify()?;
///         self.socket.shutdown(Shutdown::Write)
///     }
/// }
/// ```
pub trait Transport: Read + Write {
    /// Returns the time-out that is set for reading.
    ///
    /// # Errors
    ///
    /// Those of the operating system; [`Unsupported`](io::ErrorKind::Unsupported) for "cannot".
    fn read_timeout(&self) -> io::Result<Option<Duration>> {
        cannot()
    }

    /// Returns the time-out that is set for writing.
    ///
    /// # Errors
    ///
    /// As [`read_timeout`](Self::read_timeout).
    fn write_timeout(&self) -> io::Result<Option<Duration>> {
        cannot()
    }

    /// Bounds each following `read`; `None` lets it wait for ever. A read that took too long fails
    /// with [`WouldBlock`](io::ErrorKind::WouldBlock) or [`TimedOut`](io::ErrorKind::TimedOut).
    ///
    /// # Errors
    ///
    /// As [`read_timeout`](Self::read_timeout).
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let _ = timeout;
        cannot()
    }

    /// Bounds each following `write` in the same way.
    ///
    /// # Errors
    ///
    /// As [`read_timeout`](Self::read_timeout).
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let _ = timeout;
        cannot()
    }

    /// Ends one direction, or both, while the stream is still there: [`Shutdown::Both`] also wakes
    /// a thread that reads.
    ///
    /// # Errors
    ///
    /// As [`read_timeout`](Self::read_timeout).
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let _ = how;
        cannot()
    }

    /// Tells the peer that nothing more will come, while reading goes on. A TLS stream sends its
    /// `close_notify` here; the default is [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    ///
    /// As [`read_timeout`](Self::read_timeout).
    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

fn cannot<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns whether an error says that the stream cannot do what it was asked for.
pub(super) fn is_cannot(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// Hands the calls on to the methods of the same name.
macro_rules! by_the_same_name {
    ($of:ty) => {
        fn read_timeout(&self) -> io::Result<Option<Duration>> {
            <$of>::read_timeout(self)
        }

        fn write_timeout(&self) -> io::Result<Option<Duration>> {
            <$of>::write_timeout(self)
        }

        fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            <$of>::set_read_timeout(self, timeout)
        }

        fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            <$of>::set_write_timeout(self, timeout)
        }

        fn shutdown(&self, how: Shutdown) -> io::Result<()> {
            <$of>::shutdown(self, how)
        }
    };
}

impl Transport for TcpStream {
    by_the_same_name!(Self);
}

#[cfg(unix)]
impl Transport for UnixStream {
    by_the_same_name!(Self);
}

impl<T: Transport + ?Sized> Transport for &mut T {
    by_the_same_name!(T);

    fn shutdown_write(&mut self) -> io::Result<()> {
        (**self).shutdown_write()
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    by_the_same_name!(T);

    fn shutdown_write(&mut self) -> io::Result<()> {
        (**self).shutdown_write()
    }
}

/// Any stream as a [`Transport`] that can read and write and nothing else.
///
/// Its waits have no end, so a peer that falls silent is waited for until it hangs up, and `recv`
/// and `send` cannot look at the other direction while they wait. After the closing handshake it
/// ends at once; drop it then. A TLS library's stream over a socket can do more: see [`Transport`].
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // a wrapper to be made and taken apart
pub struct Plain<S>(pub S);

impl<S: Read + Write> Transport for Plain<S> {}

impl<S: Read> Read for Plain<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<S: Write> Write for Plain<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
