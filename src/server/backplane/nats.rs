use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr, Subscriber};
use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::Notify;
use tokio::task::consume_budget;
use tokio::time::timeout;

use super::connect::{ConnectError, Overflow};
use super::engine::{Backplane, EngineEvent, PublishError};
use super::jetstream::{JetStream, Slot};
use super::keep::{self, ANSWER_TIMEOUT, Connection, Loss, NO_ECHO, Task};
use super::link::Link;
use super::store::Store;
use super::subject;
use super::tls::BrokerTls;

/// NATS as the engine, by what is called Core NATS (feature `nats`): one connection of one server,
/// and a task that keeps it until this is dropped.
///
/// What is published while the connection is lost reaches no other server. It is made again after
/// at most 0.2 s at first and 5 s later, a random time of it, and then all subscriptions are. A
/// NATS that gives no answer for 10 s counts as lost.
///
/// What is sent to a [`SharedTopic`](crate::server::SharedTopic) is kept by JetStream, which has to
/// be switched on for that (`nats-server -js`); all else does without.
///
/// NATS itself ends a connection that does not take its messages fast enough (`max_pending`,
/// `write_deadline`), which is such a loss. A message longer than its `max_payload`, 1 MB by
/// default, is not published: [`PublishError::Length`]. Nor is one to a room whose name is empty,
/// or longer than 1000 bytes: [`PublishError::Subject`].
pub struct Nats {
    link: Arc<Link>,
    history: JetStream,
}

impl Nats {
    /// Connects, and keeps connected from then on: `nats://127.0.0.1`,
    /// `nats://user:password@host:4222`, `nats://token@host`, or `tls://host` for a certificate of
    /// an authority that the system trusts ([`connect_tls`](Self::connect_tls) for others); what
    /// has a meaning in URLs is percent-encoded in users and passwords. Several servers of one
    /// cluster are separated by commas: any that answers will do.
    ///
    /// ```no_run
    /// use sansws::server::Server;
    /// use sansws::server::backplane::Nats;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Nats::connect("nats://127.0.0.1").await?;
    /// Server::bind("ws://127.0.0.1:8181").await?.backplane(engine).run().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectError`], if the URL is wrong or the first connection fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the connection.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::open(url, None).await
    }

    /// Connects as [`connect`](Self::connect) does, with certificates of your own, and never
    /// without TLS, whatever the scheme of the URL. The files are read for each connection: new
    /// ones may take their place.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], [`ConnectError::Tls`] among them if a file cannot be used.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the connection.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn connect_tls(url: &str, tls: &BrokerTls) -> Result<Self, ConnectError> {
        Self::open(url, Some(tls.clone())).await
    }

    async fn open(url: &str, tls: Option<BrokerTls>) -> Result<Self, ConnectError> {
        let slot = Arc::<Slot>::default();
        let address = Address::new(url, tls, Arc::clone(&slot))?;
        let link = keep::connect::<Connected>(address).await?;
        let history = JetStream::new(slot, Arc::clone(&link));
        Ok(Self { link, history })
    }

    /// Sets the most bytes that may wait for NATS, and of what comes from it, for the server.
    /// Each message is charged its payload, its subject and 64 bytes. Default 16 MiB: some seconds
    /// of a busy server.
    #[must_use]
    pub fn max_queued(self, bytes: usize) -> Self {
        self.link.set_limit(bytes);
        self
    }

    /// Sets what to drop where more waits for NATS.
    #[must_use]
    pub fn overflow(self, overflow: Overflow) -> Self {
        self.link.set_overflow(overflow);
        self
    }
}

impl Backplane for Nats {
    fn publish(&self, subject: &str, message: Bytes) -> Result<(), PublishError> {
        if !is_subject(subject) {
            return Err(PublishError::Subject);
        }
        self.link.publish(subject, message)
    }

    fn subscribe(&self, subject: &str) {
        if is_subject(subject) {
            self.link.subscribe(subject, true);
        }
    }

