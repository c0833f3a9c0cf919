#![forbid(unsafe_code)]

use alloc::sync::Arc;
use core::future::{Future, ready};

use super::client::Client;
use crate::bytes::Bytes;
use crate::error::Error;
use crate::proto::{Binary, CloseInfo, Event, Message, MessageRef, Text};
use crate::server::accept::accept::Accept;
use crate::server::http::request::Request;
use crate::server::http::response::Response;
use crate::server::observe::tally;

/// The event handler of a route. One handler serves all of its connections.
///
/// Write the methods as `async fn`; those that are left out do nothing. For closures that do not
/// wait there is [`handler_fn`](crate::server::handler_fn()).
///
/// ```
/// use sansws::server::{Accept, Client, Response, Handler, Received, Request};
///
/// struct Chat;
///
/// /// The state of each connection.
/// struct User(String);
///
/// impl Handler for Chat {
///     async fn on_request(&self, request: &Request<'_>) -> Result<Accept, Response> {
///         match request.cookie("user") {
///             Some(user) => Ok(Accept::new().client_state(User(user.to_string()))),
///             None => Err(Response::text("Log in first.\n").status(401)),
///         }
///     }
///
///     async fn on_open(&self, client: &Client) {
///         let room = client.info().param("room").unwrap_or("lobby");
///         if let Err(error) = client.join(room) {
///             let _ = client.send(error.to_string());
///         }
///     }
///
///     async fn on_message(&self, client: &Client, message: Received<'_>) {
///         if let (Some(text), Some(User(name))) = (message.as_text(), client.state()) {
///             let _ = client.hub().all().send(format!("{name} says: {text}"));
///         }
///     }
/// }
/// ```
///
/// # One connection, one event at a time
///
/// The events of one connection come one after the other; those of different connections at the
/// same time. While a method waits, its connection receives nothing, but what is sent to the client
/// leaves, keep-alive goes on, and the end of the connection is noticed: at once if the network is
/// broken, a second after the peer's Close or the end of its stream, so that what it had asked for
/// can still be answered. Then sending is an error, [`Client::closed`] resolves, and a little later
/// the stream and its permit are given back, though the method may go on; `on_close` comes after
/// it. A Close behind messages that have not been delivered yet is not seen before them. Work that
/// takes long belongs into a task of its own, which may keep a clone of the [`Client`]; work that
/// blocks, into `tokio::task::spawn_blocking`.
///
/// The state of a connection is given to [`Accept::client_state`] and found again with
/// [`Client::state`]. `on_request` should not take longer than
/// [`Config::handshake_timeout`](crate::Config::handshake_timeout): the client gets a 503 then.
///
/// # Panics
///
/// A panic is caught: the client is closed with 1011, `on_close` is called, and all other
/// connections go on (unless the program is built with `panic = "abort"`). In `on_request` it
/// becomes status 500.
///
/// # Dropped futures
///
/// The futures of all methods are driven to their ends, except when the client is
/// [aborted](Client::abort), when the server shuts down and its deadline has passed, or when the
/// future of [`Server::run`](crate::server::Server::run) is dropped: then they are dropped where
/// they wait. Those of `on_error` and `on_close` are still polled once.
pub trait Handler: Send + Sync + 'static {
    /// Decides about a handshake that is valid and whose origin is allowed: accept it, or answer
    /// with any response instead. Accepts all if it is left out.
    ///
    /// What several handlers ask first are functions that are called from here, with `?`; or, in
    /// front of any handler, a [`guard`](crate::server::guard()):
    ///
    /// ```
    /// use sansws::server::{Accept, Handler, Request, Response};
    ///
    /// # struct User;
    /// # struct Place;
    /// # struct Chat;
    /// # fn user(_: &Request<'_>) -> Result<User, Response> { Ok(User) }
    /// # async fn place_for(_: &User) -> Result<Place, Response> { Ok(Place) }
    /// impl Handler for Chat {
    ///     async fn on_request(&self, request: &Request<'_>) -> Result<Accept, Response> {
    ///         let user = user(request)?; // or 401
    ///         let place = place_for(&user).await?; // or 429
    ///         Ok(Accept::new().client_state(user).client_state(place))
    ///     }
    /// }
    /// ```
    fn on_request(
        &self,
        request: &Request<'_>,
    ) -> impl Future<Output = Result<Accept, Response>> + Send {
        let _ = request;
        ready(Ok(Accept::new()))
    }

    /// Called when the connection is open. Nothing has been received yet.
    fn on_open(&self, client: &Client) -> impl Future<Output = ()> + Send {
        let _ = client;
        ready(())
    }

    /// Called for a message. It lies in the receive buffer; [`Received::into_message`] makes it
    /// independent.
    fn on_message(
        &self,
        client: &Client,
        message: Received<'_>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (client, message);
        ready(())
    }

    /// Called for a ping. It is answered already.
    fn on_ping(&self, client: &Client, payload: &[u8]) -> impl Future<Output = ()> + Send {
        let _ = (client, payload);
        ready(())
    }

    /// Called for a pong: the answer to a ping of [`Client::send`], to one of keep-alive, or to
    /// none.
    fn on_pong(&self, client: &Client, payload: &[u8]) -> impl Future<Output = ()> + Send {
        let _ = (client, payload);
        ready(())
    }

    /// Called when a client that had fallen behind has caught up: messages had to wait in its
    /// queue, and now the queue is empty. The place to go on with messages that were held back.
    fn on_drain(&self, client: &Client) -> impl Future<Output = ()> + Send {
        let _ = client;
        ready(())
    }

    /// Called when the connection has failed: the network broke it, the peer broke a rule, or it
    /// did not answer in time. [`on_close`](Self::on_close) follows at once, and the client is gone
    /// as it is there.
    ///
    /// A browser whose window is closed counts as a network that breaks, so most of these errors
    /// are [`is_disconnect`](Error::is_disconnect).
    fn on_error(&self, client: &Client, error: &Error) -> impl Future<Output = ()> + Send {
        let _ = (client, error);
        ready(())
    }

    /// Called when the connection is over, however that came: once for each `on_open`. The client
    /// is in no room and not in the [`Hub`](crate::server::Hub) any more, but until this ends,
    /// [`Client::rooms`] returns those that it was in.
    ///
    /// The info has the code and the reason, which end began, and whether both took part.
    fn on_close(&self, client: &Client, info: &CloseInfo<'_>) -> impl Future<Output = ()> + Send {
        let _ = (client, info);
        ready(())
    }

    /// Returns whether `on_message` never waits: the future that it returns is ready at once.
    #[doc(hidden)]
    fn is_prompt(&self, _: Internal) -> bool {
        false
    }
}

