//! An allocator that counts, for tests of what memory is taken. A program makes it its global one:
//!
//! ```ignore
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting;
//! ```
//!
//! The counters are those of the process, so nothing may run beside what is measured. Only what the
//! thread of `main` takes and gives back is not counted: it is the test harness, which writes down
//! that a test has begun while that test runs already.
// A global allocator cannot be written without it.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};
use std::alloc::System;

/// The system's allocator, with an account of what it gives.
#[derive(Debug)]
pub struct Counting;

/// Bytes held now, less than 0 if more of the harness's have been given back.
pub static HELD: AtomicIsize = AtomicIsize::new(0);

/// The most bytes held since it was last set back.
pub static PEAK: AtomicIsize = AtomicIsize::new(0);

/// The number of allocations.
pub static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The bytes of all allocations.
pub static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Those of them that were asked for as zeros.
pub static ZEROED: AtomicUsize = AtomicUsize::new(0);

/// Whether this is not the thread of `main`, which is the one that allocates first.
fn counted() -> bool {
    static MAIN: AtomicUsize = AtomicUsize::new(0);
    // without a destructor, so that it answers as long as the thread lives, and allocates nothing
    thread_local!(static HERE: Cell<u8> = const { Cell::new(0) });
    let here = HERE.with(|here| core::ptr::from_ref(here).addr());
    let main = MAIN.compare_exchange(0, here, Relaxed, Relaxed).unwrap_or_else(|main| main);
    main != 0 && main != here
}

fn took(bytes: usize) {
    if !counted() {
        return;
    }
    COUNT.fetch_add(1, Relaxed);
    TAKEN.fetch_add(bytes, Relaxed);
    let held = HELD.fetch_add(bytes as isize, Relaxed) + bytes as isize;
    PEAK.fetch_max(held, Relaxed);
}

/// How many bytes are held now beyond those that were held `before`.
pub fn held_beyond(before: isize) -> usize {
    usize::try_from(HELD.load(Relaxed) - before).unwrap_or(0)
}

/// How many bytes were held at once, beyond those that were held when `PEAK` was set to `before`.
pub fn peak_beyond(before: isize) -> usize {
    usize::try_from(PEAK.load(Relaxed) - before).unwrap_or(0)
}

fn gave_back(bytes: usize) {
    if counted() {
        HELD.fetch_sub(bytes as isize, Relaxed);
    }
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
        if counted() {
            ZEROED.fetch_add(layout.size(), Relaxed);
        }
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        took(new_size);
        gave_back(layout.size());
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        gave_back(layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}
