//! The other end of a connection, byte by byte, on a blocking stream.

use core::time::Duration;
use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;

use crate::wire::{self, Frame};

/// Runs a whole test in a thread and waits a minute for it, so that a hang is a failure and no
/// hang.
pub fn within(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match finished.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it takes too long"),
        _ => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// One end of a connection that speaks in bytes and does nothing by itself.
#[derive(Debug)]
pub struct Peer<S> {
    /// The stream.
    pub io: S,
    buf: Vec<u8>,
}

impl<S> Peer<S> {
    /// Makes an end that has read nothing.
    pub fn new(io: S) -> Self {
        Self { io, buf: Vec::new() }
    }
}

impl<S: Read + Write> Peer<S> {
    /// Writes these bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).expect("the other end reads");
    }

    /// Writes a whole frame as a client does.
    pub fn send_frame(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.send(&wire::client(opcode, payload.as_ref()));
    }

    /// Returns the head of a request or response.
    pub fn head(&mut self) -> String {
        loop {
            if let Some(head) = wire::take_head(&mut self.buf) {
                return head;
            }
            assert!(self.more(), "the head ends early: {:?}", self.buf);
        }
    }

    /// Returns the next frame; `None` at the end of file, where no part of one may be left.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, len)) = wire::first(&self.buf) {
                self.buf.drain(..len);
                return Some(frame);
            }
            if !self.more() {
                assert!(self.buf.is_empty(), "the stream ends inside a frame");
                return None;
            }
        }
    }

    /// The next frame, which has to be this one.
    #[track_caller]
    pub fn expect(&mut self, frame: Frame) {
        assert_eq!(self.frame(), Some(frame));
    }

    /// Everything up to the end of file.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        core::mem::take(&mut self.buf)
    }

    fn more(&mut self) -> bool {
        let mut chunk = [0; 4096];
        let n = self.io.read(&mut chunk).expect("no reset");
        self.buf.extend_from_slice(&chunk[..n]);
        n > 0
    }
}
