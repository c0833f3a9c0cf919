#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::mem::{self, MaybeUninit};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io::{self, IoSlice};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::client::Client;
use crate::proto::{Event, Reply};
use crate::server::observe::tally;
use crate::wire::{CloseFrame, FrameHeader, Opcode, apply_mask};

/// The stream of a connection, which can be looked into while nobody takes in what arrives, and can
/// be dropped before the connection is.
pub(crate) struct ClientStream {
    /// Dropped before the stream: nobody else writes to it from then on.
    lent: Option<Lent>,
    io: Io,
    /// Bytes were written since this was last asked for.
    took: bool,
    /// What is read and written is counted: the handshake is over.
    counts: bool,
    /// Bytes that were read ahead, to be read before anything else.
    ahead: Option<Box<Ahead>>,
}

/// A socket that is lent; no longer when this is dropped.
struct Lent(Client);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.outbox().line().close();
    }
}

/// The two kinds of stream, so that each handler is compiled once and not for every type of them; a
/// branch that is predicted costs nothing beside a system call.
enum Io {
    Tcp(TcpStream),
    /// One that was accepted elsewhere.
    Boxed(Box<dyn Duplex>),
    /// It was [dropped](ClientStream::drop_stream).
    Gone,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// The bytes that arrived while a handler was waiting.
#[derive(Default)]
struct Ahead {
    bytes: Vec<u8>,
    /// The number of them that have been read.
    read: usize,
    /// The number of them that have been looked at.
    seen: usize,
    /// The end of the stream behind them.
    end: Option<Result<(), io::Error>>,
}

/// The input behind the event that a handler works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Nothing that has arrived: a frame is next.
    #[default]
    Empty,
    /// The peer's Close.
    Close,
    /// Something that is to be delivered.
    More,
}

/// The result of looking ahead.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// Bytes that arrived.
    pub(crate) arrived: u32,
    /// The payload of a pong among them; only one that is as long as those of our pings matters.
    pub(crate) pong: Option<[u8; 4]>,
    /// No more can be looked at.
    pub(crate) full: bool,
    /// The peer sends nothing more.
    pub(crate) ended: bool,
    /// The network is broken.
    pub(crate) broken: bool,
    /// The answer that is owed for a Close that was found.
    pub(crate) reply: Option<Box<Reply>>,
}

impl ClientStream {
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        Self { lent: None, io: Io::Tcp(stream), took: false, counts: false, ahead: None }
    }

    pub(crate) fn boxed(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let io = Io::Boxed(Box::new(stream));
        Self { lent: None, io, took: false, counts: false, ahead: None }
    }

    /// Counts what is read and written from now on, in the task of the connection.
    pub(crate) fn count(&mut self) {
        self.counts = true;
    }

    #[inline]
    fn note_written(&mut self, bytes: usize) {
        self.took = true;
        if self.counts {
            tally::written(bytes);
        }
    }

    /// Puts bytes back, to be read before anything else.
    #[cfg(feature = "rustls")]
    pub(crate) fn unread(&mut self, bytes: Vec<u8>) {
        self.ahead = Some(Box::new(Ahead { bytes, ..Ahead::default() }));
    }

    /// Returns whether bytes were written since the last call.
    pub(crate) fn took(&mut self) -> bool {
        mem::take(&mut self.took)
    }

    /// Drops the stream. What was read ahead can still be read.
    pub(crate) fn drop_stream(&mut self) {
        self.lent = None;
        self.io = Io::Gone;
    }

    /// Lets others write to a socket while the task of the client waits with nothing unsent. For
    /// the task.
    pub(crate) fn lend(&mut self, client: &Client) {
        // The time since the last message is for the task to know, and it sees its own.
        if client.context().limits().idle_timeout != Duration::MAX {
            return;
        }
        if let Io::Tcp(stream) = &self.io {
            // it was accepted by the server, so this is the server's runtime
            client.hub().write_here();
            client.outbox().line().open(stream);
            self.lent = Some(Lent(client.clone()));
        }
    }

    /// Reads what has arrived, up to a limit, and keeps it to be read later. `unread` becomes the
    /// Close when there is nothing else before it.
    pub(crate) fn look_ahead(&mut self, unread: &mut Unread, cx: &mut Context<'_>) -> Observed {
        if matches!(self.io, Io::Gone) {
            return Observed::default();
        }
        let mut observed = Observed::default();
        let mut space = [MaybeUninit::uninit(); PIECE];
        loop {
            let held = self.ahead.as_ref().map_or(0, |ahead| ahead.bytes.len());
            if self.ahead.as_ref().is_some_and(|ahead| ahead.end.is_some()) {
                break;
            }
            if held >= MAX_AHEAD {
                observed.full = true;
                observed.ended = self.io.is_read_closed(cx);
                return observed;
            }
            let mut piece = ReadBuf::uninit(&mut space);
            let Poll::Ready(result) = self.io.poll_read(cx, &mut piece) else { break };
            let ahead = self.ahead.get_or_insert_default();
            match result {
                Ok(()) if piece.filled().is_empty() => ahead.end = Some(Ok(())),
                Ok(()) => {
                    // a buffer's length at the most
                    observed.arrived += piece.filled().len() as u32;
                    tally::read(piece.filled().len());
                    ahead.bytes.extend_from_slice(piece.filled());
                    ahead.look(unread, &mut observed);
                }
                Err(error) => ahead.end = Some(Err(error)),
            }
        }
        let end = self.ahead.as_ref().and_then(|ahead| ahead.end.as_ref());
        observed.ended = end.is_some();
        observed.broken = end.is_some_and(Result::is_err);
        observed
    }
}

