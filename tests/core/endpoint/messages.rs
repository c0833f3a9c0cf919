use std::time::Duration;

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::endpoint::{Endpoint, Step};
use sansws::proto::{Connection, MessageKind, MessageRef, Role, SendError};
use sansws::wire::Opcode;
use sansws::{Config, Event, KeepAlive, PreparedMessage};
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
    // it stops when 1000 bytes wait, headers included
    for (len, taken) in [(400, 3), (496, 2), (495, 3)] {
        let mut pair = Pair::open(&Config::new().max_unsent(1000));
        pair.server.echo = true;
        pair.server.takes = 0;
        for _ in 0..10 {
            pair.client.endpoint.feed(&mut pair.client.tx, &[1; 500][..len]).unwrap();
            pair.exchange();
        }
        assert_eq!(pair.server.seen.len(), taken, "messages of {len}");
        assert_eq!(pair.server.run(), Stop::Wait);
        pair.server.takes = usize::MAX;
        pair.exchange();
        assert_eq!(pair.server.seen.len(), 10);
        assert_eq!(pair.client.seen.len(), 10);
    }
}

/// No room at all would be no way to go on: there is always room for one message.
#[test]
fn a_limit_of_nothing_is_one_message_at_a_time() {
    for role in ROLES {
        let mut pair = Pair::open(&Config::new().max_unsent(0));
        let (this, that) = pair.ends(role);
        that.echo = true;
        this.endpoint.feed(&mut this.tx, "one").unwrap();
        assert!(this.endpoint.feed(&mut this.tx, "two").is_err());
        pair.exchange();
        let (this, _) = pair.ends(role);
        assert_eq!(this.seen, ["text one"]);
        assert_eq!(this.again, 0);
    }
}

/// A message that has arrived whole comes as a chunk too, if that is asked for.
#[test]
fn a_whole_message_is_a_chunk() {
    for role in ROLES {
        let mut pair = Pair::open(&Config::new());
        let (this, that) = pair.ends(role);
        that.endpoint.feed(&mut that.tx, "Hello").unwrap();
        that.run();
        this.rx.extend_from_slice(&that.output);
        match this.endpoint.step_in_chunks(&mut this.rx, &mut this.tx) {
            Step::Event(Event::Chunk(chunk)) => assert_eq!(chunk.payload, b"Hello"),
            step => panic!("{step:?}"),
        }
    }
}

/// A peer that takes some bytes now and then is there, though nothing comes from it.
#[test]
fn a_peer_that_reads_slowly_is_alive() {
    for role in ROLES {
        let keep_alive = KeepAlive::Every(Duration::from_secs(10));
        let mut pair = Pair::open(&Config::new().keep_alive(keep_alive));
        let (this, _) = pair.ends(role);
        this.endpoint.feed(&mut this.tx, &[1; 100_000][..]).unwrap();
        let mut until_it_is_over = |takes: usize| {
            for second in 0..200 {
                this.takes = takes;
                if this.run() == Stop::Closed {
                    return Some(second);
                }
                let now = Duration::from_secs(if takes > 0 { second } else { 200 + second });
                this.endpoint.handle_timeout(now, &mut this.tx);
            }
            None
        };
        assert_eq!(until_it_is_over(100), None);
        let seconds = until_it_is_over(0).unwrap();
        assert!((10..100).contains(&seconds), "{seconds}");
        assert_eq!(this.result(), "Timeout(KeepAlive)");
        assert_eq!(this.endpoint.poll_timeout(), None);
    }
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
        // nothing else comes in between
        that.endpoint.feed(&mut that.tx, "Hello").unwrap();
        that.run();
        this.rx.extend_from_slice(&that.output.split_off(0));
        assert!(matches!(this.endpoint.step(&mut this.rx, &mut this.tx), Step::Again));
        pair.exchange();
        let (this, that) = pair.ends(role);
        assert_eq!(
            (&this.seen[..], &that.seen[..]),
            (&["text Hello".to_owned()][..], &["binary 100000".to_owned()][..])
        );
        for steps in [this.again - before.0, that.again - before.1] {
            assert!((95..300).contains(&steps), "{steps} steps of 1000 bytes");
        }
    }
}
