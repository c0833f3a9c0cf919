#![forbid(unsafe_code)]

use core::future::{Future, ready};

use super::client::Client;
use super::handler::{Handler, Internal, Received};
use crate::error::Error;
use crate::proto::CloseInfo;
use crate::server::accept::accept::Accept;
use crate::server::http::request::Request;
use crate::server::http::response::Response;

/// A decision about a handshake that is made before a handler is asked: see [`guard`].
///
/// A function `fn(&Request<'_>) -> Result<Accept, Response>` is one. Implement the trait where it
/// has to wait, with `check` as an `async fn`.
pub trait Guard: Send + Sync + 'static {
    /// Lets a handshake pass, with what is to be kept or sent, or answers with any response
    /// instead: then nobody else is asked.
    fn check(&self, request: &Request<'_>)
    -> impl Future<Output = Result<Accept, Response>> + Send;
}

impl<F> Guard for F
where
    F: Fn(&Request<'_>) -> Result<Accept, Response> + Send + Sync + 'static,
{
    fn check(
        &self,
        request: &Request<'_>,
    ) -> impl Future<Output = Result<Accept, Response>> + Send {
        ready(self(request))
    }
}

/// Puts a guard before a handler: whoever it refuses, [`Handler::on_request`] of the handler is not
/// asked about. What it accepts with is added up with what the handler accepts with
/// ([`Accept::and`]); its values can be read from there on ([`Request::state`],
/// [`Client::state`]). Costs an open connection nothing.
///
/// Several guards are asked from the outside in:
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
///
/// use sansws::server::{Accept, Guard, Handler, Request, Response, guard, handler_fn};
///
/// struct User(String);
///
/// /// Who is this? A function that does not wait.
/// fn logged_in(request: &Request<'_>) -> Result<Accept, Response> {
///     let token = request.cookie("token").ok_or_else(|| refusal(401, "Log in first.\n"))?;
///     let name = token.strip_prefix("secret-").ok_or_else(|| refusal(403, "Who are you?\n"))?;
///     Ok(Accept::new().client_state(User(name.to_string())))
/// }
///
/// fn refusal(status: u16, why: &'static str) -> Response {
///     Response::text(why).status(status)
/// }
///
/// /// No more than so many connections of each user.
/// #[derive(Clone)]
/// struct Quota {
///     most: usize,
///     taken: Arc<Mutex<BTreeMap<String, usize>>>,
/// }
///
/// impl Guard for Quota {
///     async fn check(&self, request: &Request<'_>) -> Result<Accept, Response> {
///         let User(name) = request.state().ok_or_else(|| Response::empty(500))?;
///         let mut all = self.taken.lock().unwrap(); // or a question to a database, awaited
///         let taken = all.entry(name.clone()).or_default();
///         if *taken == self.most {
///             return Err(refusal(429, "You are here already.\n"));
///         }
///         *taken += 1;
///         let place = Place { name: name.clone(), quota: self.clone() };
///         Ok(Accept::new().client_state(place))
///     }
/// }
///
/// /// Gives the place back with the connection, or when somebody else refuses it.
/// struct Place {
///     name: String,
///     quota: Quota,
/// }
///
/// impl Drop for Place {
///     fn drop(&mut self) {
///         let mut taken = self.quota.taken.lock().unwrap();
///         taken.entry(self.name.clone()).and_modify(|taken| *taken -= 1);
///     }
/// }
///
/// /// Any handler behind both: `Server::route("/chat", members_only(chat))`.
/// fn members_only(handler: impl Handler) -> impl Handler {
///     let quota = Quota { most: 3, taken: Arc::default() };
///     guard(logged_in, guard(quota, handler))
/// }
///
/// let chat = members_only(handler_fn().on_message(|client, message| {
///     let User(name) = client.state().expect("it is logged in");
///     let text = format!("{name} says: {}", message.as_text().unwrap_or("(bytes)"));
///     client.hub().all().send(text)
/// }));
/// ```
pub fn guard<G: Guard, H: Handler>(guard: G, handler: H) -> Guarded<G, H> {
    Guarded { guard, handler }
}

/// A handler behind a guard: see [`guard`].
#[derive(Clone, Debug)]
pub struct Guarded<G, H> {
    guard: G,
    handler: H,
}

impl<G: Guard, H: Handler> Handler for Guarded<G, H> {
    async fn on_request(&self, request: &Request<'_>) -> Result<Accept, Response> {
        let accept = self.guard.check(request).await?;
        let passed = Passed { accept: &accept, before: request.passed() };
        let request = request.behind(&passed);
        let last = self.handler.on_request(&request).await?;
        Ok(accept.and(last))
    }

    fn on_open(&self, client: &Client) -> impl Future<Output = ()> + Send {
        self.handler.on_open(client)
    }

    fn on_message(
        &self,
        client: &Client,
        message: Received<'_>,
    ) -> impl Future<Output = ()> + Send {
        self.handler.on_message(client, message)
    }

    fn on_ping(&self, client: &Client, payload: &[u8]) -> impl Future<Output = ()> + Send {
        self.handler.on_ping(client, payload)
    }

    fn on_pong(&self, client: &Client, payload: &[u8]) -> impl Future<Output = ()> + Send {
        self.handler.on_pong(client, payload)
    }

    fn on_drain(&self, client: &Client) -> impl Future<Output = ()> + Send {
        self.handler.on_drain(client)
    }

    fn on_error(&self, client: &Client, error: &Error) -> impl Future<Output = ()> + Send {
        self.handler.on_error(client, error)
    }

    fn on_close(&self, client: &Client, info: &CloseInfo<'_>) -> impl Future<Output = ()> + Send {
        self.handler.on_close(client, info)
    }

    fn is_prompt(&self, internal: Internal) -> bool {
        self.handler.is_prompt(internal)
    }
}

/// What the guards have accepted with that a request has passed, the last one first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed<'a> {
    accept: &'a Accept,
    before: Option<&'a Self>,
}

impl<'a> Passed<'a> {
    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<&'a T> {
        self.accept.values.get().or_else(|| self.before?.get())
    }
}
