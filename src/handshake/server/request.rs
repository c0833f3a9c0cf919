use core::fmt;
use core::ops::Range;

use crate::handshake::authority::Authority;
use crate::handshake::extensions::{self, Extension, ExtensionsError};
use crate::handshake::head::{Head, Headers, WithoutQuery};
use crate::handshake::list;
use crate::handshake::reader::RequestLine;
use crate::handshake::{HandshakeError, Origin};

/// A request as the client sent it. Owned: it may wait, or go to another task, before it is
/// answered.
///
/// Answering consumes it: [`accept`](Self::accept) makes the connection a WebSocket,
/// [`reject`](Self::reject) sends any other response, such as a page.
pub struct Request {
    pub(super) head: Head,
    method: Range<usize>,
    target: Range<usize>,
    /// Empty if an absolute target has none.
    path: Range<usize>,
    query: Option<Range<usize>>,
    /// Empty if a request of HTTP/1.0 has none.
    host: Range<usize>,
    pub(super) version: Version,
    pub(super) has_body: bool,
    /// What [`check`](Self::check) says: a server asks twice, and nothing changes between.
    pub(super) checked: Result<(), HandshakeError>,
}

/// Version of HTTP, as far as there are differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::handshake) enum Version {
    Http10,
    Http11,
    /// Or HTTP/3, which is the same here.
    Http2,
}

impl Request {
    pub(super) fn new(head: Head, line: RequestLine) -> Result<Self, HandshakeError> {
        let version = if line.http_1_0 { Version::Http10 } else { Version::Http11 };
        Self::of_version(version, head, line)
    }

    pub(super) fn of_version(
        version: Version,
        head: Head,
        line: RequestLine,
    ) -> Result<Self, HandshakeError> {
        let target = Target::parse(head.text(&line.method), head.text(&line.target))
            .ok_or(HandshakeError::InvalidTarget)?;
        let at = line.target.start;
        let shift = |range: Range<usize>| at + range.start..at + range.end;
        let host = host(&head, line.http_1_0)?;
        let mut request = Self {
            // RFC 9112 §3.2.2: "When an origin server receives a request with an absolute-form of
            // request-target, the origin server MUST ignore the received Host header field (if any)
            // and instead use the host information of the request-target."
            host: target.host.map_or(host, shift),
            path: shift(target.path),
            query: target.query.map(shift),
            method: line.method,
            target: line.target,
            version,
            has_body: false,
            checked: Ok(()),
            head,
        };
        request.has_body = has_body(&request.head)?;
        request.checked = request.check_all();
        Ok(request)
    }

    /// Returns the method; `GET` in every WebSocket handshake, but for `CONNECT` in one over HTTP/2
    /// or HTTP/3.
    pub fn method(&self) -> &str {
        self.head.text(&self.method)
    }

    /// Returns the request target as it was sent.
    pub fn target(&self) -> &str {
        self.head.text(&self.target)
    }

    /// Returns the path of the target, not decoded. Begins with `/`, except that it is `*` for
    /// `OPTIONS *`.
    pub fn path(&self) -> &str {
        match self.head.text(&self.path) {
            "" => "/",
            path => path,
        }
    }

    /// Returns what follows the `?` in the target, not decoded.
    pub fn query(&self) -> Option<&str> {
        self.query.as_ref().map(|query| self.head.text(query))
    }

    /// Returns the host and, if there is one, the port that the client addressed: `Host`, or what
    /// an absolute target says instead. Empty if a request of HTTP/1.0 has neither.
    pub fn host(&self) -> &str {
        self.head.text(&self.host)
    }

    /// Returns whether this is a request of HTTP/1.0, which can be answered with a page and never
    /// opens a WebSocket (RFC 9110 §7.8).
    pub fn is_http_1_0(&self) -> bool {
        self.version == Version::Http10
    }

