//! The headers in which reverse proxies tell of the client: `X-Forwarded-For`, `-Host` and
//! `-Proto`, or `Forwarded`.
//!
//! Every proxy appends what it sees itself to what it was sent, or replaces it. So of `n` proxies
//! that are trusted the last `n` elements are theirs, and the first of these tells of the client.
//! What stands in front of them the client may have made up.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};
use core::str;

use super::networks::Networks;
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

/// The same, with a life of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnedForwarded {
    ip: Option<IpAddr>,
    secure: Option<bool>,
    host: Option<Box<str>>,
}

impl From<Forwarded<'_>> for OwnedForwarded {
    fn from(forwarded: Forwarded<'_>) -> Self {
        let Forwarded { ip, secure, host } = forwarded;
        Self { ip, secure, host: host.map(Box::from) }
    }
}

impl<'a> From<&'a OwnedForwarded> for Forwarded<'a> {
    fn from(owned: &'a OwnedForwarded) -> Self {
        Self { ip: owned.ip, secure: owned.secure, host: owned.host.as_deref() }
    }
}

/// The headers in which proxies tell of the client: see
/// [`Server::proxy_headers`](crate::server::Server::proxy_headers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyHeaders {
    /// `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239), with `for`, `host` and `proto`.
    Forwarded,
}

/// Whom to believe about the client.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    pub(crate) headers: ProxyHeaders,
    /// The proxies that are believed. With networks: at most, and 0 for any number.
    pub(crate) proxies: usize,
    /// The networks of the proxies, if these are told by them.
    pub(crate) networks: Option<Networks>,
}

impl Trust {
    /// Returns how many proxies have passed a request on, as far as they are trusted. `fors` are
    /// what they say about who sent it to them, the nearest first.
    fn hops<'a>(&self, peer: IpAddr, fors: impl Iterator<Item = Option<&'a [u8]>>) -> usize {
        let Some(networks) = &self.networks else { return self.proxies };
        if !networks.contain(peer) {
            return 0;
        }
        let is_proxy = |said: &Option<&[u8]>| {
            let ip = said.and_then(|it| parse_ip(str::from_utf8(it).ok()?));
            ip.is_some_and(|ip| networks.contain(ip))
        };
        let most = if self.proxies == 0 { usize::MAX } else { self.proxies };
        fors.take_while(is_proxy).count().saturating_add(1).min(most)
    }
}

impl<'a> Forwarded<'a> {
    /// Reads what the trusted proxies say. The error is the answer to a request of which they say
    /// what makes no sense: a client that is counted, logged or let in by it must not pass for the
    /// proxy, or for another.
    pub(crate) fn read(
        request: &'a Request,
        trust: &Trust,
        peer: IpAddr,
    ) -> Result<Self, Response> {
        match trust.headers {
            ProxyHeaders::XForwarded => {
                let hops = trust.hops(peer, elements(request, "X-Forwarded-For").map(Some));
                let said = |name| farthest(elements(request, name), hops).map(|it| (name, it));
                let [ip, host, secure] =
                    ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"].map(said);
                Self::of(ip, host, secure)
            }
            ProxyHeaders::Forwarded => {
                let elements = || rfc7239::elements(request);
                let hops = trust.hops(peer, elements().map(|it| rfc7239::parse(it).ok()?.ip));
                let Some(element) = farthest(elements(), hops) else { return Ok(Self::default()) };
                let pairs = rfc7239::parse(element);
                let pairs = pairs.map_err(|()| nonsense("Forwarded", "`for=…`", element))?;
                let said = |name, value: Option<&'a [u8]>| value.map(|it| (name, it));
                Self::of(
                    said("Forwarded: for", pairs.ip),
                    said("Forwarded: host", pairs.host),
                    said("Forwarded: proto", pairs.scheme),
                )
            }
        }
    }

    /// Makes sense of what they say, with the names of where they say it.
    fn of(
        ip: Option<(&str, &'a [u8])>,
        host: Option<(&str, &'a [u8])>,
        scheme: Option<(&str, &'a [u8])>,
    ) -> Result<Self, Response> {
        let ip = sense(ip, "an IP address", parse_ip)?;
        let secure = sense(scheme, "http or https", |text| {
            let is = |it: &&str| it.eq_ignore_ascii_case(text);
            let secure = ["https", "wss"].iter().any(is);
            (secure || ["http", "ws"].iter().any(is)).then_some(secure)
        })?;
        let host = sense(host, "a host", |text| {
            (text.is_empty() || split_authority(text).is_some()).then_some(text)
        })?;
        Ok(Self { ip, secure, host })
    }
}

/// Makes sense of what a trusted proxy says, if it does.
fn sense<'a, T>(
    said: Option<(&str, &'a [u8])>,
    of: &str,
    parse: impl FnOnce(&'a str) -> Option<T>,
) -> Result<Option<T>, Response> {
    let Some((name, element)) = said else { return Ok(None) };
    let parsed = str::from_utf8(element).ok().and_then(parse);
    parsed.map(Some).ok_or_else(|| nonsense(name, of, element))
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

/// Returns the elements of a header, that of the nearest proxy first. Bytes, because others than
/// proxies may have written the rest of the line.
fn elements<'a>(request: &'a Request, name: &str) -> impl Iterator<Item = &'a [u8]> {
    lines(request, name).flat_map(|line| line.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii))
}

/// Returns the lines of a header, the last one first.
fn lines<'a>(request: &'a Request, name: &str) -> impl Iterator<Item = &'a [u8]> {
    request.values(name).rev()
}

