//! The right to write to a client's socket (`src/server/client/line.rs`), by loom: in every order
//! of what its threads do, and with everything that the orderings of its atomics allow. A program
//! of its own, because the other models are by shuttle, where all orderings are the strongest.
//!
//! All orders take a minute. With `LOOM_MAX_PREEMPTIONS=3` it is those in which a thread loses the
//! processor up to three times while it could go on, which take a second.
//!
//! The file is that of the library; what it uses besides atomics is put in its place here.
#![allow(dead_code, missing_docs, unreachable_pub)] // not all of it is modelled

extern crate alloc;
extern crate self as tokio;

#[path = "../../../src/server/client/line.rs"]
mod line;

mod sync {
    pub use loom::sync::atomic;
    pub use loom::thread;
}

/// In place of that of tokio.
pub mod net {
    pub use std::net::TcpStream;
}

mod proto {
    /// For a method that is the one below and a copy.
    pub struct PreparedMessage;

    impl PreparedMessage {
        pub fn frame(&self) -> &bytes::Bytes {
            unreachable!("not modelled")
        }
    }
}

mod pool {
    #[derive(Default)]
    pub struct PooledTx;

    impl PooledTx {
        pub fn fetch(&mut self) -> &mut Self {
            self
        }

        pub fn put_owned(&mut self, _: bytes::Bytes) {}
    }
}

mod io {
    use std::io;
    use std::net::TcpStream;

    /// Takes a byte in place of the socket.
    pub fn write_some(_: &mut &TcpStream, unsent: &impl bytes::Buf) -> io::Result<usize> {
        Ok(unsent.chunk().len())
    }
}

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Buf;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use line::Line;

/// A client. Loom fails when two threads touch the socket and neither has seen that the other is
/// done.
#[derive(Default)]
struct Client {
    line: Line,
    socket: UnsafeCell<Socket>,
}

// SAFETY: loom checks what `Line` promises: one at a time.
unsafe impl Sync for Client {}

#[derive(Default)]
struct Socket {
    written: u32,
    closed: bool,
}

impl Client {
    fn write(&self) {
        // SAFETY: as above
        self.socket.with_mut(|socket| unsafe {
            assert!(!(*socket).closed);
            (*socket).written += 1;
        });
    }

    /// Takes the right to write, as a task does that gives way until it has it.
    fn take(&self) -> u32 {
        loop {
            if let Some(passed) = self.line.take() {
                return passed;
            }
            thread::yield_now();
        }
    }

    /// Borrows the right for a write of one byte, and leaves it to the task if something is left.
    fn borrow(&self, hands_over: bool) {
        if let Some(borrowed) = self.line.borrow() {
            assert_eq!(borrowed.write(&mut Byte { client: self, is_there: true }), 1);
            if hands_over {
                borrowed.hand_over();
            }
        }
    }
}

/// A byte that is written to the socket when somebody looks at it.
struct Byte<'a> {
    client: &'a Client,
    is_there: bool,
}

impl Buf for Byte<'_> {
    fn remaining(&self) -> usize {
        self.is_there.into()
    }

    fn chunk(&self) -> &[u8] {
        self.client.write();
        &[0]
    }

    fn advance(&mut self, _: usize) {
        self.is_there = false;
    }
}

/// Two threads borrow, one of which hands over, while the task comes twice and closes. One at a
/// time touches the socket and sees what those before it have done, nobody does once it is closed,
/// and the task knows how many bytes were written.
fn borrowers(hands_over: bool) {
    let client = Arc::new(Client::default());
    client.line.open_any();
    client.write();
    client.line.leave();
    let borrowers = [hands_over, false].map(|hands_over| {
        let client = Arc::clone(&client);
        thread::spawn(move || client.borrow(hands_over))
    });
    let mut known = 1 + client.take();
    client.write();
    client.line.leave();
    known += 1 + client.take();
    client.line.close();
    // SAFETY: as above
    client.socket.with_mut(|socket| unsafe {
        assert_eq!((*socket).written, known);
        (*socket).closed = true;
    });
    client.line.leave();
    borrowers.into_iter().for_each(|it| it.join().unwrap());
}

/// The stream is closed while somebody writes: the task waits for that.
fn a_close_during_a_write() {
    let client = Arc::new(Client::default());
    client.line.open_any();
    client.line.leave();
    let borrowers = [(); 2].map(|()| {
        let client = Arc::clone(&client);
        thread::spawn(move || client.borrow(false))
    });
    client.line.close();
    // SAFETY: as above
    client.socket.with_mut(|socket| unsafe { (*socket).closed = true });
    borrowers.into_iter().for_each(|it| it.join().unwrap());
}

fn explore(name: &str, model: impl Fn() + Send + Sync + 'static) {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    RUNS.store(0, Ordering::Relaxed);
    loom::model(move || {
        RUNS.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("{name}: {} orders", RUNS.load(Ordering::Relaxed));
}

fn main() {
    explore("two who borrow", || borrowers(false));
    explore("one who borrows and one who hands over", || borrowers(true));
    explore("a close during a write", a_close_during_a_write);
}
