//! What reverse proxies say about the client: `X-Forwarded-For`, `-Host` and `-Proto`.
//!
//! Every proxy appends what it sees itself to what it was sent, or replaces it. So of `n` proxies that are
//! trusted the last `n` elements are theirs, and the first of these tells of the client. What stands in
//! front of them the client may have made up.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::handshake::is_authority;
use crate::handshake::server::Request;

/// The address of the client. An element that is no address (`unknown`) leaves the next proxy's.
pub(super) fn remote_ip(request: &Request, proxies: usize) -> Option<IpAddr> {
    trusted(request, "x-forwarded-for", proxies).into_iter().find_map(parse_ip)
}

/// Whether the client spoke TLS.
pub(super) fn is_secure(request: &Request, proxies: usize) -> Option<bool> {
    let scheme = trusted(request, "x-forwarded-proto", proxies).into_iter().next()?;
    Some(["https", "wss"].iter().any(|it| it.eq_ignore_ascii_case(scheme)))
}

/// The host that the client addressed.
pub(super) fn host(request: &Request, proxies: usize) -> Option<&str> {
    let host = trusted(request, "x-forwarded-host", proxies).into_iter().next()?;
    is_authority(host).then_some(host)
}

/// The elements that proxies which are trusted have written, the one nearest to the client first.
fn trusted<'a>(request: &'a Request, name: &str, proxies: usize) -> Vec<&'a str> {
    if proxies == 0 {
        return Vec::new();
    }
    let lines = request.headers().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    // a line that is no text still has its place
    let lines = lines.map(|(_, value)| core::str::from_utf8(value).unwrap_or_default());
    let mut elements: Vec<_> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    elements.drain(..elements.len().saturating_sub(proxies));
    elements
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().or_else(|_| text.parse().map(|addr: SocketAddr| addr.ip()));
    ip.ok().map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;
    use crate::buf::{RecvBuffer, SendBuffer};
    use crate::handshake::server::Handshake;
    use crate::proto::Config;

    fn request(headers: &str) -> Request {
        let mut rx = RecvBuffer::new();
        rx.feed(format!("GET / HTTP/1.1\r\nHost: h\r\n{headers}\r\n").as_bytes());
        Handshake::new(&Config::new())
            .read_request(&mut rx, &mut SendBuffer::new())
            .unwrap()
            .unwrap()
    }

    #[test]
    fn the_element_of_the_outermost_trusted_proxy_counts() {
        let request = request(
            "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nx-forwarded-for: 192.0.2.2:81 , 192.0.2.3\r\n",
        );
        let ip = |proxies| remote_ip(&request, proxies).map(|ip| ip.to_string());
        assert_eq!(ip(0), None);
        assert_eq!(ip(1).as_deref(), Some("192.0.2.3"));
        assert_eq!(ip(2).as_deref(), Some("192.0.2.2"));
        assert_eq!(ip(3).as_deref(), Some("192.0.2.1"));
        assert_eq!(ip(9).as_deref(), Some("6.6.6.6"));
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("unknown", None),
            ("_hidden", None),
            ("", None),
            ("192.0.2.1.example.com", None),
            ("[192.0.2.1", None),
        ] {
            assert_eq!(parse_ip(text).map(|ip| ip.to_string()).as_deref(), expected, "{text}");
        }
        // the next proxy saw the one that did not say
        let request = request("X-Forwarded-For: 6.6.6.6, unknown, 192.0.2.3\r\n");
        assert_eq!(remote_ip(&request, 2).unwrap().to_string(), "192.0.2.3");
        assert_eq!(remote_ip(&self::request("X-Forwarded-For: unknown\r\n"), 1), None);
    }

    #[test]
    fn host_and_scheme() {
        let request = request(
            "X-Forwarded-Host: evil, example.com:8443, inner\r\nX-Forwarded-Proto: http, HTTPS\r\n",
        );
        assert_eq!(host(&request, 0), None);
        assert_eq!(host(&request, 1), Some("inner"));
        assert_eq!(host(&request, 2), Some("example.com:8443"));
        assert_eq!(is_secure(&request, 0), None);
        assert_eq!(is_secure(&request, 1), Some(true));
        assert_eq!(is_secure(&request, 2), Some(false));
        assert_eq!(host(&self::request("X-Forwarded-Host: a b\r\n"), 1), None);
        assert_eq!(is_secure(&self::request("X-Forwarded-Proto: wss\r\n"), 1), Some(true));
    }
}
