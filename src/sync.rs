//! What threads share by: that of the standard library. In `tests/models` it is that of shuttle,
//! which runs the same code in one order after the other.
#![forbid(unsafe_code)]

#[cfg(not(sansws_model))]
mod real {
    pub(crate) use core::sync::atomic;
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
    #[cfg(feature = "server")]
    pub(crate) use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
    #[cfg(feature = "server")]
    pub(crate) use std::thread;
}

#[cfg(sansws_model)]
mod real {
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};
    pub(crate) use shuttle::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
    pub(crate) use shuttle::thread;
}

pub(crate) use real::*;
