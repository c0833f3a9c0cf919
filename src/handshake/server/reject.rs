use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::Request;
use crate::buf::SendBuffer;
use crate::handshake::usage::{check_headers, is_framing};
use crate::handshake::{HandshakeError, UsageError, status};

/// A response that does not open a connection: a refusal, a redirect, a page.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // written with `..Default::default()`
pub struct Reject<'a> {
    /// The status, 200 to 599. Default 403.
    pub status: u16,
    /// Headers such as `Location`, `WWW-Authenticate` or `Content-Type`. `Connection` and
    /// `Content-Length` are added, and for a body without it `Content-Type: text/plain`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body. Left out where HTTP allows none: in the answer to a HEAD request and with the
    /// statuses 204, 205 and 304.
    pub body: &'a [u8],
}

impl Default for Reject<'_> {
    fn default() -> Self {
        Self { status: 403, headers: &[], body: &[] }
    }
}

impl Request {
    /// Answers without opening a connection: writes the response to `tx`. Send it, then close.
    ///
    /// Works for every request, also for one that is no handshake: this is how pages are served.
    ///
    /// # Errors
    ///
    /// `reject` has something that cannot be sent. Nothing was written.
    pub fn reject(self, reject: &Reject<'_>, tx: &mut SendBuffer) -> Result<(), UsageError> {
        reject.check()?;
        reject.write(tx, self.method() == "HEAD");
        Ok(())
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
    Reject { status, headers: &headers, body: body.as_bytes() }.write(tx, head_only);
}

impl Reject<'_> {
    pub(crate) fn check(&self) -> Result<(), UsageError> {
        if !matches!(self.status, 200..=599) {
            return Err(UsageError::InvalidStatus(self.status));
        }
        check_headers(self.headers, is_framing)
    }

    /// Writes the response, without its body for a HEAD request.
    pub(super) fn write(&self, tx: &mut SendBuffer, head_only: bool) {
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
        for (name, value) in self.headers {
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
