use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::halves::{Locked, SplitStream};
use super::link::{Direct, poll_ready_event};
use super::pooled::PooledRx;
use super::shared::{Shared, SharedLink};
use super::timer::Timer;
use super::{ClientStream, WebSocket};
use crate::driver::{Driver, take_event, take_message};
use crate::error::Error;
use crate::proto::{self, CloseInfo, Event, Message, MessageRef, SendError, State};
use crate::wire::CloseCode;

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Takes the socket apart into two halves for two tasks. Works for every stream; for a
    /// `TcpStream`, `UnixStream` or `ClientStream`, [`into_split`](Self::into_split) does it
    /// without a lock on the stream.
    ///
    /// A task that only receives still answers pings and the peer's Close. Dropping one half does
    /// not disturb the other; the stream goes when both are gone.
    pub fn split(self) -> (Receiver<Locked<S>>, Sender<Locked<S>>) {
        split(self)
    }
}

impl<S: SplitStream<Whole = S>> WebSocket<S> {
    /// Takes the socket apart into two halves for two tasks, without a lock on the stream. See
    /// [`split`](WebSocket::split).
    pub fn into_split(self) -> (Receiver<S>, Sender<S>) {
        split(self)
    }
}

fn split<S: SplitStream>(ws: WebSocket<S::Whole>) -> (Receiver<S>, Sender<S>) {
    let WebSocket { rx, receiver, link, subprotocol, stream_ended, .. } = ws;
    let Direct { io, driver, timer, .. } = link;
    let (read, write) = S::split(io);
    let shared = Arc::new(Shared::new(write, driver, subprotocol));
    let sender = Sender::new(&shared, &timer);
    let link = SharedLink { read, shared, timer };
    (Receiver { rx, receiver, link, stream_ended }, sender)
}

/// The receiving half of a socket that was split.
///
/// ```
/// # async fn run(stream: tokio::net::TcpStream) -> Result<(), sansws::Error> {
/// use sansws::tokio::accept;
///
/// let (mut receiver, sender) = accept(stream).await?.into_split();
/// let clock = sender.clone();
/// tokio::spawn(async move {
///     while clock.send("tick").await.is_ok() {
///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///     }
/// });
/// while let Some(message) = receiver.recv().await? {
///     sender.send(message).await?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Receiver<S: SplitStream> {
    rx: PooledRx,
    receiver: proto::Receiver,
    link: SharedLink<S>,
    stream_ended: bool,
}

