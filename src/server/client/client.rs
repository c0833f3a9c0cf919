#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use tokio::task::consume_budget;

use super::direct;
use super::hub::Hub;
use super::info::ClientInfo;
use super::outbox::{Outbox, Wake};
use super::traffic::{Traffic, TrafficCounters};
use super::values::Values;
use crate::proto::{MessageRef, SendError};
use crate::server::context::Context;
use crate::server::error::{JoinError, TrySendError};
use crate::server::observe::tally::Moved;
use crate::wire::CloseCode;

/// A handle on one connection. Cloning it costs a reference count, and it may be kept anywhere and
/// as long as one likes: once the connection is over, sending is an error.
///
/// All methods may be called from any task or thread; none of them waits but
/// [`writable`](Self::writable) and [`closed`](Self::closed). Messages are queued whole,
/// in the order in which they are sent, and leave together in as few writes as possible.
///
/// ```
/// use std::time::Duration;
///
/// use sansws::server::{Client, handler_fn};
///
/// /// Tells a client the time until it is gone.
/// async fn tell_the_time(client: Client) {
///     let mut second = tokio::time::interval(Duration::from_secs(1));
///     loop {
///         second.tick().await;
///         if client.send(format!("{:?}", client.info().opened().elapsed())).is_err() {
///             return;
///         }
///     }
/// }
///
/// let clock = handler_fn().on_open(|client| {
///     tokio::spawn(tell_the_time(client.clone()));
/// });
/// # let _ = clock;
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    id: u64,
    info: ClientInfo,
    values: Values,
    common: Arc<Common>,
    outbox: Outbox,
    /// There if the server counts for each client. In a box, so that others have the pointer only.
    traffic: Option<Box<TrafficCounters>>,
}

/// What all clients of a route have in common.
pub(crate) struct Common {
    pub(crate) hub: Hub,
    pub(crate) context: Context,
}

impl Client {
    pub(crate) fn new(info: ClientInfo, values: Values, common: Arc<Common>) -> Self {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        // Relaxed: unique, and ordered with nothing else
        let number = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        let id = common.hub.plane().map_or(number, |plane| plane.client_id(number));
        let traffic = TrafficCounters::new(common.context.limits().counts_traffic);
        let outbox = Outbox::default();
        Self(Arc::new(Inner { id, info, values, common, outbox, traffic }))
    }

    /// Returns a number that no other client of this process has or will have, nor, with a
    /// [backplane](crate::server::backplane), one of another server. Later clients of a server have
    /// larger ones.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Returns what the client sent when it connected.
    pub fn info(&self) -> &ClientInfo {
        &self.0.info
    }

