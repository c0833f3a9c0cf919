use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::handshake::authority::{Authority, InvalidAuthority};

/// A `ws:` or `wss:` URL (RFC 6455 §3).
#[derive(Clone, Debug)]
pub(super) struct Url {
    pub(super) secure: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// `host[:port]` for `Host`.
    pub(super) authority: String,
    /// The resource name: path and query.
    pub(super) resource: String,
    /// `Basic …`, from user information.
    pub(super) credentials: Option<String>,
}

impl Url {
    pub(super) fn parse(url: &str) -> Result<Self, UrlError> {
        if url.bytes().any(|byte| byte == b' ' || byte.is_ascii_control()) {
            return Err(UrlError::InvalidCharacter);
        }
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::InvalidScheme)?;
        let secure = scheme.eq_ignore_ascii_case("wss");
        if !secure && !scheme.eq_ignore_ascii_case("ws") {
            return Err(UrlError::InvalidScheme);
        }
        // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and
        // MUST NOT be used on these URIs. As with any URI scheme, the character "#", when not
        // indicating the start of a fragment, MUST be escaped as %23."
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (authority, resource) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (userinfo, authority) = match authority.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo), authority),
            None => (None, authority),
        };
        if !authority.is_ascii() {
            return Err(UrlError::NonAsciiHost);
        }
        let authority = Authority::parse(authority).map_err(|error| match error {
            InvalidAuthority::Host => UrlError::InvalidHost,
            InvalidAuthority::Port => UrlError::InvalidPort,
        })?;
        if !resource.is_ascii() {
            return Err(UrlError::InvalidCharacter);
        }
        // RFC 6455 §3: "The port component is OPTIONAL; the default for "ws" is port 80, while the
        // default for "wss" is port 443."
        let default_port = if secure { 443 } else { 80 };
        let port = authority.port.unwrap_or(default_port);
        if port == 0 {
            return Err(UrlError::InvalidPort);
        }
        Ok(Self {
            secure,
            host: authority.host.trim_matches(['[', ']']).to_owned(),
            port,
            // RFC 6455 §4.1: "/host/ plus optionally ":" followed by /port/ (when not using the
            // default port)".
            authority: match port == default_port {
                true => authority.host.to_owned(),
                false => format!("{}:{port}", authority.host),
            },
            // RFC 6455 §3: ""/" if the path component is empty".
            resource: match resource.starts_with('/') {
                true => resource.to_owned(),
                false => format!("/{resource}"),
            },
            credentials: userinfo.map(credentials).transpose()?,
        })
    }
}

/// Returns the value of `Authorization` that says what the user information does (RFC 7617).
fn credentials(userinfo: &str) -> Result<String, UrlError> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    basic(&decode(user)?, &decode(password)?)
}

/// Returns the value of `Authorization` for a user name and a password (RFC 7617).
pub(super) fn basic(user: &[u8], password: &[u8]) -> Result<String, UrlError> {
    // RFC 7617 §2: "a user-id containing a colon character is invalid, as the first colon in a
    // user-pass string separates user-id and password from one another".
    if user.contains(&b':') {
        return Err(UrlError::InvalidUserinfo);
    }
    let plain = [user, b":", password].concat();
    // RFC 7617 §2: "The user-id and password MUST NOT contain any control characters".
    if plain.iter().any(u8::is_ascii_control) {
        return Err(UrlError::InvalidUserinfo);
    }
    Ok(format!("Basic {}", STANDARD.encode(plain)))
}

/// Percent-decoded.
fn decode(text: &str) -> Result<Vec<u8>, UrlError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let hex = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => match (hex(bytes.next()), hex(bytes.next())) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return Err(UrlError::InvalidUserinfo),
            },
            byte => byte,
        });
    }
    Ok(decoded)
}

