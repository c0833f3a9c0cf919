use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use super::Request;
use super::request::Version;
use crate::buf::SendBuffer;
use crate::handshake::usage::{check_headers, is_framing};
use crate::handshake::{HandshakeError, UsageError, status};

/// A response that does not open a connection: a refusal, a redirect, a page. It borrows what it is
/// made of.
///
/// ```
/// use sansws::handshake::server::Reject;
///
/// let moved = Reject::new(301).header("Location", "https://example.com/chat");
/// let unknown = Reject::new(404).body("There is no such room.");
/// ```
#[derive(Clone)]
#[must_use]
pub struct Reject<'a> {
    status: u16,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
}

impl fmt::Debug for Reject<'_> {
    /// Without the values of headers, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Reject")
            .field("status", &self.status)
            .field("headers", &names)
            .field("body", &self.body.len())
            .finish()
    }
}

impl<'a> Reject<'a> {
    /// Makes a response with this status, 200 to 599, and neither headers of its own nor a body.
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: &[] }
    }

    /// Adds a header such as `Location`, `WWW-Authenticate` or `Content-Type`. `Connection` and
    /// `Content-Length` are always written, and `Content-Type: text/plain` for a body that comes
    /// without a type.
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds several headers, names and values.
    pub fn headers(mut self, headers: &[(&'a str, &'a str)]) -> Self {
        self.headers.extend_from_slice(headers);
        self
    }

    /// Sets the body. It is left out where HTTP allows none: in the answer to a HEAD request and
    /// with the statuses 204, 205 and 304.
    pub fn body<B: AsRef<[u8]> + ?Sized>(mut self, body: &'a B) -> Self {
        self.body = body.as_ref();
        self
    }
}

impl Request {
    /// Answers without opening a connection: writes the response to `tx`. Send it, then close.
    ///
    /// Works for every request, also for one that is no handshake: this is how pages are served.
    ///
    /// # Errors
    ///
    /// `reject` has something that cannot be sent, or the request came over HTTP/2 or HTTP/3.
    /// Nothing was written.
    pub fn reject(self, reject: &Reject<'_>, tx: &mut SendBuffer) -> Result<(), UsageError> {
        reject.check()?;
        self.check_written()?;
        reject.write(tx, self.method() == "HEAD");
        Ok(())
    }
}

impl Request {
    /// Checks whether the answer may be written in the form of HTTP/1.1.
    pub(super) fn check_written(&self) -> Result<(), UsageError> {
        if self.version == Version::Http2 { Err(UsageError::NotHttp1) } else { Ok(()) }
    }
}

/// Writes the answer to a request that is wrong.
pub(super) fn write_error(tx: &mut SendBuffer, error: &HandshakeError, head_only: bool) {
    let Some(status) = error.status() else { return };
    let reason = status::reason(status);
    let body = match error {
        // what a person sees who opens the address in a browser
        HandshakeError::NotAnUpgrade => format!(
            "{status} {reason}\n\nThis is a WebSocket endpoint. Open it with a WebSocket client; \
             in a browser, with `new WebSocket(...)`.\n"
        ),
        error => format!("{status} {reason}: {error}\n"),
    };
    // `Connection` has more to say here
    let headers = error.headers().iter().copied().filter(|(name, _)| *name != "Connection");
    let headers: Vec<_> = headers.collect();
    Reject::new(status).headers(&headers).body(&body).write(tx, head_only);
}

impl Reject<'_> {
    pub(crate) fn check(&self) -> Result<(), UsageError> {
        if !matches!(self.status, 200..=599) {
            return Err(UsageError::InvalidStatus(self.status));
        }
        check_headers(&self.headers, is_framing)
    }

    /// Writes the response, without its body for a HEAD request.
    pub(crate) fn write(&self, tx: &mut SendBuffer, head_only: bool) {
        let status = self.status;
        let has =
            |name: &str| self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let mut head = format!("HTTP/1.1 {status} {}\r\n", status::reason(status));
        let mut line = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);

        // RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a 426 response to
        // indicate the required protocol(s)".
        if status == 426 && !has("upgrade") {
            line("Upgrade", "websocket");
            if !has(VERSION.0) {
                line(VERSION.0, VERSION.1);
            }
        }
        // RFC 9110 §7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option".
        let connection = if status == 426 || has("upgrade") { "close, Upgrade" } else { "close" };
        line("Connection", connection);
        for (name, value) in &self.headers {
            line(name, value);
        }
        let body = match status {
            204 | 205 | 304 => &[],
            _ => self.body,
        };
        if !body.is_empty() && !has("content-type") {
            line("Content-Type", "text/plain; charset=utf-8");
        }
        // RFC 9110 §8.6: "A server MUST NOT send a Content-Length header field in any response with
        // a status code of 1xx (Informational) or 204 (No Content)." In a 304 it would be the
        // length of what was not modified, which we do not know.
        if !matches!(status, 204 | 304) {
            line("Content-Length", &body.len().to_string());
        }
        head.push_str("\r\n");
        tx.put_slice(head.as_bytes());
        if !head_only {
            tx.put_slice(body);
        }
    }
}

const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");
