//! The one piece of `unsafe` in the server: a socket that belongs to a task is written to by
//! another one, at times when the task does not touch it. Measured (`benches/peers --part
//! broadcast`): a broadcast whose deliveries each wake a task takes a third more processor time.
#![allow(unsafe_code)]

use std::io;

use bytes::Buf;

use crate::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, Ordering};

/// The right to write to a client's socket. Its task has it while it runs, and while anything is
/// unsent; between, whoever broadcasts may borrow it for one write that does not wait.
#[derive(Default)]
pub(crate) struct Line {
    owner: AtomicU8,
    /// The descriptor, from [`open`](Self::open) until [`close`](Self::close).
    fd: AtomicI32,
    /// Bytes that borrowers have written and the task does not know of. Whoever has the right to
    /// write changes it.
    passed: AtomicU32,
}

/// Those who may have the right to write.
struct Owner;

impl Owner {
    /// The task, which may have no socket of this kind at all.
    const TASK: u8 = 0;
    /// Nobody: it may be borrowed.
    const NOBODY: u8 = 1;
    /// Another task, which writes now.
    const BORROWER: u8 = 2;
}

impl Line {
    /// Has the socket lent out from now on, whenever its task [leaves](Self::leave) it. For the
    /// task, which keeps the stream open until it has called [`close`](Self::close).
    #[cfg(unix)]
    pub(crate) fn open(&self, stream: &tokio::net::TcpStream) {
        use std::os::fd::AsRawFd;
        // no descriptor is negative; `leave` publishes it
        self.fd.store(stream.as_raw_fd() + 1, Ordering::Relaxed);
    }

    /// Has it lent as if there were a socket.
    #[cfg(any(test, sansws_model))]
    #[cfg_attr(sansws_model, allow(dead_code))]
    pub(super) fn open_any(&self) {
        self.fd.store(1, Ordering::Relaxed);
    }

    /// Has it lent to nobody: there are no descriptors here.
    #[cfg(not(unix))]
    pub(crate) fn open(&self, _: &tokio::net::TcpStream) {}

    /// Takes the right to write, which a task has then until it [leaves](Self::leave) it. Returns
    /// the bytes that were written meanwhile; `None` while it is borrowed, which is no longer than
    /// a system call takes.
    #[inline]
    pub(crate) fn take(&self) -> Option<u32> {
        let has_it = self.owner.load(Ordering::Acquire) == Owner::TASK;
        if !has_it && !self.swap_owner(Owner::NOBODY, Owner::TASK) {
            return None;
        }
        let passed = self.passed.load(Ordering::Relaxed);
        if passed > 0 {
            self.passed.store(0, Ordering::Relaxed);
        }
        Some(passed)
    }

    /// Gives the right to write up until the task runs again. For the task, with nothing unsent.
    #[inline]
    pub(crate) fn leave(&self) {
        debug_assert_eq!(self.owner.load(Ordering::Relaxed), Owner::TASK);
        if self.fd.load(Ordering::Relaxed) != 0 {
            self.owner.store(Owner::NOBODY, Ordering::Release);
        }
    }

    /// Returns whether the right could be borrowed just now.
    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == Owner::NOBODY
    }

    /// Borrows the right to write, if nobody has it.
    pub(crate) fn borrow(&self) -> Option<Borrowed<'_>> {
        self.swap_owner(Owner::NOBODY, Owner::BORROWER).then(|| Borrowed(self))
    }

    /// Ends all borrowing before the stream is closed: waits for the system call of one who writes.
    pub(crate) fn close(&self) {
        while self.take().is_none() {
            crate::sync::thread::yield_now();
        }
        self.fd.store(0, Ordering::Relaxed);
    }

    fn swap_owner(&self, from: u8, to: u8) -> bool {
        self.owner.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

/// The right to write, borrowed from a task. It goes back when dropped.
pub(crate) struct Borrowed<'a>(&'a Line);

