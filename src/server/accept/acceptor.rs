use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::mem;
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{self, Poll};
use core::time::Duration;
use std::panic::catch_unwind;

use tokio::time::{sleep, timeout};

use super::accept::Accept;
use super::lifecycle::Lifecycle;
use super::pending::Stage;
use super::permits::{ConnectionPermit, Full, HandshakePermit, Permits};
use super::proxy::{self, Header};
use super::refusal::{
    Refusal, internal_error, method_not_allowed, misdirected, not_found, too_many_of_network,
    too_often, unavailable,
};
use crate::config::Config;
use crate::error::Error;
use crate::handshake::HandshakeError;
use crate::handshake::server as handshake;
use crate::server::client::client::Client;
use crate::server::client::hub::Hub;
use crate::server::client::info::ClientInfo;
use crate::server::client::stream::ClientStream;
use crate::server::client::task::ErasedHandler;
use crate::server::context::Context;
use crate::server::http::forwarded::Trust;
use crate::server::http::handler::HttpHandler;
use crate::server::http::hosts::Hosts;
use crate::server::http::networks::Networks;
use crate::server::http::origin::OriginPolicy;
use crate::server::http::request::{Peer, Request};
use crate::server::http::response::Response;
use crate::server::http::route::{Params, Pattern, Table};
use crate::server::listener::Newcomer;
use crate::server::observe::event::LogEvent;
use crate::server::observe::stats::Counters;
use crate::server::route::Served;
use crate::server::step::Step;
use crate::tokio::{Incoming, Reading, WebSocket, tune};

/// The accept path: what happens to a stream until it is a connection, or has its answer.
pub(crate) struct Acceptor {
    pub(crate) settings: Settings,
    pub(crate) permits: Arc<Permits>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) context: Arc<Context>,
    pub(crate) hub: Hub,
}

/// The settings for the requests that a server answers.
pub(crate) struct Settings {
    pub(crate) routes: Table<Arc<Served>>,
    pub(crate) pages: Table<Response>,
    pub(crate) http: Table<Arc<HttpHandler>>,
    pub(crate) max_body_len: usize,
    pub(crate) fallback: Option<Box<Fallback>>,
    /// The path where a load balancer asks whether to send clients.
    pub(crate) health: Option<Box<str>>,
    /// The path of the metrics.
    pub(crate) metrics: Option<Box<str>>,
    pub(crate) origins: OriginPolicy,
    /// The hosts that the server is, if that was said.
    pub(crate) hosts: Option<Hosts>,
    pub(crate) trust: Trust,
    /// The networks whose connections begin with a PROXY header.
    pub(crate) proxy_protocol: Option<Networks>,
    /// The configuration for listeners of `wss://`.
    #[cfg(feature = "rustls")]
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) config: Config,
}

