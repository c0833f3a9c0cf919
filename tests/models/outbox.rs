//! What the task of a client and those who send to it share: the outbox, and the right to write to
//! the socket.
#![allow(clippy::unwrap_used)]

use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use bytes::Buf;
use shuttle::future::block_on;
use shuttle::rand::Rng;
use shuttle::{rand, thread};

use super::super::run::piece_of;
use super::*;
use crate::Config;
use crate::buf::SendBuffer;
use crate::driver::Rest;
use crate::models::{BINARY, CLOSE, check_order, explore, frames};
use crate::proto::Connection;
use crate::sync::Condvar;
use crate::sync::atomic::AtomicBool;

/// A socket, which one at a time may write to.
#[derive(Default)]
struct Socket {
    busy: AtomicBool,
    written: Mutex<Vec<u8>>,
    changed: Condvar,
}

impl Socket {
    /// Writes so many bytes.
    fn write(&self, bytes: &mut impl Buf, n: usize) {
        assert!(!self.busy.swap(true, Ordering::SeqCst), "two of them write");
        self.written.lock().unwrap().extend_from_slice(&bytes.copy_to_bytes(n));
        self.busy.store(false, Ordering::SeqCst);
        self.changed.notify_all();
    }
}

#[derive(Default)]
struct Client {
    outbox: Outbox,
    /// The task, for the socket: something has arrived.
    reader: Mutex<Option<Waker>>,
    socket: Socket,
    context: Context,
}

impl Client {
    /// Returns one whose socket is lent.
    fn new() -> Arc<Self> {
        let client = Self::default();
        client.outbox.line().open_any();
        Arc::new(client)
    }

    /// The task of the client, as `Pump` goes about it: takes the right to write, drains, writes,
    /// parks, and leaves the right to others while it waits. Ends when the gate is closed and all
    /// is written.
    fn run(&self) {
        let Self { outbox, reader, socket, context } = self;
        let (_, sender) = Connection::server(&Config::new()).split();
        let mut driver = Driver::from_parts(sender, PooledTx::default(), Rest::new());
        let mut parked = false;
        block_on(poll_fn(|cx| {
            *reader.lock().unwrap() = Some(cx.waker().clone());
            if outbox.line().take().is_none() {
                thread::yield_now();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            loop {
                let drained = match parked && outbox.is_quiet() {
                    true => Drained::Open,
                    false => outbox.drain(&mut driver, context.limits()),
                };
                let unsent = driver.unsent();
                if unsent > 0 {
                    let mut tx = SendBuffer::new();
                    driver.take_unsent(&mut tx);
                    socket.write(&mut tx, unsent);
                    driver.in_flight = 0;
                }
                match drained {
                    Drained::CaughtUp => {
                        outbox.note_caught_up();
                        continue;
                    }
                    Drained::Closed | Drained::Aborted => return Poll::Ready(()),
                    Drained::Open => {}
                }
                if parked && outbox.is_quiet() {
                    break;
                }
                match outbox.park(cx.waker(), driver.has_room(), context.limits()) {
                    Wait::Not => {}
                    Wait::Parked => {
                        parked = true;
                        break;
                    }
                    Wait::Doubted => panic!("nobody is slow here"),
                }
            }
            assert!(driver.may_be_passed());
            outbox.line().leave();
            Poll::Pending
        }));
    }

    /// Has the task run for something that has nothing to do with the outbox.
    fn arrive(&self) {
        let reader = self.reader.lock().unwrap().take();
        reader.into_iter().for_each(Waker::wake);
    }

    /// Broadcasts messages, as `Target` and `Batch` do: whoever is asked to writes, as much as the
    /// socket happens to take, or leaves it to the task. Returns how many were taken.
    fn broadcast(&self, number: u8, count: u8) -> u8 {
        for n in 0..count {
            let message = PreparedMessage::new(&[number, n]).unwrap();
            let (piece, charge) = (piece_of(&message, &[], None), charge_of(&(&message).into()));
            match self.outbox.push_broadcast(&piece, charge, Wake::OrRelieve, &self.context) {
                Ok(false) => {}
                Ok(true) if rand::thread_rng().gen_bool(0.25) => self.outbox.write_not(),
                Ok(true) => self.write(),
                Err(TrySendError::Closed) => return n,
                Err(error) => panic!("{error}"),
            }
        }
        count
    }

    /// As [`Outbox::write`], with a socket that takes any number of bytes.
    fn write(&self) {
        let mut tx = PooledTx::default();
        let Some((borrowed, lone)) = self.outbox.begin_write(&mut tx) else { return };
        for message in lone.iter().flat_map(Piece::messages) {
            tx.fetch().put_owned(message.frame().clone());
        }
        let len = tx.fetch().remaining();
        let taken = rand::thread_rng().gen_range(0..=len);
        self.socket.write(tx.fetch(), taken);
        self.outbox.end_write(borrowed, &mut tx, self.context.limits());
    }

    /// Returns the messages that the peer got, and the Close behind them.
    fn messages(&self) -> Vec<Vec<u8>> {
        let mut frames = frames(&self.socket.written.lock().unwrap());
        assert_eq!(frames.pop().unwrap().0, CLOSE);
        assert!(frames.iter().all(|(opcode, _)| *opcode == BINARY));
        frames.into_iter().map(|(_, payload)| payload).collect()
    }
}

fn spawn<T: Send + 'static>(
    client: &Arc<Client>,
    run: impl FnOnce(&Client) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let client = Arc::clone(client);
    thread::spawn(move || run(&client))
}

