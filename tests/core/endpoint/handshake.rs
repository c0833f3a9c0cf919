use std::time::Duration;

use sansws::Config;
use sansws::endpoint::{Endpoint, Step};
use sansws::handshake::server::{Accept, Reject};
use sansws::handshake::{HandshakeError, UsageError};

use crate::endpoint::driver::{Answer, End, Pair, Stop};

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

#[test]
fn a_request_and_a_response() {
    let mut pair = Pair::open(&Config::new());
    assert!(pair.client.endpoint.connection().is_some());
    assert!(pair.server.endpoint.connection().is_some());
    assert_eq!(pair.client.run(), Stop::Read);
    assert_eq!(pair.server.run(), Stop::Read);
}

#[test]
fn any_cut_gives_the_same() {
    let frames = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x88\x80\0\0\0\0";
    let bytes = [REQUEST.as_bytes(), frames].concat();
    let mut all = Vec::new();
    for gives in [1, 2, 3, 7, 64, usize::MAX] {
        let mut server = End::server(&Config::new());
        server.gives = gives;
        server.echo = true;
        server.input = bytes.clone();
        server.input_ended = true;
        assert_eq!(server.run(), Stop::Closed);
        assert_eq!(server.seen, ["request /chat", "text Hello", "close None"]);
        assert_eq!(server.result(), "ok");
        all.push(server.output);
    }
    assert!(all.iter().all(|output| *output == all[0]));
    assert!(all[0].ends_with(b"\r\n\r\n\x81\x05Hello\x88\x00"), "{:?}", all[0]);
}

#[test]
fn a_bad_request_is_answered_and_the_answer_gets_time_to_be_read() {
    let mut server = End::server(&Config::new());
    server.input = REQUEST.replace("Version: 13", "Version: 12").into();
    assert_eq!(server.run(), Stop::Read);
    assert!(server.output.starts_with(b"HTTP/1.1 426 "));
    assert!(server.output_shut);
    assert_eq!(server.seen, ["request /chat"]);
    // what comes is thrown away
    server.input = b"\x81\x80\0\0\0\0".repeat(1000);
    assert_eq!(server.run(), Stop::Read);
    assert!(server.rx.is_idle());
    // "at once", so that the clock is seen; then a second
    assert_eq!(server.until, Some(Duration::ZERO));
    server.endpoint.handle_timeout(Duration::from_secs(7), &mut server.tx);
    assert_eq!(server.run(), Stop::Read);
    assert_eq!(server.until, Some(Duration::from_secs(8)));
    server.endpoint.handle_timeout(Duration::from_millis(7999), &mut server.tx);
    assert_eq!(server.run(), Stop::Read);
    server.endpoint.handle_timeout(Duration::from_secs(8), &mut server.tx);
    assert_eq!(server.run(), Stop::Closed);
    assert_eq!(server.result(), "Handshake(UnsupportedVersion)");
}

#[test]
fn who_is_refused_may_not_send_for_ever() {
    let mut server = End::server(&Config::new());
    server.input = b"BREW / HTTP/1.1\r\n\r\n".to_vec();
    assert_eq!(server.run(), Stop::Read);
    server.input = vec![0; 17 * 1024 * 1024];
    server.gives = 1024 * 1024;
    assert_eq!(server.run(), Stop::Closed);
    assert!(server.input.len() < 1024 * 1024);
    // to the byte: 16 MiB in pieces, and one more
    let mut server = End::server(&Config::new());
    server.input = b"BREW / HTTP/1.1\r\n\r\n".to_vec();
    assert_eq!(server.run(), Stop::Read);
    server.gives = 1024 * 1024;
    server.input = vec![0; 16 * 1024 * 1024];
    assert_eq!(server.run(), Stop::Read);
    server.input = vec![0];
    assert_eq!(server.run(), Stop::Closed);
}

#[test]
fn a_request_that_does_not_come() {
    let mut server = End::server(&Config::new());
    server.input = REQUEST[..40].into();
    assert_eq!(server.run(), Stop::Read);
    assert_eq!(server.until, Some(Duration::ZERO));
    server.endpoint.handle_timeout(Duration::ZERO, &mut server.tx);
    assert_eq!(server.run(), Stop::Read);
    let until = server.until.unwrap();
    assert_eq!(until, Duration::from_secs(10));
    server.endpoint.handle_timeout(until, &mut server.tx);
    assert_eq!(server.run(), Stop::Read);
    assert!(server.output.starts_with(b"HTTP/1.1 408 "));
    server.input_ended = true;
    assert_eq!(server.run(), Stop::Closed);
    assert_eq!(server.result(), "Handshake(TimedOut)");
}

