#![forbid(unsafe_code)]

use alloc::collections::VecDeque;

use super::client::Client;
use super::history::{Missed, Position};
use super::hub::Hub;
use crate::proto::PreparedMessage;
use crate::server::backplane::{Page, follow};

/// Where a client goes on.
#[derive(Clone, Copy)]
pub(super) enum Start {
    Position(Position),
    Last(usize),
}

impl Start {
    /// Returns the position behind which its messages are, if that is not too far back.
    pub(super) fn behind(self, last: Position, max_messages: usize) -> Result<Position, Missed> {
        match self {
            Self::Last(count) => {
                let count = count.min(max_messages) as u64;
                Ok(Position { offset: last.offset.saturating_sub(count), ..last })
            }
            Self::Position(it) if it.epoch != last.epoch || it.offset > last.offset => {
                Err(Missed::OtherEpoch)
            }
            Self::Position(it) => {
                match (last.offset - it.offset).checked_sub(max_messages as u64) {
                    Some(lost) if lost > 0 => Err(Missed::TooOld { lost }),
                    _ => Ok(it),
                }
            }
        }
    }
}

/// What was read for a client.
pub(super) struct Got {
    pub(super) messages: VecDeque<PreparedMessage>,
    bytes: usize,
    limit: usize,
    /// All of them, or an error.
    pub(super) whole: bool,
    /// The offset that it began with.
    first: u64,
}

impl Got {
    pub(super) fn new(client: &Client, from: Start, at: Position) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            limit: client.context().limits().max_queued_bytes,
            whole: matches!(from, Start::Position(_)),
            first: at.offset,
        }
    }

    /// Adds messages that are behind a position. Returns that of the last one.
    pub(super) fn add(&mut self, hub: &Hub, at: Position, page: Page) -> Result<Position, Missed> {
        let Page { last, messages } = page;
        if last.epoch != at.epoch || last.offset < at.offset {
            return Err(Missed::OtherEpoch);
        }
        let behind = messages.first().map_or(last.offset, |(first, _)| first - 1);
        let mut end = at.offset;
        if behind > at.offset {
            if self.whole {
                return Err(Missed::TooOld { lost: behind - self.first });
            }
            self.messages.clear();
            self.bytes = 0;
            end = behind;
        }
        for (offset, message) in messages {
            end = offset;
            let Some((message, _)) = follow::prepare(hub, message) else { continue };
            self.bytes += message.encoded_len();
            self.messages.push_back(message);
            while self.bytes > self.limit && self.messages.len() > 1 {
                if self.whole {
                    let messages = (last.offset - self.first) as usize;
                    let (bytes, limit) = (self.bytes, self.limit);
                    return Err(Missed::TooMuch { messages, bytes, limit });
                }
                let first = self.messages.pop_front();
                self.bytes -= first.map_or(0, |it| it.encoded_len());
            }
        }
        Ok(Position { offset: end, ..at })
    }
}
