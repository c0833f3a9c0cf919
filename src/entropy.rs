#![forbid(unsafe_code)]

use std::io;
use std::sync::OnceLock;

use crate::endpoint::Endpoint;
use crate::handshake::client::Offer;

/// Random bytes, for handshake nonces and for the seeds of masking keys.
///
/// RFC 6455 §10.3: "it is necessary that clients mask all data" with keys from "a source of entropy
/// that is hard to predict".
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SOURCE.fill(&mut bytes)?;
    Ok(bytes)
}

/// Sets where the random bytes of clients come from, in place of the operating system.
///
/// For targets that the feature `getrandom` does not know, such as `wasm32-unknown-unknown` without
/// the configuration that its crate needs there. `fill` fills all of what it is given, with bytes
/// that nobody can predict: RFC 6455 §10.3 rests on that. What it fails with, connecting fails
/// with.
///
/// The first call counts, for the whole process; later ones return `false` and change nothing. A
/// library leaves this to the program.
pub fn set_random_source(fill: fn(&mut [u8]) -> io::Result<()>) -> bool {
    SOURCE.0.set(fill).is_ok()
}

static SOURCE: Source = Source(OnceLock::new());

struct Source(OnceLock<Fill>);

type Fill = fn(&mut [u8]) -> io::Result<()>;

impl Source {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        match self.0.get() {
            Some(fill) => fill(bytes),
            None => system(bytes),
        }
    }
}

#[cfg(feature = "getrandom")]
fn system(bytes: &mut [u8]) -> io::Result<()> {
    Ok(getrandom::fill(bytes)?)
}

#[cfg(not(feature = "getrandom"))]
fn system(_: &mut [u8]) -> io::Result<()> {
    const WHAT_TO_DO: &str = "no source of randomness: turn on the feature `getrandom`, or give \
                              one to `client::set_random_source`";
    Err(io::Error::new(io::ErrorKind::Unsupported, WHAT_TO_DO))
}

impl Endpoint {
    /// Returns a seed for [`client`](Self::client), from the operating system or from
    /// [`set_random_source`](crate::client::set_random_source). Each serves once.
    ///
    /// # Errors
    ///
    /// The error of the source, if it has no randomness to give;
    /// [`Unsupported`](io::ErrorKind::Unsupported) if there is none.
    pub fn random_seed() -> io::Result<[u8; 48]> {
        random()
    }
}

impl Offer {
    /// Returns a nonce for [`Request::offer`](crate::handshake::client::Request::offer), from where
    /// [`Endpoint::random_seed`] has its bytes. Each serves once.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::random_seed`].
    pub fn random_nonce() -> io::Result<[u8; 16]> {
        random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_of_ones_own_comes_first() {
        let source = Source(OnceLock::new());
        let mut bytes = [0; 32];
        let without = source.fill(&mut bytes);
        if cfg!(feature = "getrandom") {
            without.unwrap();
            assert_ne!(bytes, [0; 32]);
        } else {
            assert_eq!(without.unwrap_err().kind(), io::ErrorKind::Unsupported);
        }
        let set = source.0.set(|bytes| {
            bytes.fill(7);
            Ok(())
        });
        assert!(set.is_ok());
        source.fill(&mut bytes).unwrap();
        assert_eq!(bytes, [7; 32]);
        assert!(
            source.0.set(|_| Err(io::ErrorKind::Other.into())).is_err(),
            "the first call counts"
        );
        source.fill(&mut bytes).unwrap();
    }
}
