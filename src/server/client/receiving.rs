use core::sync::atomic::Ordering;

use super::hub::Hub;
use crate::server::observe::stats::Counters;
use crate::wire::ProtocolError;

/// What one client's unfinished message takes of
/// [`Server::max_receiving_bytes`](crate::server::Server::max_receiving_bytes); given back when dropped.
pub(crate) struct Share<'a> {
    hub: &'a Hub,
    bytes: usize,
}

impl<'a> Share<'a> {
    pub(crate) const fn new(hub: &'a Hub) -> Self {
        Self { hub, bytes: 0 }
    }

    /// Says how many bytes it takes now.
    ///
    /// # Errors
    ///
    /// It has grown beyond what it may be; then it counts as nothing.
    #[inline]
    pub(crate) fn settle(&mut self, bytes: usize) -> Result<(), ProtocolError> {
        let bytes = if bytes > FLOOR { bytes } else { 0 };
        if bytes == self.bytes { Ok(()) } else { self.change(bytes) }
    }

    #[cold]
    fn change(&mut self, bytes: usize) -> Result<(), ProtocolError> {
        // A number and nothing else: no memory is reached through it.
        let total = &self.hub.counters().receiving;
        let Some(more) = bytes.checked_sub(self.bytes) else {
            total.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            self.bytes = bytes;
            return Ok(());
        };
        let limit = self.hub.limits().max_receiving_bytes;
        let before = total.fetch_add(more, Ordering::Relaxed);
        self.bytes = bytes;
        if before.saturating_add(more) > limit && bytes > limit / self.hub.len().max(1) {
            self.give_back();
            Counters::add(&self.hub.counters().overload_closed);
            return Err(ProtocolError::Overload { limit: limit as u64 });
        }
        Ok(())
    }

    fn give_back(&mut self) {
        if self.bytes > 0 {
            self.hub.counters().receiving.fetch_sub(self.bytes, Ordering::Relaxed);
            self.bytes = 0;
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What every client may hold: about what a receive buffer reads ahead when it is busy.
const FLOOR: usize = 64 * 1024;
