use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use std::sync::PoisonError;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, tcp};
#[cfg(unix)]
use tokio::net::{UnixStream, unix};

use crate::sync::{Mutex, MutexGuard};

/// A way to take a stream apart into its two directions.
///
/// `TcpStream` and `UnixStream` are their own ways, without a lock; [`Locked`] is the way for every
/// other stream.
pub trait SplitStream {
    /// The stream.
    type Whole;
    /// The receiving direction.
    type ReadHalf: AsyncRead + Unpin;
    /// The sending direction.
    type WriteHalf: AsyncWrite + Unpin;

    /// Takes a stream apart.
    fn split(whole: Self::Whole) -> (Self::ReadHalf, Self::WriteHalf);

    /// Puts the two halves of one stream together again; `None` when they are not of one stream.
    fn unsplit(read: Self::ReadHalf, write: Self::WriteHalf) -> Option<Self::Whole>;
}

impl SplitStream for TcpStream {
    type Whole = Self;
    type ReadHalf = tcp::OwnedReadHalf;
    type WriteHalf = tcp::OwnedWriteHalf;

    fn split(whole: Self) -> (Self::ReadHalf, Self::WriteHalf) {
        whole.into_split()
    }

    fn unsplit(read: Self::ReadHalf, write: Self::WriteHalf) -> Option<Self> {
        read.reunite(write).ok()
    }
}

#[cfg(unix)]
impl SplitStream for UnixStream {
    type Whole = Self;
    type ReadHalf = unix::OwnedReadHalf;
    type WriteHalf = unix::OwnedWriteHalf;

    fn split(whole: Self) -> (Self::ReadHalf, Self::WriteHalf) {
        whole.into_split()
    }

    fn unsplit(read: Self::ReadHalf, write: Self::WriteHalf) -> Option<Self> {
        read.reunite(write).ok()
    }
}

/// The way to split any stream: both halves lock it, each for single reads and writes that do not
/// wait.
pub struct Locked<S>(PhantomData<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> SplitStream for Locked<S> {
    type Whole = S;
    type ReadHalf = LockedHalf<S>;
    type WriteHalf = LockedHalf<S>;

    fn split(whole: S) -> (LockedHalf<S>, LockedHalf<S>) {
        let stream = Arc::new(Mutex::new(whole));
        (LockedHalf(Arc::clone(&stream)), LockedHalf(stream))
    }

    fn unsplit(read: LockedHalf<S>, write: LockedHalf<S>) -> Option<S> {
        if !Arc::ptr_eq(&read.0, &write.0) {
            return None;
        }
        drop(write);
        let stream = Arc::try_unwrap(read.0).ok()?;
        Some(stream.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> fmt::Debug for Locked<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked")
    }
}

/// One direction of a stream that was split with [`Locked`].
pub struct LockedHalf<S>(Arc<Mutex<S>>);

impl<S> LockedHalf<S> {
    pub(super) fn lock(&self) -> MutexGuard<'_, S> {
        // a panic inside the stream says nothing about ours
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LockedHalf<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LockedHalf<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().is_write_vectored()
    }
}

impl<S> fmt::Debug for LockedHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockedHalf")
    }
}
