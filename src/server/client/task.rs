use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::panic::catch_unwind;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::client::Client;
use super::handler::{Handler, Received};
use super::pump::{Cut, End, Found, Next, Pump};
use super::receiving::Share;
use super::stream::{Behind, ClientStream, Stream};
use crate::error::Error;
use crate::proto::{CloseInfo, Event, Initiator};
use crate::server::accept::accept::Accept;
use crate::server::accept::lifecycle::{ConnectionPermit, TaskGuard};
use crate::server::http::request::Request;
use crate::server::http::response::Response;
use crate::tokio::{Outgoing, WebSocket};
use crate::wire::CloseCode;

/// A handler whose type is known here only: what it does with one connection is one future, in which
/// the calls of its methods are direct.
pub(crate) trait ErasedHandler: Send + Sync {
    /// [`Handler::on_request`]; `None` if it panicked.
    fn decide<'a>(
        &'a self,
        request: &'a Request<'a>,
    ) -> Pin<Box<dyn Future<Output = Option<Result<Accept, Response>>> + Send + 'a>>;

    /// Serves a connection in a task of its own.
    fn start(self: Arc<Self>, ws: WebSocket<ClientStream<TcpStream>>, client: Client, hold: Hold);

    /// The same for a stream that is not from the server's listener.
    fn start_foreign(
        self: Arc<Self>,
        ws: WebSocket<ClientStream<Foreign>>,
        client: Client,
        hold: Hold,
    );
}

/// What a connection gives back at its end.
pub(crate) type Hold = (ConnectionPermit, TaskGuard);

impl<H: Handler> ErasedHandler for H {
    fn decide<'a>(
        &'a self,
        request: &'a Request<'a>,
    ) -> Pin<Box<dyn Future<Output = Option<Result<Accept, Response>>> + Send + 'a>> {
        Box::pin(async move {
            let mut deciding = pin!(async { self.on_request(request).await });
            poll_fn(|cx| poll_caught(deciding.as_mut(), cx)).await.ok()
        })
    }

    fn start(self: Arc<Self>, ws: WebSocket<ClientStream<TcpStream>>, client: Client, hold: Hold) {
        tokio::spawn(serve(self, ws, client, hold));
    }

    fn start_foreign(
        self: Arc<Self>,
        ws: WebSocket<ClientStream<Foreign>>,
        client: Client,
        hold: Hold,
    ) {
        tokio::spawn(serve(self, ws, client, hold));
    }
}

/// A stream that connections run on. There are two types of them, so that each handler is compiled
/// twice and not for every type of stream.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + Sized + 'static {
    fn start(ws: WebSocket<Self>, handler: Arc<dyn ErasedHandler>, client: Client, hold: Hold);
}

impl Transport for ClientStream<TcpStream> {
    fn start(ws: WebSocket<Self>, handler: Arc<dyn ErasedHandler>, client: Client, hold: Hold) {
        handler.start(ws, client, hold);
    }
}

impl Transport for ClientStream<Foreign> {
    fn start(ws: WebSocket<Self>, handler: Arc<dyn ErasedHandler>, client: Client, hold: Hold) {
        handler.start_foreign(ws, client, hold);
    }
}

/// A stream that was accepted elsewhere.
pub(crate) type Foreign = Box<dyn Duplex>;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

impl Stream for Foreign {}

/// The answer in place of that of a handler that panicked.
pub(crate) fn internal_error() -> Response {
    Response::text("500 Internal Server Error\n").status(500)
}

/// A connection from its opening to its end.
///
/// No `async fn`, whose future would have room for the socket twice: as an argument, and as a variable.
/// For the same reason there are as few variables as possible while something is awaited: every
/// connection has that room for its whole life.
fn serve<H: Handler, S: Stream + Send>(
    handler: Arc<H>,
    ws: WebSocket<ClientStream<S>>,
    client: Client,
    hold: Hold,
) -> impl Future<Output = ()> + Send {
    let mut ws = Some(ws);
    let (place, task) = hold;
    let mut pump = Pump::new(place);
    async move {
        let registered = Registered::new(&client);
        let error = match &mut ws {
            Some(ws) => run(&*handler, ws, &client, &mut pump).await,
            None => None,
        };
        drop(registered);
        let info = take_close_info(&mut ws);
        Box::pin(finish(&*handler, &client, error, info)).await;
        drop(pump);
        drop(task);
    }
}

