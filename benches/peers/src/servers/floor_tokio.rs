//! The second floor: the same on tokio, a task for each connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::floor::{Connection, Shared, Socket};

thread_local! {
    static SHARED: RefCell<Shared> = RefCell::default();
}

pub fn serve() -> io::Result<()> {
    super::on_tokio(|mut stream| async move {
        let mut connection = Connection::default();
        poll_fn(|cx| {
            let mut socket = Polled { stream: Pin::new(&mut stream), cx };
            SHARED.with_borrow_mut(|shared| match connection.drive(&mut socket, shared) {
                Ok(()) => Poll::Pending,
                Err(_) => Poll::Ready(()),
            })
        })
        .await;
    })
}

struct Polled<'a, 'w> {
    stream: Pin<&'a mut TcpStream>,
    cx: &'a mut Context<'w>,
}

impl Socket for Polled<'_, '_> {
    const SHORT_READ_IS_ALL: bool = false; // the next poll costs nothing and registers the task

    fn read(&mut self, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(space);
        ready!(self.stream.as_mut().poll_read(self.cx, &mut space))?;
        Poll::Ready(Ok(space.filled().len()))
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(self.cx, bytes)
    }
}
