//! A connection split into its two directions.

use core::time::Duration;

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::proto::{
    Connection, Initiator, Outcome, Receiver, Reply, Role, SendError, Sender, State, Timeout,
    Transport,
};
use sansws::wire::Opcode;
use sansws::{CloseCode, Config, KeepAlive, ProtocolError};

use sansws_test::pair::*;

/// The two halves of an end and their buffers.
struct Halves {
    receiver: Receiver,
    sender: Sender,
    rx: RecvBuffer,
    tx: SendBuffer,
}

impl Halves {
    fn new(end: End) -> Self {
        let (receiver, sender) = end.conn.split();
        Self { receiver, sender, rx: end.rx, tx: end.tx }
    }

    /// The events in `bytes`; every reply is handed over.
    fn receive(&mut self, bytes: &[u8]) -> (Vec<Got>, Result<(), ProtocolError>) {
        self.rx.extend_from_slice(bytes);
        let mut events = Vec::new();
        loop {
            match self.receiver.poll_event(&mut self.rx) {
                Ok(Some((event, reply))) => {
                    events.push(event.into());
                    self.sender.reply(&mut self.tx, reply);
                }
                Ok(None) => return (events, Ok(())),
                Err(error) => {
                    self.sender.reply(&mut self.tx, Reply::from(error));
                    return (events, Err(error));
                }
            }
        }
    }

    fn sent(&mut self) -> Vec<Frame> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.tx.take_chunk() {
            bytes.extend_from_slice(&chunk);
        }
        parse_frames(&bytes)
    }

    fn peer(&self) -> Role {
        other(self.sender.role())
    }
}

/// The halves say and write what the whole does.
#[test]
fn halves_behave_as_the_whole() {
    let streams: [&dyn Fn(Role) -> Vec<u8>; 5] = [
        &|peer| frame(peer, Opcode::Ping, b"ping"),
        &|peer| {
            let mut bytes = fragment(peer, false, Opcode::Text, b"a");
            bytes.extend(frame(peer, Opcode::Ping, b""));
            bytes.extend(frame(peer, Opcode::Pong, b"12345678"));
            bytes.extend(fragment(peer, true, Opcode::Continuation, b"b"));
            bytes.extend(close_frame(peer, 1001, "bye"));
            bytes.extend(frame(peer, Opcode::Text, b"late"));
            bytes
        },
        &|peer| frame(peer, Opcode::Close, b""),
        &|peer| {
            let mut bytes = frame(peer, Opcode::Binary, b"good");
            bytes.extend([0x83]);
            bytes
        },
        &|peer| frame(peer, Opcode::Text, b"\xff"),
    ];
    for stream in streams {
        both_roles(|mut whole| {
            let bytes = stream(whole.peer());
            let mut halves = Halves::new(End::new(whole.conn.role(), &Config::new()));
            assert_eq!(halves.receive(&bytes), whole.receive(&bytes));
            assert_eq!(halves.sent(), whole.sent_frames());
            assert_eq!(halves.sender.state(), whole.conn.state());
            assert_eq!(halves.sender.transport(), whole.conn.transport());
            assert_eq!(halves.sender.close_info(), whole.conn.close_info());
            assert_eq!(halves.receiver.is_finished(), whole.conn.state() != State::Open);
        });
    }
}

/// K-1: what the whole has answered already, the halves do not answer again.
#[test]
fn an_event_found_before_the_split_is_answered_once() {
    both_roles(|mut end| {
        let peer = end.peer();
        end.rx.extend_from_slice(&frame(peer, Opcode::Ping, b"once"));
        assert_eq!(end.conn.advance(&mut end.rx, &mut end.tx), Ok(true));
        let mut halves = Halves::new(end);
        assert_eq!(halves.receive(b""), (vec![Got::Ping(b"once".into())], Ok(())));
        assert_eq!(halves.sent().len(), 1, "one ping, one pong");
        halves.receive(&frame(peer, Opcode::Ping, b"twice")).1.unwrap();
        assert_eq!(halves.sent().len(), 1);
    });
}

#[test]
fn replies_say_whether_there_is_anything_to_do() {
    both_roles(|end| {
        let mut halves = Halves::new(end);
        let peer = halves.peer();
        let mut is_none = |bytes: &[u8]| {
            halves.rx.extend_from_slice(bytes);
            halves.receiver.poll_event(&mut halves.rx).unwrap().unwrap().1.is_none()
        };
        assert!(is_none(&frame(peer, Opcode::Text, b"x")));
        assert!(!is_none(&frame(peer, Opcode::Pong, b"")), "the peer answers pings");
        assert!(!is_none(&frame(peer, Opcode::Ping, b"")));
        assert!(!is_none(&frame(peer, Opcode::Close, b"")));
    });
}

/// a Close that crosses ours is its answer; the reply adds no second Close.
#[test]
fn simultaneous_close() {
    both_roles(|end| {
        let mut halves = Halves::new(end);
        let peer = halves.peer();
        halves.rx.extend_from_slice(&close_frame(peer, 1001, "theirs"));
        let (_, reply) = halves.receiver.poll_event(&mut halves.rx).unwrap().unwrap();
        halves.sender.close(&mut halves.tx, Some(CloseCode::NORMAL.into())).unwrap();
        halves.sender.reply(&mut halves.tx, reply);
        let frames = halves.sent();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].payload, 1000_u16.to_be_bytes());
        let info = halves.sender.close_info().unwrap();
        assert_eq!((info.initiator, info.code, &*info.reason), (Initiator::Local, 1001, "theirs"));
        assert!(info.clean);
    });
}

