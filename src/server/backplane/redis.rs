use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};

use ::redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use ::redis::{AsyncConnectionConfig, Client, ErrorKind, Pipeline, RedisError};
use bytes::Bytes;
use futures_core::Stream;
use tokio::task::consume_budget;

use super::connect::{ConnectError, Overflow};
use super::engine::{Backplane, EngineEvent, PublishError};
use super::keep::{self, ANSWER_TIMEOUT, Connection, Loss, MISSING_PROBES, NO_ECHO, Task};
use super::link::Link;
use super::store::Store;
use super::streams::{Slot, Streams};

/// Redis or Valkey as the engine, by its Pub/Sub (feature `redis`): two connections of one server,
/// and a task that keeps them until this is dropped.
///
/// What is published while the connection is lost reaches no other server. It is made again after
/// at most 0.2 s at first and 5 s later, a random time of it, and then all subscriptions are. A
/// Redis that gives no answer for 10 s, or passes nothing on for some 15 s, counts as lost.
///
/// Redis itself ends a connection that does not take its messages fast enough
/// (`client-output-buffer-limit pubsub`), which is such a loss.
///
/// What is sent to a [`SharedTopic`](crate::server::SharedTopic) is kept in a stream, by scripts
/// on the connection for publishing: nothing of it is lost with the connection. It takes Redis 5.
pub struct Redis {
    link: Arc<Link>,
    streams: Streams,
}

impl Redis {
    /// Connects, and keeps connected from then on: `redis://127.0.0.1`,
    /// `redis://user:password@host:6379`, or `unix:///run/redis.sock`; with the feature `rustls`
    /// also `rediss://host`, for a certificate of an authority that the system trusts
    /// (`connect_tls` for others). A database, `/1`, is where histories are; it has no part in
    /// Pub/Sub.
    ///
    /// ```no_run
    /// use sansws::server::Server;
    /// use sansws::server::backplane::Redis;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Redis::connect("redis://127.0.0.1").await?;
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
        let client = Client::open(url).map_err(|error| ConnectError::Url {
            engine: ENGINE,
            example: EXAMPLE,
            reason: error.to_string().into(),
        })?;
        Self::open(client).await
    }

    /// Connects as [`connect`](Self::connect) does, with certificates of your own; the URL is one
    /// of `rediss://`. The files are read once.
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
    #[cfg(feature = "rustls")]
    pub async fn connect_tls(url: &str, tls: &super::BrokerTls) -> Result<Self, ConnectError> {
        use ::redis::{ClientTlsConfig, TlsCertificates};

        let is_wrong = |error: RedisError| ConnectError::Url {
            engine: ENGINE,
            example: TLS_EXAMPLE,
            reason: error.to_string().into(),
        };
        let plain = Client::open(url).map_err(is_wrong)?;
        let at = plain.get_connection_info().addr().to_string();
        let files = tls.read(ENGINE, &at)?;
        let own =
            files.own.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        let certificates = TlsCertificates { client_tls: own, root_cert: files.authorities };
        let client = Client::build_with_tls(url, certificates).map_err(|error| {
            if error.kind() == ErrorKind::InvalidClientConfig {
                return is_wrong(error);
            }
            let reason = error.to_string().into();
            ConnectError::Tls { engine: ENGINE, address: at.into(), reason }
        })?;
        Self::open(client).await
    }

    async fn open(client: Client) -> Result<Self, ConnectError> {
        let slot = Slot::default();
        let link = keep::connect::<Connections>((client, slot.clone())).await?;
        let streams = Streams::new(slot, Arc::clone(&link));
        Ok(Self { link, streams })
    }

    /// Sets the most bytes that may wait for Redis, and of what comes from it, for the server.
    /// Each message is charged its payload, its subject and 64 bytes. Default 16 MiB: some seconds
    /// of a busy server.
    #[must_use]
    pub fn max_queued(self, bytes: usize) -> Self {
        self.link.set_limit(bytes);
        self
    }

    /// Sets what to drop where more waits for Redis.
    #[must_use]
    pub fn overflow(self, overflow: Overflow) -> Self {
        self.link.set_overflow(overflow);
        self
    }
}

impl Backplane for Redis {
    fn publish(&self, subject: &str, message: Bytes) -> Result<(), PublishError> {
        self.link.publish(subject, message)
    }

    fn subscribe(&self, subject: &str) {
        self.link.subscribe(subject, true);
    }

