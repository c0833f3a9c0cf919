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

fn check(role: Role, limits: (u16, u32, u32), closes: bool, bytes: &[u8], pieces: &[usize]) {
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
    };
    let expected = model::receive(&setting, bytes);

    let mut end = End::new(role, &config);
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
        assert_eq!(failed.is_some(), broken, "after {came} bytes: {failed:?}, {expected:?}");
    }
    assert_eq!(events, expected.events);
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
        check(Role::Server, limits, closes, &bytes, &pieces);
        check(Role::Server, limits, closes, &bytes, &[1]);
    }

    #[test]
    fn a_client_receives_what_the_model_does(
        bytes in stream(Role::Server),
        limits in limits(),
        closes in any::<bool>(),
        pieces in prop::collection::vec(1..40_usize, 1..6),
    ) {
        check(Role::Client, limits, closes, &bytes, &pieces);
        check(Role::Client, limits, closes, &bytes, &[1]);
    }
}
