//! H: what the application may answer.

use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::handshake::UsageError;
use sansws::handshake::server::{Accept, AcceptError, Handshake, Reject};

use crate::handshake::support::*;

fn accept(accept: &Accept<'_>) -> Result<Answer, AcceptError> {
    let mut tx = SendBuffer::new();
    let result = request(GOLDEN_REQUEST).accept(accept, &Config::new(), &mut tx);
    if let Err(AcceptError::Usage(_)) = &result {
        assert!(tx.is_empty());
    }
    result.map(|_| Answer::parse(&sent(&mut tx)))
}

fn reject_for(head: &str, reject: &Reject<'_>) -> Result<Answer, UsageError> {
    let mut tx = SendBuffer::new();
    let result = request(head).reject(reject, &mut tx);
    if result.is_err() {
        assert!(tx.is_empty());
    }
    result.map(|()| Answer::parse(&sent(&mut tx)))
}

fn reject(reject: &Reject<'_>) -> Result<Answer, UsageError> {
    reject_for("GET / HTTP/1.1\r\nHost: h\r\n\r\n", reject)
}

/// H-22, H-24
#[test]
fn h_22_subprotocol() {
    let choose = |name| accept(&Accept::new().subprotocol(name));
    for name in ["chat", "superchat"] {
        assert_eq!(choose(name).unwrap().header("sec-websocket-protocol"), Some(name));
    }
    for name in ["foo", "Chat", "cha"] {
        let error = UsageError::UnofferedSubprotocol(name.into());
        assert_eq!(choose(name).unwrap_err(), AcceptError::Usage(error));
    }
    for name in ["", "a b", "chat\r\nX: y", "chat, superchat"] {
        let error = UsageError::InvalidSubprotocol(name.into());
        assert_eq!(choose(name).unwrap_err(), AcceptError::Usage(error));
    }
    assert_eq!(accept(&Accept::default()).unwrap().header("sec-websocket-protocol"), None);
}

#[test]
fn accept_adds_headers() {
    let headers = &[("Set-Cookie", "a=1"), ("Server", "caf\u{e9}")];
    let answer = accept(&Accept::new().headers(headers)).unwrap();
    assert_eq!(answer.header("set-cookie"), Some("a=1"));
    assert_eq!(answer.header("server"), Some("caf\u{e9}"));
    assert_eq!(answer.header("content-length"), None);
    assert!(answer.body.is_empty());
}

/// P-26
#[test]
fn p_26_header_injection() {
    for (name, value) in
        [("X", "a\r\nY: b"), ("X", "a\n"), ("X", "\0"), ("X\r\nY", "a"), ("", "a"), ("X:", "a")]
    {
        let headers = &[(name, value)];
        let error = accept(&Accept::new().headers(headers)).unwrap_err();
        assert!(matches!(error, AcceptError::Usage(_)));
        let error = reject(&Reject::new(403).headers(headers)).unwrap_err();
        assert!(matches!(
            error,
            UsageError::InvalidHeaderName(_) | UsageError::InvalidHeaderValue(_)
        ));
    }
}

/// H-33
#[test]
fn h_33_headers_of_the_library() {
    for name in [
        "Upgrade",
        "CONNECTION",
        "Sec-WebSocket-Accept",
        "sec-websocket-extensions",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Anything",
        "Content-Length",
        "transfer-encoding",
    ] {
        let headers = &[(name, "x")];
        let error = accept(&Accept::new().headers(headers)).unwrap_err();
        assert_eq!(error, AcceptError::Usage(UsageError::ReservedHeader(name.into())));
    }
    for name in ["Connection", "content-length", "Transfer-Encoding"] {
        let headers = &[(name, "x")];
        let error = reject(&Reject::new(403).headers(headers)).unwrap_err();
        assert_eq!(error, UsageError::ReservedHeader(name.into()));
    }
}

/// The application's mistake comes first: nothing is written, even if the request is wrong too.
#[test]
fn usage_before_peer() {
    let mut tx = SendBuffer::new();
    let request = request(request_without("Sec-WebSocket-K", &[]));
    let accept = Accept::new().subprotocol("chat");
    let error = request.accept(&accept, &Config::new(), &mut tx).unwrap_err();
    assert_eq!(error, AcceptError::Usage(UsageError::UnofferedSubprotocol("chat".into())));
    assert!(tx.is_empty());
}