/// Returns the element of the outermost trusted proxy: the last of as many, or of all there are.
fn farthest<'a>(elements: impl Iterator<Item = &'a [u8]>, hops: usize) -> Option<&'a [u8]> {
    elements.take(hops).last()
}

/// The header `Forwarded` (RFC 7239).
mod rfc7239 {
    use super::{Request, lines};

    /// What one proxy says.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Pairs<'a> {
        pub(super) ip: Option<&'a [u8]>,
        pub(super) host: Option<&'a [u8]>,
        pub(super) scheme: Option<&'a [u8]>,
    }

    /// Returns the elements, that of the nearest proxy first. They are looked for from the end:
    /// what the client has written in front, such as a quote that it does not close, changes
    /// nothing about what was appended to it.
    pub(super) fn elements(request: &Request) -> impl Iterator<Item = &[u8]> {
        lines(request, "Forwarded").flat_map(|line| {
            let mut quoted = false;
            line.rsplit(move |byte| {
                quoted ^= *byte == b'"';
                *byte == b',' && !quoted
            })
            .map(<[u8]>::trim_ascii)
        })
    }

    /// Parses an element: `for=192.0.2.1;proto=https;host="example.com:8443"`.
    ///
    /// A backslash in a quoted string is not taken: no address and no host has one, and it would
    /// hide where the string ends from whoever looks from the end.
    pub(super) fn parse(element: &[u8]) -> Result<Pairs<'_>, ()> {
        let mut pairs = Pairs::default();
        for pair in element.split(|byte| *byte == b';') {
            let at = pair.iter().position(|byte| *byte == b'=').ok_or(())?;
            let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
            let value = match value {
                [b'"', quoted @ .., b'"'] => quoted,
                [] => return Err(()),
                token => token,
            };
            if value.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
                return Err(());
            }
            let place = match name {
                name if name.eq_ignore_ascii_case(b"for") => &mut pairs.ip,
                name if name.eq_ignore_ascii_case(b"host") => &mut pairs.host,
                name if name.eq_ignore_ascii_case(b"proto") => &mut pairs.scheme,
                b"" => return Err(()),
                _ => continue,
            };
            // RFC 7239 §4: "Each parameter MUST NOT occur more than once per field-value."
            if place.replace(value).is_some() {
                return Err(());
            }
        }
        Ok(pairs)
    }
}

