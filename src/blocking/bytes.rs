use core::fmt;
use std::io::{self, BufRead, Read, Write};

use super::link::{Direct, Link, ready_event};
use super::split::SharedLink;
use super::{Receiver, Sender, SplitTransport, Transport, WebSocket};
use crate::buf::RecvBuffer;
use crate::error::Error;
use crate::intake::{Intake, Verdict};
use crate::proto::{self, CloseInfo, Ready, SendError};
use crate::wire::CloseCode;

/// A WebSocket as a stream of bytes: what binary messages carry, without their boundaries.
///
/// For another protocol inside a WebSocket: TLS, SSH, a database's, or whatever comes out of a TCP
/// connection. Made by [`WebSocket::into_byte_stream`], in both roles.
///
/// ```no_run
/// use std::io::{BufRead, Write};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut stream = sansws::blocking::connect("ws://127.0.0.1:9001/smtp")?.into_byte_stream();
/// let mut greeting = String::new();
/// stream.read_line(&mut greeting)?;
/// stream.write_all(b"QUIT\r\n")?;
/// stream.shutdown()?;
/// # Ok(())
/// # }
/// ```
///
/// # Reading
///
/// Reads bring the payloads of binary messages, one after the other. Empty messages do not show.
/// Payloads are handed on as they arrive, so a message may be far larger than memory, up to
/// [`Config::max_message_len`](crate::Config::max_message_len); what is held is the receive buffer
/// ([`Config::read_ahead`](crate::Config::read_ahead) bytes, up to four times that on a busy
/// connection). Each byte is copied once, into the caller's buffer, and not even that with
/// [`BufRead`]. Pings and the peer's Close are answered on the way.
///
/// The end of file means that the peer has closed with 1000, or with a Close frame without a code,
/// and that all of its data has been read. Everything else is an error, so that a stream that was
/// cut off is never taken for a complete one:
///
/// | what happened | [`io::ErrorKind`] | [`Error`] inside |
/// |---|---|---|
/// | no closing handshake | `UnexpectedEof`, `ConnectionReset`, … | [`Error::Disconnected`] |
/// | another close code, such as 1001 | `ConnectionAborted` | [`Error::Closed`] |
/// | a text message; the peer is told with 1003 | `InvalidData` | [`Error::UnexpectedText`] |
/// | the peer broke a rule; it is told so | `InvalidData` | [`Error::Protocol`] |
/// | the peer no longer answers | `TimedOut` | [`Error::Timeout`] |
/// | a time-out of your own on the stream | `WouldBlock`, `TimedOut` | [`Error::Io`]: call again |
///
/// The [`Error`] is what [`io::Error::get_ref`] returns, to be downcast.
///
/// # Writing
///
/// A write makes one binary message, of at most 32 KiB, and waits until the transport has taken it.
/// What arrives meanwhile is held up to 64 KiB, for the next read, which also answers pings. After
/// the peer's Close was read, and after a shutdown, a write fails with `BrokenPipe`.
///
/// # Shutting down
///
/// A WebSocket has no half-closed state: after a Close frame its sender sends nothing more, and its
/// receiver answers with a Close and sends nothing more either (RFC 6455 §5.5.1). So
/// [`shutdown`](Self::shutdown) also ends the other direction soon: what the peer has sent until it
/// sees the Close still arrives, what it would have sent after that never does.
///
/// Dropping the stream without it is an abrupt end for the peer.
///
/// # Two threads
///
/// [`split`](Self::split) gives a half that reads and one that writes, as a tunnel needs.
pub struct ByteStream<S> {
    ws: WebSocket<S>,
    intake: Intake,
}

impl<S> WebSocket<S> {
    /// Returns the connection as a stream of bytes.
    ///
    /// Data that has arrived is read first. A message that is under way is part of it, also the
    /// [chunks](WebSocket::next_chunk) of it that were not taken yet.
    pub fn into_byte_stream(mut self) -> ByteStream<S> {
        self.receiver.deliver_chunks(&self.rx);
        self.link.max_ahead = self.receiver.max_ahead();
        self.link.driver.set_independent(true);
        ByteStream { ws: self, intake: Intake::default() }
    }
}

impl<S> ByteStream<S> {
    /// Returns the WebSocket.
    pub fn get_ref(&self) -> &WebSocket<S> {
        &self.ws
    }

