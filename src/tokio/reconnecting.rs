use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

use super::{ClientStream, WebSocket};
use crate::client::{Backoff, Connector, Lost, Next, Outbox, ReconnectEvent, Retries};
use crate::error::Error;
use crate::proto::{CloseInfo, Message, SendError, State};
use crate::wire::CloseCode;

/// A client that connects again when the connection is lost and the reason may pass.
///
/// [`next_event`](Self::next_event) does all the work: it connects, waits, and returns messages and
/// what happens. What is retried, and after which delay, is told by [`Backoff`]; a failure that
/// would come again ends it with an error.
///
/// ```no_run
/// use sansws::client::{Backoff, Connector, ReconnectEvent};
/// use sansws::tokio::Reconnecting;
///
/// # async fn run() -> Result<(), sansws::Error> {
/// let connector = Connector::new("wss://example.com/feed")?;
/// let mut feed = Reconnecting::new(connector, Backoff::new())
///     .on_connect(|mut ws| async move {
///         ws.send("subscribe prices").await?;
///         Ok(ws)
///     })
///     .queue(1_000, 1 << 20);
/// while let Some(event) = feed.next_event().await? {
///     match event {
///         ReconnectEvent::Message(message) => println!("{message:?}"),
///         ReconnectEvent::Connected => println!("connected"),
///         ReconnectEvent::Lost { why, delay, .. } => println!("{why}; again in {delay:?}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # What becomes of messages
///
/// A message is written to a connection whole before the next one is begun. One that was not
/// written when the connection was lost goes to the next connection ([`queue`](Self::queue)), or
/// [`ReconnectEvent::Lost`] has it, or [`send`](Self::send) has returned an error. One that was
/// written may still be lost with the connection, on its way or in the server: only an answer of
/// the server tells. What the server sent while there was no connection is gone too, unless the
/// subscription asks for it.
///
/// A message that is sent again is one of which it is not certain that it was written: in the rare
/// case that the connection ended with its last byte, the server gets it twice.
///
/// While [`next_event`](Self::next_event) waits, another future of the same task may want to send:
/// let both stand in a `select!` loop, which drops `next_event` and calls it again.
pub struct Reconnecting<S = ClientStream> {
    connect: Box<dyn FnMut() -> Connecting<S> + Send>,
    retries: Retries,
    /// The origin of the time that they count in.
    begin: Instant,
    outbox: Outbox,
    stage: Stage<S>,
    /// Not told yet.
    event: Option<ReconnectEvent>,
    /// No other connection is made.
    is_closing: bool,
    /// Of the connection before.
    close_info: Option<CloseInfo<'static>>,
}

type Connecting<S> = Pin<Box<dyn Future<Output = Result<WebSocket<S>, Error>> + Send>>;

enum Stage<S> {
    /// Until the next attempt; `None` for the first one.
    Waiting(Option<Pin<Box<Sleep>>>),
    Connecting(Connecting<S>),
    Open(Box<WebSocket<S>>),
    Over(Result<(), Error>),
}

