//! The opening handshake over a stream, and the end of one that failed.

use core::time::Duration;

use bytes::Buf;

use super::Transport;
use super::deadline::Deadline;
use crate::buf::{RecvBuffer, SendBuffer};
use crate::endpoint::{Endpoint, Step};
use crate::error::Error;
use crate::opening::{Stop, with_reason};

/// An endpoint that has no connection yet, on its stream.
pub(super) struct Opening<S> {
    pub(super) io: S,
    pub(super) endpoint: Endpoint,
    pub(super) rx: RecvBuffer,
    pub(super) tx: SendBuffer,
    pub(super) deadline: Deadline,
    /// The stream may have bytes in a buffer of its own.
    flush_pending: bool,
    /// The reason why the stream failed.
    error: Option<Error>,
}

impl<S: Transport> Opening<S> {
    /// Begins an opening, whose time began when `deadline` was made.
    pub(super) fn new(
        io: S,
        mut endpoint: Endpoint,
        rx: RecvBuffer,
        mut tx: SendBuffer,
        deadline: Deadline,
    ) -> Self {
        endpoint.handle_timeout(Duration::ZERO, &mut tx);
        Self { io, endpoint, rx, tx, deadline, flush_pending: false, error: None }
    }

    /// Takes steps until one is for the caller. The stream has its own time-outs back then.
    pub(super) fn run(&mut self) -> Result<Stop, Error> {
        let stop = self.run_to_stop();
        let released = self.deadline.release(&self.io);
        if !matches!(stop, Stop::Over(_)) {
            released?;
        }
        Ok(stop)
    }

    fn run_to_stop(&mut self) -> Stop {
        loop {
            match self.endpoint.step(&mut self.rx, &mut self.tx) {
                Step::Write => self.write(),
                Step::Read { .. } | Step::Wait { .. } => self.read(),
                Step::ShutdownWrite => {
                    self.flush();
                    // A stream that cannot end one direction ends as a whole, and at once: the peer
                    // waits for that.
                    if self.io.shutdown_write().is_err() {
                        self.endpoint.receive_eof();
                    }
                    self.endpoint.note_shut_down();
                }
                Step::Request(request) => return Stop::Request(request),
                Step::Response(accepted) => return Stop::Response(accepted),
                Step::Close(result) => return Stop::Over(with_reason(result, &mut self.error)),
                Step::Event(_) | Step::Again => {
                    debug_assert!(false, "a connection that is open is not this module's");
                    return Stop::Over(Ok(()));
                }
            }
        }
    }

    /// Writes what is left of a response; an error if that fails or takes longer than `timeout`.
    pub(super) fn write_all(&mut self, timeout: Duration) -> Result<(), Error> {
        self.deadline.set(self.deadline.now().saturating_add(timeout));
        let written = self.write_all_in_time();
        let released = self.deadline.release(&self.io);
        written?;
        released
    }

    fn write_all_in_time(&mut self) -> Result<(), Error> {
        while self.tx.has_remaining() {
            let n = self.deadline.write(&mut self.io, &self.tx)?;
            self.tx.advance(n);
            self.endpoint.note_written(n);
        }
        self.deadline.flush(&mut self.io)
    }

    fn read(&mut self) {
        self.flush();
        if !self.set_deadline() {
            return;
        }
        match self.deadline.read(&mut self.io, &mut self.rx) {
            Ok(0) => self.endpoint.receive_eof(),
            Ok(_) => {}
            Err(Error::HandshakeTimeout) => self.handle_timeout(),
            Err(error) => {
                self.error.get_or_insert(error);
                self.endpoint.receive_eof();
            }
        }
    }

    fn write(&mut self) {
        if !self.set_deadline() {
            return;
        }
        match self.deadline.write(&mut self.io, &self.tx) {
            Ok(n) => {
                self.tx.advance(n);
                self.endpoint.note_written(n);
                self.flush_pending = true;
            }
            Err(error) => self.write_failed(error),
        }
    }

    fn flush(&mut self) {
        if core::mem::take(&mut self.flush_pending)
            && self.set_deadline()
            && let Err(error) = self.deadline.flush(&mut self.io)
        {
            self.write_failed(error);
        }
    }

    fn write_failed(&mut self, error: Error) {
        if let Error::HandshakeTimeout = error {
            self.handle_timeout();
            if self.endpoint.poll_timeout().is_some() {
                self.endpoint.note_blocked();
            }
            return;
        }
        self.endpoint.note_write_failed(&mut self.tx);
        self.error.get_or_insert(error);
    }

    /// Bounds the next wait by what the endpoint waits for; `false` when that time is over.
    fn set_deadline(&mut self) -> bool {
        if self.endpoint.poll_timeout() == Some(Duration::ZERO) {
            self.handle_timeout();
        }
        let Some(until) = self.endpoint.poll_timeout() else { return false };
        self.deadline.set(until);
        true
    }

    fn handle_timeout(&mut self) {
        self.endpoint.handle_timeout(self.deadline.now(), &mut self.tx);
    }
}
