use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::io::Write;
use std::panic::catch_unwind;

use tokio::net::TcpStream;
use tokio::time::sleep;

use super::client::{Client, ClientInfo};
use super::connection::{Endpoint, internal_error};
use super::hub::Hub;
use super::origin::OriginPolicy;
use super::page::Page;
use super::request::Request;
use super::route::Table;
use super::shutdown::{Control, PendingGuard, Phase, TaskGuard};
use super::stats::Counters;
use crate::handshake::HandshakeError;
use crate::handshake::server::Accept;
use crate::proto::Config;
use crate::tokio::{Incoming, read_request};

/// What answers requests: everything that a server was set up with.
pub(super) struct Desk {
    pub(super) routes: Table<Arc<dyn Endpoint>>,
    pub(super) pages: Table<Page>,
    pub(super) fallback: Option<Box<Fallback>>,
    pub(super) origins: OriginPolicy,
    pub(super) config: Config,
    pub(super) max_connections: usize,
    pub(super) max_pending: usize,
    pub(super) hub: Hub,
    pub(super) control: Arc<Control>,
}

pub(super) type Fallback = dyn Fn(&Request<'_>) -> Page + Send + Sync;

impl Desk {
    /// Takes care of a connection that was accepted.
    pub(super) fn receive(self: &Arc<Self>, stream: TcpStream, peer_addr: SocketAddr) {
        let Some(pending) = self.control.pending(self.max_pending) else {
            Counters::add(&self.hub.counters().refused);
            // No waiting, not even for the request: as good as it gets without taking part.
            if let Ok(mut stream) = stream.into_std() {
                let _ = stream.write(TOO_MANY_HANDSHAKES);
            }
            return;
        };
        let task = self.control.task();
        let desk = Arc::clone(self);
        tokio::spawn(async move {
            let control = Arc::clone(&desk.control);
            let cut = control.reached(|phase| matches!(phase, Phase::Cut | Phase::Over));
            // in a box that is gone before the task is
            Box::pin(either(desk.serve(stream, peer_addr, (pending, &task)), cut)).await;
            drop(task);
        });
    }

    async fn serve(
        &self,
        stream: TcpStream,
        peer_addr: SocketAddr,
        (pending, _task): (PendingGuard, &TaskGuard),
    ) {
        // a socket that is gone already shows that when it is read
        let _ = stream.set_nodelay(true);
        // A browser may have connected for later. One that is at it may finish.
        let late = async {
            self.control.reached(|phase| !matches!(phase, Phase::Serving)).await;
            sleep(GRACE).await;
        };
        // what failed has been answered
        let Some(Ok(incoming)) = either(read_request(stream, &self.config), late).await else {
            return;
        };
        if !self.control.is_serving() {
            self.refuse(incoming, &unavailable("the server is shutting down")).await;
        } else if incoming.request().is_upgrade() {
            self.open(incoming, peer_addr).await;
        } else {
            self.show(incoming, peer_addr).await;
        }
        drop(pending);
    }

    /// Answers a handshake.
    async fn open(&self, incoming: Incoming<TcpStream>, peer_addr: SocketAddr) {
        let http = incoming.request();
        let Some((pattern, endpoint, params)) = self.routes.find(http.path()) else {
            return self.refuse(incoming, &not_found()).await;
        };
        let (pattern, endpoint) = (Arc::clone(pattern), Arc::clone(endpoint));
        match http.check() {
            Ok(()) => {}
            Err(HandshakeError::UpgradeRemoved) => {
                return self.refuse(incoming, &upgrade_removed()).await;
            }
            Err(_) => {
                Counters::add(&self.hub.counters().refused);
                // this is what answers it
                let _ = incoming.accept(&Accept::default()).await;
                return;
            }
        }
        let request = Request { http, peer_addr, route: Some((&pattern, &params)) };
        match self.caught(|| self.origins.refuse(&request)) {
            Ok(None) => {}
            Ok(Some(page)) | Err(page) => return self.refuse(incoming, &page).await,
        }
        let Some(place) = self.control.place(self.max_connections) else {
            return self.refuse(incoming, &unavailable("there are too many connections")).await;
        };
        let acceptance = match endpoint.decide(&request).await {
            Some(Ok(acceptance)) => acceptance,
            Some(Err(page)) => return self.refuse(incoming, &page).await,
            None => {
                Counters::add(&self.hub.counters().panics);
                return self.refuse(incoming, &internal_error()).await;
            }
        };
        if !self.control.is_serving() {
            return self.refuse(incoming, &unavailable("the server is shutting down")).await;
        }
        let subprotocol = acceptance.subprotocol.as_deref();
        let info = ClientInfo::new(&request, subprotocol, Arc::clone(&pattern), params.clone());
        let headers = acceptance.headers();
        match incoming.accept(&acceptance.accept(&headers)).await {
            Ok(ws) => {
                let client = Client::new(info, self.hub.clone());
                endpoint.start(ws, client, (place, self.control.task()));
            }
            // the client is gone, or was answered with status 500
            Err(_) => Counters::add(&self.hub.counters().refused),
        }
    }

    /// Answers any other request.
    async fn show(&self, incoming: Incoming<TcpStream>, peer_addr: SocketAddr) {
        let http = incoming.request();
        if let Some((_, page, _)) = self.pages.find(http.path()) {
            // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405
            // response".
            let not_allowed = Page::text("405 Method Not Allowed\n").status(405);
            return match http.method() {
                "GET" | "HEAD" => answer(incoming, page).await,
                _ => answer(incoming, &not_allowed.header("Allow", "GET, HEAD")).await,
            };
        }
        if self.routes.find(http.path()).is_some() {
            // says that this is a WebSocket endpoint
            let _ = incoming.accept(&Accept::default()).await;
            return;
        }
        let page = match &self.fallback {
            None => not_found(),
            Some(fallback) => {
                let request = Request { http, peer_addr, route: None };
                self.caught(|| fallback(&request)).unwrap_or_else(|page| page)
            }
        };
        answer(incoming, &page).await;
    }

    /// What a closure of the application says; if it panics, the answer to that.
    fn caught<T>(&self, ask: impl FnOnce() -> T) -> Result<T, Page> {
        catch_unwind(AssertUnwindSafe(ask)).map_err(|_| {
            Counters::add(&self.hub.counters().panics);
            internal_error()
        })
    }

    async fn refuse(&self, incoming: Incoming<TcpStream>, page: &Page) {
        Counters::add(&self.hub.counters().refused);
        answer(incoming, page).await;
    }
}

async fn answer(incoming: Incoming<TcpStream>, page: &Page) {
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

/// The one that is ready first; `None` for the second.
async fn either<T>(first: impl Future<Output = T>, second: impl Future<Output = ()>) -> Option<T> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => second.as_mut().poll(cx).map(|()| None),
    })
    .await
}

fn not_found() -> Page {
    Page::text("404 Not Found: there is nothing at this path.\n").status(404)
}

fn unavailable(why: &str) -> Page {
    Page::text(alloc::format!("503 Service Unavailable: {why}; try again later.\n")).status(503)
}

fn upgrade_removed() -> Page {
    Page::text(UPGRADE_REMOVED).status(426)
}

/// What whoever set up the proxy has to read.
const UPGRADE_REMOVED: &str = "426 Upgrade Required: this is a WebSocket handshake without its \
    Upgrade header, which a reverse proxy in front has removed. For nginx, write into the location:\n\n\
    proxy_http_version 1.1;\n\
    proxy_set_header Upgrade $http_upgrade;\n\
    proxy_set_header Connection \"upgrade\";\n";

const TOO_MANY_HANDSHAKES: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// How long a request may still take to arrive once the server shuts down.
const GRACE: Duration = Duration::from_secs(1);
