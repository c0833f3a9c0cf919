//! §5.1 and §5.3, masking.

use sansws::bytes::Bytes;
use sansws::proto::{Connection, MessageKind, MessageRef, Role};
use sansws::wire::{FrameHeader, Opcode, apply_mask};
use sansws::{CloseCode, Config, KeepAlive, PreparedMessage, ProtocolError};

use sansws_test::pair::*;

/// Makes the end send every kind of frame there is, in every way there is.
fn say_everything(end: &mut End) -> Vec<Frame> {
    let peer = end.peer();
    let (conn, tx) = (&mut end.conn, &mut end.tx);
    conn.handle_timeout(core::time::Duration::ZERO, tx).unwrap();
    conn.handle_timeout(core::time::Duration::from_secs(1), tx).unwrap(); // a keep-alive ping
    conn.feed(tx, "text").unwrap();
    conn.feed(tx, "").unwrap();
    conn.feed(tx, b"binary").unwrap();
    conn.feed(tx, Bytes::from(vec![1; 20_000])).unwrap();
    conn.feed(tx, MessageRef::ping(b"ping")).unwrap();
    conn.feed(tx, MessageRef::pong(b"pong")).unwrap();
    conn.feed(tx, &PreparedMessage::new("short").unwrap()).unwrap();
    conn.feed(tx, &PreparedMessage::new(&[2; 1000][..]).unwrap()).unwrap();
    let mut writer = conn.start_message(MessageKind::Text).unwrap();
    writer.write(tx, b"a").unwrap();
    writer.finish(tx, b"b").unwrap();
    for _ in 0..20 {
        end.rx.extend_from_slice(&frame(peer, Opcode::Ping, b"to be answered"));
    }
    assert_eq!(end.events(b"").len(), 20);
    end.conn.close(&mut end.tx, Some(CloseCode::NORMAL.into())).unwrap();
    let frames = end.sent_frames();
    assert_eq!(frames.len(), 11 + 17 + 1, "16 pongs and the newest");
    frames
}

fn chatty() -> Config {
    Config::new().keep_alive(KeepAlive::Every(core::time::Duration::from_secs(1)))
}

/// F-1, F-6, A-1: all opcodes, each frame with a key of its own.
#[test]
fn client_masks_every_frame() {
    let frames = say_everything(&mut End::new(Role::Client, &chatty()));
    let mut keys: Vec<_> = frames.iter().map(|frame| frame.mask.unwrap()).collect();
    keys.sort_unstable();
    let all = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), all, "no key is used twice");
}

/// F-1, F-3: the reply to a Close and the report of a violation as well.
#[test]
fn closing_frames_follow_the_rule_of_the_role() {
    each_role(|role| {
        let peer = other(role);
        for bytes in [close_frame(peer, 1000, ""), frame(peer, Opcode::Close, b""), vec![0x83]] {
            let mut end = End::new(role, &Config::new());
            let _ = end.receive(&bytes);
            let frames = end.sent_frames();
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0].kind(), Opcode::Close);
            assert_eq!(frames[0].mask.is_some(), role == Role::Client);
        }
    });
}

/// F-3
#[test]
fn server_masks_no_frame() {
    let frames = say_everything(&mut End::new(Role::Server, &chatty()));
    assert!(frames.iter().all(|frame| frame.mask.is_none()));
}

/// F-2, F-5: judged at the second byte, whatever the frame is.
#[test]
fn server_fails_on_an_unmasked_frame() {
    for opcode in [Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong] {
        for len in [0, 5, 125] {
            let header = [0x80 | opcode as u8, len];
            End::server().assert_fails(&header, ProtocolError::UnmaskedFrame);
        }
    }
    End::server().assert_fails(&[0x81, 0x7f], ProtocolError::UnmaskedFrame);
    End::server().assert_fails(b"\x81\x05Hello", ProtocolError::UnmaskedFrame);
    // also where there are bytes that could be a key and the payload
    End::server().assert_fails(&b"\x82\x05Hello".repeat(2), ProtocolError::UnmaskedFrame);
}

