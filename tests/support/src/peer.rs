//! The other end of a connection, byte by byte, on an asynchronous stream.

use core::cell::Cell;
use core::future::Future;
use core::panic::Location;
use core::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::wire::{self, Frame};

thread_local! {
    /// How long something may take that must happen soon.
    static PATIENCE: Cell<Duration> = const { Cell::new(Duration::from_secs(60)) };
}

/// Makes [`within`] wait for an hour on this thread. To be called first in every test with a paused
/// clock: there, time passes as soon as nothing else happens, and the time-outs under test must
/// come before ours.
pub fn clock_is_paused() {
    PATIENCE.set(Duration::from_secs(3600));
}

/// Makes [`within`] wait that long on this thread: for tests that wait for other programs.
pub fn set_patience(limit: Duration) {
    PATIENCE.set(limit);
}

/// Waits for something that must happen soon: within a minute, on a machine that is busy.
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move { wait(PATIENCE.get(), future, caller).await }
}

/// Returns the same with a limit of its own.
#[track_caller]
pub fn within_limit<F: Future>(limit: Duration, future: F) -> impl Future<Output = F::Output> {
    wait(limit, future, Location::caller())
}

async fn wait<F: Future>(limit: Duration, future: F, caller: &Location<'_>) -> F::Output {
    let Ok(output) = timeout(limit, future).await else {
        panic!("it takes longer than {limit:?}: {caller}")
    };
    output
}

/// One end of a connection that speaks in bytes and does nothing by itself.
#[derive(Debug)]
pub struct Peer<S> {
    /// The stream.
    pub io: S,
    buf: Vec<u8>,
    limit: Option<Duration>,
}

impl<S> Peer<S> {
    /// Makes an end that has read nothing.
    pub fn new(io: S) -> Self {
        Self { io, buf: Vec::new(), limit: None }
    }

    /// Makes an end whose reads and writes may each take so long, in place of the limit of
    /// [`within`].
    pub fn with_limit(io: S, limit: Duration) -> Self {
        Self { limit: Some(limit), ..Self::new(io) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Takes bytes that a test has read from `io` itself.
    pub fn has_read(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Writes these bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        let limit = self.limit();
        within_limit(limit, self.io.write_all(bytes)).await.expect("the other end reads");
    }

    /// Writes a whole frame as a client does.
    pub async fn send_frame(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.send(&wire::client(opcode, payload.as_ref())).await;
    }

    /// Returns the head of a request or response.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(head) = wire::take_head(&mut self.buf) {
                return head;
            }
            assert!(self.more().await, "the head ends early: {:?}", self.buf);
        }
    }

    /// Returns the next frame; `None` at the end of file, where no part of one may be left.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, len)) = wire::first(&self.buf) {
                self.buf.drain(..len);
                return Some(frame);
            }
            if !self.more().await {
                assert!(self.buf.is_empty(), "the stream ends inside a frame");
                return None;
            }
        }
    }

    /// Reads the next frame, which has to be this one.
    #[track_caller]
    pub fn expect(&mut self, frame: Frame) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move { assert_eq!(self.frame().await, Some(frame), "{caller}") }
    }

    /// Everything up to the end of file.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        core::mem::take(&mut self.buf)
    }

    async fn more(&mut self) -> bool {
        let limit = self.limit();
        let mut chunk = [0; 4096];
        let n = within_limit(limit, self.io.read(&mut chunk)).await.expect("no reset");
        self.buf.extend_from_slice(&chunk[..n]);
        n > 0
    }

    fn limit(&self) -> Duration {
        self.limit.unwrap_or_else(|| PATIENCE.get())
    }
}
