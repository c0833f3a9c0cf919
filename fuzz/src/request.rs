use sansws::bytes::Buf;

use super::negotiation::{self, Agreed, Settings};
use super::second_opinion::{self, PlainHead};
use super::{Input, Piece, check_memory};
use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::handshake::HandshakeError;
use sansws::handshake::server::{Accept, AcceptError, Handshake, Reject, Request};
use sansws::proto::State;

/// What a client sends to open a connection.
///
/// However the bytes are cut: the same verdict, the same answer, and the same bytes left behind the
/// head. What was understood is what another reading of the head finds in it. Whoever is let in has
/// sent what RFC 6455 §4.2.1 wants, by that reading, and would be let in again with the request as
/// we understood it. Whoever is not gets an answer that HTTP can read; that is nobody who has sent
/// what is plainly right. No more is waited for than the end of a head, nor beyond the limit. In
/// some runs messages may be compressed: what is agreed on is what RFC 7692 §7.1 allows.
pub fn handshake_request(data: &[u8]) {
    let input = Input::new(data);
    let Limits { max_head_len, max_headers, max_target_len } = limits(&input);
    let config = Config::new()
        .max_head_len(max_head_len)
        .max_headers(max_headers)
        .max_target_len(max_target_len);
    let settings = settings(&input);
    #[cfg(feature = "deflate")]
    let config = match &settings {
        Some(settings) => config.deflate(settings.deflate()),
        None => config,
    };
    let rejects = input.is_set(SWITCH_REJECT);
    let expected = serve(&[Piece { bytes: input.bytes, way: 0 }], &config, rejects);
    assert_eq!(serve(&input.pieces(), &config, rejects), expected);

    if is_plainly_right(&input) {
        let accepted = if rejects { Verdict::Rejected } else { Verdict::Accepted };
        assert_eq!(expected.verdict, accepted, "plainly right");
    }
    match &expected.verdict {
        Verdict::Incomplete => {
            assert!(expected.answer.is_empty());
            assert!(!second_opinion::has_end(without_empty_lines(input.bytes)), "it is complete");
            let limit = limits(&input).max_head_len + 2 * EMPTY_LINES;
            assert!(input.bytes.len() <= limit, "{} bytes and no end", input.bytes.len());
        }
        Verdict::Accepted => check_accepted(&input, &expected, settings.as_ref()),
        Verdict::Rejected => check_refusal(&expected.answer, 503),
        Verdict::Failed(error) => {
            check_refusal(&expected.answer, error.status().unwrap_or_default());
        }
    }
    if let Some(request) = &expected.request {
        check_understood(&input, &expected, request);
        // what was understood, written down and read again
        let config = config.max_head_len(usize::MAX);
        let again = serve(&[Piece { bytes: request, way: 0 }], &config, rejects);
        assert_eq!((again.verdict, again.answer), (expected.verdict, expected.answer));
        assert_eq!(again.agreed, expected.agreed);
        assert_eq!(again.request.as_ref(), Some(request));
        assert!(again.left.is_empty());
    }
}

const SWITCH_LOW_LIMITS: u32 = 0;
const SWITCH_REJECT: u32 = 1;
const SWITCH_DEFLATE: u32 = 2;
const SWITCH_SERVER_TAKEOVER: u32 = 3;
const SWITCH_CLIENT_TAKEOVER: u32 = 4;
const SWITCH_SERVER_BITS: u32 = 5;
const SWITCH_CLIENT_BITS: u32 = 6;
const SWITCH_MIN_BITS: u32 = 7;

/// `None` if nothing is compressed.
fn settings(input: &Input<'_>) -> Option<Settings> {
    (cfg!(feature = "deflate") && input.is_set(SWITCH_DEFLATE)).then(|| Settings {
        server_no_context_takeover: !input.is_set(SWITCH_SERVER_TAKEOVER),
        client_no_context_takeover: !input.is_set(SWITCH_CLIENT_TAKEOVER),
        server_max_window_bits: if input.is_set(SWITCH_SERVER_BITS) { 11 } else { 15 },
        client_max_window_bits: if input.is_set(SWITCH_CLIENT_BITS) { Some(12) } else { None },
        min_window_bits: if input.is_set(SWITCH_MIN_BITS) { 10 } else { 8 },
    })
}

struct Limits {
    max_head_len: usize,
    max_headers: usize,
    max_target_len: usize,
}

fn limits(input: &Input<'_>) -> Limits {
    match input.is_set(SWITCH_LOW_LIMITS) {
        false => Limits { max_head_len: 4096, max_headers: 24, max_target_len: 256 },
        true => Limits { max_head_len: 300, max_headers: 8, max_target_len: 20 },
    }
}

/// Ours: what may stand before a request (RFC 9112 §2.2 asks for one).
const EMPTY_LINES: usize = 4;

fn without_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    bytes
}

