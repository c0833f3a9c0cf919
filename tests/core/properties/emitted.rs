//! What we send, under any sequence of operations, read by an independent parser.

use core::time::Duration;

use proptest::prelude::*;
use sansws::bytes::{Buf, Bytes};
use sansws::proto::{MessageKind, MessageRef, Role};
use sansws::wire::Opcode;
use sansws::{CloseCode, CloseFrame, Config, KeepAlive, PreparedMessage};

use crate::properties::reference::read_frames;
use sansws_test::pair::*;

#[derive(Clone, Debug)]
enum Op {
    Text(usize),
    Owned(usize),
    Prepared(usize),
    Ping(usize),
    Pong(usize),
    Start(bool),
    Write(usize),
    Finish(usize),
    Close(usize),
    PeerPing(usize),
    PeerData,
    PeerClose,
    PeerViolation,
    Tick(u64),
    Eof,
    Advance(usize),
    TakeChunk,
}

fn op() -> impl Strategy<Value = Op> {
    let len = || prop_oneof![4 => 0..130_usize, 1 => 0..700_usize, 1 => 65_530..65_540_usize];
    prop_oneof![
        6 => len().prop_map(Op::Text),
        3 => prop_oneof![len(), 16_000..17_000_usize].prop_map(Op::Owned),
        3 => len().prop_map(Op::Prepared),
        3 => (0..130_usize).prop_map(Op::Ping),
        2 => (0..130_usize).prop_map(Op::Pong),
        3 => any::<bool>().prop_map(Op::Start),
        5 => len().prop_map(Op::Write),
        3 => len().prop_map(Op::Finish),
        1 => (0..130_usize).prop_map(Op::Close),
        8 => (0..=125_usize).prop_map(Op::PeerPing),
        4 => Just(Op::PeerData),
        1 => Just(Op::PeerClose),
        1 => Just(Op::PeerViolation),
        4 => (0..30_u64).prop_map(Op::Tick),
        1 => Just(Op::Eof),
        4 => (0..5000_usize).prop_map(Op::Advance),
        2 => Just(Op::TakeChunk),
    ]
}

const MAX_UNSENT: usize = 5000;
const MAX_PONGS: usize = 4;

/// Runs the operations, whether they are allowed or not, and returns all bytes that left.
fn run(role: Role, ops: &[Op]) -> Vec<u8> {
    let config = Config::new()
        .max_unsent(MAX_UNSENT)
        .max_pending_pongs(MAX_PONGS)
        .keep_alive(KeepAlive::Every(Duration::from_secs(20)));
    let mut end = End::new(role, &config);
    let mut out = Vec::new();
    let mut now = Duration::ZERO;
    let mut largest = 0;
    for op in ops {
        let before = end.tx.remaining();
        let (conn, tx) = (&mut end.conn, &mut end.tx);
        // the payload ends inside a code point now and then
        let payload = |len: usize| "é".repeat(len / 2 + 1).into_bytes()[..len].to_vec();
        let len = match op {
            Op::Text(len) => {
                let _ = conn.feed(tx, "x".repeat(*len).as_str());
                *len
            }
            Op::Owned(len) => {
                let _ = conn.feed(tx, Bytes::from(payload(*len)));
                *len
            }
            Op::Prepared(len) => {
                let _ = conn.feed(tx, &PreparedMessage::new(payload(*len)).unwrap());
                *len
            }
            Op::Ping(len) => {
                let _ = conn.feed(tx, MessageRef::ping(&payload(*len)));
                *len
            }
            Op::Pong(len) => {
                let _ = conn.feed(tx, MessageRef::pong(&payload(*len)));
                *len
            }
            Op::Start(text) => {
                let kind = if *text { MessageKind::Text } else { MessageKind::Binary };
                let _ = conn.start_message(kind);
                0
            }
            Op::Write(len) => {
                let _ = conn.resume_message().map(|mut writer| writer.write(tx, &payload(*len)));
                *len
            }
            Op::Finish(len) => {
                let _ = conn.resume_message().map(|writer| writer.finish(tx, &payload(*len)));
                *len
            }
            Op::Close(len) => {
                let reason = "x".repeat(*len);
                let close = CloseFrame { code: CloseCode::NORMAL, reason: &reason };
                let _ = conn.close(tx, (*len > 0).then_some(close));
                *len
            }
            Op::PeerPing(len) => {
                let _ = end.receive(&frame(other(role), Opcode::Ping, &payload(*len)));
                0
            }
            Op::PeerData => {
                let _ = end.receive(&frame(other(role), Opcode::Text, b"data"));
                0
            }
            Op::PeerClose => {
                let _ = end.receive(&close_frame(other(role), 1000, "bye"));
                0
            }
            Op::PeerViolation => {
                let _ = end.receive(&[0x83]);
                0
            }
            Op::Tick(seconds) => {
                now += Duration::from_secs(*seconds);
                let _ = conn.handle_timeout(now, tx);
                0
            }
            Op::Eof => {
                conn.receive_eof();
                0
            }
            Op::Advance(n) => {
                let mut left = (*n).min(tx.remaining());
                while left > 0 {
                    let n = left.min(tx.chunk().len());
                    out.extend_from_slice(&tx.chunk()[..n]);
                    tx.advance(n);
                    left -= n;
                }
                0
            }
            Op::TakeChunk => {
                out.extend(tx.take_chunk().unwrap_or_default());
                0
            }
        };
        if end.tx.remaining() > before {
            // one message beyond the limit at most, the rest is replies and pings
            largest = largest.max(len);
            let replies = ops.len() * 24 + (MAX_PONGS + 2) * 131 + 2 * 131;
            let bound = MAX_UNSENT + largest + 14 + replies;
            assert!(end.tx.remaining() <= bound, "{} bytes wait", end.tx.remaining());
        }
    }
    out.extend(end.sent());
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// F-1, F-3, F-11, F-28, X-4: whole frames, lengths in the shortest form, the mask as the
    /// role wants it, a proper grammar of fragments, and nothing after a Close.
    #[test]
    fn any_operations_send_valid_frames(ops in prop::collection::vec(op(), 1..60)) {
        for role in [Role::Server, Role::Client] {
            let bytes = run(role, &ops);
            let frames = read_frames(&bytes, role == Role::Client);
            prop_assert!(frames.iter().filter(|frame| frame.opcode == 8).count() <= 1);
            // text is UTF-8 once its message is whole
            let mut text: Option<Vec<u8>> = None;
            for frame in frames.iter().filter(|frame| frame.opcode < 8) {
                match frame.opcode {
                    1 => text = Some(frame.payload.clone()),
                    2 => text = None,
                    _ => text.iter_mut().for_each(|text| text.extend(&frame.payload)),
                }
                if frame.fin && let Some(text) = text.take() {
                    prop_assert!(String::from_utf8(text).is_ok());
                }
            }
            // and the other end takes all of it
            let mut peer = End::new(other(role), &Config::new());
            prop_assert_eq!(peer.receive(&bytes).1, Ok(()));
        }
    }

    /// The same input gives the same output.
    #[test]
    fn nothing_is_hidden(ops in prop::collection::vec(op(), 1..30)) {
        for role in [Role::Server, Role::Client] {
            prop_assert!(run(role, &ops) == run(role, &ops));
        }
    }
}
