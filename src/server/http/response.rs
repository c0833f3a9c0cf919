use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bytes::Bytes;
use crate::handshake::server::Reject;
use crate::handshake::{HandshakeError, UsageError};

/// A response of plain HTTP: a page, a redirect, a refusal. Cloning copies the headers and shares
/// the body.
///
/// ```
/// use sansws::server::Response;
///
/// let page = Response::html("<h1>Hello</h1>").header("Cache-Control", "no-store");
/// let refusal = Response::text("Log in first.\n").status(401).header("WWW-Authenticate", "Basic");
/// let icon = Response::new("image/svg+xml", "<svg/>");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Response {
    /// Returns a page of any type, with status 200.
    ///
    /// Browsers are told not to guess another type.
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
            .header("Content-Type", content_type)
            .header("X-Content-Type-Options", "nosniff")
    }

    /// Returns a page in HTML and UTF-8, with status 200.
    pub fn html(body: impl Into<Bytes>) -> Self {
        Self::new("text/html; charset=utf-8", body)
    }

    /// Returns a page of plain text in UTF-8, with status 200.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self::new("text/plain; charset=utf-8", body)
    }

    /// Returns a response without a body, with this status, 200 to 599.
    pub const fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// Sets the status, 200 to 599.
    pub const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header. `Connection` and `Content-Length` are added when the response is sent.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Checks whether it can be sent. In place of one that cannot, status 500 is sent.
    ///
    /// # Errors
    ///
    /// A status outside 200–599, a header that has a name or value HTTP does not allow, or one that
    /// is added when the response is sent.
    pub fn check(&self) -> Result<(), UsageError> {
        self.as_reject().check()
    }

    /// Returns what the handshake itself answers to a request with this error.
    pub(crate) fn for_error(error: &HandshakeError) -> Self {
        let response = Self::text(format!("{error}\n")).status(error.status().unwrap_or(400));
        error
            .headers()
            .iter()
            .fold(response, |response, (name, value)| response.header(*name, *value))
    }

    /// Returns the status, the headers and the body, for another HTTP server to send.
    pub fn into_parts(mut self) -> (u16, Vec<(String, String)>, Bytes) {
        // what our own port adds when it sends one (RFC 9110 §15.5.22)
        if self.status == 426 {
            for (name, value) in HandshakeError::NotAnUpgrade.headers() {
                if !self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                    self = self.header(*name, *value);
                }
            }
        }
        (self.status, self.headers, self.body)
    }

    /// Returns the same as a response of the crate `http`.
    #[cfg(feature = "http")]
    pub fn into_http<B: From<Bytes>>(self) -> http::Response<B> {
        let (status, headers, body) = self.into_parts();
        let headers = headers.iter().map(|(name, value)| (&**name, &**value));
        crate::handshake::http::response(status, headers, body.into())
    }

    pub(crate) fn status_code(&self) -> u16 {
        self.status
    }

    /// Returns the same in the terms of the handshake.
    pub(crate) fn as_reject(&self) -> Reject<'_> {
        let reject = Reject::new(self.status).body(&self.body);
        self.headers.iter().fold(reject, |reject, (name, value)| reject.header(name, value))
    }
}
