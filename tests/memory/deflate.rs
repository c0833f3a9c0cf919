//! How much memory compression takes, counted by the allocator.
#[path = "../core/rfc7692/support.rs"] // it needs a feature, so it is not in the crate of all tests
#[allow(dead_code)]
mod support;

use core::sync::atomic::Ordering::Relaxed;

use sansws::deflate::{Agreement, Deflate};
use sansws::proto::{Connection, Role};
use sansws::wire::Opcode;
use sansws::{Config, PreparedMessage, ProtocolError};

use self::support::*;
use sansws_test::counting::{HELD, PEAK, held_beyond, peak_beyond};
use sansws_test::pair::*;
use sansws_test::process::alone;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

#[test]
fn memory_is_bounded() {
    alone("deflate::memory_is_bounded", memory_is_bounded_alone);
}

fn memory_is_bounded_alone() {
    // what a thread keeps on its shelves is there from now on
    exchange(Role::Server, agreed(true, 15), &eager());
    nothing_without_a_message();
    idle_connections();
    for role in [Role::Server, Role::Client] {
        for no_context_takeover in [true, false] {
            for delivery in [Delivery::Messages, Delivery::Chunks] {
                for fragmented in [true, false] {
                    bomb(role, no_context_takeover, delivery, fragmented);
                }
            }
        }
    }
    many_at_once();
    prepared_messages();
}

/// What `code` takes: the most at once, and what it leaves behind.
fn measure<T>(code: impl FnOnce() -> T) -> (T, usize, usize) {
    let held = HELD.load(Relaxed);
    PEAK.store(held, Relaxed);
    let value = code();
    (value, peak_beyond(held), held_beyond(held))
}

/// An end that has sent and received compressed messages and is idle now.
fn exchange(role: Role, agreed: Agreement, settings: &Deflate) -> End {
    let mut near = end_with(role, &Config::new(), agreed, settings);
    let mut far = end_with(other(role), &Config::new(), agreed, settings);
    for _ in 0..3 {
        let text = prose(2000);
        near.conn.feed(&mut near.tx, &text).unwrap();
        far.conn.feed(&mut far.tx, &text).unwrap();
        let (to_near, to_far) = (far.sent(), near.sent());
        assert!(to_near.len() < 1500 && to_far.len() < 1500);
        assert_eq!(near.events(&to_near), [Got::Text(text.clone())]);
        assert_eq!(far.events(&to_far), [Got::Text(text)]);
    }
    assert!(near.rx.is_idle() && near.tx.is_empty());
    near
}

/// D-39: a connection that has agreed but compressed nothing is hardly larger than others.
fn nothing_without_a_message() {
    let (_connection, _, kept) = measure(|| {
        Connection::server(&Config::new()).with_deflate(agreed(false, 15), &Deflate::new())
    });
    assert!(kept <= 256, "{kept}");
    // what it costs those that have not agreed
    assert!(size_of::<Connection>() <= 256, "{}", size_of::<Connection>());
}

/// D-39: without context takeover an idle connection holds neither engine.
fn idle_connections() {
    const COUNT: usize = 200;
    let (_connections, _, kept) = measure(|| {
        let connections = (0..COUNT).map(|_| {
            let End { conn, .. } = exchange(Role::Server, agreed(true, 15), &eager());
            conn
        });
        connections.collect::<Vec<_>>()
    });
    assert!(kept / COUNT < 1024, "{} bytes each", kept / COUNT);
    // with takeover it holds both; the first ones come from the pool
    let with_takeover = || exchange(Role::Server, agreed(false, 15), &eager()).conn;
    let _first: Vec<Connection> = (0..4).map(|_| with_takeover()).collect();
    let (_connection, _, kept) = measure(with_takeover);
    assert!((320 * KIB..400 * KIB).contains(&kept), "{kept} bytes with takeover");
}

/// D-31: at most the limit, a chunk, and the engine.
fn bomb(role: Role, no_context_takeover: bool, delivery: Delivery, fragmented: bool) {
    const LIMIT: usize = 4 * MIB;
    let agreed = agreed(no_context_takeover, 15);
    let config = Config::new().max_message_len(LIMIT).delivery(delivery);
    let payload = {
        let mut sender = end_with(Role::Server, &Config::new(), agreed, &eager().level(9));
        sender.conn.feed(&mut sender.tx, vec![0; 64 * MIB]).unwrap();
        sender.sent_frames().remove(0).payload
    };
    assert!(payload.len() < 70 * KIB);
    let mut end = end_with(role, &config, agreed, &eager());
    let peer = other(role);
    let pieces: Vec<Vec<u8>> = if fragmented {
        let frame = |(i, part)| match i {
            0 => reserved(peer, false, Opcode::Binary, 0x40, part),
            _ => fragment(peer, false, Opcode::Continuation, part),
        };
        payload.chunks(1000).enumerate().map(frame).collect()
    } else {
        let bytes = compressed(peer, Opcode::Binary, &payload);
        bytes.chunks(4 * KIB).map(<[u8]>::to_vec).collect()
    };
    let (error, peak, kept) = measure(|| {
        pieces.iter().find_map(|piece| {
            end.rx.extend_from_slice(piece);
            loop {
                match end.poll() {
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(error) => return Some(error),
                }
            }
        })
    });
    let limit = LIMIT as u64;
    let expected = ProtocolError::MessageTooBig { announced: limit + 1, limit };
    assert_eq!(error, Some(expected));
    // The engine is 47 KiB, and 16 KiB each are a chunk and what was received. For chunks the
    // engine has to remember 32 KiB besides, which it takes in steps.
    let most = match delivery {
        Delivery::Messages => LIMIT + 64 * KIB,
        _ => 130 * KIB,
    };
    assert!(peak <= most, "{peak} > {most}: {role:?} {no_context_takeover} {delivery:?}");
    assert!(kept <= 128 * KIB, "{kept}");
    drop(end);
}

