use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::handshake::client::{Handshake, Request, Response};

use super::{Input, Piece, check_memory};

/// The body of an answer that refuses the handshake: the one that another reading of its framing
/// finds, as far as it is kept, however it is cut.
///
/// The first two switches say how it is framed; what the peer sends is the body with its framing.
pub fn refusal_body(data: &[u8]) {
    let input = Input::new(data);
    let limit = if input.is_set(2) { 8 } else { 2000 };
    let (framing, expected) = match input.switches & 3 {
        0 => (String::new(), Some(input.bytes.to_vec())),
        1 => ("Transfer-Encoding: chunked\r\n".into(), chunked(input.bytes)),
        2 => {
            let length = usize::from(input.switches >> 3) * 8;
            let body = input.bytes[..length.min(input.bytes.len())].to_vec();
            (format!("Content-Length: {length}\r\n"), Some(body))
        }
        _ => ("Content-Length: 1\r\nContent-Length: 2\r\n".into(), Some(Vec::new())),
    };
    let head = format!("HTTP/1.1 403 Forbidden\r\n{framing}\r\n");
    let body = ask(&head, &[Piece { bytes: input.bytes, way: 0 }], limit);
    assert_eq!(ask(&head, &input.pieces(), limit), body);
    assert!(body.len() <= limit);
    if let Some(expected) = expected {
        assert_eq!(body, expected[..expected.len().min(limit)]);
    }
}

fn ask(head: &str, pieces: &[Piece<'_>], limit: usize) -> Vec<u8> {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let config = Config::new().max_refusal_body_len(limit);
    let Ok(request) = Request::new("ws://server.example.com/chat") else { unreachable!() };
    let Ok(mut handshake) = Handshake::start(&request, [1; 16], &config, &mut tx) else {
        unreachable!()
    };
    let mut found = None;
    let mut received = 0;
    for piece in [Piece { bytes: head.as_bytes(), way: 0 }].iter().chain(pieces) {
        piece.feed(&mut rx);
        received += piece.bytes.len();
        match handshake.read_response(&mut rx) {
            Ok(None) => {}
            Ok(Some(response)) if found.is_none() => found = Some(response),
            other => panic!("{other:?}"),
        }
        check_memory(&rx, received, 0);
    }
    if found.is_none() {
        found = handshake.receive_eof().unwrap_or_else(|error| panic!("{error}"));
    }
    match found {
        Some(Response::Refused(refused)) => {
            assert_eq!((refused.status(), refused.reason()), (403, "Forbidden"));
            assert!(!refused.to_string().chars().any(char::is_control));
            refused.body().to_vec()
        }
        other => panic!("{other:?}"),
    }
}

/// The chunked coding of RFC 9112 §7.1, without trailers; a coding that breaks off gives what came
/// before. `None` where there is more than data than anybody would send: sizes and extensions
/// together have a limit.
fn chunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let mut between = 0;
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let line = &bytes[..end];
        between += end + 3;
        if between > 1000 {
            return None;
        }
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let behind = line.get(digits);
        let size = str::from_utf8(&line[..digits]).ok();
        let size = size.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { break };
        if !matches!(behind, None | Some(b';' | b' ' | b'\t' | b'\r')) {
            break;
        }
        bytes = &bytes[end + 1..];
        let there = bytes.len().min(usize::try_from(size).unwrap_or(usize::MAX));
        body.extend_from_slice(&bytes[..there]);
        bytes = &bytes[there..];
        // the line that ends behind the data: as many CR as there are
        let line_end = bytes.iter().take_while(|byte| **byte == b'\r').count();
        between += line_end;
        if between > 1000 {
            return None;
        }
        match bytes.get(line_end) {
            Some(b'\n') => bytes = &bytes[line_end + 1..],
            _ => break,
        }
    }
    Some(body)
}
