#![forbid(unsafe_code)]

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::mem;
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use std::panic::catch_unwind;
use std::time::Instant;

use super::client::Client;
use super::direct::poll_direct;
use super::handler::{Handler, Internal, Received};
use super::pump::{Aborted, Ended, Next, Pump, Unread, take_line};
use super::quota::ReceiveQuota;
use super::stream::ClientStream;
use crate::error::Error;
use crate::proto::{CloseInfo, Event, Initiator, MessageKind, Ready};
use crate::server::accept::accept::Accept;
use crate::server::accept::permits::{ConnectionPermit, TaskGuard};
use crate::server::http::request::Request;
use crate::server::http::response::Response;
use crate::server::observe::tally;
#[cfg(feature = "tracing")]
use crate::server::observe::trace;
use crate::server::step::Step;
use crate::tokio::{Outgoing, WebSocket};
use crate::wire::CloseCode;

/// A handler whose type is known here only: what it does with one connection is one future, in
/// which the calls of its methods are direct.
pub(crate) trait ErasedHandler: Send + Sync {
    /// Calls [`Handler::on_request`]; `None` if it panicked.
    fn decide<'a>(&'a self, request: &'a Request<'a>) -> Deciding<'a>;

    /// Serves a connection.
    fn serve(
        self: Arc<Self>,
        ws: WebSocket<ClientStream>,
        client: Client,
        permit: ConnectionPermit,
        task: TaskGuard,
    ) -> Step;
}

type Deciding<'a> = Pin<Box<dyn Future<Output = Option<Result<Accept, Response>>> + Send + 'a>>;

impl<H: Handler> ErasedHandler for H {
    fn decide<'a>(&'a self, request: &'a Request<'a>) -> Deciding<'a> {
        Box::pin(async move {
            let mut deciding = pin!(async { self.on_request(request).await });
            poll_fn(|cx| poll_caught(deciding.as_mut(), cx)).await.ok()
        })
    }

    fn serve(
        self: Arc<Self>,
        ws: WebSocket<ClientStream>,
        client: Client,
        permit: ConnectionPermit,
        task: TaskGuard,
    ) -> Step {
        #[cfg(feature = "tracing")]
        let span = trace::span(&client);
        let serving = serve(self, ws, client, permit, task);
        #[cfg(feature = "tracing")]
        let serving = tracing::Instrument::instrument(serving, span);
        Step::new(serving)
    }
}

/// Serves a connection from its opening to its end.
///
/// Measured (`cargo bench --bench idle_memory`): no `async fn`, whose future would have room for
/// the socket twice, as an argument and as a variable. For the same reason there are as few
/// variables as possible while something is awaited: every connection has that room for its whole
/// life.
fn serve<H: Handler>(
    handler: Arc<H>,
    mut ws: WebSocket<ClientStream>,
    client: Client,
    permit: ConnectionPermit,
    task: TaskGuard,
) -> impl Future<Output = Option<Step>> + Send {
    ws.outgoing().stream_mut().lend(&client);
    let mut ws = Some(ws);
    let mut pump = Pump::new(permit, &client);
    async move {
        let registered = Registered::new(&client);
        let error = match &mut ws {
            Some(ws) => run(&*handler, ws, &client, &mut pump).await,
            None => None,
        };
        let left = registered.leave();
        let info = take_close_info(&mut ws);
        record_end(&client, &info);
        Box::pin(finish(&*handler, &client, error, info, left)).await;
        drop(pump);
        drop(task);
        None
    }
}

/// Runs a connection up to its end. Returns the error that it ended with, if it was one.
#[allow(clippy::manual_async_fn)] // it would have its arguments twice, see `serve`
fn run<'a, H: Handler>(
    handler: &'a H,
    ws: &'a mut WebSocket<ClientStream>,
    client: &'a Client,
    pump: &'a mut Pump,
) -> impl Future<Output = Option<Box<Error>>> + Send + 'a {
    async move {
        let mut quota = ReceiveQuota::new(client);
        let mut outcome = {
            let call = pin!(async { handler.on_open(client).await });
            let unread = pump.unread(ws);
            poll_handler(client, pump, ws.outgoing(), unread, call).await
        };
        loop {
            match outcome {
                Outcome::Done => {}
                Outcome::Panicked => {
                    report_panic(client);
                    // it may be closing already
                    let _ = client.close(CloseCode::INTERNAL_ERROR, "");
                }
                Outcome::Aborted => return None,
            }
            let next =
                match poll_fn(|cx| poll_next(handler, ws, client, pump, &mut quota, cx)).await {
                    Ok(next) => next,
                    Err(Ended(error)) => return error,
                };
            outcome = match next {
                Next::Event { ready, deliver } => {
                    let unread = pump.unread(ws);
                    let (event, out) = take_event(ws, client, ready);
                    match admit(pump, client, event, deliver) {
                        Some(Ok(message)) => {
                            let call = pin!(async { handler.on_message(client, message).await });
                            poll_handler(client, pump, out, unread, call).await
                        }
                        Some(Err(Event::Ping(payload))) => {
                            let call = pin!(async { handler.on_ping(client, payload).await });
                            poll_handler(client, pump, out, unread, call).await
                        }
                        Some(Err(Event::Pong(payload))) => {
                            let out = note_round_trip(client, out);
                            let call = pin!(async { handler.on_pong(client, payload).await });
                            poll_handler(client, pump, out, unread, call).await
                        }
                        Some(Err(_)) | None => Outcome::Done,
                    }
                }
                Next::CaughtUp => {
                    let call = pin!(async { handler.on_drain(client).await });
                    let unread = pump.unread(ws);
                    poll_handler(client, pump, ws.outgoing(), unread, call).await
                }
                Next::Panicked => Outcome::Panicked,
            };
        }
    }
}

