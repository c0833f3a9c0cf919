#![forbid(unsafe_code)]

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::io;
use std::sync::OnceLock;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use super::accept::acceptor::{Acceptor, Either, GRACE, either};
use super::accept::lifecycle::{Listening, Phase, Stop};
use super::client::hub::Hub;
use super::listener::{BACKLOG, Listener, Listeners, Newcomer};
use super::observe::event::LogEvent;
use super::observe::stats::Counters;
#[cfg(feature = "rustls")]
use super::tls::tls::Tls;

/// What [`run`] is told beside what the acceptor knows.
pub(crate) struct RunSettings {
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) close_window: Option<Duration>,
    #[cfg(feature = "rustls")]
    pub(crate) tls: Option<Tls>,
}

/// A server that takes what its handles bring, and is to run. Dropping it ends the server.
pub(crate) struct Started {
    listeners: Vec<Listener>,
    running: Running,
    settings: RunSettings,
}

impl Started {
    /// Makes one, and tells the handles of it.
    pub(crate) fn new(
        listeners: Vec<Listener>,
        acceptor: Acceptor,
        shared: &OnceLock<Weak<Acceptor>>,
        settings: RunSettings,
    ) -> Self {
        let acceptor = Arc::new(acceptor);
        if let Some(plane) = acceptor.hub.plane() {
            plane.begin(&acceptor.hub); // before there are clients
        }
        let _ = shared.set(Arc::downgrade(&acceptor));
        Self { listeners, running: Running(acceptor), settings }
    }

    /// Serves until the lifecycle says otherwise, and then closes what is open.
    pub(crate) async fn run(self) {
        let Self { listeners, running, settings } = self;
        run(listeners, &running.0, settings).await;
    }
}

async fn run(mut listeners: Vec<Listener>, acceptor: &Arc<Acceptor>, settings: RunSettings) {
    let mut waiting = None;
    let joined = acceptor.hub.plane().is_some().then(|| drive_plane(acceptor.hub.clone()));
    {
        let mut stopped = pin!(acceptor.lifecycle.reached(Phase::is_stopping));
        let mut ageing = pin!(close_expired(&acceptor.hub, settings.max_lifetime));
        let mut forgetting = pin!(forget_expired(&acceptor.hub));
        let mut accepting = pin!(listen(&mut listeners, &mut waiting, acceptor));
        #[cfg(feature = "rustls")]
        let mut reloading = pin!(async {
            match settings.tls {
                Some(tls) => tls.reload_changed(&acceptor.context).await,
                None => pending().await,
            }
        });
        poll_fn(|cx| {
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // these have no end
            let _ = ageing.as_mut().poll(cx);
            let _ = forgetting.as_mut().poll(cx);
            #[cfg(feature = "rustls")]
            let _ = reloading.as_mut().poll(cx);
            accepting.as_mut().poll(cx)
        })
        .await;
    }
    let waiting = close(&listeners, waiting, acceptor);
    drop(listeners);
    if let Some(stop) = acceptor.lifecycle.stopping() {
        shut_down(acceptor, waiting, &stop, settings.close_window).await;
    }
    drop(joined);
}

/// A server that runs; dropping it, or the future that holds it, ends everything.
struct Running(Arc<Acceptor>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lifecycle.end();
        self.0.hub.abort_all();
    }
}

/// Passes on what other servers publish, in a task of its own; dropping it ends that.
fn drive_plane(hub: Hub) -> impl Drop {
    struct Joined(Hub, JoinHandle<()>);

    impl Drop for Joined {
        fn drop(&mut self) {
            self.1.abort();
            if let Some(plane) = self.0.plane() {
                plane.end();
            }
        }
    }

    let task = tokio::spawn({
        let hub = hub.clone();
        async move {
            if let Some(plane) = hub.plane() {
                plane.drive(&hub).await;
            }
        }
    });
    Joined(hub, task)
}

/// Accepts connections until the listeners are to be closed, closes them, and waits for ever. The
/// one that waits for a permit is in `waiting`, where it is found when this is dropped.
async fn listen(
    listeners: &mut Vec<Listener>,
    waiting: &mut Option<Newcomer>,
    acceptor: &Arc<Acceptor>,
) {
    let closing = acceptor.lifecycle.listens_no_more(Listening::Closing);
    accept_until(closing, listeners, waiting, acceptor).await;
    let are_own = listeners.iter().map(Listener::ignore_newcomers);
    if are_own.fold(false, |any, is_own| any | is_own) {
        accept_until(sleep(LAST_ROUND_TRIP), listeners, waiting, acceptor).await;
    }
    for newcomer in queued(listeners) {
        serve(newcomer, waiting, acceptor).await;
    }
    listeners.clear();
    // one for the request, one for the handler
    let most = acceptor.settings.config.handshake_timeout.saturating_mul(2);
    let _ = timeout(most, acceptor.permits.answered(GRACE)).await;
    acceptor.lifecycle.listen_no_more(Listening::Closed);
    pending().await
}

/// Serves a connection as soon as there is a permit for it, until when it waits in `waiting`.
async fn serve(newcomer: Newcomer, waiting: &mut Option<Newcomer>, acceptor: &Arc<Acceptor>) {
    let ip = newcomer.addr.ip();
    *waiting = Some(newcomer);
    let permit = acceptor.permits.handshake(ip).await;
    if let Some(newcomer) = waiting.take() {
        acceptor.serve_tcp(newcomer, permit);
    }
}

