use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;
use core::time::Duration;
use std::panic::catch_unwind;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::accept::Accept;
use super::lifecycle::{ConnectionPermit, Control, Phase, Room};
use super::pending::{HandshakePermit, Stage};
use crate::error::Error;
use crate::handshake::HandshakeError;
use crate::handshake::server as handshake;
use crate::proto::Config;
use crate::server::client::client::{Client, ClientInfo};
use crate::server::client::hub::Hub;
use crate::server::client::stream::ClientStream;
use crate::server::client::task::{ErasedHandler, Transport, internal_error};
use crate::server::http::hosts::Hosts;
use crate::server::http::origin::OriginPolicy;
use crate::server::http::request::{Peer, Request};
use crate::server::http::response::Response;
use crate::server::http::route::{Params, Pattern, Table};
use crate::server::observe::event::LogEvent;
use crate::server::observe::stats::Counters;
use crate::tokio::{Incoming, WebSocket, read_and_tell, tune};

/// What answers requests: everything that a server was set up with.
pub(crate) struct Acceptor {
    pub(crate) routes: Table<Arc<dyn ErasedHandler>>,
    pub(crate) pages: Table<Response>,
    pub(crate) fallback: Option<Box<Fallback>>,
    /// Where a load balancer asks whether to send clients.
    pub(crate) health: Option<Box<str>>,
    pub(crate) origins: OriginPolicy,
    /// The hosts that it is, if that was said.
    pub(crate) hosts: Option<Hosts>,
    /// Its listener is on a loopback address.
    pub(crate) on_loopback: bool,
    pub(crate) trusted_proxies: usize,
    pub(crate) config: Config,
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_ip: Option<usize>,
    pub(crate) room: Room,
    pub(crate) hub: Hub,
    pub(crate) control: Arc<Control>,
}

