use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use std::thread;
use std::time::Instant;

use super::{ClientStream, Transport, WebSocket};
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
/// use sansws::blocking::Reconnecting;
///
/// # fn run() -> Result<(), sansws::Error> {
/// let connector = Connector::new("wss://example.com/feed")?;
/// let mut feed = Reconnecting::new(connector, Backoff::new())
///     .on_connect(|mut ws| {
///         ws.send("subscribe prices")?;
///         Ok(ws)
///     })
///     .queue(1_000, 1 << 20);
/// while let Some(event) = feed.next_event()? {
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
/// [`next_event`](Self::next_event) waits as `recv` does, also through the delays, with
/// `thread::sleep`: nobody sends meanwhile.
pub struct Reconnecting<S = ClientStream> {
    connect: Box<Connect<S>>,
    retries: Retries,
    /// The origin of the time that they count in.
    begin: Instant,
    outbox: Outbox,
    stage: Stage<S>,
    /// Not told yet.
    event: Option<ReconnectEvent>,
    /// Of the connection before.
    close_info: Option<CloseInfo<'static>>,
}

type Connect<S> = dyn FnMut() -> Result<WebSocket<S>, Error> + Send;

enum Stage<S> {
    /// Until the next attempt; `None` for the first one.
    Waiting(Option<Instant>),
    Open(Box<WebSocket<S>>),
    Over(Result<(), Error>),
}

impl Reconnecting {
    /// Makes a client that connects by `connector`, for the first time in
    /// [`next_event`](Self::next_event).
    pub fn new(connector: Connector, backoff: Backoff) -> Self {
        Self::from_fn(move || connector.connect_blocking(), backoff)
    }
}

impl<S: Transport + 'static> Reconnecting<S> {
    /// Makes a client that connects by a function: over a stream of your own, or to another server
    /// each time. The function bounds the time it takes.
    pub fn from_fn(
        connect: impl FnMut() -> Result<WebSocket<S>, Error> + Send + 'static,
        backoff: Backoff,
    ) -> Self {
        Self {
            connect: Box::new(connect),
            retries: Retries::new(backoff),
            begin: Instant::now(),
            outbox: Outbox::default(),
            stage: Stage::Waiting(None),
            event: None,
            close_info: None,
        }
    }

    /// Has each new connection pass through `hook` before anything else is sent on it: to say who
    /// this is, to subscribe again, to wait for an answer. An error of the hook counts as one of
    /// connecting. Hooks run in the order in which they were set, and bound their own time.
    pub fn on_connect(
        mut self,
        hook: impl Fn(WebSocket<S>) -> Result<WebSocket<S>, Error> + Send + Sync + 'static,
    ) -> Self {
        let mut connect = self.connect;
        self.connect = Box::new(move || hook(connect()?));
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
    pub fn next_event(&mut self) -> Result<Option<ReconnectEvent>, Error> {
        loop {
            if let Some(event) = self.event.take() {
                return Ok(Some(event));
            }
            match &mut self.stage {
                Stage::Waiting(until) => {
                    if let Some(until) = until {
                        thread::sleep(until.saturating_duration_since(Instant::now()));
                    }
                    match (self.connect)() {
                        Ok(ws) => {
                            self.retries.connected(self.begin.elapsed());
                            self.close_info = None;
                            self.stage = Stage::Open(Box::new(ws));
                            return Ok(Some(ReconnectEvent::Connected));
                        }
                        Err(error) => self.lost(Some(Lost::Failed(error))),
                    }
                }
                Stage::Open(ws) => {
                    match write_queued(ws, &mut self.outbox) {
                        Err(error @ Error::Send(_)) if ws.state() == State::Open => {
                            return Err(error);
                        }
                        _ => {} // an error comes again, behind the last message
                    }
                    let end = match ws.recv() {
                        Ok(Some(message)) => return Ok(Some(ReconnectEvent::Message(message))),
                        Ok(None) => Ok(()),
                        // a time-out that the caller has set on the stream: nothing is lost
                        Err(error @ Error::Io(_)) => return Err(error),
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
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        if let Stage::Open(ws) = &mut self.stage {
            // what is queued comes before it
            match write_queued(ws, &mut self.outbox) {
                Ok(()) if ws.state() == State::Open => {
                    self.outbox.push(message);
                    let written = write_queued(ws, &mut self.outbox);
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
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        SendError::check_reason(reason)?;
        let mut end = Ok(());
        if let Stage::Open(ws) = &mut self.stage {
            end = match write_queued(ws, &mut self.outbox) {
                Ok(()) | Err(Error::Send(_)) => ws.close(code, reason),
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
        let now = self.begin.elapsed();
        self.stage = match Next::after(why, &mut self.retries, &mut self.outbox, now) {
            Next::Attempt { delay, event } => {
                self.event = Some(event);
                Stage::Waiting(Some(Instant::now() + delay))
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

/// Writes all that is queued.
fn write_queued<S: Transport>(ws: &mut WebSocket<S>, outbox: &mut Outbox) -> Result<(), Error> {
    loop {
        ws.flush()?;
        outbox.note_written();
        let Some(message) = outbox.to_feed() else { return Ok(()) };
        outbox.note_fed(ws.feed(message))?;
    }
}

impl<S> fmt::Debug for Reconnecting<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.stage {
            Stage::Waiting(_) => "waiting",
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
