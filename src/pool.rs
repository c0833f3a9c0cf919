use alloc::vec::Vec;
use core::cell::RefCell;

use bytes::BytesMut;

use crate::buf::{RecvBuffer, SendBuffer};

std::thread_local! {
    /// The memory of buffers that nobody needs at the moment.
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { rx: Vec::new(), tx: Vec::new() }) };
}

struct Pool {
    rx: Vec<BytesMut>,
    tx: Vec<Vec<u8>>,
}

/// Gives `rx` memory before a read, if it has none.
#[inline]
pub(crate) fn equip_rx(rx: &mut RecvBuffer) {
    if rx.capacity() == 0
        && let Some(memory) = with(|pool| pool.rx.pop())
    {
        rx.put_memory(memory);
    }
}

/// Gives `tx` memory before something is queued, if it has none.
#[inline]
pub(crate) fn equip_tx(tx: &mut SendBuffer) {
    if tx.capacity() == 0
        && let Some(memory) = with(|pool| pool.tx.pop())
    {
        tx.put_memory(memory);
    }
}

/// Takes the memory of `rx` back before a wait, unless it holds something.
#[inline]
pub(crate) fn release_rx(rx: &mut RecvBuffer) {
    if let Some(memory) = rx.take_memory()
        && memory.len() <= MAX_LEN
    {
        with(|pool| keep(&mut pool.rx, memory));
    }
}

/// Takes the memory of `tx` back before a wait, unless it holds something.
#[inline]
pub(crate) fn release_tx(tx: &mut SendBuffer) {
    if let Some(memory) = tx.take_memory()
        && memory.capacity() <= MAX_LEN
    {
        with(|pool| keep(&mut pool.tx, memory));
    }
}

fn keep<T>(shelf: &mut Vec<T>, memory: T) -> Option<()> {
    if shelf.len() < MAX_BUFFERS {
        shelf.push(memory);
    }
    None
}

/// `None` while the thread ends, when its pool is gone already.
fn with<T>(act: impl FnOnce(&mut Pool) -> Option<T>) -> Option<T> {
    POOL.try_with(|pool| act(&mut pool.borrow_mut())).ok().flatten()
}

/// A thread works on one connection at a time: few buffers serve all of them.
const MAX_BUFFERS: usize = 8;

/// What grew beyond this for one large message goes back to the allocator.
const MAX_LEN: usize = 256 * 1024;
