//! The same as types of the crate `http`.

use ::http::{Method, StatusCode, Version};
use sansws::Config;
use sansws::handshake::HandshakeError;
use sansws::handshake::client;
use sansws::handshake::server::{Accept, AcceptError, Request};

const NONCE: [u8; 16] = *b"the sample nonce";

fn config() -> Config {
    Config::new()
}

/// What a server makes of a request.
fn from_http(request: ::http::Request<()>) -> Result<Request, HandshakeError> {
    Request::from_http(&request.into_parts().0, &config())
}

fn asked() -> client::Request {
    let request = client::Request::new("wss://h.example:8443/chat?7").unwrap();
    request.subprotocol("chat").header("X", "caf\u{e9}")
}

/// Over each version, from one end to the other and back.
#[test]
fn both_ends() {
    for version in [Version::HTTP_11, Version::HTTP_2, Version::HTTP_3] {
        let offer = match version {
            Version::HTTP_11 => asked().offer(NONCE, &config()),
            _ => asked().offer_connect(&config()),
        };
        let offer = offer.unwrap();
        let mut request: ::http::Request<()> = offer.request().unwrap();
        let (method, uri, status) = match version {
            Version::HTTP_11 => (Method::GET, "/chat?7", StatusCode::SWITCHING_PROTOCOLS),
            _ => (Method::CONNECT, "https://h.example:8443/chat?7", StatusCode::OK),
        };
        assert_eq!((request.method(), request.uri().to_string()), (&method, uri.to_owned()));
        if version == Version::HTTP_3 {
            *request.version_mut() = version;
        }
        assert_eq!(request.version(), version);

        let request = from_http(request).unwrap();
        assert_eq!((request.host(), request.path()), ("h.example:8443", "/chat"));
        assert_eq!((request.query(), request.header("x")), (Some("7"), Some("caf\u{e9}")));
        let accept = Accept::new().subprotocol("chat").header("Y", "\u{e9}t\u{e9}");
        let upgrade = request.upgrade(&accept, &config()).unwrap();
        let response: ::http::Response<String> = upgrade.response();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["y"].as_bytes(), "\u{e9}t\u{e9}".as_bytes());
        assert_eq!(response.headers().contains_key("upgrade"), version == Version::HTTP_11);

        let accepted = offer.confirm_http(&response).unwrap().into_result().unwrap();
        assert_eq!(accepted.subprotocol(), Some("chat"));
        assert_eq!(accepted.header("Y"), Some("\u{e9}t\u{e9}"));
    }
}

/// A response of HTTP/1.0 opens nothing.
#[test]
fn responses_have_a_version() {
    let offer = asked().offer(NONCE, &config()).unwrap();
    let request = from_http(offer.request().unwrap()).unwrap();
    let upgrade = request.upgrade(&Accept::default(), &config()).unwrap();
    let mut response = upgrade.response::<()>();
    *response.version_mut() = Version::HTTP_10;
    let error = offer.confirm_http(&response).map(drop).unwrap_err();
    assert_eq!(error, HandshakeError::ResponseHttpVersion);
}

/// Any proxy answers a CONNECT of HTTP/1.1 with 200: that is no WebSocket.
#[test]
fn a_tunnel_is_no_websocket() {
    for (version, opens) in [(Version::HTTP_11, false), (Version::HTTP_2, true)] {
        let offer = asked().offer_connect(&config()).unwrap();
        let mut response = ::http::Response::new(());
        *response.version_mut() = version;
        let confirmed = offer.confirm_http(&response).map(drop);
        let expected = if opens { Ok(()) } else { Err(HandshakeError::ResponseHttpVersion) };
        assert_eq!(confirmed, expected);
    }
}

/// Requests that are no handshake have an answer as well.
#[test]
fn refusals() {
    let get = |uri: &str, version| {
        let request = ::http::Request::get(uri).version(version).header("Host", "h");
        from_http(request.body(()).unwrap())
    };
    for (request, status, expected) in [
        (get("/", Version::HTTP_11), 426, HandshakeError::NotAnUpgrade),
        (get("http://h/", Version::HTTP_11), 426, HandshakeError::NotAnUpgrade),
        (get("/", Version::HTTP_10), 505, HandshakeError::UnsupportedHttpVersion),
        (get("https://h/", Version::HTTP_2), 400, HandshakeError::NotExtendedConnect),
        (get("/", Version::HTTP_2), 400, HandshakeError::NotExtendedConnect),
    ] {
        let request = request.unwrap();
        assert_eq!(request.path(), "/");
        let error = request.upgrade(&Accept::default(), &config()).unwrap_err();
        assert_eq!(error, AcceptError::Peer(expected.clone()));
        let response = error.response();
        assert_eq!((response.status().as_u16(), response.body()), (status, &format!("{error}\n")));
        assert_eq!(response.headers().contains_key("upgrade"), status == 426);
        assert_eq!(expected.response().status(), response.status());
    }
    // a tunnel to anywhere, which is no extended CONNECT
    let tunnel = ::http::Request::connect("h.example:443").version(Version::HTTP_2);
    let error = from_http(tunnel.body(()).unwrap()).unwrap_err();
    assert_eq!(error, HandshakeError::InvalidTarget);
    // what the server got wrong is not for the client to read
    let offer = asked().offer(NONCE, &config()).unwrap();
    let request = from_http(offer.request().unwrap()).unwrap();
    let error = request.upgrade(&Accept::new().header("Upgrade", "x"), &config()).unwrap_err();
    let response = error.response();
    assert_eq!((response.status(), response.headers().len()), (500.try_into().unwrap(), 1));
    assert!(!response.body().contains("Upgrade"));
}
