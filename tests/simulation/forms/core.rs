//! The core alone, `proto::Connection`, with a clock and a loop of the user's own.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::proto::{Connection, MessageKind, MessageRef, SendError, State, Transport};
use sansws::{CloseCode, CloseFrame, Error, Event, PreparedMessage};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use crate::end::End;
use crate::oracles::Ending;
use crate::payload::Item;
use crate::scenario::{Outcome, Running, User, Wishes, pause};

pub fn run(seed: u64) -> Outcome {
    super::converse(seed, Wishes { full_duplex: true, senders: 1, binary: false }, user)
}

pub fn user(mut user: User) -> Running {
    Box::pin(async move {
        let core = Core {
            io: user.take_end(),
            conn: user.connection(),
            rx: RecvBuffer::with_read_ahead(user.read_ahead),
            tx: SendBuffer::new(),
            epoch: Instant::now(),
            shut: false,
            flushed: true,
            blocked: false,
            said: 0,
            heard_bye: false,
            rest: None,
            user,
        };
        core.run().await
    })
}

struct Core {
    io: End,
    conn: Connection,
    rx: RecvBuffer,
    tx: SendBuffer,
    epoch: Instant,
    shut: bool,
    flushed: bool,
    /// The transport has taken nothing at the last try.
    blocked: bool,
    user: User,
    said: usize,
    heard_bye: bool,
    /// What is still to be sent of a message in fragments.
    rest: Option<(Item, Vec<u8>)>,
}

impl Core {
    async fn run(mut self) -> Ending {
        let result = self.talk().await;
        self.user.doing(&format!("over, {result:?}"));
        Ending::new(result, self.conn.close_info(), false)
    }

