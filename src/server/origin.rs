use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use super::page::Page;
use super::request::Request;
use crate::handshake::Origin;

/// Whose scripts may open connections.
///
/// A browser sends the user's cookies along, whichever site a script is from: without this check any
/// page could talk to the server as its visitor (RFC 6455 §10.2). Programs other than browsers send no
/// `Origin` and are let in by all of these but [`Fn`](Self::Fn), which decides for itself.
#[derive(Default)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// Scripts from the host and port that they connect to. The default.
    ///
    /// Behind a proxy that replaces `Host`, use [`List`](Self::List).
    #[default]
    SameHost,
    /// Everybody's.
    Any,
    /// Those from these origins.
    List(Vec<Origin>),
    /// Those for which this says yes.
    Fn(Box<dyn Fn(&Request<'_>) -> bool + Send + Sync>),
}

impl OriginPolicy {
    /// The refusal for a request that is not let in.
    pub(super) fn refuse(&self, request: &Request<'_>) -> Option<Page> {
        let allowed = match self {
            Self::Any => true,
            Self::SameHost => request.http.is_same_origin() != Some(false),
            Self::List(origins) => is_in(origins, request),
            Self::Fn(allows) => allows(request),
        };
        if allowed {
            return None;
        }
        let origin = request.origin().unwrap_or_default();
        let host = request.host();
        Some(
            Page::text(format!(
                "403 Forbidden: scripts from the origin {origin:?} may not connect to {host:?}; the \
                 server can allow them with Server::allow_origins\n"
            ))
            .status(403),
        )
    }
}

/// Whether the origin is absent, or is there once and one of these.
fn is_in(origins: &[Origin], request: &Request<'_>) -> bool {
    let mut headers =
        request.http.headers().filter(|(name, _)| name.eq_ignore_ascii_case("origin"));
    match (headers.next(), headers.next()) {
        (None, _) => true,
        (Some((_, value)), None) => core::str::from_utf8(value)
            .ok()
            .and_then(Origin::parse)
            .is_some_and(|origin| origins.contains(&origin)),
        (Some(_), Some(_)) => false,
    }
}

impl fmt::Debug for OriginPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameHost => f.write_str("SameHost"),
            Self::Any => f.write_str("Any"),
            Self::List(origins) => f.debug_tuple("List").field(origins).finish(),
            Self::Fn(_) => f.write_str("Fn"),
        }
    }
}
