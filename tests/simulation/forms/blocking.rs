//! `blocking::WebSocket` on a stream that never blocks, driven by hand: whoever is told
//! `WouldBlock` comes back later.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use sansws::blocking::{Plain, Transport, WebSocket};
use sansws::buf::RecvBuffer;
use sansws::proto::{SendError, State};
use sansws::{CloseCode, Error, Event, KeepAlive, Message};
use tokio::time::sleep;

use crate::end::End;
use crate::oracles::Ending;
use crate::scenario::{Outcome, Running, User, Wishes, pause};

pub fn run(seed: u64) -> Outcome {
    super::converse(seed, Wishes { full_duplex: true, senders: 1, binary: false }, user)
}

pub fn user(mut user: User) -> Running {
    let plain = user.rng.chance(40);
    // its clock is a real one, which must not decide anything here
    user.config =
        user.config.clone().keep_alive(KeepAlive::Off).close_timeout(Duration::from_secs(1 << 20));
    Box::pin(async move {
        let end = user.take_end();
        // a stream with a buffer of its own cannot be shut down through a shared reference
        if plain || end.is_staging() {
            Talk::new(Plain(end), user).run().await
        } else {
            Talk::new(Socket(end), user).run().await
        }
    })
}

/// A stream that can be shut down.
struct Socket(End);

impl Transport for Socket {
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how == Shutdown::Read {
            return Err(ErrorKind::Unsupported.into());
        }
        self.0.shut_down();
        Ok(())
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct Talk<S> {
    ws: WebSocket<S>,
    user: User,
    said: usize,
    heard_bye: bool,
    refused: bool,
}

impl<S: Transport + Send + 'static> Talk<S> {
    fn new(io: S, mut user: User) -> Self {
        let ws =
            WebSocket::from_parts(sansws::Parts::new(io, user.connection(), RecvBuffer::new()));
        Self { ws, user, said: 0, heard_bye: false, refused: false }
    }

    async fn run(mut self) -> Ending {
        let result = self.talk().await;
        self.user.doing(&format!("over, {result:?}"));
        Ending::new(result, self.ws.close_info(), false)
    }

    async fn talk(&mut self) -> Result<(), Error> {
        let code = CloseCode::new(4000 + self.user.side as u16).expect("a code");
        // such a user has no clock that would tell it that nobody is there any more
        let mut patience = self.user.patience * 4;
        loop {
            pause(&mut self.user.rng, self.user.pause).await;
            let open = self.ws.state() == State::Open && !self.refused;
            let said_all = self.said == self.user.says.len();
            if open && self.user.is_done(said_all, self.heard_bye) {
                self.ws.start_close(code, "done")?;
            } else if open && !said_all && self.ws.unsent() == 0 {
                // Two users who feed more and more while the other's bytes wait behind their own
                // would wait for each other: `recv` takes in no more than the answer to it finds
                // room for.
                self.speak()?;
            }
            self.user.doing("recv");
            match self.listen() {
                Ok(true) => patience = self.user.patience * 4,
                Ok(false) => return Ok(()),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    if patience.is_zero() {
                        return Err(error.kind().to_string())
                            .map_err(|text| io::Error::other(text).into());
                    }
                    let wait = Duration::from_millis(1 + self.user.attention / 10);
                    patience = patience.saturating_sub(wait);
                    sleep(wait).await;
                }
                Err(error) => return Err(error),
            }
            tokio::task::yield_now().await;
        }
    }

    fn speak(&mut self) -> Result<(), Error> {
        let item = self.user.says[self.said];
        self.user.story.sends(self.user.side, item);
        let result = self.ws.feed(item.message());
        self.user.story.sent(self.user.side, item, &result);
        match result {
            Ok(()) => self.said += 1,
            Err(Error::Send(SendError::NotOpen)) => self.refused = true,
            Err(error) => return Err(error),
        }
        if self.user.rng.chance(30) {
            match self.ws.flush() {
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                Err(Error::Send(SendError::NotOpen)) => self.refused = true,
                result => result?,
            }
        }
        Ok(())
    }

    fn listen(&mut self) -> Result<bool, Error> {
        let message = match self.user.rng.chance(50) {
            true => self.ws.recv()?,
            false => self.next()?,
        };
        let Some(message) = message else { return Ok(false) };
        let text = message.as_text().is_some();
        self.heard_bye |= self.user.hear(text, message.as_bytes());
        Ok(true)
    }

    fn next(&mut self) -> Result<Option<Message>, Error> {
        while let Some((event, _)) = self.ws.next_event()? {
            if matches!(event, Event::Text(_) | Event::Binary(_)) {
                return Ok(event.into_message());
            }
        }
        Ok(None)
    }
}