    /// Returns the value of this type of
    /// [`Accept::client_state`](crate::server::Accept::client_state), if there is one.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.values.get()
    }

    /// Returns the hub of the server.
    pub fn hub(&self) -> &Hub {
        &self.0.common.hub
    }

    /// Queues a message: text from strings, binary from bytes, pings from
    /// [`MessageRef::ping`].
    ///
    /// A payload below 16 KiB is copied, an owned one from there on is kept by reference. Costs no
    /// allocation as long as the client keeps up. What the client's own handler sends while nothing
    /// waits goes straight into the send buffer, which costs neither a lock nor a second copy.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Closed`] when the client is closing or gone. [`TrySendError::Full`] when too
    /// much waits for it already: see [`SlowClients`](crate::server::SlowClients) for what happens
    /// next, and [`writable`](Self::writable) for how to keep clear of it.
    /// [`TrySendError::Invalid`] for a ping or pong of more than 125 bytes. Success means that the
    /// message is queued, not that it has arrived.
    #[inline]
    pub fn send<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), TrySendError> {
        let message = message.into();
        // what any connection would refuse
        SendError::check_len(message.opcode, message.payload.as_slice().len())
            .map_err(TrySendError::Invalid)?;
        direct::put(self, message).or_else(|message| self.queue(message, direct::wake_of(self)))
    }

    /// Queues a message, whose length was checked.
    #[inline(never)]
    fn queue(&self, message: MessageRef<'_>, wake: Wake) -> Result<(), TrySendError> {
        self.0.outbox.push(message, wake, self.context()).map(drop)
    }

    /// Closes the connection once the messages that wait are sent. The handler gets no further
    /// message, only `on_close`.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Closed`] when the client is closing or gone already,
    /// [`TrySendError::Invalid`] for a reason of more than 123 bytes.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), TrySendError> {
        self.0.outbox.close(code, reason)
    }

    /// Ends the connection at once, without a closing handshake: what waits to be sent is lost, and
    /// a handler that waits is dropped there. The peer sees the network break. This is for one that
    /// misbehaves, and for which even a Close frame is too much.
    pub fn abort(&self) {
        self.0.outbox.abort();
    }

    /// Returns whether messages can be sent: neither end has closed, and the network is not known
    /// to be dead.
    pub fn is_open(&self) -> bool {
        self.0.outbox.is_open()
    }

    /// Returns the bytes that wait in the queue, and 64 for each message, as the limits count them.
    /// Those in the socket's send buffer are not among them.
    pub fn queued(&self) -> usize {
        self.0.outbox.queued()
    }

    /// Returns the time from the last keep-alive ping to its pong; `None` until one was answered.
    /// A pong that arrives while the handler waits does not count.
    pub fn round_trip(&self) -> Option<Duration> {
        self.0.outbox.round_trip()
    }

    /// Returns how many messages the client has sent and was sent, and their bytes; `None` unless
    /// the server [counts](crate::server::Server::count_traffic) that for each client. What its
    /// task does is added when that waits next, so that a call of its handler sees what was before.
    pub fn traffic(&self) -> Option<Traffic> {
        self.0.traffic.as_ref().map(|counters| counters.snapshot())
    }

    /// Waits until less than half of
    /// [`Server::max_queued_bytes`](crate::server::Server::max_queued_bytes) waits for the client.
    /// A task that awaits this before each message sends as fast as the client reads.
    ///
    /// A handler of the client itself may wait as well as any other task, and any number of them.
    /// Costs no allocation unless it has to wait, and then one in the life of the client. It takes
    /// its part of what tokio lets a task do in one turn, so that a loop over it gives way to
    /// others.
    ///
    /// ```
    /// use sansws::server::{Client, Handler, TrySendError};
    ///
    /// /// Sends a file that is larger than what should lie in memory.
    /// async fn push(client: &Client, file: &[u8]) -> Result<(), TrySendError> {
    ///     for piece in file.chunks(64 * 1024) {
    ///         client.writable().await?;
    ///         client.send(piece)?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// struct Files;
    ///
    /// impl Handler for Files {
    ///     async fn on_open(&self, client: &Client) {
    ///         // an error means that the client has gone: `on_close` follows
    ///         let _ = push(client, &[7; 1_000_000]).await;
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TrySendError::Closed`] when the client is closing or gone, also while this waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn writable(&self) -> Result<(), TrySendError> {
        consume_budget().await;
        let limits = self.context().limits();
        while !self.0.outbox.has_room(limits)? {
            let signals = self.0.outbox.signals();
            let mut signal = pin!(signals.room.notified());
            // from here on nothing is missed
            signal.as_mut().enable();
            if self.0.outbox.has_room(limits)? {
                break;
            }
            signal.await;
        }
        Ok(())
    }

    /// Waits until no message can be sent to the client any more: either end has closed, the
    /// network has failed, or the peer is gone. At once if that is so already.
    ///
    /// This is for tasks beside the handler, and for a handler that waits for something else:
    ///
    /// ```
    /// use sansws::server::{Client, Handler};
    /// use tokio::sync::watch;
    ///
    /// struct Prices(watch::Receiver<u32>);
    ///
    /// impl Handler for Prices {
    ///     async fn on_open(&self, client: &Client) {
    ///         let (client, mut prices) = (client.clone(), self.0.clone());
    ///         tokio::spawn(async move {
    ///             loop {
    ///                 tokio::select! {
    ///                     () = client.closed() => break,
    ///                     changed = prices.changed() => if changed.is_err() { break },
    ///                 }
    ///                 let price = *prices.borrow_and_update();
    ///                 let open = client.writable().await.is_ok();
    ///                 if !open || client.send(price.to_string()).is_err() {
    ///                     break;
    ///                 }
    ///             }
    ///         });
    ///     }
    /// }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn closed(&self) {
        consume_budget().await;
        while self.is_open() {
            let signals = self.0.outbox.signals();
            let mut signal = pin!(signals.closed.notified());
            // from here on nothing is missed
            signal.as_mut().enable();
            if self.is_open() {
                signal.await;
            }
        }
    }

    /// Enters a room; see [`Hub::join`].
    ///
    /// # Errors
    ///
    /// As [`Hub::join`].
    pub fn join(&self, room: &str) -> Result<bool, JoinError> {
        self.hub().join(self, room)
    }

    /// Leaves a room; see [`Hub::leave`].
    pub fn leave(&self, room: &str) -> bool {
        self.hub().leave(self, room)
    }

    /// Returns the rooms it is in, in the order in which it has joined them; in
    /// [`Handler::on_close`](crate::server::Handler::on_close) and `on_error`, those that it was in
    /// at the end. After that there are none.
    pub fn rooms(&self) -> Vec<String> {
        self.hub().rooms_of(self.id())
    }

    /// Adds what its task has counted since it last waited.
    #[inline]
    pub(crate) fn note_moved(&self, moved: &Moved) {
        if let Some(counters) = &self.0.traffic {
            counters.add(moved);
        }
    }

    /// Returns whether there are counters for this client.
    #[inline]
    pub(crate) fn counts_traffic(&self) -> bool {
        self.0.traffic.is_some()
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0.common.context
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Client {}

impl Hash for Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id())
            .field("peer_addr", &self.info().peer_addr())
            .field("path", &self.info().path())
            .field("is_open", &self.is_open())
            .finish()
    }
}
