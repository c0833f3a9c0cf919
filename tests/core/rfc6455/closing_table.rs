//! Every cell of the closing table, through connections of both roles.

use sansws::proto::{Outcome, Role, SendError, State, Transport};
use sansws::wire::Opcode;
use sansws::{CloseCode, Config, ProtocolError};

use sansws_test::pair::*;

/// The rows of the table, as they look from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Open,
    CloseSent,
    CloseDone,
    /// The same, but by an answer to our Close.
    CloseDoneByUs,
    Failed,
    /// A violation after our Close.
    FailedAfterClose,
    ClosedClean,
    ClosedAbnormal,
}

const ROWS: [Row; 8] = [
    Row::Open,
    Row::CloseSent,
    Row::CloseDone,
    Row::CloseDoneByUs,
    Row::Failed,
    Row::FailedAfterClose,
    Row::ClosedClean,
    Row::ClosedAbnormal,
];

const VIOLATION: ProtocolError = ProtocolError::ReservedOpcode(3);

/// An end in that row, everything sent.
fn end_in(row: Row, role: Role) -> End {
    let mut end = End::new(role, &Config::new());
    let peers_close = close_frame(other(role), 1001, "theirs");
    if matches!(row, Row::CloseSent | Row::CloseDoneByUs | Row::FailedAfterClose) {
        end.conn.close(&mut end.tx, Some(CloseCode::NORMAL.into())).unwrap();
    }
    match row {
        Row::Open | Row::CloseSent => {}
        Row::CloseDone | Row::CloseDoneByUs => assert_eq!(end.events(&peers_close).len(), 1),
        Row::Failed | Row::FailedAfterClose => {
            assert_eq!(end.receive(&[0x83]), (vec![], Err(VIOLATION)));
        }
        Row::ClosedClean => {
            end.events(&peers_close);
            assert_eq!(end.conn.receive_eof(), Outcome::Clean);
        }
        Row::ClosedAbnormal => assert_eq!(end.conn.receive_eof(), Outcome::Abnormal),
    }
    let closes = usize::from(!matches!(row, Row::Open | Row::ClosedAbnormal));
    assert_eq!(end.sent_frames().len(), closes, "one Close at most, {row:?}");
    assert_eq!(looks(&end), expected(row, role));
    end
}

fn looks(end: &End) -> (State, Transport, Option<bool>) {
    let clean = end.conn.close_info().map(|info| info.clean);
    (end.conn.state(), end.conn.transport(), clean)
}

/// State, transport, and whether the report says clean.
fn expected(row: Row, role: Role) -> (State, Transport, Option<bool>) {
    match row {
        Row::Open => (State::Open, Transport::KeepOpen, None),
        Row::CloseSent => (State::Closing, Transport::KeepOpen, None),
        Row::CloseDone | Row::CloseDoneByUs => match role {
            Role::Server => (State::Closing, Transport::ShutdownWrite, Some(true)),
            Role::Client => (State::Closing, Transport::KeepOpen, Some(true)),
        },
        Row::Failed | Row::FailedAfterClose => {
            (State::Closing, Transport::ShutdownWrite, Some(false))
        }
        Row::ClosedClean => (State::Closed, Transport::Close, Some(true)),
        Row::ClosedAbnormal => (State::Closed, Transport::Close, Some(false)),
    }
}

fn for_each(test: impl Fn(Row, Role, End)) {
    for row in ROWS {
        each_role(|role| test(row, role, end_in(row, role)));
    }
}

/// What comes of receiving: an error if the peer broke a rule, now or before.
fn result(row: Row) -> Result<(), ProtocolError> {
    match row {
        Row::Failed | Row::FailedAfterClose => Err(VIOLATION),
        _ => Ok(()),
    }
}

#[test]
fn every_row_can_be_reached() {
    for_each(|row, role, end| assert_eq!(looks(&end), expected(row, role)));
}

/// Column "we close".
#[test]
fn we_close() {
    for_each(|row, role, mut end| {
        let result = end.conn.close(&mut end.tx, Some(CloseCode::GOING_AWAY.into()));
        if row == Row::Open {
            assert_eq!(result, Ok(()));
            assert_eq!(end.sent_frames()[0].payload, 1001_u16.to_be_bytes());
            assert_eq!(looks(&end), expected(Row::CloseSent, role));
        } else {
            assert_eq!(result, Err(SendError::NotOpen), "{row:?}");
            assert_eq!(end.sent(), b"");
            assert_eq!(looks(&end), expected(row, role));
        }
    });
}

