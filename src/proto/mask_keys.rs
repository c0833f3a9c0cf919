#![forbid(unsafe_code)]

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// The masking keys of a client: the output of ChaCha20, four bytes a frame.
///
/// RFC 6455 §5.3: "The masking key needs to be unpredictable; thus, the masking key MUST be derived
/// from a strong source of entropy, and the masking key for a given frame MUST NOT make it simple
/// for a server/proxy to predict the masking key for a subsequent frame." The seed is the entropy;
/// the caller brings it, so that the same seed gives the same frames.
pub(crate) struct MaskKeys(ChaCha20Rng);

impl MaskKeys {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    #[inline]
    pub(crate) fn next_key(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }
}
