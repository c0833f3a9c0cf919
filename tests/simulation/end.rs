use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;

use crate::conditions::Manners;
use crate::network::Net;

/// One end of a connection, as a transport for tokio and, never blocking, for std.
///
/// As a socket of tokio it remembers one task that reads and one that writes: the last that asked.
pub struct End {
    net: Net,
    /// The pipe that it writes to; its number is also that of the end.
    pub out: usize,
    inn: usize,
    manners: Manners,
    staged: Vec<u8>,
    shut: AtomicBool,
}

impl End {
    pub fn new(net: Net, out: usize, inn: usize, manners: Manners) -> Self {
        Self { net, out, inn, manners, staged: Vec::new(), shut: AtomicBool::new(false) }
    }

    /// Whether the call has to wait for nothing.
    fn hiccup(&self, what: u64) -> bool {
        let mut state = self.net.lock();
        state.step(what * 1000 + self.out as u64);
        self.manners.hiccups > 0 && state.rng.chance(self.manners.hiccups)
    }

    fn try_read(&self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        let mut state = self.net.lock();
        let room = buf.len().min(self.manners.max_read);
        let result = state.pipe(self.inn).read(&mut buf[..room])?;
        if let Ok(n) = result {
            state.turns.add(self.out, n, 0);
            state.launch(self.inn);
        }
        Some(result.map_err(io::Error::from))
    }

    fn try_put(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        let mut state = self.net.lock();
        let len = bytes.len().min(self.manners.max_write);
        let result = state.pipe(self.out).write(&bytes[..len])?;
        if result.is_ok() {
            state.turns.add(self.out, 0, 0);
            state.launch(self.out);
        }
        Some(result.map_err(io::Error::from))
    }

    /// Moves what is staged on; `None` for "wait".
    fn try_unstage(&mut self) -> Option<io::Result<()>> {
        while !self.staged.is_empty() {
            match self.try_put(&self.staged)? {
                Ok(n) => drop(self.staged.drain(..n)),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(()))
    }

    fn try_write(&mut self, bytes: &[u8]) -> Option<io::Result<usize>> {
        let Some(limit) = self.manners.staging else { return self.try_put(bytes) };
        if self.shut.load(Relaxed) {
            return Some(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.staged.len() >= limit
            && let Err(error) = self.try_unstage()?
        {
            return Some(Err(error));
        }
        let n = bytes.len().min(limit - self.staged.len()).min(self.manners.max_write);
        self.staged.extend_from_slice(&bytes[..n]);
        Some(Ok(n))
    }

    fn remember_reader(&self, waker: &Waker) {
        let replaced = self.net.lock().pipe(self.inn).reader.replace(waker.clone());
        drop(replaced); // unlocked: it may be the last of its task, which may have an end itself
    }

    fn remember_writer(&self, waker: &Waker) {
        let replaced = self.net.lock().pipe(self.out).writer.replace(waker.clone());
        drop(replaced);
    }

    /// Whether it has a buffer of its own.
    pub fn is_staging(&self) -> bool {
        self.manners.staging.is_some()
    }

    /// Ends the sending direction.
    pub fn shut_down(&self) {
        self.shut.store(true, Relaxed);
        let mut state = self.net.lock();
        state.pipe(self.out).finish();
        state.launch(self.out);
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.manners)
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let budget = match self.manners.cooperative {
            true => Some(ready!(poll_proceed(cx))),
            false => None,
        };
        if self.hiccup(1) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(result) = self.try_read(buf.initialize_unfilled()) else {
            self.remember_reader(cx.waker());
            return Poll::Pending;
        };
        if let Some(budget) = budget {
            budget.made_progress();
        }
        Poll::Ready(result.map(|n| buf.advance(n)))
    }
}

impl End {
    fn poll_put(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let budget = match self.manners.cooperative {
            true => Some(ready!(poll_proceed(cx))),
            false => None,
        };
        if self.hiccup(2) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(result) = self.try_write(bytes) else {
            self.remember_writer(cx.waker());
            return Poll::Pending;
        };
        if let Some(budget) = budget {
            budget.made_progress();
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_put(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.poll_put(cx, &slices.concat())
    }

    fn is_write_vectored(&self) -> bool {
        self.manners.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.manners.staging.is_none() {
            return Poll::Ready(Ok(()));
        }
        if self.hiccup(3) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.try_unstage() {
            Some(result) => Poll::Ready(result),
            None => {
                self.remember_writer(cx.waker());
                Poll::Pending
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.shut_down();
        Poll::Ready(Ok(()))
    }
}

impl Read for End {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.hiccup(1) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.try_read(buf).unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.hiccup(2) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.try_write(bytes).unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.try_unstage().unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }
}

/// As a socket: what was written still goes out, what was not read makes a reset.
impl Drop for End {
    fn drop(&mut self) {
        self.shut_down();
        self.net.lock().reader_left(self.inn);
    }
}
