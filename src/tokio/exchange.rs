use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Poll, ready};
use core::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::accept::respond;
use super::link::poll_read_some;
use super::opening::Opening;
use crate::error::Error;
use crate::handshake::server::{BodyError, BodyReader, Reject};

/// The stream of a request of plain HTTP, whose body may be read before it is answered.
pub(crate) struct Exchange<S> {
    pub(super) opening: Box<Opening<S>>,
    pub(super) head_only: bool,
    /// For the body to arrive, and again for the response to leave.
    pub(super) timeout: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    /// Reads the body. `is_awaited` says that the client waits to be asked for it.
    ///
    /// Cancel safety: what was read is lost.
    pub(crate) async fn read_body(
        &mut self,
        mut reader: BodyReader,
        is_awaited: bool,
    ) -> Result<Vec<u8>, BodyError> {
        let opening = &mut *self.opening;
        let until = opening.in_time(self.timeout);
        if is_awaited && !reader.is_empty() {
            opening.tx.fetch().put_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            let written = poll_fn(|cx| opening.poll_write_all(cx, until)).await;
            written.map_err(|error| match error {
                Error::HandshakeTimeout => BodyError::TimedOut,
                _ => BodyError::Incomplete,
            })?;
        }
        poll_fn(|cx| {
            while !reader.read(opening.rx.fetch())? {
                match poll_read_some(&mut opening.io, cx, opening.rx.fetch()) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(Err(BodyError::Incomplete)),
                    Poll::Pending => {
                        opening.rx.release(); // the wait may be long
                        let now = ready!(opening.timer.poll(cx, Some(until)));
                        if now >= until {
                            return Poll::Ready(Err(BodyError::TimedOut));
                        }
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        Ok(reader.into_body())
    }

    /// Answers the request; as [`Incoming::reject`](super::Incoming::reject).
    pub(crate) async fn respond(self, reject: &Reject<'_>) -> Result<(), Error> {
        Box::pin(respond(self.opening, reject, self.head_only, self.timeout)).await
    }
}
