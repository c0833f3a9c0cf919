//! What a connection makes of any bytes is what the model makes of them: events, replies and codes,
//! at the very byte.

use proptest::prelude::*;
use sansws::proto::Role;
use sansws::{CloseCode, CloseFrame, Config};

use super::splits::stream;
use crate::fuzz::entries::model;
use sansws_test::pair::*;

fn event(got: Got) -> model::Event {
    match got {
        Got::Text(text) => model::Event::Text(text),
        Got::Binary(bytes) => model::Event::Binary(bytes),
        Got::Ping(payload) => model::Event::Ping(payload),
        Got::Pong(payload) => model::Event::Pong(payload),
        Got::Close(close) => model::Event::Close(close),
        Got::Chunk { .. } => panic!("{got:?}, where messages are delivered whole"),
    }
}

/// With `deflate` messages may be compressed; with `Some(true)` each begins with an empty window.
#[derive(Clone, Copy, Debug)]
struct Rules {
    limits: (u16, u32, u32),
    closes: bool,
    deflate: Option<bool>,
}

fn check(role: Role, rules: Rules, bytes: &[u8], pieces: &[usize]) {
    let Rules { limits, closes, deflate } = rules;
    let (max_message_len, max_fragments, max_empty_fragments) = limits;
    let config = Config::new()
        .max_message_len(max_message_len.into())
        .max_fragments(max_fragments)
        .max_empty_fragments(max_empty_fragments)
        .max_pending_pongs(1000);
    let setting = model::Setting {
        is_server: role == Role::Server,
        max_message_len: max_message_len.into(),
        max_fragments,
        max_empty_fragments,
        closing: closes.then_some((1001, "bye")),
        echo: false,
        deflate,
    };
    let expected = model::receive(&setting, bytes);

    let mut end = End::new(role, &config);
    #[cfg(feature = "deflate")]
    if let Some(no_context_takeover) = deflate {
        let agreed = crate::rfc7692::support::agreed(no_context_takeover, 15);
        end = crate::rfc7692::support::end_with(role, &config, agreed, &Default::default());
    }
    if closes {
        let close = CloseFrame { code: CloseCode::GOING_AWAY, reason: "bye" };
        end.conn.close(&mut end.tx, Some(close)).unwrap();
    }
    let (mut events, mut failed, mut came) = (Vec::new(), None, 0);
    let mut lengths = pieces.iter().cycle();
    while came < bytes.len() && failed.is_none() {
        let piece = &bytes[came..bytes.len().min(came + lengths.next().unwrap())];
        let (more, result) = end.receive(piece);
        came += piece.len();
        events.extend(more.into_iter().map(event));
        failed = result.err();
        // as soon as the byte is there that breaks a rule, and not before
        let broken = expected.failure.as_ref().is_some_and(|failure| failure.at < came);
        if !is_vague(deflate, failed, &expected) {
            assert_eq!(failed.is_some(), broken, "after {came} bytes: {failed:?}, {expected:?}");
        }
    }
    if is_vague(deflate, failed, &expected) {
        let messages = |events: &[model::Event]| -> Vec<model::Event> {
            let is_message =
                |it: &&model::Event| matches!(it, model::Event::Text(_) | model::Event::Binary(_));
            events.iter().filter(is_message).cloned().collect()
        };
        assert_eq!(messages(&events), messages(&expected.events), "{failed:?}, {expected:?}");
        return;
    }
    assert_eq!(events, expected.events, "{failed:?}, {expected:?}");
    if let (Some(error), Some(failure)) = (failed, &expected.failure) {
        let name = format!("{error:?}");
        assert!(failure.rules.iter().any(|rule| name.starts_with(rule)), "{name}: {failure:?}");
        assert_eq!(error.close_code().as_u16(), failure.code);
    }
    assert_eq!(end.conn.close_info().map(|info| info.code), expected.close_code);
    let sent = match role {
        Role::Server => Some(end.sent()),
        Role::Client => model::without_masks(&end.sent()),
    };
    assert_eq!(sent, Some(expected.sent));
}

