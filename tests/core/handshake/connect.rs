//! The handshake over HTTP/2 and HTTP/3: an extended CONNECT (RFC 8441).

use sansws::Config;
use sansws::buf::SendBuffer;
#[cfg(feature = "deflate")]
use sansws::deflate::Deflate;
use sansws::handshake::client::{self, Response};
use sansws::handshake::server::{Accept, AcceptError, Reject, Request};
use sansws::handshake::{HandshakeError, UsageError};
use sansws::proto::Role;

/// The fields of the example in RFC 8441 §5.1.
const FIELDS: [(&str, &str); 4] = [
    ("sec-websocket-protocol", "chat, superchat"),
    ("sec-websocket-extensions", "permessage-deflate"),
    ("sec-websocket-version", "13"),
    ("origin", "http://www.example.com"),
];

fn from_connect(fields: &[(&str, &str)]) -> Result<Request, HandshakeError> {
    let fields = fields.iter().copied();
    Request::from_connect("websocket", "server.example.com", "/chat", fields, &Config::new())
}

/// Why a request with these fields beside those of the example, in which one is left out, is
/// refused.
fn error(without: &str, with: &[(&str, &str)]) -> HandshakeError {
    let fields = FIELDS.into_iter().filter(|(name, _)| *name != without);
    let fields: Vec<_> = fields.chain(with.iter().copied()).collect();
    let request = match from_connect(&fields) {
        Ok(request) => request,
        Err(error) => return error,
    };
    match request.upgrade(&Accept::default(), &Config::new()) {
        Err(AcceptError::Peer(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// RFC 8441 §5.1: the example, with headers of the application's own.
#[test]
fn the_example() {
    let request = from_connect(&FIELDS).unwrap();
    assert!(request.is_upgrade() && request.is_extended_connect());
    assert_eq!((request.method(), request.path()), ("CONNECT", "/chat"));
    assert_eq!((request.host(), request.query()), ("server.example.com", None));
    assert_eq!(request.is_same_origin(), Some(false));
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    let accept = Accept::new().subprotocol("chat").header("Set-Cookie", "A=B");
    #[cfg(not(feature = "deflate"))]
    let config = Config::new();
    #[cfg(feature = "deflate")]
    let config = Config::new().deflate(Deflate::new());
    let upgrade = request.upgrade(&accept, &config).unwrap();
    assert_eq!((upgrade.status(), upgrade.subprotocol()), (200, Some("chat")));
    let headers = upgrade.headers().filter(|(name, _)| *name != "sec-websocket-extensions");
    assert!(headers.eq([("sec-websocket-protocol", "chat"), ("set-cookie", "A=B")]));
    #[cfg(feature = "deflate")]
    assert!(upgrade.deflate().is_some());
    assert_eq!(upgrade.into_connection().role(), Role::Server);
}

/// RFC 8441 §5: the key is not looked at, and not answered.
#[test]
fn a_key_means_nothing() {
    let fields = [FIELDS[2], ("sec-websocket-key", "short"), ("sec-websocket-key", "")];
    let upgrade = from_connect(&fields).unwrap().upgrade(&Accept::default(), &Config::new());
    assert_eq!(upgrade.unwrap().headers().count(), 0);
}

/// RFC 9113 §8.2.3: a cookie may come in pieces.
#[test]
fn cookies_are_one_header() {
    let cookies = [("cookie", "a=1"), ("cookie", "b=2"), ("Cookie", "c=3")];
    let request = from_connect(&[&FIELDS[..], &cookies].concat()).unwrap();
    assert_eq!(request.header("cookie"), Some("a=1; b=2; c=3"));
    let many = vec![("cookie", "a=1"); 150];
    from_connect(&[&FIELDS[..], &many].concat()).expect("no more headers than one");
}

/// RFC 9113 §8.3.1: a port that is there by default is no other entity.
#[test]
fn a_host_with_a_default_port() {
    let host = ("host", "SERVER.example.com:443");
    let request = from_connect(&[&FIELDS[..], &[host]].concat()).unwrap();
    assert_eq!(request.host(), "server.example.com");
    let host = ("host", "server.example.com:8443");
    let error = from_connect(&[&FIELDS[..], &[host]].concat()).unwrap_err();
    assert_eq!(error, HandshakeError::InvalidHost);
}

/// RFC 9113 §8.2.2: neither end adds headers about a connection.
#[test]
fn none_is_added() {
    for name in ["Keep-Alive", "proxy-connection"] {
        let reserved = UsageError::ReservedHeader(name.into());
        let accept = Accept::new().header(name, "x");
        let upgrade = from_connect(&FIELDS).unwrap().upgrade(&accept, &Config::new());
        assert_eq!(upgrade.unwrap_err(), AcceptError::Usage(reserved.clone()));
        let request = client::Request::new("wss://server.example.com/").unwrap().header(name, "x");
        assert_eq!(request.offer_connect(&Config::new()).unwrap_err(), reserved);
    }
}

/// RFC 8441 §5, RFC 9220 §3: no other protocol.
#[test]
fn the_protocol_is_websocket() {
    for protocol in ["", "connect-udp", "WebSocket", "websocket\r\n"] {
        let request =
            Request::from_connect(protocol, "server.example.com", "/", FIELDS, &Config::new());
        let error = request.unwrap_err();
        assert_eq!((error.status(), error), (Some(501), HandshakeError::UnsupportedProtocol));
    }
}

/// RFC 8441 §5, RFC 9113 §8.2.2: nothing about a connection of HTTP/1.1 is in the request, nor in
/// the answer to a wrong one.
#[test]
fn nothing_about_a_connection() {
    for name in ["connection", "Upgrade", "keep-alive", "proxy-connection", "transfer-encoding"] {
        assert_eq!(error("", &[(name, "x")]), HandshakeError::ConnectionHeader);
    }
    let version = "sec-websocket-version";
    for (error, expected) in [
        (error(version, &[]), HandshakeError::MissingVersion),
        (error(version, &[(version, "8")]), HandshakeError::UnsupportedConnectVersion),
        (error("", &[(version, "13")]), HandshakeError::RepeatedVersion),
        (error("", &[("sec-websocket-extensions", ";")]), HandshakeError::InvalidExtensions),
        (error("", &[("sec-websocket-protocol", "chat")]), HandshakeError::InvalidSubprotocols),
        (error("", &[("content-length", "1")]), HandshakeError::UnexpectedBody),
        (error("", &[("host", "other.example.com")]), HandshakeError::InvalidHost),
        (error("", &[("x", "a\r\nb: c")]), HandshakeError::MalformedHeader),
        (error("", &[("x", &"x".repeat(17_000))]), HandshakeError::HeadTooLong { limit: 16_384 }),
    ] {
        assert_eq!(error, expected);
        let names: Vec<_> = error.headers().iter().map(|(name, _)| *name).collect();
        assert!(names.iter().all(|name| *name == "Sec-WebSocket-Version"), "{names:?}");
        let asks = matches!(
            error,
            HandshakeError::MissingVersion
                | HandshakeError::UnsupportedConnectVersion
                | HandshakeError::RepeatedVersion
        );
        assert_eq!(asks, !names.is_empty());
    }
    // RFC 9113 §8.3.1: a `Host` that says the same
    assert!(from_connect(&[FIELDS[2], ("host", "Server.example.com")]).is_ok());
}

/// P-14: no pseudo-header field ends itself.
#[test]
fn pseudo_header_fields() {
    let from = |authority, path| {
        Request::from_connect("websocket", authority, path, FIELDS, &Config::new()).map(drop)
    };
    assert_eq!(from("h:8443", "/?a=b"), Ok(()));
    for authority in ["", "h\r\nx: y", "u@h", "a b"] {
        assert_eq!(from(authority, "/"), Err(HandshakeError::InvalidHost), "{authority}");
    }
    for path in ["", "*", "h", "http://h/", "/ x", "/\r\n", "/#x"] {
        let error = from("h", path).unwrap_err();
        let expected = [HandshakeError::InvalidTarget, HandshakeError::MalformedStartLine];
        assert!(expected.contains(&error), "{path}: {error:?}");
    }
}

/// The answer is not for this crate to write.
#[test]
fn there_is_no_answer_in_bytes() {
    let mut tx = SendBuffer::new();
    let request = || from_connect(&FIELDS).unwrap();
    let accepted = request().accept(&Accept::default(), &Config::new(), &mut tx).map(drop);
    assert_eq!(accepted.unwrap_err(), AcceptError::Usage(UsageError::NotHttp1));
    assert_eq!(request().reject(&Reject::new(404), &mut tx), Err(UsageError::NotHttp1));
    assert!(tx.is_empty());
}

/// RFC 8441 §5: what the client sends, both ends together.
#[test]
fn both_ends() {
    let request = client::Request::new("wss://server.example.com/chat").unwrap();
    let request = request.subprotocol("chat").origin("http://www.example.com");
    let offer = request.offer_connect(&Config::new()).unwrap();
    assert!(offer.is_extended_connect());
    let expected = [FIELDS[2], ("sec-websocket-protocol", "chat"), FIELDS[3]];
    assert_eq!(offer.headers().collect::<Vec<_>>(), expected);

    let config = Config::new();
    let (authority, path) = (request.authority(), request.target());
    let server =
        Request::from_connect("websocket", authority, path, offer.headers(), &config).unwrap();
    let upgrade = server.upgrade(&Accept::new().subprotocol("chat"), &config).unwrap();
    let accepted = offer.clone().confirm(upgrade.status(), upgrade.headers()).unwrap();
    let accepted = accepted.into_result().unwrap();
    assert_eq!(accepted.subprotocol(), Some("chat"));
    assert_eq!(accepted.into_connection([9; 32]).role(), Role::Client);

    let unoffered = offer.clone().confirm(200, [("sec-websocket-protocol", "other")]);
    assert_eq!(unoffered.map(drop), Err(HandshakeError::UnofferedSubprotocol));
    let extension = offer.clone().confirm(200, [("sec-websocket-extensions", "x")]);
    assert_eq!(extension.map(drop), Err(HandshakeError::UnofferedExtension));
    for status in [101, 404, 501] {
        let response = offer.clone().confirm(status, [("x", "y")]).unwrap();
        let Response::Refused(refused) = response else { panic!("{response:?}") };
        assert_eq!((refused.status(), refused.header("X")), (status, Some("y")));
        assert!(refused.to_string().ends_with("instead of 200 OK"), "{refused}");
    }
}
