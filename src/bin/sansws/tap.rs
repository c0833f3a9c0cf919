//! A stream that is listened in on: which frames go through it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sansws::wire::FrameHeader;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream, and the headers of the frames that went through it, if anybody wants to know.
#[derive(Debug)]
pub struct Tap<S> {
    io: S,
    incoming: Frames,
    outgoing: Frames,
    listens: bool,
}

/// The frames of one direction.
#[derive(Debug, Default)]
struct Frames {
    /// The beginning of a header.
    head: Vec<u8>,
    /// What is left of the payload of the last frame, in bytes.
    left: u64,
    /// Those that nobody has asked for yet.
    found: Vec<FrameHeader>,
    /// There is no telling where frames begin.
    lost: bool,
}

impl Frames {
    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            bytes = &bytes[skipped..];
            self.left -= skipped as u64;
            let Some((&byte, rest)) = bytes.split_first() else { return };
            self.head.push(byte);
            bytes = rest;
            match FrameHeader::parse(&self.head) {
                Ok(None) => {}
                Ok(Some((header, _))) => {
                    self.left = header.payload_len;
                    self.head.clear();
                    self.found.push(header);
                }
                Err(_) => self.lost = true, // the connection says what is wrong
            }
        }
    }
}

impl<S> Tap<S> {
    /// Begins to listen, where `read` has been read already.
    pub fn new(io: S, read: &[u8], listens: bool) -> Self {
        let (mut incoming, outgoing) = (Frames::default(), Frames::default());
        if listens {
            incoming.push(read);
        }
        Self { io, incoming, outgoing, listens }
    }

    /// Returns whether there is nothing to take.
    pub fn is_silent(&self) -> bool {
        self.incoming.found.is_empty() && self.outgoing.found.is_empty()
    }

    /// Takes the frames that have come since this was last asked, and those that have left.
    pub fn take(&mut self) -> (Vec<FrameHeader>, Vec<FrameHeader>) {
        (std::mem::take(&mut self.incoming.found), std::mem::take(&mut self.outgoing.found))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        if this.listens {
            this.incoming.push(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, bufs))?;
        if this.listens {
            let mut left = written;
            for buf in bufs {
                let taken = left.min(buf.len());
                this.outgoing.push(&buf[..taken]);
                left -= taken;
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use sansws::wire::Opcode;

    use super::*;

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut stream = Vec::new();
        for (len, mask) in [(0, None), (5, Some([1, 2, 3, 4])), (300, None), (70_000, None)] {
            let header = FrameHeader::new(Opcode::Binary, len, mask);
            stream.extend_from_slice(header.encode().as_ref());
            stream.resize(stream.len() + usize::try_from(len).unwrap(), 0xff);
        }
        for size in [1, 2, 3, 7, 1_000, stream.len()] {
            let mut frames = Frames::default();
            stream.chunks(size).for_each(|chunk| frames.push(chunk));
            let lens: Vec<_> = frames.found.iter().map(|header| header.payload_len).collect();
            assert_eq!(lens, [0, 5, 300, 70_000]);
            assert_eq!((frames.left, frames.head.len(), frames.lost), (0, 0, false));
        }
        let mut frames = Frames::default();
        frames.push(b"HTTP/1.1 400");
        assert!(frames.lost);
    }
}
