use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::{Arc, Weak};
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::acceptor::Acceptor;
use super::network::Network;
use super::pending::{HandshakePermit, Pending};
use crate::wire::CloseCode;

/// What the accept loop, the handshakes and the handles know of each other.
pub(crate) struct Control {
    pub(crate) phase: watch::Sender<Phase>,
    /// [`Server::run`](crate::server::Server::run) has been polled and has not ended.
    pub(crate) running: AtomicBool,
    /// While the server runs.
    pub(crate) acceptor: OnceLock<Weak<Acceptor>>,
    /// Handshakes and connections.
    tasks: AtomicUsize,
    no_tasks: Notify,
    /// Handshakes and requests under way.
    pub(crate) pending: Pending,
    /// Told whenever a pending connection or a task is gone, for the accept loop.
    pub(crate) left: Notify,
    /// Connections, from before their handler is asked.
    connections: AtomicUsize,
    /// How many there are of each network, while somebody limits that.
    networks: Mutex<BTreeMap<Network, usize>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Serving,
    /// New connections are refused.
    Draining,
    Stopping(Arc<Stop>),
    /// The deadline has passed.
    Aborting,
    Over,
}

impl Phase {
    /// Whether the server shuts down, or has.
    pub(crate) fn is_stopping(&self) -> bool {
        !matches!(self, Self::Serving | Self::Draining)
    }
}

/// What newcomers find full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Most pending connections.
    pub(crate) pending: usize,
    /// Most sockets, pending connections and others.
    pub(crate) sockets: usize,
}

#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) code: CloseCode,
    pub(crate) reason: Box<str>,
    pub(crate) until: Instant,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
            running: AtomicBool::new(false),
            acceptor: OnceLock::new(),
            tasks: AtomicUsize::new(0),
            no_tasks: Notify::new(),
            pending: Pending::default(),
            left: Notify::new(),
            connections: AtomicUsize::new(0),
            networks: Mutex::default(),
        }
    }

    /// Why the server is to stop, if it is.
    pub(crate) fn stop(&self) -> Option<Arc<Stop>> {
        match &*self.phase.borrow() {
            Phase::Stopping(stop) => Some(Arc::clone(stop)),
            _ => None,
        }
    }

    /// Whether new connections are refused.
    pub(crate) fn is_draining(&self) -> bool {
        !matches!(&*self.phase.borrow(), Phase::Serving)
    }

    /// Whether everything is.
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase.borrow().is_stopping()
    }

    /// Goes over to another phase, if the present one is such that it may.
    pub(crate) fn change(&self, may: impl FnOnce(&Phase) -> bool, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let changes = may(phase);
            if changes {
                *phase = to;
            }
            changes
        });
    }

    /// Until a phase is reached for which this is true.
    pub(crate) async fn reached(&self, is_it: impl Fn(&Phase) -> bool) {
        // the sender lives as long as `self`
        let _ = self.phase.subscribe().wait_for(|phase| is_it(phase)).await;
    }

    /// Until all handshakes and connections are over.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.no_tasks.notified();
            if self.tasks.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Counts a task until the guard is dropped.
    pub(crate) fn task(self: &Arc<Self>) -> TaskGuard {
        self.tasks.fetch_add(1, Ordering::Relaxed);
        TaskGuard(Arc::clone(self))
    }

    /// A place for a newcomer, as soon as there is one.
    pub(crate) async fn pending(self: &Arc<Self>, ip: IpAddr, room: Room) -> HandshakePermit {
        loop {
            match HandshakePermit::new(self, Network::of(ip), true, |len| self.is_full(len, room)) {
                Ok(pending) => return pending,
                Err(again) => {
                    // either is a reason to look
                    let _ = timeout_at(again, self.left.notified()).await;
                }
            }
        }
    }

    /// The same for one who cannot wait.
    pub(crate) fn pending_now(self: &Arc<Self>, ip: IpAddr, room: Room) -> Option<HandshakePermit> {
        HandshakePermit::new(self, Network::of(ip), false, |len| self.is_full(len, room)).ok()
    }

    fn is_full(&self, pending: usize, room: Room) -> bool {
        pending >= room.pending || self.tasks.load(Ordering::Relaxed) >= room.sockets
    }

    /// A place for a connection, unless there are `max`.
    pub(crate) fn place(self: &Arc<Self>, max: usize) -> Option<ConnectionPermit> {
        take(&self.connections, max)
            .then(|| ConnectionPermit { control: Arc::clone(self), network: None })
    }

    fn networks(&self) -> MutexGuard<'_, BTreeMap<Network, usize>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(places: &AtomicUsize, max: usize) -> bool {
    // A number and nothing else: what it counts is not read through it.
    places
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            (taken < max).then_some(taken + 1)
        })
        .is_ok()
}

/// A task that [`Control::idle`] waits for.
pub(crate) struct TaskGuard(Arc<Control>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        // What the task did happens before what whoever waits for its end does.
        if self.0.tasks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.no_tasks.notify_waiters();
        }
        self.0.left.notify_one();
    }
}

/// A connection, open or about to be.
pub(crate) struct ConnectionPermit {
    control: Arc<Control>,
    network: Option<Network>,
}

impl ConnectionPermit {
    /// Takes a place among the connections of the same network too, unless there are `max`.
    pub(crate) fn in_network_of(&mut self, ip: IpAddr, max: usize) -> bool {
        let network = Network::of(ip);
        let mut networks = self.control.networks();
        let taken = networks.get(&network).copied().unwrap_or_default();
        if taken >= max {
            return false;
        }
        networks.insert(network, taken + 1);
        drop(networks);
        self.network = Some(network);
        true
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.control.connections.fetch_sub(1, Ordering::Relaxed);
        let Some(network) = self.network.take() else { return };
        let mut networks = self.control.networks();
        if let Entry::Occupied(mut entry) = networks.entry(network) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
