use core::cell::{Cell, RefCell};
use core::mem;

use super::client::Client;
use super::queue::charge_of;
use crate::buf::SendBuffer;
use crate::pool::LentTx;
use crate::proto::{MessageRef, Sender};
use crate::session::Session;

std::thread_local! {
    /// The call of a handler that this thread is in.
    static CALL: RefCell<Call> = const { RefCell::new(Call::NONE) };

    /// The bytes that this thread has sent to clients, as queues charge them; wraps around.
    static PRODUCED: Cell<u32> = const { Cell::new(0) };
}

/// A call of a handler while it is polled: what it sends to its own client goes straight into the
/// send buffer of the connection, as long as nothing waits in the outbox that is to leave before.
struct Call {
    /// The client whose handler it is; 0 is none.
    client: u64,
    /// The connection's send buffer, and the bytes from which on it takes no more.
    tx: LentTx,
    max_unsent: usize,
}

impl Call {
    const NONE: Self = Self { client: 0, tx: LentTx::NONE, max_unsent: 0 };

    /// Puts a message into the send buffer if it may go there: otherwise it is still there.
    #[inline]
    fn put(&mut self, client: &Client, message: &mut Option<MessageRef<'_>>) -> bool {
        if self.client != client.id()
            || self.tx.get().map_or(0, SendBuffer::len) >= self.max_unsent
            || !client.outbox().is_quiet()
        {
            return false;
        }
        if let Some(message) = message.take() {
            Sender::feed_plainly(self.tx.fetch(), message);
        }
        true
    }
}

/// Polls a call of a client's handler, which may send to the client directly meanwhile. It must not
/// unwind.
#[inline]
pub(crate) fn poll_direct<T>(
    client: &Client,
    session: &mut Session,
    poll: impl FnOnce() -> T,
) -> T {
    let (tx, max_unsent) = session.lend();
    // the outer one, if a handler runs a runtime of its own
    let outer = exchange(Call { client: client.id(), tx, max_unsent });
    let result = poll();
    session.give_back(exchange(outer).tx);
    result
}

#[inline]
fn exchange(call: Call) -> Call {
    CALL.with(|current| mem::replace(&mut *current.borrow_mut(), call))
}

/// Puts a message, whose length was checked, straight into the send buffer of a client whose
/// handler this is. Returns whether it is done; otherwise the message is still there.
#[inline]
pub(crate) fn put(client: &Client, message: &mut Option<MessageRef<'_>>) -> bool {
    // Not there at the end of a thread, and borrowed where the memory of a message sends something
    // when it is dropped.
    let put = |call: &RefCell<Call>| {
        call.try_borrow_mut().is_ok_and(|mut call| call.put(client, message))
    };
    CALL.try_with(put).unwrap_or(false)
}

/// Returns the client in whose handler this thread is: it looks into its outbox afterwards, and
/// need not be woken for what was put there. 0 is none.
#[inline]
pub(crate) fn current() -> u64 {
    CALL.try_with(|call| call.try_borrow().map_or(0, |call| call.client)).unwrap_or(0)
}

/// Returns how much this thread has sent so far: the difference counts.
#[inline]
pub(crate) fn produced() -> u32 {
    PRODUCED.get()
}

/// Notes that a message is sent.
#[inline]
pub(crate) fn note_produced(message: &MessageRef<'_>) {
    let charge = u32::try_from(charge_of(message)).unwrap_or(u32::MAX / 2);
    PRODUCED.set(PRODUCED.get().wrapping_add(charge));
}
