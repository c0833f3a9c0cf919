use core::net::Ipv6Addr;

/// `host[:port]` as it stands in `Host`, in a URL and in an origin (RFC 3986 §3.2, without
/// userinfo).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// As written: an IPv6 address has its brackets.
    pub(super) host: &'a str,
    /// `None` where there is none, or an empty one.
    pub(super) port: Option<u16>,
}

impl<'a> Authority<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, InvalidAuthority> {
        let host_len = match text.strip_prefix('[') {
            Some(literal) => literal.find(']').map_or(text.len(), |end| end + 2),
            None => text.bytes().position(|byte| byte == b':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at(host_len);
        if !is_host(host) {
            return Err(InvalidAuthority::Host);
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return Err(InvalidAuthority::Host),
            Some("") => None,
            // `parse` alone would take a sign
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| InvalidAuthority::Port)?)
            }
            Some(_) => return Err(InvalidAuthority::Port),
        };
        Ok(Self { host, port })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvalidAuthority {
    Host,
    Port,
}

/// RFC 3986 §3.2.2: `host = IP-literal / IPv4address / reg-name`, without the addresses "of the
/// future" and not empty.
fn is_host(host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    }
    let mut bytes = host.bytes();
    while let Some(byte) = bytes.next() {
        let allowed = match byte {
            b'%' => {
                let mut is_hex = || bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit());
                is_hex() && is_hex()
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !allowed {
            return false;
        }
    }
    !host.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P-19, C-4
    #[test]
    fn authorities() {
        for (text, host, port) in [
            ("h", "h", None),
            ("h:", "h", None),
            ("h:80", "h", Some(80)),
            ("server.example.com:65535", "server.example.com", Some(65535)),
            ("127.0.0.1:9001", "127.0.0.1", Some(9001)),
            ("[::1]", "[::1]", None),
            ("[::1]:9000", "[::1]", Some(9000)),
            ("[::ffff:1.2.3.4]:9", "[::ffff:1.2.3.4]", Some(9)),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
            ("a_b%41", "a_b%41", None),
        ] {
            assert_eq!(Authority::parse(text), Ok(Authority { host, port }), "{text}");
        }
        for text in [
            "",
            ":80",
            "a b",
            "u@h",
            "h/",
            "h?",
            "::1",
            "[::1",
            "[::1]x",
            "[::1%eth0]",
            "[]",
            "[v1.a]",
            "h\u{e9}",
            "%4",
            "%zz",
            "a\tb",
            "h:1:2",
            "\"h\"",
            "h#",
        ] {
            assert!(Authority::parse(text).is_err(), "{text}");
        }
        for text in ["h:65536", "h:+1", "h:-1", "h:a", "h: 1", "[::1]:99999999999"] {
            assert_eq!(Authority::parse(text), Err(InvalidAuthority::Port), "{text}");
        }
    }
}
