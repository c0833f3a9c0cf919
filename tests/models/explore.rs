//! How models are run: in one order of their steps after the other, where each lock, each wait and
//! each atomic operation is a step.
//!
//! A model ends when its threads have. If all of them wait, something was not told to somebody:
//! shuttle calls that a deadlock, and fails. So do assertions; the message has a string by which
//! `shuttle::replay` runs the same order again.
#![allow(clippy::unwrap_used)]

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::Waker;
use std::env;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::JoinHandle;
use shuttle::{Config, Runner};

use crate::Error;
use crate::proto::SendError;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Runs a model in as many orders as the variable `SCHEDULES` says. Half of them are any; the
/// others follow priorities that change twice, which finds what takes few but unlikely
/// changes. They are others in each run, unless the variable `SHUTTLE_RANDOM_SEED` is set.
pub(crate) fn explore(model: impl Fn() + Clone + Send + Sync + 'static) {
    let schedules: usize = env::var("SCHEDULES").map_or(1000, |it| it.parse().unwrap());
    // Timers take one; none of them goes off, as nobody drives it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let any = RandomScheduler::new(schedules - schedules / 2);
    let mut run = Runner::new(any, Config::new()).run(model.clone());
    if schedules > 1 {
        run += Runner::new(PctScheduler::new(3, schedules / 2), Config::new()).run(model);
    }
    assert_eq!(run, schedules);
}

/// Two threads send two messages each, a third one receives; the peer pings, and reads little by
/// little. Every message and the pong arrive, none is torn, those of a thread are in order, and
/// nobody waits for ever.
pub(crate) fn check_halves(wire: &Wire, sending: [JoinHandle<u8>; 2], receiving: JoinHandle<()>) {
    wire.send(&PING, false);
    for _ in 0..7 {
        wire.grant(3); // 4 messages of 4 bytes, and the pong
    }
    wire.wait_for(|frames| {
        let count = |opcode| frames.iter().filter(|it| it.0 == opcode).count();
        count(BINARY) == 4 && count(PONG) == 1
    });
    sending.into_iter().for_each(|it| assert_eq!(it.join().unwrap(), 2));
    wire.send(&CLOSING, true);
    wire.grant(100);
    receiving.join().unwrap();
    let messages = wire.messages_before_close();
    check_order(&messages, 1, 2);
    check_order(&messages, 2, 2);
}

/// A thread closes while another one sends. What was sent before arrives, what was not is refused,
/// and the receiving half comes to an end.
pub(crate) fn check_close(
    wire: &Wire,
    sending: JoinHandle<u8>,
    closing: JoinHandle<()>,
    receiving: JoinHandle<()>,
) {
    for _ in 0..4 {
        wire.grant(3); // 2 messages and the Close
    }
    wire.wait_for(|frames| frames.iter().any(|it| it.0 == CLOSE));
    wire.send(&CLOSING, true);
    let sent = sending.join().unwrap();
    closing.join().unwrap();
    receiving.join().unwrap();
    check_order(&wire.messages_before_close(), 1, sent);
}

/// Returns whether a message was sent, or refused because the connection closes.
pub(crate) fn was_sent(result: Result<(), Error>) -> bool {
    match result {
        Ok(()) => true,
        Err(Error::Send(SendError::NotOpen)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// A stream between the end that is modelled and its peer. It takes as many bytes as the peer has
/// made room for.
#[derive(Default)]
pub(crate) struct Wire {
    ends: Mutex<Ends>,
    /// For those who wait in threads: anything about it.
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct Ends {
    /// All bytes that the peer ever got.
    pub(crate) written: Vec<u8>,
    pub(crate) room: usize,
    pub(crate) writer: Option<Waker>,
    /// What the peer has sent and nobody has read.
    pub(crate) unread: VecDeque<u8>,
    pub(crate) ended: bool,
    pub(crate) reader: Option<Waker>,
}

impl Wire {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap()
    }

    /// Waits in a thread for a change.
    pub(crate) fn wait<'a>(&self, ends: MutexGuard<'a, Ends>) -> MutexGuard<'a, Ends> {
        self.changed.wait(ends).unwrap()
    }

    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    /// The peer reads, so that there is room for so many bytes more.
    pub(crate) fn grant(&self, bytes: usize) {
        let mut ends = self.lock();
        ends.room += bytes;
        let writer = ends.writer.take();
        drop(ends);
        self.notify();
        writer.into_iter().for_each(Waker::wake);
    }

    /// The peer sends bytes, and then perhaps nothing more.
    pub(crate) fn send(&self, bytes: &[u8], ended: bool) {
        let mut ends = self.lock();
        ends.unread.extend(bytes);
        ends.ended |= ended;
        let reader = ends.reader.take();
        drop(ends);
        self.notify();
        reader.into_iter().for_each(Waker::wake);
    }

    /// The peer waits until it has got what it wants.
    pub(crate) fn wait_for(&self, is_there: impl Fn(&[Frame]) -> bool) {
        let mut ends = self.lock();
        while !is_there(&frames(&ends.written)) {
            ends = self.wait(ends);
        }
    }

    /// Returns the frames that the peer got, of which none is torn.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        let ends = self.lock();
        let frames = frames(&ends.written);
        let len: usize = frames.iter().map(|(_, payload)| 2 + payload.len()).sum();
        assert_eq!(len, ends.written.len(), "the last frame is torn");
        frames
    }

    /// The same, of which the last one has to be the only Close: only the payloads of binary
    /// messages.
    pub(crate) fn messages_before_close(&self) -> Vec<Vec<u8>> {
        let mut frames = self.frames();
        assert_eq!(frames.pop().unwrap().0, CLOSE);
        assert!(frames.iter().all(|(opcode, _)| *opcode != CLOSE));
        frames.retain(|(opcode, _)| *opcode == BINARY);
        frames.into_iter().map(|(_, payload)| payload).collect()
    }
}

/// The opcode and the payload of a frame.
pub(crate) type Frame = (u8, Vec<u8>);

pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PONG: u8 = 10;

/// Frames that a client sends, with a mask of zeros.
pub(crate) const PING: [u8; 7] = [0x89, 0x81, 0, 0, 0, 0, b'p'];
pub(crate) const CLOSING: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 3, 232];

/// Takes apart what a server has sent, as far as it is whole.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first, len, rest @ ..] = bytes
        && let Some((payload, behind)) = rest.split_at_checked(usize::from(*len))
    {
        assert!([BINARY, CLOSE, PONG].contains(&(first & 15)) && first & 0xf0 == 0x80, "{first}");
        frames.push((first & 15, payload.to_vec()));
        bytes = behind;
    }
    frames
}

/// Checks that of the messages of a sender, which are its number and then theirs, so many are
/// there, each once and in order.
pub(crate) fn check_order(messages: &[Vec<u8>], sender: u8, count: u8) {
    let theirs: Vec<u8> = messages.iter().filter(|it| it[0] == sender).map(|it| it[1]).collect();
    assert_eq!(theirs, Vec::from_iter(0..count), "of sender {sender} in {messages:?}");
}