/// Everything but the end; the error that it ended with, if it was one.
#[allow(clippy::manual_async_fn)] // it would have its arguments twice, see `serve`
fn run<'a, H: Handler, S: Stream + Send>(
    handler: &'a H,
    ws: &'a mut WebSocket<ClientStream<S>>,
    client: &'a Client,
    pump: &'a mut Pump,
) -> impl Future<Output = Option<Box<Error>>> + Send + 'a {
    async move {
        let mut share = Share::new(client.hub());
        let mut flow = {
            let call = pin!(async { handler.on_open(client).await });
            let behind = pump.behind(ws);
            drive(client, pump, ws.outgoing(), behind, call).await
        };
        loop {
            match flow {
                Flow::GoOn => {}
                Flow::Panicked => {
                    panicked(client);
                    // it may be closing already
                    let _ = client.close(CloseCode::INTERNAL_ERROR, "");
                }
                Flow::Cut => return None,
            }
            let next = match poll_fn(|cx| pump.poll_next(ws, client, &mut share, cx)).await {
                Ok(next) => next,
                Err(End(error)) => return error,
            };
            flow = match next {
                Next::Event { found, open } => {
                    let behind = pump.behind(ws);
                    let (event, out) = take_event(ws, client, found);
                    match Received::from_event(event) {
                        // whoever has closed wants to hear no more
                        _ if !open => Flow::GoOn,
                        Ok(message) => {
                            let call = pin!(async { handler.on_message(client, message).await });
                            drive(client, pump, out, behind, call).await
                        }
                        Err(Event::Ping(payload)) => {
                            let call = pin!(async { handler.on_ping(client, payload).await });
                            drive(client, pump, out, behind, call).await
                        }
                        Err(Event::Pong(payload)) => {
                            let call = pin!(async { handler.on_pong(client, payload).await });
                            drive(client, pump, out, behind, call).await
                        }
                        Err(_) => Flow::GoOn,
                    }
                }
                Next::CaughtUp => {
                    let call = pin!(async { handler.on_drain(client).await });
                    let behind = pump.behind(ws);
                    drive(client, pump, ws.outgoing(), behind, call).await
                }
            };
        }
    }
}

/// The end.
async fn finish<H: Handler>(
    handler: &H,
    client: &Client,
    error: Option<Box<Error>>,
    info: CloseInfo<'static>,
) {
    if let Some(error) = error {
        poll_last_call(client, pin!(async { handler.on_error(client, &error).await })).await;
    }
    poll_last_call(client, pin!(async { handler.on_close(client, &info).await })).await;
}

/// How a call of a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    GoOn,
    Panicked,
    /// The connection is to end at once; the call was dropped.
    Cut,
}

fn take_event<'a, S: Stream>(
    ws: &'a mut WebSocket<ClientStream<S>>,
    client: &Client,
    found: Found,
) -> (Event<'a>, Outgoing<'a, ClientStream<S>>) {
    let (event, out) = match found {
        Found::InHand(kind) => return ws.take_in_hand(kind),
        Found::Ready(ready) => ws.take_ready(ready),
    };
    if matches!(event, Event::Close(_)) {
        client.outbox().end(); // whoever sends learns it now
    }
    (event, out)
}

/// How it ended; the socket is gone then.
fn take_close_info<S>(ws: &mut Option<WebSocket<S>>) -> CloseInfo<'static> {
    let ws = ws.take();
    match ws.as_ref().and_then(WebSocket::close_info) {
        Some(info) => info.into_owned(),
        None => abort(),
    }
}

/// Runs a call of a handler. While it waits, its connection goes on: see [`Pump::attend`].
fn drive<'a, S: Stream>(
    client: &'a Client,
    pump: &'a mut Pump,
    mut out: Outgoing<'a, ClientStream<S>>,
    mut behind: Behind,
    mut call: Pin<&'a mut impl Future<Output = ()>>,
) -> impl Future<Output = Flow> {
    let mut waited = false;
    poll_fn(move |cx| {
        let flow = match poll_caught(call.as_mut(), cx) {
            Poll::Ready(Ok(())) => Flow::GoOn,
            Poll::Ready(Err(Panicked)) => Flow::Panicked,
            Poll::Pending => {
                waited = true;
                return pump.attend(client, &mut out, &mut behind, cx).map(|Cut| Flow::Cut);
            }
        };
        if waited {
            pump.end_wait();
        }
        Poll::Ready(flow)
    })
}

/// Runs the last call; once the connection is to end at once, no further than to where it waits.
fn poll_last_call<'a>(
    client: &'a Client,
    mut call: Pin<&'a mut impl Future<Output = ()>>,
) -> impl Future<Output = ()> {
    poll_fn(move |cx| match poll_caught(call.as_mut(), cx) {
        Poll::Ready(Ok(())) => Poll::Ready(()),
        Poll::Ready(Err(Panicked)) => {
            panicked(client);
            Poll::Ready(())
        }
        Poll::Pending if client.outbox().park_for_cut(cx.waker()) => Poll::Pending,
        Poll::Pending => Poll::Ready(()),
    })
}

fn panicked(client: &Client) {
    client.hub().panicked(client.info().peer_addr(), client.info().path());
}

struct Panicked;

/// Polls a future; its panic has been reported when it is found here.
fn poll_caught<F: Future>(
    call: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
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
        self.0.outbox().end();
        self.0.hub().remove(self.0);
    }
}

/// What is to say of a connection that this end did not wait for to close.
const fn abort() -> CloseInfo<'static> {
    CloseInfo {
        initiator: Initiator::Local,
        code: 1006,
        reason: Cow::Borrowed(""),
        clean: false,
        sent_code: None,
        error: None,
    }
}
