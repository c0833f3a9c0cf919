#![forbid(unsafe_code)]

use core::fmt;

use crate::wire::{CloseFrame, MAX_CONTROL_PAYLOAD, Opcode};

/// A message was not taken. Nothing was written, and the connection goes on as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed.
    NotOpen,
    /// Too many bytes wait to be sent.
    BufferFull {
        /// Bytes in the send buffer.
        unsent: usize,
        /// [`Config::max_unsent`](crate::Config::max_unsent).
        limit: usize,
    },
    /// A ping or pong with more than 125 bytes.
    ControlTooLong {
        /// The length of the payload, in bytes.
        len: usize,
    },
    /// A close reason with more than 123 bytes.
    ReasonTooLong {
        /// The length of the reason, in bytes.
        len: usize,
    },
    /// A message begun with `start_message` is not finished.
    MessageUnfinished,
    /// There is no unfinished message to go on with.
    NoMessage,
    /// Fragments of a text message that together are not UTF-8.
    InvalidUtf8,
}

impl SendError {
    /// Returns whether a reason fits into a Close frame.
    pub(crate) fn check_reason(reason: &str) -> Result<(), Self> {
        match reason.len() {
            len if len > CloseFrame::MAX_REASON_LEN => Err(Self::ReasonTooLong { len }),
            _ => Ok(()),
        }
    }

    /// Returns whether a message can be sent by any connection, as far as its length goes.
    #[inline]
    pub(crate) fn check_len(opcode: Opcode, len: usize) -> Result<(), Self> {
        match opcode.is_control() && len > MAX_CONTROL_PAYLOAD {
            true => Err(Self::ControlTooLong { len }),
            false => Ok(()),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotOpen => f.write_str("the connection is closing; nothing more can be sent"),
            Self::BufferFull { unsent, limit } => write!(
                f,
                "{unsent} bytes wait to be sent, the limit is {limit}: flush first, slow down, or \
                 raise Config::max_unsent"
            ),
            Self::ControlTooLong { len } => write!(
                f,
                "a ping or pong carries at most {MAX_CONTROL_PAYLOAD} bytes, not {len} \
                 (RFC 6455 §5.5)"
            ),
            Self::ReasonTooLong { len } => write!(
                f,
                "a close reason has at most {} bytes, not {len}: shorten it (RFC 6455 §5.5)",
                CloseFrame::MAX_REASON_LEN
            ),
            Self::MessageUnfinished => f.write_str(
                "a message begun with start_message is not finished: finish it first; messages \
                 cannot interleave (RFC 6455 §5.4)",
            ),
            Self::NoMessage => f.write_str("no message is under way: begin with start_message"),
            Self::InvalidUtf8 => f.write_str(
                "the fragments of a text message must together be UTF-8: send it as binary \
                 (RFC 6455 §5.6)",
            ),
        }
    }
}

impl core::error::Error for SendError {}

/// The peer did not do in time what it had to. The connection is closed; drop the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timeout {
    /// The peer has not answered a keep-alive ping within the
    /// [`pong_timeout`](crate::Config::pong_timeout), and the time on top that its bytes, or those
    /// on their way to it, have earned.
    KeepAlive,
    /// A message that the peer has begun hardly came on for 17 intervals of
    /// [`keep_alive`](crate::Config::keep_alive): fewer than 64 bytes a second.
    Message,
    /// No Close frame came in the [`close_timeout`](crate::Config::close_timeout) after ours had
    /// left, and the time on top that the bytes before it need to be read.
    Closing,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeepAlive => "the peer did not answer a keep-alive ping in time",
            Self::Message => "the peer has begun a message and hardly goes on with it",
            Self::Closing => "the peer did not answer the Close frame in time",
        })
    }
}

impl core::error::Error for Timeout {}
