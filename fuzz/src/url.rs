use sansws::Config;
use sansws::buf::SendBuffer;
use sansws::bytes::Buf;
use sansws::handshake::client::{Handshake, Request};

use super::second_opinion::PlainHead;

/// What a program is given for the URL of a server, and what else goes into the request.
///
/// Either an error, or one request that is what was asked for: nothing in the URL, a header, a
/// cookie or a subprotocol can end a line or begin another one.
///
/// An input is lines: the URL, then headers, a subprotocol and a cookie.
pub fn client_url(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    // CR LF may stand inside of a part, and must not come through
    let mut parts = text.split('\u{1e}');
    let url = parts.next().unwrap_or_default();
    let Ok(mut request) = Request::new(url) else { return };
    for part in [request.host(), request.target(), request.authority()] {
        assert!(part.bytes().all(|byte| byte.is_ascii_graphic()), "{part:?}");
        assert!(!part.contains('#'), "{part:?}");
    }
    assert!(request.target().starts_with('/'));
    assert_ne!(request.port(), 0);
    assert!(!request.host().is_empty() && !request.host().contains(['@', '/', '?', '[', ']', '%']));
    check_same(&request);

    let mut headers = Vec::new();
    for part in parts.by_ref().take(4) {
        let (name, value) = part.split_once(':').unwrap_or((part, "x"));
        request = request.header(name, value);
        headers.push((name.to_ascii_lowercase(), value.to_string()));
    }
    if let Some(subprotocol) = parts.next() {
        request = request.subprotocol(subprotocol);
    }
    if let Some(value) = parts.next() {
        request = request.cookie("name", value);
        let cookie = format!("name={value}");
        match headers.iter_mut().find(|(name, _)| name == "cookie") {
            Some((_, line)) if line.trim_ascii().is_empty() => *line = cookie,
            Some((_, line)) => *line = format!("{line}; {cookie}"),
            None => headers.push(("cookie".to_string(), cookie)),
        }
    }
    let (mut tx, config) = (SendBuffer::new(), Config::new());
    let started = Handshake::start(&request, [1; 16], &config, &mut tx);
    assert_eq!(started.is_ok(), request.check().is_ok());
    if started.is_err() {
        assert!(tx.is_empty(), "something was written for a request that cannot be");
        return;
    }
    let sent = tx.copy_to_bytes(tx.remaining());
    let Some(head) = PlainHead::read(&sent) else { panic!("no head: {sent:?}") };
    assert!(head.rest.is_empty(), "more than one head");
    let line = format!("GET {} HTTP/1.1", request.target());
    assert_eq!(head.start_line, line.as_bytes());
    assert_eq!(head.all("host"), [request.authority().as_bytes()]);
    for name in ["upgrade", "connection", "sec-websocket-key", "sec-websocket-version"] {
        assert_eq!(head.all(name).len(), 1, "{name}");
    }
    let cookies = headers.iter().filter(|(name, _)| name == "cookie").count();
    assert_eq!(head.all("cookie").len(), cookies);
    for (name, value) in headers {
        let value = value.trim_matches([' ', '\t']).as_bytes();
        assert!(head.all(&name).contains(&value), "{name:?} is missing");
    }
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
