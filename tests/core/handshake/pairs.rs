//! Our client against our server.

use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::handshake::client::{self, Response};
use sansws::handshake::server::{self, Accept, Reject};

/// Moves up to `max` bytes over the network.
fn transfer(tx: &mut SendBuffer, rx: &mut RecvBuffer, max: usize) {
    let n = tx.remaining().min(max);
    rx.extend_from_slice(&tx.copy_to_bytes(n));
}

/// A handshake in pieces of `max` bytes; `answer` is what the server does.
fn shake(
    request: &client::Request,
    max: usize,
    answer: impl Fn(server::Request, &mut SendBuffer),
) -> Response {
    let config = Config::new();
    let (mut client_tx, mut server_tx) = (SendBuffer::new(), SendBuffer::new());
    let (mut client_rx, mut server_rx) = (RecvBuffer::new(), RecvBuffer::new());
    let mut client = client::Handshake::start(request, [3; 16], &config, &mut client_tx).unwrap();
    let mut server = server::Handshake::new(&config);
    loop {
        transfer(&mut client_tx, &mut server_rx, max);
        if let Some(request) = server.read_request(&mut server_rx, &mut server_tx).unwrap() {
            assert!(server_rx.is_idle());
            answer(request, &mut server_tx);
        }
        transfer(&mut server_tx, &mut client_rx, max);
        if let Some(response) = client.read_response(&mut client_rx).unwrap() {
            assert!(client_rx.is_idle());
            return response;
        }
    }
}

fn request() -> client::Request {
    client::Request::new("wss://[::1]:8443/chat?room=1")
        .unwrap()
        .basic_auth("user", "secret")
        .subprotocol("a")
        .subprotocol("b")
        .header("Cookie", "x=y")
        .origin("https://[::1]:8443")
}

#[test]
fn accepted() {
    for max in [1, 2, 3, 50, 1000] {
        let response = shake(&request(), max, |request, tx| {
            assert_eq!(request.check(), Ok(()));
            assert_eq!((request.path(), request.query()), ("/chat", Some("room=1")));
            assert_eq!(request.host(), "[::1]:8443");
            assert_eq!(request.is_same_origin(), Some(true));
            assert_eq!(request.header("cookie"), Some("x=y"));
            assert_eq!(request.header("authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
            assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["a", "b"]);
            let accept = Accept::new().subprotocol("b").header("Set-Cookie", "z=1");
            request.accept(&accept, &Config::new(), tx).unwrap();
        });
        let Response::Accepted(accepted) = response else { panic!("{response:?}") };
        assert_eq!(accepted.subprotocol(), Some("b"));
        assert_eq!(accepted.header("set-cookie"), Some("z=1"));
        accepted.into_connection([0; 32]);
    }
}

#[test]
fn refused() {
    for max in [1, 7, 1000] {
        let response = shake(&request(), max, |request, tx| {
            let headers = &[("WWW-Authenticate", "Basic")];
            request.reject(&Reject::new(401).headers(headers).body(b"no"), tx).unwrap();
        });
        let Response::Refused(refused) = response else { panic!("{response:?}") };
        assert_eq!((refused.status(), refused.body()), (401, &b"no"[..]));
        assert_eq!(refused.header("www-authenticate"), Some("Basic"));
    }
}
