use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::buf::{RecvBuffer, SendBuffer};

std::thread_local! {
    /// The buffers that no connection needs at the moment.
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { rx: Vec::new(), tx: Vec::new() }) };
}

// Boxes, because they are handed over as they are.
#[allow(clippy::vec_box)]
struct Pool {
    rx: Vec<Box<RecvBuffer>>,
    tx: Vec<Box<SendBuffer>>,
}

/// A receive buffer that is there only while it holds something or is being read into.
#[derive(Debug)]
pub(crate) struct LentRx {
    buffer: Option<Box<RecvBuffer>>,
    read_ahead: u32,
}

impl LentRx {
    pub(crate) fn new(rx: RecvBuffer) -> Self {
        let read_ahead = u32::try_from(rx.read_ahead()).unwrap_or(u32::MAX);
        let mut this = Self { buffer: Some(Box::new(rx)), read_ahead };
        this.release();
        this
    }

    /// The buffer, fetched if need be.
    #[inline]
    pub(crate) fn fetch(&mut self) -> &mut RecvBuffer {
        let read_ahead = self.read_ahead as usize;
        self.buffer.get_or_insert_with(|| match with(|pool| pool.rx.pop()) {
            Some(mut rx) => {
                rx.set_read_ahead(read_ahead);
                rx
            }
            None => Box::new(RecvBuffer::with_read_ahead(read_ahead)),
        })
    }

    /// Gives the buffer back before a wait, unless it holds something.
    #[inline]
    pub(crate) fn release(&mut self) {
        if let Some(rx) = self.buffer.take_if(|rx| rx.is_idle())
            && rx.capacity() <= MAX_CAPACITY
        {
            with(|pool| keep(&mut pool.rx, rx));
        }
    }
}

/// A send buffer that is there only while it holds something.
#[derive(Debug, Default)]
pub(crate) struct LentTx(Option<Box<SendBuffer>>);

impl LentTx {
    pub(crate) fn new(tx: SendBuffer) -> Self {
        let mut this = Self(Some(Box::new(tx)));
        this.release();
        this
    }

    /// The buffer, if it is there: otherwise nothing is unsent.
    #[inline]
    pub(crate) fn get(&self) -> Option<&SendBuffer> {
        self.0.as_deref()
    }

    /// The buffer, fetched if need be.
    #[inline]
    pub(crate) fn fetch(&mut self) -> &mut SendBuffer {
        self.0.get_or_insert_with(|| with(|pool| pool.tx.pop()).unwrap_or_default())
    }

    /// Gives the buffer back before a wait, unless it holds something.
    #[inline]
    pub(crate) fn release(&mut self) {
        if let Some(tx) = self.0.take_if(|tx| tx.is_empty())
            && tx.capacity() <= MAX_CAPACITY
        {
            with(|pool| keep(&mut pool.tx, tx));
        }
    }
}

fn keep<T>(shelf: &mut Vec<T>, buffer: T) -> Option<()> {
    if shelf.len() < MAX_BUFFERS {
        shelf.push(buffer);
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
const MAX_CAPACITY: usize = 256 * 1024;
