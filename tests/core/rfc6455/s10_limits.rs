//! §10.4, implementation-specific limits.

use core::time::Duration;

use sansws::wire::{FrameHeader, Opcode};
use sansws::{Config, KeepAlive, ProtocolError};

use sansws_test::pair::*;

fn too_big(announced: u64, limit: u64) -> ProtocolError {
    ProtocolError::MessageTooBig { announced, limit }
}

/// F-17, A-7: exactly the limit passes, one byte more does not, and it fails at the header.
#[test]
fn the_limit_of_one_frame() {
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        for limit in [0, 1, 10, 125, 126, 65_535, 65_536] {
            let config = Config::new().max_message_len(limit).delivery(delivery);
            each_role(|role| {
                let peer = other(role);
                let mut end = End::new(role, &config);
                let exact = frame(peer, Opcode::Binary, &vec![1; limit]);
                assert_eq!(end.events(&exact).len(), 1);
                assert_eq!(end.events(&exact).len(), 1, "each message has the limit to itself");

                let over = frame(peer, Opcode::Binary, &vec![1; limit + 1]);
                let header_len = FrameHeader::parse(&over).unwrap().unwrap().1;
                assert_eq!(end.events(&over[..header_len - 1]), []);
                let error = too_big(limit as u64 + 1, limit as u64);
                end.assert_fails(&over[header_len - 1..header_len], error);
            });
        }
    }
}

/// F-16, F-17: the sum over fragments counts, and is checked before any of the next is kept.
#[test]
fn the_limit_of_a_fragmented_message() {
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        let config = Config::new().max_message_len(10).delivery(delivery);
        each_role(|role| {
            let peer = other(role);
            for parts in [&[6, 4][..], &[1; 10], &[10, 0], &[0, 10], &[0, 5, 0, 5, 0]] {
                let mut end = End::new(role, &config);
                let mut bytes = Vec::new();
                for (i, len) in parts.iter().enumerate() {
                    let opcode = if i == 0 { Opcode::Text } else { Opcode::Continuation };
                    let fin = i == parts.len() - 1;
                    bytes.extend(fragment(peer, fin, opcode, &vec![b'x'; *len]));
                    bytes.extend(frame(peer, Opcode::Pong, &[0; 125])); // counts for nothing
                }
                assert!(end.events(&bytes).len() > parts.len());
            }
            for (first, second) in [(6, 5), (10, 1), (1, 10), (0, 11), (5, 1_000_000)] {
                let mut end = End::new(role, &config);
                end.events(&fragment(peer, false, Opcode::Binary, &vec![1; first]));
                let next = fragment(peer, true, Opcode::Continuation, &vec![1; second]);
                let header = FrameHeader::parse(&next).unwrap().unwrap().1;
                end.assert_fails(&next[..header], too_big((first + second) as u64, 10));
            }
        });
    }
}

/// F-14, A-4: with the default limits, endless fragments fail at 16 MiB and hold no more than
/// that in the meantime.
#[test]
fn endless_fragments_end() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        end.events(&fragment(peer, false, Opcode::Binary, b""));
        let piece = fragment(peer, false, Opcode::Continuation, &[1; 65_536]);
        for _ in 0..256 {
            assert_eq!(end.events(&piece), []);
        }
        let limit = 16 * 1024 * 1024;
        assert!(end.rx.capacity() <= 2 * limit + 64 * 1024, "{:?}", end.rx);
        let next = fragment(peer, false, Opcode::Continuation, b"x");
        end.assert_fails(&next, too_big(limit as u64 + 1, limit as u64));
    });
}

/// F-27, A-7: as many fragments as the limit says, and one more.
#[test]
fn the_number_of_fragments() {
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        for limit in [1, 2, 100] {
            let config = Config::new().max_fragments(limit).delivery(delivery);
            each_role(|role| {
                let peer = other(role);
                let message = |count: u32| -> Vec<u8> {
                    let opcode = |i| if i == 1 { Opcode::Binary } else { Opcode::Continuation };
                    (1..=count).flat_map(|i| fragment(peer, i == count, opcode(i), b"x")).collect()
                };
                let mut end = End::new(role, &config);
                for _ in 0..3 {
                    assert!(!end.events(&message(limit)).is_empty());
                }
                let mut end = End::new(role, &config);
                end.assert_fails(&message(limit + 1), ProtocolError::TooManyFragments { limit });
            });
        }
    }
}

/// F-27: no fragment at all, which `Config::check` refuses and the core takes at its word, in the
/// first frame and behind others.
#[test]
fn no_fragments() {
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        let config = Config::new().max_fragments(0).delivery(delivery);
        each_role(|role| {
            let peer = other(role);
            let error = ProtocolError::TooManyFragments { limit: 0 };
            for before in [&[][..], &[Opcode::Ping], &[Opcode::Pong, Opcode::Ping]] {
                for opcode in [Opcode::Text, Opcode::Binary] {
                    let mut end = End::new(role, &config);
                    for opcode in before {
                        end.events(&frame(peer, *opcode, b"x"));
                    }
                    end.assert_fails(&frame(peer, opcode, b"x"), error);
                }
            }
        });
    }
}

