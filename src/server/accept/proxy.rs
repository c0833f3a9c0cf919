//! The PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>): what a proxy of bytes says
//! about the client before the bytes of the client.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// The proxy speaks for itself, or does not know the address of the client.
    Unknown,
    /// It passes on a connection.
    Client {
        addr: SocketAddr,
        /// The client spoke TLS with the proxy, which says so.
        secure: bool,
    },
}

/// The reason why there is no header, as text for the log.
pub(crate) type ProxyError = &'static str;

/// Reads a header from a stream. Returns it and what came behind it.
///
/// Cancel safety: what was read is lost.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    mut arrived: impl FnMut(),
) -> Result<(Header, Vec<u8>), ProxyError> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; PIECE];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return Err("the connection ended before the header did"),
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
        }
        arrived();
        if let Some((header, len)) = parse(&bytes)? {
            bytes.drain(..len);
            return Ok((header, bytes));
        }
    }
}

/// Parses the header that bytes begin with: it and its length, or `None` if there is more to come.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    if starts_alike(bytes, SIGNATURE) {
        parse_v2(bytes)
    } else if starts_alike(bytes, PROXY) {
        parse_v1(bytes)
    } else {
        Err("the bytes are no header of the PROXY protocol")
    }
}

/// Returns whether one is the beginning of the other.
fn starts_alike(bytes: &[u8], start: &[u8]) -> bool {
    let len = bytes.len().min(start.len());
    bytes[..len] == start[..len]
}

/// §2.1: one line of text.
fn parse_v1(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    let seen = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = seen.windows(2).position(|it| it == b"\r\n") else {
        return match bytes.len() < MAX_LINE {
            true => Ok(None),
            false => Err("the line of the header has no end within 107 bytes"),
        };
    };
    let malformed = "the line of the header is malformed";
    let line = str::from_utf8(&bytes[PROXY.len()..end]).map_err(|_| malformed)?;
    let mut words = line.split(' ');
    let header = match words.next() {
        // "the receiver must ignore anything presented before the CRLF"
        Some("UNKNOWN") => Header::Unknown,
        Some(family @ ("TCP4" | "TCP6")) => {
            let mut ip = || {
                let ip: IpAddr = words.next()?.parse().ok()?;
                (ip.is_ipv4() == (family == "TCP4")).then_some(ip)
            };
            let (source, _) = (ip().ok_or(malformed)?, ip().ok_or(malformed)?);
            let mut port = || parse_port(words.next()?);
            let (port, _) = (port().ok_or(malformed)?, port().ok_or(malformed)?);
            if words.next().is_some() {
                return Err(malformed);
            }
            Header::Client { addr: SocketAddr::new(source, port), secure: false }
        }
        _ => return Err(malformed),
    };
    Ok(Some((header, end + 2)))
}

/// "Leading zeroes are not permitted in order to avoid any possible confusion with octal numbers",
/// nor are signs.
fn parse_port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = text == "0" || !text.starts_with('0');
    (is_number && is_plain).then(|| text.parse().ok())?
}

/// §2.2: in binary.
fn parse_v2(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    let Some((&[command, family, high, low], _)) =
        bytes.get(SIGNATURE.len()..).and_then(<[u8]>::split_first_chunk)
    else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len > MAX_BINARY {
        return Err("the header has more than 2048 bytes");
    }
    // looked at before the rest has arrived: there may be none
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err("the header has another version or command"),
    };
    let addresses = match family {
        _ if is_local => 0,
        // "UNSPEC: [...] the receiver should ignore the address information"; a Unix socket is on
        // the proxy's own machine
        0x00 => 0,
        0x31 => 216,
        0x11 => 12,
        0x21 => 36,
        _ => return Err("the header is not about a stream"),
    };
    if len < addresses {
        return Err("the header is too short for its addresses");
    }
    let start = SIGNATURE.len() + 4;
    let Some(rest) = bytes.get(start..start + len) else { return Ok(None) };
    let secure = || has_tls(&rest[addresses..]);
    let header = match (is_local, rest) {
        (false, &[a, b, c, d, _, _, _, _, high, low, ..]) if family == 0x11 => {
            let port = u16::from_be_bytes([high, low]);
            let addr = SocketAddr::from((Ipv4Addr::new(a, b, c, d), port));
            Header::Client { addr, secure: secure()? }
        }
        (false, rest) if family == 0x21 => {
            let (ip, port) = (rest.first_chunk::<16>(), rest[32..].first_chunk::<2>());
            let short = "the header is too short for its addresses";
            let ip = Ipv6Addr::from(*ip.ok_or(short)?);
            let addr = SocketAddr::from((ip, u16::from_be_bytes(*port.ok_or(short)?)));
            Header::Client { addr, secure: secure()? }
        }
        _ => Header::Unknown,
    };
    Ok(Some((header, start + len)))
}

/// §2.2.7: looks for `PP2_TYPE_SSL` among the additional fields, and whether the client spoke TLS.
fn has_tls(mut fields: &[u8]) -> Result<bool, ProxyError> {
    let mut secure = false;
    while !fields.is_empty() {
        let malformed = "a field of the header is malformed";
        let (&[kind, high, low], rest) = fields.split_first_chunk().ok_or(malformed)?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(len).ok_or(malformed)?;
        if kind == PP2_TYPE_SSL {
            secure |= value.first().ok_or(malformed)? & PP2_CLIENT_SSL != 0;
        }
        fields = rest;
    }
    Ok(secure)
}

