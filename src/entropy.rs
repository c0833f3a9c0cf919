use std::io;

use crate::endpoint::Endpoint;
use crate::handshake::client::Offer;

/// Random bytes of the operating system: for handshake nonces and for the seeds of masking keys.
///
/// RFC 6455 §10.3: "it is necessary that clients mask all data" with keys from "a source of entropy
/// that is hard to predict".
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

impl Endpoint {
    /// Returns a seed for [`client`](Self::client), from the operating system. Each serves once.
    ///
    /// # Errors
    ///
    /// The error of the operating system, if it has no randomness to give.
    pub fn random_seed() -> io::Result<[u8; 48]> {
        random()
    }
}

impl Offer {
    /// Returns a nonce for [`Request::offer`](crate::handshake::client::Request::offer), from the
    /// operating system. Each serves once.
    ///
    /// # Errors
    ///
    /// The error of the operating system, if it has no randomness to give.
    pub fn random_nonce() -> io::Result<[u8; 16]> {
        random()
    }
}
