//! The first floor: an epoll loop and nothing else.

use std::io::{self, ErrorKind, Read, Write};
use std::task::Poll;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Registry, Token};

use super::floor::{Connection, Shared, Socket};

pub const LISTENER: Token = Token(usize::MAX);

pub fn serve() -> io::Result<()> {
    let (listener, mut poll) = listen()?;
    let mut clients = Clients::default();
    let mut events = Events::with_capacity(1024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => clients.accept(&listener, poll.registry())?,
                Token(id) => clients.serve(id),
            }
        }
    }
}

/// A listener that is announced, and the epoll that tells of it.
pub fn listen() -> io::Result<(TcpListener, mio::Poll)> {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    let poll = mio::Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    super::announce(listener.local_addr()?)?;
    Ok((listener, poll))
}

/// Accepts a connection, if there is one.
pub fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nodelay(true)?;
            Ok(Some(stream))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Default)]
struct Clients {
    slots: Vec<Option<(TcpStream, Connection)>>,
    free: Vec<usize>,
    shared: Shared,
}

impl Clients {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<()> {
        while let Some(mut stream) = accept(listener)? {
            let id = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, Token(id), interest)?;
            self.slots[id] = Some((stream, Connection::default()));
            self.serve(id);
        }
        Ok(())
    }

    fn serve(&mut self, id: usize) {
        let Some((stream, connection)) = &mut self.slots[id] else { return };
        if connection.drive(stream, &mut self.shared).is_err() {
            self.slots[id] = None;
            self.free.push(id);
        }
    }
}

impl Socket for TcpStream {
    const SHORT_READ_IS_ALL: bool = true; // an edge tells of more

    fn read(&mut self, space: &mut [u8]) -> Poll<io::Result<usize>> {
        ready(Read::read(self, space))
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready(Write::write(self, bytes))
    }
}

fn ready(result: io::Result<usize>) -> Poll<io::Result<usize>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}
