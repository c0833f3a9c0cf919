//! TLS over a socket that one thread reads while another writes.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::Connection;

use super::deadline::Deadline;
use super::{SplitTransport, Transport};
use crate::error::Error;

/// TLS over a socket, for one thread or for two: [`split`](super::WebSocket::split) works on it.
///
/// For TLS that a program sets up itself, on either end. Clients get it by `wss://` in
/// [`connect`](super::connect) too.
///
/// ```no_run
/// use std::net::TcpListener;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use sansws::blocking::{TlsStream, accept};
///
/// # fn run(config: Arc<rustls::ServerConfig>) -> Result<(), Box<dyn std::error::Error>> {
/// let (tcp, _) = TcpListener::bind("127.0.0.1:9001")?.accept()?;
/// let tls = rustls::ServerConnection::new(config)?;
/// let ws = accept(TlsStream::handshake(tcp, tls, Duration::from_secs(10))?)?;
/// let (mut receiver, sender) = ws.split();
/// std::thread::spawn(move || sender.send("from another thread"));
/// while let Some(message) = receiver.recv()? {
///     println!("{message:?}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// Reads and writes of two threads do not wait for each other. A connection that was cut off
/// without `close_notify` ends in an error of the kind
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
/// Dropping it says `close_notify`, if the socket takes that at once.
// `state` is locked for moments, to encrypt and to decrypt, and never while the socket waits: who
// reads does that without a lock, and who writes with that of `output` alone, which keeps the
// records in order. Where both are held, `output` was locked first.
pub struct TlsStream {
    tcp: TcpStream,
    state: Mutex<Connection>,
    output: Mutex<Output>,
    /// What was read and found no room yet: there is one reader.
    input: Mutex<Vec<u8>>,
}

/// Records on their way to the socket.
#[derive(Default)]
struct Output {
    records: Vec<u8>,
    written: usize,
    /// Bytes of a `write_through` that are in the records, and of which it was not told yet.
    promised: usize,
}

impl TlsStream {
    /// Does the handshake of TLS over a socket that blocks, as client or server: `connection` is a
    /// `rustls::ClientConnection` or `ServerConnection`. The socket has no time-outs afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the peer is refused, or hangs up; [`Error::HandshakeTimeout`] when it
    /// takes longer than `timeout`.
    pub fn handshake(
        tcp: TcpStream,
        connection: impl Into<Connection>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        Self::shake_hands(tcp, connection.into(), &Deadline::after(timeout))
    }

    pub(super) fn shake_hands(
        tcp: TcpStream,
        mut state: Connection,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let shaken = shake_hands(&mut state, &tcp, deadline);
        if shaken.is_err() {
            let _ = state.write_tls(&mut &tcp); // the alert that says why
        }
        shaken?;
        tcp.set_read_timeout(None)?;
        tcp.set_write_timeout(None)?;
        let (state, output, input) = (Mutex::new(state), Mutex::default(), Mutex::default());
        Ok(Self { tcp, state, output, input })
    }

    /// Returns the socket, for its addresses and options. What is read from or written to it is
    /// missing in the connection.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Reads once, as `Read` has it. An end without the alert that belongs to it is an error of the
    /// kind `UnexpectedEof`: the stream may have been cut off by anybody.
    fn read_decrypted(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut input = lock(&self.input);
        loop {
            let mut state = lock(&self.state);
            match state.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if input.is_empty() {
                drop(state);
                self.read_records(&mut input)?;
            } else {
                let taken = decrypt(&mut state, &input)?;
                input.drain(..taken);
            }
        }
    }

