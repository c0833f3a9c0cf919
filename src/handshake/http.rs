//! Requests and responses as the types of the crate `http`.

use alloc::format;
use alloc::string::{String, ToString};

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{StatusCode, Version as HttpVersion, request};

use super::HandshakeError;
use super::client::{Offer, Response};
use super::server::{AcceptError, Request, Upgrade, Version};
use crate::config::Config;

impl Request {
    /// Makes a request of the head that an HTTP stack on the crate `http` has read: hyper, axum,
    /// h2. That is [`from_parts`](Self::from_parts) for HTTP/1.1 and
    /// [`from_connect`](Self::from_connect) for HTTP/2 and HTTP/3.
    ///
    /// `:protocol` is a type of each stack in the extensions of `head`, and is not looked at here.
    /// A server that takes other protocols by CONNECT too compares it with `websocket` first.
    ///
    /// ```
    /// use sansws::Config;
    /// use sansws::handshake::server::{Accept, AcceptError, Request};
    ///
    /// /// What to answer to a request, with whichever body the stack has.
    /// fn answer<B>(request: http::Request<B>) -> Result<http::Response<()>, AcceptError> {
    ///     let config = Config::new();
    ///     let request = Request::from_http(&request.into_parts().0, &config)?;
    ///     let upgrade = request.upgrade(&Accept::default(), &config)?;
    ///     Ok(upgrade.response())
    /// }
    ///
    /// let page = http::Request::get("/").header("Host", "example.com").body(()).unwrap();
    /// let refusal = answer(page).unwrap_err().response();
    /// assert_eq!(refusal.status(), 426);
    /// assert_eq!(refusal.headers()["Upgrade"], "websocket");
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_parts`](Self::from_parts) and [`from_connect`](Self::from_connect).
    pub fn from_http(head: &request::Parts, config: &Config) -> Result<Self, HandshakeError> {
        let version = match head.version {
            HttpVersion::HTTP_2 | HttpVersion::HTTP_3 => Version::Http2,
            HttpVersion::HTTP_11 => Version::Http11,
            _ => Version::Http10,
        };
        let method = head.method.as_str();
        if version != Version::Http2 {
            let target = head.uri.to_string();
            return Self::read((version, method, &target), None, &head.headers, config);
        }
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        let authority = head.uri.authority().map(|authority| authority.as_str());
        Self::read((version, method, target), authority, &head.headers, config)
    }
}

impl Upgrade {
    /// Returns the response, with an empty body of the stack's type.
    pub fn response<B: Default>(&self) -> http::Response<B> {
        let mut response = response(self.status(), self.headers(), B::default());
        if self.status() == 200 {
            *response.version_mut() = HttpVersion::HTTP_2;
        }
        response
    }
}

impl HandshakeError {
    /// Returns the response that a server gives: the [status](Self::status) and the
    /// [headers](Self::headers), and the text as body. 400 for an error of a client.
    pub fn response(&self) -> http::Response<String> {
        refusal(self.status().unwrap_or(400), self.headers(), self)
    }
}

impl AcceptError {
    /// Returns the response: the [status](Self::status) and the [headers](Self::headers), and for a
    /// fault of the peer the text as body.
    pub fn response(&self) -> http::Response<String> {
        match self {
            Self::Peer(error) => error.response(),
            Self::Usage(_) => refusal(self.status(), self.headers(), "500 Internal Server Error"),
        }
    }
}

impl Offer {
    /// Returns the request, with an empty body of the stack's type. For HTTP/1.1 its URI is the
    /// target alone, as a connection of hyper wants it; for HTTP/2 it is whole, and `:protocol` is
    /// left to add: `request.extensions_mut().insert(Protocol::from_static("websocket"))`, with
    /// `hyper::ext::Protocol` or `h2::ext::Protocol`.
    ///
    /// # Errors
    ///
    /// The crate `http` does not take the target.
    pub fn request<B: Default>(&self) -> Result<http::Request<B>, http::Error> {
        let (method, version) = match self.is_extended_connect() {
            true => (http::Method::CONNECT, HttpVersion::HTTP_2),
            false => (http::Method::GET, HttpVersion::HTTP_11),
        };
        let request = http::Request::builder().method(method).uri(&*self.uri).version(version);
        let add = |request: request::Builder, (name, value): (&str, &str)| {
            request.header(name, value.as_bytes())
        };
        self.headers().fold(request, add).body(B::default())
    }

    /// [`confirm`](Self::confirm) for a response of the crate `http`. Its body is not looked at.
    ///
    /// # Errors
    ///
    /// As [`confirm`](Self::confirm).
    pub fn confirm_http<B>(self, response: &http::Response<B>) -> Result<Response, HandshakeError> {
        // Over HTTP/1.1 any proxy accepts a CONNECT, and nothing in its answer says that there is a
        // WebSocket behind it.
        if self.is_extended_connect() && response.version() < HttpVersion::HTTP_2 {
            return Err(HandshakeError::ResponseHttpVersion);
        }
        let is_1_0 = response.version() == HttpVersion::HTTP_10;
        let version = if is_1_0 { "HTTP/1.0" } else { "HTTP/1.1" };
        self.read(version, response.status().as_u16(), response.headers())
    }
}

fn refusal(
    status: u16,
    headers: &[(&str, &str)],
    text: impl core::fmt::Display,
) -> http::Response<String> {
    let mut refusal = response(status, headers.iter().copied(), format!("{text}\n"));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    refusal.headers_mut().insert(CONTENT_TYPE, plain);
    refusal
}

/// Makes a response. The status and the headers have been checked.
pub(crate) fn response<'a, B>(
    status: u16,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: B,
) -> http::Response<B> {
    let mut response = http::Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        // not of a `str`, which may have ASCII alone
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
