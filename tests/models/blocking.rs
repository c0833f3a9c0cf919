//! What threads share of a blocking socket that was split.
//!
//! The stream knows no time-outs, and no wait for a change of the halves ends by itself: what is
//! only noticed after a while is not noticed here.
#![allow(clippy::unwrap_used)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use shuttle::thread;

use super::{Receiver, Sender, SplitTransport, Transport, WebSocket};
use crate::buf::RecvBuffer;
use crate::models::{Wire, check_close, check_halves, explore, was_sent};
use crate::proto::Connection;
use crate::wire::CloseCode;
use crate::{Config, Parts};

struct Pipe(Arc<Wire>);

impl SplitTransport for Pipe {
    fn read_shared(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut ends = self.0.lock();
        while ends.unread.is_empty() && !ends.ended {
            ends = self.0.wait(ends);
        }
        let n = ends.unread.len().min(buf.len());
        buf.iter_mut().zip(ends.unread.drain(..n)).for_each(|(to, from)| *to = from);
        Ok(n)
    }

    fn write_shared(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut ends = self.0.lock();
        while ends.room == 0 {
            ends = self.0.wait(ends);
        }
        let bytes: Vec<u8> = slices.iter().flat_map(|it| it.iter().copied()).collect();
        let n = ends.room.min(bytes.len());
        ends.room -= n;
        ends.written.extend_from_slice(&bytes[..n]);
        drop(ends);
        self.0.notify();
        Ok(n)
    }
}

impl Transport for Pipe {
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how == Shutdown::Both {
            self.0.send(&[], true);
            self.0.grant(100);
        }
        Ok(())
    }
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_shared(buf)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_shared(&[IoSlice::new(bytes)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn halves_of(wire: &Arc<Wire>) -> (Receiver<Pipe>, Sender<Pipe>) {
    // there is room for one message and a half
    let connection = Connection::server(&Config::new().max_unsent(6));
    let parts = Parts::new(Pipe(Arc::clone(wire)), connection, RecvBuffer::new());
    WebSocket::from_parts(parts).split()
}

/// Receives to the end, in a thread.
fn receive(mut receiver: Receiver<Pipe>) -> thread::JoinHandle<()> {
    thread::spawn(move || while receiver.recv().unwrap().is_some() {})
}

/// Sends messages in a thread, as long as the connection is open. Returns how many.
fn send(sender: Sender<Pipe>, number: u8, count: u8) -> thread::JoinHandle<u8> {
    thread::spawn(move || {
        (0..count).find(|n| !was_sent(sender.send(&[number, *n]))).unwrap_or(count)
    })
}

/// One thread writes for all, and hands that over.
#[test]
fn halves() {
    explore(|| {
        let wire = Arc::new(Wire::default());
        let (receiver, sender) = halves_of(&wire);
        let sending = [send(sender.clone(), 1, 2), send(sender, 2, 2)];
        check_halves(&wire, sending, receive(receiver));
    });
}

#[test]
fn a_close_beside_a_send() {
    explore(|| {
        let wire = Arc::new(Wire::default());
        let (receiver, sender) = halves_of(&wire);
        let sending = send(sender.clone(), 1, 2);
        let closing = thread::spawn(move || sender.close(CloseCode::NORMAL, "").unwrap());
        check_close(&wire, sending, closing, receive(receiver));
    });
}
