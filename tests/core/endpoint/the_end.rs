use std::time::Duration;

use sansws::proto::SendError;
use sansws::{CloseCode, CloseFrame, Config, KeepAlive};

use crate::endpoint::driver::{Pair, ROLES, Stop};

#[test]
fn either_end_closes() {
    for role in ROLES {
        let mut pair = Pair::open(&Config::new());
        let (this, _) = pair.ends(role);
        let close = CloseFrame { code: CloseCode::GOING_AWAY, reason: "bye" };
        this.endpoint.close(&mut this.tx, Some(close)).unwrap();
        assert_eq!(this.endpoint.feed(&mut this.tx, "late"), Err(SendError::NotOpen));
        pair.exchange();
        for end in [&pair.client, &pair.server] {
            assert_eq!(end.seen, ["close Some(1001)"]);
            assert_eq!(end.result(), "ok");
            assert!(end.endpoint.connection().unwrap().close_info().unwrap().clean);
        }
        // RFC 6455 §7.1.1: the server closes first
        assert!(pair.server.output_shut);
        assert!(!pair.client.output_shut);
    }
}

#[test]
fn the_end_stays_the_end() {
    let mut pair = Pair::open(&Config::new());
    pair.client.endpoint.close(&mut pair.client.tx, None).unwrap();
    pair.exchange();
    for end in [&mut pair.client, &mut pair.server] {
        assert_eq!(end.run(), Stop::Closed);
        assert_eq!(end.endpoint.poll_timeout(), None, "nothing is waited for");
        end.endpoint.handle_timeout(Duration::from_secs(1000), &mut end.tx);
        end.endpoint.receive_eof();
        end.rx.extend_from_slice(b"\x81\x05Hello");
        assert_eq!(end.run(), Stop::Closed);
        assert_eq!(end.result(), "ok");
        assert_eq!(end.endpoint.poll_timeout(), None);
        assert_eq!(end.seen.len(), 1);
    }
}

#[test]
fn a_violation_is_answered_before_it_is_the_result() {
    for role in ROLES {
        let mut pair = Pair::open(&Config::new());
        let (this, _) = pair.ends(role);
        this.input = b"\x83\x80\0\0\0\0".to_vec(); // an opcode that is reserved
        pair.exchange();
        let (this, that_result) = match role {
            true => (&pair.server, &pair.client),
            false => (&pair.client, &pair.server),
        };
        assert_eq!(that_result.seen, ["close Some(1002)"]);
        assert!(this.result().starts_with("Protocol("), "{}", this.result());
        let info = this.endpoint.connection().unwrap().close_info().unwrap();
        assert_eq!(info.sent_code, Some(CloseCode::PROTOCOL_ERROR));
    }
}

#[test]
fn an_end_of_file_without_a_close() {
    for role in ROLES {
        let mut pair = Pair::open(&Config::new());
        let (this, _) = pair.ends(role);
        let text: &[u8] =
            if role { b"\x81\x82\0\0\0\0ab\x81\x85\0\0\0\0a" } else { b"\x81\x02ab\x81\x05a" };
        this.input = text.to_vec();
        this.input_ended = true;
        assert_eq!(this.run(), Stop::Closed);
        assert_eq!(this.seen, ["text ab"], "what is whole still comes");
        assert_eq!(this.result(), "Disconnected");
        assert_eq!(this.endpoint.connection().unwrap().close_info().unwrap().code, 1006);
    }
}

#[test]
fn a_peer_that_has_closed_its_direction_still_gets_the_close() {
    let mut pair = Pair::open(&Config::new());
    pair.server.takes = 0;
    pair.server.input = b"\x88\x80\0\0\0\0".to_vec();
    pair.server.input_ended = true;
    assert_eq!(pair.server.run(), Stop::Wait);
    assert_eq!(pair.server.seen, ["close None"]);
    pair.server.takes = usize::MAX;
    assert_eq!(pair.server.run(), Stop::Closed);
    assert_eq!(pair.server.output, b"\x88\x00");
    assert_eq!(pair.server.result(), "ok");
}

#[test]
fn a_broken_output_leaves_the_input() {
    for role in ROLES {
        let mut pair = Pair::open(&Config::new());
        let (this, that) = pair.ends(role);
        that.endpoint.feed(&mut that.tx, "sent before").unwrap();
        this.endpoint.feed(&mut this.tx, "lost").unwrap();
        this.endpoint.note_write_failed(&mut this.tx);
        assert!(this.tx.is_empty());
        pair.exchange();
        let (this, _) = pair.ends(role);
        assert_eq!(this.seen, ["text sent before"]);
        this.input_ended = true;
        assert_eq!(this.run(), Stop::Closed);
        assert!(!this.output_shut, "there is nothing to shut down");
        assert_eq!(this.result(), "Disconnected");
    }
}

#[test]
fn a_peer_that_answers_no_ping() {
    let keep_alive = KeepAlive::Every(Duration::from_secs(10));
    for role in ROLES {
        let mut pair = Pair::open(&Config::new().keep_alive(keep_alive));
        let (this, _) = pair.ends(role);
        let mut now = Duration::from_secs(100);
        // until it is over, and for as long as that may take
        for _ in 0..100 {
            match this.run() {
                Stop::Closed => break,
                Stop::Wait => panic!("nothing is unsent"),
                Stop::Read => now = this.until.unwrap().max(now),
            }
            this.endpoint.handle_timeout(now, &mut this.tx);
        }
        assert_eq!(this.result(), "Timeout(KeepAlive)");
        assert!(now <= Duration::from_secs(100 + 60), "{now:?}");
        assert!(!this.output.is_empty(), "a ping and a Close");
    }
}

#[test]
fn a_peer_that_does_not_answer_the_close() {
    for role in ROLES {
        let mut pair = Pair::open(&Config::new());
        let (this, _) = pair.ends(role);
        this.endpoint.close(&mut this.tx, None).unwrap();
        let mut now = Duration::ZERO;
        for _ in 0..100 {
            if this.run() == Stop::Closed {
                break;
            }
            now = this.until.unwrap().max(now);
            this.endpoint.handle_timeout(now, &mut this.tx);
        }
        assert_eq!(this.result(), "Timeout(Closing)");
        assert!((10..50).contains(&now.as_secs()), "{now:?}");
    }
}

#[test]
fn a_client_waits_for_the_server_to_close_tcp_but_not_for_ever() {
    let mut pair = Pair::open(&Config::new());
    pair.client.endpoint.close(&mut pair.client.tx, None).unwrap();
    assert_eq!(pair.client.run(), Stop::Read);
    pair.client.input = b"\x88\x00".to_vec();
    assert_eq!(pair.client.run(), Stop::Read);
    assert_eq!(pair.client.seen, ["close None"]);
    let mut now = Duration::ZERO;
    for _ in 0..10 {
        now = pair.client.until.unwrap().max(now);
        pair.client.endpoint.handle_timeout(now, &mut pair.client.tx);
        if pair.client.run() == Stop::Closed {
            break;
        }
    }
    assert_eq!(pair.client.result(), "ok");
}
