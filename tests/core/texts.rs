//! What a person reads: each text says what is wrong, by which section, and what to do.

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::endpoint::{Endpoint, EndpointError};
use sansws::handshake::client::{self, Request, UrlError};
use sansws::handshake::extensions::Extension;
use sansws::handshake::server::{self, AcceptError};
use sansws::handshake::{HandshakeError, Origin, OriginError, UsageError};
use sansws::proto::{Connection, State, Timeout};
use sansws::wire::{Opcode, Utf8Validator};
use sansws::{CloseCode, Config, ProtocolError};

/// RFC 6455 §7.4.1 and the registry of IANA.
#[test]
fn close_codes() {
    let registry = [
        (1000, "normal closure"),
        (1001, "going away"),
        (1002, "protocol error"),
        (1003, "unsupported data"),
        (1007, "invalid payload data"),
        (1008, "policy violation"),
        (1009, "message too big"),
        (1010, "mandatory extension"),
        (1011, "internal error"),
        (1012, "service restart"),
        (1013, "try again later"),
        (1014, "bad gateway"),
        (3000, "registered by a library or application"),
        (3999, "registered by a library or application"),
        (4000, "private use"),
        (4999, "private use"),
    ];
    for (number, words) in registry {
        let code = CloseCode::new(number).unwrap();
        assert_eq!(code.description(), words);
        assert_eq!(code.to_string(), format!("{number} ({words})"));
        assert_eq!(format!("{code:?}"), code.to_string());
        assert_eq!(u16::from(code), number);
    }
    let named = [
        (CloseCode::MANDATORY_EXTENSION, 1010),
        (CloseCode::SERVICE_RESTART, 1012),
        (CloseCode::BAD_GATEWAY, 1014),
    ];
    named.into_iter().for_each(|(code, number)| assert_eq!(code.as_u16(), number));
}

/// RFC 6455 §11.8
#[test]
fn opcodes() {
    let names = ["continuation", "text", "binary", "close", "ping", "pong"];
    for (bits, name) in [0, 1, 2, 8, 9, 10].into_iter().zip(names) {
        assert_eq!(Opcode::from_bits(bits).unwrap().to_string(), name);
    }
}

#[test]
fn states() {
    let states = [State::Open, State::Closing, State::Closed];
    assert_eq!(states.map(|it| it.to_string()), ["open", "closing", "closed"]);
}

/// Each name of an error of usage, and a part of its text that says what to do.
#[test]
fn faults_of_an_application() {
    let texts = [
        (UsageError::InvalidHeaderName("a b".into()), "\"a b\" is not a token; use letters"),
        (
            UsageError::InvalidHeaderValue("X".into()),
            "header \"X\" has a control character; remove",
        ),
        (
            UsageError::ReservedHeader("Host".into()),
            "\"Host\" is written by the library; remove it",
        ),
        (UsageError::InvalidSubprotocol("a b".into()), "\"a b\" is not a token; use letters"),
        (UsageError::RepeatedSubprotocol("a".into()), "\"a\" is offered twice; offer it once"),
        (
            UsageError::UnofferedSubprotocol("a".into()),
            "\"a\" was not offered by the client; choose",
        ),
        (UsageError::NoSubprotocols, "required but none is offered; add one"),
        (UsageError::InvalidStatus(101), "status 101; use 200 to 599"),
        (UsageError::NotHttp1, "the HTTP stack that has read it; give that the status"),
        (UsageError::NoRequest, "no request to answer; accept or reject what Step::Request brings"),
    ];
    for (error, part) in texts {
        assert!(error.to_string().contains(part), "{error}");
        let accept = AcceptError::from(error.clone());
        assert_eq!(accept.to_string(), error.to_string());
        assert!(std::error::Error::source(&accept).is_none(), "its text is the whole of it");
        assert_eq!((accept.status(), accept.headers()), (500, &[][..]));
    }
}

/// What is wrong with a URL, from one that is.
#[test]
fn urls() {
    let texts = [
        ("http://h", UrlError::InvalidScheme, "must begin with ws:// or wss://"),
        ("ws://h/#a", UrlError::Fragment, "must not have a fragment; remove it"),
        ("ws://h/a b", UrlError::InvalidCharacter, "a space, a control character"),
        ("ws://\u{fc}", UrlError::NonAsciiHost, "outside ASCII; give it in punycode"),
        ("ws://", UrlError::InvalidHost, "host in URL is missing or invalid"),
        ("ws://h:0", UrlError::InvalidPort, "a number from 1 to 65535"),
        ("ws://u:p@h", UrlError::Userinfo, "give them to `basic_auth`"),
        ("ws://[fe80::1%25eth0]", UrlError::ZoneId, "IPv6 address in URL must not have a zone"),
        ("ws://h/%zz", UrlError::InvalidPercent, "before two hexadecimal digits"),
    ];
    for (url, error, part) in texts {
        assert_eq!(Request::new(url).unwrap_err(), error, "{url}");
        let text = error.to_string();
        assert!(text.contains(part) && text.contains("(RFC "), "{text}");
    }
}

