use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;

use super::forwarded::{Forwarded, OwnedForwarded};
use super::request::{Peer, Request};
use super::response::Response;
use super::route::{Params, Pattern};
use crate::bytes::Bytes;
use crate::handshake::server;
use crate::server::client::hub::Hub;

/// A request of plain HTTP with its whole body, for the closure of
/// [`Server::http`](crate::server::Server::http). It owns all that it has, and may go to another
/// task.
pub struct HttpRequest {
    pub(crate) http: server::Request,
    pub(crate) peer: Peer,
    pub(crate) forwarded: OwnedForwarded,
    pub(crate) pattern: Arc<Pattern>,
    pub(crate) params: Params,
    pub(crate) body: Bytes,
    pub(crate) hub: Hub,
}

impl HttpRequest {
    /// Returns the method, such as `POST`, in capitals as a rule: it is as it was sent.
    pub fn method(&self) -> &str {
        self.http.method()
    }

    /// Returns everything but the body: addresses, path, parameters, headers, cookies.
    pub fn head(&self) -> Request<'_> {
        let forwarded = Forwarded::from(&self.forwarded);
        Request::with(&self.http, self.peer, forwarded, Some((&self.pattern, &self.params)))
    }

    /// Returns the value of a parameter of the path, percent-decoded. The client chose it.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.head().param(name)
    }

    /// Returns the value of the first header with this name, in any case; `None` if there is none
    /// or its value is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.http.header(name)
    }

    /// Returns the body, empty if there was none. No content coding is undone.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the body as text; `None` if it is not UTF-8.
    pub fn text(&self) -> Option<&str> {
        core::str::from_utf8(&self.body).ok()
    }

    /// Returns the body, which costs no copy.
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// Returns the hub of the server: the clients and their rooms.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.body.len();
        f.debug_struct("HttpRequest").field("http", &self.http).field("body_len", &len).finish()
    }
}

/// The closure of [`Server::http`](crate::server::Server::http).
pub(crate) type HttpHandler = dyn Fn(HttpRequest) -> Answering + Send + Sync;

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
