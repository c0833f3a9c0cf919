use sansws::Config;
use sansws::buf::SendBuffer;
use sansws::bytes::Buf;
use sansws::handshake::client::{Handshake, Request};

use super::second_opinion::{PlainHead, base64, is_plain_host, is_token, split_authority};

/// What a program is given for the URL of a server, and what else goes into the request.
///
/// Either an error, or one request that is what was asked for: its parts are those of the text of
/// the URL, and nothing in the URL, a header, a cookie or a subprotocol can end a line or begin
/// another one. A URL that is plainly right is no error, nor is what the documentation allows
/// beside it.
///
/// An input is lines: the URL, then headers, a subprotocol and a cookie.
pub fn client_url(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    // CR LF may stand inside of a part, and must not come through
    let mut parts = text.split('\u{1e}');
    let url = parts.next().unwrap_or_default();
    let Ok(mut request) = Request::new(url) else {
        assert!(!is_plainly_right(url), "{url:?} is refused");
        return;
    };
    check_parts(url, &request);
    for part in [request.host(), request.target(), request.authority()] {
        assert!(part.bytes().all(|byte| byte.is_ascii_graphic()), "{part:?}");
        assert!(!part.contains('#'), "{part:?}");
    }
    assert!(request.target().starts_with('/'));
    assert_ne!(request.port(), 0);
    assert!(!request.host().is_empty() && !request.host().contains(['@', '/', '?', '[', ']', '%']));
    check_same(&request);

    let mut headers = Vec::new();
    let mut is_right = true;
    for part in parts.by_ref().take(4) {
        let (name, value) = part.split_once(':').unwrap_or((part, "x"));
        request = request.header(name, value);
        let name = name.to_ascii_lowercase();
        is_right &= is_token(name.as_bytes()) && is_value(value) && !is_ours(&name);
        headers.push((name, value.to_string()));
    }
    let subprotocol = parts.next();
    if let Some(subprotocol) = subprotocol {
        request = request.subprotocol(subprotocol);
        is_right &= is_token(subprotocol.as_bytes());
    }
    if let Some(value) = parts.next() {
        request = request.cookie("name", value);
        is_right &= is_value(value) && !value.contains(';');
        let cookie = format!("name={value}");
        match headers.iter_mut().find(|(name, _)| name == "cookie") {
            Some((_, line)) if line.trim_ascii().is_empty() => *line = cookie,
            Some((_, line)) => *line = format!("{line}; {cookie}"),
            None => headers.push(("cookie".to_string(), cookie)),
        }
    }
    let (mut tx, config) = (SendBuffer::new(), Config::new());
    let started = Handshake::start(&request, [1; 16], &config, &mut tx);
    assert_eq!((started.is_ok(), request.check().is_ok()), (is_right, is_right));
    if started.is_err() {
        assert!(tx.is_empty(), "something was written for a request that cannot be");
        return;
    }
    let sent = tx.copy_to_bytes(tx.remaining());
    let Some(head) = PlainHead::read(&sent) else { panic!("no head: {sent:?}") };
    assert!(head.rest.is_empty(), "more than one head");
    let line = format!("GET {} HTTP/1.1", request.target());
    assert_eq!(head.start_line, line.as_bytes());
    let mut expected = vec![
        ("host".to_string(), request.authority().to_string()),
        ("upgrade".to_string(), "websocket".to_string()),
        ("connection".to_string(), "Upgrade".to_string()),
        ("sec-websocket-key".to_string(), base64(&[1; 16])),
        ("sec-websocket-version".to_string(), "13".to_string()),
    ];
    expected.extend(subprotocol.map(|it| ("sec-websocket-protocol".to_string(), it.to_string())));
    expected.extend(headers.into_iter().map(|(name, value)| {
        let value = value.trim_matches([' ', '\t']).to_string();
        (name, value)
    }));
    let mut fields: Vec<_> =
        head.fields.iter().map(|(name, it)| (name.as_bytes(), &it[..])).collect();
    let mut expected: Vec<_> =
        expected.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    // not sorted by their values: lines of one name keep their order
    fields.sort_by_key(|it| it.0);
    expected.sort_by_key(|it| it.0);
    assert_eq!(fields, expected);
}

