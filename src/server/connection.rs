use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::panic::catch_unwind;

use tokio::net::TcpStream;

use super::client::Client;
use super::handler::{Decision, Handler, Received};
use super::mailbox::Drained;
use super::page::Page;
use super::request::Request;
use super::shutdown::{Place, TaskGuard};
use super::stats::Counters;
use crate::proto::{CloseInfo, Event, Initiator, Ready};
use crate::tokio::{Outgoing, WebSocket};
use crate::wire::CloseCode;

/// A handler whose type is known here only: what it does with one connection is one future, in which
/// the calls of its methods are direct.
pub(super) trait Endpoint: Send + Sync {
    /// [`Handler::on_request`]; `None` if it panicked.
    fn decide<'a>(
        &'a self,
        request: &'a Request<'a>,
    ) -> Pin<Box<dyn Future<Output = Option<Decision>> + Send + 'a>>;

    /// Serves a connection in a task of its own.
    fn start(self: Arc<Self>, ws: WebSocket<TcpStream>, client: Client, hold: (Place, TaskGuard));
}

impl<H: Handler> Endpoint for H {
    fn decide<'a>(
        &'a self,
        request: &'a Request<'a>,
    ) -> Pin<Box<dyn Future<Output = Option<Decision>> + Send + 'a>> {
        Box::pin(async move {
            let mut deciding = pin!(async { self.on_request(request).await });
            poll_fn(|cx| caught(deciding.as_mut(), cx)).await.ok()
        })
    }

    fn start(self: Arc<Self>, ws: WebSocket<TcpStream>, client: Client, hold: (Place, TaskGuard)) {
        tokio::spawn(serve(self, ws, client, hold));
    }
}

/// The answer in place of that of a handler that panicked.
pub(super) fn internal_error() -> Page {
    Page::text("500 Internal Server Error\n").status(500)
}

/// A connection from its opening to its end.
///
/// No `async fn`, whose future would have room for the socket twice: as an argument, and as a variable.
fn serve<H: Handler>(
    handler: Arc<H>,
    ws: WebSocket<TcpStream>,
    client: Client,
    hold: (Place, TaskGuard),
) -> impl Future<Output = ()> + Send {
    let mut ws = Some(ws);
    async move {
        let registered = Registered::new(&client);
        if let Some(ws) = &mut ws {
            converse(&*handler, ws, &client).await;
        }
        let info = take_close_info(&mut ws);
        drop(registered);
        finish(&client, pin!(async { handler.on_close(&client, &info).await })).await;
        drop(hold);
    }
}

/// Everything but the end.
async fn converse<H: Handler>(handler: &H, ws: &mut WebSocket<TcpStream>, client: &Client) {
    let call = pin!(async { handler.on_open(client).await });
    let mut flow = drive(client, ws.outgoing(), call).await;
    loop {
        match flow {
            Flow::GoOn => {}
            Flow::Panicked => {
                Counters::add(&client.hub().counters().panics);
                // it may be closing already
                let _ = client.close(CloseCode::INTERNAL_ERROR, "");
            }
            Flow::Cut => return,
        }
        let next = poll_fn(|cx| poll_next(ws, client, cx)).await;
        let Next::Event { ready, open } = next else { return };
        let (message, out) = take_message(ws, client, ready, open);
        flow = Flow::GoOn;
        if let Some(message) = message {
            let call = pin!(async { handler.on_message(client, message).await });
            flow = drive(client, out, call).await;
        }
    }
}

/// How a call of a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    GoOn,
    Panicked,
    /// The connection is to end at once; the call was dropped.
    Cut,
}

enum Next {
    Event {
        ready: Ready,
        /// Nobody has closed.
        open: bool,
    },
    End,
}

