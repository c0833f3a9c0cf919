//! A transport that does what no good transport does, and writes down what it was asked for.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What was done to a [`Faulty`]; shared with the test.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    reads: usize,
    writes: usize,
    flushes: usize,
    written: Vec<u8>,
}

impl Log {
    pub fn reads(&self) -> usize {
        self.0.lock().unwrap().reads
    }

    pub fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }

    pub fn flushes(&self) -> usize {
        self.0.lock().unwrap().flushes
    }

    /// The bytes that were written.
    pub fn written(&self) -> Vec<u8> {
        self.0.lock().unwrap().written.clone()
    }
}

#[derive(Debug)]
pub struct Faulty<S> {
    io: S,
    pub log: Log,
    /// At most so many bytes in one read or write.
    step: usize,
    /// Every other poll is pending, and wakes at once.
    stutter: bool,
    read_turn: bool,
    write_turn: bool,
    vectored: bool,
    /// Keeps what is written to itself: it is never flushed.
    never_flushed: bool,
    /// The write, counted from 1, from which on all go wrong.
    write_fault: Option<(usize, Fault)>,
    /// The same for reads.
    read_fault: Option<(usize, Fault)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Error(ErrorKind),
    /// No bytes: for a read the end of file, for a write a lie.
    Zero,
    /// More bytes than were given.
    TooMany,
}

impl<S> Faulty<S> {
    pub fn new(io: S) -> Self {
        Self {
            io,
            log: Log::default(),
            step: usize::MAX,
            stutter: false,
            read_turn: false,
            write_turn: false,
            vectored: false,
            never_flushed: false,
            write_fault: None,
            read_fault: None,
        }
    }

    pub fn step(mut self, bytes: usize) -> Self {
        self.step = bytes;
        self
    }

    pub fn stutter(mut self) -> Self {
        self.stutter = true;
        self
    }

    pub fn vectored(mut self, vectored: bool) -> Self {
        self.vectored = vectored;
        self
    }

    pub fn never_flushed(mut self) -> Self {
        self.never_flushed = true;
        self
    }

    pub fn write_fault(mut self, from: usize, fault: Fault) -> Self {
        self.write_fault = Some((from, fault));
        self
    }

    pub fn read_fault(mut self, from: usize, fault: Fault) -> Self {
        self.read_fault = Some((from, fault));
        self
    }
}

fn due(fault: Option<(usize, Fault)>, count: usize) -> Option<Fault> {
    fault.filter(|&(from, _)| count >= from).map(|(_, fault)| fault)
}

/// Whether this poll is one of those that stutter.
fn turn(turn: &mut bool, stutter: bool, cx: &Context<'_>) -> bool {
    *turn = stutter && !*turn;
    if *turn {
        cx.waker().wake_by_ref();
    }
    *turn
}

impl<S: AsyncRead + Unpin> AsyncRead for Faulty<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if turn(&mut this.read_turn, this.stutter, cx) {
            return Poll::Pending;
        }
        let count = {
            let mut log = this.log.0.lock().unwrap();
            log.reads += 1;
            log.reads
        };
        match due(this.read_fault, count) {
            Some(Fault::Error(kind)) => return Poll::Ready(Err(kind.into())),
            Some(Fault::Zero | Fault::TooMany) => return Poll::Ready(Ok(())),
            None => {}
        }
        let mut part = buf.take(this.step);
        ready!(Pin::new(&mut this.io).poll_read(cx, &mut part))?;
        let n = part.filled().len();
        // The buffer was initialised by its owner; `take` only forgets that.
        let bytes = part.filled().to_vec();
        buf.put_slice(&bytes[..n]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Faulty<S> {
    fn write(&mut self, cx: &mut Context<'_>, slices: &[&[u8]]) -> Poll<io::Result<usize>> {
        if turn(&mut self.write_turn, self.stutter, cx) {
            return Poll::Pending;
        }
        let given: usize = slices.iter().map(|slice| slice.len()).sum();
        let writes = self.log.0.lock().unwrap().writes + 1;
        match due(self.write_fault, writes) {
            Some(Fault::Error(kind)) => return Poll::Ready(Err(kind.into())),
            Some(Fault::Zero) => return Poll::Ready(Ok(0)),
            Some(Fault::TooMany) => return Poll::Ready(Ok(given + 1)),
            None => {}
        }
        let mut bytes = slices.concat();
        bytes.truncate(self.step);
        let n = ready!(Pin::new(&mut self.io).poll_write(cx, &bytes))?;
        let mut log = self.log.0.lock().unwrap();
        log.writes = writes;
        log.written.extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(n))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Faulty<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, &[buf])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        assert!(self.vectored, "a vectored write to a transport that has none");
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.write(cx, &slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.log.0.lock().unwrap().flushes += 1;
        if self.never_flushed {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
