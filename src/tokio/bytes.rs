use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::WebSocket;
use super::link::{Direct, poll_ready_event};
use super::waiting::Direction;
use crate::error::Error;
use crate::intake::{Intake, Verdict};
use crate::proto::{CloseInfo, Ready, Receiver, SendError, State};
use crate::wire::CloseCode;

/// A WebSocket as a stream of bytes: what binary messages carry, without their boundaries.
///
/// For another protocol inside a WebSocket: TLS, SSH, a database's, or whatever comes out of a TCP
/// connection. Made by [`WebSocket::into_byte_stream`], in both roles.
///
/// ```no_run
/// # async fn run(client: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let ws = sansws::tokio::accept(client).await?;
/// let mut tunnel = ws.into_byte_stream();
/// let mut database = tokio::net::TcpStream::connect("127.0.0.1:5432").await?;
/// tokio::io::copy_bidirectional(&mut tunnel, &mut database).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Reading
///
/// Reads bring the payloads of binary messages, one after the other. Empty messages do not show.
/// Payloads are handed on as they arrive, so a message may be far larger than memory, up to
/// [`Config::max_message_len`](crate::Config::max_message_len); what is held is the receive buffer
/// ([`Config::read_ahead`](crate::Config::read_ahead) bytes, up to four times that on a busy
/// connection). Each byte is copied once, into the caller's buffer, and not even that with
/// [`AsyncBufRead`]. Pings and the peer's Close are answered on the way.
///
/// The end of file means that the peer has closed with 1000, or with a Close frame without a code,
/// and that all of its data has been read. Everything else is an error, so that a stream that was
/// cut off is never taken for a complete one:
///
/// | what happened | [`io::ErrorKind`] | [`Error`] inside |
/// |---|---|---|
/// | no closing handshake | `UnexpectedEof`, `ConnectionReset`, … | [`Error::Disconnected`] |
/// | another close code, such as 1001 | `ConnectionAborted` | [`Error::Closed`] |
/// | a text message; the peer is told with 1003 | `InvalidData` | [`Error::UnexpectedText`] |
/// | the peer broke a rule; it is told so | `InvalidData` | [`Error::Protocol`] |
/// | the peer no longer answers | `TimedOut` | [`Error::Timeout`] |
///
/// The [`Error`] is what [`io::Error::get_ref`] returns, to be downcast.
///
/// # Writing
///
/// A write makes one binary message, of at most 32 KiB, and writes as much of it as the transport
/// takes at once; flushing writes the rest. A write waits while
/// [`Config::max_unsent`](crate::Config::max_unsent) bytes are unsent. Reading does not wait for
/// that, so two ends that send a lot at the same time do not block each other. While one task only
/// writes, pings are answered and keep-alive goes on as well, up to the first data that nobody has
/// read.
///
/// After the peer's Close, and after a shutdown, a write fails with `BrokenPipe`.
///
/// # Shutting down
///
/// A WebSocket has no half-closed state: after a Close frame its sender sends nothing more, and its
/// receiver answers with a Close and sends nothing more either (RFC 6455 §5.5.1). So
/// [`poll_shutdown`](AsyncWrite::poll_shutdown), which sends everything and then a Close with 1000,
/// also ends the other direction soon: what the peer has sent until it sees the Close still
/// arrives, what it would have sent after that never does.
///
/// Shutting down then waits for the end of the closing handshake, but not past data: as soon as
/// some has arrived that nobody has read, it is done, and reading goes on to the end of file. No
/// data is dropped. Whoever drops the stream instead of reading on may cost the peer the end of
/// what was written to it, as with TCP. [`Config::close_timeout`](crate::Config::close_timeout)
/// bounds the wait for a peer that does not answer.
///
/// With [`copy_bidirectional`](::tokio::io::copy_bidirectional) between a stream `tcp` and the byte
/// stream:
///
/// - when `tcp` ends, the Close goes out; what the peer had sent until it got there is copied to
///   `tcp`, and the copy ends. A client that half-closes to say that its request is complete, and
///   then waits for the response, is therefore no match for a tunnel through WebSockets;
/// - when the peer closes, `tcp` is shut down, and the copy waits for the end of `tcp`. It ends
///   well with it, and with `BrokenPipe` if `tcp` brings another byte: that cannot reach anybody.
///   Where `tcp` stays open after it has been shut down, let the first direction that is over end
///   both.
///
/// # Two tasks
///
/// [`tokio::io::split`](::tokio::io::split) works: one task may wait for a read while another waits
/// for a write. Both are woken for whatever happens.
///
/// # Cancel safety
///
/// All state is in the stream. A read or write that was given up has read or taken nothing; the
/// bytes of one that is complete are accounted for.
pub struct ByteStream<S> {
    ws: WebSocket<S>,
    intake: Intake,
}

