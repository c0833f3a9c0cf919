use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::mem::{self, MaybeUninit};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::proto::{Event, Reply};
use crate::wire::{CloseFrame, FrameHeader, Opcode, apply_mask};

/// The stream of a connection, which can be looked into while nobody takes in what arrives, and can be
/// dropped before the connection is.
pub(crate) struct ClientStream<S> {
    /// Gone once it was [dropped](Self::hang_up).
    io: Option<S>,
    /// Bytes were written since this was last asked for.
    took: bool,
    /// What was read ahead, to be read before anything else.
    ahead: Option<Box<Ahead>>,
}

/// What arrived while a handler was waiting.
#[derive(Default)]
struct Ahead {
    bytes: Vec<u8>,
    /// How many of them have been read.
    read: usize,
    /// How many have been looked at.
    seen: usize,
    /// How the stream ended behind them.
    end: Option<Result<(), io::Error>>,
}

/// What lies behind the event that a handler works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Nothing that has arrived: a frame is next.
    #[default]
    Nothing,
    /// The peer's Close.
    Close,
    /// Something that is to be delivered.
    More,
}

/// What looking ahead has shown.
#[derive(Debug, Default)]
pub(crate) struct Sight {
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
    /// What is owed for a Close that was found.
    pub(crate) reply: Option<Box<Reply>>,
}

/// What a [`ClientStream`] leads to.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Whether the peer is known to send nothing behind what lies there unread.
    fn is_read_closed(&self, cx: &mut Context<'_>) -> bool {
        let _ = cx;
        false
    }
}

impl Stream for TcpStream {
    fn is_read_closed(&self, cx: &mut Context<'_>) -> bool {
        // it is ready: there is something to read
        let ready = pin!(self.ready(Interest::READABLE));
        matches!(ready.poll(cx), Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }
}

impl<S> ClientStream<S> {
    pub(crate) fn new(io: S) -> Self {
        Self { io: Some(io), took: false, ahead: None }
    }

    /// Whether bytes were written since the last call.
    pub(crate) fn took(&mut self) -> bool {
        mem::take(&mut self.took)
    }

    /// Drops the stream. What was read ahead can still be read.
    pub(crate) fn hang_up(&mut self) {
        self.io = None;
    }
}

impl<S: Stream> ClientStream<S> {
    /// Reads what has arrived, up to a limit, and keeps it to be read later. `behind` becomes the Close
    /// when there is nothing else before it.
    pub(crate) fn look_ahead(&mut self, behind: &mut Behind, cx: &mut Context<'_>) -> Sight {
        let Some(io) = &mut self.io else { return Sight::default() };
        let mut sight = Sight::default();
        let mut space = [MaybeUninit::uninit(); PIECE];
        loop {
            let held = self.ahead.as_ref().map_or(0, |ahead| ahead.bytes.len());
            if self.ahead.as_ref().is_some_and(|ahead| ahead.end.is_some()) {
                break;
            }
            if held >= MAX_AHEAD {
                sight.full = true;
                sight.ended = io.is_read_closed(cx);
                return sight;
            }
            let mut piece = ReadBuf::uninit(&mut space);
            let Poll::Ready(result) = Pin::new(&mut *io).poll_read(cx, &mut piece) else { break };
            let ahead = self.ahead.get_or_insert_default();
            match result {
                Ok(()) if piece.filled().is_empty() => ahead.end = Some(Ok(())),
                Ok(()) => {
                    sight.arrived += piece.filled().len() as u32; // a buffer's length at the most
                    ahead.bytes.extend_from_slice(piece.filled());
                    ahead.look(behind, &mut sight);
                }
                Err(error) => ahead.end = Some(Err(error)),
            }
        }
        let end = self.ahead.as_ref().and_then(|ahead| ahead.end.as_ref());
        sight.ended = end.is_some();
        sight.broken = end.is_some_and(Result::is_err);
        sight
    }
}

impl Ahead {
    /// Looks at the frames that are next, as long as there is nothing to deliver in them.
    fn look(&mut self, behind: &mut Behind, sight: &mut Sight) {
        while *behind == Behind::Nothing {
            let rest = &self.bytes[self.seen..];
            match ControlFrame::parse(rest) {
                Ok(ControlFrame::Incomplete) => return,
                Ok(ControlFrame::Other { len, pong }) => {
                    self.seen += len;
                    sight.pong = pong.or(sight.pong);
                }
                Ok(ControlFrame::Close(reply)) => {
                    *behind = Behind::Close;
                    sight.reply = Some(reply);
                }
                Err(NotControlFrame) => *behind = Behind::More,
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

impl Behind {
    /// What lies there, in bytes that begin with a frame: a Close is yet to be looked at.
    #[inline]
    pub(crate) fn look(bytes: &[u8]) -> Self {
        match bytes.first() {
            None => Self::Nothing,
            Some(0x88) => Self::Close,
            Some(_) => Self::More,
        }
    }

    /// What is owed for a Close that is whole; otherwise there is more.
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

/// A control frame of a client, whole.
enum ControlFrame {
    Incomplete,
    /// A ping or pong.
    Other {
        len: usize,
        pong: Option<[u8; 4]>,
    },
    Close(Box<Reply>),
}

/// What is next is another frame, or none that is allowed: not to be judged here.
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

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
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
        match &mut self.io {
            Some(io) => Pin::new(io).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(gone())) };
        let written = ready!(Pin::new(io).poll_write(cx, buf));
        self.took = true;
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(gone())) };
        let written = ready!(Pin::new(io).poll_write_vectored(cx, bufs));
        self.took = true;
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Some(io) => Pin::new(io).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Some(io) => Pin::new(io).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// What is read at once.
const PIECE: usize = 4 * 1024;

/// What is read ahead at the most, about: as much as a receive buffer takes at first. From then on the
/// peer waits for the handler.
const MAX_AHEAD: usize = 16 * 1024;