/// The text of a URL, taken apart once more.
struct Plain<'a> {
    scheme: String,
    /// As written, with the brackets of an IPv6 address.
    host: &'a str,
    port: Option<&'a str>,
    /// All behind the authority.
    rest: &'a str,
}

impl<'a> Plain<'a> {
    /// `None` without a scheme, or with something else than a port behind brackets.
    fn read(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?']).next()?;
        let (host, port) = split_authority(authority)?;
        Some(Self {
            scheme: scheme.to_ascii_lowercase(),
            host,
            port,
            rest: &rest[authority.len()..],
        })
    }

    /// RFC 6455 §3: 80 and 443, where there is none.
    fn port(&self) -> Option<u16> {
        match self.port {
            None | Some("") => Some(self.default_port()),
            // `parse` alone would take a sign
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            Some(_) => None,
        }
    }

    fn default_port(&self) -> u16 {
        if self.scheme == "wss" { 443 } else { 80 }
    }
}

/// The parts of a URL that was taken are those of its text.
fn check_parts(url: &str, request: &Request) {
    assert!(url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains('#'), "{url:?}");
    let Some(plain) = Plain::read(url) else { panic!("{url:?} is no URL") };
    assert_eq!(plain.scheme, if request.is_secure() { "wss" } else { "ws" });
    // an address in brackets is shown without them
    assert_eq!(plain.host.replace(['[', ']'], ""), request.host());
    assert_eq!(plain.port(), Some(request.port()));
    // RFC 6455 §4.1: the port is there "when not using the default port"
    let authority = match request.port() == plain.default_port() {
        true => plain.host.to_string(),
        false => format!("{}:{}", plain.host, request.port()),
    };
    assert_eq!(authority, request.authority());
    // RFC 6455 §3: "/" where the path is empty
    let slash = if plain.rest.starts_with('/') { "" } else { "/" };
    assert_eq!(format!("{slash}{}", plain.rest), request.target());
    assert!(is_target(plain.rest), "{url:?} has a % that stands for nothing");
}

/// A URL that nobody could refuse: a name or an address as people write them, a port that there is,
/// and a target that RFC 3986 §3.3 and §3.4 allow.
fn is_plainly_right(url: &str) -> bool {
    let Some(plain) = Plain::read(url) else { return false };
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte);
    ["ws", "wss"].contains(&&*plain.scheme)
        && is_plain_host(plain.host)
        && plain.port().is_some_and(|port| port != 0)
        && plain.rest.bytes().all(is_allowed)
        && is_target(plain.rest)
}

/// RFC 3986 §2.1: two hexadecimal digits behind each `%`.
fn is_target(text: &str) -> bool {
    let is_encoded = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    text.split('%').skip(1).all(is_encoded)
}

/// RFC 9110 §5.5, with what is above ASCII.
fn is_value(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7F)
}

/// Headers that the documentation of `Request::header` keeps for the library; in lower case.
fn is_ours(name: &str) -> bool {
    ["host", "upgrade", "connection", "content-length", "transfer-encoding"].contains(&name)
        || name.starts_with("sec-websocket-")
}

/// What a URL was understood as, written as one, is understood as the same.
fn check_same(request: &Request) {
    let scheme = if request.is_secure() { "wss" } else { "ws" };
    let url = format!("{scheme}://{}{}", request.authority(), request.target());
    let Ok(again) = Request::new(&url) else { panic!("{url:?} is no URL") };
    assert_eq!(
        (again.host(), again.port(), again.authority(), again.target(), again.is_secure()),
        (
            request.host(),
            request.port(),
            request.authority(),
            request.target(),
            request.is_secure()
        )
    );
}
