//! §5.2, the base framing protocol, and the examples of §5.7.

use sansws::proto::Role;
use sansws::wire::Opcode;
use sansws::{Config, ProtocolError};

use sansws_test::pair::*;

/// A configuration without a limit on the length of a message.
fn unlimited() -> Config {
    Config::new().max_message_len(usize::MAX)
}

/// §5.7: "A single-frame unmasked text message"
#[test]
fn client_receives_the_unmasked_hello() {
    let mut client = End::client();
    assert_eq!(client.events(b"\x81\x05Hello"), [Got::Text("Hello".into())]);
}

/// §5.7: "A single-frame masked text message"; F-8
#[test]
fn server_receives_the_masked_hello() {
    let mut server = End::server();
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(server.events(&hello), [Got::Text("Hello".into())]);
}

/// §5.7: "A fragmented unmasked text message"; F-18
#[test]
fn client_receives_the_fragmented_hello() {
    let mut client = End::client();
    let events = client.events(b"\x01\x03Hel\x80\x02lo");
    assert_eq!(events, [Got::Text("Hello".into())]);
}

/// §5.7: "Unmasked Ping request and masked Ping response"; K-1
#[test]
fn ping_and_pong_of_the_examples() {
    let mut client = End::client();
    assert_eq!(client.events(b"\x89\x05Hello"), [Got::Ping(b"Hello".into())]);
    let pong = client.sent();
    assert_eq!(pong[..2], [0x8a, 0x85]);
    assert_eq!(parse_frames(&pong)[0].payload, b"Hello");

    let mut server = End::server();
    let pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(server.events(&pong), [Got::Pong(b"Hello".into())]);
    assert_eq!(server.sent(), b"", "a pong needs no answer");
}

/// §5.7: 256 bytes and 64 KiB in one unmasked frame.
#[test]
fn client_receives_the_long_examples() {
    let mut client = End::client();
    let mut bytes = vec![0x82, 0x7e, 0x01, 0x00];
    bytes.extend([1; 256]);
    bytes.extend([0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    bytes.extend([2; 65_536]);
    assert_eq!(client.events(&bytes), [Got::Binary(vec![1; 256]), Got::Binary(vec![2; 65_536])]);
}

/// F-9: each reserved bit, on every opcode, at the first byte.
#[test]
fn reserved_bits_fail() {
    each_role(|role| {
        for bit in [0x40, 0x20, 0x10, 0x70] {
            for opcode in [Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong]
            {
                let mut end = End::new(role, &Config::new());
                end.assert_fails(&[0x80 | bit | opcode as u8], ProtocolError::ReservedBits);
            }
            let mut end = End::new(role, &Config::new());
            end.events(&fragment(other(role), false, Opcode::Text, b"a"));
            end.assert_fails(&[0x80 | bit], ProtocolError::ReservedBits);
        }
    });
}

/// F-9, F-32: no extension is in use, and none can be set up after the handshake: the message
/// before is delivered, the frame with a reserved bit is not.
#[test]
fn a_message_before_a_reserved_bit_is_delivered() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let mut bytes = frame(other(role), Opcode::Text, b"Hello");
        let mut second = frame(other(role), Opcode::Text, b"World");
        second[0] |= 0x20;
        bytes.extend(second);
        bytes.extend(frame(other(role), Opcode::Ping, b""));
        let events = end.assert_fails(&bytes, ProtocolError::ReservedBits);
        assert_eq!(events, [Got::Text("Hello".into())]);
    });
}

/// F-10: at the first byte, FIN or not, after a message in the same bytes.
#[test]
fn reserved_opcodes_fail() {
    each_role(|role| {
        for opcode in (3..=7).chain(11..=15) {
            for fin in [0x00, 0x80] {
                let error = ProtocolError::ReservedOpcode(opcode);
                End::new(role, &Config::new()).assert_fails(&[fin | opcode], error);

                let mut bytes = frame(other(role), Opcode::Text, b"Hello");
                bytes.extend(raw_header(other(role), fin | opcode, &[0]));
                bytes.extend(frame(other(role), Opcode::Ping, b""));
                let mut end = End::new(role, &Config::new());
                assert_eq!(end.assert_fails(&bytes, error), [Got::Text("Hello".into())]);
            }
        }
    });
}

