//! What a server serves where, and whom it tells of it.
#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;

#[cfg(doc)]
use super::client::hub::Hub;
use super::error::ServerError;
#[cfg(doc)]
use super::handle::ServerHandle;
use super::http::handler::{HttpHandler, HttpRequest};
use super::http::request::Request;
use super::http::response::Response;
use super::http::route::{PathError, Pattern};
use super::observe::event::LogEvent;
use super::route::Route;
use super::server::Server;
#[cfg(doc)]
use crate::config::Config;

impl Server {
    /// Routes handshakes for a path to a handler: `/chat`, `/chat/{room}`, `/files/{*rest}`.
    ///
    /// A parameter is a whole segment; `{*name}` takes all segments that follow and stands last.
    /// Literal segments are preferred to parameters, in whatever order the paths were added.
    /// Parameters are percent-decoded; a path that is not UTF-8 then matches nothing.
    ///
    /// The handler is a [`Handler`](super::Handler), or a [`Route`] of one with settings of its
    /// own.
    pub fn route(mut self, path: &str, handler: impl Into<Route>) -> Self {
        let inserted = self.routes.insert(path, handler.into());
        self.note(inserted);
        self
    }

    /// Sets the response to requests of plain HTTP for a path, with GET or HEAD. The path has the
    /// form of those of [`route`](Self::route), and may be the same.
    pub fn page(mut self, path: &str, response: Response) -> Self {
        if let Err(error) = response.check() {
            self.note::<()>(Err(ServerError::Page { path: path.into(), error }));
        }
        let inserted = self.settings.pages.insert(path, response);
        self.note(inserted);
        self
    }

    /// Sets the closure that answers requests of plain HTTP for a path, whatever their method: it
    /// has their whole body and the [`Hub`]. The path has the form of those of
    /// [`route`](Self::route), and may be the same; where there is a [`page`](Self::page) too, this
    /// answers.
    ///
    /// To publish over HTTP from another process:
    ///
    /// ```no_run
    /// # use sansws::server::{HttpRequest, Response, Server};
    /// # fn set_up(server: Server, token: &'static str) -> Server {
    /// server.http("/publish/{room}", move |request: HttpRequest| async move {
    ///     if request.method() != "POST" {
    ///         return Response::empty(405).header("Allow", "POST");
    ///     }
    ///     if request.header("Authorization") != Some(token) {
    ///         return Response::empty(401).header("WWW-Authenticate", "Bearer");
    ///     }
    ///     let (Some(room), Some(text)) = (request.param("room"), request.text()) else {
    ///         return Response::text("UTF-8, please.\n").status(400);
    ///     };
    ///     match request.hub().room(room).send(text) {
    ///         Ok(clients) => Response::text(format!("sent to {clients}\n")),
    ///         Err(error) => Response::text(format!("{error}\n")).status(400),
    ///     }
    /// })
    /// # }
    /// ```
    ///
    /// and then `curl -d hello -H "Authorization: $TOKEN" http://127.0.0.1:8181/publish/lobby`.
    ///
    /// Scripts of other sites are kept out as from a WebSocket, by [`origins`](Self::origins): a
    /// browser sends the user's cookies along. Programs say no origin and are let in, so that the
    /// closure has to check who they are.
    ///
    /// A request is one of the [pending](Self::max_pending) ones until it has its answer. Its body
    /// comes with a `Content-Length` or in chunks; more than
    /// [`max_body_len`](Self::max_body_len) bytes are answered with status 413, one that is
    /// malformed with 400, one that takes longer than
    /// [`Config::handshake_timeout`] with 408, and one in another transfer coding with 501. The
    /// closure has as long again, and gets a 503 sent for it then; a panic is a 500. The connection
    /// is closed after the answer. For HTTP beyond that, put the server into a stack that has it:
    /// [`ServerHandle::accept_request`].
    pub fn http<A>(
        mut self,
        path: &str,
        answer: impl Fn(HttpRequest) -> A + Send + Sync + 'static,
    ) -> Self
    where
        A: Future<Output = Response> + Send + 'static,
    {
        let handler: Arc<HttpHandler> = Arc::new(move |request| Box::pin(answer(request)));
        let inserted = self.settings.http.insert(path, handler);
        self.note(inserted);
        self
    }