impl<S: SplitStream> Receiver<S> {
    /// Returns the next message, owned. See [`WebSocket::recv`].
    ///
    /// Also writes what the senders have fed, and does its part of the closing handshake.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: dropping the future loses neither bytes nor messages.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Returns the next event, borrowed from the receive buffer. See [`WebSocket::next_event`];
    /// answers go through the [`Sender`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: dropping the future loses neither bytes nor events.
    pub async fn next_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.receiver.deliver_messages();
        self.take_next().await
    }

    /// Returns the next event, the payload of a message as it arrives. See
    /// [`WebSocket::next_chunk`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: dropping the future loses neither bytes nor events.
    pub async fn next_chunk(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.receiver.deliver_chunks(self.rx.fetch());
        self.take_next().await
    }

    async fn take_next(&mut self) -> Result<Option<Event<'_>>, Error> {
        let Self { rx, receiver, link, .. } = self;
        let ready = poll_fn(|cx| poll_ready_event(receiver, rx, link, cx)).await?;
        let Some(ready) = ready else { return Ok(None) };
        let pay = |reply| link.shared.reply(reply);
        Ok(Some(take_event(receiver, rx.fetch(), ready, pay)))
    }

    /// Returns the subprotocol that the handshake agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.link.shared.subprotocol.as_ref().map(|it| &***it)
    }

    /// Returns how the connection closed; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo<'static>> {
        self.link.shared.lock().driver.sender.close_info().map(CloseInfo::into_owned)
    }

    /// Returns the time from the last keep-alive ping to its pong; `None` until one was answered.
    pub fn round_trip(&self) -> Option<Duration> {
        self.link.shared.lock().driver.sender.round_trip()
    }

    /// Returns what can still happen on the connection.
    pub fn state(&self) -> State {
        self.link.shared.lock().driver.sender.state()
    }

    /// Returns what the handshake agreed on about compression; `None` if messages are not
    /// compressed.
    #[cfg(feature = "deflate")]
    pub fn deflate(&self) -> Option<crate::deflate::Agreement> {
        self.link.shared.lock().driver.sender.deflate()
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    ///
    /// Both halves, when `sender` belongs to another socket or has clones elsewhere.
    pub fn reunite(self, sender: Sender<S>) -> Result<WebSocket<S::Whole>, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.link.shared, &sender.shared) || Arc::strong_count(&sender.shared) > 2
        {
            return Err(ReuniteError(Box::new((self, sender))));
        }
        drop(sender);
        let Self { rx, receiver, link, stream_ended } = self;
        let SharedLink { read, shared, timer } = link;
        // this half has the only reference now: the other one could not be cloned meanwhile
        let Some(shared) = Arc::into_inner(shared) else { unreachable!("the halves were counted") };
        let (write, driver, subprotocol) = shared.into_parts();
        let Some(io) = S::unsplit(read, write) else { unreachable!("the halves were compared") };
        let mut link = Direct::new(io, driver, timer);
        link.lose_balance();
        Ok(WebSocket {
            rx,
            receiver,
            link,
            subprotocol,
            stream_ended,
            sink_waits: false,
            waiting: None,
        })
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        let Self { rx, receiver, link, .. } = self;
        receiver.deliver_messages();
        loop {
            let ready = ready!(poll_ready_event(receiver, rx, link, cx))?;
            let Some(ready) = ready else { return Poll::Ready(Ok(None)) };
            let pay = |reply| link.shared.reply(reply);
            if let Some(message) = take_message(receiver, rx.fetch(), ready, pay)? {
                return Poll::Ready(Ok(Some(message)));
            }
        }
    }
}

/// The messages of [`recv`](Receiver::recv). Ends after a closing handshake, and after the first
/// error.
impl<S: SplitStream<ReadHalf: Unpin>> Stream for Receiver<S> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stream_ended {
            return Poll::Ready(None);
        }
        let item = ready!(self.poll_recv(cx)).transpose();
        self.stream_ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

impl<S: SplitStream<ReadHalf: Unpin>> FusedStream for Receiver<S> {
    fn is_terminated(&self) -> bool {
        self.stream_ended
    }
}

impl<S: SplitStream> fmt::Debug for Receiver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("rx", &self.rx).finish_non_exhaustive()
    }
}

/// The sending half of a socket that was split. Cloning it costs a reference count.
///
/// All clones may send at the same time: messages go out whole, one after the other, and replies to
/// the peer pass between them. No lock is held while anything waits.
///
/// It is a [`Sink`] too, for `StreamExt::forward` and its like: closing that sends a Close with
/// 1000, and the receiving half does the rest of the closing handshake.
///
/// [`Receiver`] has an example with both.
pub struct Sender<S: SplitStream> {
    shared: Arc<Shared<S::WriteHalf>>,
    /// As a `Sink`, its alarm; a clock to all else.
    timer: Timer,
    /// As a `Sink`, its place in the line of those who wait to write.
    place: Option<u64>,
    /// As a `Sink` that is being flushed, how many bytes will have been written in all then.
    flushing: Option<u64>,
}

impl<S: SplitStream> Sender<S> {
    fn new(shared: &Arc<Shared<S::WriteHalf>>, timer: &Timer) -> Self {
        Self { shared: Arc::clone(shared), timer: timer.another(), place: None, flushing: None }
    }