/// Column "the peer's Close".
#[test]
fn the_peer_closes() {
    for_each(|row, role, mut end| {
        let (events, received) = end.receive(&close_frame(other(role), 1011, "now"));
        assert_eq!(received, result(row));
        let frames = end.sent_frames();
        match row {
            Row::Open => {
                assert_eq!(events, [Got::Close(Some((1011, "now".into())))]);
                assert_eq!(frames.len(), 1);
                assert_eq!(frames[0].payload, 1011_u16.to_be_bytes());
                assert_eq!(looks(&end), expected(Row::CloseDone, role));
            }
            Row::CloseSent => {
                assert_eq!(events, [Got::Close(Some((1011, "now".into())))]);
                assert_eq!(frames, []);
                assert_eq!(looks(&end), expected(Row::CloseDoneByUs, role));
            }
            row => {
                assert_eq!((events, frames), (vec![], vec![]), "{row:?}");
                assert_eq!(looks(&end), expected(row, role));
            }
        }
    });
}

/// Columns "peer's data" and "peer's Ping".
#[test]
fn the_peer_sends_on() {
    for_each(|row, role, mut end| {
        let mut bytes = frame(other(role), Opcode::Text, b"data");
        bytes.extend(frame(other(role), Opcode::Ping, b"ping"));
        let (events, received) = end.receive(&bytes);
        assert_eq!(received, result(row));
        let frames = end.sent_frames();
        if matches!(row, Row::Open | Row::CloseSent) {
            assert_eq!(events, [Got::Text("data".into()), Got::Ping(b"ping".into())]);
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0].kind(), Opcode::Pong);
            assert_eq!(frames[0].payload, b"ping");
        } else {
            assert_eq!((events, frames), (vec![], vec![]), "{row:?}");
            assert!(end.rx.is_idle());
        }
        assert_eq!(looks(&end), expected(row, role));
    });
}

/// Column "peer breaks a rule".
#[test]
fn the_peer_breaks_a_rule() {
    for_each(|row, role, mut end| {
        let (events, received) = end.receive(&[0x84]);
        assert_eq!(events, []);
        let frames = end.sent_frames();
        let error = ProtocolError::ReservedOpcode(4);
        match row {
            Row::Open => {
                assert_eq!(received, Err(error));
                assert_eq!(frames.len(), 1);
                assert_eq!(frames[0].payload, 1002_u16.to_be_bytes());
                assert_eq!(looks(&end), expected(Row::Failed, role));
                assert_eq!(end.conn.close_info().unwrap().error, Some(error));
            }
            Row::CloseSent => {
                assert_eq!(received, Err(error));
                assert_eq!(frames, []);
                assert_eq!(looks(&end), expected(Row::FailedAfterClose, role));
                let info = end.conn.close_info().unwrap();
                assert_eq!(info.error, Some(error));
                assert_eq!(info.sent_code, Some(CloseCode::NORMAL));
            }
            row => {
                assert_eq!(received, result(row), "{row:?}");
                assert_eq!(frames, []);
                assert_eq!(looks(&end), expected(row, role));
            }
        }
    });
}

/// Column "EOF".
#[test]
fn the_transport_ends() {
    for_each(|row, role, mut end| {
        let outcome = end.conn.receive_eof();
        let (closed, expected_outcome) = match row {
            Row::CloseDone | Row::CloseDoneByUs | Row::ClosedClean => {
                (Row::ClosedClean, Outcome::Clean)
            }
            _ => (Row::ClosedAbnormal, Outcome::Abnormal),
        };
        assert_eq!(outcome, expected_outcome, "{row:?}");
        assert_eq!(looks(&end), expected(closed, role));
        assert_eq!(end.sent(), b"");
        let info = end.conn.close_info().unwrap();
        let code = if expected_outcome == Outcome::Clean { 1001 } else { 1006 };
        assert_eq!(info.code, code, "{row:?}");
        assert_eq!(info.error, result(row).err());
        assert_eq!(end.conn.poll_timeout(), None);
        assert_eq!(end.receive(b"\x81").1, result(row));
    });
}

/// sending is refused everywhere but in the first row.
#[test]
fn we_send() {
    for_each(|row, role, mut end| {
        let result = end.conn.feed(&mut end.tx, "x");
        if row == Row::Open {
            assert_eq!(result, Ok(()));
        } else {
            assert_eq!(result, Err(SendError::NotOpen), "{row:?}");
            assert_eq!(end.sent(), b"");
        }
        assert_eq!(looks(&end), expected(row, role));
    });
}