    fn unsubscribe(&self, subject: &str) {
        self.link.subscribe(subject, false);
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<EngineEvent> {
        self.link.poll_event(cx)
    }

    fn store(&self) -> Option<&dyn Store> {
        Some(&self.streams)
    }

    fn close(&self) {
        self.link.close();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (to, from) = self.link.queued();
        f.debug_struct("Redis")
            .field("queued", &to)
            .field("received", &from)
            .finish_non_exhaustive()
    }
}

const ENGINE: &str = "Redis";
const EXAMPLE: &str = "redis://user:password@127.0.0.1:6379";
#[cfg(feature = "rustls")]
const TLS_EXAMPLE: &str = "rediss://user:password@127.0.0.1:6379";

/// The most channels of one command: some 30 KB.
const SUBSCRIBE_AT_ONCE: usize = 1000;

/// One connection to publish on, and another that subscribes: one that subscribes can do nothing
/// else in RESP2, and a command on it would wait behind all that comes.
struct Connections {
    publish: MultiplexedConnection,
    subscribe: PubSubSink,
    unsure: u64,
    probe: String,
    /// How many messages have come, probes among them, and how many had at the last probe.
    received: Arc<AtomicU64>,
    received_before: u64,
    /// For how many probes in a row nothing has come.
    missing: u32,
    loss: Arc<Loss>,
    slot: Slot,
    _receive: Task,
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.slot.clear();
    }
}

impl Connection for Connections {
    type Address = (Client, Slot);

    async fn open((client, slot): &(Client, Slot), link: &Arc<Link>) -> Result<Self, ConnectError> {
        let address = client.get_connection_info().addr().to_string();
        let failed = |error: RedisError| explain(&address, &error);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let mut publish =
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(failed)?;
        // one that wants a password says so to the first command
        ::redis::cmd("PING").query_async::<()>(&mut publish).await.map_err(failed)?;
        let probe = keep::probe_subject();
        let subscribing = async {
            let (mut subscribe, stream) = client.get_async_pubsub().await?.split();
            subscribe.subscribe(&probe).await?;
            Ok::<_, RedisError>((subscribe, stream))
        };
        let late = |_| RedisError::from((ErrorKind::Io, "no answer in time"));
        let (subscribe, stream) = tokio::time::timeout(ANSWER_TIMEOUT, subscribing)
            .await
            .map_err(late)
            .and_then(|it| it)
            .map_err(failed)?;
        let (received, loss) = (Arc::default(), Arc::<Loss>::default());
        let receive = receive(
            stream,
            probe.clone(),
            Arc::clone(&received),
            Arc::clone(link),
            Arc::clone(&loss),
        );
        let receive = Task::spawn(receive);
        slot.set(&publish);
        Ok(Self {
            publish,
            subscribe,
            unsure: 0,
            probe,
            received,
            received_before: 0,
            missing: 0,
            loss,
            slot: slot.clone(),
            _receive: receive,
        })
    }

    /// One kind after the other: a subject is in the list once.
    async fn change(&mut self, changes: Vec<(String, bool)>) -> Result<(), String> {
        for wanted in [true, false] {
            let subjects: Vec<&String> =
                changes.iter().filter(|it| it.1 == wanted).map(|it| &it.0).collect();
            for some in subjects.chunks(SUBSCRIBE_AT_ONCE) {
                if wanted {
                    keep::answered(self.subscribe.subscribe(some)).await?;
                } else {
                    keep::answered(self.subscribe.unsubscribe(some)).await?;
                }
            }
        }
        Ok(())
    }

    async fn publish(&mut self, messages: Vec<(String, Bytes)>, probe: bool) -> Result<(), String> {
        self.unsure = messages.len() as u64;
        let mut commands = Pipeline::with_capacity(messages.len() + 1);
        for (subject, message) in &messages {
            commands.publish(subject, &message[..]).ignore();
        }
        drop(messages);
        if probe {
            // anything that comes will do: a probe may be behind much else
            let received = self.received.load(Ordering::Relaxed);
            let is_silent = received == self.received_before;
            self.missing = if is_silent { self.missing + 1 } else { 0 };
            if self.missing > MISSING_PROBES {
                return Err(NO_ECHO.into());
            }
            self.received_before = received;
            commands.publish(&self.probe, "").ignore();
        }
        keep::answered(commands.query_async::<()>(&mut self.publish)).await?;
        self.unsure = 0;
        Ok(())
    }

    fn unsure(&self) -> u64 {
        self.unsure
    }

    fn loss(&self) -> Arc<Loss> {
        Arc::clone(&self.loss)
    }
}

async fn receive(
    mut stream: PubSubStream,
    probe: String,
    received: Arc<AtomicU64>,
    link: Arc<Link>,
    loss: Arc<Loss>,
) {
    while let Some(message) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
        let channel = message.get_channel_name();
        received.fetch_add(1, Ordering::Relaxed);
        if channel != probe {
            let payload = Bytes::copy_from_slice(message.get_payload_bytes());
            link.incoming(channel.into(), payload);
        }
        consume_budget().await;
    }
    loss.note("it has closed the connection");
}

fn explain(address: &str, error: &RedisError) -> ConnectError {
    let reason = error.to_string();
    // what Redis answers to a wrong password, to none, and to a user who may not subscribe
    let refused = matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM"));
    if refused || error.kind() == ErrorKind::AuthenticationFailed {
        let (address, reason) = (address.into(), reason.into());
        return ConnectError::Unauthorized { engine: ENGINE, example: EXAMPLE, address, reason };
    }
    ConnectError::of_connection(ENGINE, address, &reason)
}
