//! The closing table: every state a connection can be in, and what takes it from one to the next.
//!
//! | state | we close | the peer closes | the peer breaks a rule | EOF |
//! |---|---|---|---|---|
//! | Open | CloseSent | reply, CloseDone | Close in `tx`, Failed | Closed, abnormal |
//! | CloseSent | refused | CloseDone | Failed, no second Close | Closed, abnormal |
//! | CloseDone | refused | discarded | not parsed | Closed, clean |
//! | Failed | refused | discarded | not parsed | Closed, abnormal |
//!
//! Data and pings are taken in Open and CloseSent (the peer may not have seen our Close yet) and
//! discarded after that.
#![forbid(unsafe_code)]

use alloc::borrow::Cow;
use alloc::boxed::Box;
use core::fmt;

use super::Role;
use crate::wire::{CloseCode, ProtocolError};

/// Where a connection is between open and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// Our Close is on its way, the peer's has not come.
    CloseSent,
    /// Both Close frames are out: the closing handshake is complete.
    CloseDone,
    /// The peer broke a rule.
    Failed,
    /// Nothing comes or goes any more.
    Closed {
        clean: bool,
    },
}

/// Cause that moves a connection from one [`Phase`] to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    WeClose,
    PeerCloses,
    PeerBreaksRule,
    /// The end of the stream, or of our patience.
    End,
}

impl Phase {
    /// Returns the phase after `cause`, and whether a Close frame of ours has to be written for it.
    pub(crate) const fn after(self, cause: Cause) -> (Self, bool) {
        match (self, cause) {
            (Self::Open, Cause::WeClose) => (Self::CloseSent, true),
            // RFC 6455 §5.5.1: "If an endpoint receives a Close frame and did not previously send a
            // Close frame, the endpoint MUST send a Close frame in response."
            (Self::Open, Cause::PeerCloses) => (Self::CloseDone, true),
            // RFC 6455 §7.1.7: "the endpoint SHOULD send a Close frame with an appropriate status
            // code before proceeding to _Close the WebSocket Connection_".
            (Self::Open, Cause::PeerBreaksRule) => (Self::Failed, true),
            // "After both sending and receiving a Close message, an endpoint considers the
            // WebSocket connection closed": nobody sends a second Close.
            (Self::CloseSent, Cause::PeerCloses) => (Self::CloseDone, false),
            (Self::CloseSent, Cause::PeerBreaksRule) => (Self::Failed, false),
            (Self::CloseDone, Cause::End) => (Self::Closed { clean: true }, false),
            (Self::Open | Self::CloseSent | Self::Failed, Cause::End) => {
                (Self::Closed { clean: false }, false)
            }
            (phase, _) => (phase, false),
        }
    }

    pub(crate) const fn state(self) -> State {
        match self {
            Self::Open => State::Open,
            Self::CloseSent | Self::CloseDone | Self::Failed => State::Closing,
            Self::Closed { .. } => State::Closed,
        }
    }

    pub(crate) const fn transport(self, role: Role) -> Transport {
        match (self, role) {
            (Self::Open | Self::CloseSent, _) => Transport::KeepOpen,
            // RFC 6455 §7.1.1: "in most normal cases, the TCP connection SHOULD be closed first by
            // the server, so that it holds the TIME_WAIT state and not the client".
            (Self::CloseDone, Role::Client) => Transport::KeepOpen,
            (Self::CloseDone, Role::Server) | (Self::Failed, _) => Transport::ShutdownWrite,
            (Self::Closed { .. }, _) => Transport::Close,
        }
    }
}

/// State of a connection: what can still happen on it (RFC 6455 §4.1, §7.1.3, §7.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // the RFC's states, without CONNECTING
pub enum State {
    /// Messages go both ways.
    Open,
    /// A Close frame was sent or received, or the peer broke a rule. No message can be sent any
    /// more; some may still arrive.
    Closing,
    /// The connection is over.
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
        })
    }
}

/// Instruction for the transport once everything in the send buffer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // callers must know all of them to act on them
pub enum Transport {
    /// Go on reading.
    KeepOpen,
    /// Shut down the sending direction and go on reading until EOF, feeding what arrives as before;
    /// closing with unread data would make TCP discard the Close frame on its way to the peer.
    ShutdownWrite,
    /// Close it.
    Close,
}

