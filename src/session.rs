use alloc::sync::Arc;
use std::io;

use bytes::Buf;

use crate::buf::{RecvBuffer, SendBuffer};
use crate::error::Error;
use crate::proto::{
    Config, Connection, MessageRef, Outcome, PreparedMessage, SendError, Timeout, Transport,
};
use crate::wire::{CloseCode, CloseFrame, ProtocolError};

/// A connection with its send buffer, and what an adapter has to do with the transport next.
///
/// The receive buffer is apart, so that an event can borrow it while an answer is sent.
///
/// The adapters differ in how they wait, and in nothing else: every decision is here or below.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) conn: Connection,
    pub(crate) tx: SendBuffer,
    /// The peer broke this rule; it is being told so.
    violation: Option<ProtocolError>,
    /// Writing failed: nothing more can be sent, but what the peer sent before can still be read.
    write_error: Option<Arc<io::Error>>,
    /// The sending direction has been shut down.
    write_shut: bool,
    /// A write had to wait: the next one that goes through proves that the peer takes bytes.
    stalled: bool,
    max_unsent: usize,
    end: Option<Result<(), Error>>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take an event.
    Event,
    /// Write from `tx`.
    Write,
    /// Shut down the sending direction.
    ShutdownWrite,
    /// Read into `rx`.
    Read,
    /// Wait until writing is possible again; there is too much unsent to take in more.
    Wait,
    /// It is over: see [`Session::result`].
    End,
}

impl Session {
    pub(crate) fn new(conn: Connection, tx: SendBuffer, config: &Config) -> Self {
        Self {
            conn,
            tx,
            violation: None,
            write_error: None,
            write_shut: false,
            stalled: false,
            max_unsent: config.max_unsent,
            end: None,
        }
    }

    /// The way to the next event.
    ///
    /// `write_blocked`: the transport takes no bytes at the moment.
    #[inline]
    pub(crate) fn next_step(&mut self, rx: &mut RecvBuffer, write_blocked: bool) -> Step {
        if self.end.is_some() {
            return Step::End;
        }
        // What the application answers must find room: no event before that.
        if !self.has_room() {
            return if write_blocked { Step::Wait } else { Step::Write };
        }
        match self.conn.advance(rx, &mut self.tx) {
            Ok(true) => return Step::Event,
            Ok(false) => {}
            Err(error) => self.violation = Some(error),
        }
        if self.write_error.is_some() {
            self.tx = SendBuffer::new();
        }
        if !self.tx.is_empty() && !write_blocked {
            return Step::Write;
        }
        match self.conn.transport() {
            Transport::Close => {
                self.finish(None);
                Step::End
            }
            Transport::ShutdownWrite if !self.write_shut && self.tx.is_empty() => {
                Step::ShutdownWrite
            }
            _ => Step::Read,
        }
    }

    /// How it ended: `Ok` after a closing handshake. The same answer for ever.
    pub(crate) fn result(&self) -> Result<(), Error> {
        self.end.clone().unwrap_or(Ok(()))
    }

    /// Whether a message would be taken, as far as room goes.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.tx.remaining() < self.max_unsent
    }

    /// A read found the end of file.
    pub(crate) fn read_eof(&mut self) {
        self.finish(None);
    }

    /// A read failed for good.
    pub(crate) fn read_failed(&mut self, error: io::Error) {
        self.finish(Some(Arc::new(error)));
    }

    /// A write took `n` bytes.
    #[inline]
    pub(crate) fn was_written(&mut self, n: usize) {
        if n == 0 || n > self.tx.remaining() {
            let text = if n == 0 {
                "the transport takes no more bytes"
            } else {
                "the transport claims to have written more bytes than it was given"
            };
            self.write_failed(io::Error::new(io::ErrorKind::WriteZero, text));
        } else {
            self.tx.advance(n);
            if core::mem::take(&mut self.stalled) {
                self.conn.note_alive();
            }
        }
    }

    /// A write found no room in the transport.
    #[inline]
    pub(crate) fn write_stalled(&mut self) {
        self.stalled = true;
    }

    /// A write failed for good.
    pub(crate) fn write_failed(&mut self, error: io::Error) {
        self.tx = SendBuffer::new();
        self.write_shut = true;
        self.write_error = Some(Arc::new(error));
    }

    /// The sending direction was shut down, or that was tried.
    pub(crate) fn was_shut_down(&mut self) {
        self.write_shut = true;
    }

    /// The peer took too long.
    pub(crate) fn timed_out(&mut self, timeout: Timeout) {
        self.end.get_or_insert(Err(Error::Timeout(timeout)));
    }

    /// Queues a message, if the transport still takes any.
    #[inline]
    pub(crate) fn feed(&mut self, message: MessageRef<'_>) -> Result<(), Error> {
        self.check_writable()?;
        Ok(self.conn.send(&mut self.tx, message)?)
    }

    /// Queues a message that is encoded already.
    pub(crate) fn feed_prepared(&mut self, message: &PreparedMessage) -> Result<(), Error> {
        self.check_writable()?;
        Ok(self.conn.send_prepared(&mut self.tx, message)?)
    }

    /// Queues a Close frame.
    pub(crate) fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        Ok(self.conn.close(&mut self.tx, Some(CloseFrame { code, reason }))?)
    }

    /// An error if nothing can reach the peer any more.
    #[inline]
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        if self.write_error.is_some() {
            return Err(self.write_error());
        }
        match &self.end {
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(())) => Err(SendError::NotOpen.into()),
            None => Ok(()),
        }
    }

    /// The error of a write that failed.
    pub(crate) fn write_error(&self) -> Error {
        Error::Disconnected(self.write_error.clone())
    }

    fn finish(&mut self, read_error: Option<Arc<io::Error>>) {
        let outcome = self.conn.receive_eof();
        let result = match (outcome, self.violation) {
            (Outcome::Clean, _) => Ok(()),
            (Outcome::Abnormal, Some(error)) => Err(Error::Protocol(error)),
            (Outcome::Abnormal, None) => {
                Err(Error::Disconnected(read_error.or_else(|| self.write_error.clone())))
            }
        };
        self.end.get_or_insert(result);
        self.tx = SendBuffer::new();
    }
}