/// A request that no server could refuse, and that stays within the limits.
fn is_plainly_right(input: &Input<'_>) -> bool {
    let limits = limits(input);
    let bytes = without_empty_lines(input.bytes);
    if input.bytes.len() - bytes.len() > 2 * EMPTY_LINES {
        return false;
    }
    let Some(head) = PlainHead::read(bytes) else { return false };
    let line = head.start_line.strip_prefix(b"GET /").and_then(|it| it.strip_suffix(b" HTTP/1.1"));
    let Some(target) = line else { return false };
    let [host] = head.all("host")[..] else { return false };
    let [key] = head.all("sec-websocket-key")[..] else { return false };
    let (Ok(host), Ok(key)) = (str::from_utf8(host), str::from_utf8(key)) else { return false };
    let head_len = bytes.len() - head.rest.len();
    second_opinion::has_plain_lines(&bytes[..head_len])
        && head_len <= limits.max_head_len
        && head.fields.len() <= limits.max_headers
        && target.len() < limits.max_target_len
        && target.iter().all(|it| it.is_ascii_alphanumeric() || b"-._~/?&=".contains(it))
        && second_opinion::is_plain_host(host)
        && second_opinion::is_key(key.as_bytes())
        && negotiation::read(&head.all("sec-websocket-extensions")).is_some()
        && head.is_plainly(&[
            ("host", host),
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-key", key),
            ("sec-websocket-version", "13"),
        ])
}

/// RFC 9112 §2, §3, §5: what was understood is what is there, and all of it.
fn check_understood(input: &Input<'_>, seen: &Seen, request: &[u8]) {
    let bytes = without_empty_lines(input.bytes);
    let Some(head) = PlainHead::read(bytes) else { panic!("there is no complete head") };
    assert_eq!(head.rest, seen.left, "exactly the head is taken");
    assert!(second_opinion::has_plain_lines(&bytes[..bytes.len() - head.rest.len()]));
    head.check_fields();
    let Some(understood) = PlainHead::read(request) else { panic!("none was understood") };
    assert_eq!(understood.fields, head.fields);
    let (minor, line) = head.start_line.split_last().unwrap_or((&0, &[]));
    assert!(minor.is_ascii_digit());
    // RFC 9110 §2.5: a higher minor version is the highest that is known
    let known = if *minor == b'0' { b'0' } else { b'1' };
    assert_eq!(understood.start_line, [line, &[known]].concat());
    let words: Vec<_> = line.split(|byte| *byte == b' ').collect();
    let [method, target, b"HTTP/1."] = words[..] else { panic!("no start line: {words:?}") };
    assert!(second_opinion::is_token(method));
    assert!(target.iter().all(|it| it.is_ascii_graphic() && *it != b'#'));
    let hosts = head.all("host").len();
    assert!(hosts == 1 || hosts == 0 && *minor == b'0', "{hosts} hosts");
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Incomplete,
    Accepted,
    /// By the application.
    Rejected,
    Failed(HandshakeError),
}

#[derive(Debug, PartialEq)]
struct Seen {
    verdict: Verdict,
    answer: Vec<u8>,
    /// The request, if there was one, as we understand it.
    request: Option<Vec<u8>>,
    details: String,
    agreed: Option<Agreed>,
    left: Vec<u8>,
}

fn serve(pieces: &[Piece<'_>], config: &Config, rejects: bool) -> Seen {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let mut handshake = Handshake::new(config);
    let mut verdict = Verdict::Incomplete;
    let (mut request, mut details, mut received) = (None, String::new(), 0);
    let (mut left, mut agreed) = (None, None);
    for piece in pieces {
        piece.feed(&mut rx);
        received += piece.bytes.len();
        match handshake.read_request(&mut rx, &mut tx) {
            Ok(None) => {}
            Ok(Some(read)) => {
                request = Some(written(&read));
                details = detailed(&read);
                verdict = if rejects {
                    let reject = Reject::new(503).body(b"no");
                    assert_eq!(read.reject(&reject, &mut tx), Ok(()));
                    Verdict::Rejected
                } else {
                    accept(read, config, &mut tx, &mut agreed)
                };
            }
            Err(error) => {
                if let Verdict::Failed(before) = &verdict {
                    assert_eq!(before, &error, "an error is for ever");
                } else {
                    verdict = Verdict::Failed(error);
                }
            }
        }
        // what a failed handshake leaves behind is nobody's
        if request.is_some() {
            left = Some(rx.unparsed().to_vec());
        }
        check_memory(&rx, received, 0);
    }
    if verdict == Verdict::Incomplete {
        assert_eq!(handshake.receive_eof(), HandshakeError::Incomplete);
    }
    let answer = tx.copy_to_bytes(tx.remaining()).to_vec();
    Seen { verdict, answer, request, details, agreed, left: left.unwrap_or_default() }
}

fn accept(
    request: Request,
    config: &Config,
    tx: &mut SendBuffer,
    agreed: &mut Option<Agreed>,
) -> Verdict {
    let checked = request.check();
    match request.accept(&Accept::default(), config, tx) {
        Ok(connection) => {
            #[cfg(feature = "deflate")]
            let has_agreed = negotiation::agreed(connection.deflate());
            #[cfg(not(feature = "deflate"))]
            let has_agreed = None;
            *agreed = has_agreed;
            assert_eq!((checked, connection.state()), (Ok(()), State::Open));
            Verdict::Accepted
        }
        Err(AcceptError::Peer(error)) => {
            assert_eq!(checked.as_ref(), Err(&error));
            Verdict::Failed(error)
        }
        Err(error) => panic!("nothing was asked for: {error}"),
    }
}

/// The request as it was understood, in the plainest form.
fn written(request: &Request) -> Vec<u8> {
    let minor = if request.is_http_1_0() { 0 } else { 1 };
    let line = format!("{} {} HTTP/1.{minor}\r\n", request.method(), request.target());
    let mut bytes = line.into_bytes();
    for (name, value) in request.headers() {
        bytes.extend_from_slice(format!("{name}: ").as_bytes());
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Everything else that can be asked.
fn detailed(request: &Request) -> String {
    let subprotocols: Vec<&str> = request.subprotocols().collect();
    let extensions: Vec<_> =
        request.extensions().map(|it| it.map(|extension| extension.to_string())).collect();
    assert!(request.path().starts_with('/') || request.target() == "*");
    if request.target().starts_with('/') {
        let (path, query) = match request.target().split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.target(), None),
        };
        assert_eq!((request.path(), request.query()), (path, query));
    }
    assert!(!request.host().is_empty() || request.is_http_1_0());
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {subprotocols:?} {extensions:?} {request:?}",
        request.path(),
        request.query(),
        request.host(),
        request.origin(),
        request.is_same_origin(),
        request.is_upgrade(),
    )
}

