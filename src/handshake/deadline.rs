use core::time::Duration;

/// The time allowed for a handshake. Counts from the first look at the clock; progress does not
/// extend it, or a peer could hold the connection for ever by sending one byte a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    timeout: Duration,
    at: Option<Duration>,
}

impl Deadline {
    pub(super) const fn new(timeout: Duration) -> Self {
        Self { timeout, at: None }
    }

    /// When to look at the clock next: at once if that has not happened yet.
    pub(super) fn poll(&self) -> Duration {
        self.at.unwrap_or(Duration::ZERO)
    }

    /// Returns whether the time is over.
    pub(super) fn is_over(&mut self, now: Duration) -> bool {
        let at = *self.at.get_or_insert_with(|| now.saturating_add(self.timeout));
        now >= at
    }
}
