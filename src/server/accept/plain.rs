//! Requests of plain HTTP that have a handler.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use tokio::time::{sleep, timeout};

use super::acceptor::{Acceptor, Either, GRACE, catch, either, sendable};
use super::pending::Stage;
use super::permits::HandshakePermit;
use super::refusal::{Refusal, unavailable};
use crate::error::Error;
use crate::handshake::HandshakeError;
use crate::handshake::server::{self as handshake, BodyError, BodyReader};
use crate::server::client::stream::ClientStream;
use crate::server::http::forwarded::OwnedForwarded;
use crate::server::http::handler::{HttpHandler, HttpRequest};
use crate::server::http::request::Peer;
use crate::server::http::response::Response;
use crate::server::http::route::{Params, Pattern};
use crate::tokio::{Exchange, Incoming};

/// A handler of plain HTTP, and the path that led to it.
pub(crate) struct HttpRoute {
    handler: Arc<HttpHandler>,
    pattern: Arc<Pattern>,
    params: Params,
}

impl Acceptor {
    /// Looks for the handler of a request.
    pub(crate) fn find_http(&self, http: &handshake::Request) -> Option<HttpRoute> {
        let own = [&self.settings.health, &self.settings.metrics];
        if own.iter().any(|path| path.as_deref() == Some(http.path())) {
            return None;
        }
        let (pattern, handler, params) = self.settings.http.find(http.path())?;
        Some(HttpRoute { handler: Arc::clone(handler), pattern: Arc::clone(pattern), params })
    }

    /// Reads the body of a request, asks its handler, and answers.
    pub(crate) async fn serve_http(
        &self,
        incoming: Incoming<ClientStream>,
        peer: Peer,
        route: HttpRoute,
        permit: &HandshakePermit,
    ) {
        let (http, mut exchange) = incoming.into_exchange();
        let response = match self.answer_http(http, &mut exchange, peer, route, permit).await {
            Some(Ok(response)) => response,
            Some(Err(refusal)) => refusal.into_response(),
            None => return,
        };
        permit.advance(Stage::Begun);
        let mut substitute = None;
        let response = sendable(&response, &mut substitute);
        // fails if the peer is gone
        let _ = exchange.respond(&response.as_reject()).await;
    }

    /// Returns the answer of the handler, or what stands against asking it; `None` if the server
    /// stops before the body is there.
    async fn answer_http(
        &self,
        http: handshake::Request,
        exchange: &mut Exchange<ClientStream>,
        peer: Peer,
        route: HttpRoute,
        permit: &HandshakePermit,
    ) -> Option<Result<Response, Refusal>> {
        let HttpRoute { handler, pattern, params } = route;
        let (forwarded, reader) = match self.check_http(&http, peer) {
            Ok(checked) => checked,
            Err(refusal) => return Some(Err(refusal)),
        };
        // RFC 9110 §10.1.1: "A server that receives a 100-continue expectation in an HTTP/1.0
        // request MUST ignore that expectation."
        let expects = http.header("expect").is_some_and(|it| it.eq_ignore_ascii_case(CONTINUE));
        let is_awaited = expects && !http.is_http_1_0();
        let late = async {
            self.stopping(permit).await;
            sleep(GRACE).await;
        };
        let read = exchange.read_body(reader, is_awaited);
        let body = match either(pin!(read), pin!(late)).await {
            Either::First(Ok(body)) => body,
            Either::First(Err(error)) => return Some(Err(self.record_body(peer, error).into())),
            Either::Second(()) => return None,
        };
        permit.advance(Stage::Kept); // a handler has a time of its own to answer
        let path = http.path().to_owned();
        let hub = self.hub.clone();
        let body = body.into();
        let request = HttpRequest { http, peer, forwarded, pattern, params, body, hub };
        let answered = self.call_http(&*handler, request).await;
        if matches!(answered, Err(Refusal::Panicked)) {
            self.context.panicked(peer.addr, &path);
        }
        Some(answered)
    }

    /// Checks what a request says about where it comes from, and how long it is.
    fn check_http(&self, http: &handshake::Request, peer: Peer) -> Checked {
        let request = self.settings.request(http, peer, None)?;
        self.settings.check_host(&request)?;
        catch(|| self.settings.origins.check(&request))??;
        let reader = BodyReader::new(http, self.settings.max_body_len);
        let reader = reader.map_err(|error| self.record_body(peer, error))?;
        Ok((request.forwarded().into(), reader))
    }

    /// Asks a handler, which may panic or take too long.
    async fn call_http(
        &self,
        handler: &HttpHandler,
        request: HttpRequest,
    ) -> Result<Response, Refusal> {
        let mut answering = pin!(catch(|| handler(request))?);
        let answered = poll_fn(|cx| match catch(|| answering.as_mut().poll(cx)) {
            Ok(polled) => polled.map(Ok),
            Err(refusal) => Poll::Ready(Err(refusal)),
        });
        match timeout(self.settings.config.handshake_timeout, answered).await {
            Ok(answered) => answered,
            Err(_) => Err(unavailable("the application did not answer in time").into()),
        }
    }

    /// Counts a body that is not valid, and returns what it is answered with.
    fn record_body(&self, peer: Peer, error: BodyError) -> Response {
        let (status, why) = match error {
            BodyError::TooLong { limit } => {
                return Response::text(format!(
                    "413 Content Too Large: the body is over {limit} bytes.\n"
                ))
                .status(413);
            }
            BodyError::TimedOut => {
                self.record_invalid(&peer, &Error::HandshakeTimeout);
                (408, "408 Request Timeout: the body took too long.\n")
            }
            BodyError::Incomplete => {
                self.record_invalid(&peer, &HandshakeError::Incomplete.into());
                (400, "400 Bad Request: the body is not complete.\n")
            }
            BodyError::Malformed => {
                self.context.counters.bad_request(Some(400));
                (400, "400 Bad Request: the body is not in chunks as RFC 9112 has them.\n")
            }
            BodyError::UnknownCoding => {
                self.context.counters.bad_request(Some(501));
                (501, "501 Not Implemented: the only transfer coding is chunked.\n")
            }
        };
        Response::text(why).status(status)
    }
}

type Checked = Result<(OwnedForwarded, BodyReader), Refusal>;

const CONTINUE: &str = "100-continue";
