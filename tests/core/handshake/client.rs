//! C: what a client sends, and which responses open the connection.

use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::handshake::client::{Handshake, Request, Response, UrlError};
use sansws::handshake::{HandshakeError, UsageError};

use crate::handshake::support::*;

fn error(head: impl AsRef<[u8]>) -> HandshakeError {
    respond(head).unwrap_err()
}

/// The golden response with one piece of it replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOLDEN_RESPONSE.contains(from));
    GOLDEN_RESPONSE.replace(from, to)
}

/// The golden response with further lines.
fn and(lines: &str) -> String {
    with("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"))
}

fn head_for(url: &str) -> String {
    client(&Request::new(url).unwrap()).1
}

/// C-3, C-5, C-6, C-8
#[test]
fn c_5_golden_request() {
    let request = Request::new("ws://server.example.com/chat")
        .unwrap()
        .subprotocol("chat")
        .subprotocol("superchat")
        .origin("http://example.com");
    assert_eq!(
        client(&request).1,
        "GET /chat HTTP/1.1\r\n\
         Host: server.example.com\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\n\
         Origin: http://example.com\r\n\
         \r\n"
    );
    assert!(!head_for("ws://h").contains("Origin"));
    assert!(!head_for("ws://h").contains("Sec-WebSocket-Protocol"));
}