/// Messages that are sent at the same time share one compressor.
fn many_at_once() {
    const COUNT: usize = 1000;
    let text = prose(2000);
    let mut ends: Vec<End> = (0..COUNT)
        .map(|_| end_with(Role::Server, &Config::new(), agreed(true, 15), &eager()))
        .collect();
    let ((), peak, _) = measure(|| {
        for end in &mut ends {
            end.conn.feed(&mut end.tx, &text).unwrap();
        }
    });
    // what waits in the send buffers
    assert!(peak / COUNT < 4 * KIB, "{} bytes each", peak / COUNT);
}

/// A message that was compressed once takes no memory for each receiver, with takeover or without.
fn prepared_messages() {
    const COUNT: usize = 1000;
    let text = prose(20_000);
    let message = PreparedMessage::with_deflate(&text, &Deflate::new()).unwrap();
    for no_context_takeover in [true, false] {
        let agreed = agreed(no_context_takeover, 15);
        let mut ends: Vec<End> =
            (0..COUNT).map(|_| end_with(Role::Server, &Config::new(), agreed, &eager())).collect();
        let ((), peak, _) = measure(|| {
            for end in &mut ends {
                end.conn.feed(&mut end.tx, &message).unwrap();
            }
        });
        assert!(peak / COUNT < 512, "{} bytes each", peak / COUNT);
    }
}

/// The table in the documentation of `sansws::deflate`, row by row.
#[test]
fn the_table_of_the_documentation() {
    alone("deflate::the_table_of_the_documentation", || {
        let rows = include_str!("../../src/deflate/mod.rs").lines();
        let mut rows = rows.skip_while(|row| !row.starts_with("//! | window bits |")).skip(2);
        for bits in [8, 9, 10, 11, 12, 13, 14, 15, 0] {
            let row = rows.next().unwrap().replace(' ', "");
            let mut cells = row.split('|').skip(1);
            let name = cells.next().unwrap();
            assert_eq!(name, if bits == 0 { "notakeover".into() } else { bits.to_string() });
            let levels = [Some(Deflate::new()), Some(level(1)), Some(level(8)), None];
            for settings in levels {
                let held = idle_with(bits, settings);
                let said: usize = cells.next().unwrap().parse().unwrap();
                // the engine is another crate's
                let near = held.abs_diff(said) <= said / 50;
                assert!(near, "{held} bytes, and not {said}: {row}");
            }
        }
    });
}

fn level(mem_level: u8) -> Deflate {
    Deflate::new().mem_level(mem_level)
}

/// Bytes beyond those of a plain connection that one holds which has sent with these settings, or
/// received if there are none. Without bits: without takeover.
fn idle_with(bits: u8, settings: Option<Deflate>) -> usize {
    const COUNT: usize = 20;
    let mut agreed = Agreement::new();
    if bits == 0 {
        agreed.server_no_context_takeover = true;
    } else {
        agreed.server_max_window_bits = bits;
    }
    let text = prose(64 * KIB);
    let ends = |count| {
        let mut kept = Vec::with_capacity(COUNT);
        for _ in 0..count {
            let eager = settings.clone().unwrap_or_default();
            let mut server = end_with(Role::Server, &Config::new(), agreed, &eager);
            let mut client = end_with(Role::Client, &Config::new(), agreed, &eager);
            for _ in 0..2 {
                server.conn.feed(&mut server.tx, &text).unwrap();
                let sent = server.sent();
                assert_eq!(client.events(&sent), [Got::Text(text.clone())]);
            }
            kept.push(if settings.is_some() { server.conn } else { client.conn });
        }
        kept
    };
    drop(ends(4)); // what all share
    let (_plain, _, plain) = measure(|| {
        let mut plain = Vec::with_capacity(COUNT);
        plain.resize_with(COUNT, || match settings {
            Some(_) => Connection::server(&Config::new()),
            None => Connection::client(&Config::new(), [7; 32]),
        });
        plain
    });
    let (_ends, _, held) = measure(|| ends(COUNT));
    (held - plain) / COUNT
}
