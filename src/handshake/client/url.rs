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
        // RFC 6455 §3 has `host [ ":" port ]` there and nothing else. RFC 3986 §3.2.1: "Use of the
        // format "user:password" in the userinfo field is deprecated", because URLs are shown.
        if authority.contains('@') {
            return Err(UrlError::Userinfo);
        }
        if !authority.is_ascii() {
            return Err(UrlError::NonAsciiHost);
        }
        if authority.starts_with('[') && authority.contains('%') {
            return Err(UrlError::ZoneId);
        }
        let authority = Authority::parse(authority).map_err(|error| match error {
            InvalidAuthority::Host => UrlError::InvalidHost,
            InvalidAuthority::Port => UrlError::InvalidPort,
        })?;
        // No name in the DNS and in a certificate has one, and who decodes it is not agreed upon.
        if authority.host.contains('%') {
            return Err(UrlError::InvalidHost);
        }
        if !resource.is_ascii() {
            return Err(UrlError::InvalidCharacter);
        }
        // RFC 3986 §2.1: "A percent-encoded octet is encoded as a character triplet, consisting of
        // the percent character "%" followed by the two hexadecimal digits".
        if decode(resource).is_none() {
            return Err(UrlError::InvalidPercent);
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
        })
    }
}

/// Returns the value of `Authorization` for a user name and a password (RFC 7617); `None` if they
/// cannot be in it.
pub(crate) fn basic(user: &[u8], password: &[u8]) -> Option<String> {
    // RFC 7617 §2: "a user-id containing a colon character is invalid, as the first colon in a
    // user-pass string separates user-id and password from one another".
    if user.contains(&b':') {
        return None;
    }
    let plain = [user, b":", password].concat();
    // RFC 7617 §2: "The user-id and password MUST NOT contain any control characters".
    if plain.iter().any(u8::is_ascii_control) {
        return None;
    }
    Some(format!("Basic {}", STANDARD.encode(plain)))
}

/// Returns the host and the port of a `host[:port]`, if it is one.
#[cfg(feature = "std")]
pub(crate) fn parse_authority(text: &str) -> Option<(&str, Option<u16>)> {
    Authority::parse(text).ok().map(|authority| (authority.host, authority.port))
}

/// Decodes what is percent-encoded; `None` if that is not what RFC 3986 §2.1 says.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let hex = |digit: Option<u8>| digit.and_then(|digit| char::from(digit).to_digit(16));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (hex(bytes.next())? * 16 + hex(bytes.next())?) as u8,
            byte => byte,
        });
    }
    Some(decoded)
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
    /// There is a user name, and perhaps a password.
    Userinfo,
    /// The host is an IPv6 address with a zone (RFC 6874), such as `%25eth0`.
    ZoneId,
    /// A `%` in the path or query is not followed by two hexadecimal digits.
    InvalidPercent,
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
            Self::Userinfo => {
                "URL must not have a user name or password, which would show up in logs; remove \
                 them, and give them to `basic_auth` of the request or connector (RFC 6455 §3)"
            }
            Self::ZoneId => {
                "IPv6 address in URL must not have a zone, which has a meaning on this machine \
                 alone; connect to a `SocketAddrV6` with its `scope_id`, and give the stream to \
                 `client` (RFC 6874)"
            }
            Self::InvalidPercent => {
                "\"%\" in URL must stand before two hexadecimal digits; write one that means \
                 itself as %25 (RFC 3986 §2.1)"
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
            ("ws://h:1/@", "h:1", "h", 1, "/@"),
            ("ws://h?u@h", "h", "h", 80, "/?u@h"),
            ("ws://h/%41%e4?%2F", "h", "h", 80, "/%41%e4?%2F"),
            ("ws://127.0.0.1:80", "127.0.0.1", "127.0.0.1", 80, "/"),
            ("ws://h.:1", "h.:1", "h.", 1, "/"),
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
            ("ws://[]", UrlError::InvalidHost),
            ("ws://%31", UrlError::InvalidHost),
            ("wss://a%2Eb/", UrlError::InvalidHost),
            ("ws://::1", UrlError::InvalidHost),
            ("ws://[::1", UrlError::InvalidHost),
            ("ws://h\\x", UrlError::InvalidHost),
            ("ws://h:0", UrlError::InvalidPort),
            ("ws://h:65536", UrlError::InvalidPort),
            ("ws://h:x", UrlError::InvalidPort),
            ("ws://u@h", UrlError::Userinfo),
            ("ws://u:p@h", UrlError::Userinfo),
            ("ws://@h", UrlError::Userinfo),
            ("ws://u@", UrlError::Userinfo),
            ("ws://a@b@h/", UrlError::Userinfo),
            ("ws://[fe80::1%25eth0]/", UrlError::ZoneId),
            ("ws://[fe80::1%eth0]:80", UrlError::ZoneId),
            ("ws://h/%", UrlError::InvalidPercent),
            ("ws://h/%4", UrlError::InvalidPercent),
            ("ws://h/%4x", UrlError::InvalidPercent),
            ("ws://h?a=100%", UrlError::InvalidPercent),
            ("ws://h/%%41", UrlError::InvalidPercent),
        ] {
            assert_eq!(Url::parse(url).unwrap_err(), error, "{url}");
        }
    }

    #[test]
    fn credentials() {
        for (user, password, expected) in [
            // RFC 7617 §2
            ("Aladdin", "open sesame", Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            ("u", "", Some("Basic dTo=")),
            ("", "p", Some("Basic OnA=")),
            ("u", "p:q", Some("Basic dTpwOnE=")),
            ("a:b", "c", None),
            ("a", "\r\n", None),
        ] {
            let value = basic(user.as_bytes(), password.as_bytes());
            assert_eq!(value.as_deref(), expected, "{user}");
        }
    }
}
