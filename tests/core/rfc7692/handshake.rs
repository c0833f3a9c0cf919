//! The opening handshake with compression on: what stands in the header, and what comes of it.

use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::deflate::{Agreement, Deflate};
use sansws::handshake::server::Accept;
use sansws::handshake::{HandshakeError, client, server};
use sansws::proto::Connection;

use crate::rfc7692::support::*;
use sansws_test::pair::*;

fn request(extensions: Option<&str>) -> String {
    let line = extensions.map_or(String::new(), |it| format!("Sec-WebSocket-Extensions: {it}\r\n"));
    format!(
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{line}\r\n"
    )
}

fn response(extensions: Option<&str>) -> String {
    let line = extensions.map_or(String::new(), |it| format!("Sec-WebSocket-Extensions: {it}\r\n"));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{line}\r\n"
    )
}

fn text(tx: &mut SendBuffer) -> String {
    String::from_utf8(tx.copy_to_bytes(tx.remaining()).to_vec()).unwrap()
}

/// The value of the header in a request or response.
fn extensions(head: &str) -> Option<&str> {
    let mut lines = head.lines().filter_map(|it| it.strip_prefix("Sec-WebSocket-Extensions: "));
    let value = lines.next();
    assert_eq!(lines.next(), None, "{head}");
    value
}

/// What a server makes of a request.
fn serve(config: &Config, request: &str) -> (Connection, String) {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    rx.extend_from_slice(request.as_bytes());
    let request = server::Handshake::new(config).read_request(&mut rx, &mut tx).unwrap().unwrap();
    let connection = request.accept(&Accept::default(), config, &mut tx).unwrap();
    (connection, text(&mut tx))
}

/// What a client offers, and what it makes of a response.
fn ask(
    config: &Config,
    response: &str,
) -> (Option<String>, Result<client::Accepted, HandshakeError>) {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let request = client::Request::new("ws://h").unwrap();
    let nonce = *b"the sample nonce";
    let mut handshake = client::Handshake::start(&request, nonce, config, &mut tx).unwrap();
    let offer = extensions(&text(&mut tx)).map(str::to_owned);
    rx.extend_from_slice(response.as_bytes());
    let accepted = handshake.read_response(&mut rx).map(|response| match response {
        Some(client::Response::Accepted(accepted)) => accepted,
        other => panic!("{other:?}"),
    });
    (offer, accepted)
}

fn on() -> Config {
    Config::new().deflate(Deflate::new())
}

/// D-5, D-7: a server answers an offer, and goes without where there is none it can accept.
#[test]
fn server() {
    let (connection, head) = serve(&on(), &request(Some("permessage-deflate")));
    let answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(extensions(&head), Some(answer));
    assert_eq!(connection.deflate(), Some(agreed(true, 15)));
    for offers in [None, Some("x"), Some("permessage-deflate; server_max_window_bits=7")] {
        let (connection, head) = serve(&on(), &request(offers));
        assert!(head.starts_with("HTTP/1.1 101 "));
        assert_eq!((extensions(&head), connection.deflate()), (None, None));
    }
    // off, as it is by default
    let (connection, head) = serve(&Config::new(), &request(Some("permessage-deflate")));
    assert_eq!((extensions(&head), connection.deflate()), (None, None));
}

/// The same where another HTTP stack has read the request.
#[test]
fn server_inside_another_stack() {
    let mut small = agreed(true, 15);
    small.server_max_window_bits = 9;
    for (offer, expected) in [
        (None, None),
        (Some("permessage-deflate"), Some(agreed(true, 15))),
        (Some("permessage-deflate; server_max_window_bits=9"), Some(small)),
    ] {
        let head = request(offer);
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        let request = server::Request::from_parts("GET", "/", headers, &on()).unwrap();
        let upgrade = request.upgrade(&Accept::default(), &on()).unwrap();
        assert_eq!(upgrade.deflate(), expected);
        assert_eq!(upgrade.into_connection().deflate(), expected);
    }
}

