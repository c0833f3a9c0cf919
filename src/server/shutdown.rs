use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::hub::Hub;
use crate::proto::SendError;
use crate::wire::{CloseCode, CloseFrame};

/// Ends a server from anywhere. Cloning it costs a reference count.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) control: Arc<Control>,
    pub(super) hub: Hub,
}

impl ServerHandle {
    /// Shuts the server down: it accepts nothing more, answers handshakes under way with status 503,
    /// closes all connections with this code and reason, and waits for them and their handlers up to
    /// the deadline. What is left then is cut off. [`Server::run`](super::Server::run) returns after
    /// that, and so does this.
    ///
    /// [`CloseCode::GOING_AWAY`] is the usual code, [`CloseCode::SERVICE_RESTART`] says that coming
    /// back helps. When it is called again, the first call counts; all of them return when it is over.
    /// A server that does not run yet will not run.
    ///
    /// # Errors
    ///
    /// [`SendError::ReasonTooLong`]; nothing was done then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future once it was polled leaves a server that shuts down.
    pub async fn shutdown(
        &self,
        code: CloseCode,
        reason: &str,
        deadline: Duration,
    ) -> Result<(), SendError> {
        let len = reason.len();
        if len > CloseFrame::MAX_REASON_LEN {
            return Err(SendError::ReasonTooLong { len });
        }
        self.control.phase.send_if_modified(|phase| {
            let first = matches!(phase, Phase::Serving);
            if first {
                let until = Instant::now() + deadline;
                *phase = Phase::Stopping(Arc::new(Stop { code, reason: reason.into(), until }));
            }
            first
        });
        if self.control.running.load(Ordering::SeqCst) {
            self.control.reached(|phase| matches!(phase, Phase::Over)).await;
        }
        Ok(())
    }

    /// All clients of the server.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("hub", &self.hub).finish_non_exhaustive()
    }
}

/// What the accept loop, the handshakes and the handles know of each other.
pub(super) struct Control {
    pub(super) phase: watch::Sender<Phase>,
    /// [`Server::run`](super::Server::run) has been polled and has not ended.
    pub(super) running: AtomicBool,
    /// Handshakes and connections.
    tasks: AtomicUsize,
    no_tasks: Notify,
    /// Handshakes under way.
    pending: AtomicUsize,
    /// Connections, from before their handler is asked.
    connections: AtomicUsize,
}

#[derive(Clone, Debug)]
pub(super) enum Phase {
    Serving,
    Stopping(Arc<Stop>),
    /// The deadline has passed.
    Cut,
    Over,
}

#[derive(Debug)]
pub(super) struct Stop {
    pub(super) code: CloseCode,
    pub(super) reason: Box<str>,
    pub(super) until: Instant,
}

impl Control {
    pub(super) fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
            running: AtomicBool::new(false),
            tasks: AtomicUsize::new(0),
            no_tasks: Notify::new(),
            pending: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        }
    }

    /// Why the server is to stop, if it is.
    pub(super) fn stop(&self) -> Option<Arc<Stop>> {
        match &*self.phase.borrow() {
            Phase::Stopping(stop) => Some(Arc::clone(stop)),
            _ => None,
        }
    }

    pub(super) fn is_serving(&self) -> bool {
        matches!(&*self.phase.borrow(), Phase::Serving)
    }

    /// Until a phase is reached for which this is true.
    pub(super) async fn reached(&self, is_it: impl Fn(&Phase) -> bool) {
        // the sender lives as long as `self`
        let _ = self.phase.subscribe().wait_for(|phase| is_it(phase)).await;
    }

    /// Until all handshakes and connections are over.
    pub(super) async fn idle(&self) {
        loop {
            let notified = self.no_tasks.notified();
            if self.tasks.load(Ordering::SeqCst) == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Counts a task until the guard is dropped.
    pub(super) fn task(self: &Arc<Self>) -> TaskGuard {
        self.tasks.fetch_add(1, Ordering::SeqCst);
        TaskGuard(Arc::clone(self))
    }

    /// A place for a handshake, unless there are `max`.
    pub(super) fn pending(self: &Arc<Self>, max: usize) -> Option<PendingGuard> {
        take(&self.pending, max).then(|| PendingGuard(Arc::clone(self)))
    }

    /// A place for a connection, unless there are `max`.
    pub(super) fn place(self: &Arc<Self>, max: usize) -> Option<Place> {
        take(&self.connections, max).then(|| Place(Arc::clone(self)))
    }
}

fn take(places: &AtomicUsize, max: usize) -> bool {
    places
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
            (taken < max).then_some(taken + 1)
        })
        .is_ok()
}

/// A task that [`Control::idle`] waits for.
pub(super) struct TaskGuard(Arc<Control>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.no_tasks.notify_waiters();
        }
    }
}

/// A handshake under way.
pub(super) struct PendingGuard(Arc<Control>);

impl Drop for PendingGuard {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection, open or about to be.
pub(super) struct Place(Arc<Control>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::SeqCst);
    }
}
