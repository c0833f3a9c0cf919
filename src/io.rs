//! The core over [`Read`] and [`Write`]: methods that only move bytes.

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
        loop {
            match io.read(rx.space()) {
                Ok(0) => self.receive_eof(),
                Ok(n) => rx.commit(n),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if is_not_now(&error) => return Ok(false),
                Err(error) => {
                    self.receive_eof();
                    return Err(error);
                }
            }
            return Ok(true);
        }
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
        loop {
            match write_some(io, tx) {
                Ok(0) if tx.has_remaining() => {
                    self.note_write_failed(tx);
                    return Err(ErrorKind::WriteZero.into());
                }
                Ok(n) => {
                    tx.advance(n);
                    self.note_written(n);
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_not_now(&error) => {
                    self.note_blocked();
                    return Ok(false);
                }
                Err(error) => {
                    self.note_write_failed(tx);
                    return Err(error);
                }
            }
        }
    }
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
