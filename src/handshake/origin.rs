use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use super::authority::Authority;

/// Origin of a script (RFC 6454): a browser puts it into the `Origin` header.
///
/// Two origins are equal if their scheme, host and port are, in any ASCII case, a missing port
/// being the default of the scheme (80 for `http` and `ws`, 443 for `https` and `wss`). There is
/// no matching of parts: `http://example.com.evil.com` has nothing in common with
/// `http://example.com`.
///
/// ```
/// use sansws::handshake::Origin;
///
/// let ours: Origin = "https://example.com".parse()?;
/// assert_eq!("HTTPS://EXAMPLE.com:443".parse::<Origin>()?, ours);
/// assert_ne!("http://example.com".parse::<Origin>()?, ours);
/// assert!("null".parse::<Origin>().is_err());
/// assert_eq!(ours.to_string(), "https://example.com");
/// # Ok::<(), sansws::handshake::OriginError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    fn parse(origin: &str) -> Option<Self> {
        let (scheme, authority) = origin.split_once("://")?;
        // RFC 3986 §3.1
        let mut scheme_bytes = scheme.bytes();
        let valid = scheme_bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && scheme_bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let authority = Authority::parse(authority).ok()?;
        if !valid {
            return None;
        }
        // RFC 6455 §4.2.2: "The origin is serialized to ASCII and converted to lowercase."
        let scheme = scheme.to_ascii_lowercase();
        let port = authority.port.or_else(|| default_port(&scheme));
        Some(Self { host: authority.host.to_ascii_lowercase(), port, scheme })
    }

    /// Returns the scheme, in lower case: `https`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns the host, in lower case; an IPv6 address has its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, or the scheme's default; `None` for a scheme without one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns whether host and port are those of a `Host` header. Of an origin that is not of
    /// `http` or `https` they never are: `chrome-extension://example.com` is not on `example.com`.
    ///
    /// A `Host` without a port means the default of this origin's scheme: a server does not always
    /// know whether it was reached through TLS.
    pub fn is_host(&self, host: &str) -> bool {
        let is_of_the_web = ["http", "https"].contains(&self.scheme());
        is_of_the_web
            && Authority::parse(host).is_ok_and(|authority| {
                authority.host.eq_ignore_ascii_case(&self.host)
                    && authority.port.or_else(|| default_port(&self.scheme)) == self.port
            })
    }
}

/// Reads `scheme://host[:port]`.
///
/// Anything else is an error: a path, user information, several origins, and `null`, which browsers
/// send for sandboxed frames and local files and which equals nothing, not even itself.
impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(origin: &str) -> Result<Self, OriginError> {
        Self::parse(origin).ok_or(OriginError)
    }
}

/// The form of the `Origin` header: lower case, without the default port of the scheme.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) if self.port != default_port(&self.scheme) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

/// A text is no [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OriginError;

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no origin: write `https://HOST` or `https://HOST:PORT`, without a path and without a \
             slash at the end (RFC 6454 §6.2)",
        )
    }
}

impl core::error::Error for OriginError {}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        let (a, b) = (Origin::parse(a), Origin::parse(b));
        a.is_some() && a == b
    }

    /// H-18, H-19
    #[test]
    fn comparison() {
        assert!(same("https://EXAMPLE.com:443", "https://example.com"));
        assert!(same("http://example.com:80", "HTTP://example.com"));
        assert!(same("http://[::1]:80", "http://[::1]"));
        assert!(same("chrome-extension://abc", "chrome-extension://abc"));
        for other in [
            "http://example.com:443",
            "https://example.com:8443",
            "https://example.com.evil.com",
            "https://evil-example.com",
            "https://example.co",
            "https://example.com.",
            "https://sub.example.com",
        ] {
            assert!(!same("https://example.com", other), "{other}");
        }
        for text in [
            "null",
            "",
            "example.com",
            "//example.com",
            "://h",
            "http://",
            "http://h/",
            "http://h/p",
            "http://u@h",
            "http://a http://b",
            "http://a, http://b",
            "http://h#",
            "h ttp://h",
            "http://h:x",
            "file://",
            "1http://h",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    /// H-19
    #[test]
    fn against_host() {
        for (origin, host, expected) in [
            ("http://example.com", "example.com", true),
            ("http://example.com", "EXAMPLE.COM:80", true),
            ("ws://example.com", "example.com", false),
            ("file://example.com", "example.com", false),
            ("chrome-extension://example.com", "example.com", false),
            ("https://example.com", "example.com", true),
            ("https://example.com", "example.com:443", true),
            ("https://example.com", "example.com:80", false),
            ("http://localhost:3000", "localhost:3000", true),
            ("http://localhost:3000", "localhost", false),
            ("http://example.com.evil.com", "example.com", false),
            ("http://example.com", "example.com.evil.com", false),
        ] {
            let parsed = Origin::parse(origin).unwrap();
            assert_eq!(parsed.is_host(host), expected, "{origin} {host}");
        }
    }
}
