use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::UrlError;
use super::url::{self, Url};
use crate::config::Config;
#[cfg(feature = "deflate")]
use crate::handshake::deflate;
use crate::handshake::head::WithoutQuery;
use crate::handshake::usage::{check_header, is_framing, is_websocket};
use crate::handshake::{UsageError, key, list};

/// Request for a WebSocket: the URL, headers, and the subprotocols on offer.
///
/// A plain value: it may be kept to connect again. A fault in what is set is an error of the
/// function that uses it, before anything is written; [`check`](Self::check) tells it at once.
#[derive(Clone)]
#[must_use]
pub struct Request {
    pub(super) url: Url,
    pub(super) headers: Vec<(String, String)>,
    pub(super) subprotocols: Vec<String>,
    pub(super) requires_subprotocol: bool,
    /// The first fault.
    problem: Option<UsageError>,
}

impl Request {
    /// Makes a request for a `ws://` or `wss://` URL.
    ///
    /// A user name and a password in it are an error: [`basic_auth`](Self::basic_auth) takes them.
    ///
    /// # Errors
    ///
    /// The URL has a part that is invalid, or that has no meaning here. The text of the error says
    /// what to do about it.
    pub fn new(url: &str) -> Result<Self, UrlError> {
        Ok(Self {
            url: Url::parse(url)?,
            headers: Vec::new(),
            subprotocols: Vec::new(),
            requires_subprotocol: false,
            problem: None,
        })
    }

