//! The opening handshake over a stream, and the end of one that failed.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite};

use super::WebSocket;
use super::link::{poll_read_some, poll_write_some};
use super::pooled::PooledRx;
use super::timer::Timer;
use crate::driver::check_written;
use crate::endpoint::{Endpoint, Step};
use crate::error::Error;
use crate::opening::{Stop, with_reason};
use crate::pool::PooledTx;

/// An endpoint that has no connection yet, on its stream.
pub(super) struct Opening<S> {
    pub(super) io: S,
    pub(super) endpoint: Endpoint,
    pub(super) rx: PooledRx,
    pub(super) tx: PooledTx,
    pub(super) timer: Timer,
    /// The stream may have bytes in a buffer of its own.
    flush_pending: bool,
    /// The reason why the stream failed.
    error: Option<Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Opening<S> {
    pub(super) fn new(io: S, mut endpoint: Endpoint, rx: PooledRx, mut tx: PooledTx) -> Self {
        endpoint.handle_timeout(Duration::ZERO, tx.fetch()); // its time begins
        let timer = Timer::new();
        Self { io, endpoint, rx, tx, timer, flush_pending: false, error: None }
    }

    /// Takes steps until one is for the caller. `arrived` is called for every read that brings
    /// something.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, mut arrived: impl FnMut()) -> Poll<Stop> {
        loop {
            match self.endpoint.step(self.rx.fetch(), self.tx.fetch()) {
                Step::Write => {
                    let written = poll_write_some(&mut self.io, cx, self.tx.fetch());
                    self.wrote(written);
                }
                Step::Read { until } | Step::Wait { until } => {
                    self.poll_flush(cx);
                    match poll_read_some(&mut self.io, cx, self.rx.fetch()) {
                        Poll::Ready(Ok(0)) => self.endpoint.receive_eof(),
                        Poll::Ready(Ok(_)) => arrived(),
                        Poll::Ready(Err(error)) => {
                            self.error.get_or_insert_with(|| error.into());
                            self.endpoint.receive_eof();
                        }
                        Poll::Pending => {
                            self.rx.release(); // the wait may be long
                            self.tx.release();
                            let now = ready!(self.timer.poll(cx, until));
                            self.endpoint.handle_timeout(now, self.tx.fetch());
                        }
                    }
                }
                Step::ShutdownWrite => {
                    // how the answer to a handshake that failed fares changes nothing
                    if Pin::new(&mut self.io).poll_shutdown(cx).is_ready() {
                        self.endpoint.note_shut_down();
                        continue;
                    }
                    let now = ready!(self.timer.poll(cx, self.endpoint.poll_timeout()));
                    self.endpoint.handle_timeout(now, self.tx.fetch());
                }
                Step::Request(request) => return Poll::Ready(Stop::Request(request)),
                Step::Response(accepted) => return Poll::Ready(Stop::Response(accepted)),
                Step::Close(result) => {
                    return Poll::Ready(Stop::Over(with_reason(result, &mut self.error)));
                }
                Step::Event(_) | Step::Again => {
                    debug_assert!(false, "a connection that is open is not this module's");
                    return Poll::Ready(Stop::Over(Ok(())));
                }
            }
        }
    }

    /// Writes what is left of a response that accepts; an error if that fails or takes too long.
    pub(super) fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        until: Duration,
    ) -> Poll<Result<(), Error>> {
        while self.tx.fetch().has_remaining() || self.flush_pending {
            let progress = if self.tx.fetch().has_remaining() {
                let written = poll_write_some(&mut self.io, cx, self.tx.fetch());
                let progress = written.is_ready();
                self.wrote(written);
                progress
            } else {
                self.poll_flush(cx);
                !self.flush_pending
            };
            if let Some(error) = self.error.take() {
                return Poll::Ready(Err(error));
            }
            if !progress {
                let now = ready!(self.timer.poll(cx, Some(until)));
                if now >= until {
                    return Poll::Ready(Err(Error::HandshakeTimeout));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Makes a WebSocket of it, once the connection is open. It goes on with the alarm of the
    /// handshake: to put off one that is set costs nothing beside another one.
    pub(super) fn into_socket(self) -> Option<WebSocket<S>> {
        let Self { io, endpoint, rx, tx, timer, .. } = self;
        let connection = endpoint.into_connection()?;
        Some(WebSocket::new(io, connection, rx, tx, timer))
    }

    /// Returns the time `after` from now, on the clock of this handshake.
    pub(super) fn in_time(&mut self, after: Duration) -> Duration {
        self.timer.now().saturating_add(after)
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>) {
        let tx = self.tx.fetch();
        let written = written.map(|result| {
            let n = result?;
            check_written(n, tx.remaining())?;
            Ok::<_, io::Error>(n)
        });
        match written {
            Poll::Pending => self.endpoint.note_blocked(),
            Poll::Ready(Ok(n)) => {
                tx.advance(n);
                self.endpoint.note_written(n);
                self.flush_pending = true;
            }
            Poll::Ready(Err(error)) => self.write_failed(error),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) {
        if !self.flush_pending {
            return;
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.flush_pending = flushed.is_pending();
        if let Poll::Ready(Err(error)) = flushed {
            self.write_failed(error);
        }
    }

    fn write_failed(&mut self, error: io::Error) {
        self.endpoint.note_write_failed(self.tx.fetch());
        self.error.get_or_insert_with(|| error.into());
    }
}