/// An engine looks ahead, and sees a fault in what is compressed some bytes sooner or later than
/// who goes bit by bit. No message comes of it either way.
fn is_vague(
    deflate: Option<bool>,
    failed: Option<sansws::ProtocolError>,
    expected: &model::Seen,
) -> bool {
    let by_model = |failure: &model::Failure| failure.rules == ["InvalidDeflate"];
    deflate.is_some()
        && (failed == Some(sansws::ProtocolError::InvalidDeflate)
            || expected.failure.as_ref().is_some_and(by_model))
}

fn limits() -> impl Strategy<Value = (u16, u32, u32)> {
    (prop_oneof![0..200_u16, Just(u16::MAX)], 1..8_u32, 0..4_u32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_server_receives_what_the_model_does(
        bytes in stream(Role::Client),
        limits in limits(),
        closes in any::<bool>(),
        pieces in prop::collection::vec(1..40_usize, 1..6),
    ) {
        let rules = Rules { limits, closes, deflate: None };
        check(Role::Server, rules, &bytes, &pieces);
        check(Role::Server, rules, &bytes, &[1]);
    }

    #[test]
    fn a_client_receives_what_the_model_does(
        bytes in stream(Role::Server),
        limits in limits(),
        closes in any::<bool>(),
        pieces in prop::collection::vec(1..40_usize, 1..6),
    ) {
        let rules = Rules { limits, closes, deflate: None };
        check(Role::Client, rules, &bytes, &pieces);
        check(Role::Client, rules, &bytes, &[1]);
    }
}

/// Messages that were compressed, in one frame or in several, some of their bytes changed.
#[cfg(feature = "deflate")]
mod compressed {
    use sansws::buf::SendBuffer;
    use sansws::bytes::Buf;
    use sansws::deflate::Deflate;
    use sansws::proto::{Connection, MessageKind, MessageRef};

    use super::*;
    use crate::rfc7692::support::agreed;

    fn message() -> impl Strategy<Value = (bool, Vec<String>)> {
        let part = prop_oneof!["[a-c\u{e9}]{0,30}", "(abc){0,40}", "[a-z\u{20ac}]{0,60}"];
        (any::<bool>(), prop::collection::vec(part, 1..4))
    }

    /// What an end sends of these.
    fn sent(role: Role, no_context_takeover: bool, messages: &[(bool, Vec<String>)]) -> Vec<u8> {
        let connection = match role {
            Role::Server => Connection::server(&Config::new()),
            Role::Client => Connection::client(&Config::new(), [9; 32]),
        };
        let settings = Deflate::new().threshold(1);
        let mut connection = connection.with_deflate(agreed(no_context_takeover, 15), &settings);
        let mut tx = SendBuffer::new();
        for (is_text, parts) in messages {
            let kind = if *is_text { MessageKind::Text } else { MessageKind::Binary };
            match &parts[..] {
                [whole] if *is_text => connection.feed(&mut tx, &**whole).unwrap(),
                [whole] => connection.feed(&mut tx, MessageRef::binary(whole.as_bytes())).unwrap(),
                [parts @ .., last] => {
                    let mut writer = connection.start_message(kind).unwrap();
                    for part in parts {
                        writer.write(&mut tx, part.as_bytes()).unwrap();
                    }
                    writer.finish(&mut tx, last.as_bytes()).unwrap();
                }
                [] => {}
            }
        }
        tx.copy_to_bytes(tx.remaining()).to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn an_end_receives_what_the_model_does(
            is_server in any::<bool>(),
            takes_over in any::<bool>(),
            messages in prop::collection::vec(message(), 1..4),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            limits in limits(),
            closes in any::<bool>(),
            pieces in prop::collection::vec(1..40_usize, 1..6),
        ) {
            let (role, peer) = match is_server {
                true => (Role::Server, Role::Client),
                false => (Role::Client, Role::Server),
            };
            let mut bytes = sent(peer, !takes_over, &messages);
            for (index, byte) in changes {
                let at = index.index(bytes.len().max(1));
                if let Some(it) = bytes.get_mut(at) {
                    *it = byte;
                }
            }
            let rules = Rules { limits, closes, deflate: Some(!takes_over) };
            check(role, rules, &bytes, &pieces);
            check(role, rules, &bytes, &[1]);
        }
    }
}