    /// Sends a message, and waits until it is written.
    ///
    /// Waits for room first while [`Config::max_unsent`](crate::Config::max_unsent) bytes wait to
    /// be sent.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future never tears a frame. The message was then either not taken at all, or it
    /// is queued whole and leaves with the next call on any of the halves.
    pub async fn send<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        let mut message = Some(message.into());
        self.queue(|driver| message.take().map_or(Ok(()), |message| driver.feed(message))).await
    }

    /// Sends a message without waiting. What the transport does not take at once, the receiving
    /// half writes. A long message is compressed in one go, unlike with [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// [`SendError::BufferFull`] while [`Config::max_unsent`](crate::Config::max_unsent) bytes
    /// wait, and as [`WebSocket::send`].
    pub fn try_send<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        {
            let mut state = self.shared.lock();
            state.driver.feed(message.into())?;
            state.driver.encode_all(); // without waiting
        }
        while self.shared.lock().is_unsent() {
            if self.shared.try_write().is_pending() {
                self.shared.wake_receiver();
                break;
            }
        }
        Ok(())
    }

    /// Queues a message. It leaves with the next call that writes, on any of the halves.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn feed<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.shared.lock().driver.feed(message.into())
    }

    /// Waits until everything that is queued now is written.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::flush`].
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: what was written is remembered.
    pub async fn flush(&self) -> Result<(), Error> {
        self.all_written(None).await
    }

    /// Sends a Close frame, behind everything that is queued, and returns once that is written. The
    /// closing handshake goes on in the receiving half, which reports its end; dropping that half
    /// instead breaks the connection off.
    ///
    /// # Errors
    ///
    /// [`SendError::ReasonTooLong`]; otherwise as [`flush`](Self::flush). On a connection that is
    /// closing already this is a flush, and on one that has ended it says how.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves a connection that is closing.
    pub async fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        if let Some(end) = self.shared.lock().driver.end() {
            return end;
        }
        // the wait for the answer begins also where nothing can be written: that is said below
        let _ = self.end_of_queue().await;
        let until = match self.start_close(code, reason) {
            Ok(until) => until,
            Err(Error::Send(SendError::NotOpen)) => None, // is closing already
            Err(error) => return Err(error),
        };
        self.all_written(until).await
    }

    /// Queues a Close frame. Returns the end of the queue then, if that is known.
    fn start_close(&self, code: CloseCode, reason: &str) -> Result<Option<u64>, Error> {
        let until = {
            let mut state = self.shared.lock();
            state.driver.start_close(code, reason)?;
            state.driver.end_of_queue()
        };
        self.shared.wake_all(); // there is a deadline now, also where nothing can be written
        until
    }

    /// Queues a Close frame as an item of the `Sink`: its next flush, or closing it, writes that.
    pub(super) fn begin_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.flushing = self.start_close(code, reason)?;
        Ok(())
    }

    /// Returns the unsent bytes: of all senders, and replies to the peer.
    pub fn unsent(&self) -> usize {
        self.shared.lock().driver.unsent()
    }

    /// Returns the subprotocol that the handshake agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared.subprotocol.as_ref().map(|it| &***it)
    }

    /// Returns what the handshake agreed on about compression; `None` if messages are not
    /// compressed.
    #[cfg(feature = "deflate")]
    pub fn deflate(&self) -> Option<crate::deflate::Agreement> {
        self.shared.lock().driver.sender.deflate()
    }

    /// Returns what can still happen on the connection.
    pub fn state(&self) -> State {
        self.shared.lock().driver.sender.state()
    }

    /// Returns the time from the last keep-alive ping to its pong; `None` until one was answered.
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.lock().driver.sender.round_trip()
    }

    /// Returns how the connection closed; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo<'static>> {
        self.shared.lock().driver.sender.close_info().map(CloseInfo::into_owned)
    }

    /// Waits for room, queues with `feed`, and waits until that is written.
    async fn queue(
        &self,
        mut feed: impl FnMut(&mut Driver) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut timer = self.timer.another();
        let place = self.shared.place();
        let until = poll_fn(|cx| {
            self.shared.poll_room(place.number, &mut timer, cx, |state| {
                feed(&mut state.driver)?;
                state.driver.end_of_queue()
            })
        });
        let until = until.await?;
        self.all_written(until).await
    }

    /// Waits until so many bytes have been written in all, or everything that is queued now.
    async fn all_written(&self, until: Option<u64>) -> Result<(), Error> {
        let until = match until {
            Some(until) => until,
            None => self.end_of_queue().await?,
        };
        self.written(until).await
    }

    /// Something is queued behind what a flush that was given up waited for.
    pub(super) fn forget_flush(&mut self) {
        self.flushing = None;
    }

    /// As [`Shared::poll_end_of_queue`].
    async fn end_of_queue(&self) -> Result<u64, Error> {
        let mut timer = self.timer.another();
        let place = self.shared.place();
        poll_fn(|cx| self.shared.poll_end_of_queue(place.number, &mut timer, cx)).await
    }

    /// Waits until so many bytes have been written in all.
    async fn written(&self, until: u64) -> Result<(), Error> {
        let mut timer = self.timer.another();
        let place = self.shared.place();
        poll_fn(|cx| self.shared.poll_written(until, place.number, &mut timer, cx)).await
    }
}

