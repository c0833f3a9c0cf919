use std::io::{Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use super::Transport;

/// A stream that one thread may read while another writes.
///
/// `TcpStream` and `UnixStream` are such streams. Implement it for one of your own that has a
/// socket below and needs no exclusive access for IO.
///
/// The stream of a TLS library needs that for its state, but not while it waits. Give the state a
/// mutex that is locked to encrypt and to decrypt, never during a read or write of the socket
/// below: `read_shared` reads records from the socket and then takes the lock, `write_shared` takes
/// the lock and a second one that keeps records in order, and writes to the socket with that one
/// alone. A single mutex around the whole stream does not do: while one thread waits in a read,
/// nobody could write, and time-outs short enough to make up for that would keep a processor busy
/// with nothing.
pub trait SplitTransport: Transport {
    /// Does one read, as [`Read::read`].
    ///
    /// # Errors
    ///
    /// Those of the stream.
    fn read_shared(&self, buf: &mut [u8]) -> std::io::Result<usize>;

    /// Does one vectored write, as [`Write::write_vectored`].
    ///
    /// # Errors
    ///
    /// Those of the stream.
    fn write_shared(&self, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize>;
}

impl SplitTransport for TcpStream {
    fn read_shared(&self, buf: &mut [u8]) -> std::io::Result<usize> {
        let mut stream = self;
        stream.read(buf)
    }

    fn write_shared(&self, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
        let mut stream = self;
        stream.write_vectored(slices)
    }
}

#[cfg(unix)]
impl SplitTransport for UnixStream {
    fn read_shared(&self, buf: &mut [u8]) -> std::io::Result<usize> {
        let mut stream = self;
        stream.read(buf)
    }

    fn write_shared(&self, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
        let mut stream = self;
        stream.write_vectored(slices)
    }
}

/// `Read` and `Write` through a shared reference.
pub(super) struct SharedIo<'a, S>(pub(super) &'a S);

impl<S: SplitTransport> Read for &SharedIo<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_shared(buf)
    }
}

impl<S: SplitTransport> Write for &SharedIo<'_, S> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.write_shared(&[std::io::IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
        self.0.write_shared(slices)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