impl Reconnecting {
    /// Makes a client that connects by `connector`, for the first time in
    /// [`next_event`](Self::next_event).
    pub fn new(connector: Connector, backoff: Backoff) -> Self {
        let connector = Arc::new(connector);
        let connect = move || {
            let connector = Arc::clone(&connector);
            async move { connector.connect().await }
        };
        Self::from_fn(connect, backoff)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Reconnecting<S> {
    /// Makes a client that connects by a function: over a stream of your own, or to another server
    /// each time. The function bounds the time it takes.
    pub fn from_fn<F>(mut connect: impl FnMut() -> F + Send + 'static, backoff: Backoff) -> Self
    where
        F: Future<Output = Result<WebSocket<S>, Error>> + Send + 'static,
    {
        Self {
            connect: Box::new(move || Box::pin(connect())),
            retries: Retries::new(backoff),
            begin: Instant::now(),
            outbox: Outbox::default(),
            stage: Stage::Waiting(None),
            event: None,
            is_closing: false,
            close_info: None,
        }
    }

    /// Has each new connection pass through `hook` before anything else is sent on it: to say who
    /// this is, to subscribe again, to wait for an answer. An error of the hook counts as one of
    /// connecting. Hooks run in the order in which they were set, and bound their own time.
    pub fn on_connect<F>(mut self, hook: impl Fn(WebSocket<S>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<WebSocket<S>, Error>> + Send + 'static,
    {
        let (mut connect, hook) = (self.connect, Arc::new(hook));
        self.connect = Box::new(move || {
            let (connecting, hook) = (connect(), Arc::clone(&hook));
            Box::pin(async move { hook(connecting.await?).await })
        });
        self
    }

    /// Keeps messages that are sent while there is no connection for the next one: at most so many,
    /// with so many bytes in all their payloads. Without this they are refused.
    pub fn queue(mut self, messages: usize, bytes: usize) -> Self {
        self.outbox.keep(messages, bytes);
        self
    }

    /// Returns the next message, or what else has happened. Connects, and waits for the time to do
    /// so, as needed; sends what is queued.
    ///
    /// `Ok(None)` once it is over: after [`close`](Self::close), or when the server closed with
    /// 1000 or without a code.
    ///
    /// # Errors
    ///
    /// The failure after which no other attempt is made; [`Error::Closed`] for a close code of that
    /// kind, and [`close_info`](Self::close_info) has its reason. The same error for ever after.
    /// [`Error::Send`] for a queued message that no connection takes; that goes on.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: attempts, delays and messages under way are kept for the next
    /// call. Nothing goes on between the calls.
    pub async fn next_event(&mut self) -> Result<Option<ReconnectEvent>, Error> {
        loop {
            if let Some(event) = self.event.take() {
                return Ok(Some(event));
            }
            match &mut self.stage {
                Stage::Waiting(sleep) => {
                    if let Some(sleep) = sleep {
                        sleep.as_mut().await;
                    }
                    self.stage = Stage::Connecting((self.connect)());
                }
                Stage::Connecting(connecting) => match connecting.as_mut().await {
                    Ok(ws) => {
                        self.retries.connected(self.begin.elapsed());
                        self.close_info = None;
                        self.stage = Stage::Open(Box::new(ws));
                        return Ok(Some(ReconnectEvent::Connected));
                    }
                    Err(error) => self.lost(Some(Lost::Failed(error))),
                },
                Stage::Open(ws) => {
                    let outbox = &mut self.outbox;
                    let end = match poll_fn(|cx| poll_open(ws, outbox, cx)).await {
                        Ok(Some(message)) => return Ok(Some(ReconnectEvent::Message(message))),
                        Err(error @ Error::Send(_)) => return Err(error),
                        Ok(None) => Ok(()),
                        Err(error) => Err(error),
                    };
                    self.over(end);
                }
                Stage::Over(end) => return end.clone().map(|()| None),
            }
        }
    }

    /// Sends a message: returns once the connection has written it, and everything before it.
    ///
    /// While there is no connection, and where that is lost meanwhile, the message is queued if
    /// [`queue`](Self::queue) was set and has room.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] without a connection and a queue, and when it is over;
    /// [`SendError::BufferFull`] when the queue is full; [`Error::Disconnected`] or
    /// [`Error::Timeout`] if the connection was lost and there is no queue. The message was not
    /// taken then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future never tears a message. It was not taken, or it leaves whole with the
    /// next call of this or [`next_event`](Self::next_event): as of [`queued`](Self::queued).
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        if let Stage::Open(ws) = &mut self.stage {
            // what is queued comes before it
            match poll_fn(|cx| poll_written(ws, &mut self.outbox, cx)).await {
                Ok(()) if ws.state() == State::Open => {
                    self.outbox.push(message);
                    let written = poll_fn(|cx| poll_written(ws, &mut self.outbox, cx)).await;
                    return written.or_else(|error| self.outbox.not_written(error));
                }
                Err(error @ Error::Send(fault)) if fault != SendError::NotOpen => {
                    return Err(error);
                }
                Err(error) if !self.outbox.keeps() => return Err(error),
                // it ends: `next_event` finds out how, behind the last message
                Ok(()) | Err(_) => {}
            }
        }
        if matches!(self.stage, Stage::Over(_)) {
            return Err(SendError::NotOpen.into());
        }
        Ok(self.outbox.push_offline(message)?)
    }

    /// Closes the connection, after it has written what is queued, and makes no other.
    ///
    /// Without a connection there is nothing to close: what is queued stays, for
    /// [`take_unsent`](Self::take_unsent).
    ///
    /// # Errors
    ///
    /// [`SendError::ReasonTooLong`], with nothing done; as [`WebSocket::close`]. It is over all the
    /// same then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves a connection that is open or closing; call it again to go on.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        SendError::check_reason(reason)?;
        self.is_closing = true;
        let mut end = Ok(());
        if let Stage::Open(ws) = &mut self.stage {
            end = match poll_fn(|cx| poll_written(ws, &mut self.outbox, cx)).await {
                Ok(()) | Err(Error::Send(_)) => ws.close(code, reason).await,
                Err(error) => Err(error),
            };
            self.close_info = ws.close_info().map(CloseInfo::into_owned);
            self.outbox.ended();
        }
        if !matches!(self.stage, Stage::Over(_)) {
            self.stage = Stage::Over(Ok(()));
        }
        end
    }

    /// The connection has ended.
    fn over(&mut self, end: Result<(), Error>) {
        let Stage::Open(ws) = &self.stage else { return };
        self.close_info = ws.close_info().map(CloseInfo::into_owned);
        self.lost(Lost::of(self.close_info.clone(), end));
    }

    /// There is no connection: what follows begins.
    fn lost(&mut self, why: Option<Lost>) {
        let why = why.filter(|_| !self.is_closing);
        let now = self.begin.elapsed();
        self.stage = match Next::after(why, &mut self.retries, &mut self.outbox, now) {
            Next::Attempt { delay, event } => {
                self.event = Some(event);
                Stage::Waiting(Some(Box::pin(sleep(delay))))
            }
            Next::End(end) => Stage::Over(end),
        };
    }
}

impl<S> Reconnecting<S> {
    /// Returns the connection, while there is one.
    pub fn get_ref(&self) -> Option<&WebSocket<S>> {
        match &self.stage {
            Stage::Open(ws) => Some(ws),
            _ => None,
        }
    }

    /// Returns how the connection closed that was lost last; `None` while there is one.
    pub fn close_info(&self) -> Option<CloseInfo<'_>> {
        self.close_info.clone()
    }

    /// Returns how many messages were taken and are not written.
    pub fn queued(&self) -> usize {
        self.outbox.len()
    }

    /// Takes the messages that were taken and are not written, in order, so that nothing is lost
    /// when it is over. One that the connection has begun to write stays.
    pub fn take_unsent(&mut self) -> Vec<Message> {
        self.outbox.take()
    }
}

/// Sends what is queued, and waits for a message.
fn poll_open<S: AsyncRead + AsyncWrite + Unpin>(
    ws: &mut WebSocket<S>,
    outbox: &mut Outbox,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Message>, Error>> {
    loop {
        let written = match poll_written(ws, outbox, cx) {
            Poll::Ready(Err(error @ Error::Send(_))) if ws.state() == State::Open => {
                return Poll::Ready(Err(error));
            }
            written => written.is_ready(), // an error comes again, behind the last message
        };
        if let Poll::Ready(end) = ws.poll_recv(cx) {
            return Poll::Ready(end);
        }
        if written || !matches!(ws.link.driver.check_flushed(), Ok(true)) {
            return Poll::Pending;
        }
    }
}

/// Waits until all that is queued is written.
fn poll_written<S: AsyncRead + AsyncWrite + Unpin>(
    ws: &mut WebSocket<S>,
    outbox: &mut Outbox,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    loop {
        ready!(ws.poll_write_all(cx))?;
        outbox.note_written();
        let Some(message) = outbox.to_feed() else { return Poll::Ready(Ok(())) };
        outbox.note_fed(ws.feed(message))?;
    }
}

impl<S> fmt::Debug for Reconnecting<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.stage {
            Stage::Waiting(_) => "waiting",
            Stage::Connecting(_) => "connecting",
            Stage::Open(_) => "connected",
            Stage::Over(_) => "over",
        };
        f.debug_struct("Reconnecting")
            .field("state", &state)
            .field("retries", &self.retries)
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}