impl Borrowed<'_> {
    /// Writes as much as the socket takes at once, and removes it from `unsent`. Returns the number
    /// of bytes: none if the socket takes nothing, or if the network has failed, which is for the
    /// task to find out.
    pub(crate) fn write(&self, unsent: &mut impl Buf) -> usize {
        let mut written = 0;
        while unsent.has_remaining() {
            match self.write_once(unsent) {
                Ok(0) | Err(_) => break,
                Ok(n) => {
                    unsent.advance(n);
                    written += n;
                }
            }
        }
        let passed = self.0.passed.load(Ordering::Relaxed);
        let sum = passed.saturating_add(u32::try_from(written).unwrap_or(u32::MAX));
        self.0.passed.store(sum, Ordering::Relaxed);
        written
    }

    #[cfg(unix)]
    fn write_once(&self, unsent: &impl Buf) -> io::Result<usize> {
        use core::mem::ManuallyDrop;
        use std::os::fd::FromRawFd;

        let fd = self.0.fd.load(Ordering::Relaxed) - 1;
        // SAFETY: the descriptor is open and is that of this client's socket. `open` has stored it,
        // and did so before a `leave`, which the swap in `borrow` has seen (Release, Acquire). The
        // task closes the stream after `close` only, which waits until the right is not borrowed
        // and from then on leaves it to nobody. `ManuallyDrop`: it is not closed here.
        let stream = ManuallyDrop::new(unsafe { std::net::TcpStream::from_raw_fd(fd) });
        let mut stream: &std::net::TcpStream = &stream;
        crate::io::write_some(&mut stream, unsent)
    }

    #[cfg(not(unix))]
    fn write_once(&self, _: &impl Buf) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Leaves the right to the task: there is something unsent, which is its business.
    pub(crate) fn hand_over(self) {
        self.0.owner.store(Owner::TASK, Ordering::Release);
        core::mem::forget(self);
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.0.owner.store(Owner::NOBODY, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(line: &Line) -> u8 {
        line.owner.load(Ordering::Relaxed)
    }

    fn in_state(owner: u8) -> Line {
        // nothing is written in these tests
        Line { owner: AtomicU8::new(owner), fd: AtomicI32::new(1), passed: AtomicU32::new(0) }
    }

    /// What each call makes of each state, but for those that only its owner may make.
    #[test]
    fn states() {
        const STATES: [u8; 3] = [Owner::TASK, Owner::NOBODY, Owner::BORROWER];
        for before in STATES {
            let line = in_state(before);
            assert_eq!(line.take(), (before != Owner::BORROWER).then_some(0));
            let after = if before == Owner::NOBODY { Owner::TASK } else { before };
            assert_eq!(owner(&line), after);

            let line = in_state(before);
            assert_eq!(line.is_free(), before == Owner::NOBODY);
            assert_eq!(line.borrow().is_some(), before == Owner::NOBODY);
            assert_eq!(owner(&line), before, "it goes back");
        }
        let line = in_state(Owner::TASK);
        line.leave();
        assert_eq!(owner(&line), Owner::NOBODY);
        let borrowed = line.borrow().unwrap();
        assert_eq!(owner(&line), Owner::BORROWER);
        assert!(line.borrow().is_none());
        borrowed.hand_over();
        assert_eq!(owner(&line), Owner::TASK);
    }

    #[test]
    fn without_a_socket_there_is_nothing_to_borrow() {
        let line = Line::default();
        line.leave();
        assert!(!line.is_free() && line.borrow().is_none());
        let line = in_state(Owner::NOBODY);
        line.close();
        line.leave();
        assert!(line.borrow().is_none());
    }

    #[test]
    fn closing_waits_for_a_write() {
        let line = in_state(Owner::BORROWER);
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| line.close());
            std::thread::yield_now();
            assert_eq!(line.fd.load(Ordering::Relaxed), 1);
            drop(Borrowed(&line));
            closing.join().unwrap();
        });
        assert_eq!((owner(&line), line.fd.load(Ordering::Relaxed)), (Owner::TASK, 0));
    }

    /// The bytes are those of `write` on the stream itself, whether they are in one piece or in
    /// many, and the rest stays in the buffer.
    #[cfg(unix)] // elsewhere nothing is lent
    #[test]
    fn it_writes_as_the_stream_does() {
        use alloc::vec;
        use alloc::vec::Vec;
        use std::io::Read;
        use std::net::{TcpListener, TcpStream};

        use super::super::run::{Frames, piece_of};
        use crate::buf::SendBuffer;
        use crate::pool::PooledTx;
        use crate::proto::{MessageRef, PreparedMessage};

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = {
            let _guard = runtime.enter();
            tokio::net::TcpStream::from_std(stream).unwrap()
        };
        let line = Line::default();
        line.open(&stream);
        line.leave();
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        let mut whole = 0;
        for len in [0, 1, 125, 70_000, 3 << 20, 16 << 20] {
            let mut tx = SendBuffer::new();
            tx.put_slice(b"before");
            tx.put_owned(vec![len as u8; len].into());
            tx.put_slice(b"behind");
            let all: Vec<u8> = {
                let mut slices = [io::IoSlice::new(&[]); 8];
                let count = tx.chunks_vectored(&mut slices);
                slices[..count].iter().flat_map(|it| it.to_vec()).collect()
            };
            let mut tx = PooledTx::new(tx);
            let n = line.borrow().unwrap().write(tx.fetch());
            let tx = tx.into_inner();
            assert_eq!(n + tx.remaining(), all.len());
            whole += usize::from(!tx.has_remaining());
            sent.extend_from_slice(&all[..n]);
            let mut piece = vec![0; n];
            peer.read_exact(&mut piece).unwrap();
            got.extend_from_slice(&piece);
        }
        let pieces = [&[1_usize, 2, 3][..], &[1], &[16 << 20]].map(|lengths| {
            let message = |len| PreparedMessage::new(MessageRef::binary(&vec![len as u8; len]));
            let mut messages = lengths.iter().map(|len| message(*len).unwrap());
            let mut piece = piece_of(&messages.next().unwrap(), &[], None);
            messages.for_each(|it| assert!(piece.extend(&piece_of(&it, &[], None))));
            piece
        });
        let mut frames = Frames::default();
        // the same bytes for the next client, and others behind it
        for (at, piece) in [(0, &pieces[0]), (0, &pieces[0]), (1, &pieces[1]), (2, &pieces[2])] {
            let all: Vec<&[u8]> = piece.messages().map(|message| &**message.frame()).collect();
            let mut tx = PooledTx::default();
            let n = frames.write(piece.clone(), &line.borrow().unwrap(), &mut tx);
            let mut tx = tx.into_inner();
            let rest = tx.copy_to_bytes(tx.remaining());
            assert_eq!([&all.concat()[..n], &rest].concat(), all.concat());
            assert_eq!(rest.is_empty(), at < 2);
            sent.extend_from_slice(&all.concat()[..n]);
            let mut piece = vec![0; n];
            peer.read_exact(&mut piece).unwrap();
            got.extend_from_slice(&piece);
        }
        assert_eq!(sent, got);
        assert!((3..6).contains(&whole), "no socket takes 16 MiB at once: {whole}");
        assert_eq!(line.take(), Some(sent.len() as u32));
        assert_eq!(line.take(), Some(0), "told once");
        // it is the stream that is closed, and nothing else
        line.close();
        drop(stream);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
}
