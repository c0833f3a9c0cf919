use super::negotiation::{self, Agreed, Params, Settings};
use super::second_opinion::{self, PlainHead};
use super::{Input, Piece, check_memory};
use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::handshake::HandshakeError;
use sansws::handshake::client::{Handshake, Request, Response};

/// What a server answers to a client that wants to open a connection.
///
/// However the bytes are cut: the same verdict, and the same bytes left behind the head. A
/// connection is open only if another reading of the response finds in it what RFC 6455 §4.1 wants,
/// and always if that finds it plainly right; what was understood is what is there. A refusal keeps
/// its body within the limit, and can be shown to people. No more is waited for than the end of a
/// head that is the last one. In some runs compression is offered: an answer to that opens the
/// connection if RFC 7692 §7.1 allows it, and is understood as that says.
pub fn handshake_response(data: &[u8]) {
    let input = Input::new(data);
    let mut config = Config::new().max_head_len(4096).max_headers(24).max_refusal_body_len(1000);
    if input.is_set(SWITCH_LOW_LIMITS) {
        config = config.max_head_len(300).max_headers(8).max_refusal_body_len(4);
    }
    let offer = match (input.is_set(SWITCH_OFFER), input.is_set(SWITCH_REQUIRE)) {
        (false, _) => Offer::Nothing,
        (true, false) => Offer::Subprotocols,
        (true, true) => Offer::RequiredSubprotocols,
    };
    let settings = settings(&input);
    #[cfg(feature = "deflate")]
    let config = match &settings {
        Some(settings) => config.deflate(settings.deflate()),
        None => config,
    };
    let expected = ask(&[Piece { bytes: input.bytes, way: 0 }], &config, offer);
    let Some(head) = PlainHead::read(&expected.request) else { panic!("no request") };
    let extensions = negotiation::read(&head.all("sec-websocket-extensions"));
    let compression = negotiation::check_offer(settings.as_ref(), &extensions.unwrap_or_default());
    assert_eq!(ask(&input.pieces(), &config, offer), expected);

    if is_plainly_right(&input, offer, compression.as_ref()) {
        assert!(matches!(expected.verdict, Ok(Answer::Accepted(_))), "{:?}", expected.verdict);
    }
    match &expected.verdict {
        Ok(Answer::Accepted(response)) => {
            check_accepted(&input, &expected, offer, compression.as_ref(), response);
            let config = config.max_head_len(usize::MAX);
            let again = ask(&[Piece { bytes: response, way: 0 }], &config, offer);
            assert_eq!((again.verdict, again.details), (expected.verdict, expected.details));
            assert_eq!(again.agreed, expected.agreed);
            assert!(again.left.is_empty());
        }
        Ok(Answer::Refused { status, body }) => {
            let most = if input.is_set(SWITCH_LOW_LIMITS) { 4 } else { 1000 };
            let head = last_head(input.bytes);
            let is_it = |it: &[u8]| it == status.to_string().as_bytes();
            assert!(head.start_line.get(9..12).is_some_and(is_it), "{status}");
            assert!(matches!(status, 200..=999), "{status}");
            head.check_fields();
            assert!(body.len() <= most);
            assert!(!expected.details.chars().any(char::is_control), "{}", expected.details);
        }
        Err(error) => {
            let is_incomplete = *error == HandshakeError::Incomplete;
            assert!(!is_incomplete || !has_last_head(input.bytes), "it is complete");
        }
    }
}

/// Whether the bytes begin with a complete head, behind those of interim responses.
fn has_last_head(mut bytes: &[u8]) -> bool {
    while bytes.starts_with(b"HTTP/1.") {
        let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { return false };
        if !is_interim(bytes) {
            return true;
        }
        bytes = &bytes[end + 4..];
    }
    false
}

/// RFC 9110 §15.2: 100 to 199 come before the response, apart from the one that is asked for.
fn is_interim(head: &[u8]) -> bool {
    head.get(9) == Some(&b'1') && head.get(9..12) != Some(b"101")
}

/// The head behind those of interim responses.
fn last_head(mut bytes: &[u8]) -> PlainHead<'_> {
    loop {
        let Some(head) = PlainHead::read(bytes) else { panic!("there is no complete head") };
        if !is_interim(bytes) {
            return head;
        }
        bytes = head.rest;
    }
}

