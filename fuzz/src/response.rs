use super::second_opinion::{self, PlainHead};
use super::{Input, Piece, check_memory};
use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::handshake::HandshakeError;
use sansws::handshake::client::{Handshake, Request, Response};

/// What a server answers to a client that wants to open a connection.
///
/// However the bytes are cut: the same verdict, and the same bytes left behind the head. A
/// connection is open only if another reading of the response finds in it what RFC 6455 §4.1 wants.
/// A refusal keeps its body within the limit, and can be shown to people.
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
    let expected = ask(&[Piece { bytes: input.bytes, way: 0 }], &config, offer);
    assert_eq!(ask(&input.pieces(), &config, offer), expected);

    match &expected.verdict {
        Ok(Answer::Accepted(response)) => {
            check_accepted(&input, &expected, offer);
            let config = config.max_head_len(usize::MAX);
            let again = ask(&[Piece { bytes: response, way: 0 }], &config, offer);
            assert_eq!((again.verdict, again.details), (expected.verdict, expected.details));
            assert!(again.left.is_empty());
        }
        Ok(Answer::Refused { status, body }) => {
            let most = if input.is_set(SWITCH_LOW_LIMITS) { 4 } else { 1000 };
            assert!(matches!(status, 200..=999), "{status}");
            assert!(body.len() <= most);
            assert!(!expected.details.chars().any(char::is_control), "{}", expected.details);
        }
        Err(_) => {}
    }
}

const SWITCH_LOW_LIMITS: u32 = 0;
const SWITCH_OFFER: u32 = 1;
const SWITCH_REQUIRE: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Offer {
    Nothing,
    Subprotocols,
    RequiredSubprotocols,
}

const SUBPROTOCOLS: [&str; 2] = ["chat", "superchat"];

/// Gives the key of RFC 6455 §1.3.
const NONCE: [u8; 16] = *b"the sample nonce";

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
    left: Vec<u8>,
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
    let mut left = Vec::new();
    let mut details = String::new();
    let verdict = match found {
        Ok(None) => unreachable!("the end of the connection is the end of the handshake"),
        Ok(Some(Response::Accepted(accepted))) => {
            left = rx.unparsed().to_vec();
            details = format!("{:?}", accepted.subprotocol());
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
    Seen { verdict, details, left }
}

/// RFC 6455 §4.1, by a second reading of the bytes that came.
fn check_accepted(input: &Input<'_>, seen: &Seen, offer: Offer) {
    let mut bytes = input.bytes;
    let head = loop {
        let Some(head) = PlainHead::read(bytes) else { panic!("there is no complete head") };
        let interim =
            head.start_line.starts_with(b"HTTP/1.") && head.start_line.get(9) == Some(&b'1');
        if !interim || head.start_line.get(9..12) == Some(b"101") {
            break head;
        }
        bytes = head.rest; // 100 to 199 come before the response
    };
    assert_eq!(head.rest, seen.left, "exactly the head is taken");
    assert!(head.start_line.starts_with(b"HTTP/1.1 101"));
    assert!(matches!(head.start_line.get(12), None | Some(b' ')));
    let [upgrade] = head.all("upgrade")[..] else { panic!("Upgrade is not there once") };
    assert!(upgrade.eq_ignore_ascii_case(b"websocket"));
    assert!(head.lists("connection", "upgrade"));
    let accept = second_opinion::accept(b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(head.all("sec-websocket-accept"), [accept.as_bytes()]);
    assert!(head.elements("sec-websocket-extensions").is_empty(), "none was offered");
    match head.elements("sec-websocket-protocol")[..] {
        [] => assert_ne!(offer, Offer::RequiredSubprotocols),
        [chosen] => {
            assert_ne!(offer, Offer::Nothing);
            assert!(SUBPROTOCOLS.iter().any(|it| it.as_bytes() == chosen));
        }
        _ => panic!("several subprotocols"),
    }
}