    /// Reads from the socket, once. What finds no room in the state is left in `input`, which is
    /// empty.
    fn read_records(&self, input: &mut Vec<u8>) -> io::Result<()> {
        self.write_leftover();
        let mut fresh = [0; READ];
        let n = (&self.tcp).read(&mut fresh)?;
        let mut state = lock(&self.state);
        if n == 0 {
            return state.read_tls(&mut io::empty()).map(drop); // the end of the stream
        }
        let taken = decrypt(&mut state, &fresh[..n]);
        drop(state);
        match taken {
            Ok(taken) => input.extend_from_slice(&fresh[taken..n]),
            Err(error) => {
                self.write_leftover(); // the alert that says why
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes once, and leaves to a flush what the socket does not take.
    fn write_buffered(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut output = lock(&self.output);
        let n = self.encrypt(&mut output, slices)?;
        match output.write(&self.tcp) {
            Err(error) if !is_wait(&error) => Err(error),
            _ => Ok(n),
        }
    }

    /// Writes once. Bytes count as written when the socket has taken them, so that nothing is left
    /// for a `flush`; whoever hears of a time-out has to come again with the same bytes.
    fn write_through(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut output = lock(&self.output);
        let n = self.encrypt(&mut output, slices)?;
        output.promised = n;
        output.write(&self.tcp)?;
        output.promised = 0;
        Ok(n)
    }

    fn write_rest(&self) -> io::Result<()> {
        let mut output = lock(&self.output);
        self.take_records(&mut output)?;
        output.write(&self.tcp)
    }

    /// Ends a direction. The sending one ends with the alert that says so, unless both end at once,
    /// which is for a peer that takes nothing.
    fn end(&self, how: Shutdown) -> io::Result<()> {
        if let Shutdown::Write = how {
            let mut output = lock(&self.output);
            // RFC 8446 §6.1: "Each party MUST send a "close_notify" alert before closing its write
            // side of the connection, unless it has already sent some error alert."
            lock(&self.state).send_close_notify();
            self.take_records(&mut output)?;
            output.write(&self.tcp)?;
        }
        self.tcp.shutdown(how)
    }

    /// Makes records of bytes, when those before them have left, and says how many bytes that are.
    fn encrypt(&self, output: &mut Output, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        output.write(&self.tcp)?;
        let promised = core::mem::take(&mut output.promised);
        if promised > 0 {
            return Ok(promised);
        }
        let mut state = lock(&self.state);
        let n = state.writer().write_vectored(slices)?;
        take_records(&mut state, output)?;
        Ok(n)
    }

    fn take_records(&self, output: &mut Output) -> io::Result<()> {
        take_records(&mut lock(&self.state), output)
    }

    /// Writes what the state has to say by itself, such as that a key changes, and what a flush had
    /// to leave. Whoever is writing takes that along, and how it fares shows in the next write.
    fn write_leftover(&self) {
        let Ok(mut output) = self.output.try_lock() else { return };
        if self.take_records(&mut output).is_ok() && !output.is_empty() {
            let _ = output.write(&self.tcp);
        }
    }
}

impl Read for TlsStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_decrypted(buf)
    }
}

impl Write for TlsStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_buffered(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_buffered(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_rest()
    }
}

impl Transport for TlsStream {
    fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.tcp.read_timeout()
    }

    fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.tcp.write_timeout()
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp.set_write_timeout(timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.end(how)
    }
}

impl SplitTransport for TlsStream {
    fn read_shared(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_decrypted(buf)
    }

    fn write_shared(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_through(slices)
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

impl Drop for TlsStream {
    /// Says that nothing more comes, if the socket takes that at once.
    fn drop(&mut self) {
        let (Ok(state), Ok(output)) = (self.state.get_mut(), self.output.get_mut()) else { return };
        state.send_close_notify();
        if take_records(state, output).is_ok() && self.tcp.set_nonblocking(true).is_ok() {
            let _ = output.write(&self.tcp);
        }
    }
}

impl Output {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Writes all, or as much as the socket takes.
    fn write(&mut self, mut tcp: &TcpStream) -> io::Result<()> {
        while let Some(left @ [_, ..]) = self.records.get(self.written..) {
            match tcp.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.records = Vec::new();
        self.written = 0;
        Ok(())
    }
}

/// Moves what the state has to send behind what is on its way.
fn take_records(state: &mut Connection, output: &mut Output) -> io::Result<()> {
    while state.wants_write() {
        state.write_tls(&mut output.records)?;
    }
    Ok(())
}

/// Takes in what was read as far as there is room for it, and says how far that was.
fn decrypt(state: &mut Connection, bytes: &[u8]) -> io::Result<usize> {
    let mut left = bytes;
    while !left.is_empty() {
        let n = state.read_tls(&mut left)?;
        let io = state.process_new_packets().map_err(invalid)?;
        // whoever reads takes that first
        if io.plaintext_bytes_to_read() > 0 || n == 0 {
            break;
        }
    }
    Ok(bytes.len() - left.len())
}

fn shake_hands(
    state: &mut Connection,
    mut tcp: &TcpStream,
    deadline: &Deadline,
) -> Result<(), Error> {
    while state.is_handshaking() || state.wants_write() {
        let left = deadline.left()?;
        let done = if state.wants_write() {
            tcp.set_write_timeout(Some(left))?;
            state.write_tls(&mut tcp)
        } else {
            tcp.set_read_timeout(Some(left))?;
            match state.read_tls(&mut tcp) {
                Ok(0) => return Err(Error::from(closed_early())),
                done => done,
            }
        };
        match done {
            Err(error) if is_wait(&error) => {} // the time is over, or nearly
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {
                state.process_new_packets().map_err(invalid)?;
            }
        }
    }
    Ok(())
}

fn closed_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within the TLS handshake")
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // a panic of the library inside leaves it with an error to return
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One read of the socket, in bytes: a record at its longest is little more.
const READ: usize = 16 * 1024;
