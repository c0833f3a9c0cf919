//! A message in a receive buffer, taken piece by piece.

use super::RecvBuffer;

impl RecvBuffer {
    /// Returns the assembled payload, as far as it was not [`consumed`](Self::consume_assembled).
    pub(crate) fn assembled(&self) -> &[u8] {
        self.region.assembled()
    }

    /// Drops the first `n` bytes of the assembled payload: somebody has them.
    #[cfg(feature = "std")]
    pub(crate) fn consume_assembled(&mut self, n: usize) {
        self.region.consume_assembled(n);
    }
}