    /// Sets the longest body of a request to a handler of [`http`](Self::http), in bytes. Default
    /// 64 KiB: with all [pending](Self::max_pending) requests that is 512 MiB, and a message to
    /// publish is shorter as a rule.
    pub const fn max_body_len(mut self, bytes: usize) -> Self {
        self.settings.max_body_len = bytes;
        self
    }

    /// Sets a closure that answers requests of plain HTTP for which there is no page and no route,
    /// in place of a 404. It is called for every method; the body of a request is not read.
    pub fn fallback(
        mut self,
        answer: impl Fn(&Request<'_>) -> Response + Send + Sync + 'static,
    ) -> Self {
        self.settings.fallback = Some(Box::new(answer));
        self
    }

    /// Sets the path for health checks of load balancers: 200 while the server takes connections,
    /// 503 while it [drains](ServerHandle::drain) or shuts down.
    pub fn health(mut self, path: &str) -> Self {
        self.settings.health = self.literal(path);
        self
    }

    /// Sets the path where [`Hub::stats`] is served in the text format of OpenMetrics, for
    /// Prometheus and others: to GET and HEAD, on the port of everything else, and before a
    /// [`page`](Self::page) or handler of the same path. A browser gets it as plain text. Nothing
    /// is counted for it that is not counted anyway.
    ///
    /// Anybody who can reach the server can read it, and it tells how busy the server is and how
    /// often it fails. Keep it from the public: refuse the path in the reverse proxy in front, or
    /// serve the same text from a handler of your own that checks who asks:
    ///
    /// ```no_run
    /// # use sansws::server::{HttpRequest, Response, Server, Stats};
    /// # fn set_up(server: Server, token: &'static str) -> Server {
    /// server.http("/metrics", move |request: HttpRequest| async move {
    ///     if request.header("Authorization") != Some(token) {
    ///         return Response::empty(401).header("WWW-Authenticate", "Bearer");
    ///     }
    ///     Response::new(Stats::OPENMETRICS, request.hub().stats().to_openmetrics())
    /// })
    /// # }
    /// ```
    pub fn metrics(mut self, path: &str) -> Self {
        self.settings.metrics = self.literal(path);
        self
    }

    /// Measures how long the calls of handlers for open connections take, from when they begin to
    /// when they are over, what they wait for included: see
    /// [`Stats::handler_times`](super::Stats::handler_times). Costs two looks at the clock for each
    /// call, which is half as much as a small message; off by default.
    pub fn time_handlers(self) -> Self {
        self.context.time_handlers();
        self
    }

    /// Sets the closure that is told of [`LogEvent`]s; it must not wait. By default they are only
    /// [counted](Hub::stats).
    ///
    /// Events of port scanners and probes are [`Level::Debug`](super::Level::Debug), so that a log
    /// can leave them out.
    ///
    /// ```no_run
    /// # use sansws::server::{Level, Server};
    /// # fn set_up(server: Server) -> Server {
    /// server.on_log(|event| {
    ///     if event.level() >= Level::Warn {
    ///         eprintln!("{event}");
    ///     }
    /// })
    /// # }
    /// ```
    pub fn on_log(self, log: impl Fn(&LogEvent<'_>) + Send + Sync + 'static) -> Self {
        self.context.set_log(Box::new(log));
        self
    }

    /// Returns a path without parameters; notes what is wrong with another one, and `run` fails.
    fn literal(&mut self, path: &str) -> Option<Box<str>> {
        match Pattern::parse(path) {
            Ok(pattern) if pattern.is_literal() => return Some(path.into()),
            Ok(_) => self.note::<()>(Err(PathError::with_parameters(path))),
            Err(error) => self.note::<()>(Err(error)),
        }
        None
    }
}
