use alloc::boxed::Box;
use alloc::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::pending::Pending;
use crate::wire::CloseCode;

/// The phases of a server's life, seen by its accept loop, its handshakes and its handles.
pub(crate) struct Lifecycle {
    phase: watch::Sender<Phase>,
    listening: watch::Sender<Listening>,
    /// The handshakes, which look at the phase when they are woken: it is seldom that another one
    /// comes, and waiting for it would cost each of them more than its HTTP.
    pub(crate) pending: Arc<Pending>,
}

/// What becomes of the listeners. Each can only be followed by a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Listening {
    Open,
    /// They are to be closed, once everybody who waits there has been accepted.
    Closing,
    /// They are closed, and the handshakes from them have their answers.
    Closed,
}

/// A phase of a server's life. Each can only be followed by a later one, but for
/// [`ServerHandle::resume`](crate::server::ServerHandle::resume), which leads from the second back
/// to the first.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Serving,
    /// New connections are refused.
    Draining,
    /// All connections are being closed.
    Stopping(Arc<Stop>),
    /// The deadline has passed: what is left is dropped.
    Aborting,
    Over,
}

/// The way in which a server stops.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) code: CloseCode,
    pub(crate) reason: Box<str>,
    pub(crate) until: Instant,
}

impl Phase {
    /// Returns whether the server shuts down, or has.
    pub(crate) const fn is_stopping(&self) -> bool {
        matches!(self, Self::Stopping(_) | Self::Aborting | Self::Over)
    }
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
            listening: watch::Sender::new(Listening::Open),
            pending: Arc::default(),
        }
    }

    /// Refuses new connections.
    pub(crate) fn drain(&self) {
        self.transition(|phase| matches!(phase, Phase::Serving), Phase::Draining);
    }

    /// Takes new connections again.
    pub(crate) fn resume(&self) {
        self.transition(|phase| matches!(phase, Phase::Draining), Phase::Serving);
    }

    /// Begins to stop; the first call counts.
    pub(crate) fn stop(&self, stop: Stop) {
        self.transition(|phase| !phase.is_stopping(), Phase::Stopping(Arc::new(stop)));
    }

    /// Ends the patience with what is still there.
    pub(crate) fn abort(&self) {
        self.transition(|phase| !matches!(phase, Phase::Over), Phase::Aborting);
    }

    /// Ends the server's life.
    pub(crate) fn end(&self) {
        self.transition(|_| true, Phase::Over);
        self.listen_no_more(Listening::Closed);
    }

    /// Notes how far the listeners are.
    pub(crate) fn listen_no_more(&self, to: Listening) {
        self.listening.send_if_modified(|listening| {
            let changes = *listening < to;
            if changes {
                *listening = to;
            }
            changes
        });
    }

    /// Waits until the listeners are that far.
    pub(crate) async fn listens_no_more(&self, wanted: Listening) {
        // as in `reached`
        let _ = self.listening.subscribe().wait_for(|listening| *listening >= wanted).await;
    }

    /// Goes over to another phase if the present one allows it.
    fn transition(&self, allows: impl FnOnce(&Phase) -> bool, to: Phase) {
        let changed = self.phase.send_if_modified(|phase| {
            let changes = allows(phase);
            if changes {
                *phase = to;
            }
            changes
        });
        if changed {
            self.pending.wake_all();
        }
    }

    /// Returns how the server is to stop, while it does.
    pub(crate) fn stopping(&self) -> Option<Arc<Stop>> {
        match &*self.phase.borrow() {
            Phase::Stopping(stop) => Some(Arc::clone(stop)),
            _ => None,
        }
    }

    /// Returns whether new connections are refused.
    pub(crate) fn is_draining(&self) -> bool {
        !matches!(&*self.phase.borrow(), Phase::Serving)
    }

    /// Returns whether the server shuts down, or has.
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.borrow().is_stopping()
    }

    /// Returns whether what is left is dropped.
    pub(crate) fn is_aborting(&self) -> bool {
        matches!(&*self.phase.borrow(), Phase::Aborting | Phase::Over)
    }

    /// Waits for a phase of which this is true.
    pub(crate) async fn reached(&self, is_it: impl Fn(&Phase) -> bool) {
        // the sender lives as long as `self`
        let _ = self.phase.subscribe().wait_for(|phase| is_it(phase)).await;
    }
}
