use alloc::boxed::Box;
use core::fmt;

use crate::handshake::client::{Escaped, UrlError};

/// The reason why a redirection was not followed, although redirections are: see
/// [`Connector::follow_redirects`](crate::client::Connector::follow_redirects).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectError {
    /// As many as are allowed have been followed, and this would be one more.
    TooMany {
        /// What is allowed.
        limit: usize,
        /// Where it leads.
        location: Box<str>,
    },
    /// It leads from `wss://` to where there is no TLS.
    Insecure {
        /// Where it leads.
        location: Box<str>,
    },
    /// It leads to nothing that can be connected to.
    Location {
        /// Where it leads.
        location: Box<str>,
        /// What is wrong with that.
        error: UrlError,
    },
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { limit, location } => write!(
                f,
                "the server redirects to {}, which is one more than the {limit} that \
                 `follow_redirects` allows",
                Escaped(location)
            ),
            Self::Insecure { location } => write!(
                f,
                "the server redirects from `wss://` to {}, which has no TLS: that is not followed, \
                 since everybody on the way could read it and write to it",
                Escaped(location)
            ),
            Self::Location { location, error } => write!(
                f,
                "the server redirects to {}, which cannot be followed: {error}",
                Escaped(location)
            ),
        }
    }
}

impl core::error::Error for RedirectError {}