    /// Returns the WebSocket, to close it with another code than 1000, for example. What it
    /// receives is missing in the stream.
    pub fn get_mut(&mut self) -> &mut WebSocket<S> {
        &mut self.ws
    }

    /// Returns the WebSocket. Nothing is lost: what has arrived and was not read is its next event.
    ///
    /// A message of which a part was read goes on in [chunks](WebSocket::next_chunk) to its end.
    pub fn into_inner(mut self) -> WebSocket<S> {
        self.ws.link.driver.set_independent(false);
        self.ws
    }

    /// Returns how the connection closed; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo<'_>> {
        self.ws.close_info()
    }

    fn source(&mut self) -> Source<'_, Direct<S>> {
        let WebSocket { rx, receiver, link, .. } = &mut self.ws;
        Source { rx, receiver, link, intake: &mut self.intake }
    }
}

impl<S: Transport> ByteStream<S> {
    /// Sends a Close with 1000 and waits for the end of the closing handshake, but not past data:
    /// as soon as some has arrived that nobody has read, this returns, and reading goes on to the
    /// end of file. No data is dropped.
    ///
    /// Whoever drops the stream instead of reading on may cost the peer the end of what was written
    /// to it, as with TCP. Later calls only wait.
    ///
    /// # Errors
    ///
    /// Those of reading. [`Config::close_timeout`](crate::Config::close_timeout) bounds the wait
    /// for a peer that does not answer.
    pub fn shutdown(&mut self) -> io::Result<()> {
        match self.ws.start_close(CloseCode::NORMAL, "") {
            Ok(()) | Err(Error::Send(SendError::NotOpen)) => {}
            Err(error) => return Err(error.into()),
        }
        let refused = self.intake.is_refused();
        while let Some(ready) = self.source().next()? {
            if !refused {
                self.ws.flush()?;
                break;
            }
            let source = self.source();
            source.receiver.consume_held(source.rx, ready, usize::MAX);
        }
        Ok(())
    }
}

impl<S: SplitTransport> ByteStream<S> {
    /// Takes the stream apart into two halves for two threads, as [`WebSocket::split`] does.
    ///
    /// ```no_run
    /// # use std::{io, thread};
    /// # fn run(tcp: std::net::TcpStream, ws: sansws::blocking::WebSocket<std::net::TcpStream>)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut from_peer, mut to_peer) = ws.into_byte_stream().split();
    /// let (mut from_tcp, mut to_tcp) = (tcp.try_clone()?, tcp);
    /// thread::spawn(move || {
    ///     io::copy(&mut from_tcp, &mut to_peer)?;
    ///     to_peer.shutdown()
    /// });
    /// io::copy(&mut from_peer, &mut to_tcp)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn split(self) -> (ByteReader<S>, ByteWriter<S>) {
        let (receiver, sender) = self.ws.split();
        (ByteReader { receiver, intake: self.intake }, ByteWriter { sender })
    }
}

impl<S: Transport> Read for ByteStream<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.source().read(buf)
    }
}

impl<S: Transport> BufRead for ByteStream<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source().fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.source().consume_read(n);
    }
}

impl<S: Transport> Write for ByteStream<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let link = &mut self.ws.link;
        link.make_room()?;
        let n = link.driver.feed_piece(buf)?;
        match link.write_message() {
            // it was taken, so it must not be written again: it leaves with the next call
            Ok(()) | Err(Error::Io(_)) => Ok(n),
            Err(error) => Err(error.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.ws.flush()?)
    }
}

impl<S: fmt::Debug> fmt::Debug for ByteStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream").field("ws", &self.ws).finish_non_exhaustive()
    }
}

/// The reading half of a byte stream that was split.
///
/// Reads as [`ByteStream`] does, and also answers pings and the peer's Close.
pub struct ByteReader<S> {
    receiver: Receiver<S>,
    intake: Intake,
}

impl<S: SplitTransport> ByteReader<S> {
    /// Returns how the connection closed; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo<'static>> {
        self.receiver.close_info()
    }

    fn source(&mut self) -> Source<'_, SharedLink<S>> {
        let (rx, receiver, link) = self.receiver.parts();
        Source { rx, receiver, link, intake: &mut self.intake }
    }
}

