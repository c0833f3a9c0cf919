use sansws::Config;
use sansws::handshake::Origin;
use sansws::handshake::server::{Accept, Request};

/// What other HTTP stacks hand over, and origins: text in parts, which nothing has read before.
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
    let Ok(request) = Request::from_parts("GET", target, parts, &config) else { return };
    assert_eq!(request.headers().count(), base.len() + headers.len(), "another header came of one");
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
        Err(error) => assert!(checked.is_err(), "{error}"),
    }
}

/// An origin is the same when it is written and read again, and on a host only if it is that one,
/// letter for letter but for their case.
fn check_origin(text: &str, host: &str) {
    let Ok(origin) = text.parse::<Origin>() else { return };
    assert_eq!(origin.to_string().parse().as_ref(), Ok(&origin));
    assert!(origin.host().bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!origin.host().contains(['/', '@', '?', '#']));
    if origin.is_host(host) {
        let without_port = match host.rsplit_once(':') {
            Some((it, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => it,
            _ => host,
        };
        let is_it = |it: &str| it.eq_ignore_ascii_case(origin.host());
        assert!(is_it(host) || is_it(without_port), "{origin} is not on {host:?}");
    }
}
