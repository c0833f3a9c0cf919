//! TLS over a socket that one thread reads while another writes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::deadline::Deadline;
use crate::error::Error;

/// A client's TLS connection.
///
/// `state` is locked for moments, to encrypt and to decrypt, and never while the socket waits: who
/// reads does that without a lock, and who writes with that of `output` alone, which keeps the
/// records in order. Where both are held, `output` was locked first.
pub(super) struct TlsStream {
    tcp: TcpStream,
    state: Mutex<ClientConnection>,
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
    /// Does the handshake.
    pub(super) fn connect(
        tcp: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let mut state = ClientConnection::new(config, name).map_err(io::Error::other)?;
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

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Reads once, as `Read` has it. An end without the alert that belongs to it is an error of the
    /// kind `UnexpectedEof`: the stream may have been cut off by anybody.
    pub(super) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
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

    /// Writes once, and leaves to [`flush`](Self::flush) what the socket does not take.
    pub(super) fn write_buffered(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut output = lock(&self.output);
        let n = self.encrypt(&mut output, slices)?;
        match output.write(&self.tcp) {
            Err(error) if !is_wait(&error) => Err(error),
            _ => Ok(n),
        }
    }

    /// Writes once. Bytes count as written when the socket has taken them, so that nothing is left
    /// for a `flush`; whoever hears of a time-out has to come again with the same bytes.
    pub(super) fn write_through(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut output = lock(&self.output);
        let n = self.encrypt(&mut output, slices)?;
        output.promised = n;
        output.write(&self.tcp)?;
        output.promised = 0;
        Ok(n)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        let mut output = lock(&self.output);
        self.take_records(&mut output)?;
        output.write(&self.tcp)
    }

    /// Ends a direction. The sending one ends with the alert that says so, unless both end at once,
    /// which is for a peer that takes nothing.
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
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
fn take_records(state: &mut ClientConnection, output: &mut Output) -> io::Result<()> {
    while state.wants_write() {
        state.write_tls(&mut output.records)?;
    }
    Ok(())
}

/// Takes in what was read as far as there is room for it, and says how far that was.
fn decrypt(state: &mut ClientConnection, bytes: &[u8]) -> io::Result<usize> {
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
    state: &mut ClientConnection,
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