/// Waits for what is next, but for messages to a handler that never waits: that is called here.
/// Measured (`cargo bench --bench instructions`): a future within that of the task, and a send
/// buffer that is lent for each call, take a third of the instructions of a small message.
#[inline]
fn poll_next<H: Handler>(
    handler: &H,
    ws: &mut WebSocket<ClientStream>,
    client: &Client,
    pump: &mut Pump,
    quota: &mut ReceiveQuota<'_>,
    cx: &mut Context<'_>,
) -> Poll<Result<Next, Ended>> {
    loop {
        let next = ready!(pump.poll_next(ws, client, quota, cx))?;
        let Next::Event { ready: Ready::Message(kind), deliver: true } = next else {
            return Poll::Ready(Ok(next));
        };
        if !handler.is_prompt(Internal::NEW) || !pump.allows_bursts(client) {
            return Poll::Ready(Ok(next));
        }
        match call_for_burst(handler, ws, client, pump, kind, cx) {
            Ok(None) => {}
            Ok(Some(kind)) => {
                pump.interrupt(Ready::Message(kind), ws, client, cx);
                return Poll::Pending;
            }
            Err(Panicked) => return Poll::Ready(Ok(Next::Panicked)),
        }
    }
}

/// Calls a handler that never waits for a message and for those that came with it. Returns the
/// first one that is not part of this turn.
#[inline]
fn call_for_burst<H: Handler>(
    handler: &H,
    ws: &mut WebSocket<ClientStream>,
    client: &Client,
    pump: &mut Pump,
    first: MessageKind,
    cx: &mut Context<'_>,
) -> Result<Option<MessageKind>, Panicked> {
    let (mut burst, driver) = ws.burst();
    let call_for_all = || {
        let mut next = first;
        loop {
            if let Ok(message) = Received::from_event(burst.take(next)) {
                let polled = pin!(handler.on_message(client, message)).poll(cx);
                debug_assert!(polled.is_ready());
            }
            match pump.next_of_burst(client, &mut burst) {
                Some((kind, true)) => next = kind,
                Some((kind, false)) => return Some(kind),
                None => return None,
            }
        }
    };
    catch(|| poll_direct(client, driver, call_for_all))
}

/// Returns the message or other event for the handler, if it is to be told of it. Takes it and
/// gives it back, as [`note_round_trip`] does.
#[inline]
fn admit<'a>(
    pump: &mut Pump,
    client: &Client,
    event: Event<'a>,
    deliver: bool,
) -> Option<Result<Received<'a>, Event<'a>>> {
    let received = Received::from_event(event);
    match &received {
        _ if !deliver => None,
        Ok(message) if pump.is_over_rate(client, message) => None,
        _ => Some(received),
    }
}

/// Tells the handler of the end. Until then the rooms are known that the client was in.
async fn finish<H: Handler>(
    handler: &H,
    client: &Client,
    error: Option<Box<Error>>,
    info: CloseInfo<'static>,
    _left: Left<'_>,
) {
    if let Some(error) = error {
        poll_last(client, pin!(async { handler.on_error(client, &error).await })).await;
    }
    poll_last(client, pin!(async { handler.on_close(client, &info).await })).await;
}

/// The way in which a call of a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Panicked,
    /// The connection is to end at once; the call was dropped.
    Aborted,
}

#[inline]
fn take_event<'a>(
    ws: &'a mut WebSocket<ClientStream>,
    client: &Client,
    ready: Ready,
) -> (Event<'a>, Outgoing<'a, ClientStream>) {
    if matches!(ready, Ready::Close(_)) {
        client.outbox().end(); // a task that sends learns it now
    }
    ws.take_ready(ready)
}