/// Queues messages as [`feed`](Sender::feed) does.
impl<S: SplitStream> Sink<Message> for Sender<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self { shared, timer, place, .. } = &mut *self;
        let place = *place.get_or_insert_with(|| shared.new_place());
        shared.poll_room(place, timer, cx, |_| Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.forget_flush();
        self.feed(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self { shared, timer, place, flushing } = &mut *self;
        let place = *place.get_or_insert_with(|| shared.new_place());
        // what others queue from then on is theirs to flush
        let until = match *flushing {
            Some(until) => until,
            None => *flushing.insert(ready!(shared.poll_end_of_queue(place, timer, cx))?),
        };
        let flushed = ready!(shared.poll_written(until, place, timer, cx));
        *flushing = None;
        Poll::Ready(flushed)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.start_close(CloseCode::NORMAL, "") {
            Ok(until) => self.flushing = until,
            Err(Error::Send(SendError::NotOpen)) => {
                if let Some(end) = self.shared.lock().driver.end() {
                    return Poll::Ready(end);
                }
            }
            Err(error) => return Poll::Ready(Err(error)),
        }
        self.poll_flush(cx)
    }
}

/// What it has fed, or given up to write, is left to the receiving half.
impl<S: SplitStream> Drop for Sender<S> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shared.leave(place);
        }
        if self.shared.lock().is_unsent() {
            self.shared.wake_receiver();
        }
    }
}

impl<S: SplitStream> Clone for Sender<S> {
    fn clone(&self) -> Self {
        Self::new(&self.shared, &self.timer)
    }
}

impl<S: SplitStream> fmt::Debug for Sender<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// The halves are not of one socket, or the sender has clones.
pub struct ReuniteError<S: SplitStream>(Box<(Receiver<S>, Sender<S>)>);

impl<S: SplitStream> ReuniteError<S> {
    /// Returns the halves.
    pub fn into_halves(self) -> (Receiver<S>, Sender<S>) {
        *self.0
    }
}

impl<S: SplitStream> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReuniteError")
    }
}

impl<S: SplitStream> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of one socket, or the sender has clones: drop those first")
    }
}

impl<S: SplitStream> core::error::Error for ReuniteError<S> {}

impl Receiver<TcpStream> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.link.read.peer_addr()
    }
}

impl Sender<TcpStream> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.ask(|write| write.peer_addr())
    }
}

impl Receiver<Locked<TcpStream>> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.link.read.lock().peer_addr()
    }
}

impl Sender<Locked<TcpStream>> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.ask(|write| write.lock().peer_addr())
    }
}

impl Receiver<ClientStream> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.link.read.peer_addr()
    }
}

impl Sender<ClientStream> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.ask(|write| write.peer_addr())
    }
}

impl Receiver<Locked<ClientStream>> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.link.read.lock().tcp().peer_addr()
    }
}

impl Sender<Locked<ClientStream>> {
    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.ask(|write| write.lock().tcp().peer_addr())
    }
}