pub(crate) type Fallback = dyn Fn(&Request<'_>) -> Response + Send + Sync;

/// A handshake that is accepted, with everything that its connection needs.
pub(crate) struct Accepted {
    pub(crate) route: Arc<Served>,
    pub(crate) accept: Accept,
    client: Client,
    permit: ConnectionPermit,
}

/// A request that is being read.
pub(super) struct Begun {
    reading: Result<Reading<ClientStream>, Error>,
    /// A part of it is there.
    arrived: bool,
}

impl Acceptor {
    /// Serves a connection that a listener of the server has accepted.
    pub(crate) fn serve_tcp(self: &Arc<Self>, newcomer: Newcomer, permit: HandshakePermit) {
        let Newcomer { stream, addr, kind } = newcomer;
        if !kind.is_tuned {
            // a socket that is gone already shows that when it is read
            let _ = tune(&stream);
        }
        let local = kind.on_loopback && self.settings.hosts.is_none();
        let peer = Peer { addr, secure: false, own_tls: kind.is_secure, local };
        let networks = self.settings.proxy_protocol.as_ref();
        let from_proxy = networks.is_some_and(|networks| networks.contain(addr.ip()));
        self.spawn(ClientStream::tcp(stream), Vec::new(), peer, permit, from_proxy);
    }

    /// Serves a stream in a task of its own, until it gives way or the server ends.
    pub(crate) fn serve(
        self: &Arc<Self>,
        stream: ClientStream,
        received: Vec<u8>,
        peer: Peer,
        permit: HandshakePermit,
    ) {
        self.spawn(stream, received, peer, permit, false);
    }

    fn spawn(
        self: &Arc<Self>,
        stream: ClientStream,
        received: Vec<u8>,
        peer: Peer,
        permit: HandshakePermit,
        from_proxy: bool,
    ) {
        Counters::add(&self.context.counters.accepted);
        let task = self.permits.task();
        let acceptor = Arc::clone(self);
        let mut begun = None;
        let mut other = None;
        if peer.own_tls || from_proxy {
            other = Some(Box::new(stream));
        } else {
            begun = Some(self.begin(stream, &received));
        }
        tokio::spawn(Step::new(async move {
            let ended = {
                // gone before the permit is, and the stream with it
                let handled = async {
                    if let Some(begun) = begun {
                        return acceptor.handle(begun, &peer, &permit).await;
                    }
                    // in boxes of their own: all others would have the room for them
                    let stream = *other?;
                    #[cfg(feature = "rustls")]
                    if peer.own_tls {
                        let handled = acceptor.handle_tls(stream, peer, &permit, from_proxy);
                        return Box::pin(handled).await;
                    }
                    Box::pin(acceptor.handle_proxied(stream, peer, &permit)).await
                };
                let aborted = poll_fn(|cx| acceptor.poll_leave(&permit, cx));
                either(pin!(handled), pin!(aborted)).await
            };
            drop(permit);
            drop(task);
            match ended {
                Either::First(connection) => connection,
                Either::Second(()) => None,
            }
        }));
    }

    /// Ready when a handshake has to end at once, for others or because the server does.
    fn poll_leave(&self, permit: &HandshakePermit, cx: &task::Context<'_>) -> Poll<()> {
        if permit.listen(cx) {
            Counters::add(&self.context.counters.gave_way);
            return Poll::Ready(());
        }
        if self.lifecycle.is_aborting() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Answers the request that arrives on a stream. Returns the connection, if it becomes one.
    async fn handle(&self, begun: Begun, peer: &Peer, permit: &HandshakePermit) -> Option<Step> {
        match self.read(begun, permit).await? {
            Ok(incoming) => self.handle_request(incoming, peer, permit).await,
            Err(error) => {
                // it has been answered
                self.record_invalid(peer, &error);
                None
            }
        }
    }

    /// Reads what a proxy says about the client, and answers the request that follows. Both have
    /// the time of a handshake together.
    async fn handle_proxied(
        &self,
        mut stream: ClientStream,
        mut peer: Peer,
        permit: &HandshakePermit,
    ) -> Option<Step> {
        permit.advance(Stage::Silent);
        let reading = async {
            let received = self.read_proxy(&mut stream, &mut peer, permit).await?;
            self.read(self.begin(stream, &received), permit).await
        };
        match timeout(self.settings.config.handshake_timeout, reading).await {
            Ok(Some(Ok(incoming))) => return self.handle_request(incoming, &peer, permit).await,
            Ok(Some(Err(error))) => self.record_invalid(&peer, &error),
            Ok(None) => {}
            Err(_) => self.record_bad_proxy(&peer, "the header or the request took too long"),
        }
        None
    }

    /// Reads what a proxy says about the client, and returns what came behind it; `None` if that is
    /// not valid, or the server stops before it is there.
    pub(super) async fn read_proxy(
        &self,
        stream: &mut ClientStream,
        peer: &mut Peer,
        permit: &HandshakePermit,
    ) -> Option<Vec<u8>> {
        let arrived = || permit.advance(Stage::Begun);
        let stopping = self.stopping(permit);
        match either(pin!(proxy::read(stream, arrived)), pin!(stopping)).await {
            Either::First(Ok((header, received))) => {
                if let Header::Client { addr, secure } = header {
                    *peer = Peer { addr, secure, local: false, ..*peer };
                }
                Some(received)
            }
            Either::First(Err(reason)) => {
                self.record_bad_proxy(peer, reason);
                None
            }
            Either::Second(()) => None,
        }
    }

    /// Answers a request. Returns the connection, if it becomes one.
    pub(super) async fn handle_request(
        &self,
        incoming: Incoming<ClientStream>,
        peer: &Peer,
        permit: &HandshakePermit,
    ) -> Option<Step> {
        if !incoming.request().is_upgrade() && !self.lifecycle.is_stopping() {
            // in a box of its own: all others would have the room for it
            Box::pin(self.answer_plain(incoming, peer, permit)).await;
            return None;
        }
        permit.advance(Stage::Kept); // a handler has a time of its own to decide
        let decided = self.accept_request(incoming.request(), peer).await;
        permit.advance(Stage::Begun);
        match decided {
            Ok(accepted) => self.open(incoming, peer, accepted).await,
            Err(refusal) => {
                Box::pin(refuse(incoming, refusal)).await;
                None
            }
        }
    }

    /// Answers a request of plain HTTP.
    async fn answer_plain(
        &self,
        incoming: Incoming<ClientStream>,
        peer: &Peer,
        permit: &HandshakePermit,
    ) {
        if let Some(endpoint) = self.find_http(incoming.request()) {
            return self.serve_http(incoming, *peer, endpoint, permit).await;
        }
        match self.respond(incoming.request(), peer) {
            Ok(response) => answer(incoming, &response).await,
            Err(refusal) => refuse(incoming, refusal).await,
        }
    }

    /// Decides about a handshake, and records it if it is refused.
    pub(crate) async fn accept_request(
        &self,
        http: &handshake::Request,
        peer: &Peer,
    ) -> Result<Accepted, Refusal> {
        let decided = self.decide(http, peer).await;
        if let Err(refusal) = &decided {
            self.record(http.path(), peer, refusal);
        }
        decided
    }

    /// Checks a handshake in the order in which the answers are documented (see the module
    /// [`server`](crate::server)), and then asks its handler.
    async fn decide(&self, http: &handshake::Request, peer: &Peer) -> Result<Accepted, Refusal> {
        self.check_not_stopping()?;
        let route = self.settings.routes.find(http.path());
        let (pattern, route, params) = route.ok_or_else(not_found)?;
        http.check()?;
        let request = self.settings.request(http, *peer, Some((pattern, &params)))?;
        self.settings.check_host(&request)?;
        let origins = route.origins.as_ref().unwrap_or(&self.settings.origins);
        catch(|| origins.check(&request))??;
        self.check_not_draining()?;
        let permit = self.connection_permit(route, &request)?;
        let mut accept = self.ask(&*route.handler, &request).await?;
        route.choose_subprotocol(&request, &mut accept);
        self.check_not_draining()?; // it may have begun meanwhile
        let kept = self.context.limits().max_kept_headers;
        let subprotocol = accept.subprotocol.as_deref();
        let pattern = Arc::clone(pattern);
        let info = ClientInfo::new(&request, subprotocol, pattern, params.clone(), kept);
        let values = mem::take(&mut accept.values);
        let client = Client::new(info, values, Arc::clone(&route.common));
        Ok(Accepted { route: Arc::clone(route), accept, client, permit })
    }

    /// Returns the response to a request of plain HTTP.
    fn respond(
        &self,
        http: &handshake::Request,
        peer: &Peer,
    ) -> Result<Cow<'_, Response>, Refusal> {
        if self.settings.health.as_deref() == Some(http.path()) {
            check_get(http)?;
            return Ok(Cow::Owned(self.health()));
        }
        let request = self.settings.request(http, *peer, None)?;
        self.settings.check_host(&request)?;
        if self.settings.metrics.as_deref() == Some(http.path()) {
            check_get(http)?;
            return Ok(Cow::Owned(self.hub.stats().response(http)));
        }
        if let Some((_, response, _)) = self.settings.pages.find(http.path()) {
            check_get(http)?;
            return Ok(Cow::Borrowed(response));
        }
        if self.settings.routes.find(http.path()).is_some() {
            http.check()?; // fails, and says that this is a WebSocket endpoint
        }
        let fallback = self.settings.fallback.as_ref().ok_or_else(not_found)?;
        let response = catch(|| fallback(&request)).inspect_err(|_| {
            self.context.panicked(peer.addr, http.path());
        });
        Ok(Cow::Owned(response?))
    }

    /// Begins to read a request on a stream from which `received` has been read already.
    pub(super) fn begin(&self, stream: ClientStream, received: &[u8]) -> Begun {
        let reading = Reading::begin(stream, received, &self.settings.config);
        Begun { reading, arrived: !received.is_empty() }
    }

    /// Reads a request: `None` if the server stops before it is there.
    pub(super) async fn read(
        &self,
        begun: Begun,
        permit: &HandshakePermit,
    ) -> Option<Result<Incoming<ClientStream>, Error>> {
        let Begun { reading, arrived } = begun;
        // not before: a task that had no turn yet may have its request to read
        permit.advance(if arrived { Stage::Begun } else { Stage::Silent });
        let reading = match reading {
            Ok(reading) => reading,
            Err(error) => return Some(Err(error)),
        };
        let begun = AtomicBool::new(arrived); // atomic for `Send`: only this task has it
        let read = reading.read_and_tell(|| {
            if !begun.swap(true, Ordering::Relaxed) {
                permit.advance(Stage::Begun);
            }
        });
        match either(pin!(read), pin!(self.too_late(permit, &begun))).await {
            Either::First(read) => Some(read),
            Either::Second(()) => None,
        }
    }

    /// Waits until the server stops. A browser may have connected for later; what has begun by then
    /// may be completed, and so may what was still in the queue of a listener.
    pub(super) async fn too_late(&self, permit: &HandshakePermit, begun: &AtomicBool) {
        let was_queued = self.lifecycle.is_stopping();
        self.stopping(permit).await;
        if was_queued || begun.load(Ordering::Relaxed) {
            Box::pin(sleep(GRACE)).await; // seldom
        }
    }

    /// Waits until the server stops, in the task of a handshake.
    pub(super) fn stopping(&self, permit: &HandshakePermit) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            permit.listen(cx); // first, so that no phase is missed
            if self.lifecycle.is_stopping() { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    fn check_not_stopping(&self) -> Result<(), Response> {
        match self.lifecycle.is_stopping() {
            true => Err(unavailable("the server is shutting down")),
            false => Ok(()),
        }
    }

    fn check_not_draining(&self) -> Result<(), Response> {
        self.check_not_stopping()?;
        match self.lifecycle.is_draining() {
            true => Err(unavailable("the server takes no new connections")),
            false => Ok(()),
        }
    }

    fn connection_permit(
        &self,
        route: &Served,
        request: &Request<'_>,
    ) -> Result<ConnectionPermit, Response> {
        route.places.connection(request.remote_ip()).map_err(|full| match full {
            Full::Server => unavailable("there are too many connections"),
            Full::Route => unavailable("there are too many connections to this path"),
            Full::Network => too_many_of_network(),
            Full::Rate => {
                Counters::add(&self.context.counters.rate_refused);
                too_often()
            }
        })
    }

    /// Asks a handler, which may panic or take too long.
    async fn ask(
        &self,
        handler: &dyn ErasedHandler,
        request: &Request<'_>,
    ) -> Result<Accept, Refusal> {
        let mut deciding = handler.decide(request);
        let decided = match poll_fn(|cx| Poll::Ready(deciding.as_mut().poll(cx))).await {
            Poll::Ready(decided) => Ok(decided),
            // most decide at once
            Poll::Pending => {
                Box::pin(timeout(self.settings.config.handshake_timeout, deciding)).await
            }
        };
        match decided {
            Ok(Some(decision)) => decision.map_err(Refusal::Response),
            Ok(None) => Err(Refusal::Panicked),
            Err(_) => Err(unavailable("the application did not decide in time").into()),
        }
    }

    fn health(&self) -> Response {
        let response = match self.check_not_draining() {
            Ok(()) => Response::text("ok\n"),
            Err(response) => response,
        };
        response.header("Cache-Control", "no-store")
    }

    /// Answers a handshake that is accepted, and returns its connection.
    async fn open(
        &self,
        mut incoming: Incoming<ClientStream>,
        peer: &Peer,
        accepted: Accepted,
    ) -> Option<Step> {
        incoming.set_config(&accepted.route.config);
        match incoming.accept(&accepted.accept.as_handshake()).await {
            Ok(ws) => return Some(self.connect(ws, accepted)),
            // it was answered with status 500
            Err(Error::Usage(_)) => self.record_unusable(&accepted, peer),
            // the client is gone
            Err(_) => self.context.counters.refused(None),
        }
        None
    }

    /// Hands an open connection to its handler, in a task of its own.
    pub(crate) fn start(&self, ws: WebSocket<ClientStream>, accepted: Accepted) {
        tokio::spawn(self.connect(ws, accepted));
    }

    /// Hands an open connection to its handler.
    fn connect(&self, mut ws: WebSocket<ClientStream>, accepted: Accepted) -> Step {
        ws.outgoing().stream_mut().count();
        let Accepted { route, client, permit, .. } = accepted;
        Arc::clone(&route.handler).serve(ws, client, permit, self.permits.task())
    }

    /// Counts and logs a handshake that is refused.
    fn record(&self, path: &str, peer: &Peer, refusal: &Refusal) {
        let status = match refusal {
            Refusal::Invalid(error) => return self.record_invalid(peer, &error.clone().into()),
            Refusal::Panicked => {
                self.context.panicked(peer.addr, path);
                500
            }
            Refusal::Response(response) => response.status_code(),
        };
        self.context.counters.refused(Some(status));
        self.context.log(&LogEvent::Refused { peer_addr: peer.addr, path, status });
    }

    /// Counts and logs what is not a valid request or handshake.
    pub(super) fn record_invalid(&self, peer: &Peer, error: &Error) {
        self.context.counters.bad_request(status_for(error));
        self.context.log(&LogEvent::BadRequest { peer_addr: peer.addr, error });
    }

    /// Counts and logs a proxy that did not say in time what it should have.
    pub(super) fn record_bad_proxy(&self, peer: &Peer, reason: &'static str) {
        self.context.counters.bad_request(None);
        self.context.log(&LogEvent::BadProxyHeader { peer_addr: peer.addr, reason });
    }

    /// Counts and logs a handshake that a handler has accepted with what cannot be sent.
    pub(crate) fn record_unusable(&self, accepted: &Accepted, peer: &Peer) {
        self.record(accepted.client.info().path(), peer, &internal_error().into());
    }
}

impl Settings {
    /// Reads a request with what the trusted proxies say about it.
    pub(super) fn request<'a>(
        &self,
        http: &'a handshake::Request,
        peer: Peer,
        route: Option<(&'a Arc<Pattern>, &'a Params)>,
    ) -> Result<Request<'a>, Response> {
        let route = route.map(|(pattern, params)| (&**pattern, params));
        Request::new(http, peer, &self.trust, route)
    }

    pub(super) fn check_host(&self, request: &Request<'_>) -> Result<(), Response> {
        match &self.hosts {
            Some(hosts) if !hosts.contain(request.host(), request.is_secure()) => {
                Err(misdirected(request.host()))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the status of the answer to a request that is not valid, if there was one.
fn status_for(error: &Error) -> Option<u16> {
    match error {
        Error::HandshakeTimeout => Some(408),
        Error::Handshake(error) => error.status(),
        _ => None,
    }
}

/// Checks that a request fetches something.
fn check_get(http: &handshake::Request) -> Result<(), Response> {
    match http.method() {
        "GET" | "HEAD" => Ok(()),
        _ => Err(method_not_allowed()),
    }
}

/// Calls a closure of the application, which may panic.
pub(super) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Refusal> {
    // What the closure shares may be left in a state it did not mean, as after a panic in any
    // thread; nothing of ours is changed inside.
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| Refusal::Panicked)
}

/// Answers a request that is refused.
async fn refuse(incoming: Incoming<ClientStream>, refusal: Refusal) {
    match refusal {
        Refusal::Invalid(error) if error != HandshakeError::UpgradeRemoved => {
            // fails, and answers with what is wrong
            let _ = incoming.accept(&handshake::Accept::default()).await;
        }
        refusal => answer(incoming, &refusal.into_response()).await,
    }
}

/// Answers a request; with status 500 if the response cannot be sent.
pub(super) async fn answer(incoming: Incoming<ClientStream>, response: &Response) {
    let mut substitute = None;
    let response = sendable(response, &mut substitute);
    // fails if the peer is gone
    let _ = incoming.reject(&response.as_reject()).await;
}

/// Returns the response, or a substitute for one that cannot be sent.
pub(super) fn sendable<'a>(
    response: &'a Response,
    substitute: &'a mut Option<Response>,
) -> &'a Response {
    match response.check() {
        Ok(()) => response,
        Err(_) => substitute.insert(internal_error()),
    }
}

/// Waits for the future that is ready first. They are pinned where they are: what takes a future
/// holds it twice, as an argument and as a variable.
pub(crate) fn either<A, B>(
    mut first: Pin<&mut impl Future<Output = A>>,
    mut second: Pin<&mut impl Future<Output = B>>,
) -> impl Future<Output = Either<A, B>> {
    poll_fn(move |cx| match first.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Either::First(result)),
        Poll::Pending => second.as_mut().poll(cx).map(Either::Second),
    })
}

pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// The time that a request may still take to arrive once the server shuts down: a segment that was
/// lost is sent again by then (RFC 6298 §2).
pub(crate) const GRACE: Duration = Duration::from_secs(1);