    fn unsubscribe(&self, subject: &str) {
        if is_subject(subject) {
            self.link.subscribe(subject, false);
        }
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<EngineEvent> {
        self.link.poll_event(cx)
    }

    fn store(&self) -> Option<&dyn Store> {
        Some(&self.history)
    }

    fn close(&self) {
        self.link.close();
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (to, from) = self.link.queued();
        f.debug_struct("Nats").field("queued", &to).field("received", &from).finish_non_exhaustive()
    }
}

/// Returns whether NATS takes a subject: it has no empty parts.
fn is_subject(subject: &str) -> bool {
    subject.split('.').all(|part| !part.is_empty())
}

const ENGINE: &str = "NATS";
const EXAMPLE: &str = "nats://user:password@127.0.0.1:4222";

/// The longest subject: a line of the protocol has at most 4096 bytes by default, and a longer one
/// ends the connection. A name of 1000 bytes takes three times as many where all are encoded.
const MAX_SUBJECT: usize = 3900;

/// The time between the pings of the crate: it gives up a connection after three without an answer,
/// one that nobody holds any more as well.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// The most batches that are on their way without an answer.
const WINDOW: usize = 8;

/// The most messages that wait between the connection and the tasks that pass them on, for each
/// room. It is far more than one read has; what is over is counted as lost.
const SUBSCRIPTION_CAPACITY: usize = 1 << 20;

struct Address {
    servers: Vec<ServerAddr>,
    tls: Option<BrokerTls>,
    /// Where a history finds the connection.
    slot: Arc<Slot>,
}

impl Address {
    fn new(url: &str, tls: Option<BrokerTls>, slot: Arc<Slot>) -> Result<Self, ConnectError> {
        let servers: Result<Vec<ServerAddr>, _> = url.split(',').map(str::parse).collect();
        let servers = servers.map_err(|error| ConnectError::Url {
            engine: ENGINE,
            example: EXAMPLE,
            reason: error.to_string().into(),
        })?;
        Ok(Self { servers, tls, slot })
    }
}

struct Connected {
    client: Client,
    rooms: BTreeMap<String, Task>,
    probe: String,
    probes: u64,
    seen: Arc<Seen>,
    /// The batches that are on their way: the number of the probe behind each, and its messages.
    batches: VecDeque<(u64, u64)>,
    link: Arc<Link>,
    loss: Arc<Loss>,
    slot: Arc<Slot>,
    _probes: Task,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.slot.clear();
    }
}

/// The number of the last probe that has come back.
#[derive(Default)]
struct Seen {
    number: AtomicU64,
    noted: Notify,
}

impl Seen {
    fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    async fn reaches(&self, number: u64) {
        while self.number() < number {
            self.noted.notified().await;
        }
    }
}

impl Connection for Connected {
    type Address = Address;

    async fn open(address: &Address, link: &Arc<Link>) -> Result<Self, ConnectError> {
        let Address { servers, tls, slot } = address;
        let at: Vec<String> =
            servers.iter().map(|it| format!("{}:{}", it.host(), it.port())).collect();
        let at = at.join(",");
        let loss = Arc::<Loss>::default();
        let mut options = options(servers, link, &loss);
        if let Some(tls) = tls {
            tls.read(ENGINE, &at)?; // it says what is wrong with a file
            options = options.require_tls(true);
            if let Some(authorities) = tls.authorities() {
                options = options.add_root_certificates(authorities.into());
            }
            if let Some((certificate, key)) = tls.own() {
                options = options.add_client_certificate(certificate.into(), key.into());
            }
        }
        let client = options.connect(&servers[..]).await;
        let client = client.map_err(|error| explain(&at, &error))?;
        // what NATS says of itself has come by now
        link.set_lengths(client.server_info().max_payload, MAX_SUBJECT);
        let failed = |reason: String| ConnectError::Unreachable {
            engine: ENGINE,
            address: at.as_str().into(),
            reason: reason.into(),
        };
        let probe = keep::probe_subject();
        let subscriber = keep::answered(client.subscribe(probe.clone())).await.map_err(failed)?;
        let seen = Arc::<Seen>::default();
        let probes = Task::spawn(see(subscriber, Arc::clone(&seen)));
        let mut this = Self {
            client,
            rooms: BTreeMap::new(),
            probe,
            probes: 0,
            seen,
            batches: VecDeque::new(),
            link: Arc::clone(link),
            loss,
            slot: Arc::clone(slot),
            _probes: probes,
        };
        this.send_probe().await.map_err(failed)?;
        this.echo(this.probes).await.map_err(failed)?;
        slot.set(this.client.clone());
        Ok(this)
    }

    async fn change(&mut self, changes: Vec<(String, bool)>) -> Result<(), String> {
        for (subject, wanted) in changes {
            if !wanted {
                self.rooms.remove(&subject); // which unsubscribes
                continue;
            }
            let subscriber = keep::answered(self.client.subscribe(subject.clone())).await?;
            let task = Task::spawn(pass_on(subscriber, Arc::clone(&self.link)));
            self.rooms.insert(subject, task);
        }
        self.send_probe().await?;
        self.echo(self.probes).await
    }