/// Closes the listeners at once, but lets those that wait there know: Linux would reset them.
/// Returns those for which there is no permit yet.
fn close(
    listeners: &[Listener],
    waiting: Option<Newcomer>,
    acceptor: &Arc<Acceptor>,
) -> Vec<Newcomer> {
    let mut rest = Vec::new();
    for newcomer in waiting.into_iter().chain(queued(listeners)) {
        match acceptor.permits.try_handshake(newcomer.addr.ip()) {
            Some(permit) => acceptor.serve_tcp(newcomer, permit),
            None => rest.push(newcomer),
        }
    }
    rest
}

/// Returns the connections that wait in queues of our own, and lets no more come.
fn queued(listeners: &[Listener]) -> impl Iterator<Item = Newcomer> {
    listeners.iter().flat_map(|listener| {
        listener.ignore_newcomers();
        // as many as may wait: newcomers are not ignored everywhere
        let attempts = (0..=BACKLOG).map(|_| listener.accept_queued());
        let accepted = attempts.take_while(|it| it.as_ref().err().is_none_or(has_left));
        accepted.flatten()
    })
}

/// Accepts connections until then. Tokio lets it do so a number of times in a row (128), then all
/// other tasks have a turn. None that was accepted is dropped when the time has come.
async fn accept_until(
    then: impl Future<Output = ()>,
    listeners: &[Listener],
    waiting: &mut Option<Newcomer>,
    acceptor: &Arc<Acceptor>,
) {
    let mut then = pin!(then);
    let mut logged: Option<Instant> = None;
    let mut listeners = Listeners::new(listeners);
    loop {
        let accept = poll_fn(|cx| listeners.poll_accept(cx));
        let accepted = match either(pin!(accept), then.as_mut()).await {
            Either::First(accepted) => accepted,
            Either::Second(()) => return,
        };
        match accepted {
            Ok(newcomer) => serve(newcomer, waiting, acceptor).await,
            Err(error) if has_left(&error) => {}
            Err(error) => {
                // out of descriptors, most likely: they come back when connections close
                Counters::add(&acceptor.context.counters.accept_errors);
                if logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
                    logged = Some(Instant::now());
                    acceptor.context.log(&LogEvent::AcceptFailed(&error));
                }
                acceptor.permits.make_way(BACK_OFF).await;
            }
        }
    }
}

/// Returns whether a connection was gone before it was accepted.
fn has_left(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Closes connections that have lasted long enough, for ever.
async fn close_expired(hub: &Hub, lifetime: Option<Duration>) {
    let Some(lifetime) = lifetime else { return pending().await };
    let mut clock = interval((lifetime / 100).clamp(TICK, Duration::from_secs(1)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        hub.close_older_than(lifetime);
    }
}

/// Gives the memory of messages back that topics do not remember any more, for ever.
async fn forget_expired(hub: &Hub) {
    let mut clock = interval(FORGET_INTERVAL);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        hub.forget_expired().await;
    }
}

/// Closes all connections and waits for their ends, up to the deadline.
async fn shut_down(
    acceptor: &Arc<Acceptor>,
    waiting: Vec<Newcomer>,
    stop: &Stop,
    window: Option<Duration>,
) {
    let closed = async {
        close_all(&acceptor.hub, stop, window).await;
        for newcomer in waiting {
            let permit = acceptor.permits.handshake(newcomer.addr.ip()).await;
            acceptor.serve_tcp(newcomer, permit);
        }
        acceptor.permits.idle().await;
    };
    if timeout_at(stop.until, closed).await.is_err() {
        acceptor.lifecycle.abort();
        acceptor.hub.abort_all();
        // those that do not even come to a point where they wait are left behind
        let _ = timeout(LAST_WAIT, acceptor.permits.idle()).await;
    }
}

/// Closes all connections, some at each tick.
async fn close_all(hub: &Hub, stop: &Stop, window: Option<Duration>) {
    let clients = hub.close_newcomers(stop.code, &stop.reason);
    let all = CLOSE_INTERVAL.saturating_mul(u32::try_from(clients.len()).unwrap_or(u32::MAX));
    let rest = stop.until.saturating_duration_since(Instant::now());
    let window = window.unwrap_or(all).min(rest / 2);
    let ticks = usize::try_from(window.as_nanos() / TICK.as_nanos()).unwrap_or(usize::MAX);
    let at_a_time = clients.len().div_ceil(ticks.max(1)).max(1);
    let times = clients.len().div_ceil(at_a_time).max(1);
    let pause = window / u32::try_from(times).unwrap_or(u32::MAX);
    let mut clock = interval(pause.max(Duration::from_millis(1)));
    for clients in clients.chunks(at_a_time) {
        clock.tick().await; // the first one is now
        for client in clients {
            // the reason has been checked; it may have closed before
            let _ = client.close(stop.code, &stop.reason);
        }
    }
}

/// The time from one Close frame of a shutdown to the next: a thousand clients that come back
/// within a second are not too many for whatever takes the server's place.
const CLOSE_INTERVAL: Duration = Duration::from_millis(1);

/// The time that a client may take to answer the operating system, which has answered its SYN:
/// longer than most round trips, and well below the second after which those that were ignored
/// meanwhile try again.
const LAST_ROUND_TRIP: Duration = Duration::from_millis(500);

/// The least time between two looks at things that happen over a time.
const TICK: Duration = Duration::from_millis(10);

/// The time between two looks at what topics remember.
const FORGET_INTERVAL: Duration = Duration::from_secs(10);

/// The time to wait after an error of accepting: long enough not to spin, short enough not to be
/// felt.
const BACK_OFF: Duration = Duration::from_millis(50);

/// The least time between two log events of such errors.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The time for tasks to end that have been told to end at once.
const LAST_WAIT: Duration = Duration::from_secs(1);
