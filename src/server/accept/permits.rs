use alloc::collections::BTreeMap;
use alloc::collections::btree_map;
use alloc::sync::Arc;
use core::net::IpAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::Context;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::network::Network;
use super::pending::{Pending, Place, Stage};
use crate::config::ConfigError;
use crate::server::client::rate::charge;

/// The permits of a server: how many handshakes, connections and tasks there may be, and are. Each
/// is given back when its guard is dropped.
///
/// Three locks, never held together: that of [`Pending`], that of the networks and that of their
/// rates.
pub(crate) struct Permits {
    capacity: Capacity,
    /// Handshakes and requests under way.
    pending: Arc<Pending>,
    /// Handshakes and connections: each is a task with a socket.
    tasks: AtomicUsize,
    no_tasks: Notify,
    /// Told whenever a handshake or a task has ended, for the accept loop.
    freed: Notify,
    /// Connections, from before their handler is asked.
    connections: AtomicUsize,
    /// Connections of each network, while these are limited.
    networks: Mutex<BTreeMap<Network, usize>>,
    /// The handshakes that networks have used up, while these are limited.
    rates: Mutex<Rates>,
}

/// The buckets of [`Capacity::handshakes_per_second`], as the times at which they will be full
/// again. Those that are full are removed when there are twice as many as were left the last time:
/// so there are about as many as networks have come in the last second.
#[derive(Default)]
struct Rates {
    full: BTreeMap<Network, Instant>,
    /// The length from which on those are removed that are full.
    limit: usize,
}

impl Rates {
    /// Counts a handshake; `false`, and not counted, if it is one too many.
    fn admit(&mut self, network: Network, rate: u32, now: Instant) -> bool {
        if self.full.len() >= self.limit {
            self.full.retain(|_, full| *full > now);
            self.limit = (2 * self.full.len()).max(MIN_RATES);
        }
        let mut full = self.full.get(&network).copied().unwrap_or(now);
        let is_within = charge(&mut full, Some(rate), 1, BURST, now).is_zero();
        if is_within {
            self.full.insert(network, full);
        }
        is_within
    }
}

/// The time whose handshakes of a network may come at once: the tabs of a browser that is started.
const BURST: Duration = Duration::from_secs(1);

/// Below this the list costs nothing worth saving.
const MIN_RATES: usize = 1024;

/// The limits of [`Permits`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// The most handshakes and requests under way; at least 1.
    pub(crate) pending: usize,
    /// The most sockets, those of handshakes and of connections.
    pub(crate) sockets: usize,
    /// The most connections.
    pub(crate) connections: usize,
    /// The most connections of one network.
    pub(crate) per_network: Option<usize>,
    /// The most handshakes of one network per second.
    pub(crate) handshakes_per_second: Option<u32>,
}

impl Capacity {
    pub(crate) const fn check(&self) -> Result<(), ConfigError> {
        match self.handshakes_per_second {
            Some(0) => Err(ConfigError(
                "max_handshakes_per_ip must be at least 1 per second, or nobody could connect; \
                 leave it out for no limit",
            )),
            _ => Ok(()),
        }
    }
}

/// The limit that stands against a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Server,
    Route,
    Network,
    /// That on the handshakes of a network per second.
    Rate,
}

impl Permits {
    pub(crate) fn new(capacity: Capacity, pending: Arc<Pending>) -> Self {
        Self {
            capacity,
            pending,
            tasks: AtomicUsize::new(0),
            no_tasks: Notify::new(),
            freed: Notify::new(),
            connections: AtomicUsize::new(0),
            networks: Mutex::default(),
            rates: Mutex::default(),
        }
    }

    /// Waits for a permit for a handshake.
    pub(crate) async fn handshake(self: &Arc<Self>, ip: IpAddr) -> HandshakePermit {
        let network = Network::of(ip);
        loop {
            match self.pending.enter(network, true, |len| self.is_full(len)) {
                Ok(place) => return self.handshake_permit(place),
                Err(again) => {
                    // either is a reason to look
                    let _ = timeout_at(again, self.freed.notified()).await;
                }
            }
        }
    }

    /// Returns a permit for a handshake if there is one at once.
    pub(crate) fn try_handshake(self: &Arc<Self>, ip: IpAddr) -> Option<HandshakePermit> {
        let network = Network::of(ip);
        let place = self.pending.enter(network, false, |len| self.is_full(len)).ok()?;
        Some(self.handshake_permit(place))
    }

    fn handshake_permit(self: &Arc<Self>, place: Place) -> HandshakePermit {
        HandshakePermit { permits: Arc::clone(self), place }
    }

    fn is_full(&self, pending: usize) -> bool {
        // Relaxed: a number that is out of date lets one socket more or less in, and descriptors
        // are kept in reserve for that.
        let tasks = self.tasks.load(Ordering::Relaxed);
        pending >= self.capacity.pending || tasks >= self.capacity.sockets
    }