    /// Each batch has a probe behind it, whose coming back confirms it.
    async fn publish(&mut self, messages: Vec<(String, Bytes)>, probe: bool) -> Result<(), String> {
        let seen = self.seen.number();
        self.batches.retain(|(number, _)| *number > seen);
        self.batches.push_back((self.probes + 1, messages.len() as u64));
        for (subject, message) in messages {
            keep::answered(self.client.publish(subject, message)).await?;
        }
        self.send_probe().await?;
        if probe {
            return self.echo(self.probes).await;
        }
        match self.batches.len().checked_sub(WINDOW).and_then(|at| self.batches.get(at)) {
            Some((number, _)) => self.echo(*number).await,
            None => Ok(()),
        }
    }

    fn unsure(&self) -> u64 {
        let seen = self.seen.number();
        self.batches.iter().filter(|(number, _)| *number > seen).map(|(_, count)| count).sum()
    }

    fn loss(&self) -> Arc<Loss> {
        Arc::clone(&self.loss)
    }
}

impl Connected {
    async fn send_probe(&mut self) -> Result<(), String> {
        self.probes += 1;
        let number = self.probes.to_string();
        keep::answered(self.client.publish(self.probe.clone(), number.into())).await
    }

    /// Waits until a probe is back: NATS has done everything before it. As long as anything comes,
    /// it may be behind that.
    async fn echo(&self, number: u64) -> Result<(), String> {
        let received = || self.client.statistics().in_messages.load(Ordering::Relaxed);
        let mut before = received();
        while timeout(ANSWER_TIMEOUT, self.seen.reaches(number)).await.is_err() {
            if received() == before {
                return Err(self.loss.explain(NO_ECHO));
            }
            before = received();
        }
        Ok(())
    }
}

async fn next(subscriber: &mut Subscriber) -> Option<async_nats::Message> {
    consume_budget().await;
    poll_fn(|cx| Pin::new(&mut *subscriber).poll_next(cx)).await
}

async fn see(mut subscriber: Subscriber, seen: Arc<Seen>) {
    while let Some(message) = next(&mut subscriber).await {
        let number = core::str::from_utf8(&message.payload).ok().and_then(|it| it.parse().ok());
        seen.number.fetch_max(number.unwrap_or(0), Ordering::Relaxed);
        seen.noted.notify_one();
    }
}

async fn pass_on(mut subscriber: Subscriber, link: Arc<Link>) {
    while let Some(message) = next(&mut subscriber).await {
        link.incoming(message.subject.as_str().into(), message.payload);
    }
}

/// One connection, which is not made again: what is subscribed to on the next one, and when it is
/// made, is decided here. The crate makes one attempt for each server nevertheless, and ends it as
/// soon as it finds that nobody needs it; it is put off by a random time.
fn options(servers: &[ServerAddr], link: &Arc<Link>, loss: &Arc<Loss>) -> ConnectOptions {
    let (link, told) = (Arc::clone(link), Arc::clone(loss));
    let (asked, first) = (AtomicUsize::new(0), servers.len());
    let options = ConnectOptions::new()
        .name("sansws")
        .connection_timeout(ANSWER_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .ignore_discovered_servers()
        .max_reconnects(servers.len())
        .reconnect_delay_callback(move |_| {
            // it is asked for each server that is tried
            if asked.fetch_add(1, Ordering::Relaxed) < first {
                Duration::ZERO
            } else {
                PING_INTERVAL.mul_f64(keep::random())
            }
        })
        .event_callback(move |event| {
            match event {
                Event::SlowConsumer(_) => link.lost(1),
                Event::ServerError(error) => told.hint(&error.to_string()),
                Event::Disconnected | Event::Closed => {
                    told.note(&told.explain("it has closed the connection"));
                }
                _ => {}
            }
            core::future::ready(())
        });
    let user = servers.iter().find_map(|it| it.username().map(|user| (user, it.password())));
    let decoded = |text: &str| subject::decode(text).unwrap_or_else(|| text.into());
    match user {
        Some((user, Some(password))) => options.user_and_password(decoded(user), decoded(password)),
        Some((token, None)) => options.token(decoded(token)),
        None => options,
    }
}

fn explain(address: &str, error: &async_nats::ConnectError) -> ConnectError {
    let reason = error.to_string();
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            let (address, reason) = (address.into(), reason.into());
            ConnectError::Unauthorized { engine: ENGINE, example: EXAMPLE, address, reason }
        }
        ConnectErrorKind::Tls => {
            let (address, reason) = (address.into(), reason.into());
            ConnectError::Tls { engine: ENGINE, address, reason }
        }
        _ => ConnectError::of_connection(ENGINE, address, &reason),
    }
}
