//! The closing handshake against a model of it, under any sequence of operations.

use core::time::Duration;

use proptest::prelude::*;
use sansws::proto::{Initiator, Outcome, Role, SendError, State, Timeout, Transport};
use sansws::wire::Opcode;
use sansws::{CloseCode, Config, ProtocolError};

use sansws_test::pair::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Send,
    Close,
    PeerData,
    PeerPing,
    PeerClose(Option<u16>),
    PeerViolation,
    Tick(u64),
    Eof,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Send),
        2 => Just(Op::Close),
        3 => Just(Op::PeerData),
        3 => Just(Op::PeerPing),
        2 => prop_oneof![Just(None), (1000..1004_u16).prop_map(Some)].prop_map(Op::PeerClose),
        1 => Just(Op::PeerViolation),
        3 => (0..12_u64).prop_map(Op::Tick),
        1 => Just(Op::Eof),
    ]
}

/// What an end knows about its own end, in the words of RFC 6455 §7.
#[derive(Debug, Default)]
struct Model {
    close_sent: bool,
    /// The code of the first Close received.
    received: Option<Option<u16>>,
    failed: bool,
    ended: bool,
    timed_out: bool,
    initiator: Option<Initiator>,
    /// Since when the present wait runs.
    waiting_since: Option<Duration>,
}

impl Model {
    fn reads(&self) -> bool {
        self.received.is_none() && !self.failed && !self.ended
    }

    fn sends(&self) -> bool {
        !self.close_sent && self.reads()
    }

    fn clean(&self) -> bool {
        self.received.is_some()
    }

    fn state(&self) -> State {
        match () {
            () if self.ended => State::Closed,
            () if self.sends() => State::Open,
            () => State::Closing,
        }
    }

    fn transport(&self, role: Role) -> Transport {
        match () {
            () if self.ended => Transport::Close,
            () if self.failed => Transport::ShutdownWrite,
            () if self.received.is_some() && role == Role::Server => Transport::ShutdownWrite,
            () => Transport::KeepOpen,
        }
    }

    /// Something begins a new wait, and it is known who began to close.
    fn turn(&mut self, initiator: Initiator) {
        self.initiator.get_or_insert(initiator);
        self.waiting_since = None;
    }

    /// Whether the time is up at `now`, when that is looked at.
    fn expires(&mut self, now: Duration, role: Role) -> bool {
        if self.sends() || self.ended {
            return false;
        }
        let Some(since) = self.waiting_since else {
            self.waiting_since = Some(now);
            return false;
        };
        let linger = role == Role::Server && !self.reads();
        now >= since + Duration::from_secs(if linger { 1 } else { 10 })
    }
}

const VIOLATION: ProtocolError = ProtocolError::ReservedOpcode(3);

fn check(role: Role, ops: &[Op]) {
    let mut end = End::new(role, &Config::new());
    let mut model = Model::default();
    let mut now = Duration::ZERO;
    let mut closes = 0;
    for op in ops {
        let reads = model.reads();
        let mut expected_events = Vec::new();
        let mut expected_frames = Vec::new();
        let mut received = None;
        let peer = other(role);
        match *op {
            Op::Send => {
                let expected = if model.sends() { Ok(()) } else { Err(SendError::NotOpen) };
                assert_eq!(end.conn.feed(&mut end.tx, "x"), expected);
                expected_frames.extend(model.sends().then_some(Opcode::Text));
            }
            Op::Close => {
                let expected = if model.sends() { Ok(()) } else { Err(SendError::NotOpen) };
                let result = end.conn.close(&mut end.tx, Some(CloseCode::NORMAL.into()));
                assert_eq!(result, expected);
                if model.sends() {
                    expected_frames.push(Opcode::Close);
                    model.close_sent = true;
                    model.turn(Initiator::Local);
                }
            }
            Op::PeerData => {
                received = Some(end.receive(&frame(peer, Opcode::Text, b"data")));
                expected_events.push(Got::Text("data".into()));
            }
            Op::PeerPing => {
                received = Some(end.receive(&frame(peer, Opcode::Ping, b"ping")));
                expected_events.push(Got::Ping(b"ping".into()));
                expected_frames.extend(reads.then_some(Opcode::Pong));
            }
            Op::PeerClose(code) => {
                let bytes = match code {
                    Some(code) => close_frame(peer, code, ""),
                    None => frame(peer, Opcode::Close, b""),
                };
                received = Some(end.receive(&bytes));
                expected_events.push(Got::Close(code.map(|code| (code, String::new()))));
                if reads {
                    expected_frames.extend(model.sends().then_some(Opcode::Close));
                    model.received = Some(code);
                    model.close_sent = true;
                    model.turn(Initiator::Peer);
                }
            }
            Op::PeerViolation => {
                received = Some(end.receive(&[0x83]));
                if reads {
                    expected_frames.extend(model.sends().then_some(Opcode::Close));
                    model.failed = true;
                    model.close_sent = true;
                    model.turn(Initiator::Local);
                }
            }
            Op::Tick(seconds) => {
                now += Duration::from_secs(seconds);
                let result = end.conn.handle_timeout(now, &mut end.tx);
                if model.expires(now, role) {
                    model.timed_out = reads;
                    model.ended = true;
                }
                let expected = if model.timed_out { Err(Timeout::Closing) } else { Ok(()) };
                assert_eq!(result, expected);
            }
            Op::Eof => {
                let outcome = end.conn.receive_eof();
                let clean = if model.clean() { Outcome::Clean } else { Outcome::Abnormal };
                assert_eq!(outcome, clean);
                model.ended = true;
                model.turn(Initiator::Network);
            }
        }
        if let Some((events, result)) = received {
            assert_eq!(result, if model.failed { Err(VIOLATION) } else { Ok(()) });
            assert_eq!(events, if reads { expected_events } else { vec![] });
        }
        let frames = end.sent_frames();
        let opcodes: Vec<_> = frames.iter().map(|frame| frame.kind()).collect();
        assert_eq!(opcodes, expected_frames, "{op:?}");
        closes += opcodes.iter().filter(|opcode| **opcode == Opcode::Close).count();
        assert!(closes <= 1);

        assert_eq!(end.conn.state(), model.state(), "{op:?} {model:?}");
        assert_eq!(end.conn.transport(), model.transport(role), "{op:?} {model:?}");
        let info = end.conn.close_info();
        assert_eq!(info.is_some(), !model.reads(), "{op:?} {model:?}");
        if let Some(info) = info {
            let code = model.received.map_or(1006, |code| code.unwrap_or(1005));
            assert_eq!((info.code, info.clean), (code, model.clean()));
            assert_eq!(Some(info.initiator), model.initiator);
            assert_eq!(info.error, model.failed.then_some(VIOLATION));
        }
        assert_eq!(end.conn.poll_timeout().is_some(), model.state() == State::Closing);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// at most one Close, no data after it, the first code
    /// received is reported, errors are sticky, and every wait ends.
    #[test]
    fn closing_follows_the_model(ops in prop::collection::vec(op(), 1..25)) {
        check(Role::Server, &ops);
        check(Role::Client, &ops);
    }
}