/// Until there is an event, sending what comes into the mailbox meanwhile.
fn poll_next(ws: &mut WebSocket<TcpStream>, client: &Client, cx: &mut Context<'_>) -> Poll<Next> {
    loop {
        let drained = client.mailbox().drain(ws.session());
        if drained == Drained::Cut {
            return Poll::Ready(Next::End);
        }
        match ws.poll_ready(cx) {
            Poll::Ready(Ok(Some(ready))) => {
                return Poll::Ready(Next::Event { ready, open: drained == Drained::Open });
            }
            // what went wrong stands in the close info
            Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(Next::End),
            Poll::Pending => {}
        }
        if client.mailbox().park(cx.waker(), ws.session().has_room()) {
            return Poll::Pending;
        }
    }
}

/// Takes an event. It is for the handler if it is a message and nobody has closed.
fn take_message<'a>(
    ws: &'a mut WebSocket<TcpStream>,
    client: &Client,
    ready: Ready,
    open: bool,
) -> (Option<Received<'a>>, Outgoing<'a, TcpStream>) {
    let (event, out) = ws.take_ready(ready);
    if matches!(event, Event::Close(_)) {
        client.mailbox().end(); // whoever sends learns it now
    }
    (Received::from_event(event).filter(|_| open), out)
}

/// How it ended; the socket is gone then.
fn take_close_info(ws: &mut Option<WebSocket<TcpStream>>) -> CloseInfo<'static> {
    let ws = ws.take();
    match ws.as_ref().and_then(WebSocket::close_info) {
        Some(info) => info.into_owned(),
        None => cut_off(),
    }
}

/// Runs a call of a handler. While it waits, what is sent to the client leaves.
fn drive<'a>(
    client: &'a Client,
    mut out: Outgoing<'a, TcpStream>,
    mut call: Pin<&'a mut impl Future<Output = ()>>,
) -> impl Future<Output = Flow> {
    poll_fn(move |cx| {
        match caught(call.as_mut(), cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Flow::GoOn),
            Poll::Ready(Err(Panicked)) => return Poll::Ready(Flow::Panicked),
            Poll::Pending => {}
        }
        loop {
            if client.mailbox().drain(out.session()) == Drained::Cut {
                return Poll::Ready(Flow::Cut);
            }
            // an error comes again as the next event
            let failed = matches!(out.poll_flush(cx), Poll::Ready(Err(_)));
            if client.mailbox().park(cx.waker(), !failed && out.session().has_room()) {
                return Poll::Pending;
            }
        }
    })
}

/// Runs the last call; once the connection is to end at once, no further than to where it waits.
fn finish<'a>(
    client: &'a Client,
    mut call: Pin<&'a mut impl Future<Output = ()>>,
) -> impl Future<Output = ()> {
    poll_fn(move |cx| match caught(call.as_mut(), cx) {
        Poll::Ready(Ok(())) => Poll::Ready(()),
        Poll::Ready(Err(Panicked)) => {
            Counters::add(&client.hub().counters().panics);
            Poll::Ready(())
        }
        Poll::Pending if client.mailbox().park_for_cut(cx.waker()) => Poll::Pending,
        Poll::Pending => Poll::Ready(()),
    })
}

struct Panicked;

/// Polls a future; its panic has been reported when it is found here.
fn caught<F: Future>(call: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Result<F::Output, Panicked>> {
    // What the handler shares may be in a state it did not mean to leave it in, as after a panic in
    // any thread; nothing of ours is touched inside.
    match catch_unwind(AssertUnwindSafe(|| call.poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    }
}

/// The client's place among the others; left when dropped.
struct Registered<'a>(&'a Client);

impl<'a> Registered<'a> {
    fn new(client: &'a Client) -> Self {
        client.hub().insert(client);
        Self(client)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.0.mailbox().end();
        self.0.hub().remove(self.0);
    }
}

/// What is to say of a connection that this end did not wait for to close.
const fn cut_off() -> CloseInfo<'static> {
    CloseInfo {
        initiator: Initiator::Local,
        code: 1006,
        reason: Cow::Borrowed(""),
        clean: false,
        sent_code: None,
        error: None,
    }
}