/// C-1, C-2, C-4
#[test]
fn c_1_urls() {
    for (url, target, host) in [
        ("ws://h?x", "/?x", "h"),
        ("WSS://H:443", "/", "H"),
        ("ws://h:443/a?b=c", "/a?b=c", "h:443"),
        ("ws://[::1]:9000", "/", "[::1]:9000"),
    ] {
        let head = head_for(url);
        assert!(head.starts_with(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n")), "{head}");
        assert!(head.is_ascii() && !head.contains('@'));
    }
    let request = Request::new("wss://[::1]/x").unwrap();
    assert_eq!((request.host(), request.port(), request.is_secure()), ("::1", 443, true));
    assert_eq!((request.authority(), request.target()), ("[::1]", "/x"));
    assert_eq!(Request::new("ws://h/a#b").unwrap_err(), UrlError::Fragment);
    assert_eq!(
        Request::new("ws://b\u{fc}cher.example").unwrap_err().to_string(),
        "host has characters outside ASCII; give it in punycode, such as xn--bcher-kva.example \
         (RFC 5890)"
    );
}

#[test]
fn c_4_user_information() {
    let basic = "\r\nAuthorization: Basic dTpw\r\n";
    assert_eq!(Request::new("ws://u:p@h").unwrap_err(), UrlError::Userinfo);
    let request = Request::new("ws://h").unwrap().basic_auth("u", "p");
    let (_, head) = client(&request);
    assert!(head.contains(basic) && head.contains("\r\nHost: h\r\n"), "{head}");
    let (_, head) = client(&request.clone().bearer_auth("x"));
    assert!(head.contains("\r\nAuthorization: Bearer x\r\n") && !head.contains("Basic"), "{head}");
    let debug = format!("{request:?}");
    assert!(!debug.contains("Bearer") && !debug.contains("dTpw"), "{debug}");
}

#[test]
fn c_6_key_depends_on_the_nonce() {
    let request = Request::new("ws://h").unwrap();
    let head = |nonce| {
        let mut tx = SendBuffer::new();
        Handshake::start(&request, nonce, &Config::new(), &mut tx).unwrap();
        sent(&mut tx)
    };
    assert_ne!(head([1; 16]), head([2; 16]));
    assert_eq!(head([1; 16]), head([1; 16]));
}

/// The fault of a request, which is found before a byte is written.
fn used(request: &Request) -> Result<(), UsageError> {
    let mut tx = SendBuffer::new();
    let result = Handshake::start(request, GOLDEN_NONCE, &Config::new(), &mut tx).map(drop);
    assert_eq!(result, request.check());
    assert_eq!(tx.is_empty(), result.is_err());
    result
}

#[test]
fn c_7_subprotocols() {
    let offer = |names: &[&str]| {
        let request = Request::new("ws://h").unwrap();
        used(&names.iter().fold(request, |request, name| request.subprotocol(name)))
    };
    assert_eq!(offer(&["chat", "Chat"]), Ok(()));
    let repeated = UsageError::RepeatedSubprotocol("chat".into());
    assert_eq!(offer(&["chat", "chat"]), Err(repeated));
    for name in ["", "a b", "a,b", "a\r\n", "\u{e9}", "\"a\"", "a\x7f"] {
        assert_eq!(offer(&[name]), Err(UsageError::InvalidSubprotocol(name.into())), "{name}");
    }
}

/// C-9, P-26
#[test]
fn c_9_headers() {
    let with = |name, value| used(&Request::new("ws://h").unwrap().header(name, value));
    for name in [
        "Host",
        "upgrade",
        "CONNECTION",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "sec-websocket-protocol",
        "Sec-WebSocket-Extensions",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        assert_eq!(with(name, "x"), Err(UsageError::ReservedHeader(name.into())));
    }
    assert_eq!(
        with("Host", "x").unwrap_err().to_string(),
        "header \"Host\" is written by the library; remove it (RFC 6455 §4)"
    );
    assert_eq!(with("X", "a\r\nY: b"), Err(UsageError::InvalidHeaderValue("X".into())));
    assert_eq!(with("X Y", "a"), Err(UsageError::InvalidHeaderName("X Y".into())));
    let request = Request::new("ws://h").unwrap();
    assert!(used(&request.clone().origin("a\r\n")).is_err());
    // the first fault stays, whatever follows it
    let faulty = request.clone().header("X Y", "a").header("X", "b").subprotocol("");
    assert_eq!(used(&faulty), Err(UsageError::InvalidHeaderName("X Y".into())));
    let request = request.header("Cookie", "a=1").header("Cookie", "b");
    let request = request.origin("http://a").origin("http://b");
    let (_, head) = client(&request);
    assert!(head.ends_with("\r\nCookie: a=1\r\nCookie: b\r\nOrigin: http://b\r\n\r\n"), "{head}");
}

/// C-10: the request is all that is sent, until the response is there and found to be valid; there
/// is no connection to send with before that.
#[test]
fn c_10_nothing_follows_the_request() {
    let request = Request::new("ws://h").unwrap();
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let config = Config::new();
    let mut handshake = Handshake::start(&request, GOLDEN_NONCE, &config, &mut tx).unwrap();
    let head = sent(&mut tx);
    assert!(head.ends_with("\r\n\r\n"));
    assert_eq!(head.matches("\r\n\r\n").count(), 1);
    let (response, _) = GOLDEN_RESPONSE.split_once("Sec-WebSocket-Protocol").unwrap();
    for byte in response.bytes() {
        rx.extend_from_slice(&[byte]);
        assert!(handshake.read_response(&mut rx).unwrap().is_none());
    }
    rx.extend_from_slice(b"\r\n");
    let response = handshake.read_response(&mut rx).unwrap();
    let Some(Response::Accepted(accepted)) = response else { panic!("{response:?}") };
    let mut connection = accepted.into_connection([0; 32]);
    assert!(tx.is_empty());
    connection.feed(&mut tx, "first").unwrap();
    assert!(!tx.is_empty());
}

#[test]
fn golden_response() {
    let accepted = accepted(GOLDEN_RESPONSE);
    assert_eq!(accepted.subprotocol(), Some("chat"));
    assert_eq!(accepted.header("UPGRADE"), Some("websocket"));
    assert_eq!(accepted.headers().len(), 4);
    accepted.into_connection([0; 32]);
}

#[test]
fn c_13_interim_responses() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let accepted = accepted(interim.to_owned() + GOLDEN_RESPONSE);
    assert_eq!(accepted.header("link"), None);
    assert!(respond(interim.repeat(4) + GOLDEN_RESPONSE).unwrap().is_some());
    let error = error(interim.repeat(4) + "HTTP/1.1 102 \r\n\r\n");
    assert_eq!(error, HandshakeError::TooManyInterimResponses);
    // HTTP/1.0 has no such responses; one that comes all the same is skipped as well (RFC 9110
    // §15.2)
    let old = "HTTP/1.0 103 Early Hints\r\n\r\n".to_owned();
    assert!(matches!(respond(old + GOLDEN_RESPONSE).unwrap(), Some(Response::Accepted(_))));
    let refused = respond(interim.to_owned() + "HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert!(matches!(refused, Some(Response::Refused(_))));
}

#[test]
fn c_14_upgrade() {
    for value in ["Websocket", "WEBSOCKET", " websocket\t"] {
        assert!(respond(with("Upgrade: websocket", &format!("Upgrade:{value}"))).is_ok());
    }
    for value in ["h2c", "", "websocket, h2c", "websocket/13"] {
        let head = with("Upgrade: websocket", &format!("Upgrade: {value}"));
        assert_eq!(error(head), HandshakeError::ResponseNotUpgrade);
    }
    assert_eq!(error(with("Upgrade: websocket\r\n", "")), HandshakeError::ResponseNotUpgrade);
    assert_eq!(error(and("Upgrade: websocket")), HandshakeError::ResponseNotUpgrade);
}

#[test]
fn c_15_connection() {
    for value in ["keep-alive, UPGRADE", "upgrade", "close\r\nConnection: upgrade"] {
        let head = with("Connection: Upgrade", &format!("Connection: {value}"));
        assert!(respond(head).is_ok());
    }
    for value in ["keep-alive", "upgraded", ""] {
        let head = with("Connection: Upgrade", &format!("Connection: {value}"));
        assert_eq!(error(head), HandshakeError::ConnectionNotUpgrade);
    }
    assert_eq!(error(with("Connection: Upgrade\r\n", "")), HandshakeError::ConnectionNotUpgrade);
}

/// C-16, C-17
#[test]
fn c_16_accept() {
    let proof = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    assert!(respond(with(proof, &format!("\t {proof} "))).is_ok());
    for wrong in ["S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo", "", "x"] {
        assert_eq!(error(with(proof, wrong)), HandshakeError::WrongAccept);
    }
    let line = format!("Sec-WebSocket-Accept: {proof}");
    assert_eq!(error(with(&format!("{line}\r\n"), "")), HandshakeError::MissingAccept);
    assert_eq!(error(and(&line)), HandshakeError::RepeatedAccept);
    assert_eq!(error(with(proof, &format!("{proof}, {proof}"))), HandshakeError::WrongAccept);
}

/// C-18, C-19, C-22
#[test]
fn c_18_extensions() {
    let one = |value: &str| error(and(&format!("Sec-WebSocket-Extensions: {value}")));
    for value in ["permessage-deflate", "foo", "foo\r\nSec-WebSocket-Extensions: bar"] {
        assert_eq!(one(value), HandshakeError::UnofferedExtension);
    }
    for value in ["permessage-deflate;;", ",;", ";", "a=b"] {
        assert_eq!(one(value), HandshakeError::InvalidExtensions);
    }
    for value in ["", " ", ",", ", ,", "\r\nSec-WebSocket-Extensions:"] {
        accepted(and(&format!("Sec-WebSocket-Extensions: {value}")));
    }
}

/// C-20, C-21
#[test]
fn c_20_subprotocol() {
    assert_eq!(error(with("l: chat", "l: superchat")), HandshakeError::UnofferedSubprotocol);
    assert_eq!(error(with("l: chat", "l: Chat")), HandshakeError::UnofferedSubprotocol);
    assert_eq!(error(with("l: chat", "l: , chat")), HandshakeError::InvalidSubprotocol);
    assert_eq!(error(with("l: chat", "l: chat, chat")), HandshakeError::InvalidSubprotocol);
    assert_eq!(error(and("Sec-WebSocket-Protocol: chat")), HandshakeError::InvalidSubprotocol);

    for empty in ["", " ", ",", ", ,"] {
        let line = format!("Sec-WebSocket-Protocol: {empty}");
        assert_eq!(accepted(with("Sec-WebSocket-Protocol: chat", &line)).subprotocol(), None);
        assert_eq!(accepted(and(&line)).subprotocol(), Some("chat"));
        let before = with("Sec-WebSocket-Protocol", &format!("{line}\r\nSec-WebSocket-Protocol"));
        assert_eq!(accepted(&before).subprotocol(), Some("chat"));
    }

    let none = with("Sec-WebSocket-Protocol: chat\r\n", "");
    assert_eq!(accepted(&none).subprotocol(), None);
    let none = with("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol:");
    let request = Request::new("ws://h").unwrap().subprotocol("chat");
    let (mut handshake, _) = client(&request.require_subprotocol());
    let mut rx = RecvBuffer::new();
    rx.extend_from_slice(none.as_bytes());
    let error = handshake.read_response(&mut rx).unwrap_err();
    assert_eq!(error, HandshakeError::MissingSubprotocol);

    let mut tx = SendBuffer::new();
    let request = Request::new("ws://h").unwrap().require_subprotocol();
    let error = Handshake::start(&request, [0; 16], &Config::new(), &mut tx).unwrap_err();
    assert_eq!(error, UsageError::NoSubprotocols);
    assert!(tx.is_empty());
}

#[test]
fn c_23_status_line() {
    let line = "HTTP/1.1 101 Switching Protocols";
    assert_eq!(error(with(line, "HTTP/1.0 101 OK")), HandshakeError::ResponseHttpVersion);
    for bad in [
        "HTTP/1.1 1010",
        "ICY 101 OK",
        "HTTP/1.2 101 OK",
        "HTTP/2 101",
        "http/1.1 101",
        "HTTP/1.1101",
        "HTTP/1.1 10",
        "HTTP/1.1  101",
        "HTTP/1.1 1O1",
        "HTTP/1.1 099 x",
        "HTTP/1.1 000",
        "",
        "HTTP/1.1 101 a\x01b",
    ] {
        assert_eq!(error(with(line, bad)), HandshakeError::MalformedStartLine, "{bad}");
    }
    // a plain connection to a TLS port
    assert_eq!(error(b"\x15\x03\x01\x00\x02\x02\x16"), HandshakeError::TlsAnswer);
}

#[test]
fn c_24_reason_phrase() {
    for reason in [" ", "", " Whatever This Is", " caf\u{e9}"] {
        let head = with(" Switching Protocols", reason);
        assert!(respond(head).unwrap().is_some(), "{reason:?}");
    }
}

#[test]
fn c_25_frames_behind_the_head() {
    let (mut handshake, _) = client(&Request::new("ws://h").unwrap().subprotocol("chat"));
    let mut rx = RecvBuffer::new();
    rx.extend_from_slice(GOLDEN_RESPONSE.as_bytes());
    rx.extend_from_slice(b"\x81\x05Hello\x88\x00");
    assert!(matches!(handshake.read_response(&mut rx), Ok(Some(Response::Accepted(_)))));
    assert!(!rx.is_idle());
    assert!(handshake.read_response(&mut rx).unwrap().is_none());
    assert!(handshake.receive_eof().unwrap().is_none());
    assert!(!rx.is_idle());
}

#[test]
fn c_26_body_headers_on_101() {
    for line in ["Content-Length: 0", "Content-Length: 5", "Transfer-Encoding: chunked"] {
        assert!(respond(and(line)).unwrap().is_some(), "{line}");
    }
}

#[test]
fn c_34_cookies() {
    let accepted = accepted(and("Set-Cookie: a=1\r\nSet-Cookie: b=2"));
    let cookies: Vec<_> = accepted.headers().filter(|(name, _)| *name == "Set-Cookie").collect();
    assert_eq!(cookies, [("Set-Cookie", &b"a=1"[..]), ("Set-Cookie", &b"b=2"[..])]);
    assert!(!format!("{accepted:?}").contains("a=1"));
}

#[test]
fn split_anywhere() {
    let head = "HTTP/1.1 103 \r\nA: b\r\n c\r\n\r\n".to_owned() + &and("X: y\r\n z");
    for at in 0..=head.len() {
        let (mut handshake, _) = client(&Request::new("ws://h").unwrap().subprotocol("chat"));
        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(&head.as_bytes()[..at]);
        let first = handshake.read_response(&mut rx).unwrap();
        assert_eq!(first.is_some(), at == head.len());
        rx.extend_from_slice(&head.as_bytes()[at..]);
        let response = first.or_else(|| handshake.read_response(&mut rx).unwrap());
        let Some(Response::Accepted(accepted)) = response else { panic!("cut at {at}") };
        assert_eq!(accepted.header("x"), Some("y   z"));
        assert!(rx.is_idle());
    }
}

#[test]
fn errors_are_sticky() {
    let (mut handshake, _) = client(&Request::new("ws://h").unwrap());
    let mut rx = RecvBuffer::new();
    rx.extend_from_slice(b"SSH-2.0");
    let error = handshake.read_response(&mut rx).unwrap_err();
    assert_eq!(error, HandshakeError::MalformedStartLine);
    assert_eq!(handshake.read_response(&mut rx).unwrap_err(), error);
    assert_eq!(handshake.receive_eof().unwrap_err(), error);
    assert_eq!(handshake.poll_timeout(), None);
}

/// RFC 7617 §2: no control characters, and no `:` in the name; RFC 6265 §4.1.1: no `;` in a cookie.
#[test]
fn who_asks_must_fit_into_a_header() {
    let request = || Request::new("ws://h").unwrap();
    let fault = |name: &str| Err(UsageError::InvalidHeaderValue(name.into()));
    for (user, password) in [("a:b", "p"), ("a\n", "p"), ("a", "p\x7f")] {
        assert_eq!(used(&request().basic_auth(user, password)), fault("Authorization"));
    }
    for (name, value) in [("a b", "c"), ("", "c"), ("a", "b; c=d"), ("a=b", "c"), ("a", "b\r\n")] {
        assert_eq!(used(&request().cookie(name, value)), fault("Cookie"), "{name}={value}");
    }
    let (_, head) = client(&request().cookie("a", "1").cookie("b", "2"));
    assert!(head.contains("\r\nCookie: a=1; b=2\r\n"), "{head}");
}

/// RFC 6265 §5.4: one line for all cookies; a header that is there already is what it goes on.
#[test]
fn cookies_go_on_the_line_that_is_there() {
    for (there, line) in [("x=0; y", "x=0; y; a=1; b=2"), ("", "a=1; b=2"), (" ", "a=1; b=2")] {
        let request = Request::new("ws://h").unwrap().header("cookie", there);
        let (_, head) = client(&request.cookie("a", "1").cookie("b", "2"));
        assert!(head.contains(&format!("\r\ncookie: {line}\r\n")), "{head}");
        assert_eq!(head.to_ascii_lowercase().matches("cookie:").count(), 1, "{head}");
    }
}
