//! What has left was sent, whatever fails behind it.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use sansws::blocking::{SplitTransport, Transport};
use sansws::{Config, Event, KeepAlive};
use sansws_test::wire;

use crate::blocking::peer::{server_on, within};
use crate::blocking::script::Script;

/// The length of a message, and of the part of its frame that is taken at first.
const LEN: usize = 100;
const FIRST: usize = 50;

/// Takes the first part of a message, the rest once there is something behind it, and then nothing.
struct Halting {
    limit: Cell<Option<Duration>>,
    taken: usize,
}

impl Halting {
    fn wait(&self) -> io::Error {
        thread::sleep(self.limit.get().expect("a bound"));
        ErrorKind::WouldBlock.into()
    }
}

impl Read for Halting {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.wait())
    }
}

impl Write for Halting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let rest = 2 + LEN - FIRST;
        let n = match self.taken {
            0 => FIRST,
            FIRST if bytes.len() == rest => return Err(self.wait()),
            FIRST => rest,
            _ => return Err(ErrorKind::BrokenPipe.into()),
        };
        self.taken += n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Halting {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.limit.set(timeout);
        Ok(())
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.limit.set(timeout);
        Ok(())
    }
}

/// A keep-alive ping behind the message cannot leave.
#[test]
fn a_message_that_has_left_was_sent() {
    within(|| {
        let config = Config::new().keep_alive(KeepAlive::Every(Duration::from_millis(30)));
        let io = Halting { limit: Cell::new(None), taken: 0 };
        let mut ws = server_on(io, &config);
        ws.send(vec![0; LEN]).unwrap();
        assert_eq!(ws.get_ref().taken, 2 + LEN);
        assert!(ws.flush().unwrap_err().is_disconnect());
        assert!(ws.send("another").unwrap_err().is_disconnect());
    });
}

/// A stream that keeps bytes to itself, and then cannot pass them on, has not sent them.
#[test]
fn what_a_flush_lost_was_not_sent() {
    let io = Script::new([], []).with_flushes([ErrorKind::BrokenPipe]);
    let mut ws = server_on(sansws::blocking::Plain(io), &Config::new());
    assert!(ws.send("lost").unwrap_err().is_disconnect());
}

/// A stream whose first write ends when it is told to, and which takes nothing after that.
struct Full {
    io: UnixStream,
    writes: AtomicUsize,
    begins: Sender<()>,
    ends: Mutex<Receiver<()>>,
}

impl SplitTransport for Full {
    fn read_shared(&self, buf: &mut [u8]) -> io::Result<usize> {
        (&self.io).read(buf)
    }

    fn write_shared(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if self.writes.fetch_add(1, Ordering::Relaxed) > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.begins.send(()).unwrap();
        self.ends.lock().unwrap().recv().unwrap();
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

impl Read for Full {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_shared(buf)
    }
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_shared(&[io::IoSlice::new(bytes)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Full {
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        Transport::shutdown(&self.io, how)
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Transport::set_read_timeout(&self.io, timeout)
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

/// Whoever has written its message takes a pong along that came meanwhile. That there is no room
/// for the pong says nothing about the message.
#[test]
fn no_room_for_a_pong_is_no_error_of_the_message_before_it() {
    within(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (begins, has_begun) = channel();
        let (end, ends) = channel();
        let io = Full { io: near, writes: AtomicUsize::new(0), begins, ends: Mutex::new(ends) };
        let (mut receiver, sender) = server_on(io, &Config::new()).split();
        let sending = thread::spawn(move || sender.send("message"));
        has_begun.recv().unwrap();
        far.write_all(&wire::client(wire::PING, b"p")).unwrap();
        let event = receiver.next_event().unwrap();
        assert!(matches!(event, Some(Event::Ping(_))), "{event:?}");
        end.send(()).unwrap();
        sending.join().unwrap().unwrap();
    });
}
