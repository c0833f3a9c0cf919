//! The headers in which reverse proxies tell of the client: `X-Forwarded-For`, `-Host` and
//! `-Proto`.
//!
//! Every proxy appends what it sees itself to what it was sent, or replaces it. So of `n` proxies
//! that are trusted the last `n` elements are theirs, and the first of these tells of the client.
//! What stands in front of them the client may have made up.

use alloc::format;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};
use core::str;

use super::response::Response;
use crate::handshake::server::Request;
use crate::handshake::split_authority;

/// The statements of the trusted proxies about the client. `None` where they make none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Forwarded<'a> {
    pub(crate) ip: Option<IpAddr>,
    /// Whether the client spoke TLS.
    pub(crate) secure: Option<bool>,
    /// The host that the client addressed. Empty if it named none.
    pub(crate) host: Option<&'a str>,
}

impl<'a> Forwarded<'a> {
    /// Reads what `proxies` of them say. The error is the answer to a request of which they say
    /// what makes no sense: a client that is counted, logged or let in by it must not pass for the
    /// proxy, or for another.
    pub(crate) fn read(request: &'a Request, proxies: usize) -> Result<Self, Response> {
        let said = |name, of, sense: fn(&'a str) -> bool| {
            let Some(element) = trusted(request, name, proxies) else { return Ok(None) };
            match str::from_utf8(element) {
                Ok(text) if sense(text) => Ok(Some(text)),
                _ => Err(nonsense(name, of, element)),
            }
        };
        let ip = said("X-Forwarded-For", "an IP address", |text| parse_ip(text).is_some())?;
        let scheme = said("X-Forwarded-Proto", "http or https", |text| {
            ["http", "https", "ws", "wss"].iter().any(|it| it.eq_ignore_ascii_case(text))
        })?;
        let host = said("X-Forwarded-Host", "a host", |text| {
            text.is_empty() || split_authority(text).is_some()
        })?;
        let is_secure =
            |scheme: &str| ["https", "wss"].iter().any(|it| it.eq_ignore_ascii_case(scheme));
        Ok(Self { ip: ip.and_then(parse_ip), secure: scheme.map(is_secure), host })
    }
}

/// Returns whether a proxy that follows the customs has passed a request on. The script of a page
/// cannot make a handshake look like it: browsers let none set the headers of a WebSocket.
pub(crate) fn is_passed_on(request: &Request) -> bool {
    const PREFIX: &str = "x-forwarded-";
    request.headers().any(|(name, _)| {
        name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
            || ["forwarded", "via", "x-real-ip"].iter().any(|it| it.eq_ignore_ascii_case(name))
    })
}

/// Returns the element of the outermost trusted proxy. Bytes, because others than they may have
/// written the rest of the line.
fn trusted<'a>(request: &'a Request, name: &str, proxies: usize) -> Option<&'a [u8]> {
    let lines = request.headers().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    let elements = || lines.clone().flat_map(|(_, value)| value.split(|byte| *byte == b','));
    let skipped = elements().count().saturating_sub(proxies);
    elements().nth(skipped).map(<[u8]>::trim_ascii)
}

fn nonsense(name: &str, of: &str, element: &[u8]) -> Response {
    let element = String::from_utf8_lossy(element);
    Response::text(format!(
        "400 Bad Request: {name} has {element:?} where a trusted proxy should have written {of}. \
         Server::trusted_proxies must be the number of proxies that write this header.\n"
    ))
    .status(400)
}