impl Ahead {
    /// Looks at the frames that are next, as long as there is nothing to deliver in them.
    fn look(&mut self, unread: &mut Unread, observed: &mut Observed) {
        while *unread == Unread::Empty {
            let rest = &self.bytes[self.seen..];
            match ControlFrame::parse(rest) {
                Ok(ControlFrame::Incomplete) => return,
                Ok(ControlFrame::Other { len, pong }) => {
                    self.seen += len;
                    observed.pong = pong.or(observed.pong);
                }
                Ok(ControlFrame::Close(reply)) => {
                    *unread = Unread::Close;
                    observed.reply = Some(reply);
                }
                Err(NotControlFrame) => *unread = Unread::More,
            }
        }
    }

    fn take(&mut self, buf: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        let rest = &self.bytes[self.read..];
        if rest.is_empty() {
            return match self.end.take() {
                Some(Err(error)) => {
                    self.end = Some(Ok(()));
                    Some(Err(error))
                }
                Some(Ok(())) => {
                    self.end = Some(Ok(()));
                    Some(Ok(()))
                }
                None => None,
            };
        }
        let n = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..n]);
        self.read += n;
        self.seen = self.seen.max(self.read);
        Some(Ok(()))
    }
}

impl Unread {
    /// Looks at bytes that begin with a frame: a Close is yet to be parsed.
    #[inline]
    pub(crate) fn look(bytes: &[u8]) -> Self {
        match bytes.first() {
            None => Self::Empty,
            Some(0x88) => Self::Close,
            Some(_) => Self::More,
        }
    }

    /// Returns the answer to a Close that is whole; if it is not, there is more than a Close.
    #[cold]
    pub(crate) fn look_at_close(&mut self, bytes: &[u8]) -> Option<Box<Reply>> {
        match ControlFrame::parse(bytes) {
            Ok(ControlFrame::Close(reply)) => Some(reply),
            _ => {
                *self = Self::More;
                None
            }
        }
    }
}

/// A control frame of a client, as far as it is there.
enum ControlFrame {
    Incomplete,
    /// A ping or pong.
    Other {
        len: usize,
        pong: Option<[u8; 4]>,
    },
    Close(Box<Reply>),
}

/// Another frame, or one that is not allowed: it is judged when it is read.
struct NotControlFrame;

impl ControlFrame {
    fn parse(bytes: &[u8]) -> Result<Self, NotControlFrame> {
        let Some((header, len)) = FrameHeader::parse(bytes).map_err(|_| NotControlFrame)? else {
            return match bytes.first() {
                Some(first) if first & 0x0F < 8 => Err(NotControlFrame),
                _ => Ok(Self::Incomplete),
            };
        };
        if !header.opcode.is_control() {
            return Err(NotControlFrame);
        }
        let end = len + usize::try_from(header.payload_len).map_err(|_| NotControlFrame)?;
        let Some(payload) = bytes.get(len..end) else { return Ok(Self::Incomplete) };
        let mask = header.mask.ok_or(NotControlFrame)?;
        if header.opcode != Opcode::Close {
            let mut pong = match header.opcode {
                Opcode::Pong => <[u8; 4]>::try_from(payload).ok(),
                _ => None,
            };
            if let Some(pong) = &mut pong {
                apply_mask(pong, mask, 0);
            }
            return Ok(Self::Other { len: end, pong });
        }
        let mut payload = payload.to_vec();
        apply_mask(&mut payload, mask, 0);
        let close = CloseFrame::parse(&payload).map_err(|_| NotControlFrame)?;
        Ok(Self::Close(Box::new(Reply::to(&Event::Close(close)))))
    }
}

impl Io {
    /// Returns whether the peer is known to send nothing behind what lies there unread.
    fn is_read_closed(&self, cx: &mut Context<'_>) -> bool {
        let Self::Tcp(stream) = self else { return false };
        // it is ready: there is something to read
        let ready = pin!(stream.ready(Interest::READABLE));
        matches!(ready.poll(cx), Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Boxed(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Returns the stream to write to.
    #[inline]
    fn writer(&mut self) -> Option<Pin<&mut (dyn AsyncWrite + Unpin)>> {
        match self {
            Self::Tcp(stream) => Some(Pin::new(stream)),
            Self::Boxed(stream) => Some(Pin::new(stream)),
            Self::Gone => None,
        }
    }
}

impl AsyncRead for ClientStream {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(ahead) = &mut self.ahead {
            match ahead.take(buf) {
                Some(result) => return Poll::Ready(result),
                None => self.ahead = None,
            }
        }
        let before = buf.filled().len();
        ready!(self.io.poll_read(cx, buf))?;
        if self.counts {
            tally::read(buf.filled().len() - before);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(match &mut self.io {
            Io::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Boxed(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Gone => return Poll::Ready(Err(gone())),
        });
        self.note_written(*written.as_ref().unwrap_or(&0));
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(writer) = self.io.writer() else { return Poll::Ready(Err(gone())) };
        let written = ready!(writer.poll_write_vectored(cx, bufs));
        self.note_written(*written.as_ref().unwrap_or(&0));
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(stream) => stream.is_write_vectored(),
            Io::Boxed(stream) => stream.is_write_vectored(),
            Io::Gone => false,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.writer().map_or(Poll::Ready(Ok(())), |writer| writer.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.writer().map_or(Poll::Ready(Ok(())), |writer| writer.poll_shutdown(cx))
    }
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// The most bytes of one read.
const PIECE: usize = 4 * 1024;

/// The bytes from which on no more is read ahead: as many as a receive buffer takes at first. From
/// then on the peer waits for the handler.
const MAX_AHEAD: usize = 16 * 1024;
