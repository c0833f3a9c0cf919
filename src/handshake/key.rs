use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// Returns the value of `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`.
///
/// `key` is the value as it was sent, without the space around it; it is not decoded.
///
/// ```
/// use sansws::handshake::accept_key;
///
/// let accept = accept_key("dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(&accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: impl AsRef<[u8]>) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut encoded = [0; 28];
    let written = STANDARD.encode_slice(digest, &mut encoded);
    debug_assert_eq!(written, Ok(28));
    encoded
}

/// Returns the `Sec-WebSocket-Key` that carries `nonce`.
pub(super) fn encode_nonce(nonce: [u8; 16]) -> [u8; KEY_LEN] {
    let mut encoded = [0; KEY_LEN];
    let written = STANDARD.encode_slice(nonce, &mut encoded);
    debug_assert_eq!(written, Ok(KEY_LEN));
    encoded
}

/// Returns whether `key` is the base64 form of 16 bytes.
pub(super) fn is_key(key: &[u8]) -> bool {
    // Only the shape is checked. The four bits of the last character that carry no data may be
    // set: the RFC's own example in §4.1, `AQIDBAUGBwgJCgsMDQ4PEC==`, has one of them set, and
    // decoders that insist on the canonical form refuse it.
    match key.strip_suffix(b"==") {
        Some(data) => {
            data.len() == 22
                && data
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        }
        None => false,
    }
}

/// 16 bytes in base64.
pub(super) const KEY_LEN: usize = 24;

/// RFC 6455 §1.3: "the Globally Unique Identifier [...] in string form, which is unlikely to be
/// used by network endpoints that do not understand the WebSocket Protocol".
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    /// H-12
    #[test]
    fn the_key_is_hashed_as_it_was_sent() {
        assert_eq!(&accept_key("dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        // both decode to the same 16 bytes
        assert_ne!(accept_key("AQIDBAUGBwgJCgsMDQ4PEC=="), accept_key("AQIDBAUGBwgJCgsMDQ4PEA=="));
    }

    /// H-10, H-11
    #[test]
    fn shape_of_keys() {
        for key in
            ["dGhlIHNhbXBsZSBub25jZQ==", "AQIDBAUGBwgJCgsMDQ4PEC==", "++//++//++//++//++//++=="]
        {
            assert!(is_key(key.as_bytes()), "{key}");
        }
        for key in [
            "",
            "==",
            "AAAA",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZTE=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBs SBub25jZQ==",
            "dGhlIHNhbXBsZSBub2-_ZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert!(!is_key(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn nonces() {
        assert_eq!(&encode_nonce(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
    }
}
