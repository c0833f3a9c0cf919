//! The client's request and the response to it as data, for HTTP stacks that write and read
//! themselves.

use sansws::Config;
use sansws::buf::SendBuffer;
use sansws::handshake::client::{Handshake, Request, Response};
use sansws::handshake::server::{self, Accept};
use sansws::handshake::{HandshakeError, UsageError};
use sansws::proto::Role;

use crate::handshake::support::*;

const NONCE: [u8; 16] = *b"the sample nonce";

fn request() -> Request {
    Request::new("ws://server.example.com/chat?7").unwrap().subprotocol("chat").header("X", "y")
}

/// C-6 and its neighbours: the headers are those of the request in bytes.
#[test]
fn the_same_as_in_bytes() {
    let config = Config::new();
    let offer = request().offer(NONCE, &config).unwrap();
    assert!(!offer.is_extended_connect());
    let lines: Vec<_> = offer.headers().map(|(name, it)| format!("{name}: {it}\r\n")).collect();
    let mut tx = SendBuffer::new();
    Handshake::start(&request(), NONCE, &config, &mut tx).unwrap();
    assert_eq!(sent(&mut tx), format!("GET /chat?7 HTTP/1.1\r\n{}\r\n", lines.concat()));
}

/// Both ends as data.
#[test]
fn both_ends() {
    let config = Config::new();
    let offer = request().offer(NONCE, &config).unwrap();
    let target = request();
    let request =
        server::Request::from_parts("GET", target.target(), offer.headers(), &config).unwrap();
    let upgrade = request.upgrade(&Accept::new().subprotocol("chat"), &config).unwrap();
    let response = offer.confirm(upgrade.status(), upgrade.headers()).unwrap();
    let accepted = response.into_result().unwrap();
    assert_eq!(accepted.subprotocol(), Some("chat"));
    assert_eq!(accepted.into_connection([9; 32]).role(), Role::Client);
}

/// C-12 and its neighbours: a response that does not belong to the request.
#[test]
fn responses_are_checked() {
    let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let good = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept),
        ("Sec-WebSocket-Protocol", "chat"),
    ];
    for (name, value, expected) in [
        ("Upgrade", "h2c", HandshakeError::ResponseNotUpgrade),
        ("Connection", "close", HandshakeError::ConnectionNotUpgrade),
        ("Sec-WebSocket-Accept", "x", HandshakeError::WrongAccept),
        ("Sec-WebSocket-Protocol", "other", HandshakeError::UnofferedSubprotocol),
        ("Sec-WebSocket-Protocol", "a\r\nX: y", HandshakeError::MalformedHeader),
    ] {
        let headers = good.map(|header| if header.0 == name { (name, value) } else { header });
        let offer = request().offer(NONCE, &Config::new()).unwrap();
        assert_eq!(offer.confirm(101, headers).map(drop).unwrap_err(), expected, "{name}");
    }
    for status in [200, 301, 404, 503, 999] {
        let offer = request().offer(NONCE, &Config::new()).unwrap();
        let response = offer.confirm(status, good).unwrap();
        let Response::Refused(refused) = response else { panic!("{response:?}") };
        assert_eq!(refused.status(), status);
        assert!(refused.to_string().ends_with("instead of 101 Switching Protocols"), "{refused}");
    }
    let none: [(&str, &str); 0] = [];
    for status in [0, 99, 1000, u16::MAX] {
        let offer = request().offer(NONCE, &Config::new()).unwrap();
        let error = offer.confirm(status, none).map(drop).unwrap_err();
        assert_eq!(error, HandshakeError::MalformedStartLine, "{status}");
    }
}

/// What contradicts itself is told before anything is sent, and what may be secret is not shown.
#[test]
fn faults_and_secrets() {
    let wrong = request().header("Host", "h");
    let expected = UsageError::ReservedHeader("Host".into());
    assert_eq!(wrong.offer(NONCE, &Config::new()).map(drop).unwrap_err(), expected);
    assert_eq!(wrong.offer_connect(&Config::new()).map(drop).unwrap_err(), expected);
    let offer = request().bearer_auth("secret").offer(NONCE, &Config::new()).unwrap();
    assert!(!format!("{offer:?}").contains("secret"));
}
