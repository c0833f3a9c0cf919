//! §8.1, errors in UTF-8-encoded data.

use sansws::wire::Opcode;
use sansws::{Config, ProtocolError};

use sansws_test::pair::*;

const INVALID: [&[u8]; 19] = [
    // U-3: overlong
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xf8\x88\x80\x80\x80",
    // U-4: surrogates
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    // U-5: beyond U+10FFFF
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xfe",
    b"\xff",
    // U-6: lone, missing and truncated
    b"\x80",
    b"\xbf",
    b"\xc2",
    b"\xe2\x82",
    b"\xe2\x28\xa1",
    b"\xf0\x9f\x98",
    b"valid \xce then not",
];

const VALID: [&str; 8] =
    ["", "\0", "\u{fffe}", "\u{ffff}", "\u{10ffff}", "\u{feff}A", "κόσμε", "a\u{7f}\u{80}\u{800}𐀀"];

fn with(delivery: Delivery) -> Setting {
    Config::new().delivery(delivery)
}

/// U-3, U-4, U-5, U-6, U-13: in one frame, and cut into two at every place; whole or in chunks.
#[test]
fn invalid_text_fails() {
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        each_role(|role| {
            let peer = other(role);
            for text in INVALID {
                let mut end = End::new(role, with(delivery));
                end.assert_fails(&frame(peer, Opcode::Text, text), ProtocolError::InvalidUtf8);
                for cut in 0..=text.len() {
                    let mut bytes = fragment(peer, false, Opcode::Text, &text[..cut]);
                    bytes.extend(fragment(peer, true, Opcode::Continuation, &text[cut..]));
                    let mut end = End::new(role, with(delivery));
                    end.assert_fails(&bytes, ProtocolError::InvalidUtf8);
                }
            }
        });
    }
}

/// U-1, U-7
#[test]
fn valid_text_is_delivered() {
    each_role(|role| {
        let peer = other(role);
        for text in VALID {
            let expected = [Got::Text(text.into())];
            let mut end = End::new(role, &Config::new());
            assert_eq!(end.events(&frame(peer, Opcode::Text, text.as_bytes())), expected);
            for cut in 0..=text.len() {
                let (head, tail) = text.as_bytes().split_at(cut);
                let mut bytes = fragment(peer, false, Opcode::Text, head);
                bytes.extend(fragment(peer, true, Opcode::Continuation, tail));
                assert_eq!(end.events(&bytes), expected);
            }
        }
    });
}

/// U-1: a code point in three fragments.
#[test]
fn fragments_may_end_inside_a_code_point() {
    each_role(|role| {
        let peer = other(role);
        let mut bytes = fragment(peer, false, Opcode::Text, b"\xf0");
        bytes.extend(fragment(peer, false, Opcode::Continuation, b"\x90\x8d"));
        bytes.extend(fragment(peer, false, Opcode::Continuation, b""));
        bytes.extend(fragment(peer, true, Opcode::Continuation, b"\x88"));
        let mut end = End::new(role, &Config::new());
        assert_eq!(end.events(&bytes), [Got::Text("𐍈".into())]);
    });
}

/// U-2: the connection fails at the first impossible byte, in the middle of a frame, of a message.
#[test]
fn text_fails_at_the_first_impossible_byte() {
    let text = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited";
    let impossible = 12;
    each_role(|role| {
        for fin in [true, false] {
            let bytes = fragment(other(role), fin, Opcode::Text, text);
            let header = bytes.len() - text.len();
            let mut end = End::new(role, &Config::new());
            assert_eq!(end.events(&bytes[..header + impossible]), []);
            end.assert_fails(&bytes[header + impossible..][..1], ProtocolError::InvalidUtf8);
        }
    });
}

/// U-6: a message that ends inside a code point fails with its last byte, or with an empty last
/// fragment.
#[test]
fn text_that_ends_inside_a_code_point_fails() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        assert_eq!(end.events(&fragment(peer, false, Opcode::Text, b"abc\xe2\x82")), []);
        let last = fragment(peer, true, Opcode::Continuation, b"");
        assert_eq!(end.events(&last[..last.len() - 1]), []);
        end.assert_fails(&last[last.len() - 1..], ProtocolError::InvalidUtf8);
    });
}

/// U-8, X-7: the same rules for the reason in a Close.
#[test]
fn close_reasons_are_utf8() {
    each_role(|role| {
        for text in INVALID {
            let payload = [&1000_u16.to_be_bytes(), text].concat();
            let bytes = frame(other(role), Opcode::Close, &payload);
            let mut end = End::new(role, &Config::new());
            end.assert_fails(&bytes, ProtocolError::InvalidCloseReason);
        }
        for text in VALID {
            let mut end = End::new(role, &Config::new());
            let events = end.events(&close_frame(other(role), 1000, text));
            assert_eq!(events, [Got::Close(Some((1000, text.into())))]);
        }
    });
}

/// U-10: binary, ping and pong carry anything.
#[test]
fn only_text_is_validated() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        for payload in INVALID {
            assert_eq!(
                end.events(&frame(peer, Opcode::Binary, payload)),
                [Got::Binary(payload.into())]
            );
            assert_eq!(
                end.events(&frame(peer, Opcode::Ping, payload)),
                [Got::Ping(payload.into())]
            );
            assert_eq!(
                end.events(&frame(peer, Opcode::Pong, payload)),
                [Got::Pong(payload.into())]
            );
        }
    });
}

/// U-12: what one message ends with does not leak into the next.
#[test]
fn each_message_is_validated_anew() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        let text = frame(peer, Opcode::Text, "κ".as_bytes());
        let binary = frame(peer, Opcode::Binary, b"\xce");
        let bytes = [&text[..], &binary, &text, &binary].concat();
        assert_eq!(end.events(&bytes).len(), 4);
        // the half code point of the binary message does not complete this
        end.assert_fails(&frame(peer, Opcode::Text, b"\xba"), ProtocolError::InvalidUtf8);
    });
}

/// A valid message before the invalid one is delivered, nothing after it.
#[test]
fn a_message_before_invalid_text_is_delivered() {
    each_role(|role| {
        let peer = other(role);
        let mut bytes = frame(peer, Opcode::Text, b"good");
        bytes.extend(frame(peer, Opcode::Text, b"bad \xff"));
        bytes.extend(frame(peer, Opcode::Text, b"late"));
        let mut end = End::new(role, &Config::new());
        let events = end.assert_fails(&bytes, ProtocolError::InvalidUtf8);
        assert_eq!(events, [Got::Text("good".into())]);
    });
}
