//! Connecting again: what the adapters share, none of it with a socket or a clock.

mod backoff;
mod event;
mod outbox;

use core::time::Duration;

use crate::entropy::random;
use crate::error::Error;

pub use backoff::{Backoff, Retries};
pub use event::{Lost, ReconnectEvent};
pub(crate) use outbox::Outbox;

/// What follows a connection, or an attempt to make one, that is lost.
pub(crate) enum Next {
    /// Another attempt, after this time; the event tells of it.
    Attempt { delay: Duration, event: ReconnectEvent },
    /// The end.
    End(Result<(), Error>),
}

impl Next {
    /// Decides it, for a client that has no connection now. `why` is `None` where all was said.
    pub(crate) fn after(
        why: Option<Lost>,
        retries: &mut Retries,
        outbox: &mut Outbox,
        now: Duration,
    ) -> Self {
        outbox.ended();
        let Some(why) = why else { return Self::End(Ok(())) };
        let random = match random() {
            Ok(random) => u32::from_ne_bytes(random),
            Err(error) => return Self::End(Err(error.into())),
        };
        match retries.lost(now, &why, random) {
            Some(delay) => {
                let unsent = outbox.take_lost();
                Self::Attempt { delay, event: ReconnectEvent::Lost { why, delay, unsent } }
            }
            None => Self::End(why.into_end()),
        }
    }
}