const PROXY: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const PP2_TYPE_SSL: u8 = 0x20;
const PP2_CLIENT_SSL: u8 = 0x01;

/// §2.1: "a 108-byte buffer is always enough to store all the line and a trailing zero".
const MAX_LINE: usize = 107;

/// Addresses take 216 bytes at the most, what is known of additional fields some hundred (the
/// names in a certificate of the client).
const MAX_BINARY: usize = 2048;

/// A header comes in one segment, and the request is often behind it.
const PIECE: usize = 1024;

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn client(addr: &str, secure: bool) -> Header {
        Header::Client { addr: addr.parse().unwrap(), secure }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, rest].concat()
    }

    /// Each of these, whatever comes behind it, and none of its beginnings.
    fn check(bytes: &[u8], expected: Header) {
        for behind in [&b""[..], b"GET / HTTP/1.1\r\n", b"\r\n"] {
            let all = [bytes, behind].concat();
            assert_eq!(parse(&all), Ok(Some((expected, bytes.len()))), "{all:?}");
        }
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len]), Ok(None), "{:?}", &bytes[..len]);
        }
    }

    const INET: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0, 80];

    #[test]
    fn headers_in_text() {
        for (line, expected) in [
            ("TCP4 192.0.2.1 198.51.100.2 4660 80", client("192.0.2.1:4660", false)),
            ("TCP4 0.0.0.0 255.255.255.255 0 65535", client("0.0.0.0:0", false)),
            ("TCP6 2001:db8::1 ::1 65535 1", client("[2001:db8::1]:65535", false)),
            ("UNKNOWN", Header::Unknown),
            ("UNKNOWN ffff::1 ffff::2 65535 65535", Header::Unknown),
        ] {
            check(format!("PROXY {line}\r\n").as_bytes(), expected);
        }
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        check(
            format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n").as_bytes(),
            Header::Unknown,
        );
    }

    #[test]
    fn headers_in_binary() {
        check(&v2(0x21, 0x11, &INET), client("192.0.2.1:4660", false));
        let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0x12, 0x34, 0, 80]];
        check(&v2(0x21, 0x21, &six.concat()), client("[2001:db8::1]:4660", false));
        for (command, family, rest) in [
            (0x20, 0x00, &b""[..]),
            (0x20, 0x11, &INET),
            (0x20, 0xff, b"anything"),
            (0x21, 0x00, b"\x03"),
            (0x21, 0x31, &[7; 216]),
        ] {
            check(&v2(command, family, rest), Header::Unknown);
        }
        // fields, with and without TLS
        for (fields, secure) in [
            (&b"\x04\0\x02xx"[..], false),
            (b"\x20\0\x05\x01\0\0\0\0", true),
            (b"\x20\0\x05\x02\0\0\0\0", false),
            (b"\x01\0\x02h2\x20\0\x05\x07\0\0\0\x01\x04\0\0", true),
        ] {
            check(&v2(0x21, 0x11, &[&INET, fields].concat()), client("192.0.2.1:4660", secure));
        }
    }

    #[test]
    fn what_is_no_header() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"proxy TCP4",
            b"PROXYTCP4",
            b"\x16\x03\x01",
            b"\r\n\r\n\0\r\nQUIT\r",
            b"PROXY \r\n",
            b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP4\t192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 \xff 192.0.2.2 1 2\r\n",
            &[b"PROXY UNKNOWN ", &[b'x'; 93][..]].concat(),
            &v2(0x11, 0x11, &INET),
            &v2(0x22, 0x11, &INET),
            &v2(0x21, 0x12, &INET),
            &v2(0x21, 0x41, &INET),
            &v2(0x21, 0x11, &INET[..11]),
            &v2(0x21, 0x21, &[0; 35]),
            &v2(0x21, 0x31, &[0; 215]),
            &v2(0x21, 0x00, &[0; MAX_BINARY + 1]),
            &v2(0x21, 0x11, &[&INET[..], b"\x20\0\0"].concat()),
            &v2(0x21, 0x11, &[&INET[..], b"\x20\0"].concat()),
            &v2(0x21, 0x11, &[&INET[..], b"\x20\0\x02x"].concat()),
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
        // one that ends later than it may
        assert_eq!(parse(&[b"PROXY UNKNOWN ", &[b'x'; 92][..]].concat()), Ok(None));
        let late = [b"PROXY UNKNOWN ", &[b'x'; 92][..], b"\r\n"].concat();
        assert!(parse(&late).is_err());
    }

    /// No bytes make it panic.
    #[test]
    fn any_bytes() {
        let mut seed = 1_u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        for round in 0..20_000 {
            let tail: Vec<u8> = (0..usize::from(next()) % 64).map(|_| next()).collect();
            let start = [SIGNATURE, &b"PROXY TCP4 "[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"];
            if let Ok(Some((_, len))) = parse(&[start[round % 3], &tail].concat()) {
                assert!(len <= start[round % 3].len() + tail.len());
            }
        }
    }
}
