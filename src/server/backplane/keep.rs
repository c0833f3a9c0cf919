use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::hash::BuildHasher;
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Poll;
use core::time::Duration;
use std::hash::RandomState;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connect::ConnectError;
use super::link::{Link, Work};

/// A connection to an engine: made anew after each loss, by [`keep`].
pub(super) trait Connection: Sized + Send + 'static {
    /// How to connect.
    type Address: Send + Sync + 'static;

    /// Connects. What comes goes to the link from then on.
    fn open(
        address: &Self::Address,
        link: &Arc<Link>,
    ) -> impl Future<Output = Result<Self, ConnectError>> + Send;

    /// Subscribes and unsubscribes. Done when the engine has done it.
    fn change(
        &mut self,
        changes: Vec<(String, bool)>,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// Publishes messages, in this order; with `probe`, a message to itself as well, which shows
    /// that the whole way is there. Fails if too many of these are missing.
    fn publish(
        &mut self,
        messages: Vec<(String, Bytes)>,
        probe: bool,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// Returns how many messages were published and are not known to have arrived.
    fn unsure(&self) -> u64;

    /// Where the end of the connection is noted.
    fn loss(&self) -> Arc<Loss>;
}

/// The longest wait for a connection, or for an answer: an engine that takes longer serves nobody.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long what waits may still leave when a server ends: an engine that serves anybody takes a
/// fraction of it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The time between two probes of the whole way, and how many may be missing.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
#[cfg(feature = "redis")]
pub(super) const MISSING_PROBES: u32 = 2;

/// Connects, and keeps a connection until the link is closed, and what waits there then has left.
pub(super) async fn connect<C: Connection>(address: C::Address) -> Result<Arc<Link>, ConnectError> {
    let link = Arc::new(Link::new());
    let first = C::open(&address, &link).await?;
    let theirs = Arc::clone(&link);
    tokio::spawn(async move {
        let ending = async {
            theirs.closed().await;
            sleep(LAST_WORDS).await;
        };
        whichever(keep(&theirs, address, first), ending).await;
    });
    Ok(link)
}

async fn keep<C: Connection>(link: &Arc<Link>, address: C::Address, first: C) {
    let mut waits = BackOff::new();
    let mut connection = Ok(first);
    loop {
        let (reason, unsure) = match connection {
            Ok(connection) => serve(link, connection, &mut waits).await,
            Err(error) => (ConnectError::to_string(&error), 0),
        };
        if link.is_closed() {
            return;
        }
        link.down(&reason, unsure);
        sleep(waits.next()).await;
        connection = C::open(&address, link).await;
    }
}

/// Passes messages on until the connection is lost. Returns the reason, and how many messages may
/// not have arrived.
async fn serve<C: Connection>(
    link: &Link,
    mut connection: C,
    waits: &mut BackOff,
) -> (String, u64) {
    let loss = connection.loss();
    let held = AtomicU64::new(0);
    let reason = whichever(loss.wait(), send(link, &mut connection, &held, waits)).await;
    (reason, connection.unsure() + held.load(Ordering::Relaxed))
}

/// Waits for whichever comes first: of two that are there, the one that is asked first.
async fn whichever<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => other.as_mut().poll(cx),
    })
    .await
}

/// Passes on what waits in the link. `held` are the messages that were taken from it and not yet
/// given to the connection.
async fn send<C: Connection>(
    link: &Link,
    connection: &mut C,
    held: &AtomicU64,
    waits: &mut BackOff,
) -> String {
    if let Err(reason) = connection.change(link.start()).await {
        return reason;
    }
    link.up();
    *waits = BackOff::new();
    let mut next_probe = Instant::now();
    loop {
        let work = timeout_at(next_probe, link.work()).await;
        let Some(work) = work.unwrap_or_else(|_| Some(Work::default())) else {
            // the probe comes behind all else: when that is there, everything is
            return connection.publish(Vec::new(), true).await.err().unwrap_or_default();
        };
        let Work { changes, messages } = work;
        held.store(messages.len() as u64, Ordering::Relaxed);
        if !changes.is_empty()
            && let Err(reason) = connection.change(changes).await
        {
            return reason;
        }
        held.store(0, Ordering::Relaxed);
        let probe = Instant::now() >= next_probe;
        if probe {
            next_probe = Instant::now() + PROBE_INTERVAL;
        }
        if (probe || !messages.is_empty())
            && let Err(reason) = connection.publish(messages, probe).await
        {
            return reason;
        }
    }
}

/// Waits for an answer, and no longer than one takes.
pub(super) async fn answered<T, E: ToString>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(NO_ANSWER.into()),
    }
}

pub(super) const NO_ANSWER: &str = "no answer in time";
pub(super) const NO_ECHO: &str = "it does not send what is published";

/// A subject of which nobody else hears, for probes.
pub(super) fn probe_subject() -> String {
    alloc::format!("sansws.probe.{:016x}", RandomState::new().hash_one(0))
}

/// The end of a connection, noted by whoever sees it first.
#[derive(Default)]
pub(super) struct Loss {
    reason: Mutex<Option<String>>,
    /// What the engine has said last, and what may be the cause.
    #[cfg(feature = "nats")]
    hint: Mutex<Option<String>>,
    noted: Notify,
}

#[cfg(feature = "nats")]
impl Loss {
    pub(super) fn hint(&self, hint: &str) {
        *self.hint.lock().unwrap_or_else(PoisonError::into_inner) = Some(hint.into());
    }

    /// Returns the reason with the hint.
    pub(super) fn explain(&self, reason: &str) -> String {
        match &*self.hint.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(hint) => alloc::format!("{reason}: {hint}"),
            None => reason.into(),
        }
    }
}

impl Loss {
    pub(super) fn note(&self, reason: &str) {
        let mut first = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| reason.into());
        drop(first);
        self.noted.notify_one();
    }

    async fn wait(&self) -> String {
        loop {
            let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(reason) = reason {
                return reason;
            }
            self.noted.notified().await;
        }
    }
}

/// A task that ends with what holds this.
pub(super) struct Task(AbortHandle);

impl Task {
    pub(super) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The waits between attempts to connect: random times below a limit that doubles, so that servers
/// that lost the engine together do not come back together.
struct BackOff(Duration);

impl BackOff {
    const fn new() -> Self {
        Self(Duration::from_millis(200))
    }

    fn next(&mut self) -> Duration {
        let limit = self.0;
        self.0 = (limit * 2).min(Duration::from_secs(5));
        limit.mul_f64(random())
    }
}

/// A number from 0 to 1.
pub(super) fn random() -> f64 {
    (RandomState::new().hash_one(0) >> 32) as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_differ() {
        let mut longest = [Duration::ZERO; 7];
        let limits = [200, 400, 800, 1600, 3200, 5000, 5000].map(Duration::from_millis);
        for _ in 0..200 {
            let mut waits = BackOff::new();
            for (limit, longest) in limits.iter().zip(&mut longest) {
                let wait = waits.next();
                assert!(wait <= *limit, "{wait:?} of {limit:?}");
                *longest = wait.max(*longest);
            }
        }
        // that all 200 are in the lower half happens once in 2^200
        assert!(longest.iter().zip(&limits).all(|(longest, limit)| *longest * 2 > *limit));
    }
}