    /// Returns the number of handshakes and requests under way.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    fn enter_network(&self, network: Network, max: usize) -> Result<Network, Full> {
        let mut networks = self.networks();
        let taken = networks.get(&network).copied().unwrap_or_default();
        if taken >= max {
            return Err(Full::Network);
        }
        networks.insert(network, taken + 1);
        Ok(network)
    }

    fn leave_network(&self, network: Network) {
        if let btree_map::Entry::Occupied(mut entry) = self.networks().entry(network) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    /// Counts a task until the guard is dropped.
    pub(crate) fn task(self: &Arc<Self>) -> TaskGuard {
        self.tasks.fetch_add(1, Ordering::Relaxed); // see `TaskGuard::drop`
        TaskGuard(Arc::clone(self))
    }

    /// Waits until all handshakes and connections are over.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.no_tasks.notified();
            // Acquire, with the release of the last guard: what the tasks did has happened before.
            if self.tasks.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Waits until the handshakes and requests that have begun have their answers, and this long
    /// for those that have not. In place of the accept loop, which is over.
    pub(crate) async fn answered(&self, grace: Duration) {
        let _ = timeout(grace, async {
            while self.pending.len() > 0 {
                self.freed.notified().await;
            }
        })
        .await;
        while self.pending.has_begun() {
            self.freed.notified().await;
        }
    }

    /// Makes a handshake that is idle give way, and waits until one has ended or this time has
    /// passed. For the accept loop, which is out of descriptors.
    pub(crate) async fn make_way(&self, time: Duration) {
        match self.pending.make_way() {
            true => drop(timeout(time, self.freed.notified()).await),
            false => sleep(time).await,
        }
    }

    fn networks(&self) -> MutexGuard<'_, BTreeMap<Network, usize>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit of a handshake or request under way.
pub(crate) struct HandshakePermit {
    permits: Arc<Permits>,
    place: Place,
}

impl HandshakePermit {
    /// Notes how far the handshake has come. A new one keeps its permit until this says otherwise.
    pub(crate) fn advance(&self, stage: Stage) {
        self.permits.pending.advance(self.place, stage);
    }

    /// Returns whether the handshake has to give way. If not, its task is woken when it has to, and
    /// when the server goes over to another phase of its life.
    pub(crate) fn listen(&self, cx: &Context<'_>) -> bool {
        self.permits.pending.listen(self.place, cx)
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.permits.pending.remove(self.place);
        self.permits.freed.notify_one();
    }
}

/// The connections of one route.
pub(crate) struct Places {
    permits: Arc<Permits>,
    /// The most of them.
    max: usize,
    /// Those there are, from before their handler is asked.
    taken: AtomicUsize,
}

impl Places {
    pub(crate) fn new(permits: &Arc<Permits>, max: usize) -> Self {
        Self { permits: Arc::clone(permits), max, taken: AtomicUsize::new(0) }
    }

    /// Returns a permit for a connection, or the limit that stands against it.
    pub(crate) fn connection(self: &Arc<Self>, ip: IpAddr) -> Result<ConnectionPermit, Full> {
        let permits = &self.permits;
        if let Some(rate) = permits.capacity.handshakes_per_second {
            let mut rates = permits.rates.lock().unwrap_or_else(PoisonError::into_inner);
            if !rates.admit(Network::of(ip), rate, Instant::now()) {
                return Err(Full::Rate);
            }
        }
        if !take(&permits.connections, permits.capacity.connections) {
            return Err(Full::Server);
        }
        if !take(&self.taken, self.max) {
            give_back(&permits.connections);
            return Err(Full::Route);
        }
        let mut permit = ConnectionPermit { places: Arc::clone(self), network: None };
        if let Some(max) = permits.capacity.per_network {
            permit.network = Some(permits.enter_network(Network::of(ip), max)?);
        }
        Ok(permit)
    }
}

/// Counts one more, if that is not one too many.
fn take(taken: &AtomicUsize, max: usize) -> bool {
    // Relaxed: a number and nothing else; what it counts is not read through it.
    let one_more = |taken| (taken < max).then_some(taken + 1);
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
}

fn give_back(taken: &AtomicUsize) {
    taken.fetch_sub(1, Ordering::Relaxed); // as when it was taken
}

/// The permit of a connection, open or about to be.
pub(crate) struct ConnectionPermit {
    places: Arc<Places>,
    /// The network that counts it too.
    network: Option<Network>,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let permits = &self.places.permits;
        give_back(&permits.connections);
        give_back(&self.places.taken);
        if let Some(network) = self.network {
            permits.leave_network(network);
        }
    }
}

/// A task that [`Permits::idle`] waits for.
pub(crate) struct TaskGuard(Arc<Permits>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        // AcqRel: all that any task did happens before what follows on the end of the last.
        if self.0.tasks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.no_tasks.notify_waiters();
        }
        self.0.freed.notify_one();
    }
}
