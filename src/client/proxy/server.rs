use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::socks5::MAX_LEN;
use crate::handshake::client::{basic, decode, parse_authority};

/// One proxy.
#[derive(Clone)]
pub(crate) struct Server {
    pub(super) protocol: Protocol,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(super) credentials: Option<Credentials>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Socks5,
}

/// User name and password, as they are.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

impl Server {
    /// Parses a URL, of this protocol if one is given.
    pub(super) fn parse(url: &str, protocol: Option<Protocol>) -> Result<Self, &'static str> {
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None if protocol.is_none() => ("http", url), // as curl has it
            None => ("", url),
        };
        let is = |name: &str| scheme.eq_ignore_ascii_case(name);
        let found = match protocol {
            Some(Protocol::Http) if !is("http") && !is("https") => {
                return Err("it must begin with http://");
            }
            Some(Protocol::Socks5) if !is("socks5") && !is("socks5h") => {
                return Err("it must begin with socks5://");
            }
            _ if is("http") => Protocol::Http,
            _ if is("socks5") || is("socks5h") => Protocol::Socks5,
            _ if is("https") => {
                return Err("a proxy that speaks TLS itself is not supported; take http:// or \
                            socks5://");
            }
            _ => return Err("it must begin with http:// or socks5://"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(
                "nothing may follow host and port; percent-encode \"/\", \"?\" and \"#\" in \
                        user name and password",
            );
        }
        let (userinfo, authority) = match rest.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo), authority),
            None => (None, rest),
        };
        let Some((host, port)) = parse_authority(authority) else {
            return Err("its host or its port is missing or invalid");
        };
        let port = port.unwrap_or(match found {
            Protocol::Http => 80,
            Protocol::Socks5 => 1080,
        });
        if port == 0 || host.contains('%') {
            return Err("its host or its port is missing or invalid");
        }
        let host = host.trim_matches(['[', ']']).to_string();
        let mut server = Self { protocol: found, host, port, credentials: None };
        if let Some(userinfo) = userinfo {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            match (decode(user), decode(password)) {
                (Some(user), Some(password)) => server.set_credentials(&user, &password)?,
                _ => return Err("user name and password must be percent-encoded"),
            }
        }
        Ok(server)
    }

    pub(super) fn set_credentials(
        &mut self,
        user: &[u8],
        password: &[u8],
    ) -> Result<(), &'static str> {
        match self.protocol {
            Protocol::Http if basic(user, password).is_none() => {
                return Err(
                    "its user name must not have a colon, and neither it nor the password a \
                            control character (RFC 7617 §2)",
                );
            }
            // RFC 1929 §2: lengths of "1 to 255"
            Protocol::Socks5
                if [user, password].iter().any(|it| !(1..=MAX_LEN).contains(&it.len())) =>
            {
                return Err("user name and password must have 1 to 255 bytes each (RFC 1929 §2)");
            }
            _ => {}
        }
        self.credentials = Some(Credentials { user: user.into(), password: password.into() });
        Ok(())
    }
}

/// The URL, without user name and password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}", HostPort(&self.host, self.port))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.to_string())
            .field("has_credentials", &self.credentials.is_some())
            .finish()
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) struct HostPort<'a>(pub(super) &'a str, pub(super) u16);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.contains(':') {
            true => write!(f, "[{}]:{}", self.0, self.1),
            false => write!(f, "{}:{}", self.0, self.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn urls() {
        for (url, protocol, shown, credentials) in [
            ("http://h:8080", Protocol::Http, "http://h:8080", None),
            ("HTTP://h/", Protocol::Http, "http://h:80", None),
            ("http://[::1]:3128", Protocol::Http, "http://[::1]:3128", None),
            ("http://u:p@h:1", Protocol::Http, "http://h:1", Some(("u", "p"))),
            ("http://a%40b:c%3A%2Fd@h", Protocol::Http, "http://h:80", Some(("a@b", "c:/d"))),
            ("http://u:a@b@h", Protocol::Http, "http://h:80", Some(("u", "a@b"))),
            ("http://u@h", Protocol::Http, "http://h:80", Some(("u", ""))),
            ("socks5://h", Protocol::Socks5, "socks5://h:1080", None),
            ("socks5h://u:p@[::1]:1", Protocol::Socks5, "socks5://[::1]:1", Some(("u", "p"))),
        ] {
            for expected in [None, Some(protocol)] {
                let server = Server::parse(url, expected).unwrap();
                assert_eq!(server.to_string(), shown, "{url}");
                let found = server.credentials.as_ref().map(|it| (&it.user[..], &it.password[..]));
                let credentials = credentials.map(|(u, p)| (u.as_bytes(), p.as_bytes()));
                assert_eq!(found, credentials, "{url}");
                let debug = format!("{server:?}");
                assert!(!debug.contains("a@b") && !debug.contains('\\'), "{debug}");
            }
        }
        assert_eq!(Server::parse("h:8080", None).unwrap().to_string(), "http://h:8080");
        assert_eq!(Server::parse("u:p@h", None).unwrap().to_string(), "http://h:80");
    }

    #[test]
    fn what_is_no_proxy() {
        for url in [
            "",
            "http://",
            "https://h:443",
            "socks4://h",
            "socks://h",
            "ftp://h",
            "http://:8080",
            "http://h:0",
            "http://h:65536",
            "http://h:x",
            "http://h/path",
            "http://h?x",
            "http://h#x",
            "http://u/p@h",
            "http://h h",
            "http://%31",
            "http://::1",
            "http://%zz@h",
            "http://a%3Ab:c@h",
            "http://u%0d:p@h",
            "socks5://u@h",
            "socks5://:p@h",
            "socks5://@h",
        ] {
            assert!(Server::parse(url, None).is_err(), "{url}");
        }
        let long = "x".repeat(256);
        assert!(Server::parse(&format!("socks5://{long}:p@h"), None).is_err());
        assert!(Server::parse(&format!("http://{long}:p@h"), None).is_ok());
        for (url, protocol) in [
            ("h:8080", Protocol::Http),
            ("socks5://h", Protocol::Http),
            ("http://h", Protocol::Socks5),
            ("socks4://h", Protocol::Socks5),
        ] {
            assert!(Server::parse(url, Some(protocol)).is_err(), "{url}");
        }
    }
}