/// A URL is not one to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is not `ws` or `wss`.
    InvalidScheme,
    /// There is a fragment.
    Fragment,
    /// A space or control character, or a character outside ASCII in the path or query.
    InvalidCharacter,
    /// The host has characters outside ASCII.
    NonAsciiHost,
    /// The host is missing, or has characters no host has.
    InvalidHost,
    /// The port is no number from 1 to 65535.
    InvalidPort,
    /// The user information is not percent-encoded as it should be.
    InvalidUserinfo,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidScheme => "URL must begin with ws:// or wss:// (RFC 6455 §3)",
            Self::Fragment => {
                "URL must not have a fragment; remove it, or write a \"#\" that belongs to the \
                 path as %23 (RFC 6455 §3)"
            }
            Self::InvalidCharacter => {
                "URL has a space, a control character or a character outside ASCII; percent-encode \
                 it (RFC 3986 §2.1)"
            }
            Self::NonAsciiHost => {
                "host has characters outside ASCII; give it in punycode, such as \
                 xn--bcher-kva.example (RFC 5890)"
            }
            Self::InvalidHost => "host in URL is missing or invalid (RFC 3986 §3.2.2)",
            Self::InvalidPort => "port in URL must be a number from 1 to 65535 (RFC 3986 §3.2.3)",
            Self::InvalidUserinfo => {
                "user name or password in URL is invalid; percent-encode \"%\", \":\" and \"@\" in \
                 them (RFC 3986 §3.2.1)"
            }
        })
    }
}

impl core::error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-1, C-4
    #[test]
    fn valid() {
        for (url, authority, host, port, resource) in [
            ("ws://h", "h", "h", 80, "/"),
            ("ws://h?x", "h", "h", 80, "/?x"),
            ("ws://h/?x=/y?z", "h", "h", 80, "/?x=/y?z"),
            ("WSS://H:443", "H", "H", 443, "/"),
            ("wss://h:80/a/b", "h:80", "h", 80, "/a/b"),
            ("ws://h:443/", "h:443", "h", 443, "/"),
            ("ws://h:/a%23b", "h", "h", 80, "/a%23b"),
            ("ws://[::1]:9000", "[::1]:9000", "::1", 9000, "/"),
            ("wss://[::1]", "[::1]", "::1", 443, "/"),
            ("ws://u:p@h", "h", "h", 80, "/"),
            ("ws://u@p@h:1/@", "h:1", "h", 1, "/@"),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!(parsed.authority, authority, "{url}");
            assert_eq!((&*parsed.host, parsed.port), (host, port), "{url}");
            assert_eq!(parsed.resource, resource, "{url}");
            assert_eq!(parsed.secure, url[..3].eq_ignore_ascii_case("wss"));
        }
    }

    /// C-1, C-2
    #[test]
    fn invalid() {
        for (url, error) in [
            ("", UrlError::InvalidScheme),
            ("h", UrlError::InvalidScheme),
            ("ws:h", UrlError::InvalidScheme),
            ("//h", UrlError::InvalidScheme),
            ("http://h", UrlError::InvalidScheme),
            ("wsx://h", UrlError::InvalidScheme),
            ("ws://h/a#b", UrlError::Fragment),
            ("ws://h#", UrlError::Fragment),
            ("ws://h/a b", UrlError::InvalidCharacter),
            ("ws://h/\r\nX: y", UrlError::InvalidCharacter),
            ("ws://h/\u{e9}", UrlError::InvalidCharacter),
            (" ws://h", UrlError::InvalidCharacter),
            ("ws://b\u{fc}cher.example", UrlError::NonAsciiHost),
            ("ws://", UrlError::InvalidHost),
            ("ws:///path", UrlError::InvalidHost),
            ("ws://:80", UrlError::InvalidHost),
            ("ws://u@", UrlError::InvalidHost),
            ("ws://::1", UrlError::InvalidHost),
            ("ws://[::1", UrlError::InvalidHost),
            ("ws://h\\x", UrlError::InvalidHost),
            ("ws://h:0", UrlError::InvalidPort),
            ("ws://h:65536", UrlError::InvalidPort),
            ("ws://h:x", UrlError::InvalidPort),
            ("ws://%zz@h", UrlError::InvalidUserinfo),
            ("ws://%0d%0a@h", UrlError::InvalidUserinfo),
            ("ws://a%3Ab:c@h", UrlError::InvalidUserinfo),
        ] {
            assert_eq!(Url::parse(url).unwrap_err(), error, "{url}");
        }
    }

    #[test]
    fn user_information() {
        for (url, expected) in [
            ("ws://h", None),
            // RFC 7617 §2
            ("ws://Aladdin:open%20sesame@h", Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            ("ws://u@h", Some("Basic dTo=")),
            ("ws://:p@h", Some("Basic OnA=")),
            ("ws://u:p:q@h", Some("Basic dTpwOnE=")),
        ] {
            assert_eq!(Url::parse(url).unwrap().credentials.as_deref(), expected, "{url}");
        }
    }
}