/// Two threads broadcast while the task of the client comes and goes, also for what its peer sends,
/// and a third one sends by waking it. Everything arrives once, whole and in order, whoever writes
/// it; never do two write.
#[test]
fn broadcasts_to_one_client() {
    explore(|| {
        let client = Client::new();
        let task = spawn(&client, Client::run);
        let broadcasts = [1, 2].map(|number| spawn(&client, move |it| it.broadcast(number, 2)));
        let arrivals = spawn(&client, |it| (0..3).for_each(|_| it.arrive()));
        let message = PreparedMessage::new(&[3, 0]).unwrap();
        client.outbox.push((&message).into(), Wake::Always, &client.context).unwrap();
        broadcasts.into_iter().for_each(|it| assert_eq!(it.join().unwrap(), 2));
        arrivals.join().unwrap();
        client.outbox.close(CloseCode::NORMAL, "").unwrap();
        task.join().unwrap();
        let messages = client.messages();
        check_order(&messages, 1, 2);
        check_order(&messages, 2, 2);
        check_order(&messages, 3, 1);
    });
}

/// The last message of a broadcast is not left lying, with nobody who would do more: the peer gets
/// it without anything else that happens.
#[test]
fn the_last_message() {
    explore(|| {
        let client = Client::new();
        let task = spawn(&client, Client::run);
        let broadcasts = [1, 2].map(|number| spawn(&client, move |it| it.broadcast(number, 1)));
        broadcasts.into_iter().for_each(|it| assert_eq!(it.join().unwrap(), 1));
        let mut written = client.socket.written.lock().unwrap();
        while written.len() < 8 {
            written = client.socket.changed.wait(written).unwrap();
        }
        drop(written);
        client.outbox.close(CloseCode::NORMAL, "").unwrap();
        task.join().unwrap();
        let messages = client.messages();
        check_order(&messages, 1, 1);
        check_order(&messages, 2, 1);
    });
}

/// Somebody closes, or the connection is aborted, while others broadcast. What was taken before a
/// Close arrives before it, nothing is taken behind it, and the task ends.
#[test]
fn a_close_beside_broadcasts() {
    explore(|| {
        let client = Client::new();
        let task = spawn(&client, Client::run);
        let broadcasts = [1, 2].map(|number| spawn(&client, move |it| it.broadcast(number, 2)));
        let aborts = rand::thread_rng().gen_bool(0.25);
        match aborts {
            true => client.outbox.abort(),
            false => client.outbox.close(CloseCode::NORMAL, "").unwrap(),
        }
        task.join().unwrap();
        let taken = broadcasts.map(|it| it.join().unwrap());
        if !aborts {
            let messages = client.messages();
            check_order(&messages, 1, taken[0]);
            check_order(&messages, 2, taken[1]);
        }
    });
}
