#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;
use std::thread::LocalKey;

use crate::buf::SendBuffer;

std::thread_local! {
    static POOL: Pool<SendBuffer> = const { Pool::new() };
}

/// The buffer of a [`PooledTx`] that was taken out of it.
#[cfg(feature = "server")]
pub(crate) type TakenTx = Box<SendBuffer>;

/// A send buffer that is there only while it holds something.
#[derive(Debug, Default)]
pub(crate) struct PooledTx(Option<Box<SendBuffer>>);

impl PooledTx {
    pub(crate) fn new(tx: SendBuffer) -> Self {
        Self(Some(Box::new(tx)))
    }

    /// Takes the buffer out, if it is there, until it is [put back](Self::put_back).
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn take_out(&mut self) -> Option<TakenTx> {
        self.0.take()
    }

    /// Puts back what was taken out.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn put_back(&mut self, buffer: Option<TakenTx>) {
        // Nothing is there, and so nothing is forgotten; an assignment would call what drops it.
        core::mem::forget(core::mem::replace(&mut self.0, buffer));
    }

    /// Returns a buffer as one that is fetched.
    #[cfg(feature = "server")]
    #[cold]
    pub(crate) fn another() -> TakenTx {
        Pool::take(&POOL).unwrap_or_default()
    }

    /// Takes the buffer for good.
    pub(crate) fn into_inner(mut self) -> SendBuffer {
        self.0.take().map_or_else(SendBuffer::new, |tx| *tx)
    }

    /// Returns the buffer, if it is there: otherwise nothing is unsent.
    #[inline]
    pub(crate) fn get(&self) -> Option<&SendBuffer> {
        self.0.as_deref()
    }

    /// Returns the buffer, fetched if need be.
    #[inline]
    pub(crate) fn fetch(&mut self) -> &mut SendBuffer {
        self.0.get_or_insert_with(|| Pool::take(&POOL).unwrap_or_default())
    }

    /// Gives the buffer back before a wait, unless it holds something.
    #[inline]
    pub(crate) fn release(&mut self) {
        if let Some(tx) = self.0.take_if(|tx| tx.is_empty()) {
            Pool::keep(&POOL, tx);
        }
    }
}

/// The memory of a buffer with nothing in it outlives the connection.
impl Drop for PooledTx {
    fn drop(&mut self) {
        self.release();
    }
}

/// What a pool keeps.
pub(crate) trait Buffer {
    /// Returns the bytes of memory held.
    fn capacity(&self) -> usize;
}

impl Buffer for SendBuffer {
    fn capacity(&self) -> usize {
        self.capacity()
    }
}

/// The buffers of a thread that no connection needs at the moment.
// Boxes, because they are handed over as they are.
#[allow(clippy::vec_box)]
pub(crate) struct Pool<T>(RefCell<Vec<Box<T>>>);

impl<T: Buffer> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// Returns a buffer from the pool of this thread.
    #[inline]
    pub(crate) fn take(pool: &'static LocalKey<Self>) -> Option<Box<T>> {
        pool.try_with(|pool| pool.0.borrow_mut().pop()).ok().flatten()
    }

    /// Puts an empty buffer on it. Without a pool, at the end of the thread, or where that has
    /// enough, the buffer goes to the allocator.
    #[inline]
    pub(crate) fn keep(pool: &'static LocalKey<Self>, buffer: Box<T>) {
        let _ = pool.try_with(|pool| pool.put(buffer));
    }

    #[inline]
    fn put(&self, buffer: Box<T>) {
        let mut pool = self.0.borrow_mut();
        let is_large = |buffer: &T| buffer.capacity() > MAX_CAPACITY;
        if pool.len() == MAX_BUFFERS
            || is_large(&buffer)
                && (buffer.capacity() > MAX_LARGE || pool.iter().any(|it| is_large(it)))
        {
            return;
        }
        pool.push(buffer);
    }
}

/// A thread works on one connection at a time: few buffers serve all of them.
const MAX_BUFFERS: usize = 8;

/// What grew beyond this for one large message goes back to the allocator, except for one buffer.
const MAX_CAPACITY: usize = 256 * 1024;

/// The size of that one at most, in bytes: with it a stream of messages of 1 MiB takes 40 % of the
/// time, as a fresh buffer has to be faulted in page by page.
const MAX_LARGE: usize = 4 * 1024 * 1024;