    /// Returns the value of the first header with this name, in any case; `None` if there is none
    /// or its value is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.first(name)
    }

    /// Returns all headers, in order.
    pub fn headers(&self) -> Headers<'_> {
        self.head.headers()
    }

    /// Returns the values of all headers with this name, in order.
    #[cfg(feature = "server")]
    pub(crate) fn values(&self, name: &str) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.head.all(name)
    }

    /// Returns the value of `Origin`: the site whose script opened the connection. Only browsers
    /// send it.
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// Returns whether the script that opened the connection comes from the host it connects to.
    /// `None` if there is no `Origin`, so that the client is not a browser.
    ///
    /// A browser sends the user's cookies along, whichever site the script is from. A server that
    /// knows its users by cookies has to refuse those for which this is `Some(false)` (RFC 6455
    /// §10.2). The port is compared as well, the scheme is not: a server behind a TLS proxy does
    /// not know its own. An `Origin` that is repeated, `null` or malformed is not the same.
    pub fn is_same_origin(&self) -> Option<bool> {
        self.is_origin(|origin| origin.is_host(self.host()))
    }

    /// Returns whether the script comes from an origin for which this is true; `None` if there is
    /// no `Origin`.
    pub(crate) fn is_origin(&self, is_it: impl FnOnce(&Origin) -> bool) -> Option<bool> {
        let mut origins = self.head.all("origin");
        let first = origins.next()?;
        let origin = str::from_utf8(first).ok().and_then(|text| text.parse::<Origin>().ok());
        Some(origins.next().is_none() && origin.is_some_and(|origin| is_it(&origin)))
    }

    /// Returns the subprotocols the client offers, its favourite first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        list::elements(self.head.all("sec-websocket-protocol"))
            .filter_map(|item| str::from_utf8(item).ok())
    }

    /// Returns the extensions the client offers, its favourite first.
    pub fn extensions(&self) -> impl Iterator<Item = Result<Extension<'_>, ExtensionsError>> {
        extensions::parse(self.head.all("sec-websocket-extensions"))
    }

    /// Returns whether the client means to open a WebSocket, even if something about the request is
    /// wrong: `Upgrade` lists `websocket`, or there is a `Sec-WebSocket-Key`, or it is an extended
    /// CONNECT.
    ///
    /// [`accept`](Self::accept) those for which this is true, or
    /// [`reject`](Self::reject) them; it answers the wrong ones with what is wrong. The others are
    /// ordinary requests of HTTP: answer with a page, or accept them and let it say that this is a
    /// WebSocket endpoint.
    pub fn is_upgrade(&self) -> bool {
        match self.version {
            Version::Http2 => self.is_extended_connect(),
            _ => self.upgrade_is_websocket() || self.head.has("sec-websocket-key"),
        }
    }

    /// Returns whether this is a request for a WebSocket over HTTP/2 or HTTP/3: see
    /// [`from_connect`](Self::from_connect).
    pub fn is_extended_connect(&self) -> bool {
        self.version == Version::Http2 && self.method() == "CONNECT"
    }

    pub(super) fn upgrade_is_websocket(&self) -> bool {
        list::contains(self.head.all("upgrade"), "websocket")
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("target", &WithoutQuery(self.target()))
            .field("headers", &self.head)
            .finish()
    }
}

/// The parts of a request target, as positions in it.
struct Target {
    /// Only in an absolute one.
    host: Option<Range<usize>>,
    path: Range<usize>,
    query: Option<Range<usize>>,
}

impl Target {
    /// RFC 6455 §4.2.1: "the "Request-URI" part [...] should be interpreted as defining a resource
    /// name or an absolute HTTP/HTTPS URI".
    fn parse(method: &str, target: &str) -> Option<Self> {
        let all = target.len();
        // RFC 9112 §3.2.4: "The "asterisk-form" of request-target is only used for a server-wide
        // OPTIONS request".
        if target == "*" && method == "OPTIONS" {
            return Some(Self { host: None, path: 0..all, query: None });
        }
        let query_at = target.bytes().position(|byte| byte == b'?').unwrap_or(all);
        let query = (query_at < all).then_some(query_at + 1..all);
        if target.starts_with('/') {
            return Some(Self { host: None, path: 0..query_at, query });
        }
        let (scheme, rest) = target.get(..query_at)?.split_once("://")?;
        if !["http", "https", "ws", "wss"].iter().any(|it| it.eq_ignore_ascii_case(scheme)) {
            return None;
        }
        let host_at = scheme.len() + 3;
        let path_at = rest.find('/').map_or(query_at, |path| host_at + path);
        Authority::parse(target.get(host_at..path_at)?).ok()?;
        Some(Self { host: Some(host_at..path_at), path: path_at..query_at, query })
    }
}

/// Where the value of `Host` is.
///
/// RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1
/// request message that lacks a Host header field and to any request message that contains more
/// than one Host header field line or a Host header field with an invalid field value." HTTP/1.0
/// does not ask for the header.
fn host(head: &Head, http_1_0: bool) -> Result<Range<usize>, HandshakeError> {
    let mut fields = head.named("host");
    match (fields.next(), fields.next()) {
        (Some(field), None) if Authority::parse(head.text(&field.value)).is_ok() => {
            Ok(field.value.clone())
        }
        (None, _) if http_1_0 => Ok(0..0),
        _ => Err(HandshakeError::InvalidHost),
    }
}

/// Returns whether the head announces a body.
fn has_body(head: &Head) -> Result<bool, HandshakeError> {
    let encoded = head.has("transfer-encoding");
    let mut length: Option<u64> = None;
    for value in head.all("content-length") {
        // RFC 9112 §6.3: "If a message is received with both a Transfer-Encoding and a
        // Content-Length header field [...] Such a message might indicate an attempt to perform
        // request smuggling". Lengths that differ are "an unrecoverable error".
        let value = list::parse_length(value).ok_or(HandshakeError::InvalidContentLength)?;
        if encoded || length.is_some_and(|length| length != value) {
            return Err(HandshakeError::InvalidContentLength);
        }
        length = Some(value);
    }
    Ok(encoded || length.is_some_and(|length| length > 0))
}