/// F-27: consecutive fragments without payload.
#[test]
fn the_number_of_empty_fragments() {
    for limit in [0, 1, 10] {
        let config = Config::new().max_empty_fragments(limit);
        each_role(|role| {
            let peer = other(role);
            let empty = |opcode| fragment(peer, false, opcode, b"");
            let mut end = End::new(role, &config);
            end.events(&fragment(peer, false, Opcode::Text, b"a"));
            for _ in 0..3 {
                for _ in 0..limit {
                    end.events(&empty(Opcode::Continuation));
                }
                // one with payload begins the count anew
                end.events(&fragment(peer, false, Opcode::Continuation, b"b"));
            }
            for _ in 0..limit {
                end.events(&empty(Opcode::Continuation));
            }
            let error = ProtocolError::TooManyEmptyFragments { limit };
            end.assert_fails(&empty(Opcode::Continuation), error);

            // the first and the last fragment may be empty as well
            let mut end = End::new(role, &config);
            let mut bytes = if limit > 0 { empty(Opcode::Text) } else { vec![] };
            let opcode = if limit > 0 { Opcode::Continuation } else { Opcode::Text };
            bytes.extend(fragment(peer, true, opcode, b""));
            assert_eq!(end.events(&bytes), [Got::Text(String::new())]);
        });
    }
}

/// F-27: 200 000 empty continuations with the default limits: they end at 1 024, and nothing is
/// kept for them.
#[test]
fn a_flood_of_empty_fragments() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        let mut bytes = fragment(peer, false, Opcode::Text, b"x");
        bytes.extend(fragment(peer, false, Opcode::Continuation, b"").repeat(1024));
        assert_eq!(end.events(&bytes), []);
        assert!(end.rx.capacity() <= 64 * 1024);
        let flood = fragment(peer, false, Opcode::Continuation, b"").repeat(200_000 - 1024);
        end.assert_fails(&flood, ProtocolError::TooManyEmptyFragments { limit: 1024 });
    });
}

/// F-27: 10^6 fragments of one byte with the default limits.
#[test]
fn a_flood_of_tiny_fragments() {
    each_role(|role| {
        let peer = other(role);
        let mut end = End::new(role, &Config::new());
        end.events(&fragment(peer, false, Opcode::Binary, b"x"));
        let piece = fragment(peer, false, Opcode::Continuation, b"x");
        let burst = piece.repeat(131_071 / 89);
        for _ in 0..89 {
            assert_eq!(end.events(&burst), []);
        }
        assert!(end.rx.capacity() <= 2 * 131_072 + 64 * 1024, "{:?}", end.rx);
        let rest = piece.repeat(131_071 % 89);
        assert_eq!(end.events(&rest), []);
        let error = ProtocolError::TooManyFragments { limit: 131_072 };
        end.assert_fails(&piece.repeat(868_928), error);
    });
}

/// values that cannot be meant are an error that names the field, never a panic.
#[test]
fn impossible_settings_are_errors() {
    let new = Config::new;
    let cases = [
        (new().max_head_len(255), "max_head_len"),
        (new().max_headers(7), "max_headers"),
        (new().max_target_len(0), "max_target_len"),
        (new().max_fragments(0), "max_fragments"),
        (new().max_pending_pongs(0), "max_pending_pongs"),
        (new().read_ahead(64 * 1024 * 1024 + 1), "read_ahead"),
        (new().max_unsent(0), "max_unsent"),
        (new().handshake_timeout(Duration::ZERO), "handshake_timeout"),
        (new().keep_alive(KeepAlive::Every(Duration::ZERO)), "keep_alive"),
        (new().pong_timeout(Duration::ZERO), "pong_timeout"),
    ];
    for (config, field) in cases {
        let error = config.clone().check().unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
        // the core works with them all the same
        each_role(|role| {
            let mut end = End::new(role, &config);
            let _ = end.receive(&frame(other(role), Opcode::Ping, b""));
            let _ = end.conn.handle_timeout(Duration::ZERO, &mut end.tx);
            let _ = end.conn.feed(&mut end.tx, "x");
            let _ = end.receive(&frame(other(role), Opcode::Text, b"x"));
        });
    }
}

/// Each limit at the lowest value that passes, and the one that has a highest.
#[test]
fn the_smallest_settings() {
    assert!(Config::new().read_ahead(64 * 1024 * 1024).check().is_ok());
    let config = Config::new()
        .max_message_len(0)
        .max_fragments(1)
        .max_empty_fragments(0)
        .max_pending_pongs(1)
        .max_unsent(1)
        .max_head_len(256)
        .max_headers(8)
        .max_target_len(1)
        .read_ahead(0)
        .close_timeout(Duration::ZERO)
        .check()
        .unwrap();
    each_role(|role| {
        let mut end = End::new(role, &config);
        assert_eq!(end.events(&frame(other(role), Opcode::Text, b"")), [Got::Text(String::new())]);
        end.conn.feed(&mut end.tx, "x").unwrap();
        assert_eq!(end.events(&frame(other(role), Opcode::Ping, b"x")).len(), 1);
        end.assert_fails(&frame(other(role), Opcode::Text, b"x"), too_big(1, 0));
    });
}
