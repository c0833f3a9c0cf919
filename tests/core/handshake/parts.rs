//! Requests and responses as data, for HTTP stacks that read and write themselves.

use sansws::Config;
use sansws::buf::SendBuffer;
use sansws::handshake::server::{Accept, AcceptError, Reject, Request};
use sansws::handshake::{HandshakeError, UsageError};
use sansws::proto::Role;

use crate::handshake::support::*;

/// What a stack makes of a head.
fn parts(head: &str) -> (&str, &str, Vec<(&str, &str)>) {
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().splitn(3, ' ');
    let headers = lines.take_while(|line| !line.is_empty());
    let headers = headers.map(|line| line.split_once(':').unwrap());
    (
        first.next().unwrap(),
        first.next().unwrap(),
        headers.map(|(name, value)| (name, value.trim())).collect(),
    )
}

fn from_parts(head: &str) -> Result<Request, HandshakeError> {
    let (method, target, headers) = parts(head);
    Request::from_parts(method, target, headers, &Config::new())
}

/// H-32, H-22: the request and the response are those of the example, by either way.
#[test]
fn the_same_as_in_bytes() {
    let accept = Accept::new().subprotocol("chat").header("Server", "caf\u{e9}");
    let config = Config::new();
    let request = from_parts(GOLDEN_REQUEST).unwrap();
    assert_eq!(format!("{request:?}"), format!("{:?}", self::request(GOLDEN_REQUEST)));
    let upgrade = request.upgrade(&accept, &config).unwrap();
    let mut tx = SendBuffer::new();
    self::request(GOLDEN_REQUEST).accept(&accept, &config, &mut tx).unwrap();
    let lines: Vec<_> = upgrade.headers().map(|(name, it)| format!("{name}: {it}\r\n")).collect();
    let written = format!("HTTP/1.1 101 Switching Protocols\r\n{}\r\n", lines.concat());
    assert_eq!(sent(&mut tx), written);
    assert_eq!(upgrade.subprotocol(), Some("chat"));
    assert_eq!(upgrade.into_connection().role(), Role::Server);
}

/// H-1: every request that is wrong is wrong in the same way.
#[test]
fn the_same_rules_hold() {
    let config = Config::new();
    let heads = [
        request_of(&[]),
        GOLDEN_REQUEST.replace("GET", "POST"),
        GOLDEN_REQUEST.replace("GET", "get"),
        GOLDEN_REQUEST.replace("/chat", "chat"),
        GOLDEN_REQUEST.replace("/chat", "/chat#top"),
        GOLDEN_REQUEST.replace("/chat", "/\u{e9}"),
        GOLDEN_REQUEST.replace("/chat", &format!("/{}", "x".repeat(9000))),
        request_without("Host", &[]),
        request_with(&["Host: other"]),
        request_without("Upgrade", &[]),
        request_without("Connection", &["Connection: close"]),
        request_without("Sec-WebSocket-Key", &["Sec-WebSocket-Key: short"]),
        request_without("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 8"]),
        request_with(&["Content-Length: 1"]),
        request_with(&["Content-Length: 1", "Transfer-Encoding: chunked"]),
        request_with(&["Sec-WebSocket-Extensions: ;"]),
        request_with(&[&format!("X: {}", "x".repeat(17_000))]),
        request_with(&["X: x"; 100]),
        request_with(&["X: \u{1}"]),
    ];
    for head in heads {
        let expected = answer(&head).0.unwrap_err();
        let found = match from_parts(&head) {
            Ok(request) => match request.upgrade(&Accept::default(), &config) {
                Err(AcceptError::Peer(error)) => error,
                other => panic!("{head}: {other:?}"),
            },
            Err(error) => error,
        };
        assert_eq!(found, expected, "{head}");
    }
}

/// P-14, P-26: nothing in a part makes a header that was not there.
#[test]
fn no_part_ends_itself() {
    let with = |method: &str, target: &str, header: (&[u8], &[u8])| {
        let (_, _, headers) = parts(GOLDEN_REQUEST);
        let headers = headers.iter().map(|(name, it)| (name.as_bytes(), it.as_bytes()));
        Request::from_parts(method, target, headers.chain([header]), &Config::new())
    };
    let fine: (&[u8], &[u8]) = (b"X", b"caf\xc3\xa9 \t \xff");
    assert!(with("GET", "/", fine).is_ok());
    for method in ["", "G T", "GET /x HTTP/1.1\r\nX: y\r\n\r\nGET", "\r\nGET", "GET\n"] {
        assert_eq!(with(method, "/", fine).unwrap_err(), HandshakeError::MalformedStartLine);
    }
    for target in ["/ HTTP/1.1\r\nX: y\r\n\r\n", "/ x", "/\n", "/\t", "/\0"] {
        assert_eq!(with("GET", target, fine).unwrap_err(), HandshakeError::InvalidTarget);
    }
    for header in [
        (&b""[..], &b"x"[..]),
        (b"X Y", b"x"),
        (b"X:", b"x"),
        (b"X\r\nY", b"x"),
        (b"X", b"x\r\nY: y"),
        (b"X", b"x\n"),
        (b"X", b"x\r"),
        (b"X", b"\r\n y"),
        (b"X", b"x\r\n\r\nmore"),
        (b"X", b"\0"),
    ] {
        assert_eq!(with("GET", "/", header).unwrap_err(), HandshakeError::MalformedHeader);
    }
}

/// What cannot be sent is an error here as well.
#[test]
fn usage_errors_are_the_same() {
    let upgrade = |accept: &Accept<'_>| {
        from_parts(GOLDEN_REQUEST).unwrap().upgrade(accept, &Config::new()).map(drop)
    };
    let unoffered = UsageError::UnofferedSubprotocol("foo".into());
    let accept = Accept::new().subprotocol("foo");
    assert_eq!(upgrade(&accept), Err(AcceptError::Usage(unoffered)));
    let accept = Accept::new().header("X", "a\r\nY: b");
    assert!(matches!(upgrade(&accept), Err(AcceptError::Usage(UsageError::InvalidHeaderValue(_)))));
}

/// H-2, H-7, H-14: the headers of an answer as data are those of the answer in bytes.
#[test]
fn headers_of_errors() {
    for head in [
        GOLDEN_REQUEST.replace("GET", "POST"),
        request_without("Upgrade", &[]),
        request_without("Sec-WebSocket-Version", &[]),
        request_without("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 8"]),
        request_without("Connection", &[]),
        request_without("Host", &[]),
    ] {
        let (result, answer) = answer(&head);
        for (name, value) in result.unwrap_err().headers() {
            let written = answer.header(name).unwrap();
            assert!(written == *value || written == format!("close, {value}"), "{head}: {name}");
        }
        let known = ["Allow", "Upgrade", "Sec-WebSocket-Version"];
        let written = known.iter().filter(|name| answer.header(name).is_some()).count();
        let (result, _) = self::answer(&head);
        let error = result.unwrap_err();
        let listed = error.headers().iter().filter(|(name, _)| known.contains(name)).count();
        assert_eq!(written, listed, "{head}");
    }
}

/// A request from parts can be rejected in bytes too.
#[test]
fn rejection() {
    let mut tx = SendBuffer::new();
    let reject = Reject::new(404);
    from_parts(GOLDEN_REQUEST).unwrap().reject(&reject, &mut tx).unwrap();
    assert_eq!(Answer::parse(&sent(&mut tx)).status, 404);
}
