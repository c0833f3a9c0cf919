//! What holds for any input.

use proptest::prelude::*;
use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::handshake::client::{Request, Response, UrlError};
use sansws::handshake::server::{Accept, Handshake};
use sansws::handshake::{HandshakeError, Origin, accept_key, extensions};

use crate::handshake::support::*;

/// What a server makes of `pieces`: its verdict and its answer.
fn serve<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Result<bool, HandshakeError>, Vec<u8>) {
    let config = Config::new();
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut handshake = Handshake::new(&config);
    let mut verdict = Ok(false);
    for piece in pieces {
        rx.extend_from_slice(piece);
        match handshake.read_request(&mut rx, &mut tx) {
            Ok(None) => {}
            Ok(Some(request)) => {
                verdict = request.check().map(|()| true);
                let _ = request.accept(&Accept::default(), &config, &mut tx);
            }
            Err(error) => verdict = Err(error),
        }
    }
    (verdict, sent(&mut tx).into_bytes())
}

/// What a client makes of `pieces` and the end of the connection.
fn ask<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<String, HandshakeError> {
    let request = Request::new("ws://h").unwrap().subprotocol("chat");
    let (mut handshake, _) = client(&request);
    let mut rx = RecvBuffer::new();
    let mut found = None;
    for piece in pieces {
        rx.extend_from_slice(piece);
        found = found.or(handshake.read_response(&mut rx)?);
    }
    if found.is_none() {
        found = handshake.receive_eof()?;
    }
    Ok(match found {
        Some(Response::Accepted(accepted)) => format!("{accepted:?}"),
        Some(Response::Refused(refused)) => format!("{refused:?} {refused}"),
        _ => unreachable!(),
    })
}

/// Bytes that look like HTTP, more or less.
fn httpish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "GET ", "/ ", "HTTP/1.1\r\n", "HTTP/1.0 ", "HTTP/1.1 101 \r\n", "HTTP/1.1 404 No\r\n",
            "Host: h\r\n", "Upgrade: websocket\r\n", "Connection: Upgrade\r\n", "\r\n", "\r", "\n",
            "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", "X", ":", " ", ",", ";", "=",
            "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", "0\r\n",
            "Sec-WebSocket-Extensions: a; b=\"c\"\r\n", "Sec-WebSocket-Protocol: chat\r\n",
            "HTTP/1.1 100 \r\n\r\n", "\"", "\\",
        ]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(bytes: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<_> = at.iter().map(|index| index.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..5)
}

proptest! {
    /// H-37, P-24
    #[test]
    fn servers_see_no_difference_between_splits(bytes in httpish(), at in cuts()) {
        prop_assert_eq!(serve([&bytes[..]]), serve(cut(&bytes, &at)));
        prop_assert_eq!(serve([&bytes[..]]), serve(bytes.chunks(1)));
    }

    #[test]
    fn clients_see_no_difference_between_splits(bytes in httpish(), at in cuts()) {
        prop_assert_eq!(ask([&bytes[..]]), ask(cut(&bytes, &at)));
        prop_assert_eq!(ask([&bytes[..]]), ask(bytes.chunks(1)));
    }

    #[test]
    fn valid_requests_in_any_pieces(at in cuts()) {
        let (verdict, answer) = serve(cut(GOLDEN_REQUEST.as_bytes(), &at));
        prop_assert_eq!(verdict, Ok(true));
        prop_assert!(answer.starts_with(b"HTTP/1.1 101 "));
        let (verdict, _) = serve(cut(&GOLDEN_REQUEST.as_bytes()[..100], &at));
        prop_assert_eq!(verdict, Ok(false));
    }

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (verdict, answer) = serve([&bytes[..]]);
        prop_assert_eq!(verdict.is_err(), !answer.is_empty());
        let _ = ask([&bytes[..]]);
        let _ = extensions::parse([&bytes[..]]).count();
        accept_key(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = (text.parse::<Origin>(), Request::new(&text));
        let _ = Request::new(&format!("ws://{text}"));
    }

    /// One byte of a valid request replaced: an answer, and never a panic.
    #[test]
    fn mutations(at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = GOLDEN_REQUEST.as_bytes().to_vec();
        *at.get_mut(&mut bytes) = byte;
        let (verdict, answer) = serve([&bytes[..]]);
        prop_assert_eq!(verdict == Ok(false), answer.is_empty());
        let mut bytes = GOLDEN_RESPONSE.as_bytes().to_vec();
        *at.get_mut(&mut bytes) = byte;
        let _ = ask([&bytes[..]]);
    }

    /// P-10, P-11: order and case of names, and the space around values, change nothing.
    #[test]
    fn order_case_and_space(
        lines in Just(NEEDED.map(str::to_owned).to_vec()).prop_shuffle(),
        missing in prop::option::of(0..NEEDED.len()),
        upper in any::<u64>(),
        before in "[ \t]{0,3}",
        after in "[ \t]{0,3}",
    ) {
        let keep = |line: &String| missing.is_none_or(|missing| *line != NEEDED[missing]);
        let plain: Vec<_> = NEEDED.iter().map(|it| it.to_string()).filter(keep).collect();
        let varied: Vec<_> = lines.iter().filter(|line| keep(line)).map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            let flip = |(at, char): (usize, char)| match upper >> at & 1 {
                0 => char.to_ascii_lowercase(),
                _ => char.to_ascii_uppercase(),
            };
            let name: String = name.chars().enumerate().map(flip).collect();
            format!("{name}:{before}{value}{after}")
        }).collect();
        let head = |lines: &[String]| format!("GET / HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
        let (plain, varied) = (head(&plain), head(&varied));
        prop_assert_eq!(serve([plain.as_bytes()]), serve([varied.as_bytes()]));
    }

    /// What can be written can be read.
    #[test]
    fn extensions_round_trip(
        list in prop::collection::vec(
            (
                "[a-z-]{1,8}",
                prop::collection::vec(("[a-z_]{1,8}", prop::option::of("[a-z0-9]{1,3}")), 0..4),
            ),
            1..4,
        )
    ) {
        let list: Vec<_> = list.iter().map(|(name, params)| {
            let extension = extensions::Extension::new(name).unwrap();
            params.iter().fold(extension, |it, (name, value)| {
                it.param(name, value.as_deref()).unwrap()
            })
        }).collect();
        let line = list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let read: Result<Vec<_>, _> = extensions::parse([line.as_bytes()]).collect();
        prop_assert_eq!(read, Ok(list));
    }

    /// URLs that are accepted make requests that a server understands.
    #[test]
    fn urls_make_valid_requests(
        start in "wss?://([a-z:%@]{0,6}@)?",
        rest in "[a-z0-9.]{1,9}(:[0-9]{0,6})?[/?]?[ -~]{0,20}",
    ) {
        let url = start + &rest;
        match Request::new(&url) {
            Ok(request) => {
                let (_, head) = client(&request);
                prop_assert_eq!(serve([head.as_bytes()]).0, Ok(true));
            }
            Err(error) => prop_assert_ne!(error, UrlError::InvalidScheme),
        }
    }
}
