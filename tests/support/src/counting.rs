//! An allocator that counts, for tests of what memory is taken. A program makes it its global one:
//!
//! ```ignore
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting;
//! ```
//!
//! The counters are those of the process, so nothing may run beside what is measured.
// A global allocator cannot be written without it.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::alloc::System;

/// The system's allocator, with an account of what it gives.
#[derive(Debug)]
pub struct Counting;

/// Bytes held now.
pub static HELD: AtomicUsize = AtomicUsize::new(0);

/// The most bytes held since it was last set back.
pub static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The number of allocations.
pub static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The bytes of all allocations.
pub static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Those of them that were asked for as zeros.
pub static ZEROED: AtomicUsize = AtomicUsize::new(0);

fn took(bytes: usize) {
    COUNT.fetch_add(1, Relaxed);
    TAKEN.fetch_add(bytes, Relaxed);
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(held, Relaxed);
}

// SAFETY: every call goes to the system allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        ZEROED.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        took(new_size);
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}
