//! The decision table of an open connection: what to do with its transport next.
//!
//! Before an event may be looked for ([`Flow::before_event`]):
//!
//! | the connection | room in the send buffer | the transport takes bytes | |
//! |---|---|---|---|
//! | is over | | | End |
//! | is open | none | yes | Write |
//! | is open | none | no | Wait |
//! | otherwise | | | look for an event |
//!
//! When there is none ([`Flow::after_event`]); the first row that fits:
//!
//! | unsent bytes | to do once they are gone | input | output | |
//! |---|---|---|---|---|
//! | that can be written | | | | Write |
//! | | close | | open | TryShutdown |
//! | | close | | shut down or failed | End |
//! | blocked | anything else, closing | ended | | Wait |
//! | | anything else | ended | open | TryShutdown |
//! | | anything else | ended | shut down or failed | End |
//! | none | shut down writing | open | open | ShutdownWrite |
//! | | | open | | Read |

use crate::proto::{Sender, Transport};

/// The next thing to do with a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Write what is unsent.
    Write,
    /// Shut down the sending direction.
    ShutdownWrite,
    /// Shut down the sending direction as far as that goes without waiting; the end comes next.
    TryShutdown,
    /// Read.
    Read,
    /// Go on parsing, once others have had their turn.
    #[cfg_attr(not(feature = "deflate"), allow(dead_code))]
    Again,
    /// Wait until writing is possible again: there is too much unsent to take in more.
    Wait,
    /// Nothing: the connection is over.
    End,
}

/// The direction to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Open,
    /// This end has shut it down, or has tried to.
    ShutDown,
    /// A write failed. What the peer sent before can still be read.
    Failed,
}

/// The direction from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    Ended,
}

/// The bytes that are not written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    None,
    Some,
    /// The transport takes none of them at the moment.
    Blocked,
}

impl Unsent {
    #[inline]
    pub(crate) fn new(is_flushed: bool, write_blocked: bool) -> Self {
        match (is_flushed, write_blocked) {
            (true, _) => Self::None,
            (false, false) => Self::Some,
            (false, true) => Self::Blocked,
        }
    }
}

/// The state of the transport under an open connection.
#[derive(Debug)]
pub(crate) struct Flow {
    output: Output,
    input: Input,
    /// A write had to wait: the next one that goes through proves that the peer takes bytes.
    stalled: bool,
    /// The connection has come to its end. The closing table may be there earlier: the transport is
    /// given a last word first.
    over: bool,
}

impl Flow {
    pub(crate) const fn new() -> Self {
        Self { output: Output::Open, input: Input::Open, stalled: false, over: false }
    }

    /// Returns whether there is something to do before the next event may be delivered.
    ///
    /// `has_room`: what the application answers to the event finds room.
    #[inline]
    pub(crate) fn before_event(
        &self,
        sender: &Sender,
        has_room: bool,
        write_blocked: bool,
    ) -> Option<Action> {
        if self.over {
            return Some(Action::End);
        }
        // after the end there are no answers
        if !has_room && !sender.has_ended() {
            return Some(if write_blocked { Action::Wait } else { Action::Write });
        }
        None
    }

    /// Decides what to do when there is no event.
    #[inline]
    pub(crate) fn after_event(&self, sender: &Sender, unsent: Unsent) -> Action {
        if self.over {
            return Action::End;
        }
        decide(sender.transport(), sender.has_ended(), self.input, self.output, unsent)
    }

    /// Notes that a read found the end of file.
    pub(crate) fn input_ended(&mut self) {
        self.input = Input::Ended;
    }

    /// Returns whether nothing more comes from the peer.
    #[inline]
    pub(crate) fn is_input_ended(&self) -> bool {
        self.input == Input::Ended
    }

    /// Returns whether the sending direction is neither shut down nor broken.
    pub(crate) fn is_output_open(&self) -> bool {
        self.output == Output::Open
    }

    /// Notes that a write found no room in the transport.
    #[inline]
    pub(crate) fn write_stalled(&mut self) {
        self.stalled = true;
    }

    /// Notes that a write took `n` bytes.
    #[inline]
    pub(crate) fn wrote(&mut self, sender: &mut Sender, n: usize) {
        sender.note_written(n);
        if core::mem::take(&mut self.stalled) {
            sender.note_progress();
        }
    }

    /// Notes that the sending direction was shut down, or that this was tried.
    pub(crate) fn output_shut_down(&mut self) {
        if self.output == Output::Open {
            self.output = Output::ShutDown;
        }
    }

    /// Notes that nothing can be written any more. Whoever calls this drops what is unsent.
    pub(crate) fn output_failed(&mut self) {
        self.output = Output::Failed;
    }