fn nonsense(name: &str, of: &str, element: &[u8]) -> Response {
    let element = String::from_utf8_lossy(element);
    Response::text(format!(
        "400 Bad Request: {name} has {element:?} where a trusted proxy should have written {of}. \
         Server::trusted_proxies must be the number of proxies that write this header, \
         Server::trusted_networks where they are.\n"
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

    const PEER: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 1));

    fn read(request: &Request, proxies: usize) -> Result<Forwarded<'_>, Response> {
        Forwarded::read(request, &Trust { proxies, ..Trust::default() }, PEER)
    }

    fn ip(request: &Request, proxies: usize) -> Result<Option<String>, u16> {
        let forwarded = read(request, proxies);
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
            let forwarded = read(&request, 1).unwrap();
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
        let said = |proxies| read(&many, proxies).unwrap();
        assert_eq!((said(0).host, said(0).secure), (None, None));
        assert_eq!((said(1).host, said(1).secure), (Some("inner"), Some(true)));
        assert_eq!((said(2).host, said(2).secure), (Some("example.com:8443"), Some(false)));
        // a request that named none
        let request = request("X-Forwarded-Host:\r\nX-Forwarded-Proto: wss\r\n");
        let forwarded = read(&request, 1).unwrap();
        assert_eq!((forwarded.host, forwarded.secure), (Some(""), Some(true)));
    }

    #[test]
    fn requests_that_were_passed_on() {
        for header in ["Via: 1.1 p", "forwarded: for=_p", "X-Forwarded-Port: 1", "X-Real-IP: ::1"] {
            assert!(is_passed_on(&request(format!("{header}\r\n"))), "{header}");
        }
        assert!(!is_passed_on(&request("X-Forwardedness: 1\r\nOrigin: http://h\r\n")));
    }

    #[test]
    fn proxies_are_told_by_their_networks() {
        let request = request(
            "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.1.1.1\r\nX-Forwarded-For: 10.0.0.2\r\n\
             X-Forwarded-Host: evil, example.com, a, b\r\nX-Forwarded-Proto: https\r\n",
        );
        let ip = |networks: &[&str], proxies, peer: IpAddr| {
            let networks = Some(Networks::parse(networks.iter().copied()).unwrap());
            let trust = Trust { networks, proxies, ..Trust::default() };
            let read = Forwarded::read(&request, &trust, peer).unwrap();
            (read.ip.map(|ip| ip.to_string()), read.host, read.secure)
        };
        let said = |ip: &str, host| (Some(ip.to_string()), Some(host), Some(true));
        assert_eq!(ip(&["10.0.0.0/8"], 0, PEER), said("192.0.2.1", "example.com"));
        assert_eq!(ip(&["10.0.0.0/24"], 0, PEER), said("10.1.1.1", "a"));
        assert_eq!(ip(&["10.0.0.1"], 0, PEER), said("10.0.0.2", "b"));
        assert_eq!(ip(&["10.0.0.0/8"], 2, PEER), said("10.1.1.1", "a"));
        assert_eq!(ip(&["0.0.0.0/0"], 0, PEER), said("6.6.6.6", "evil"));
        // somebody else
        for networks in [&["192.0.2.0/24"][..], &["::/0"], &[]] {
            assert_eq!(ip(networks, 3, PEER), (None, None, None));
        }
        assert_eq!(ip(&["10.0.0.0/8"], 1, [6, 6, 6, 6].into()), (None, None, None));
    }

    fn rfc7239(request: &Request, proxies: usize) -> Result<Forwarded<'_>, u16> {
        let trust = Trust { headers: ProxyHeaders::Forwarded, proxies, networks: None };
        Forwarded::read(request, &trust, PEER).map_err(|response| response.status_code())
    }

    #[test]
    fn the_header_of_rfc_7239() {
        let many = request(
            "Forwarded: for=6.6.6.6;host=evil, For=\"[2001:db8::1]:47\" ; PROTO=https\r\n\
             X-Forwarded-For: 7.7.7.7\r\n\
             forwarded: proto=http;by=_x;for=192.0.2.1;host=\"h:81\";ext=\"a,b\",for=192.0.2.2\r\n",
        );
        let said = |proxies| {
            let read = rfc7239(&many, proxies).unwrap();
            (read.ip.map(|ip| ip.to_string()), read.host, read.secure)
        };
        let ip = |ip: &str| Some(ip.to_string());
        assert_eq!(said(0), (None, None, None));
        assert_eq!(said(1), (ip("192.0.2.2"), None, None));
        assert_eq!(said(2), (ip("192.0.2.1"), Some("h:81"), Some(false)));
        assert_eq!(said(3), (ip("2001:db8::1"), None, Some(true)));
        assert_eq!(said(4), (ip("6.6.6.6"), Some("evil"), None));
        assert_eq!(said(9), said(4));
        // the other headers are the client's
        let other = request("X-Forwarded-For: 6.6.6.6\r\n");
        assert_eq!(rfc7239(&other, 1).unwrap().ip, None);
        assert_eq!(ip_of_x(&many), ip("7.7.7.7"));
    }

    fn ip_of_x(request: &Request) -> Option<String> {
        ip(request, 1).unwrap()
    }

    /// A client's quote does not swallow what the proxy appends.
    #[test]
    fn bytes_of_the_client_do_not_hide_those_of_the_proxy_in_forwarded() {
        for junk in [
            &b"\""[..],
            b"for=\"",
            b"for=\"\\",
            b"\xff",
            b"",
            b",,",
            b"for",
            b"for=\"6.6.6.6",
            b"for=6.6.6.6;x=\"\\\"",
        ] {
            let own = &b", for=192.0.2.1;proto=https;host=\"example.com\"\r\n"[..];
            let request = request([b"Forwarded: ", junk, own].concat());
            let forwarded = rfc7239(&request, 1).unwrap();
            assert_eq!(forwarded.ip, Some([192, 0, 2, 1].into()), "{junk:?}");
            assert_eq!((forwarded.host, forwarded.secure), (Some("example.com"), Some(true)));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_forwarded() {
        for element in [
            "for=unknown",
            "for=_hidden",
            "for=",
            "for",
            "=192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1;",
            "for=\"192.0.2.1",
            "for=192.0.2.1\"",
            "for=\"192.0.2.\\1\"",
            "for=192.0.2.1;proto=gopher",
            "for=192.0.2.1;host=\"a b\"",
            "for=192.0.2.1,",
            "",
        ] {
            let request = request(format!("Forwarded: {element}\r\n"));
            assert_eq!(rfc7239(&request, 1).map(|it| it.ip), Err(400), "{element}");
            assert_eq!(rfc7239(&request, 0).map(|it| it.ip), Ok(None));
        }
    }
}
