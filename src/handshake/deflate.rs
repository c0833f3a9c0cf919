//! permessage-deflate in `Sec-WebSocket-Extensions` (RFC 7692 §5, §7.1).
//!
//! The handshakes of this crate do this by themselves, where
//! [`Config::deflate`](crate::Config::deflate) is set. For another HTTP stack there is this,
//! and [`Connection::with_deflate`](crate::proto::Connection::with_deflate):
//!
//! ```
//! use sansws::deflate::Deflate;
//! use sansws::handshake::deflate;
//! use sansws::proto::Connection;
//! use sansws::Config;
//!
//! let settings = Deflate::new();
//! let offers = [&b"permessage-deflate; client_max_window_bits"[..]]; // the lines of the request
//! let mut connection = Connection::server(&Config::new());
//! if let Some((agreed, answer)) = deflate::choose(offers, &settings)? {
//!     // write `Sec-WebSocket-Extensions: {answer}`
//!     connection = connection.with_deflate(agreed, &settings);
//! }
//! # Ok::<(), sansws::handshake::extensions::ExtensionsError>(())
//! ```

use alloc::string::{String, ToString};

use super::HandshakeError;
use super::extensions::{self, ExtensionsError};
use crate::deflate::{Agreement, Deflate, NAME, Params};

/// Makes the offer of a client: the value of `Sec-WebSocket-Extensions` in its request.
pub fn offer(settings: &Deflate) -> String {
    Params::offer(settings).to_string()
}

/// Chooses, for a server, from the values of all `Sec-WebSocket-Extensions` lines of a request:
/// what is agreed then, and the value for the response. `None` if there is no offer it can accept;
/// the connection then goes without compression.
///
/// Takes the first offer that is valid, as the client's order is its preference.
///
/// # Errors
///
/// The lines do not follow their grammar, which is a reason to answer 400. Offers that follow it
/// and are wrong otherwise are declined.
pub fn choose<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    settings: &Deflate,
) -> Result<Option<(Agreement, String)>, ExtensionsError> {
    let mut chosen = None;
    for extension in extensions::parse(lines) {
        let extension = extension?;
        // RFC 7692 §5: of several offers for the same thing one is accepted; here the first.
        if chosen.is_none()
            && extension.name() == NAME
            && let Some(offer) = Params::parse(extension.params())
            && offer.is_acceptable(settings)
        {
            let (answer, agreement) = offer.answer(settings);
            chosen = Some((agreement, answer.to_string()));
        }
    }
    Ok(chosen)
}

/// Derives the agreement from the values of all `Sec-WebSocket-Extensions` lines of a response to
/// what [`offer`] offers. `None` if the server has chosen no extension.
///
/// # Errors
///
/// [`HandshakeError::InvalidExtensions`], [`HandshakeError::UnofferedExtension`] for another
/// extension, [`HandshakeError::InvalidDeflate`] if it is no answer to what was offered.
pub fn confirm<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    settings: &Deflate,
) -> Result<Option<Agreement>, HandshakeError> {
    let mut agreed = None;
    for extension in extensions::parse(lines) {
        let extension = extension.map_err(|_| HandshakeError::InvalidExtensions)?;
        if extension.name() != NAME {
            return Err(HandshakeError::UnofferedExtension);
        }
        // RFC 7692 §7: "A client MUST _Fail the WebSocket Connection_ if the peer server accepted
        // an extension negotiation offer for this extension with an extension negotiation response
        // meeting any of the following conditions"; and two of them would share a bit (§5).
        let agreement = Params::parse(extension.params())
            .and_then(|answer| answer.confirm(settings))
            .ok_or(HandshakeError::InvalidDeflate)?;
        if agreed.replace(agreement).is_some() {
            return Err(HandshakeError::InvalidDeflate);
        }
    }
    Ok(agreed)
}
