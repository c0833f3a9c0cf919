use alloc::format;

use crate::handshake::HandshakeError;
use crate::server::http::response::Response;

/// The reason why a request does not become a connection.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The server or a handler answers with this.
    Response(Response),
    /// It is not a valid handshake.
    Invalid(HandshakeError),
    /// A closure or handler of the application panicked.
    Panicked,
}

impl Refusal {
    /// Returns the answer to the request.
    pub(crate) fn into_response(self) -> Response {
        match self {
            // of the application: one that cannot be sent says nothing
            Self::Response(response) if response.check().is_err() => internal_error(),
            Self::Response(response) => response,
            Self::Invalid(HandshakeError::UpgradeRemoved) => upgrade_removed(),
            Self::Invalid(error) => Response::for_error(&error),
            Self::Panicked => internal_error(),
        }
    }
}

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Self {
        Self::Invalid(error)
    }
}

pub(crate) fn not_found() -> Response {
    Response::text("404 Not Found: there is nothing at this path.\n").status(404)
}

/// RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
pub(crate) fn method_not_allowed() -> Response {
    Response::text("405 Method Not Allowed\n").status(405).header("Allow", "GET, HEAD")
}

/// RFC 9110 §15.5.20: "the request was directed at a server that is unable or unwilling to produce
/// an authoritative response for the target URI."
pub(crate) fn misdirected(host: &str) -> Response {
    Response::text(format!(
        "421 Misdirected Request: this server is not {host:?}. If it is, name it with \
         Server::allowed_hosts.\n"
    ))
    .status(421)
}

/// For whoever speaks plain HTTP to a port for TLS.
#[cfg(feature = "rustls")]
pub(crate) fn tls_expected() -> Response {
    Response::text("400 Bad Request: this port takes TLS alone; connect with wss:// or https://.\n")
        .status(400)
}

/// Addressed to whoever set up the proxy.
fn upgrade_removed() -> Response {
    Response::text(
        "426 Upgrade Required: this is a WebSocket handshake without its Upgrade header, which a \
         reverse proxy in front has removed. For nginx, write into the location:\n\n\
         proxy_http_version 1.1;\n\
         proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $connection_upgrade;\n\n\
         and beside the servers:\n\n\
         map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n",
    )
    .status(426)
}

pub(crate) fn too_many_of_network() -> Response {
    Response::text(
        "429 Too Many Requests: there are too many connections from your address; close one \
         first.\n",
    )
    .status(429)
}

/// RFC 6585 §4: "MAY include a Retry-After header indicating how long to wait". A second is enough,
/// since rates are whole numbers per second.
pub(crate) fn too_often() -> Response {
    Response::text("429 Too Many Requests: your address connects too often; wait a second.\n")
        .status(429)
        .header("Retry-After", "1")
}

pub(crate) fn internal_error() -> Response {
    Response::text("500 Internal Server Error\n").status(500)
}

pub(crate) fn unavailable(why: &str) -> Response {
    Response::text(format!("503 Service Unavailable: {why}; try again later.\n")).status(503)
}