/// F-11: each length in its shortest form.
#[test]
fn lengths_are_sent_in_their_shortest_form() {
    let cases: [(usize, &[u8]); 7] = [
        (0, &[0]),
        (1, &[1]),
        (125, &[125]),
        (126, &[126, 0, 126]),
        (127, &[126, 0, 127]),
        (65_535, &[126, 0xff, 0xff]),
        (65_536, &[127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ];
    each_role(|role| {
        for (len, expected) in cases {
            let mut end = End::new(role, &Config::new());
            end.conn.feed(&mut end.tx, vec![0; len].as_slice()).unwrap();
            let mut bytes = end.sent();
            if role == Role::Client {
                assert_ne!(bytes[1] & 0x80, 0);
                bytes[1] &= 0x7f;
            }
            assert_eq!(bytes[0], 0x82);
            assert_eq!(bytes[1..=expected.len()], *expected);
            let key = if role == Role::Client { 4 } else { 0 };
            assert_eq!(bytes.len(), 1 + expected.len() + key + len);
        }
    });
}

/// F-11, F-17: and every boundary length is received.
#[test]
fn boundary_lengths_are_received() {
    each_role(|role| {
        for len in [0, 1, 2, 124, 125, 126, 127, 128, 254, 255, 256, 65_534, 65_535, 65_536, 65_537]
        {
            let payload: Vec<u8> = (0..len).map(|i: usize| (i * 7) as u8).collect();
            let mut end = End::new(role, &Config::new());
            let events = end.events(&frame(other(role), Opcode::Binary, &payload));
            assert_eq!(events, [Got::Binary(payload)]);
        }
    });
}

/// F-12
#[test]
fn lengths_that_are_not_minimal_fail() {
    let lengths: [&[u8]; 6] = [
        &[126, 0, 0],
        &[126, 0, 125],
        &[127, 0, 0, 0, 0, 0, 0, 0, 0],
        &[127, 0, 0, 0, 0, 0, 0, 0, 125],
        &[127, 0, 0, 0, 0, 0, 0, 0, 126],
        &[127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
    ];
    each_role(|role| {
        for len in lengths {
            let bytes = raw_header(other(role), 0x82, len);
            let mut end = End::new(role, &Config::new());
            end.assert_fails(&bytes, ProtocolError::NonMinimalLength);
        }
    });
}

/// F-13, F-15: a 64-bit length with its first bit set, before any limit is looked at.
#[test]
fn lengths_of_2_to_63_and_more_fail() {
    for config in [Config::new(), unlimited()] {
        each_role(|role| {
            for len in [1 << 63, u64::MAX, u64::MAX - 13, (1 << 63) + 1] {
                let mut field = vec![127];
                field.extend(len.to_be_bytes());
                let bytes = raw_header(other(role), 0x82, &field);
                let mut end = End::new(role, &config);
                end.assert_fails(&bytes, ProtocolError::LengthOverflow);
            }
        });
    }
}

/// F-14, F-15: the largest lengths there are. With a limit they fail at the header; without one
/// the payload is awaited, and nothing overflows.
#[cfg(target_pointer_width = "64")] // elsewhere no message is longer than 4 GiB
#[test]
fn lengths_just_below_2_to_63() {
    each_role(|role| {
        for len in [(1 << 63) - 1, (1 << 63) - 14, 1 << 60, 1 << 62, u64::from(u32::MAX)] {
            let mut field = vec![127];
            field.extend(len.to_be_bytes());
            let bytes = raw_header(other(role), 0x82, &field);
            let limit = 16 * 1024 * 1024;
            let error = ProtocolError::MessageTooBig { announced: len, limit };
            End::new(role, &Config::new()).assert_fails(&bytes, error);

            let mut end = End::new(role, &unlimited());
            assert_eq!(end.events(&bytes), []);
            for _ in 0..10 {
                assert_eq!(end.events(&[0; 1000]), []);
            }
            assert!(end.rx.capacity() <= 64 * 1024, "{:?}", end.rx);
            assert_eq!(end.sent(), b"");
        }
    });
}

/// F-15: the sum over fragments does not wrap round.
#[cfg(target_pointer_width = "64")] // elsewhere no message is longer than 4 GiB
#[test]
fn sums_of_huge_lengths_do_not_wrap() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new().max_message_len(usize::MAX - 1));
        end.events(&fragment(other(role), false, Opcode::Binary, b"abc"));
        let field = [127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(end.events(&raw_header(other(role), 0x00, &field)), []);
    });
}

/// F-30: byte by byte, and cut in two at every place.
#[test]
fn any_split_of_the_examples_gives_the_same_events() {
    each_role(|role| {
        let peer = other(role);
        let mut bytes = fragment(peer, false, Opcode::Text, "Héll".as_bytes());
        bytes.extend(frame(peer, Opcode::Ping, b"Hello"));
        bytes.extend(fragment(peer, true, Opcode::Continuation, "ö".as_bytes()));
        bytes.extend(frame(peer, Opcode::Binary, &[7; 300]));
        bytes.extend(close_frame(peer, 1000, "bye"));
        let mut whole = End::new(role, &Config::new());
        let expected = (whole.events(&bytes), whole.sent());
        assert_eq!(expected.0.len(), 4);
        for cut in 0..=bytes.len() {
            let mut end = End::new(role, &Config::new());
            let mut events = end.events(&bytes[..cut]);
            events.extend(end.events(&bytes[cut..]));
            assert_eq!((events, end.sent()), expected, "cut at {cut}");
        }
        let mut end = End::new(role, &Config::new());
        let events = bytes.iter().flat_map(|byte| end.events(&[*byte])).collect();
        assert_eq!((events, end.sent()), expected);
    });
}

/// F-31: many frames in one read; none is lost, what is cut off waits.
#[test]
fn many_frames_in_one_read() {
    each_role(|role| {
        let mut bytes = frame(other(role), Opcode::Text, b"").repeat(1000);
        let last = frame(other(role), Opcode::Text, b"last");
        bytes.extend(&last[..last.len() - 1]);
        let mut end = End::new(role, &Config::new());
        assert_eq!(end.events(&bytes), vec![Got::Text(String::new()); 1000]);
        assert_eq!(end.events(&last[last.len() - 1..]), [Got::Text("last".into())]);
        assert!(end.rx.is_idle());
    });
}

/// No prefix of a valid frame is an event, an error or an answer, at any place in the buffer.
#[test]
fn prefixes_of_frames_wait() {
    each_role(|role| {
        let peer = other(role);
        let golden = [
            frame(peer, Opcode::Text, b"Hello"),
            frame(peer, Opcode::Ping, b"Hello"),
            close_frame(peer, 1000, "bye"),
            frame(peer, Opcode::Binary, &[9; 256]),
        ];
        for bytes in golden {
            for cut in 0..bytes.len() {
                for before in [0, 1, 5, 250] {
                    let mut end = End::new(role, &Config::new());
                    end.events(&frame(peer, Opcode::Binary, &vec![0; before]));
                    assert_eq!(end.events(&bytes[..cut]), []);
                    assert_eq!(end.sent(), b"");
                    assert_eq!(end.events(&bytes[cut..]).len(), 1);
                }
            }
        }
    });
}
