#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::fmt;
use core::net::SocketAddr;
use core::ops::Deref;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, Ordering};
use std::panic::catch_unwind;
use std::sync::OnceLock;

use super::accept::permits::Permits;
use super::client::limits::Limits;
use super::observe::event::LogEvent;
use super::observe::stats::Counters;
#[cfg(feature = "tracing")]
use super::observe::trace;

/// Limits, log and counters: what all parts of a server look at. It is made with the server and
/// outlives it, in the handles on its clients. Each route has one with limits of its own.
#[derive(Default)]
pub(crate) struct Context {
    limits: OnceLock<Limits>,
    /// Those of a server that does not run yet.
    defaults: Limits,
    shared: Arc<Shared>,
}

/// The part of a [`Context`] that a server has once.
#[derive(Default)]
pub(crate) struct Shared {
    log: OnceLock<Box<LogFn>>,
    /// Those of the server, once it runs; dead once it is over.
    permits: OnceLock<Weak<Permits>>,
    pub(crate) counters: Counters,
    /// The time that calls of handlers take is counted. Looked at for each call.
    times_handlers: AtomicBool,
}

/// The closure of [`Server::on_log`](super::Server::on_log).
pub(crate) type LogFn = dyn Fn(&LogEvent<'_>) + Send + Sync;

impl Context {
    /// Makes the context of a route.
    pub(crate) fn with_limits(&self, limits: Limits) -> Self {
        Self { limits: limits.into(), defaults: Limits::default(), shared: self.shared.clone() }
    }

    /// Returns the limits: the defaults until others are set.
    pub(crate) fn limits(&self) -> &Limits {
        self.limits.get().unwrap_or(&self.defaults)
    }

    /// Sets the limits, once, before there are clients.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let _ = self.limits.set(limits);
    }
}

impl Deref for Context {
    type Target = Shared;

    #[inline]
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Shared {
    /// Sets the permits, once.
    pub(crate) fn set_permits(&self, permits: &Arc<Permits>) {
        let _ = self.permits.set(Arc::downgrade(permits));
    }

    /// Returns the number of handshakes and requests under way.
    pub(crate) fn pending(&self) -> usize {
        let permits = self.permits.get().and_then(Weak::upgrade);
        permits.map_or(0, |permits| permits.pending())
    }

    /// Counts the time that calls of handlers take.
    pub(crate) fn time_handlers(&self) {
        self.times_handlers.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn times_handlers(&self) -> bool {
        self.times_handlers.load(Ordering::Relaxed)
    }

    /// Sets where log events go, once.
    pub(crate) fn set_log(&self, log: Box<LogFn>) {
        let _ = self.log.set(log);
    }

    /// Passes an event to the log.
    pub(crate) fn log(&self, event: &LogEvent<'_>) {
        #[cfg(feature = "tracing")]
        let _ = catch_unwind(AssertUnwindSafe(|| trace::log(event))); // as below
        if let Some(log) = self.log.get() {
            // A log that panics must not end the server; the panic hook has reported it.
            let _ = catch_unwind(AssertUnwindSafe(|| log(event)));
        }
    }

    /// Counts and logs the panic of a handler.
    pub(crate) fn panicked(&self, peer_addr: SocketAddr, path: &str) {
        Counters::add(&self.counters.panics);
        self.log(&LogEvent::Panic { peer_addr, path });
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}