#[test]
fn what_headers_are_not() {
    assert_eq!(
        Extension::new("a b").unwrap_err().to_string(),
        "Sec-WebSocket-Extensions is malformed (RFC 6455 §9.1)"
    );
    let error: OriginError = "https://h/".parse::<Origin>().unwrap_err();
    assert!(error.to_string().contains("without a path"), "{error}");
    let origin: Origin = "HTTPS://H".parse().unwrap();
    assert_eq!((origin.scheme(), origin.host(), origin.port()), ("https", "h", Some(443)));
    let origin: Origin = "app://h".parse().unwrap();
    assert_eq!(origin.port(), None);
    // RFC 6454 §6.2: without the port that is the default one
    for (written, shown) in [
        ("HTTPS://H:443", "https://h"),
        ("http://h:443", "http://h:443"),
        ("http://h", "http://h"),
        ("app://[::1]", "app://[::1]"),
        ("app://h:80", "app://h:80"),
    ] {
        assert_eq!(written.parse::<Origin>().unwrap().to_string(), shown);
    }
    let mut validator = Utf8Validator::new();
    assert_eq!(validator.update(b"\xff").unwrap_err().to_string(), "not valid UTF-8");
}

/// The text of an end says all that the error in it says.
#[test]
fn ends() {
    let timeouts = [Timeout::KeepAlive, Timeout::Message, Timeout::Closing];
    let texts = timeouts.map(|it| it.to_string());
    assert!(
        texts[0].contains("ping") && texts[1].contains("message") && texts[2].contains("Close")
    );
    for (timeout, text) in timeouts.into_iter().zip(texts) {
        assert_eq!(EndpointError::from(timeout).to_string(), text);
    }
    let error = HandshakeError::InvalidSubprotocol;
    assert_eq!(EndpointError::from(error.clone()).to_string(), error.to_string());
    let accept = AcceptError::from(error.clone());
    assert_eq!(accept.to_string(), error.to_string());
    assert!(std::error::Error::source(&accept).is_none());
    let error = ProtocolError::UnmaskedFrame;
    assert_eq!(EndpointError::from(error).to_string(), error.to_string());
    assert!(EndpointError::Disconnected.to_string().contains("(1006)"));
}

/// Buffers and ends show what they are at, and nothing of what passes through them.
#[test]
fn debug_keeps_secrets() {
    let config = Config::new();
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    rx.extend_from_slice(b"\x81\x06secret");
    let mut connection = Connection::client(&config, [7; 32]);
    connection.feed(&mut tx, "secret").unwrap();
    let text = format!("{rx:?} {tx:?} {connection:?}");
    for part in ["RecvBuffer", "unparsed: 8", "SendBuffer", "unsent: 12", "Sender", "Client"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("secret") && !text.contains("115, 101, 99"), "{text}");
    let text = format!("{:?}", Endpoint::from(connection));
    assert!(text.contains("Endpoint") && text.contains("\"open\""), "{text}");
    let text = format!("{:?}", Endpoint::server(&config));
    assert!(text.contains("\"handshake\"") && text.contains("None"), "{text}");
}

/// A token may be in the URL, in any header, or among the subprotocols, as that of a browser is.
/// What helps to find a fault stays.
#[test]
fn debug_of_handshakes_keeps_secrets() {
    let request = Request::new("ws://example.org/chat?token=hush")
        .unwrap()
        .header("X-Api-Key", "hush")
        .bearer_auth("hush")
        .subprotocol("hush");
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let config = Config::new();
    let mut client = client::Handshake::start(&request, [7; 16], &config, &mut tx).unwrap();
    let offer = request.offer([7; 16], &config).unwrap();
    rx.extend_from_slice(tx.chunk());
    let text = String::from_utf8_lossy(tx.chunk()).into_owned();
    assert_eq!(text.matches("hush").count(), 4, "{text}");
    let mut server = server::Handshake::new(&config);
    let received = server.read_request(&mut rx, &mut tx).unwrap().unwrap();
    let mut rx = RecvBuffer::new();
    rx.extend_from_slice(
        b"HTTP/1.1 302 Found\r\nServer: plain\r\nLocation: /?token=hush\r\nX-Token: hush\r\n\
          Content-Length: 0\r\n\r\n",
    );
    let texts = [
        format!("{request:?}"),
        format!("{client:?}"),
        format!("{offer:?}"),
        format!("{server:?}"),
        format!("{received:?}"),
        format!("{:?}", received.headers()),
        format!("{:?}", client.read_response(&mut rx).unwrap().unwrap()),
    ];
    for text in &texts {
        assert!(!text.contains("hush"), "{text}");
    }
    for (n, part) in [
        (0, "\"/chat\" ?<hidden>"),
        (0, "\"X-Api-Key\""),
        (4, "\"/chat\" ?<hidden>"),
        (4, "\"X-Api-Key\": \"<hidden>\""),
        (4, "\"Host\": \"example.org\""),
        (4, "\"Sec-WebSocket-Protocol\": \"<hidden>\""),
        (6, "\"Server\": \"plain\""),
        (6, "302"),
    ] {
        assert!(texts[n].contains(part), "{part}: {}", texts[n]);
    }
}

/// Settings that cannot be.
#[test]
fn settings() {
    let error = Config::new().read_ahead(65 << 20).check().unwrap_err();
    assert!(error.to_string().contains("read_ahead must be at most 64 MiB"), "{error}");
}