    async fn talk(&mut self) -> Result<(), Error> {
        loop {
            pause(&mut self.user.rng, self.user.pause).await;
            let more = self.listen()?;
            self.speak()?;
            self.user.doing("reading and writing");
            let open = self.conn.state() == State::Open;
            let more = more || open && self.rest.is_some() && self.has_room();
            match self.turn(more).await {
                Ok(true) => {}
                Ok(false) => {
                    while self.listen()? {}
                    let _ = self.conn.receive_eof();
                    let clean = self.conn.close_info().is_some_and(|info| info.clean);
                    return if clean { Ok(()) } else { Err(Error::Disconnected(None)) };
                }
                Err(error) => {
                    let _ = self.conn.receive_eof();
                    return Err(error);
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.tx.remaining() < self.user.max_unsent
    }

    /// A bounded number of events; whether the rest has to wait for the next turn.
    fn listen(&mut self) -> Result<bool, Error> {
        for _ in 0..64 {
            match self.conn.poll_event(&mut self.rx, &mut self.tx) {
                Ok(Some(Event::Text(text))) => {
                    self.heard_bye |= self.user.hear(true, text.as_bytes());
                }
                Ok(Some(Event::Binary(binary))) => {
                    self.heard_bye |= self.user.hear(false, &binary);
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn speak(&mut self) -> Result<(), Error> {
        let code = CloseCode::new(4000 + self.user.side as u16).expect("a code");
        while self.conn.state() == State::Open {
            if let Some((item, bytes)) = self.rest.take() {
                self.go_on(item, bytes)?;
                return Ok(());
            }
            let said_all = self.said == self.user.says.len();
            if self.user.is_done(said_all, self.heard_bye) {
                self.conn.close(&mut self.tx, Some(CloseFrame { code, reason: "done" }))?;
                return Ok(());
            }
            if said_all || !self.has_room() {
                return Ok(());
            }
            let item = self.user.says[self.said];
            self.said += 1;
            self.user.story.sends(self.user.side, item);
            let bytes = item.bytes();
            let sent = match self.user.rng.below(4) {
                0 => {
                    self.begin(item, bytes)?;
                    return Ok(());
                }
                1 => {
                    let message = as_message(item, &bytes);
                    self.conn.feed(&mut self.tx, &PreparedMessage::new(message)?)
                }
                _ => self.conn.feed(&mut self.tx, as_message(item, &bytes)),
            };
            match sent {
                Ok(()) => self.user.story.accepted(self.user.side, item),
                Err(SendError::NotOpen) => self.user.story.refused(self.user.side, item),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn begin(&mut self, item: Item, bytes: Vec<u8>) -> Result<(), Error> {
        let kind = if item.text { MessageKind::Text } else { MessageKind::Binary };
        let n = self.user.rng.below(bytes.len() as u64 + 1) as usize;
        self.conn.start_message(kind)?.write(&mut self.tx, &bytes[..n])?;
        self.rest = Some((item, bytes[n..].to_vec()));
        // a ping may stand between two fragments
        if self.user.rng.chance(50) && self.has_room() && self.user.may_ping {
            self.conn.feed(&mut self.tx, MessageRef::ping(b"between"))?;
        }
        Ok(())
    }

    fn go_on(&mut self, item: Item, bytes: Vec<u8>) -> Result<(), Error> {
        if !self.has_room() {
            self.rest = Some((item, bytes));
            return Ok(());
        }
        let n = self.user.rng.below(bytes.len() as u64 + 1) as usize;
        let mut writer = self.conn.resume_message()?;
        if self.user.rng.chance(60) {
            writer.finish(&mut self.tx, &bytes)?;
            self.user.story.accepted(self.user.side, item);
        } else {
            writer.write(&mut self.tx, &bytes[..n])?;
            self.rest = Some((item, bytes[n..].to_vec()));
        }
        Ok(())
    }

    /// Writes, reads, and looks at the clock; waits until one of them has got anywhere. `false`
    /// when it is time to end. `more`: there is something to do besides, so nobody waits.
    async fn turn(&mut self, more: bool) -> Result<bool, Error> {
        let Self { io, conn, rx, tx, epoch, shut, flushed, blocked, .. } = self;
        let due = conn.poll_timeout();
        let mut alarm = pin!(sleep_until(*epoch + due.unwrap_or(FOR_EVER)));
        poll_fn(|cx| {
            let mut moved = poll_write(io, conn, tx, (&mut *flushed, &mut *blocked), cx)?;
            if tx.is_empty() && *flushed {
                match conn.transport() {
                    Transport::Close => return Poll::Ready(Ok(false)),
                    Transport::ShutdownWrite
                        if !*shut && Pin::new(&mut *io).poll_shutdown(cx).is_ready() =>
                    {
                        *shut = true;
                    }
                    _ => {}
                }
            }
            let mut space = ReadBuf::new(rx.space());
            if let Poll::Ready(read) = Pin::new(&mut *io).poll_read(cx, &mut space) {
                read?;
                let n = space.filled().len();
                rx.commit(n);
                return Poll::Ready(Ok(n > 0));
            }
            if alarm.as_mut().poll(cx).is_ready() {
                conn.handle_timeout(epoch.elapsed(), tx)?;
                moved = true;
            }
            // there may be another deadline now
            if more || moved { Poll::Ready(Ok(true)) } else { Poll::Pending }
        })
        .await
    }
}

/// Writes what goes. Whether something did, and there was nothing left.
fn poll_write(
    io: &mut End,
    conn: &mut Connection,
    tx: &mut SendBuffer,
    (flushed, blocked): (&mut bool, &mut bool),
    cx: &mut Context<'_>,
) -> io::Result<bool> {
    let mut moved = false;
    while !tx.is_empty() {
        match Pin::new(&mut *io).poll_write(cx, tx.chunk()) {
            Poll::Ready(Ok(n)) => {
                tx.advance(n);
                conn.note_written(n);
                if std::mem::take(blocked) {
                    conn.note_progress();
                }
                (*flushed, moved) = (false, true);
            }
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {
                *blocked = true;
                break;
            }
        }
    }
    if tx.is_empty() && !*flushed {
        match Pin::new(&mut *io).poll_flush(cx) {
            Poll::Ready(result) => {
                result?;
                *flushed = true;
                moved = true;
            }
            Poll::Pending => {}
        }
    }
    Ok(moved)
}

fn as_message(item: Item, bytes: &[u8]) -> MessageRef<'_> {
    match item.text {
        true => MessageRef::text(std::str::from_utf8(bytes).expect("ASCII")),
        false => MessageRef::binary(bytes),
    }
}

const FOR_EVER: Duration = Duration::from_secs(1 << 30);