/// A response that no client could refuse, and that stays within the limits.
fn is_plainly_right(input: &Input<'_>, offer: Offer, compression: Option<&Params>) -> bool {
    let low = input.is_set(SWITCH_LOW_LIMITS);
    let (max_head_len, max_headers) = if low { (300, 8) } else { (4096, 24) };
    let Some(head) = PlainHead::read(input.bytes) else { return false };
    let Some(reason) = head.start_line.strip_prefix(b"HTTP/1.1 101 ") else { return false };
    let head_len = input.bytes.len() - head.rest.len();
    let accept = second_opinion::accept(KEY);
    let mut needed = vec![
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-accept", &accept),
    ];
    match head.all("sec-websocket-protocol")[..] {
        [] if offer != Offer::RequiredSubprotocols => {}
        [chosen] if offer != Offer::Nothing => {
            let is_it = |it: &&&str| it.as_bytes() == chosen;
            let Some(chosen) = SUBPROTOCOLS.iter().find(is_it) else { return false };
            needed.push(("sec-websocket-protocol", chosen));
        }
        _ => return false,
    }
    let extensions = negotiation::read(&head.all("sec-websocket-extensions"));
    if extensions.is_none_or(|it| negotiation::confirm(compression, &it).is_err()) {
        return false;
    }
    // compared in its own case: it is base64
    head.all("sec-websocket-accept") == [accept.as_bytes()]
        && second_opinion::has_plain_lines(&input.bytes[..head_len])
        && head_len <= max_head_len
        && head.fields.len() <= max_headers
        && reason.iter().all(|it| it.is_ascii_alphanumeric() || *it == b' ')
        && head.is_plainly(&needed)
}

const SWITCH_LOW_LIMITS: u32 = 0;
const SWITCH_OFFER: u32 = 1;
const SWITCH_REQUIRE: u32 = 2;
const SWITCH_DEFLATE: u32 = 3;
const SWITCH_NO_TAKEOVER: u32 = 4;
const SWITCH_SERVER_BITS: u32 = 5;
const SWITCH_CLIENT_BITS: u32 = 6;
const SWITCH_FEWER_BITS: u32 = 7;

