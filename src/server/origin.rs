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
    /// Scripts from the host and port that they connect to; where the client is known to speak TLS, not
    /// those of a page that came without. The default.
    ///
    /// Behind a proxy that replaces `Host`, let it say `X-Forwarded-Host` and
    /// [trust it](super::Server::trusted_proxies), or use [`List`](Self::List).
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
            Self::SameHost => request.http.is_origin(|it| is_same(it, request)) != Some(false),
            Self::List(origins) => request.http.is_origin(|it| origins.contains(it)) != Some(false),
            Self::Fn(allows) => allows(request),
        };
        if allowed {
            return None;
        }
        let origin = request.origin().unwrap_or_default();
        let host = request.host();
        Some(
            Page::text(format!(
                "403 Forbidden: scripts from the origin {origin:?} may not connect to {host:?}. The \
                 server can allow them with Server::allow_origins. If {host:?} is not what the \
                 browser was told to connect to, a reverse proxy has replaced the Host header; \
                 for nginx, write into the location:\n\nproxy_set_header Host $http_host;\n"
            ))
            .status(403),
        )
    }
}

fn is_same(origin: &Origin, request: &Request<'_>) -> bool {
    origin.is_host(request.host()) && !(request.is_secure() && origin.scheme() == "http")
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