/// RFC 6455 §4.2.1 and §4.2.2, by a second reading of the bytes that came.
fn check_accepted(input: &Input<'_>, seen: &Seen, settings: Option<&Settings>) {
    let bytes = without_empty_lines(input.bytes);
    let Some(head) = PlainHead::read(bytes) else { panic!("there is no complete head") };
    assert!(head.start_line.starts_with(b"GET "));
    // §4.2.1: "An HTTP/1.1 or higher GET request"
    assert!(head.start_line.last().is_some_and(|it| (b'1'..=b'9').contains(it)));
    assert!(head.lists("upgrade", "websocket"));
    assert!(head.lists("connection", "upgrade"));
    assert_eq!(head.all("sec-websocket-version"), [b"13"]);
    assert!(head.all("transfer-encoding").is_empty(), "a body");
    assert!(head.elements("content-length").iter().all(|it| it.iter().all(|it| *it == b'0')));
    let keys = head.all("sec-websocket-key");
    let [key] = keys[..] else { panic!("{} keys", keys.len()) };
    assert!(second_opinion::is_key(key), "{key:?}");
    let subprotocols = head.elements("sec-websocket-protocol");
    assert!(subprotocols.iter().copied().all(second_opinion::is_token));
    let is_unique = |(at, it): (usize, &&[u8])| !subprotocols[..at].contains(it);
    assert!(subprotocols.iter().enumerate().all(is_unique), "one is there twice");

    let offers = negotiation::read(&head.all("sec-websocket-extensions"));
    let Some(offers) = offers else { panic!("extensions that do not follow their grammar") };

    let answer = match head.lists("expect", "100-continue") {
        true => seen.answer.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap_or_default(),
        false => &seen.answer,
    };
    let Some(answer) = PlainHead::read(answer) else { panic!("no answer that HTTP could read") };
    assert!(answer.rest.is_empty());
    assert_eq!(answer.start_line, b"HTTP/1.1 101 Switching Protocols");
    let mut expected = vec![
        ("upgrade".to_string(), b"websocket".to_vec()),
        ("connection".to_string(), b"Upgrade".to_vec()),
        ("sec-websocket-accept".to_string(), second_opinion::accept(key).into_bytes()),
    ];
    let chosen = answer.all("sec-websocket-extensions");
    expected.extend(chosen.iter().map(|it| ("sec-websocket-extensions".to_string(), it.to_vec())));
    expected.sort();
    let mut fields = answer.fields.clone();
    fields.sort();
    assert_eq!(fields, expected);
    let Some(chosen) = negotiation::read(&chosen) else { panic!("{chosen:?}") };
    negotiation::check_answer(settings, &offers, &chosen, seen.agreed);
}

/// RFC 9112 §6, §9.6: an answer that can be read, with this status and a body as long as announced.
fn check_refusal(answer: &[u8], status: u16) {
    let Some(head) = PlainHead::read(answer) else { panic!("no answer that HTTP could read") };
    let start = format!("HTTP/1.1 {status} ");
    assert!(head.start_line.starts_with(start.as_bytes()), "{status} was to be answered");
    assert!(head.lists("connection", "close"));
    // without a body there is the length that a GET would have had
    let len = [head.rest.len().to_string()];
    let announced = head.all("content-length");
    assert!(head.rest.is_empty() || announced == [len[0].as_bytes()]);
    assert!(head.all("sec-websocket-accept").is_empty());
}