    /// Returns whether a write has failed.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn is_output_failed(&self) -> bool {
        self.output == Output::Failed
    }

    /// Ends the connection.
    pub(crate) fn end(&mut self) {
        self.over = true;
    }

    /// Returns whether the connection has ended.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }
}

/// Decides by the table above.
#[inline]
fn decide(
    transport: Transport,
    closing: bool,
    input: Input,
    output: Output,
    unsent: Unsent,
) -> Action {
    match (unsent, transport, input, output) {
        (Unsent::Some, ..) => Action::Write,
        (_, Transport::Close, _, Output::Open) => Action::TryShutdown,
        (_, Transport::Close, ..) => Action::End,
        // The peer may have closed its direction only, and wait for our Close frame.
        (Unsent::Blocked, _, Input::Ended, _) if closing => Action::Wait,
        (_, _, Input::Ended, Output::Open) => Action::TryShutdown,
        (_, _, Input::Ended, _) => Action::End,
        // RFC 6455 §7.1.1: the server closes first, and reads on until the peer has closed too:
        // "closing with unread data" would let TCP discard the Close frame on its way.
        (Unsent::None, Transport::ShutdownWrite, Input::Open, Output::Open) => {
            Action::ShutdownWrite
        }
        _ => Action::Read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cell of the second table.
    #[test]
    fn table() {
        use Action::*;
        use Transport::{Close, KeepOpen, ShutdownWrite as Shut};
        // unsent:                                           None         Blocked
        // output:                                   Open  ShutDown Failed   Open  ShutDown Failed
        let rows = [
            (KeepOpen, false, Input::Open, [Read, Read, Read, Read, Read, Read]),
            (KeepOpen, true, Input::Open, [Read, Read, Read, Read, Read, Read]),
            (Shut, true, Input::Open, [ShutdownWrite, Read, Read, Read, Read, Read]),
            (Close, true, Input::Open, [TryShutdown, End, End, TryShutdown, End, End]),
            (KeepOpen, false, Input::Ended, [TryShutdown, End, End, TryShutdown, End, End]),
            (KeepOpen, true, Input::Ended, [TryShutdown, End, End, Wait, Wait, Wait]),
            (Shut, true, Input::Ended, [TryShutdown, End, End, Wait, Wait, Wait]),
            (Close, true, Input::Ended, [TryShutdown, End, End, TryShutdown, End, End]),
        ];
        let outputs = [Output::Open, Output::ShutDown, Output::Failed];
        for (transport, closing, input, cells) in rows {
            let unsent = [Unsent::None, Unsent::Blocked];
            let columns = unsent.iter().flat_map(|unsent| outputs.map(|output| (*unsent, output)));
            for ((unsent, output), cell) in columns.zip(cells) {
                let row = (transport, closing, input, output, unsent);
                assert_eq!(decide(transport, closing, input, output, unsent), cell, "{row:?}");
            }
            for output in outputs {
                let action = decide(transport, closing, input, output, Unsent::Some);
                assert_eq!(action, Write, "{transport:?} {closing} {input:?} {output:?}");
            }
        }
    }

    /// Shutting down is not tried again after it, nor after a write that failed.
    #[test]
    fn the_output() {
        let mut flow = Flow::new();
        assert!(flow.is_output_open());
        flow.output_shut_down();
        assert!(!flow.is_output_open());
        #[cfg(feature = "std")]
        assert!(!flow.is_output_failed());
        flow.output_failed();
        flow.output_shut_down();
        assert!(!flow.is_output_open());
        #[cfg(feature = "std")]
        assert!(flow.is_output_failed());
    }

    /// Every cell of the first table, for both roles.
    #[test]
    fn room_comes_first() {
        use crate::buf::SendBuffer;
        use crate::config::Config;

        let config = Config::new();
        for open in [Sender::server(&config), Sender::client(&config, [7; 32])] {
            let mut sender = open;
            let mut flow = Flow::new();
            assert_eq!(flow.before_event(&sender, true, false), None);
            assert_eq!(flow.before_event(&sender, true, true), None);
            assert_eq!(flow.before_event(&sender, false, false), Some(Action::Write));
            assert_eq!(flow.before_event(&sender, false, true), Some(Action::Wait));
            sender.close(&mut SendBuffer::new(), None).unwrap();
            assert_eq!(flow.before_event(&sender, false, false), Some(Action::Write), "answers");
            sender.receive_eof();
            for (has_room, blocked) in [(false, false), (false, true), (true, false)] {
                assert_eq!(flow.before_event(&sender, has_room, blocked), None);
            }
            assert!(!flow.is_over());
            flow.end();
            assert!(flow.is_over());
            for (has_room, blocked) in [(false, false), (false, true), (true, false)] {
                assert_eq!(flow.before_event(&sender, has_room, blocked), Some(Action::End));
            }
            assert_eq!(flow.after_event(&sender, Unsent::Some), Action::End);
        }
    }
}
