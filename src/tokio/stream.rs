use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};

use super::WebSocket;
use super::link::message_in_hand;
use super::waiting::Direction;
use crate::error::Error;
use crate::proto::{Message, Receiver, SendError};
use crate::wire::CloseCode;

/// The messages of [`recv`](WebSocket::recv). Ends after a closing handshake, and after the first
/// error.
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<S> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stream_ended {
            return Poll::Ready(None);
        }
        let Self { rx, receiver, link, .. } = &mut *self;
        if let Some(kind) = message_in_hand(receiver, rx, link) {
            let event = Receiver::take_message(kind, rx.fetch());
            return Poll::Ready(event.into_message().map(Ok));
        }
        let received = self.poll_for(Direction::Read, cx, |this, cx| {
            // Nobody answers to the message while another task waits to send: it does not have to
            // find room in the send buffer.
            if !this.sink_waits {
                return this.poll_recv(cx);
            }
            let independent = this.link.driver.set_independent(true);
            let received = this.poll_recv(cx);
            this.link.driver.set_independent(independent);
            received
        });
        let item = ready!(received).transpose();
        self.stream_ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> FusedStream for WebSocket<S> {
    fn is_terminated(&self) -> bool {
        self.stream_ended
    }
}

/// Queues messages as [`feed`](WebSocket::feed) does; flushing the sink flushes the socket.
///
/// Closing it sends everything and a Close with 1000, and waits for the end of the closing
/// handshake, but not past a message that nobody has received: messages that were under way still
/// come out of the `Stream`, up to the peer's Close (RFC 6455 §5.5.1). So after `SinkExt::close`
/// and `StreamExt::forward` take from the stream until it ends.
///
/// `StreamExt::split` works: one task may wait for a message while another sends. Each is woken for
/// whatever happens. Costs an allocation, once.
impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Message> for WebSocket<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_sink(cx, Self::poll_room)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.feed(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_sink(cx, Self::poll_write_all)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_sink(cx, |this, cx| match this.start_close(CloseCode::NORMAL, "") {
            Ok(()) | Err(Error::Send(SendError::NotOpen)) => this.poll_end(cx),
            Err(error) => Poll::Ready(Err(error)),
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    fn poll_sink(
        &mut self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Self, &mut Context<'_>) -> Poll<Result<(), Error>>,
    ) -> Poll<Result<(), Error>> {
        let polled = self.poll_for(Direction::Write, cx, poll);
        if mem::replace(&mut self.sink_waits, polled.is_pending()) != polled.is_pending() {
            self.waiting().wake_one(Direction::Read); // it may have waited for room as well
        }
        polled
    }
}
