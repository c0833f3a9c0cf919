use super::second_opinion::{is_plain_host, is_token, split_authority};
use sansws::Config;
use sansws::handshake::Origin;
use sansws::handshake::server::{Accept, Request};

/// What other HTTP stacks hand over, and origins: text in parts, which nothing has read before.
///
/// No part ends itself, and what is plainly right is taken. An origin is on its host and its port
/// alone.
///
/// An input is lines: the target of a request and an origin, a host, and headers.
pub fn request_parts(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (target, origin, host) = (line(), line(), line());
    check_origin(origin, host);

    let config = Config::new();
    // not trimmed: what stands in a part must not come through as the end of it
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let base = [
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Origin", origin),
    ];
    let parts = base.iter().chain(&headers).copied();
    let is_right = text.len() < 4000
        && headers.len() < 50
        && is_plain_host(host)
        && target.starts_with('/')
        && target.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._~/?&=".contains(&it))
        && base.iter().all(|it| it.1.bytes().all(|byte| byte.is_ascii_graphic()))
        && headers.iter().all(|(name, value)| {
            let matter = ["host", "upgrade", "connection", "content-length", "transfer-encoding"];
            let name = name.to_ascii_lowercase();
            is_token(name.as_bytes())
                && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
                && !matter.contains(&&*name)
                && !name.starts_with("sec-websocket-")
        });
    let request = match Request::from_parts("GET", target, parts.clone(), &config) {
        Ok(request) => request,
        Err(error) => {
            assert!(!is_right, "{error}");
            return;
        }
    };
    let read: Vec<_> = request.headers().collect();
    let given: Vec<_> =
        parts.map(|(name, value)| (name, value.trim_matches([' ', '\t']).as_bytes())).collect();
    assert_eq!(read, given, "another header came of one");
    for (name, value) in read {
        assert!(is_token(name.as_bytes()), "{name:?} is no token");
        assert!(!value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
    }
    assert_eq!(request.target(), target);
    assert!(request.path().starts_with('/'), "{:?}", request.path());
    assert!(!request.path().contains(['?', '#', ' ']));
    if let (Some(true), Some(origin)) = (request.is_same_origin(), request.origin()) {
        let Ok(origin) = origin.parse::<Origin>() else { panic!("{origin:?} is no origin") };
        assert!(origin.is_host(request.host()));
    }
    let checked = request.check();
    match request.upgrade(&Accept::default(), &config) {
        Ok(upgrade) => {
            assert_eq!(checked, Ok(()));
            for (name, value) in upgrade.headers() {
                assert!(!name.contains(['\r', '\n', ':']) && !value.contains(['\r', '\n']));
            }
        }
        Err(error) => assert!(checked.is_err() && !is_right, "{error}"),
    }
}

/// An origin is the same when it is written and read again, and on a host only if it is that one,
/// letter for letter but for their case, and the port is that one, too.
fn check_origin(text: &str, host: &str) {
    let Ok(origin) = text.parse::<Origin>() else {
        assert!(!is_plain_origin(text), "{text:?} is refused");
        return;
    };
    assert_eq!(origin.to_string().parse().as_ref(), Ok(&origin));
    assert!(origin.host().bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!origin.host().contains(['/', '@', '?', '#']));

    let Some((scheme, authority)) = text.split_once("://") else { panic!("{text:?}") };
    let scheme = scheme.to_ascii_lowercase();
    // RFC 6454 §4: without a port it is that of the scheme
    let default = match &*scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    };
    let place = |authority| {
        let (host, port) = split_authority(authority)?;
        let port = match port {
            None | Some("") => default,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse::<u16>().ok()?)
            }
            Some(_) => return None,
        };
        Some((host.to_ascii_lowercase(), port))
    };
    let of_origin = (origin.host().to_string(), origin.port());
    assert_eq!(origin.scheme(), scheme);
    assert_eq!(place(authority).as_ref(), Some(&of_origin), "{text:?}");
    let is_there = place(host) == Some(of_origin) && ["http", "https"].contains(&&*scheme);
    let is_plain = split_authority(host).is_some_and(|it| is_plain_host(it.0));
    if is_plain || !is_there {
        assert_eq!(origin.is_host(host), is_there, "{origin} and {host:?}");
    }
}

fn is_plain_origin(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(is_plain_host)
}
