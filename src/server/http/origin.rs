use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use super::forwarded::is_passed_on;
use super::hosts::is_this_machine;
use super::request::Request;
use super::response::Response;
use crate::handshake::Origin;
use crate::server::error::ServerError;

/// The origins whose scripts may open connections.
///
/// A browser sends the user's cookies along, whichever site a script is from: without this check
/// any page could talk to the server as its visitor (RFC 6455 §10.2). Programs other than browsers
/// send no `Origin` and are let in by all of these but [`Fn`](Self::Fn), which decides for itself.
#[derive(Default)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// Scripts from the host and port that they connect to; where the client is known to speak TLS,
    /// not those of a page that came without. Pages of `http` and `https` only. The default.
    ///
    /// That a browser knows the server by this host does not make it a name of the server:
    /// `evil.example` can have its name point to any address, that of the visitor's own machine
    /// included, once its page is loaded (DNS rebinding). Say which hosts the server is with
    /// [`Server::allowed_hosts`](crate::server::Server::allowed_hosts). Where that is not said, a
    /// server whose listener is on a loopback address takes scripts from `localhost`, names under
    /// it, and loopback addresses only; but of handshakes that a proxy has passed on, as
    /// `X-Forwarded-…`, `X-Real-IP`, `Forwarded` or `Via` tell, the proxy knows the host. No script
    /// can set these for a WebSocket.
    ///
    /// Behind a proxy that replaces `Host`, let it say `X-Forwarded-Host` and
    /// [trust it](crate::server::Server::trusted_proxies), or use [`List`](Self::List).
    #[default]
    SameHost,
    /// Scripts from anywhere.
    Any,
    /// Scripts from these origins.
    List(Vec<Origin>),
    /// Requests for which this returns `true`.
    Fn(Box<dyn Fn(&Request<'_>) -> bool + Send + Sync>),
}

impl OriginPolicy {
    /// Parses a list of origins.
    pub(crate) fn parse<'a>(
        origins: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ServerError> {
        let parse = |it: &str| it.parse().map_err(|_| ServerError::Origin(it.into()));
        Ok(Self::List(origins.into_iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Checks the origin of a request.
    pub(crate) fn check(&self, request: &Request<'_>) -> Result<(), Response> {
        let allowed = match self {
            Self::Any => true,
            Self::SameHost => request.http.is_origin(|it| is_same(it, request)) != Some(false),
            Self::List(origins) => request.http.is_origin(|it| origins.contains(it)) != Some(false),
            Self::Fn(allows) => allows(request),
        };
        if allowed {
            return Ok(());
        }
        let origin = request.origin().unwrap_or_default();
        let host = request.host();
        let why = if matches!(self, Self::SameHost) && is_rebound(request) {
            format!(
                "403 Forbidden: this server is on a loopback address, and {host:?} may be a name \
                 that somebody else has made point there. If it is the server's own, name it with \
                 Server::allowed_hosts; a reverse proxy on the same machine should say that it is \
                 one. For nginx, write into the location:\n\n\
                 proxy_set_header X-Forwarded-Host $http_host;\n"
            )
        } else {
            format!(
                "403 Forbidden: scripts from the origin {origin:?} may not connect to {host:?}. \
                 The server can allow them with Server::allow_origins. If {host:?} is not what the \
                 browser was told to connect to, a reverse proxy has replaced the Host header; \
                 for nginx, write into the location:\n\nproxy_set_header Host $http_host;\n"
            )
        };
        Err(Response::text(why).status(403))
    }
}

fn is_same(origin: &Origin, request: &Request<'_>) -> bool {
    origin.is_host(request.host())
        && !(request.is_secure() && origin.scheme() == "http")
        && !is_rebound(request)
}

/// Returns whether the host may be the name of another site that was made to point here.
fn is_rebound(request: &Request<'_>) -> bool {
    request.peer.local && !is_this_machine(request.host()) && !is_passed_on(request.http)
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