/// Parses `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`. A
/// zone, which only the proxy could know (`fe80::1%eth0`), is left out.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let text = text.split_once('%').map_or(text, |(ip, _)| ip);
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().or_else(|_| text.parse().map(|addr: SocketAddr| addr.ip()));
    ip.ok().map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::buf::{RecvBuffer, SendBuffer};
    use crate::config::Config;
    use crate::handshake::server::Handshake;

    fn request(headers: impl AsRef<[u8]>) -> Request {
        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(b"GET / HTTP/1.1\r\nHost: h\r\n");
        rx.extend_from_slice(headers.as_ref());
        rx.extend_from_slice(b"\r\n");
        Handshake::new(&Config::new())
            .read_request(&mut rx, &mut SendBuffer::new())
            .unwrap()
            .unwrap()
    }

    fn ip(request: &Request, proxies: usize) -> Result<Option<String>, u16> {
        let forwarded = Forwarded::read(request, proxies);
        forwarded
            .map(|it| it.ip.map(|ip| ip.to_string()))
            .map_err(|response| response.status_code())
    }

    #[test]
    fn the_element_of_the_outermost_trusted_proxy_counts() {
        let request = request(
            "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nx-forwarded-for: 192.0.2.2:81 , 192.0.2.3\r\n",
        );
        let ip = |proxies| ip(&request, proxies).unwrap();
        assert_eq!(ip(0), None);
        assert_eq!(ip(1).as_deref(), Some("192.0.2.3"));
        assert_eq!(ip(2).as_deref(), Some("192.0.2.2"));
        assert_eq!(ip(3).as_deref(), Some("192.0.2.1"));
        assert_eq!(ip(9).as_deref(), Some("6.6.6.6"));
        assert_eq!(ip(usize::MAX).as_deref(), Some("6.6.6.6"));
    }

    /// What a client sends goes into the same line as what the proxy appends.
    #[test]
    fn bytes_of_the_client_do_not_hide_those_of_the_proxy() {
        for junk in [&b"\xff"[..], b"\xff,\xfe", b"", b",", b"\"6.6.6.6, ", b"unknown", b"%"] {
            let of = |name: &str, own: &str| {
                [name.as_bytes(), b": ", junk, b", ", own.as_bytes(), b"\r\n"].concat()
            };
            let headers = [
                of("X-Forwarded-For", "192.0.2.1"),
                of("X-Forwarded-Host", "example.com"),
                of("X-Forwarded-Proto", "https"),
            ];
            let request = request(headers.concat());
            let forwarded = Forwarded::read(&request, 1).unwrap();
            assert_eq!(forwarded.ip, Some([192, 0, 2, 1].into()));
            assert_eq!((forwarded.host, forwarded.secure), (Some("example.com"), Some(true)));
        }
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("unknown", None),
            ("_hidden", None),
            ("unix:", None),
            ("", None),
            ("192.0.2.1.example.com", None),
            ("192.0.2.1:x", None),
            ("[192.0.2.1", None),
        ] {
            assert_eq!(parse_ip(text).map(|ip| ip.to_string()).as_deref(), expected, "{text}");
        }
    }

    /// Nobody passes for the proxy behind one that does not say who it is.
    #[test]
    fn what_makes_no_sense_is_refused() {
        for header in [
            "X-Forwarded-For: unknown",
            "X-Forwarded-For: 6.6.6.6,",
            "X-Forwarded-For:",
            "X-Forwarded-Host: a b",
            "X-Forwarded-Proto: gopher",
            "X-Forwarded-Proto:",
        ] {
            let request = request(format!("{header}\r\n"));
            assert_eq!(ip(&request, 1), Err(400), "{header}");
            assert_eq!(ip(&request, 0), Ok(None));
        }
        let request = request("X-Forwarded-For: 6.6.6.6, unknown, 192.0.2.3\r\n");
        assert_eq!(ip(&request, 2), Err(400));
    }

    #[test]
    fn host_and_scheme() {
        let many = request(
            "X-Forwarded-Host: evil, example.com:8443, inner\r\nX-Forwarded-Proto: http, HTTPS\r\n",
        );
        let read = |proxies| Forwarded::read(&many, proxies).unwrap();
        assert_eq!((read(0).host, read(0).secure), (None, None));
        assert_eq!((read(1).host, read(1).secure), (Some("inner"), Some(true)));
        assert_eq!((read(2).host, read(2).secure), (Some("example.com:8443"), Some(false)));
        // a request that named none
        let request = request("X-Forwarded-Host:\r\nX-Forwarded-Proto: wss\r\n");
        let forwarded = Forwarded::read(&request, 1).unwrap();
        assert_eq!((forwarded.host, forwarded.secure), (Some(""), Some(true)));
    }

    #[test]
    fn requests_that_were_passed_on() {
        for header in ["Via: 1.1 p", "forwarded: for=_p", "X-Forwarded-Port: 1", "X-Real-IP: ::1"] {
            assert!(is_passed_on(&request(format!("{header}\r\n"))), "{header}");
        }
        assert!(!is_passed_on(&request("X-Forwardedness: 1\r\nOrigin: http://h\r\n")));
    }
}
