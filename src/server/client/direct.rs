#![forbid(unsafe_code)]

use core::cell::Cell;
use core::mem::ManuallyDrop;

use super::client::Client;
use super::outbox::Wake;
use super::queue::charge_of;
use crate::driver::Driver;
use crate::pool::{PooledTx, TakenTx};
use crate::proto::{MessageRef, Sender};
use crate::server::observe::tally;

std::thread_local! {
    static THREAD: Thread = const {
        Thread {
            client: Cell::new(NOBODY),
            max_unsent: Cell::new(0),
            full: Cell::new(true),
            tx: Cell::new(ManuallyDrop::new(None)),
            produced: Cell::new(0),
            reached: Cell::new(0),
        }
    };
}

/// The call of a handler that a thread is in, if it is in one: what it sends to its own client goes
/// straight into the send buffer of the connection, as long as nothing waits in the outbox that is
/// to leave before.
struct Thread {
    /// The client whose handler it is.
    client: Cell<u64>,
    /// The bytes from which on the connection's send buffer takes no more.
    max_unsent: Cell<usize>,
    /// It holds that much, or takes nothing at all, or something is being put into it.
    full: Cell<bool>,
    /// The send buffer. Never dropped, so that a look at it need not ask whether the thread ends:
    /// whoever lends it takes it back.
    tx: Cell<ManuallyDrop<Option<TakenTx>>>,
    /// The bytes that the thread has sent to clients, as queues charge them; wraps around.
    produced: Cell<u32>,
    /// The most clients that one message of this turn was sent to, if it was sent to several.
    reached: Cell<u32>,
}

/// The most that one call counts for, so that the difference does not wrap around: more than any
/// turn may send.
const MOST_PRODUCED: usize = u32::MAX as usize / 2;

/// The number of no client.
const NOBODY: u64 = 0;

/// Polls a call of a client's handler, which may send to the client directly meanwhile.
#[inline]
pub(crate) fn poll_direct<T>(client: &Client, driver: &mut Driver, poll: impl FnOnce() -> T) -> T {
    let is_outermost = THREAD.with(|thread| {
        // in a call inside another one, of a handler that runs a runtime of its own, all is queued
        let is_outermost = thread.client.get() == NOBODY;
        if is_outermost {
            let (tx, max_unsent) = driver.lend();
            thread.client.set(client.id());
            thread.max_unsent.set(max_unsent);
            thread.set(tx);
        }
        is_outermost
    });
    let _guard = is_outermost.then(|| Guard(driver));
    poll()
}

/// A driver whose send buffer the thread has; given back when dropped.
struct Guard<'a>(&'a mut Driver);

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        THREAD.with(|thread| {
            thread.client.set(NOBODY);
            self.0.give_back(thread.take());
        });
    }
}

/// Puts a message, whose length was checked, straight into the send buffer of a client whose
/// handler this is; otherwise gives it back. Counts it as [produced](note_produced) in any case.
#[inline]
pub(crate) fn put<'m>(client: &Client, message: MessageRef<'m>) -> Result<(), MessageRef<'m>> {
    let charge = charge_of(&message);
    THREAD.with(|thread| thread.note_produced(charge));
    if !has_room(client) || !client.outbox().is_quiet() {
        return Err(message);
    }
    let mut putting = Putting::begin();
    let tx = putting.0.get_or_insert_with(PooledTx::another);
    if !message.opcode.is_control() {
        tally::sent(message.payload.as_slice().len());
    }
    Sender::feed_plainly(tx, message);
    Ok(())
}

/// The send buffer while a message is put into it: what the memory of the message sends when it is
/// dropped is queued. It comes back also where that panics, or what waits in it would be cut off
/// inside a frame.
///
/// It is taken out, so that the message need not go through `with`, which costs 30 instructions.
struct Putting(Option<TakenTx>);

impl Putting {
    #[inline]
    fn begin() -> Self {
        THREAD.with(|thread| {
            thread.full.set(true);
            Self(thread.take())
        })
    }
}

impl Drop for Putting {
    #[inline]
    fn drop(&mut self) {
        THREAD.with(|thread| thread.set(self.0.take()));
    }
}

/// Returns whether this thread is in a call of the client's handler, and the client's send buffer
/// takes a further message.
#[inline]
pub(crate) fn has_room(client: &Client) -> bool {
    THREAD.with(|thread| thread.client.get() == client.id() && !thread.full.get())
}

/// Returns the client in whose handler this thread is, or 0: its task looks into its outbox
/// afterwards, and need not be woken for what was put there.
#[inline]
pub(crate) fn current() -> u64 {
    THREAD.with(|thread| thread.client.get())
}

/// Returns what is to be done for a message that was queued for this client alone.
#[inline]
pub(crate) fn wake_of(client: &Client) -> Wake {
    if current() == client.id() { Wake::Never } else { Wake::Always }
}

/// Returns how much this thread has sent so far: the difference counts.
#[inline]
pub(crate) fn produced() -> u32 {
    THREAD.with(|thread| thread.produced.get())
}

/// Returns the most clients that one message was sent to since [`begin_turn`].
pub(crate) fn reached() -> u32 {
    THREAD.with(|thread| thread.reached.get())
}

/// Notes that a task begins a turn, and returns [`produced`].
#[inline]
pub(crate) fn begin_turn() -> u32 {
    THREAD.with(|thread| {
        thread.reached.set(0);
        thread.produced.get()
    })
}

/// Notes that a message is sent to so many clients.
#[inline]
pub(crate) fn note_produced(message: &MessageRef<'_>, clients: usize) {
    let charge = charge_of(message).saturating_mul(clients);
    THREAD.with(|thread| {
        thread.note_produced(charge);
        let clients = u32::try_from(clients).unwrap_or(u32::MAX);
        thread.reached.set(thread.reached.get().max(clients));
    });
}

impl Thread {
    #[inline]
    fn note_produced(&self, charge: usize) {
        let charge = charge.min(MOST_PRODUCED) as u32;
        self.produced.set(self.produced.get().wrapping_add(charge));
    }

    /// Lends the send buffer to whoever sends.
    #[inline]
    fn set(&self, tx: Option<TakenTx>) {
        let unsent = tx.as_ref().map_or(0, |tx| tx.len());
        self.full.set(unsent >= self.max_unsent.get());
        self.tx.set(ManuallyDrop::new(tx));
    }

    #[inline]
    fn take(&self) -> Option<TakenTx> {
        ManuallyDrop::into_inner(self.tx.replace(ManuallyDrop::new(None)))
    }
}