/// `None` if compression is not offered.
fn settings(input: &Input<'_>) -> Option<Settings> {
    let fewer = input.is_set(SWITCH_FEWER_BITS);
    (cfg!(feature = "deflate") && input.is_set(SWITCH_DEFLATE)).then(|| Settings {
        server_no_context_takeover: input.is_set(SWITCH_NO_TAKEOVER),
        client_no_context_takeover: input.is_set(SWITCH_NO_TAKEOVER) && fewer,
        server_max_window_bits: if input.is_set(SWITCH_SERVER_BITS) { 11 } else { 15 },
        client_max_window_bits: match input.is_set(SWITCH_CLIENT_BITS) {
            true => Some(if fewer { 12 } else { 15 }),
            false => None,
        },
        min_window_bits: 8,
    })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Offer {
    Nothing,
    Subprotocols,
    RequiredSubprotocols,
}

const SUBPROTOCOLS: [&str; 2] = ["chat", "superchat"];

/// Gives the key of RFC 6455 §1.3.
const NONCE: [u8; 16] = *b"the sample nonce";
const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";

#[derive(Debug, PartialEq)]
enum Answer {
    /// The response as it was understood.
    Accepted(Vec<u8>),
    Refused {
        status: u16,
        body: Vec<u8>,
    },
}

#[derive(Debug, PartialEq)]
struct Seen {
    verdict: Result<Answer, HandshakeError>,
    details: String,
    agreed: Option<Agreed>,
    left: Vec<u8>,
    request: Vec<u8>,
}

/// Sends a request and reads the pieces, which are all that comes.
fn ask(pieces: &[Piece<'_>], config: &Config, offer: Offer) -> Seen {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    let Ok(mut request) = Request::new("ws://server.example.com/chat") else { unreachable!() };
    if offer != Offer::Nothing {
        for subprotocol in SUBPROTOCOLS {
            request = request.subprotocol(subprotocol);
        }
    }
    if offer == Offer::RequiredSubprotocols {
        request = request.require_subprotocol();
    }
    let Ok(mut handshake) = Handshake::start(&request, NONCE, config, &mut tx) else {
        unreachable!()
    };
    let request = tx.copy_to_bytes(tx.remaining()).to_vec();
    let (mut found, mut received) = (Ok(None), 0);
    for piece in pieces {
        piece.feed(&mut rx);
        received += piece.bytes.len();
        let now = handshake.read_response(&mut rx);
        match (&found, now) {
            (Err(before), now) => assert_eq!(Some(before), now.err().as_ref(), "not for ever"),
            (Ok(Some(_)), now) => assert!(matches!(now, Ok(None)), "two responses"),
            (Ok(None), now) => found = now,
        }
        check_memory(&rx, received, 0);
    }
    let ended = handshake.receive_eof();
    if let Ok(None) = found {
        found = ended;
    }
    let (mut left, mut agreed) = (Vec::new(), None);
    let mut details = String::new();
    let verdict = match found {
        Ok(None) => unreachable!("the end of the connection is the end of the handshake"),
        Ok(Some(Response::Accepted(accepted))) => {
            left = rx.unparsed().to_vec();
            details = format!("{:?}", accepted.subprotocol());
            #[cfg(feature = "deflate")]
            let has_agreed = negotiation::agreed(accepted.deflate());
            #[cfg(not(feature = "deflate"))]
            let has_agreed = None;
            agreed = has_agreed;
            let mut bytes = b"HTTP/1.1 101 \r\n".to_vec();
            for (name, value) in accepted.headers() {
                bytes.extend_from_slice(format!("{name}: ").as_bytes());
                bytes.extend_from_slice(value);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"\r\n");
            Ok(Answer::Accepted(bytes))
        }
        Ok(Some(Response::Refused(refused))) => {
            details = refused.to_string();
            Ok(Answer::Refused { status: refused.status(), body: refused.body().to_vec() })
        }
        Ok(Some(other)) => panic!("a response that the fuzzers do not know: {other:?}"),
        Err(error) => Err(error),
    };
    Seen { verdict, details, agreed, left, request }
}

/// RFC 6455 §4.1, by a second reading of the bytes that came.
fn check_accepted(
    input: &Input<'_>,
    seen: &Seen,
    offer: Offer,
    compression: Option<&Params>,
    understood: &[u8],
) {
    let head = last_head(input.bytes);
    assert_eq!(head.rest, seen.left, "exactly the head is taken");
    head.check_fields();
    let Some(understood) = PlainHead::read(understood) else { panic!("none was understood") };
    assert_eq!(unfolded(&understood), unfolded(&head));
    assert!(head.start_line.starts_with(b"HTTP/1.1 101"));
    assert!(matches!(head.start_line.get(12), None | Some(b' ')));
    let [upgrade] = head.all("upgrade")[..] else { panic!("Upgrade is not there once") };
    assert!(upgrade.eq_ignore_ascii_case(b"websocket"));
    assert!(head.lists("connection", "upgrade"));
    let accept = second_opinion::accept(KEY);
    assert_eq!(head.all("sec-websocket-accept"), [accept.as_bytes()]);
    let extensions = negotiation::read(&head.all("sec-websocket-extensions"));
    let Some(extensions) = extensions else {
        panic!("extensions that do not follow their grammar")
    };
    assert_eq!(negotiation::confirm(compression, &extensions), Ok(seen.agreed), "{compression:?}");
    match head.elements("sec-websocket-protocol")[..] {
        [] => assert_ne!(offer, Offer::RequiredSubprotocols),
        [chosen] => {
            assert_ne!(offer, Offer::Nothing);
            assert!(SUBPROTOCOLS.iter().any(|it| it.as_bytes() == chosen));
        }
        _ => panic!("several subprotocols"),
    }
}

/// The lines, with one space wherever there is white space: RFC 9112 §5.2 leaves it open how much
/// of it stands for the end of a line that goes on.
fn unfolded<'a>(head: &'a PlainHead<'_>) -> Vec<(&'a str, Vec<u8>)> {
    let is_space = |byte: &u8| b" \t".contains(byte);
    let words = |value: &[u8]| -> Vec<u8> {
        let words: Vec<_> = value.split(is_space).filter(|word| !word.is_empty()).collect();
        words.join(&b' ')
    };
    head.fields.iter().map(|(name, value)| (&**name, words(value))).collect()
}