/// F-4, F-5: judged at the second byte, whatever the frame is.
#[test]
fn client_fails_on_a_masked_frame() {
    for opcode in [Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong] {
        for len in [0, 5, 125] {
            let header = [0x80 | opcode as u8, 0x80 | len];
            End::client().assert_fails(&header, ProtocolError::MaskedFrame);
        }
    }
    End::client().assert_fails(&[0x81, 0xff], ProtocolError::MaskedFrame);
    let hello = frame(Role::Client, Opcode::Text, b"Hello");
    End::client().assert_fails(&hello, ProtocolError::MaskedFrame);
    End::client().assert_fails(&hello.repeat(2), ProtocolError::MaskedFrame);
}

/// F-2, F-4: also on a continuation frame.
#[test]
fn the_mask_is_checked_on_every_fragment() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        end.events(&fragment(other(role), false, Opcode::Text, b"a"));
        let error = match role {
            Role::Server => ProtocolError::UnmaskedFrame,
            Role::Client => ProtocolError::MaskedFrame,
        };
        end.assert_fails(&fragment(role, true, Opcode::Continuation, b"b"), error);
    });
}

/// A key of four zero bytes is a key.
#[test]
fn server_takes_the_zero_key() {
    let mut server = End::server();
    let events = server.events(b"\x81\x85\0\0\0\0Hello\x89\x80\0\0\0\0");
    assert_eq!(events, [Got::Text("Hello".into()), Got::Ping(vec![])]);
}

/// F-8: the key begins anew with each frame and goes on across reads.
#[test]
fn the_key_restarts_with_each_frame() {
    let parts = [&b"a"[..], b"bc", b"", b"def", b"ghijk", b"lmnopqrstuvwxyz"];
    let mut bytes = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let opcode = if i == 0 { Opcode::Text } else { Opcode::Continuation };
        bytes.extend(fragment(Role::Client, i == parts.len() - 1, opcode, part));
    }
    let expected = [Got::Text("abcdefghijklmnopqrstuvwxyz".into())];
    assert_eq!(End::server().events(&bytes), expected);
    for step in 1..8 {
        let mut server = End::server();
        let events: Vec<_> = bytes.chunks(step).flat_map(|piece| server.events(piece)).collect();
        assert_eq!(events, expected, "by {step}");
    }
}

/// F-6: the keys are those of the seed, and of nothing else.
#[test]
fn client_keys_come_from_the_seed() {
    let keys = |seed: u8| {
        let mut client = End::client();
        client.conn = Connection::client(&Config::new(), [seed; 32]);
        for _ in 0..4 {
            client.conn.feed(&mut client.tx, "x").unwrap();
        }
        let frames = client.sent_frames();
        frames.iter().map(|frame| frame.mask.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(keys(1), keys(1));
    assert!(keys(1).iter().all(|key| !keys(2).contains(key)));
}

/// F-7: what was sent does not change with what the application does to its memory afterwards.
#[test]
fn a_payload_is_fixed_once_it_is_sent() {
    each_role(|role| {
        let mut end = End::new(role, &Config::new());
        let mut payload = vec![b'a'; 30_000];
        end.conn.feed(&mut end.tx, &payload).unwrap();
        payload.fill(b'b');
        assert_eq!(end.sent_frames()[0].payload, vec![b'a'; 30_000]);
    });
}

/// The vectors of §5.7 come out of the header codec and the mask.
#[test]
fn masked_hello_on_the_wire() {
    let mut bytes = FrameHeader::new(Opcode::Text, 5, Some(KEY)).encode().to_vec();
    let mut payload = *b"Hello";
    apply_mask(&mut payload, KEY, 0);
    bytes.extend(payload);
    assert_eq!(bytes, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
}
