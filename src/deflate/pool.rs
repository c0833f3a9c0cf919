//! Compressors and decompressors that no message needs at the moment.
//!
//! A connection without context takeover has one only during a message. As a thread works on one
//! message at a time, a few serve all of its connections.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::{Compressor, CompressorKind, Decompressor};

std::thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

// Boxes, because they are handed over as they are.
#[allow(clippy::vec_box)]
struct Pool {
    compressors: Vec<Box<Compressor>>,
    decompressors: Vec<Box<Decompressor>>,
}

impl Pool {
    const fn new() -> Self {
        Self { compressors: Vec::new(), decompressors: Vec::new() }
    }
}

/// Returns a compressor that has compressed nothing.
pub(crate) fn take_compressor(kind: CompressorKind) -> Box<Compressor> {
    let found = with_pool(|pool| {
        let at = pool.compressors.iter().rposition(|it| it.kind == kind)?;
        Some(pool.compressors.swap_remove(at))
    });
    match found {
        Some(mut compressor) => {
            compressor.reset();
            compressor
        }
        None => Box::new(Compressor::new(kind)),
    }
}

/// Gives a compressor back.
pub(crate) fn keep_compressor(compressor: Box<Compressor>) {
    with_pool(|pool| {
        // One of another kind may be what the thread needed before a change of settings.
        if pool.compressors.len() == MAX_KEPT {
            pool.compressors.swap_remove(0);
        }
        pool.compressors.push(compressor);
        Some(())
    });
}

/// Returns a decompressor that has decompressed nothing, for a peer with such a window.
pub(crate) fn take_decompressor(window_bits: u8) -> Box<Decompressor> {
    let mut decompressor =
        with_pool(|pool| pool.decompressors.pop()).unwrap_or_else(|| Box::new(Decompressor::new()));
    decompressor.reset(window_bits);
    decompressor
}

/// Gives a decompressor back.
pub(crate) fn keep_decompressor(decompressor: Box<Decompressor>) {
    with_pool(|pool| {
        if pool.decompressors.len() < MAX_KEPT {
            pool.decompressors.push(decompressor);
        }
        Some(())
    });
}

/// `None` also at the end of a thread, when its pool is gone already.
fn with_pool<T>(use_it: impl FnOnce(&mut Pool) -> Option<T>) -> Option<T> {
    POOL.try_with(|pool| use_it(&mut pool.borrow_mut())).ok().flatten()
}

/// Of each. One is in use at a time, but for messages in fragments.
const MAX_KEPT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::Deflate;

    #[test]
    fn a_few_of_each_are_kept() {
        let kind = CompressorKind::new(&Deflate::new(), 15);
        let there =
            || with_pool(|it| Some((it.compressors.len(), it.decompressors.len()))).unwrap();
        let compressors = [(); 6].map(|()| take_compressor(kind));
        let decompressors = [(); 6].map(|()| take_decompressor(15));
        assert_eq!(there(), (0, 0));
        for (i, it) in compressors.into_iter().enumerate() {
            keep_compressor(it);
            assert_eq!(there(), ((i + 1).min(MAX_KEPT), 0));
        }
        for (i, it) in decompressors.into_iter().enumerate() {
            keep_decompressor(it);
            assert_eq!(there(), (MAX_KEPT, (i + 1).min(MAX_KEPT)));
        }
        let _in_use = (take_compressor(kind), take_decompressor(9));
        assert_eq!(there(), (MAX_KEPT - 1, MAX_KEPT - 1));
        let _other = take_compressor(CompressorKind::new(&Deflate::new(), 9));
        assert_eq!(there(), (MAX_KEPT - 1, MAX_KEPT - 1));
    }
}