pub(crate) type Fallback = dyn Fn(&Request<'_>) -> Response + Send + Sync;

impl Acceptor {
    /// Takes care of a connection that the server's listener has accepted.
    pub(crate) fn receive(
        self: &Arc<Self>,
        stream: TcpStream,
        addr: SocketAddr,
        pending: HandshakePermit,
    ) {
        // a socket that is gone already shows that when it is read
        let _ = tune(&stream);
        let local = self.on_loopback && self.hosts.is_none();
        self.start(
            ClientStream::new(stream),
            Vec::new(),
            Peer { addr, secure: false, local },
            pending,
        );
    }

    /// Answers the request of a connection in a task of its own.
    pub(crate) fn start<S: Transport>(
        self: &Arc<Self>,
        stream: S,
        received: Vec<u8>,
        peer: Peer,
        pending: HandshakePermit,
    ) {
        let task = self.control.task();
        let acceptor = Arc::clone(self);
        tokio::spawn(async move {
            let cut =
                acceptor.control.reached(|phase| matches!(phase, Phase::Aborting | Phase::Over));
            let leave = either(pending.told_to_leave(), cut);
            // In a box that is gone before the task is, and the stream before its place is free.
            let ended =
                Box::pin(either(acceptor.serve(stream, received, peer, &pending), leave)).await;
            if let Either::Second(Either::First(())) = ended {
                Counters::add(&acceptor.hub.counters().gave_way);
            }
            drop(pending);
            drop(task);
        });
    }

    async fn serve<S: Transport>(
        &self,
        stream: S,
        received: Vec<u8>,
        peer: Peer,
        pending: &HandshakePermit,
    ) {
        let begun = AtomicBool::new(false);
        let arrived = || {
            if !begun.swap(true, Ordering::Relaxed) {
                pending.advance(Stage::Begun);
            }
        };
        pending.advance(Stage::Silent);
        if !received.is_empty() {
            arrived();
        }
        // A browser may have connected for later. One that is at it may finish.
        let late = async {
            self.control.reached(Phase::is_stopping).await;
            if begun.load(Ordering::Relaxed) {
                sleep(GRACE).await;
            }
        };
        let read = read_and_tell(stream, [&received, &[]], &self.config, arrived);
        let incoming = match either(read, late).await {
            Either::First(Ok(incoming)) => incoming,
            // what failed has been answered
            Either::First(Err(error)) => return self.bad_request(peer, &error),
            Either::Second(()) => return,
        };
        if self.control.is_stopping() {
            self.refuse(incoming, peer, unavailable("the server is shutting down")).await;
        } else if incoming.request().is_upgrade() {
            self.open(incoming, peer, pending).await;
        } else {
            self.show(incoming, peer).await;
        }
    }

    /// Answers a handshake.
    async fn open<S: Transport>(
        &self,
        incoming: Incoming<S>,
        peer: Peer,
        pending: &HandshakePermit,
    ) {
        // a handler has a time of its own to decide
        pending.advance(Stage::Kept);
        let accepted = self.accept_request(incoming.request(), peer).await;
        pending.advance(Stage::Begun);
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(Refusal::Response(page)) => return answer(incoming, &page).await,
            Err(Refusal::Invalid(_)) => {
                // this is what answers it
                let _ = incoming.accept(&handshake::Accept::default()).await;
                return;
            }
        };
        let headers = accepted.acceptance.headers();
        match incoming.accept(&accepted.acceptance.accept(&headers)).await {
            Ok(ws) => {
                drop(headers);
                self.start_connection(ws, accepted);
            }
            // it was answered with status 500; otherwise the client is gone
            Err(Error::Usage(_)) => self.refusal(accepted.info.path(), peer, &internal_error()),
            Err(_) => Counters::add(&self.hub.counters().refused),
        }
    }

    /// Whether to accept a handshake. Who is not let in has been counted.
    pub(crate) async fn accept_request(
        &self,
        http: &handshake::Request,
        peer: Peer,
    ) -> Result<Accepted, Refusal> {
        let refuse = |page| {
            self.refusal(http.path(), peer, &page);
            Err(Refusal::Response(page))
        };
        let Some((pattern, handler, params)) = self.routes.find(http.path()) else {
            return refuse(not_found());
        };
        if let Err(error) = http.check() {
            self.bad_request(peer, &error.clone().into());
            return Err(match error {
                HandshakeError::UpgradeRemoved => Refusal::Response(upgrade_removed()),
                error => Refusal::Invalid(error),
            });
        }
        let route = Some((&**pattern, &params));
        let request = match self.request(http, peer, route) {
            Ok(request) => request,
            Err(page) => return refuse(page),
        };
        match self.poll_caught(&request, |request| self.origins.refuse(request)) {
            Ok(None) => {}
            Ok(Some(page)) | Err(page) => return refuse(page),
        }
        let place = match self.place(&request) {
            Ok(place) => place,
            Err(page) => return refuse(page),
        };
        let acceptance = match self.decide(&**handler, &request).await {
            Ok(acceptance) => acceptance,
            Err(page) => return refuse(page),
        };
        if self.control.is_draining() {
            return refuse(unavailable("the server is shutting down"));
        }
        let subprotocol = acceptance.subprotocol.as_deref();
        let kept = self.hub.limits().max_kept_headers;
        let info =
            ClientInfo::new(&request, subprotocol, Arc::clone(pattern), params.clone(), kept);
        Ok(Accepted { handler: Arc::clone(handler), acceptance, info, place })
    }

    /// A request that is for this server, or the answer to it.
    fn request<'a>(
        &self,
        http: &'a handshake::Request,
        peer: Peer,
        route: Option<(&'a Pattern, &'a Params)>,
    ) -> Result<Request<'a>, Response> {
        let request = Request::new(http, peer, self.trusted_proxies, route)?;
        match &self.hosts {
            Some(hosts) if !hosts.contain(request.host(), request.is_secure()) => {
                Err(misdirected(request.host()))
            }
            _ => Ok(request),
        }
    }

    /// Gives a connection that is open to its handler.
    pub(crate) fn start_connection<S: Transport>(&self, ws: WebSocket<S>, accepted: Accepted) {
        let Accepted { handler, acceptance, info, place } = accepted;
        let client = Client::new(info, acceptance.state, self.hub.clone());
        S::start(ws, handler, client, (place, self.control.task()));
    }

    /// A place for a connection, or why there is none.
    fn place(&self, request: &Request<'_>) -> Result<ConnectionPermit, Response> {
        if self.control.is_draining() {
            return Err(unavailable("the server takes no new connections"));
        }
        let place = self.control.place(self.max_connections);
        let mut place = place.ok_or_else(|| unavailable("there are too many connections"))?;
        if let Some(max) = self.max_connections_per_ip
            && !place.in_network_of(request.remote_ip(), max)
        {
            return Err(Response::text(TOO_MANY_OF_YOU).status(429));
        }
        Ok(place)
    }

    /// What the handler says, unless it panics or takes too long over it.
    async fn decide(
        &self,
        handler: &dyn ErasedHandler,
        request: &Request<'_>,
    ) -> Result<Accept, Response> {
        match timeout(self.config.handshake_timeout, handler.decide(request)).await {
            Ok(Some(decision)) => decision,
            Ok(None) => {
                self.hub.panicked(request.peer_addr(), request.path());
                Err(internal_error())
            }
            Err(_) => Err(unavailable("the application did not decide in time")),
        }
    }

    /// Answers any other request.
    async fn show<S: Transport>(&self, incoming: Incoming<S>, peer: Peer) {
        let http = incoming.request();
        if self.health.as_deref() == Some(http.path()) {
            let page = match self.control.is_draining() {
                true => unavailable("the server takes no new connections"),
                false => Response::text("ok\n"),
            };
            return show(incoming, &page.header("Cache-Control", "no-store")).await;
        }
        let request = match self.request(http, peer, None) {
            Ok(request) => request,
            Err(page) => return answer(incoming, &page).await,
        };
        if let Some((_, page, _)) = self.pages.find(http.path()) {
            return show(incoming, page).await;
        }
        if self.routes.find(http.path()).is_some() {
            // says that this is a WebSocket endpoint
            let _ = incoming.accept(&handshake::Accept::default()).await;
            return;
        }
        let page = match &self.fallback {
            None => not_found(),
            Some(fallback) => {
                self.poll_caught(&request, |request| fallback(request)).unwrap_or_else(|page| page)
            }
        };
        answer(incoming, &page).await;
    }

    /// What a closure of the application says; if it panics, the answer to that.
    fn poll_caught<T>(
        &self,
        request: &Request<'_>,
        ask: impl FnOnce(&Request<'_>) -> T,
    ) -> Result<T, Response> {
        catch_unwind(AssertUnwindSafe(|| ask(request))).map_err(|_| {
            self.hub.panicked(request.peer_addr(), request.path());
            internal_error()
        })
    }

    async fn refuse<S: Transport>(&self, incoming: Incoming<S>, peer: Peer, page: Response) {
        self.refusal(incoming.request().path(), peer, &page);
        answer(incoming, &page).await;
    }

    /// Counts and tells that a handshake is refused.
    pub(crate) fn refusal(&self, path: &str, peer: Peer, page: &Response) {
        Counters::add(&self.hub.counters().refused);
        let status = page.status_code();
        self.hub.log(&LogEvent::Refused { peer_addr: peer.addr, path, status });
    }

    fn bad_request(&self, peer: Peer, error: &Error) {
        Counters::add(&self.hub.counters().bad_requests);
        self.hub.log(&LogEvent::BadRequest { peer_addr: peer.addr, error });
    }
}

