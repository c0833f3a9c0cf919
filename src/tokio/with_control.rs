use alloc::string::String;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};

use super::halves::SplitStream;
use super::waiting::Direction;
use super::{Sender, WebSocket};
use crate::error::Error;
use crate::proto::{Message, MessageRef, Utf8Bytes};
use crate::wire::CloseCode;

/// What a [`WithControl`] sends: a message, or a control frame (RFC 6455 §5.5).
///
/// Strings and bytes become messages, as they do with [`Message`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // RFC 6455 §5.5 and §5.6 have these frames
pub enum Outbound {
    /// A text or binary message.
    Message(Message),
    /// A ping with at most 125 bytes. The peer sends them back in a pong.
    Ping(Bytes),
    /// An unsolicited pong with at most 125 bytes: a heartbeat that asks for no answer. Pings are
    /// answered without it.
    Pong(Bytes),
    /// A Close frame with a reason of at most 123 bytes. No item follows it.
    Close(CloseCode, Utf8Bytes),
}

macro_rules! from {
    ($($type:ty),*) => {$(
        impl From<$type> for Outbound {
            fn from(message: $type) -> Self {
                Self::Message(message.into())
            }
        }
    )*};
}

from!(Message, &str, String, Utf8Bytes, Bytes, Vec<u8>, &[u8]);

/// A socket, or the sending half of one, whose [`Sink`] takes pings, pongs and a Close frame beside
/// messages.
///
/// Made by [`WebSocket::with_control`] and [`Sender::with_control`]. In all else it is the `Sink`,
/// and the `Stream` if it is one, of what it was made of: the same turns, wake-ups and errors, at
/// no cost of its own.
///
/// ```
/// # async fn run<S>(ws: sansws::tokio::WebSocket<S>) -> Result<(), sansws::Error>
/// # where S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {
/// use futures_util::{SinkExt, StreamExt, stream};
/// use sansws::CloseCode;
/// use sansws::tokio::Outbound;
///
/// let (mut sink, mut incoming) = StreamExt::split(ws.with_control());
/// let mut outgoing = stream::iter([
///     Outbound::from("hello"),
///     Outbound::Ping("are you there?".into()),
///     Outbound::Close(CloseCode::NORMAL, "that was all".into()),
/// ]);
/// sink.send_all(&mut outgoing.by_ref().map(Ok)).await?;
/// while let Some(message) = incoming.next().await {
///     println!("{:?}", message?);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Closing
///
/// A [`Close`](Outbound::Close) is written by the next flush. Closing the sink then sends no second
/// one, and waits for the end of the closing handshake as it does without `WithControl`; without a
/// `Close` before, it sends one with 1000. An item behind a Close is refused.
///
/// # Errors
///
/// [`Error::Send`] when an item cannot be sent, with nothing queued, and the sink goes on:
/// [`ControlTooLong`](crate::proto::SendError::ControlTooLong),
/// [`ReasonTooLong`](crate::proto::SendError::ReasonTooLong),
/// [`NotOpen`](crate::proto::SendError::NotOpen) once the connection is closing. Otherwise as the
/// `Sink` of the [`WebSocket`].
#[derive(Clone, Debug)]
pub struct WithControl<W> {
    inner: W,
}

impl<S> WebSocket<S> {
    /// Returns the socket as a `Sink` of messages and control frames.
    pub fn with_control(self) -> WithControl<Self> {
        WithControl { inner: self }
    }
}

impl<S: SplitStream> Sender<S> {
    /// Returns the sending half as a `Sink` of messages and control frames.
    pub fn with_control(self) -> WithControl<Self> {
        WithControl { inner: self }
    }
}

impl<W> WithControl<W> {
    /// Returns what it was made of.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// Returns what it was made of.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Returns what it was made of. What was queued stays so.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Stream + Unpin> Stream for WithControl<W> {
    type Item = W::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<W::Item>> {
        Pin::new(&mut self.inner).poll_next(cx)
    }
}

impl<W: FusedStream + Unpin> FusedStream for WithControl<W> {
    fn is_terminated(&self) -> bool {
        self.inner.is_terminated()
    }
}

/// Queues an item, as its kind asks for.
trait Queue: Sink<Message, Error = Error> + Unpin {
    fn queue(&mut self, message: MessageRef<'_>) -> Result<(), Error>;

    fn queue_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error>;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Queue for WebSocket<S> {
    fn queue(&mut self, message: MessageRef<'_>) -> Result<(), Error> {
        self.feed(message)
    }

    fn queue_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.start_close(code, reason)?;
        self.waiting().wake_one(Direction::Read); // there is a deadline now
        Ok(())
    }
}

impl<S: SplitStream> Queue for Sender<S> {
    fn queue(&mut self, message: MessageRef<'_>) -> Result<(), Error> {
        self.forget_flush();
        self.feed(message)
    }

    fn queue_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.begin_close(code, reason)
    }
}

fn start_send(inner: &mut impl Queue, item: Outbound) -> Result<(), Error> {
    match item {
        Outbound::Message(message) => inner.queue(message.into()),
        Outbound::Ping(payload) => inner.queue(MessageRef::ping(&payload)),
        Outbound::Pong(payload) => inner.queue(MessageRef::pong(&payload)),
        Outbound::Close(code, reason) => inner.queue_close(code, &reason),
    }
}

macro_rules! sink {
    ($inner:ty, $($bounds:tt)*) => {
        impl<$($bounds)*> Sink<Outbound> for WithControl<$inner> {
            type Error = Error;

            fn poll_ready(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Result<(), Error>> {
                Pin::new(&mut self.inner).poll_ready(cx)
            }

            fn start_send(mut self: Pin<&mut Self>, item: Outbound) -> Result<(), Error> {
                start_send(&mut self.inner, item)
            }

            fn poll_flush(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Result<(), Error>> {
                Pin::new(&mut self.inner).poll_flush(cx)
            }

            fn poll_close(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Result<(), Error>> {
                Pin::new(&mut self.inner).poll_close(cx)
            }
        }
    };
}

sink!(WebSocket<S>, S: AsyncRead + AsyncWrite + Unpin);
sink!(Sender<S>, S: SplitStream);
