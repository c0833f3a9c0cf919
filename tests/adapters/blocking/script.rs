//! A stream whose every read and write is written down beforehand; it never waits.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::{Arc, Mutex};

/// What a read or write does.
#[derive(Clone, Debug)]
pub enum Op {
    /// A read: these bytes. A write: takes at most that many.
    Bytes(Vec<u8>),
    Take(usize),
    Error(ErrorKind),
    /// More than there is room for, or than was given.
    TooMany,
}

/// What was done to a [`Script`]; shared with the test.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    reads: usize,
    writes: usize,
    written: Vec<u8>,
}

impl Log {
    pub fn reads(&self) -> usize {
        self.0.lock().unwrap().reads
    }

    pub fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }

    /// The bytes that were written.
    pub fn written(&self) -> Vec<u8> {
        self.0.lock().unwrap().written.clone()
    }
}

/// Reads end with the end of file when their script does; writes then take all they are given.
#[derive(Debug, Default)]
pub struct Script {
    reads: VecDeque<Op>,
    writes: VecDeque<Op>,
    flushes: VecDeque<ErrorKind>,
    pub log: Log,
}

impl Script {
    pub fn new(reads: impl IntoIterator<Item = Op>, writes: impl IntoIterator<Item = Op>) -> Self {
        Self {
            reads: reads.into_iter().collect(),
            writes: writes.into_iter().collect(),
            flushes: VecDeque::new(),
            log: Log::default(),
        }
    }

    pub fn with_writes(mut self, writes: impl IntoIterator<Item = Op>) -> Self {
        self.writes = writes.into_iter().collect();
        self
    }

    /// Flushes fail like this before they work.
    pub fn with_flushes(mut self, flushes: impl IntoIterator<Item = ErrorKind>) -> Self {
        self.flushes = flushes.into_iter().collect();
        self
    }

    /// A stream that brings these bytes at once.
    pub fn bringing(bytes: &[u8]) -> Self {
        Self::new([Op::Bytes(bytes.to_vec())], [])
    }
}

impl Read for Script {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.log.0.lock().unwrap().reads += 1;
        match self.reads.pop_front() {
            None => Ok(0),
            Some(Op::Bytes(bytes)) => {
                let n = bytes.len().min(buf.len());
                buf[..n].copy_from_slice(&bytes[..n]);
                if n < bytes.len() {
                    self.reads.push_front(Op::Bytes(bytes[n..].to_vec()));
                }
                Ok(n)
            }
            Some(Op::Take(n)) => Ok(n.min(buf.len())),
            Some(Op::Error(kind)) => Err(kind.into()),
            Some(Op::TooMany) => Ok(buf.len() + 1),
        }
    }
}

impl Write for Script {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut log = self.log.0.lock().unwrap();
        log.writes += 1;
        let n = match self.writes.pop_front() {
            None => buf.len(),
            Some(Op::Bytes(_)) => unreachable!("a write that brings bytes"),
            Some(Op::Take(n)) => n.min(buf.len()),
            Some(Op::Error(kind)) => return Err(kind.into()),
            Some(Op::TooMany) => return Ok(buf.len() + 1),
        };
        log.written.extend_from_slice(&buf[..n]);
        Ok(n)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.write(&slices.concat())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushes.pop_front().map_or(Ok(()), |kind| Err(kind.into()))
    }
}
