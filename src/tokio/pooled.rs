use alloc::boxed::Box;

use super::turn::Turn;
use crate::buf::RecvBuffer;
use crate::pool::{Buffer, Pool};

std::thread_local! {
    static POOL: Pool<RecvBuffer> = const { Pool::new() };
}

/// A receive buffer that is there only while it holds something or is being read into.
#[derive(Debug)]
pub(super) struct PooledRx {
    buffer: Option<Box<RecvBuffer>>,
    read_ahead: u32,
    /// What may still be done with what is received.
    pub(super) turn: Turn,
}

impl PooledRx {
    pub(super) fn new(rx: RecvBuffer) -> Self {
        let mut this = Self::empty(rx.read_ahead());
        this.buffer = Some(Box::new(rx));
        this
    }

    /// None yet; what is fetched reserves `read_ahead` bytes.
    pub(super) fn empty(read_ahead: usize) -> Self {
        let read_ahead = u32::try_from(read_ahead).unwrap_or(u32::MAX);
        Self { buffer: None, read_ahead, turn: Turn::default() }
    }

    /// Takes the buffer for good.
    pub(super) fn into_inner(mut self) -> RecvBuffer {
        let read_ahead = self.read_ahead as usize;
        let buffer = self.buffer.take();
        buffer.map_or_else(|| RecvBuffer::with_read_ahead(read_ahead), |rx| *rx)
    }

    /// Returns the buffer, if it is there: otherwise nothing is held.
    #[inline]
    pub(super) fn get(&mut self) -> Option<&mut RecvBuffer> {
        self.buffer.as_deref_mut()
    }

    /// As [`get`](Self::get).
    pub(super) fn look(&self) -> Option<&RecvBuffer> {
        self.buffer.as_deref()
    }

    /// Returns the buffer, fetched if need be.
    #[inline]
    pub(super) fn fetch(&mut self) -> &mut RecvBuffer {
        self.fetch_with_turn().0
    }

    /// Returns the buffer and the turn beside it.
    #[inline]
    pub(super) fn fetch_with_turn(&mut self) -> (&mut RecvBuffer, &mut Turn) {
        let read_ahead = self.read_ahead as usize;
        let buffer = self.buffer.get_or_insert_with(|| match Pool::take(&POOL) {
            Some(mut rx) => {
                rx.set_read_ahead(read_ahead);
                rx
            }
            None => Box::new(RecvBuffer::with_read_ahead(read_ahead)),
        });
        (buffer, &mut self.turn)
    }

    /// Gives the buffer back before a wait, unless it holds something.
    #[inline]
    pub(super) fn release(&mut self) {
        if let Some(rx) = self.buffer.take_if(|rx| rx.is_idle()) {
            Pool::keep(&POOL, rx);
        }
    }
}

/// The memory of a buffer with nothing in it outlives the connection.
impl Drop for PooledRx {
    fn drop(&mut self) {
        self.release();
    }
}

impl Buffer for RecvBuffer {
    fn capacity(&self) -> usize {
        self.capacity()
    }
}