/// H-18, H-20, H-21: any status, headers and body.
#[test]
fn h_21_rejections() {
    for (status, reason) in [(403, "Forbidden"), (404, "Not Found"), (503, "Service Unavailable")] {
        let answer = reject(&Reject::new(status)).unwrap();
        assert_eq!(
            answer.head,
            format!("HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Length: 0")
        );
    }
    assert_eq!(reject(&Reject::new(403)).unwrap().status, 403);
    let headers = &[("WWW-Authenticate", "Basic realm=\"x\""), ("X", "1")];
    let body = b"who are you?";
    let answer = reject_for(GOLDEN_REQUEST, &Reject::new(401).headers(headers).body(body)).unwrap();
    assert_eq!(
        answer.head,
        "HTTP/1.1 401 Unauthorized\r\n\
         Connection: close\r\n\
         WWW-Authenticate: Basic realm=\"x\"\r\n\
         X: 1\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 12"
    );
    assert_eq!(answer.body, "who are you?");
    let headers = &[("Location", "wss://other/")];
    let answer = reject(&Reject::new(302).headers(headers)).unwrap();
    assert_eq!(answer.header("location"), Some("wss://other/"));
}

#[test]
fn h_41_pages() {
    let headers = &[("Content-Type", "text/html")];
    let page = Reject::new(200).headers(headers).body(b"<h1>Hello</h1>");
    let answer = reject(&page).unwrap();
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.header("content-length"), Some("14"));
    assert_eq!(answer.body, "<h1>Hello</h1>");
    let mut tx = SendBuffer::new();
    request("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").reject(&page, &mut tx).unwrap();
    let text = sent(&mut tx);
    assert!(text.contains("Content-Length: 14\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    // H-2: nor has the refusal of such a handshake a body
    let head = GOLDEN_REQUEST.replace("GET", "HEAD");
    request(head).accept(&Accept::default(), &Config::new(), &mut tx).unwrap_err();
    let text = sent(&mut tx);
    assert!(text.starts_with("HTTP/1.1 405 ") && text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn statuses_without_a_body() {
    for status in [204, 304] {
        let answer = reject(&Reject::new(status).body(b"x")).unwrap();
        assert_eq!((answer.header("content-length"), &*answer.body), (None, ""));
    }
    let answer = reject(&Reject::new(205).body(b"x")).unwrap();
    assert_eq!((answer.header("content-length"), &*answer.body), (Some("0"), ""));
}

#[test]
fn statuses_that_cannot_be_sent() {
    for status in [0, 99, 100, 101, 103, 199, 600, 999, u16::MAX] {
        let error = reject(&Reject::new(status)).unwrap_err();
        assert_eq!(error, UsageError::InvalidStatus(status));
    }
    for status in [200, 299, 418, 599] {
        assert_eq!(reject(&Reject::new(status)).unwrap().status, status);
    }
}

/// H-7: also when the application sends it.
#[test]
fn h_7_upgrade_required() {
    reject(&Reject::new(426)).unwrap();
    let headers = &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    reject(&Reject::new(426).headers(headers)).unwrap();
}

#[test]
fn texts() {
    let error = accept(&Accept::new().subprotocol("foo")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "subprotocol \"foo\" was not offered by the client; choose one of \
         Request::subprotocols() or none (RFC 6455 §4.2.2)"
    );
    assert_eq!(
        reject(&Reject::new(101)).unwrap_err().to_string(),
        "a request cannot be rejected with status 101; use 200 to 599, or Request::accept for 101 \
         (RFC 9110 §15)"
    );
}

/// Without a request: the server is full, or what it meant to answer could not be sent.
#[test]
fn rejected_handshakes() {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut handshake = Handshake::new(&Config::new());
    let reject = Reject::new(503).header("Retry-After", "1");
    handshake.reject(&reject, &mut tx).unwrap();
    let answer = Answer::parse(&sent(&mut tx));
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(handshake.poll_timeout(), None);
    rx.extend_from_slice(GOLDEN_REQUEST.as_bytes());
    assert!(handshake.read_request(&mut rx, &mut tx).unwrap().is_none());

    let mut handshake = Handshake::new(&Config::new());
    let request = handshake.read_request(&mut rx, &mut tx).unwrap().unwrap();
    let accept = Accept::new().subprotocol("foo");
    request.accept(&accept, &Config::new(), &mut tx).unwrap_err();
    let reject = Reject::new(500);
    handshake.reject(&reject, &mut tx).unwrap();
    assert_eq!(Answer::parse(&sent(&mut tx)).status, 500);

    // one answer is enough
    let mut handshake = Handshake::new(&Config::new());
    rx.extend_from_slice(b"\x16");
    handshake.read_request(&mut rx, &mut tx).unwrap_err();
    assert_eq!(Answer::parse(&sent(&mut tx)).status, 400);
    handshake.reject(&reject, &mut tx).unwrap();
    assert!(tx.is_empty());
    let wrong = Reject::new(101);
    assert_eq!(handshake.reject(&wrong, &mut tx), Err(UsageError::InvalidStatus(101)));
}