/// D-12, D-13: a client offers and takes the answer, or fails.
#[test]
fn client() {
    let (offer, accepted) = ask(&on(), &response(None));
    assert_eq!(offer.as_deref(), Some("permessage-deflate; client_max_window_bits"));
    let accepted = accepted.unwrap();
    assert_eq!(accepted.deflate(), None);
    assert_eq!(accepted.into_connection([7; 32]).deflate(), None);

    let answer = "permessage-deflate; client_no_context_takeover; client_max_window_bits=9";
    let accepted = ask(&on(), &response(Some(answer))).1.unwrap();
    let mut agreed = agreed(false, 15);
    agreed.client_no_context_takeover = true;
    agreed.client_max_window_bits = 9;
    assert_eq!(accepted.deflate(), Some(agreed));
    assert_eq!(accepted.into_connection([7; 32]).deflate(), Some(agreed));

    for answer in ["permessage-deflate; server_max_window_bits=99", "permessage-deflate; x=1"] {
        let error = ask(&on(), &response(Some(answer))).1.unwrap_err();
        assert_eq!(error, HandshakeError::InvalidDeflate);
        assert_eq!(
            error.to_string(),
            "server's answer about permessage-deflate is invalid or not what was offered \
             (RFC 7692 §7.1)"
        );
    }
    let (offer, accepted) = ask(&Config::new(), &response(Some("permessage-deflate")));
    assert_eq!(offer, None);
    assert_eq!(accepted.unwrap_err(), HandshakeError::UnofferedExtension);
}

/// D-39, and both ends together: from the handshake to a message.
#[test]
fn from_the_handshake_to_a_message() {
    let small = Deflate::new().server_max_window_bits(9).client_max_window_bits(Some(8));
    let keeping =
        Deflate::new().server_no_context_takeover(false).client_no_context_takeover(false);
    for (client_settings, server_settings) in
        [(Deflate::new(), Deflate::new()), (Deflate::new(), small.clone()), (small, keeping)]
    {
        let client_config = Config::new().deflate(client_settings.threshold(0));
        let server_config = Config::new().deflate(server_settings.threshold(0));
        let (offer, _) = ask(&client_config, &response(None));
        let (server, head) = serve(&server_config, &request(offer.as_deref()));
        let accepted = ask(&client_config, &head).1.unwrap();
        let end = |conn| End {
            conn,
            delivery: Delivery::Messages,
            rx: RecvBuffer::new(),
            tx: SendBuffer::new(),
        };
        let client = end(accepted.into_connection([7; 32]));
        let mut pair = Pair { client, server: end(server) };
        assert_eq!(pair.client.conn.deflate(), pair.server.conn.deflate());
        for _ in 0..3 {
            let text = prose(4000);
            pair.client.conn.feed(&mut pair.client.tx, &text).unwrap();
            pair.server.conn.feed(&mut pair.server.tx, &text).unwrap();
            assert!(pair.client.tx.len() < 3000 && pair.server.tx.len() < 3000);
            let expected = (vec![Got::Text(text.clone())], vec![Got::Text(text)]);
            assert!(pair.drive() == expected);
        }
    }
}

#[test]
fn defaults() {
    assert_eq!(Deflate::default(), Deflate::new());
    assert_eq!(Agreement::default(), Agreement::new());
    assert_ne!(Deflate::new().threshold(255), Deflate::new());
}

/// settings that cannot be meant.
#[test]
fn impossible_settings_are_errors() {
    let check = |deflate| Config::new().deflate(deflate).check().map(drop);
    assert_eq!(check(Deflate::new()), Ok(()));
    assert_eq!(check(Deflate::new().level(0).mem_level(1).server_max_window_bits(8)), Ok(()));
    assert_eq!(check(Deflate::new().level(9).mem_level(9)), Ok(()));
    assert_eq!(check(Deflate::new().client_max_window_bits(None).threshold(usize::MAX)), Ok(()));
    for (settings, text) in [
        (Deflate::new().level(10), "deflate.level must be 0 to 9"),
        (Deflate::new().mem_level(0), "deflate.mem_level must be 1 to 9"),
        (Deflate::new().mem_level(10), "deflate.mem_level must be 1 to 9"),
        (
            Deflate::new().server_max_window_bits(7),
            "deflate.server_max_window_bits must be 8 to 15 (RFC 7692 §7.1.2.1)",
        ),
        (
            Deflate::new().client_max_window_bits(Some(16)),
            "deflate.client_max_window_bits must be 8 to 15 (RFC 7692 §7.1.2.2)",
        ),
    ] {
        assert_eq!(check(settings).unwrap_err().to_string(), text);
    }
}