impl<S: SplitTransport> Read for ByteReader<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.source().read(buf)
    }
}

impl<S: SplitTransport> BufRead for ByteReader<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source().fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.source().consume_read(n);
    }
}

impl<S> fmt::Debug for ByteReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteReader").field("receiver", &self.receiver).finish_non_exhaustive()
    }
}

/// The writing half of a byte stream that was split.
///
/// Writes as [`ByteStream`] does. Dropping it does not close anything: call
/// [`shutdown`](Self::shutdown).
pub struct ByteWriter<S> {
    sender: Sender<S>,
}

impl<S: SplitTransport> ByteWriter<S> {
    /// Sends everything and a Close with 1000. The reading half brings what the peer has sent until
    /// it sees the Close, and then the end of file.
    ///
    /// This does not wait for the peer: only the reading half knows whether its silence is its own
    /// or that of somebody who has not yet taken what was read. A read, also one that has begun
    /// before, waits for the peer's Close no longer than
    /// [`Config::close_timeout`](crate::Config::close_timeout).
    ///
    /// # Errors
    ///
    /// As writing. A connection that is closing already stays as it is.
    pub fn shutdown(&mut self) -> io::Result<()> {
        Ok(self.sender.close(CloseCode::NORMAL, "")?)
    }

    /// Returns the sender below, to close with another code than 1000, for example.
    pub fn get_ref(&self) -> &Sender<S> {
        &self.sender
    }

    /// Returns how the connection closed; `None` while it is open.
    pub fn close_info(&self) -> Option<CloseInfo<'static>> {
        self.sender.close_info()
    }
}

impl<S: SplitTransport> Write for ByteWriter<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() { Ok(0) } else { Ok(self.sender.send_piece(buf)?) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.sender.flush()?)
    }
}

impl<S> fmt::Debug for ByteWriter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteWriter").field("sender", &self.sender).finish_non_exhaustive()
    }
}

/// Where bytes come from: the receiving side of a socket, whole or split.
struct Source<'a, L> {
    rx: &'a mut RecvBuffer,
    receiver: &'a mut proto::Receiver,
    link: &'a mut L,
    intake: &'a mut Intake,
}

impl<'a, L> Source<'a, L> {
    fn held(&self) -> Option<Ready> {
        self.intake.held(self.receiver, self.rx)
    }

    fn consume_read(&mut self, n: usize) {
        if let Some(ready) = self.held() {
            self.receiver.consume_held(self.rx, ready, n);
        }
    }
}

impl<'a, L: Link> Source<'a, L> {
    /// Waits until data is held. Control frames and empty messages are dealt with on the way.
    fn next(&mut self) -> Result<Option<Ready>, Error> {
        let Self { rx, receiver, link, .. } = self;
        while let Some(ready) = ready_event(receiver, rx, *link)? {
            let pay = |reply| link.driver(|driver| driver.reply(reply));
            if let Some(ready) = Intake::take_in(receiver, rx, ready, pay) {
                return Ok(Some(ready));
            }
        }
        Ok(None)
    }

    /// Waits until there is data, or none will come (`None`).
    fn wait(&mut self) -> Result<Option<Ready>, Error> {
        if let Some(ready) = self.held() {
            return Ok(Some(ready));
        }
        loop {
            let found = self.next();
            match self.intake.judge(found)? {
                Verdict::Data(ready) => return Ok(Some(ready)),
                Verdict::End => {
                    return self.link.driver(|driver| driver.check_complete()).map(|()| None);
                }
                Verdict::RefuseText => self.link.driver(|driver| driver.refuse_text()),
                Verdict::Drop(ready) => self.receiver.consume_held(self.rx, ready, usize::MAX),
            }
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let ready = self.wait()?;
        let mut filled = 0;
        self.intake.read(self.receiver, self.rx, ready, |payload| {
            let n = payload.len().min(buf.len() - filled);
            buf[filled..filled + n].copy_from_slice(&payload[..n]);
            filled += n;
            n
        });
        Ok(filled)
    }

    fn fill_buf(mut self) -> io::Result<&'a [u8]> {
        let ready = self.wait()?;
        let Self { rx, .. } = self;
        Ok(ready.map_or(&[], |ready| proto::Receiver::held_payload(rx, ready)))
    }
}