/// Returns how the connection ended; the socket is gone then.
fn take_close_info<S>(ws: &mut Option<WebSocket<S>>) -> CloseInfo<'static> {
    let ws = ws.take();
    match ws.as_ref().and_then(WebSocket::close_info) {
        Some(info) => info.into_owned(),
        None => aborted(),
    }
}

/// Shows the client the round-trip time that a pong may have told. Gives back what it takes: a
/// variable that is borrowed before an `await` has its place in the future.
fn note_round_trip<'a>(
    client: &Client,
    mut out: Outgoing<'a, ClientStream>,
) -> Outgoing<'a, ClientStream> {
    client.outbox().note_round_trip(out.driver().sender.round_trip());
    out
}

/// Counts a connection that has ended, by the code of the end that began to close.
fn record_end(client: &Client, info: &CloseInfo<'_>) {
    client.note_moved(&tally::fold(&client.context().counters));
    let code = match (info.initiator, info.sent_code) {
        (Initiator::Local, Some(code)) => code.into(),
        _ => info.code,
    };
    client.context().counters.ended_with(code);
    #[cfg(feature = "tracing")]
    trace::ended_with(code);
}

/// Runs a call of a handler. While it waits, its connection goes on: see [`Pump::poll_meanwhile`].
fn poll_handler<'a>(
    client: &'a Client,
    pump: &'a mut Pump,
    mut out: Outgoing<'a, ClientStream>,
    mut unread: Unread,
    mut call: Pin<&'a mut impl Future<Output = ()>>,
) -> impl Future<Output = Outcome> {
    let mut waited = false;
    let began = client.context().times_handlers().then(Instant::now);
    poll_fn(move |cx| {
        // the first time the task has the right to write already
        if waited && !take_line(client, &mut out, cx) {
            return Poll::Pending;
        }
        let polled = poll_direct(client, out.driver(), || poll_caught(call.as_mut(), cx));
        let outcome = match polled {
            Poll::Ready(Ok(())) => Outcome::Done,
            Poll::Ready(Err(Panicked)) => Outcome::Panicked,
            Poll::Pending => {
                waited = true;
                let polled = pump.poll_meanwhile(client, &mut out, &mut unread, cx);
                return polled.map(|Aborted| Outcome::Aborted);
            }
        };
        if let Some(began) = began {
            note_time(client, began);
        }
        if waited {
            pump.end_wait();
        }
        Poll::Ready(outcome)
    })
}

/// Runs one of the last calls; once the connection is to end at once, no further than to where it
/// waits.
fn poll_last<'a>(
    client: &'a Client,
    mut call: Pin<&'a mut impl Future<Output = ()>>,
) -> impl Future<Output = ()> {
    poll_fn(move |cx| match poll_caught(call.as_mut(), cx) {
        Poll::Ready(Ok(())) => Poll::Ready(()),
        Poll::Ready(Err(Panicked)) => {
            report_panic(client);
            Poll::Ready(())
        }
        Poll::Pending if client.outbox().park_for_abort(cx.waker()) => Poll::Pending,
        Poll::Pending => Poll::Ready(()),
    })
}

/// Counts the time of a call that is over.
#[cold]
fn note_time(client: &Client, began: Instant) {
    client.context().counters.handler_took(began.elapsed());
}

fn report_panic(client: &Client) {
    client.context().panicked(client.info().peer_addr(), client.info().path());
}

struct Panicked;

/// Polls a future that may panic. The panic hook has reported it by then.
fn poll_caught<F: Future>(
    call: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
    match catch(|| call.poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(Panicked) => Poll::Ready(Err(Panicked)),
    }
}

/// Does something that calls a handler, which may panic.
#[inline]
fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    // What the handler shares may be in a state it did not mean to leave it in, as after a panic in
    // any thread; what is ours is whole whenever it is called.
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| Panicked)
}

/// The client's membership in the hub; left when dropped.
struct Registered<'a>(&'a Client);

impl<'a> Registered<'a> {
    fn new(client: &'a Client) -> Self {
        client.hub().insert(client);
        Self(client)
    }

    fn leave(self) -> Left<'a> {
        let client = self.0;
        client.outbox().end(); // drops messages, which may panic if their memory is the user's
        mem::forget(self);
        client.hub().remove(client);
        Left(client)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        drop(Self(self.0).leave());
    }
}

/// A client that has left, of which the hub knows the rooms; forgotten when dropped.
struct Left<'a>(&'a Client);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.hub().forget(self.0);
    }
}

/// Returns the close info of an aborted connection.
const fn aborted() -> CloseInfo<'static> {
    CloseInfo {
        initiator: Initiator::Local,
        code: 1006,
        reason: Cow::Borrowed(""),
        clean: false,
        sent_code: None,
        error: None,
    }
}