/// Result of a connection whose transport has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // RFC 6455 §7.1.4: cleanly or not
pub enum Outcome {
    /// After a complete closing handshake.
    Clean,
    /// Without one: data of the peer may be missing (1006).
    Abnormal,
}

/// Which end began to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Initiator {
    /// This end: by `close`, by failing the connection, or by running out of patience.
    Local,
    /// The other end, with a Close frame.
    Peer,
    /// Neither: the transport ended without a Close frame.
    Network,
}

/// Record of how a connection closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseInfo<'a> {
    /// End that began.
    pub initiator: Initiator,
    /// _The WebSocket Connection Close Code_ of RFC 6455 §7.1.5: the one the peer sent, 1005 when
    /// its Close frame had none, 1006 when no Close frame came.
    pub code: u16,
    /// The reason in the peer's Close frame; empty without one. Escape it before showing it.
    pub reason: Cow<'a, str>,
    /// Whether both ends sent a Close frame.
    pub clean: bool,
    /// The code in the Close frame that this end sent; `None` when it sent none or one without a
    /// code.
    pub sent_code: Option<CloseCode>,
    /// The rule that the peer broke, if that is why.
    pub error: Option<ProtocolError>,
}

impl CloseInfo<'_> {
    /// Returns the same, independent of the connection.
    pub fn into_owned(self) -> CloseInfo<'static> {
        let reason = Cow::Owned(self.reason.into_owned());
        CloseInfo { reason, ..self }
    }
}

/// Memory of the end of a connection; allocated only when it comes.
#[derive(Debug)]
pub(crate) struct CloseRecord {
    pub(crate) initiator: Initiator,
    /// `None` until the peer's Close came.
    pub(crate) received: Option<(Option<CloseCode>, Box<str>)>,
    pub(crate) sent_code: Option<CloseCode>,
    pub(crate) error: Option<ProtocolError>,
}

impl CloseRecord {
    pub(crate) fn new(initiator: Initiator) -> Box<Self> {
        Box::new(Self { initiator, received: None, sent_code: None, error: None })
    }

    pub(crate) fn info(&self, phase: Phase) -> CloseInfo<'_> {
        let (code, reason) = match &self.received {
            // RFC 6455 §7.1.5: "If this Close control frame contains no status code, _The WebSocket
            // Connection Close Code_ is considered to be 1005. If _The WebSocket Connection is
            // Closed_ and no Close control frame was received by the endpoint […] 1006."
            Some((code, reason)) => (code.map_or(1005, CloseCode::as_u16), &**reason),
            None => (1006, ""),
        };
        CloseInfo {
            initiator: self.initiator,
            code,
            reason: Cow::Borrowed(reason),
            clean: matches!(phase, Phase::CloseDone | Phase::Closed { clean: true }),
            sent_code: self.sent_code,
            error: self.error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cell of the table.
    #[test]
    fn table() {
        use Cause::*;
        use Phase::*;
        const CLEAN: Phase = Closed { clean: true };
        const ABNORMAL: Phase = Closed { clean: false };
        let rows = [
            (Open, [(CloseSent, true), (CloseDone, true), (Failed, true), (ABNORMAL, false)]),
            (
                CloseSent,
                [(CloseSent, false), (CloseDone, false), (Failed, false), (ABNORMAL, false)],
            ),
            (
                CloseDone,
                [(CloseDone, false), (CloseDone, false), (CloseDone, false), (CLEAN, false)],
            ),
            (Failed, [(Failed, false), (Failed, false), (Failed, false), (ABNORMAL, false)]),
            (CLEAN, [(CLEAN, false); 4]),
            (ABNORMAL, [(ABNORMAL, false); 4]),
        ];
        for (phase, cells) in rows {
            for (cause, cell) in [WeClose, PeerCloses, PeerBreaksRule, End].into_iter().zip(cells) {
                assert_eq!(phase.after(cause), cell, "{phase:?} {cause:?}");
            }
        }
    }

    ///
    #[test]
    fn the_server_closes_tcp_first() {
        assert_eq!(Phase::CloseDone.transport(Role::Server), Transport::ShutdownWrite);
        assert_eq!(Phase::CloseDone.transport(Role::Client), Transport::KeepOpen);
    }
}
