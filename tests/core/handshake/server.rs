//! H: which requests open a connection.

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::handshake::server::{Accept, Handshake, Request};
use sansws::handshake::{HandshakeError, accept_key};
use sansws::{Config, Event};

use crate::handshake::support::*;

fn error(head: impl AsRef<[u8]>) -> HandshakeError {
    answer(head).0.unwrap_err()
}

/// H-12, H-24, H-30, H-32, H-33, H-42
#[test]
fn h_32_golden() {
    let request = request(GOLDEN_REQUEST);
    assert_eq!(request.method(), "GET");
    assert_eq!(request.target(), "/chat");
    assert_eq!(request.path(), "/chat");
    assert_eq!(request.query(), None);
    assert_eq!(request.host(), "server.example.com");
    assert_eq!(request.origin(), Some("http://example.com"));
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    assert!(request.is_upgrade());
    assert_eq!(request.check(), Ok(()));
    let mut tx = SendBuffer::new();
    let accept = Accept::new().subprotocol("chat");
    request.accept(&accept, &Config::new(), &mut tx).unwrap();
    assert_eq!(sent(&mut tx), GOLDEN_RESPONSE);
}

/// H-1: whatever is wrong, there is an answer, and it says what.
#[test]
fn h_1_errors_are_answered() {
    for name in ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
        let (result, answer) = answer(request_without(name, &[]));
        let error = result.unwrap_err();
        assert!(matches!(answer.status, 400 | 426), "{name}: {}", answer.status);
        assert!(answer.body.contains(&error.to_string()), "{name}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(answer.header("content-length").is_some());
    }
}

#[test]
fn h_2_method() {
    for method in ["POST", "get", "PUT", "OPTIONS", "X", "GETT"] {
        let (result, answer) = answer(GOLDEN_REQUEST.replace("GET", method));
        assert_eq!(result, Err(HandshakeError::InvalidMethod), "{method}");
        assert_eq!(answer.header("allow"), Some("GET"));
        assert_eq!(answer.status, 405);
    }
}