/// the error is sticky in the receiver, and handed over twice it is still one Close.
#[test]
fn a_violation_is_reported_once() {
    both_roles(|end| {
        let mut halves = Halves::new(end);
        let error = ProtocolError::ReservedOpcode(3);
        assert_eq!(halves.receive(&[0x83]), (vec![], Err(error)));
        assert_eq!(halves.receive(b"more"), (vec![], Err(error)));
        assert!(halves.receiver.is_finished());
        let frames = halves.sent();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].payload, 1002_u16.to_be_bytes());
        assert_eq!(halves.sender.close_info().unwrap().error, Some(error));
        assert_eq!(halves.sender.transport(), Transport::ShutdownWrite);
        assert_eq!(halves.sender.feed(&mut halves.tx, "x"), Err(SendError::NotOpen));
    });
}

#[test]
fn eof_ends_both_halves() {
    both_roles(|end| {
        let mut halves = Halves::new(end);
        let peer = halves.peer();
        halves.rx.extend_from_slice(&frame(peer, Opcode::Text, b"late"));
        halves.receiver.receive_eof();
        assert!(halves.receiver.is_finished());
        assert_eq!(halves.receive(b""), (vec![], Ok(())));
        assert_eq!(halves.sender.receive_eof(), Outcome::Abnormal);
        assert_eq!(halves.sender.close_info().unwrap().code, 1006);
    });
}

/// The round trip and the sign of life reach the sender: the one in a reply, the other by
/// `take_alive` and `note_alive`.
#[test]
fn keep_alive_across_the_halves() {
    let second = Duration::from_secs(1);
    let config = Config::new().keep_alive(KeepAlive::Every(20 * second)).pong_timeout(10 * second);
    both_roles_with(&config, |end| {
        let mut halves = Halves::new(end);
        let peer = halves.peer();
        halves.sender.handle_timeout(Duration::ZERO, &mut halves.tx).unwrap();
        halves.sender.handle_timeout(20 * second, &mut halves.tx).unwrap();
        let ping = halves.sent().remove(0).payload;
        halves.receive(&frame(peer, Opcode::Pong, &ping)).1.unwrap();
        // the pong alone is a sign of life
        halves.sender.handle_timeout(21 * second, &mut halves.tx).unwrap();
        assert_eq!(halves.sender.round_trip(), Some(second));
        halves.sender.handle_timeout(30 * second, &mut halves.tx).unwrap();

        halves.sender.handle_timeout(40 * second, &mut halves.tx).unwrap();
        halves.receiver.take_arrived();
        halves.receive(&[frame(peer, Opcode::Text, b"hello")[0]]).1.unwrap();
        let arrived = halves.receiver.take_arrived();
        assert!(arrived.is_any());
        assert!(!halves.receiver.take_arrived().is_any());
        halves.sender.note_arrived(arrived);
        halves.sender.handle_timeout(50 * second, &mut halves.tx).unwrap();

        let result = halves.sender.handle_timeout(60 * second, &mut halves.tx);
        assert_eq!(result, Err(Timeout::KeepAlive));
    });
}

/// K-4: what the receiver owes does not wait for room in the send buffer.
#[test]
fn replies_pass_a_full_send_buffer() {
    both_roles_with(&Config::new().max_unsent(10), |end| {
        let mut halves = Halves::new(end);
        let peer = halves.peer();
        halves.sender.feed(&mut halves.tx, "0123456789").unwrap();
        assert!(matches!(
            halves.sender.feed(&mut halves.tx, "x"),
            Err(SendError::BufferFull { limit: 10, .. })
        ));
        halves.receive(&frame(peer, Opcode::Ping, b"ping")).1.unwrap();
        halves.receive(&close_frame(peer, 1000, "")).1.unwrap();
        let opcodes: Vec<_> = halves.sent().iter().map(|frame| frame.kind()).collect();
        assert_eq!(opcodes, [Opcode::Text, Opcode::Pong, Opcode::Close]);
    });
}

/// Two threads, one half each.
#[test]
fn the_halves_can_move_to_threads_of_their_own() {
    let (mut receiver, mut sender) = Connection::server(&Config::new()).split();
    let (replies, owed) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut rx = RecvBuffer::new();
        for _ in 0..100 {
            rx.extend_from_slice(&frame(Role::Client, Opcode::Ping, b"x"));
        }
        while let Some((_, reply)) = receiver.poll_event(&mut rx).unwrap() {
            replies.send(reply).unwrap();
        }
    });
    let mut tx = SendBuffer::new();
    let mut pongs = 0;
    for reply in owed {
        sender.reply(&mut tx, reply);
        pongs += parse_frames(&tx.take_chunk().unwrap()).len();
    }
    reading.join().unwrap();
    assert_eq!(pongs, 100);
}