    /// Adds a header; one that is there already stays.
    ///
    /// The name has to be a token, and the value free of control characters. The library writes
    /// `Host`, `Upgrade`, `Connection`, `Sec-WebSocket-*`, `Content-Length` and `Transfer-Encoding`
    /// itself.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match check_header(name, value, |name| {
            is_websocket(name) || is_framing(name) || name.eq_ignore_ascii_case("host")
        }) {
            Ok(()) => self.headers.push((name.to_string(), value.to_string())),
            Err(error) => self.note(error),
        }
        self
    }

    /// Sets `Origin`, as a browser does for its scripts. Programs rarely need it.
    pub fn origin(mut self, origin: &str) -> Self {
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("origin"));
        self.header("Origin", origin)
    }

    /// Says who asks by user name and password (RFC 7617), in place of whatever `Authorization`
    /// there is. Both cross the network as they are: over `ws://` everybody on the way reads them.
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        match url::basic(user.as_bytes(), password.as_bytes()) {
            Some(credentials) => self.authorization(&credentials),
            None => {
                self.note(UsageError::InvalidHeaderValue("Authorization".into()));
                self
            }
        }
    }

    /// Says who asks by a token (RFC 6750), in place of whatever `Authorization` there is.
    pub fn bearer_auth(self, token: &str) -> Self {
        self.authorization(&format!("Bearer {token}"))
    }

    fn authorization(mut self, value: &str) -> Self {
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        self.header("Authorization", value)
    }

    /// Adds a cookie to the header `Cookie`, of which there is one line for all (RFC 6265 §5.4):
    /// the first of [`header`](Self::header) if there is one.
    ///
    /// Neither may have a `;` in it, nor the name a `=`: encode them as the server expects it.
    pub fn cookie(mut self, name: &str, value: &str) -> Self {
        let is_cut = |text: &str| text.bytes().any(|byte| byte == b';');
        if !list::is_token(name.as_bytes()) || is_cut(value) {
            self.note(UsageError::InvalidHeaderValue("Cookie".into()));
            return self;
        }
        let cookie = format!("{name}={value}");
        let there = self.headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        match (there, check_header("Cookie", &cookie, |_| false)) {
            (_, Err(error)) => self.note(error),
            (Some((_, value)), Ok(())) if value.trim_ascii().is_empty() => *value = cookie,
            (Some((_, value)), Ok(())) => value.extend(["; ", &cookie]),
            (None, Ok(())) => self.headers.push(("Cookie".into(), cookie)),
        }
        self
    }

    /// Offers a subprotocol, a token that is not offered yet. The order is that of preference, the
    /// favourite first.
    pub fn subprotocol(mut self, subprotocol: &str) -> Self {
        // RFC 6455 §4.1: "The elements that comprise this value MUST be non-empty strings with
        // characters in the range U+0021 to U+007E not including separator characters as defined in
        // [RFC2616] and MUST all be unique strings."
        if !list::is_token(subprotocol.as_bytes()) {
            self.note(UsageError::InvalidSubprotocol(subprotocol.into()));
        } else if self.subprotocols.iter().any(|other| other == subprotocol) {
            self.note(UsageError::RepeatedSubprotocol(subprotocol.into()));
        } else {
            self.subprotocols.push(subprotocol.to_string());
        }
        self
    }

    /// Fails the handshake if the server chooses none of the subprotocols, as browsers do. RFC 6455
    /// allows the server not to choose.
    pub fn require_subprotocol(mut self) -> Self {
        self.requires_subprotocol = true;
        self
    }

    /// Returns the first fault of what was set, if there is one. The handshake asks too, before it
    /// writes anything.
    ///
    /// # Errors
    ///
    /// The text of the [`UsageError`] says what to change.
    pub fn check(&self) -> Result<(), UsageError> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        if self.requires_subprotocol && self.subprotocols.is_empty() {
            return Err(UsageError::NoSubprotocols);
        }
        Ok(())
    }

    fn note(&mut self, problem: UsageError) {
        self.problem.get_or_insert(problem);
    }

    /// Returns the host to connect to, and to ask for in TLS: an IPv6 address is without its
    /// brackets.
    pub fn host(&self) -> &str {
        &self.url.host
    }

    /// Returns the port to connect to.
    pub fn port(&self) -> u16 {
        self.url.port
    }

    /// Returns whether the scheme is `wss`: the handshake goes through TLS.
    pub fn is_secure(&self) -> bool {
        self.url.secure
    }

    /// Returns the value of `Host`: the host, and the port if it is not the default.
    pub fn authority(&self) -> &str {
        &self.url.authority
    }

    /// Returns the request target: path and query.
    pub fn target(&self) -> &str {
        &self.url.resource
    }

    /// Writes the head of the request, with the key that carries the nonce.
    pub(super) fn write(&self, key: [u8; key::KEY_LEN], config: &Config) -> String {
        let mut head = String::new();
        head.extend(["GET ", self.target(), " HTTP/1.1\r\n"]);
        self.put_headers(Some(&key), config, |name, value| {
            head.extend([name, ": ", value, "\r\n"]);
        });
        head.push_str("\r\n");
        head
    }

    /// Says what the headers of the request are: over HTTP/1.1 with the key, over HTTP/2 and HTTP/3
    /// without one.
    pub(super) fn put_headers(
        &self,
        key: Option<&[u8; key::KEY_LEN]>,
        config: &Config,
        mut put: impl FnMut(&str, &str),
    ) {
        // RFC 8441 §5: "[RFC6455] requires the use of Connection and Upgrade header fields that are
        // not part of HTTP/2. They MUST NOT be included in the CONNECT request defined here." Nor
        // is `Host`, which is `:authority`, nor the key.
        if let Some(key) = key {
            put("Host", self.authority());
            put("Upgrade", "websocket");
            put("Connection", "Upgrade");
            put("Sec-WebSocket-Key", str::from_utf8(key).unwrap_or_default());
        }
        put("Sec-WebSocket-Version", "13");
        if !self.subprotocols.is_empty() {
            put("Sec-WebSocket-Protocol", &self.subprotocols.join(", "));
        }
        #[cfg(feature = "deflate")]
        if let Some(settings) = &config.deflate {
            put("Sec-WebSocket-Extensions", &deflate::offer(settings));
        }
        #[cfg(not(feature = "deflate"))]
        let _ = config;
        for (name, value) in &self.headers {
            put(name, value);
        }
    }
}

impl fmt::Debug for Request {
    /// Without the query, subprotocols and the values of headers, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Request")
            .field("is_secure", &self.is_secure())
            .field("authority", &self.authority())
            .field("target", &WithoutQuery(self.target()))
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}