/// A value that only this crate can name: so that its methods are not implemented elsewhere.
#[allow(unnameable_types)] // that is the point
#[derive(Clone, Copy, Debug)]
pub struct Internal(());

impl Internal {
    pub(crate) const NEW: Self = Self(());
}

/// A handler for several routes, or one that the rest of the program has a reference to.
impl<H: Handler> Handler for Arc<H> {
    fn on_request(
        &self,
        request: &Request<'_>,
    ) -> impl Future<Output = Result<Accept, Response>> + Send {
        (**self).on_request(request)
    }

    fn on_open(&self, client: &Client) -> impl Future<Output = ()> + Send {
        (**self).on_open(client)
    }

    fn on_message(
        &self,
        client: &Client,
        message: Received<'_>,
    ) -> impl Future<Output = ()> + Send {
        (**self).on_message(client, message)
    }

    fn on_ping(&self, client: &Client, payload: &[u8]) -> impl Future<Output = ()> + Send {
        (**self).on_ping(client, payload)
    }

    fn on_pong(&self, client: &Client, payload: &[u8]) -> impl Future<Output = ()> + Send {
        (**self).on_pong(client, payload)
    }

    fn on_drain(&self, client: &Client) -> impl Future<Output = ()> + Send {
        (**self).on_drain(client)
    }

    fn on_error(&self, client: &Client, error: &Error) -> impl Future<Output = ()> + Send {
        (**self).on_error(client, error)
    }

    fn on_close(&self, client: &Client, info: &CloseInfo<'_>) -> impl Future<Output = ()> + Send {
        (**self).on_close(client, info)
    }

    fn is_prompt(&self, internal: Internal) -> bool {
        (**self).is_prompt(internal)
    }
}

/// A message of a client, in the receive buffer. It can be sent as it is, to its sender or to
/// others.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums)] // RFC 6455 §5.6 has these two data frames
pub enum Received<'b> {
    /// Text.
    Text(Text<'b>),
    /// Arbitrary bytes.
    Binary(Binary<'b>),
}

impl<'b> Received<'b> {
    /// Returns the message of an event, and counts it; or the event if it is none.
    #[inline]
    pub(crate) fn from_event(event: Event<'b>) -> Result<Self, Event<'b>> {
        match event {
            // Counted here: a variable that is borrowed in the task keeps its place in the future.
            Event::Text(text) => {
                tally::received(text.len());
                Ok(Self::Text(text))
            }
            Event::Binary(binary) => {
                tally::received(binary.len());
                Ok(Self::Binary(binary))
            }
            other => Err(other),
        }
    }

    /// Returns the text, if this is a text message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns the payload, whichever kind of message this is.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(binary) => binary,
        }
    }

    /// Returns the message, owned: a small payload is copied, a large one is handed over.
    pub fn into_message(self) -> Message {
        match self {
            Self::Text(text) => Message::Text(text.into_owned()),
            Self::Binary(binary) => Message::Binary(binary.into_bytes()),
        }
    }

    /// Returns the payload, owned: a small one is copied, a large one is handed over.
    pub fn into_bytes(self) -> Bytes {
        self.into_message().into_bytes()
    }
}

impl<'b> From<Received<'b>> for MessageRef<'b> {
    #[inline]
    fn from(message: Received<'b>) -> Self {
        match message {
            Received::Text(text) => text.into(),
            Received::Binary(binary) => binary.into(),
        }
    }
}

impl<'a> From<&'a Received<'_>> for MessageRef<'a> {
    #[inline]
    fn from(message: &'a Received<'_>) -> Self {
        match message {
            Received::Text(text) => text.into(),
            Received::Binary(binary) => binary.into(),
        }
    }
}
