//! The core over [`Read`] and [`Write`]: methods that only move bytes.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use bytes::Buf;

use crate::buf::{RecvBuffer, SendBuffer};
use crate::endpoint::Endpoint;

impl Endpoint {
    /// Answers [`Step::Read`](crate::endpoint::Step::Read): reads once, as much as `rx` has space
    /// for.
    ///
    /// `Ok(false)` when there is nothing to read now ([`WouldBlock`](ErrorKind::WouldBlock), or a
    /// read time-out): wait, until the time of the step at the longest. The end of file is noted,
    /// and so is a failure; the steps go on to the end by themselves then.
    ///
    /// # Errors
    ///
    /// The error of the read, for information.
    pub fn read_from(&mut self, rx: &mut RecvBuffer, io: &mut impl Read) -> io::Result<bool> {
        match rx.read_from(io) {
            Ok(0) => self.receive_eof(),
            Ok(_) => {}
            Err(error) if is_not_now(&error) => return Ok(false),
            Err(error) => {
                self.receive_eof();
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Answers [`Step::Write`](crate::endpoint::Step::Write): writes once, as much as `io` takes.
    ///
    /// `Ok(false)` when `io` takes nothing now; that is noted, and the next step is a `Read` or a
    /// `Wait`. So is a failure.
    ///
    /// # Errors
    ///
    /// The error of the write, for information.
    pub fn write_to(&mut self, tx: &mut SendBuffer, io: &mut impl Write) -> io::Result<bool> {
        match tx.write_to(io) {
            Ok(n) => self.note_written(n),
            Err(error) if is_not_now(&error) => {
                self.note_blocked();
                return Ok(false);
            }
            Err(error) => {
                self.note_write_failed(tx);
                return Err(error);
            }
        }
        Ok(true)
    }
}

impl RecvBuffer {
    /// Reads once into the [`space`](Self::space), and takes what came as received.
    ///
    /// Returns the number of bytes; 0 is the end of file, which the
    /// [connection](crate::proto::Connection::receive_eof) or the
    /// [endpoint](Endpoint::receive_eof) is told of ([`Endpoint::read_from`] does).
    ///
    /// # Errors
    ///
    /// Those of `io`, and [`InvalidData`](ErrorKind::InvalidData) if it claims to have read more
    /// than it was given room for. [`Interrupted`](ErrorKind::Interrupted) is none: it reads again.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use sansws::buf::RecvBuffer;
    ///
    /// let (mut rx, mut io) = (RecvBuffer::new(), &b"\x89\x00"[..]); // a ping
    /// assert_eq!(rx.read_from(&mut io)?, 2);
    /// assert_eq!(rx.read_from(&mut io)?, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_from(&mut self, io: &mut impl Read) -> io::Result<usize> {
        loop {
            match read_some(io, self) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl SendBuffer {
    /// Writes once, as much as `io` takes, in one vectored write where it lies in several pieces.
    ///
    /// Returns the number of bytes, which are sent now: tell the
    /// [connection](crate::proto::Connection::note_written) or the
    /// [endpoint](Endpoint::note_written) ([`Endpoint::write_to`] does). 0 where nothing is unsent;
    /// `io` is not called then.
    ///
    /// # Errors
    ///
    /// Those of `io`, and [`WriteZero`](ErrorKind::WriteZero) if it takes nothing. What is unsent
    /// stays. [`Interrupted`](ErrorKind::Interrupted) is none: it writes again.
    pub fn write_to(&mut self, io: &mut impl Write) -> io::Result<usize> {
        while self.has_remaining() {
            match write_some(io, self) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.advance(n);
                    return Ok(n);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }
}

/// Reads once.
pub(crate) fn read_some(io: &mut impl Read, rx: &mut RecvBuffer) -> io::Result<usize> {
    let space = rx.space();
    let room = space.len();
    let n = io.read(space)?;
    if n > room {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "the transport claims to have read more bytes than it was given room for",
        ));
    }
    rx.commit(n);
    Ok(n)
}

/// Writes once from the beginning of `tx`, where everything stays.
pub(crate) fn write_some(io: &mut impl Write, tx: &impl Buf) -> io::Result<usize> {
    let chunk = tx.chunk();
    if chunk.len() == tx.remaining() {
        return io.write(chunk);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = tx.chunks_vectored(&mut slices);
    io.write_vectored(&slices[..count])
}

/// Time-outs of sockets are reported as one or the other, depending on the platform.
fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Slices in one vectored write. Messages by reference take two each; a burst of more than that
/// takes one more system call.
pub(crate) const MAX_SLICES: usize = 64;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Takes and gives so many bytes at a time; is interrupted before each.
    struct Slow {
        bytes: Vec<u8>,
        step: usize,
        interrupted: bool,
    }

    impl Slow {
        fn new(step: usize) -> Self {
            Self { bytes: Vec::new(), step, interrupted: false }
        }

        fn interrupt(&mut self) -> io::Result<()> {
            self.interrupted = !self.interrupted;
            if self.interrupted { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
        }
    }

    impl Read for Slow {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.interrupt()?;
            let n = self.bytes.len().min(self.step).min(buf.len());
            buf[..n].copy_from_slice(&self.bytes[..n]);
            self.bytes.drain(..n);
            Ok(n)
        }
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.interrupt()?;
            let n = bytes.len().min(self.step);
            self.bytes.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn buffers_over_read_and_write() {
        for step in [1, 7, 1000] {
            let (mut tx, mut rx, mut io) = (SendBuffer::new(), RecvBuffer::new(), Slow::new(step));
            tx.put_slice(b"flat ");
            tx.put_owned(bytes::Bytes::from_static(b"by reference"));
            let mut written = 0;
            while !tx.is_empty() {
                let n = tx.write_to(&mut io).unwrap();
                assert!((1..=step).contains(&n));
                written += n;
            }
            assert_eq!(written, 17);
            io.interrupted = true; // and not called again
            assert_eq!(tx.write_to(&mut io).unwrap(), 0);
            while rx.read_from(&mut io).unwrap() > 0 {}
            assert_eq!(rx.unparsed(), b"flat by reference");
        }
    }

    #[test]
    fn a_writer_that_takes_nothing_fails() {
        let mut tx = SendBuffer::new();
        tx.put_slice(b"unsent");
        let error = tx.write_to(&mut Slow::new(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
        assert_eq!(tx.len(), 6);
    }
}
