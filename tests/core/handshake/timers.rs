//! H-40, C-32: time and end of the connection.

use core::time::Duration;

use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::handshake::client::Response;
use sansws::handshake::{HandshakeError, client, server};

use crate::handshake::support::*;

const START: Duration = Duration::from_secs(1000);

fn after(seconds: u64) -> Duration {
    START + Duration::from_secs(seconds)
}

#[test]
fn h_40_progress_does_not_extend_the_deadline() {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut handshake = server::Handshake::new(&Config::new());
    assert_eq!(handshake.poll_timeout(), Some(Duration::ZERO));
    handshake.handle_timeout(START, &mut tx).unwrap();
    assert_eq!(handshake.poll_timeout(), Some(after(10)));
    for (second, byte) in GOLDEN_REQUEST.bytes().enumerate().take(10) {
        rx.extend_from_slice(&[byte]);
        assert!(handshake.read_request(&mut rx, &mut tx).unwrap().is_none());
        handshake.handle_timeout(after(second as u64), &mut tx).unwrap();
        assert_eq!(handshake.poll_timeout(), Some(after(10)));
    }
    assert!(tx.is_empty());
    let error = handshake.handle_timeout(after(10), &mut tx).unwrap_err();
    assert_eq!(error, HandshakeError::TimedOut);
    assert_eq!(Answer::parse(&sent(&mut tx)).status, 408);
    // sticky, and answered once
    assert_eq!(handshake.poll_timeout(), None);
    assert_eq!(handshake.handle_timeout(after(11), &mut tx), Err(HandshakeError::TimedOut));
    rx.extend_from_slice(GOLDEN_REQUEST.as_bytes());
    assert_eq!(handshake.read_request(&mut rx, &mut tx).unwrap_err(), HandshakeError::TimedOut);
    assert!(tx.is_empty());
}

#[test]
fn h_40_no_deadline_once_the_request_is_there() {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut handshake = server::Handshake::new(&Config::new());
    handshake.handle_timeout(START, &mut tx).unwrap();
    rx.extend_from_slice(GOLDEN_REQUEST.as_bytes());
    assert!(handshake.read_request(&mut rx, &mut tx).unwrap().is_some());
    assert_eq!(handshake.poll_timeout(), None);
    handshake.handle_timeout(after(1000), &mut tx).unwrap();
    assert!(tx.is_empty());
}

#[test]
fn a_clock_at_its_end() {
    let config = Config::new().handshake_timeout(Duration::MAX);
    let mut handshake = server::Handshake::new(&config);
    handshake.handle_timeout(START, &mut SendBuffer::new()).unwrap();
    assert_eq!(handshake.poll_timeout(), Some(Duration::MAX));
}

#[test]
fn server_at_the_end_of_the_connection() {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut handshake = server::Handshake::new(&Config::new());
    rx.extend_from_slice(b"GET / HTT");
    assert!(handshake.read_request(&mut rx, &mut tx).unwrap().is_none());
    assert_eq!(handshake.receive_eof(), HandshakeError::Incomplete);
    assert_eq!(handshake.read_request(&mut rx, &mut tx).unwrap_err(), HandshakeError::Incomplete);
    assert_eq!(handshake.poll_timeout(), None);
    assert!(tx.is_empty());
}

fn plain_client() -> client::Handshake {
    client(&client::Request::new("ws://h").unwrap()).0
}

#[test]
fn c_32_deadline() {
    let mut handshake = plain_client();
    assert_eq!(handshake.poll_timeout(), Some(Duration::ZERO));
    handshake.handle_timeout(START).unwrap();
    assert_eq!(handshake.poll_timeout(), Some(after(10)));
    handshake.handle_timeout(after(9)).unwrap();
    assert_eq!(handshake.handle_timeout(after(10)), Err(HandshakeError::TimedOut));
    assert_eq!(handshake.poll_timeout(), None);
    assert_eq!(handshake.handle_timeout(after(10)), Err(HandshakeError::TimedOut));
    let error = handshake.read_response(&mut RecvBuffer::new()).unwrap_err();
    assert_eq!(error, HandshakeError::TimedOut);
}

/// A server that refuses and then keeps the connection open: the refusal is what to report.
#[test]
fn c_32_deadline_in_a_refusal() {
    let mut handshake = plain_client();
    let mut rx = RecvBuffer::new();
    handshake.handle_timeout(START).unwrap();
    rx.extend_from_slice(b"HTTP/1.1 404 Not Found\r\n\r\nno such");
    assert!(handshake.read_response(&mut rx).unwrap().is_none());
    assert_eq!(handshake.poll_timeout(), Some(after(10)));
    handshake.handle_timeout(after(10)).unwrap();
    let Some(Response::Refused(refused)) = handshake.read_response(&mut rx).unwrap() else {
        panic!("no response");
    };
    assert_eq!((refused.status(), refused.body()), (404, &b"no such"[..]));
    assert_eq!(handshake.poll_timeout(), None);
}

#[test]
fn c_32_end_of_the_connection() {
    for start in ["", "H", "HTTP/1.1 10", "HTTP/1.1 101\r\n", &GOLDEN_RESPONSE[..100]] {
        let mut handshake = plain_client();
        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(start.as_bytes());
        assert!(handshake.read_response(&mut rx).unwrap().is_none());
        assert_eq!(handshake.receive_eof().unwrap_err(), HandshakeError::Incomplete);
        assert_eq!(handshake.receive_eof().unwrap_err(), HandshakeError::Incomplete);
        let error = handshake.read_response(&mut rx).unwrap_err();
        assert_eq!(error, HandshakeError::Incomplete);
    }
}
