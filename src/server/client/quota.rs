#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicUsize, Ordering};

use super::client::Client;
use crate::server::observe::stats::Counters;
use crate::wire::ProtocolError;

/// The part of [`Server::max_receiving_bytes`](crate::server::Server::max_receiving_bytes) that one
/// client's unfinished message takes; given back when dropped.
pub(crate) struct ReceiveQuota<'a> {
    client: &'a Client,
    bytes: usize,
}

impl<'a> ReceiveQuota<'a> {
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self { client, bytes: 0 }
    }

    /// Sets how many bytes the message takes now.
    ///
    /// # Errors
    ///
    /// It has grown beyond what it may take; then it counts as nothing.
    #[inline]
    pub(crate) fn set(&mut self, bytes: usize) -> Result<(), ProtocolError> {
        let bytes = if bytes > FREE { bytes } else { 0 };
        if bytes == self.bytes { Ok(()) } else { self.change(bytes) }
    }

    #[cold]
    fn change(&mut self, bytes: usize) -> Result<(), ProtocolError> {
        // Relaxed: a number and nothing else, no memory is reached through it.
        let Some(more) = bytes.checked_sub(self.bytes) else {
            self.total().fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            self.bytes = bytes;
            return Ok(());
        };
        let limit = self.client.context().limits().max_receiving_bytes;
        let before = self.total().fetch_add(more, Ordering::Relaxed);
        self.bytes = bytes;
        let share = limit / self.client.hub().all().len().max(1);
        if before.saturating_add(more) > limit && bytes > share {
            self.give_back();
            Counters::add(&self.client.context().counters.overload_closed);
            return Err(ProtocolError::Overload { limit: limit as u64 });
        }
        Ok(())
    }

    fn give_back(&mut self) {
        if self.bytes > 0 {
            self.total().fetch_sub(self.bytes, Ordering::Relaxed);
            self.bytes = 0;
        }
    }

    fn total(&self) -> &AtomicUsize {
        &self.client.context().counters.receiving
    }
}

impl Drop for ReceiveQuota<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The bytes that every client may hold uncounted: about what a receive buffer reads ahead when it
/// is busy.
const FREE: usize = 64 * 1024;
