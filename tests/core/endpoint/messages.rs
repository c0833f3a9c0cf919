use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::endpoint::{Endpoint, Step};
use sansws::proto::{Connection, MessageKind, MessageRef, Role, SendError};
use sansws::wire::Opcode;
use sansws::{Config, Event, PreparedMessage};
use sansws_test::pair::{each_role, frame, other};

use crate::endpoint::driver::{End, Pair, ROLES, Stop};

#[test]
fn messages_go_both_ways() {
    for role in ROLES {
        let mut pair = Pair::open(&Config::new());
        let (this, that) = pair.ends(role);
        that.echo = true;
        this.endpoint.feed(&mut this.tx, "Hello").unwrap();
        this.endpoint.feed(&mut this.tx, &[0; 70_000][..]).unwrap();
        this.endpoint.feed(&mut this.tx, MessageRef::ping(b"1")).unwrap();
        let prepared = PreparedMessage::new("prepared").unwrap();
        this.endpoint.feed(&mut this.tx, &prepared).unwrap();
        let mut writer = this.endpoint.start_message(MessageKind::Text).unwrap();
        writer.write(&mut this.tx, b"in ").unwrap();
        let mut writer = this.endpoint.resume_message().unwrap();
        writer.write(&mut this.tx, b"parts").unwrap();
        writer.finish(&mut this.tx, b"").unwrap();
        pair.exchange();
        let (this, that) = pair.ends(role);
        assert_eq!(
            that.seen,
            ["text Hello", "binary 70000", "ping 1", "text prepared", "text in parts"]
        );
        assert_eq!(
            this.seen,
            ["text Hello", "binary 70000", "pong 1", "text prepared", "text in parts"]
        );
    }
}

/// Each call says how the next message is delivered.
#[test]
fn chunks_for_who_asks() {
    each_role(|role| {
        let config = Config::new();
        let mut endpoint = Endpoint::from(match role {
            Role::Server => Connection::server(&config),
            Role::Client => Connection::client(&config, [7; 32]),
        });
        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        for in_chunks in [true, false, true] {
            rx.extend_from_slice(&frame(other(role), Opcode::Text, b"Hello"));
            let step = match in_chunks {
                true => endpoint.step_in_chunks(&mut rx, &mut tx),
                false => endpoint.step(&mut rx, &mut tx),
            };
            let Step::Event(event) = step else { panic!("{step:?}") };
            assert_eq!(matches!(event, Event::Chunk(_)), in_chunks, "{event:?}");
        }
    });
}

#[test]
fn nothing_can_be_sent_before_there_is_a_connection() {
    for mut end in [End::server(&Config::new()), End::client(&Config::new())] {
        let unsent = end.tx.len();
        assert_eq!(end.endpoint.feed(&mut end.tx, "x"), Err(SendError::NotOpen));
        assert_eq!(end.endpoint.close(&mut end.tx, None), Err(SendError::NotOpen));
        assert!(end.endpoint.start_message(MessageKind::Text).is_err());
        assert!(end.endpoint.connection().is_none());
        assert_eq!(end.tx.len(), unsent);
    }
}

#[test]
fn an_end_that_gets_rid_of_nothing_takes_nothing_in() {
    let mut pair = Pair::open(&Config::new().max_unsent(1000));
    pair.server.echo = true;
    pair.server.takes = 0;
    for _ in 0..10 {
        pair.client.endpoint.feed(&mut pair.client.tx, &[1; 400][..]).unwrap();
        pair.exchange();
    }
    assert_eq!(pair.server.seen.len(), 3, "it stops when 1000 bytes wait");
    assert_eq!(pair.server.run(), Stop::Wait);
    pair.server.takes = usize::MAX;
    pair.exchange();
    assert_eq!(pair.server.seen.len(), 10);
    assert_eq!(pair.client.seen.len(), 10);
}

#[test]
fn a_full_transport_is_no_reason_not_to_read() {
    for role in ROLES {
        let mut pair = Pair::open(&Config::new());
        let (this, that) = pair.ends(role);
        this.takes = 0;
        this.endpoint.feed(&mut this.tx, "unsent").unwrap();
        that.endpoint.feed(&mut that.tx, "sent").unwrap();
        pair.exchange();
        let (this, that) = pair.ends(role);
        assert_eq!(this.seen, ["text sent"]);
        assert_eq!(that.seen, [""; 0]);
        this.takes = usize::MAX;
        pair.exchange();
        assert_eq!(pair.ends(role).1.seen, ["text unsent"]);
    }
}

#[cfg(feature = "deflate")]
#[test]
fn compression_is_agreed_on() {
    let mut pair = Pair::open(&Config::new().deflate(sansws::deflate::Deflate::new()));
    let text = "all work and no play ".repeat(1000);
    pair.client.endpoint.feed(&mut pair.client.tx, &*text).unwrap();
    pair.client.run();
    assert!(pair.client.output.len() < 2000, "{}", pair.client.output.len());
    pair.exchange();
    assert_eq!(pair.server.seen, [format!("text {text}")]);
    assert!(pair.server.endpoint.connection().unwrap().deflate().is_some());
}

/// A long message is compressed, and inflated, in many steps; what arrives is the same.
#[cfg(feature = "deflate")]
#[test]
fn work_can_be_bounded() {
    for role in ROLES {
        let mut pair = Pair::open(&Config::new().deflate(sansws::deflate::Deflate::new()));
        let (this, that) = pair.ends(role);
        assert!(this.endpoint.connection().unwrap().deflate().is_some());
        this.endpoint.work_in_steps(1000);
        that.endpoint.work_in_steps(1000);
        let before = (this.again, that.again);
        this.endpoint.feed(&mut this.tx, &[7; 100_000][..]).unwrap();
        pair.exchange();
        let (this, that) = pair.ends(role);
        assert_eq!(that.seen, ["binary 100000"]);
        for steps in [this.again - before.0, that.again - before.1] {
            assert!((95..300).contains(&steps), "{steps} steps of 1000 bytes");
        }
    }
}