#[test]
fn h_3_http_1_0() {
    assert_eq!(error("GET / HTTP/1.0\r\nHost: h\r\n\r\n"), HandshakeError::UnsupportedHttpVersion);
    assert_eq!(error("GET / HTTP/1.0\r\n\r\n"), HandshakeError::UnsupportedHttpVersion);
    let (result, answer) = answer(GOLDEN_REQUEST.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(result, Err(HandshakeError::UnsupportedHttpVersion));
    assert_eq!(answer.status, 505);
    assert!(answer.body.contains("proxy_http_version 1.1"), "{}", answer.body);
}

/// What load balancers ask, and proxies that were told nothing: it can have a page.
#[test]
fn pages_for_http_1_0() {
    let page = request("GET /health?x HTTP/1.0\r\n\r\n");
    assert_eq!((page.path(), page.query(), page.host()), ("/health", Some("x"), ""));
    assert!(page.is_http_1_0() && !page.is_upgrade());
    assert_eq!(page.check(), Err(HandshakeError::UnsupportedHttpVersion));
    assert_eq!(request("GET / HTTP/1.0\r\nHost: h\r\n\r\n").host(), "h");
    assert_eq!(error("GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n"), HandshakeError::InvalidHost);
    // an origin is the same as no host
    let origin = request("GET / HTTP/1.0\r\nOrigin: http://h\r\n\r\n");
    assert_eq!(origin.is_same_origin(), Some(false));
}

#[test]
fn h_4_other_versions() {
    for (version, expected) in [
        ("HTTP/1.2", 101),
        ("HTTP/1.9", 101),
        ("HTTP/2.0", 505),
        ("HTTP/3.0", 505),
        ("HTTP/0.9", 505),
        ("HTTP/1.10", 400),
        ("HTTP/1.", 400),
        ("HTTP/1", 400),
        ("HTTP/11", 400),
        ("http/1.1", 400),
        ("HTTP/1.x", 400),
        ("HTTPS/1.1", 400),
        ("WS/1.1", 400),
    ] {
        assert_eq!(status(GOLDEN_REQUEST.replace("HTTP/1.1", version)), expected, "{version}");
    }
    assert_eq!(status("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
}

#[test]
fn h_5_upgrade() {
    for value in ["WebSocket", "WEBSOCKET", "foo/1, websocket", "websocket, h2c", ",websocket"] {
        assert_eq!(status(request_without("Upgrade", &[&format!("Upgrade: {value}")])), 101);
    }
    assert_eq!(status(request_without("Upgrade", &["Upgrade: h2c", "Upgrade: websocket"])), 101);
    for value in ["", "h2c", "websockets", "web socket", "websocket/13", "\"websocket\""] {
        let head = request_without("Upgrade", &[&format!("Upgrade: {value}")]);
        assert_eq!(error(head), HandshakeError::NotAnUpgrade, "{value}");
    }
}

#[test]
fn h_6_connection() {
    for value in ["Upgrade", "upgrade", "keep-alive, Upgrade", "UPGRADE,close"] {
        assert_eq!(status(request_without("Connection", &[&format!("Connection: {value}")])), 101);
    }
    for value in ["", "keep-alive", "upgraded", "close", "up grade", "Upgrade;q=1"] {
        let head = request_without("Connection", &[&format!("Connection: {value}")]);
        assert_eq!(error(head), HandshakeError::ConnectionNotUpgrade, "{value}");
    }
    assert_eq!(status(request_without("Connection", &[])), 426);
}

/// H-8, H-9, H-10
#[test]
fn h_10_key() {
    let with =
        |key: &str| request_without("Sec-WebSocket-K", &[&format!("Sec-WebSocket-Key: {key}")]);
    assert_eq!(error(request_without("Sec-WebSocket-K", &[])), HandshakeError::MissingKey);
    assert_eq!(error(request_with(&[NEEDED[3]])), HandshakeError::RepeatedKey);
    for key in [
        "",
        "AAAA",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "dGhlIHNhbXBsZSBub25jZTEyMw==",
        "dGhl HNhbXBsZSBub25jZQ==",
        "dGhl-HNhbXBsZSBub25j_Q==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        "\"dGhlIHNhbXBsZSBub25jZQ==\"",
    ] {
        assert_eq!(error(with(key)), HandshakeError::InvalidKey, "{key}");
    }
}

#[test]
fn h_11_key_with_trailing_bits() {
    let key = "AQIDBAUGBwgJCgsMDQ4PEC==";
    let head = request_without("Sec-WebSocket-K", &[&format!("Sec-WebSocket-Key:  {key} ")]);
    let (result, answer) = answer(head);
    assert_eq!(result, Ok(()));
    let expected = accept_key(key);
    assert_eq!(answer.header("sec-websocket-accept").map(str::as_bytes), Some(&expected[..]));
}

/// H-13, H-14, H-15, H-16
#[test]
fn h_13_version() {
    let with = |lines: &[&str]| answer(request_without("Sec-WebSocket-V", lines));
    for value in ["12", "14", "8", "0", "013", "13.0", "+13", "13, 8", "13,13", "", "x"] {
        let (result, answer) = with(&[&format!("Sec-WebSocket-Version: {value}")]);
        assert_eq!(result, Err(HandshakeError::UnsupportedVersion), "{value}");
        assert_eq!(answer.status, 426);
    }
    let (result, answer) = with(&[]);
    assert_eq!(result, Err(HandshakeError::MissingVersion));
    assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    let (result, answer) = with(&[NEEDED[4], NEEDED[4]]);
    assert_eq!(result, Err(HandshakeError::RepeatedVersion));
    assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    assert_eq!(answer.status, 400);
}

#[test]
fn h_17_no_origin() {
    let head = request_with(&[]);
    assert_eq!(request(&head).origin(), None);
    assert_eq!(request(&head).is_same_origin(), None);
    assert_eq!(status(head), 101);
}

/// H-18, H-19
#[test]
fn h_18_same_origin() {
    let same = |host: &str, origins: &[&str]| {
        let host = format!("Host: {host}");
        let origins: Vec<_> = origins.iter().map(|it| format!("Origin: {it}")).collect();
        let mut lines: Vec<&str> = origins.iter().map(String::as_str).collect();
        lines.push(&host);
        request(request_without("Host", &lines)).is_same_origin()
    };
    for origin in ["http://example.com", "https://EXAMPLE.com:443", "https://example.com"] {
        assert_eq!(same("example.com", &[origin]), Some(true), "{origin}");
    }
    assert_eq!(same("example.com:8080", &["http://example.com:8080"]), Some(true));
    for origin in [
        "http://evil.example",
        "null",
        "",
        "http://example.com.evil.com",
        "http://evil.com/http://example.com",
        "http://example.com@evil.com",
        "http://example.com:8080",
        "example.com",
    ] {
        assert_eq!(same("example.com", &[origin]), Some(false), "{origin}");
    }
    assert_eq!(same("example.com", &["http://example.com", "http://example.com"]), Some(false));
    // the target's host counts, not that in `Host`
    let head = GOLDEN_REQUEST.replace("/chat", "http://example.com/chat");
    assert_eq!(request(head).is_same_origin(), Some(true));
    let mut head = GOLDEN_REQUEST.as_bytes().to_vec();
    let at = GOLDEN_REQUEST.find("http:").unwrap();
    head[at] = 0xff;
    assert_eq!(request(head).is_same_origin(), Some(false));
}

/// H-23, H-25
#[test]
fn h_23_subprotocols() {
    let with = |value: &str| request_with(&[&format!("Sec-WebSocket-Protocol: {value}")]);
    for value in ["", " ", ",", ", ,"] {
        assert_eq!(status(with(value)), 101, "nothing is offered: {value:?}");
        assert_eq!(request(with(value)).subprotocols().next(), None);
    }
    let lines =
        ["Sec-WebSocket-Protocol:", "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: ,"];
    assert_eq!(request(request_with(&lines)).subprotocols().collect::<Vec<_>>(), ["a"]);
    assert_eq!(status(request_with(&lines)), 101);
    for value in ["chat", "chat,,superchat", "a,b ,\tc", "v1.example.com", "a, A", "__proto__"] {
        assert_eq!(status(with(value)), 101, "{value}");
    }
    for value in [",;", "a b", "a, a", "a;b", "a/b", "\"a\"", "\u{e9}", "a,b,a", "a=b"] {
        assert_eq!(error(with(value)), HandshakeError::InvalidSubprotocols, "{value}");
    }
    let lines = ["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a"];
    assert_eq!(error(request_with(&lines)), HandshakeError::InvalidSubprotocols);
    // long lists take no longer per element
    let names: Vec<_> = (0..2000).map(|n| format!("p{n}")).collect();
    assert_eq!(status(with(&names.join(","))), 101);
}

/// H-26, H-27
#[test]
fn h_26_malformed_extensions() {
    let with = |value: &str| request_with(&[&format!("Sec-WebSocket-Extensions: {value}")]);
    for value in [
        "permessage-deflate; =1",
        ";",
        ",;",
        "a=\"b",
        "a; b=c d",
        "x; y=\"a b\"",
        "permessage-deflate;;",
    ] {
        assert_eq!(error(with(value)), HandshakeError::InvalidExtensions, "{value}");
    }
    for value in ["", " ", ",", ", ,"] {
        assert_eq!(status(with(value)), 101, "nothing is offered: {value:?}");
        assert_eq!(request(with(value)).extensions().next(), None);
    }
    let lines = ["Sec-WebSocket-Extensions:", "Sec-WebSocket-Extensions: a"];
    assert_eq!(request(request_with(&lines)).extensions().count(), 1);
    assert_eq!(status(request_with(&lines)), 101);
    for value in ["permessage-deflate; client_max_window_bits", "x; y=\"1\\0\"", "foo, bar; baz=2"]
    {
        assert_eq!(status(with(value)), 101, "{value}");
    }
}

/// H-28, H-29
#[test]
fn h_28_no_extension_is_chosen() {
    let line = "Sec-WebSocket-Extensions: foo, bar; baz=2, Permessage-Deflate";
    let request = request(request_with(&[line]));
    let names: Vec<_> = request.extensions().map(|it| it.unwrap().name().to_owned()).collect();
    assert_eq!(names, ["foo", "bar", "Permessage-Deflate"]);
    let (_, answer) = answer(request_with(&[line]));
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-extensions"), None);
}

/// H-34: 100 goes before 101.
#[test]
fn h_34_expect_continue() {
    for value in ["100-continue", "100-Continue"] {
        let mut tx = SendBuffer::new();
        let request = request(request_with(&[&format!("Expect: {value}")]));
        request.accept(&Accept::default(), &Config::new(), &mut tx).unwrap();
        let text = sent(&mut tx);
        let rest = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        assert_eq!(Answer::parse(rest).status, 101);
    }
    // a refusal is final at once
    let head = request_without("Sec-WebSocket-K", &["Expect: 100-continue"]);
    assert_eq!(status(head), 400);
}

/// H-35: the bytes behind the head are the first frames, even if the answer comes much later.
#[test]
fn h_35_frames_behind_the_head() {
    let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    rx.extend_from_slice(GOLDEN_REQUEST.as_bytes());
    rx.extend_from_slice(&frame);
    let mut handshake = Handshake::new(&Config::new());
    let request = handshake.read_request(&mut rx, &mut tx).unwrap().unwrap();
    assert!(!rx.is_idle());
    assert!(handshake.read_request(&mut rx, &mut tx).unwrap().is_none());
    assert!(!rx.is_idle() && tx.is_empty());
    request.accept(&Accept::default(), &Config::new(), &mut tx).unwrap();
    assert!(!rx.is_idle());
}

/// H-36: a client that does not wait for the answer. Once the request is there, no more is taken
/// out of the buffer: whoever stops reading then holds what was read so far, and room for one more
/// read.
#[test]
fn h_36_nothing_is_taken_before_the_answer() {
    let frame = [&[0x82, 0xfe, 0x10, 0x00, 1, 2, 3, 4][..], &[0; 4096]].concat();
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    rx.extend_from_slice(GOLDEN_REQUEST.as_bytes());
    let mut handshake = Handshake::new(&Config::new());
    let request = handshake.read_request(&mut rx, &mut tx).unwrap().unwrap();
    assert!(rx.is_idle());
    for frames in 1..=10 {
        rx.extend_from_slice(&frame);
        assert!(handshake.read_request(&mut rx, &mut tx).unwrap().is_none());
        let received = GOLDEN_REQUEST.len() + frames * frame.len();
        assert!(rx.capacity() <= 2 * received + 16 * 1024, "{rx:?}");
    }
    assert!(tx.is_empty());
    let accepted = request.accept(&Accept::default(), &Config::new(), &mut tx);
    let mut connection = accepted.unwrap();
    for _ in 0..10 {
        let event = connection.poll_event(&mut rx, &mut tx).unwrap();
        assert!(matches!(event, Some(Event::Binary(binary)) if binary.len() == 4096));
    }
    assert!(rx.is_idle());
}

/// H-37, P-24: any cut gives the same.
#[test]
fn h_37_split_anywhere() {
    let head = String::from("\r\n") + GOLDEN_REQUEST;
    for at in 0..=head.len() {
        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        let mut handshake = Handshake::new(&Config::new());
        rx.extend_from_slice(&head.as_bytes()[..at]);
        let first = handshake.read_request(&mut rx, &mut tx).unwrap();
        assert_eq!(first.is_some(), at == head.len());
        rx.extend_from_slice(&head.as_bytes()[at..]);
        let request = first.or_else(|| handshake.read_request(&mut rx, &mut tx).unwrap()).unwrap();
        assert!(rx.is_idle());
        let accept = Accept::new().subprotocol("chat");
        request.accept(&accept, &Config::new(), &mut tx).unwrap();
        assert_eq!(sent(&mut tx), GOLDEN_RESPONSE);
    }
}

/// P-24: the longest head, a byte at a time.
#[test]
fn p_24_one_byte_at_a_time() {
    let padding = 16 * 1024 - request_with(&["X: "]).len();
    let head = request_with(&[&format!("X: {}", "a".repeat(padding))]);
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut handshake = Handshake::new(&Config::new());
    for (at, byte) in head.bytes().enumerate() {
        rx.extend_from_slice(&[byte]);
        let request = handshake.read_request(&mut rx, &mut tx).unwrap();
        assert_eq!(request.is_some(), at + 1 == head.len());
        assert!(rx.is_idle(), "bytes of the head are taken as they come");
    }
}

#[test]
fn h_38_other_headers() {
    let request = request(request_with(&["Cookie: a=1", "X-Unknown: y", "cookie: b=2"]));
    assert_eq!(request.header("COOKIE"), Some("a=1"));
    assert_eq!(request.header("missing"), None);
    let cookies: Vec<_> =
        request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).collect();
    assert_eq!(cookies, [("Cookie", &b"a=1"[..]), ("cookie", &b"b=2"[..])]);
    assert_eq!(request.headers().len(), NEEDED.len() + 3);
    // logs are no place for cookies
    let debug = format!("{request:?}");
    assert!(debug.contains("X-Unknown") && !debug.contains("a=1"), "{debug}");
}

#[test]
fn h_41_plain_get() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: curl\r\n\r\n";
    assert!(!request(head).is_upgrade());
    let (result, answer) = answer(head);
    assert_eq!(result, Err(HandshakeError::NotAnUpgrade));
    assert_eq!(answer.status, 426);
    assert!(answer.body.contains("This is a WebSocket endpoint. Open it with a WebSocket client"));
}

/// What nginx sends on without the lines that this answer names.
#[test]
fn proxy_that_removes_upgrade() {
    let advice = "the Upgrade header is missing although this is a WebSocket handshake: a reverse \
        proxy in front removed it; nginx needs `proxy_http_version 1.1`, \
        `proxy_set_header Upgrade $http_upgrade`, \
        `proxy_set_header Connection $connection_upgrade`";
    let lines = [NEEDED[0], "Connection: close", NEEDED[3], NEEDED[4]];
    let head = request_of(&lines);
    assert!(request(&head).is_upgrade());
    for (head, expected) in [(head.replace("1.1", "1.0"), 505), (head, 426)] {
        let (_, answer) = answer(head);
        assert_eq!(answer.status, expected);
        assert!(answer.body.contains(advice), "{}", answer.body);
    }
}

#[test]
fn is_upgrade_even_if_something_is_wrong() {
    assert!(request(request_without("Sec-WebSocket-K", &[])).is_upgrade());
    assert!(request(request_without("Connection", &[])).is_upgrade());
    assert!(request(GOLDEN_REQUEST.replace("GET", "POST")).is_upgrade());
    assert!(!request("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n").is_upgrade());
}

#[test]
fn errors_are_sticky() {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut handshake = Handshake::new(&Config::new());
    rx.extend_from_slice(b"\x16");
    let error = handshake.read_request(&mut rx, &mut tx).unwrap_err();
    let answer = sent(&mut tx);
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    rx.extend_from_slice(GOLDEN_REQUEST.as_bytes());
    assert_eq!(handshake.read_request(&mut rx, &mut tx).unwrap_err(), error);
    assert_eq!(handshake.receive_eof(), error);
    assert!(tx.is_empty());
}

/// It may wait for a database, on another thread.
#[test]
fn requests_are_owned() {
    fn check<T: Send + Sync + 'static>(_: &T) {}
    let request: Request = request(GOLDEN_REQUEST);
    check(&request);
    let path = std::thread::spawn(move || request.path().to_owned()).join().unwrap();
    assert_eq!(path, "/chat");
}

/// RFC 8441 §4: an extended CONNECT is one of HTTP/2, whatever a request of HTTP/1.1 is called.
#[test]
fn version_and_method() {
    let new = request(GOLDEN_REQUEST);
    let old = request(GOLDEN_REQUEST.replace("HTTP/1.1", "HTTP/1.0"));
    let tunnel = request(GOLDEN_REQUEST.replace("GET", "CONNECT"));
    assert_eq!([&new, &old, &tunnel].map(|it| it.is_http_1_0()), [false, true, false]);
    assert_eq!([new, old, tunnel].map(|it| it.is_extended_connect()), [false; 3]);
}
