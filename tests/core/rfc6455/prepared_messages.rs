//! Messages encoded once for many connections.

use sansws::proto::{MessageRef, Role, SendError};
use sansws::wire::Opcode;
use sansws::{CloseCode, Config, PreparedMessage};

use sansws_test::pair::*;

/// F-28: the same frame as `send` makes, for every kind and length class.
#[test]
fn prepared_messages_are_the_same_frames() {
    each_role(|role| {
        for len in [0, 1, 125, 126, 507, 508, 509, 600, 65_535, 65_536, 100_000] {
            let payload = vec![b'p'; len];
            let text = str::from_utf8(&payload).unwrap();
            let mut messages = vec![MessageRef::text(text), MessageRef::binary(&payload)];
            if len <= 125 {
                messages.extend([MessageRef::ping(&payload), MessageRef::pong(&payload)]);
            }
            for message in messages {
                let mut end = End::new(role, &Config::new());
                let prepared = PreparedMessage::new(message.clone()).unwrap();
                assert_eq!(prepared.payload(), payload);
                end.conn.feed(&mut end.tx, &prepared).unwrap();
                let sent = end.sent();
                let mut end = End::new(role, &Config::new());
                end.conn.feed(&mut end.tx, message).unwrap();
                // the key is the first of the same seed
                assert_eq!(sent, end.sent(), "{len} bytes");
            }
        }
    });
}

/// F-1, F-6: a client masks each copy with a key of its own.
#[test]
fn client_masks_each_copy_anew() {
    for len in [5, 1000] {
        let prepared = PreparedMessage::new(vec![1; len]).unwrap();
        let mut client = End::client();
        for _ in 0..3 {
            client.conn.feed(&mut client.tx, &prepared).unwrap();
        }
        let frames = client.sent_frames();
        let keys: Vec<_> = frames.iter().map(|frame| frame.mask.unwrap()).collect();
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        assert!(frames.iter().all(|frame| frame.payload == vec![1; len]));
    }
}

/// N receivers share one piece of memory.
#[test]
fn servers_share_the_memory_of_a_large_one() {
    let prepared = PreparedMessage::new(vec![1; 10_000]).unwrap();
    for _ in 0..3 {
        let mut server = End::server();
        server.conn.feed(&mut server.tx, &prepared).unwrap();
        assert_eq!(server.tx.capacity(), 0, "nothing is copied");
        let chunk = server.tx.take_chunk().unwrap();
        assert_eq!(chunk[4..].as_ptr(), prepared.payload().as_ptr());
        assert!(server.tx.is_empty());
    }
}

/// Of a frame of less than 512 bytes a copy costs less.
#[test]
fn servers_copy_a_small_one() {
    for (len, is_copied) in [(1, true), (507, true), (508, false)] {
        let prepared = PreparedMessage::new(vec![1; len]).unwrap();
        let mut server = End::server();
        server.conn.feed(&mut server.tx, &prepared).unwrap();
        assert_eq!(server.tx.capacity() > 0, is_copied, "{len} bytes");
    }
}

#[test]
fn a_long_control_frame_cannot_be_prepared() {
    for message in [MessageRef::ping(&[0; 126]), MessageRef::pong(&[0; 126])] {
        let error = PreparedMessage::new(message).unwrap_err();
        assert_eq!(error, SendError::ControlTooLong { len: 126 });
    }
}

/// the same conditions hold as for `send`.
#[test]
fn prepared_messages_are_refused_as_others_are() {
    each_role(|role| {
        let prepared = PreparedMessage::new(&[1; 1000]).unwrap();
        let mut end = End::new(role, &Config::new().max_unsent(500));
        end.conn.feed(&mut end.tx, &prepared).unwrap();
        let unsent = end.tx.len();
        assert_eq!(
            end.conn.feed(&mut end.tx, &prepared),
            Err(SendError::BufferFull { unsent, limit: 500 })
        );
        end.conn.close(&mut end.tx, Some(CloseCode::NORMAL.into())).unwrap();
        let refused = end.conn.feed(&mut end.tx, &prepared);
        assert_eq!(refused, Err(SendError::NotOpen));
        assert_eq!(end.sent_frames().len(), 2);
    });
}

/// Order is kept between what is copied and what is referred to.
#[test]
fn server_keeps_the_order_of_all_kinds() {
    let large = PreparedMessage::new(&[1; 5000]).unwrap();
    let small = PreparedMessage::new(&[2; 10]).unwrap();
    let mut server = End::new(Role::Server, &Config::new());
    for _ in 0..3 {
        server.conn.feed(&mut server.tx, vec![3; 20_000]).unwrap();
        server.conn.feed(&mut server.tx, &large).unwrap();
        server.conn.feed(&mut server.tx, b"text").unwrap();
        server.conn.feed(&mut server.tx, &small).unwrap();
        server.events(&frame(Role::Client, Opcode::Ping, b"ping"));
    }
    let lengths: Vec<_> = server.sent_frames().iter().map(|frame| frame.payload.len()).collect();
    assert_eq!(lengths, [20_000, 5000, 4, 10, 4].repeat(3));
}