/// Who is let in, with everything that the connection needs.
pub(crate) struct Accepted {
    handler: Arc<dyn ErasedHandler>,
    pub(crate) acceptance: Accept,
    pub(crate) info: ClientInfo,
    place: ConnectionPermit,
}

/// Why somebody is not.
pub(crate) enum Refusal {
    Response(Response),
    /// It was no valid handshake.
    Invalid(HandshakeError),
}

/// Answers a request for a page that is there.
async fn show<S: Transport>(incoming: Incoming<S>, page: &Response) {
    // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
    let not_allowed = Response::text("405 Method Not Allowed\n").status(405);
    match incoming.request().method() {
        "GET" | "HEAD" => answer(incoming, page).await,
        _ => answer(incoming, &not_allowed.header("Allow", "GET, HEAD")).await,
    }
}

async fn answer<S: Transport>(incoming: Incoming<S>, page: &Response) {
    let substitute;
    let page = match page.check() {
        Ok(()) => page,
        Err(_) => {
            substitute = internal_error();
            &substitute
        }
    };
    let headers = page.headers();
    // whether the peer waits for it is its own affair
    let _ = incoming.reject(&page.reject(&headers)).await;
}

/// The one that is ready first.
async fn either<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> Either<A, B> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Either::First(result)),
        Poll::Pending => second.as_mut().poll(cx).map(Either::Second),
    })
    .await
}

enum Either<A, B> {
    First(A),
    Second(B),
}

fn not_found() -> Response {
    Response::text("404 Not Found: there is nothing at this path.\n").status(404)
}

pub(crate) fn unavailable(why: &str) -> Response {
    Response::text(alloc::format!("503 Service Unavailable: {why}; try again later.\n")).status(503)
}

/// RFC 9110 §15.5.20: "the request was directed at a server that is unable or unwilling to produce an
/// authoritative response for the target URI."
fn misdirected(host: &str) -> Response {
    Response::text(alloc::format!(
        "421 Misdirected Request: this server is not {host:?}. If it is, name it with \
         Server::allowed_hosts.\n"
    ))
    .status(421)
}

fn upgrade_removed() -> Response {
    Response::text(UPGRADE_REMOVED).status(426)
}

/// What whoever set up the proxy has to read.
const UPGRADE_REMOVED: &str = "426 Upgrade Required: this is a WebSocket handshake without its \
    Upgrade header, which a reverse proxy in front has removed. For nginx, write into the location:\n\n\
    proxy_http_version 1.1;\n\
    proxy_set_header Upgrade $http_upgrade;\n\
    proxy_set_header Connection $connection_upgrade;\n\n\
    and beside the servers:\n\n\
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n";

const TOO_MANY_OF_YOU: &str =
    "429 Too Many Requests: there are too many connections from your address; close one first.\n";

/// How long a request may still take to arrive once the server shuts down.
const GRACE: Duration = Duration::from_secs(1);