#[test]
fn the_end_of_file_in_the_request() {
    for cut in [0, 1, REQUEST.len() - 1] {
        let mut server = End::server(&Config::new());
        server.input = REQUEST[..cut].into();
        server.input_ended = true;
        assert_eq!(server.run(), Stop::Closed);
        assert_eq!(server.result(), "Handshake(Incomplete)", "{cut}");
        assert!(server.output.is_empty());
    }
}

#[test]
fn a_client_whose_server_says_nothing() {
    let mut client = End::client(&Config::new());
    assert_eq!(client.run(), Stop::Read);
    client.endpoint.handle_timeout(Duration::ZERO, &mut client.tx);
    assert_eq!(client.run(), Stop::Read);
    client.endpoint.handle_timeout(client.until.unwrap(), &mut client.tx);
    assert_eq!(client.run(), Stop::Closed);
    assert_eq!(client.result(), "Handshake(TimedOut)");
}

#[test]
fn a_rejected_client_knows_why() {
    let mut pair = Pair::new(&Config::new());
    pair.server.answer = Answer::Reject(Reject::new(403).body(b"members only"));
    pair.exchange();
    let failure = pair.client.result.unwrap().unwrap_err();
    assert!(failure.to_string().starts_with("server answered 403 Forbidden"), "{failure}");
    let sansws::endpoint::EndpointError::Refused(refused) = failure else { panic!("{failure:?}") };
    assert_eq!((refused.status(), refused.body()), (403, &b"members only"[..]));
    // the decision was the server's own
    assert_eq!(pair.server.result(), "ok");
    assert!(pair.server.endpoint.connection().is_none());
}

#[test]
fn an_answer_that_cannot_be_given_becomes_a_500() {
    let wrong =
        [Answer::Accept(Accept::new().subprotocol("unasked")), Answer::Reject(Reject::new(101))];
    for answer in wrong {
        let mut pair = Pair::new(&Config::new());
        pair.server.answer = answer;
        pair.exchange();
        let failure = pair.client.result.unwrap().unwrap_err();
        assert!(failure.to_string().starts_with("server answered 500"), "{failure}");
    }
}

#[test]
fn nothing_happens_before_the_decision() {
    let mut server = End::server(&Config::new());
    server.answer = Answer::None;
    server.input = REQUEST.into();
    assert_eq!(server.run(), Stop::Wait);
    assert_eq!(server.until, None);
    assert_eq!(server.run(), Stop::Wait);
    assert_eq!(server.seen.len(), 1);
    assert!(server.output.is_empty());
}

#[test]
fn a_request_is_answered_once() {
    let config = Config::new();
    let [mut one, mut other] = [End::server(&config), End::server(&config)];
    let mut requests = Vec::new();
    for server in [&mut one, &mut other] {
        server.rx.extend_from_slice(REQUEST.as_bytes());
        let Step::Request(request) = server.endpoint.step(&mut server.rx, &mut server.tx) else {
            panic!("no request");
        };
        requests.push(request);
    }
    let accept = Accept::default();
    let mut accept_one = || one.endpoint.accept(requests.pop().unwrap(), &accept, &mut one.tx);
    assert_eq!(accept_one(), Ok(()));
    assert_eq!(accept_one(), Err(UsageError::NoRequest));
}

#[test]
fn a_response_that_is_none() {
    let mut client = End::client(&Config::new());
    client.input = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec();
    assert_eq!(client.run(), Stop::Closed);
    let expected = HandshakeError::ConnectionNotUpgrade;
    assert_eq!(client.result(), format!("Handshake({expected:?})"));
}

#[test]
fn a_handshake_done_elsewhere() {
    let config = Config::new();
    let mut server =
        End::new(Endpoint::from(sansws::proto::Connection::server(&config)), Default::default());
    server.input = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
    assert_eq!(server.run(), Stop::Read);
    assert_eq!(server.seen, ["text Hello"]);
    assert!(server.endpoint.into_connection().is_some());
}
