//! `tokio::WebSocket` in one task.

use std::time::Duration;

use sansws::proto::{SendError, State};
use sansws::tokio::WebSocket;
use sansws::{CloseCode, Error, Event, Message};
use tokio::time::timeout;

use crate::end::End;
use crate::oracles::Ending;
use crate::scenario::{Outcome, Running, User, Wishes, pause, perhaps};

pub fn run(seed: u64) -> Outcome {
    super::converse(seed, Wishes { full_duplex: false, senders: 1, binary: false }, user)
}

pub fn user(user: User) -> Running {
    Box::pin(async move { Talk::new(user).run().await })
}

struct Talk {
    ws: WebSocket<End>,
    user: User,
    /// How many messages were sent, of those that there are to say.
    said: usize,
    heard: usize,
    heard_bye: bool,
    /// Nothing can be sent any more.
    refused: bool,
}

impl Talk {
    fn new(mut user: User) -> Self {
        let ws = user.socket();
        Self { ws, user, said: 0, heard: 0, heard_bye: false, refused: false }
    }

    async fn run(mut self) -> Ending {
        let mut deaf = false;
        let result = self.talk(&mut deaf).await;
        self.user.doing(&format!("over, {result:?}"));
        Ending::new(result, self.ws.close_info(), deaf)
    }

    async fn talk(&mut self, deaf: &mut bool) -> Result<(), Error> {
        let code = CloseCode::new(4000 + self.user.side as u16).expect("a code");
        loop {
            pause(&mut self.user.rng, self.user.pause).await;
            if self.is_done() {
                if self.user.rng.chance(50) {
                    self.user.doing("close");
                    *deaf = true;
                    loop {
                        let closing = self.ws.close(code, "done");
                        let closed = perhaps(&mut self.user.rng, self.user.fickle, closing).await;
                        if let Some(closed) = closed {
                            return closed;
                        }
                    }
                }
                self.ws.start_close(code, "done")?;
            } else if self.has_more() && self.may_speak() {
                self.speak().await?;
                if self.is_done() || self.user.rng.chance(70) {
                    continue;
                }
            }
            // whoever has something to say does not listen for long
            let briefly = self.has_more() && (self.may_speak() || !self.user.takes_turns);
            if !self.listen(briefly).await? {
                return Ok(());
            }
        }
    }

    fn is_open(&self) -> bool {
        self.ws.state() == State::Open && !self.refused
    }

    fn has_more(&self) -> bool {
        self.said < self.user.says.len() && self.is_open()
    }

    fn is_done(&self) -> bool {
        let said_all = self.said == self.user.says.len();
        self.is_open() && self.user.is_done(said_all, self.heard_bye)
    }

    fn may_speak(&self) -> bool {
        let item = self.user.says[self.said];
        match self.user.takes_turns {
            // one there, one back
            true => self.heard_bye || self.heard >= self.said + self.user.side,
            false => {
                let unsent = self.ws.unsent();
                unsent == 0 || unsent + item.len + 14 < self.user.max_unsent
            }
        }
    }

    async fn speak(&mut self) -> Result<(), Error> {
        let item = self.user.says[self.said];
        self.user.story.sends(self.user.side, item);
        let has_room = self.ws.unsent() < self.user.max_unsent;
        let result = if !self.user.takes_turns || has_room && self.user.rng.chance(30) {
            self.user.doing("feed");
            self.ws.feed(item.message())
        } else {
            self.user.doing(&format!("send {item:?}"));
            self.ws.send(item.message()).await
        };
        self.user.story.sent(self.user.side, item, &result);
        match result {
            Ok(()) => self.said += 1,
            Err(Error::Send(SendError::NotOpen)) => self.refused = true,
            Err(error) => return Err(error),
        }
        if self.user.takes_turns && self.user.rng.chance(50) {
            self.user.doing("flush");
            let flushed = perhaps(&mut self.user.rng, self.user.fickle, self.ws.flush()).await;
            match flushed {
                None | Some(Ok(()) | Err(Error::Send(SendError::NotOpen))) => {}
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the connection goes on.
    async fn listen(&mut self, briefly: bool) -> Result<bool, Error> {
        self.user.doing("recv");
        let Self { ws, user, .. } = self;
        let message = if briefly {
            timeout(Duration::from_millis(user.attention), next(ws, user.rng.chance(50))).await.ok()
        } else if user.fickle && user.rng.chance(50) {
            let briefly = Duration::from_millis(user.rng.magnitude(1, 10_000));
            timeout(briefly, next(ws, user.rng.chance(50))).await.ok()
        } else {
            Some(next(ws, user.rng.chance(50)).await)
        };
        let Some(message) = message else { return Ok(true) };
        let Some(message) = message? else { return Ok(false) };
        self.heard += 1;
        let text = message.as_text().is_some();
        self.heard_bye |= self.user.hear(text, message.as_bytes());
        Ok(true)
    }
}

/// The next message, in one of two ways.
async fn next(ws: &mut WebSocket<End>, borrowed: bool) -> Result<Option<Message>, Error> {
    if !borrowed {
        return ws.recv().await;
    }
    while let Some((event, _)) = ws.next_event().await? {
        if matches!(event, Event::Text(_) | Event::Binary(_)) {
            return Ok(event.into_message());
        }
    }
    Ok(None)
}