impl<S> WebSocket<S> {
    /// Returns the connection as a stream of bytes.
    ///
    /// Data that has arrived is read first. A message that is under way is part of it, also the
    /// [chunks](WebSocket::next_chunk) of it that were not taken yet. Costs an allocation.
    pub fn into_byte_stream(mut self) -> ByteStream<S> {
        self.receiver.deliver_chunks(self.rx.fetch());
        self.link.driver.set_independent(true);
        ByteStream { ws: self, intake: Intake::default() }
    }
}

impl<S> ByteStream<S> {
    /// Returns the WebSocket.
    pub fn get_ref(&self) -> &WebSocket<S> {
        &self.ws
    }

    /// Returns the WebSocket, to close it with another code than 1000, for example. What it
    /// receives is missing in the stream.
    pub fn get_mut(&mut self) -> &mut WebSocket<S> {
        &mut self.ws
    }

    /// Returns the WebSocket. Nothing is lost: what has arrived and was not read is its next event.
    ///
    /// A message of which a part was read goes on in [chunks](WebSocket::next_chunk) to its end.
    pub fn into_inner(mut self) -> WebSocket<S> {
        self.ws.link.driver.set_independent(false);
        self.ws
    }

    /// Returns how the connection closed; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo<'_>> {
        self.ws.close_info()
    }

    /// Data that has arrived. It is there until it was read, whatever becomes of the connection.
    fn held(&self) -> Option<Ready> {
        self.intake.held(&self.ws.receiver, self.ws.rx.look()?)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> ByteStream<S> {
    /// As [`WebSocket::poll_for`].
    fn poll_for<T>(
        &mut self,
        direction: Direction,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Self, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let waiting = self.ws.waiting();
        let before = self.ws.situation();
        let result = waiting.poll(direction, cx, |cx| poll(self, cx));
        if self.ws.situation() != before {
            waiting.wake_one(direction.other());
        }
        result
    }

    /// Waits until there is data, or none will come (`None`).
    fn poll_held(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Ready>, Error>> {
        if let Some(ready) = self.held() {
            return Poll::Ready(Ok(Some(ready)));
        }
        self.poll_for(Direction::Read, cx, |this, cx| {
            loop {
                let found = ready!(this.poll_next(cx));
                match this.intake.judge(found)? {
                    Verdict::Data(ready) => return Poll::Ready(Ok(Some(ready))),
                    Verdict::End => {
                        return Poll::Ready(this.ws.link.driver.check_complete().map(|()| None));
                    }
                    Verdict::RefuseText => this.ws.link.driver.refuse_text(),
                    Verdict::Drop(ready) => this.consume_held(ready, usize::MAX),
                }
            }
        })
    }

    /// Waits until data is held. Control frames and empty messages are dealt with on the way.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Ready>, Error>> {
        let WebSocket { rx, receiver, link, .. } = &mut self.ws;
        loop {
            let Some(ready) = ready!(poll_ready_event(receiver, rx, link, cx))? else {
                return Poll::Ready(Ok(None));
            };
            let pay = |reply| link.driver.reply(reply);
            if let Some(ready) = Intake::take_in(receiver, rx.fetch(), ready, pay) {
                return Poll::Ready(Ok(Some(ready)));
            }
        }
    }

    fn consume_held(&mut self, ready: Ready, n: usize) {
        self.ws.receiver.consume_held(self.ws.rx.fetch(), ready, n);
    }

    /// Wakes who writes, if data was all that kept him from looking at what comes, and nobody may
    /// read on.
    fn note_read(&self) {
        if let Some(waiting) = &self.ws.waiting
            && self.held().is_none()
        {
            waiting.wake_one(Direction::Write);
        }
    }

    /// Answers pings and a Close and lets the timers act, while somebody writes. Stops at data:
    /// that is for those who read. While it lies there, the peer's pong may lie behind it, so
    /// nobody judges the peer.
    fn listen(&mut self, cx: &mut Context<'_>) {
        if self.held().is_none() {
            // an error comes again
            let _ = self.poll_next(cx);
        }
    }

    fn poll_feed(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize, Error>> {
        self.listen(cx);
        let Direct { driver, .. } = &mut self.ws.link;
        driver.check_writable()?;
        if driver.sender.state() != State::Open {
            return Poll::Ready(Err(SendError::NotOpen.into()));
        }
        while !self.ws.link.driver.has_room() {
            ready!(self.ws.link.poll_write(cx));
            self.ws.link.driver.check_writable()?;
        }
        let n = self.ws.link.driver.feed_piece(buf)?;
        // What the transport does not take now leaves with the next call; so does the news that it
        // is broken.
        while !self.ws.link.driver.is_flushed() && self.ws.link.poll_write(cx).is_ready() {}
        Poll::Ready(Ok(n))
    }

    fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.listen(cx);
        let link = &mut self.ws.link;
        while !link.driver.check_flushed()? {
            ready!(link.poll_write_or_flush(cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.ws.link.driver.start_close(CloseCode::NORMAL, "") {
            Ok(()) | Err(Error::Send(SendError::NotOpen)) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        loop {
            if self.intake.is_refused() {
                if let Some(ready) = self.ws.receiver.held() {
                    self.consume_held(ready, usize::MAX);
                }
            } else if self.ws.receiver.held().is_some() {
                // only the peer's limits and its patience with ours bound this wait
                return self.ws.poll_write_all(cx);
            }
            if ready!(self.poll_next(cx))?.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ByteStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        ready!(this.ws.rx.turn.poll(cx));
        let ready = ready!(this.poll_held(cx))?;
        let (rx, turn) = this.ws.rx.fetch_with_turn();
        this.intake.read(&mut this.ws.receiver, rx, ready, |payload| {
            let n = payload.len().min(buf.remaining());
            if n > 0 {
                turn.spend_event();
            }
            buf.put_slice(&payload[..n]);
            n
        });
        if ready.is_some() {
            this.note_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncBufRead for ByteStream<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.ws.rx.turn.poll(cx));
        Poll::Ready(match ready!(this.poll_held(cx))? {
            Some(ready) => Ok(Receiver::held_payload(this.ws.rx.fetch(), ready)),
            None => Ok(&[]),
        })
    }

    fn consume(mut self: Pin<&mut Self>, n: usize) {
        if let Some(ready) = self.held() {
            self.ws.rx.turn.spend_event();
            self.consume_held(ready, n);
            self.note_read();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ByteStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let written = self.poll_for(Direction::Write, cx, |this, cx| this.poll_feed(cx, buf));
        written.map_err(io::Error::from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_for(Direction::Write, cx, Self::poll_flush_all).map_err(io::Error::from)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_for(Direction::Write, cx, Self::poll_close).map_err(io::Error::from)
    }
}

impl<S: fmt::Debug> fmt::Debug for ByteStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream").field("ws", &self.ws).finish_non_exhaustive()
    }
}
