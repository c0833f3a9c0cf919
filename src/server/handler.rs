use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, ready};

use super::client::Client;
use super::page::Page;
use super::request::Request;
use crate::bytes::Bytes;
use crate::handshake::server::Accept;
use crate::proto::{Binary, CloseInfo, Event, Message, MessageRef, Text};

/// What happens on the connections of a route. One handler serves all of them.
///
/// Write the methods as `async fn`; those that are left out do nothing. For closures that do not wait
/// there is [`handler`].
///
/// ```
/// use sansws::server::{Acceptance, Client, Decision, Handler, Page, Received, Request};
///
/// struct Chat;
///
/// impl Handler for Chat {
///     async fn on_request(&self, request: &Request<'_>) -> Decision {
///         match request.cookie("user") {
///             Some(_) => Ok(Acceptance::new()),
///             None => Err(Page::text("Log in first.\n").status(401)),
///         }
///     }
///
///     async fn on_open(&self, client: &Client) {
///         client.join(client.info().param("room").unwrap_or("lobby"));
///     }
///
///     async fn on_message(&self, client: &Client, message: Received<'_>) {
///         if let Some(text) = message.as_text() {
///             let _ = client.hub().broadcast(format!("{} says: {text}", client.id()));
///         }
///     }
/// }
/// ```
///
/// # One connection, one event at a time
///
/// The events of one connection come one after the other; those of different connections at the same
/// time. While a method waits, its connection receives nothing, not even pings and pongs, but what is
/// sent to the client leaves. Work that takes long belongs into a task of its own, which may keep a
/// clone of the [`Client`]; work that blocks, into `tokio::task::spawn_blocking`.
///
/// # Panics
///
/// A panic is caught: the client is closed with 1011, `on_close` is called, and all other connections
/// go on (unless the program is built with `panic = "abort"`). In `on_request` it becomes status 500.
///
/// # Dropped futures
///
/// The futures of `on_open` and `on_message` are driven to their ends, except when the server shuts
/// down and its deadline has passed: then they are dropped where they wait. That of `on_close` is then
/// polled once.
pub trait Handler: Send + Sync + 'static {
    /// A handshake that is valid and whose origin is allowed: let it in, or answer with any page
    /// instead. Lets everybody in if it is left out.
    fn on_request(&self, request: &Request<'_>) -> impl Future<Output = Decision> + Send {
        let _ = request;
        ready(Ok(Acceptance::new()))
    }

    /// The connection is open. Nothing has been received yet.
    fn on_open(&self, client: &Client) -> impl Future<Output = ()> + Send {
        let _ = client;
        ready(())
    }

    /// A message. It lies in the receive buffer; [`Received::into_message`] makes it independent.
    fn on_message(
        &self,
        client: &Client,
        message: Received<'_>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (client, message);
        ready(())
    }

    /// The connection is over, however that came: once for each `on_open`. The client is in no room
    /// and not in the [`Hub`](super::Hub) any more.
    ///
    /// The info says with which code and reason, who began, and whether both ends took part.
    fn on_close(&self, client: &Client, info: &CloseInfo<'_>) -> impl Future<Output = ()> + Send {
        let _ = (client, info);
        ready(())
    }
}

/// The same handler for several routes, or one that the rest of the program keeps a hand on.
impl<H: Handler> Handler for Arc<H> {
    fn on_request(&self, request: &Request<'_>) -> impl Future<Output = Decision> + Send {
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

    fn on_close(&self, client: &Client, info: &CloseInfo<'_>) -> impl Future<Output = ()> + Send {
        (**self).on_close(client, info)
    }
}

/// What becomes of a handshake: the connection, or any other answer.
pub type Decision = Result<Acceptance, Page>;

/// How a handshake is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Acceptance {
    pub(super) subprotocol: Option<String>,
    headers: Vec<(String, String)>,
}

impl Acceptance {
    /// Without a subprotocol and further headers.
    pub const fn new() -> Self {
        Self { subprotocol: None, headers: Vec::new() }
    }

    /// Chooses one of [`Request::subprotocols`]. Any other is answered with status 500.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// Adds a header, such as a cookie. One that HTTP does not allow, or that the handshake writes
    /// itself, is answered with status 500.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn headers(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub(super) fn accept<'a>(&'a self, headers: &'a [(&'a str, &'a str)]) -> Accept<'a> {
        Accept { subprotocol: self.subprotocol.as_deref(), headers }
    }
}

/// A message in the receive buffer. It can be sent as it is, to its sender or to others.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums)] // RFC 6455 §5.6 has these two data frames
pub enum Received<'b> {
    /// Text.
    Text(Text<'b>),
    /// Arbitrary bytes.
    Binary(Binary<'b>),
}

impl<'b> Received<'b> {
    /// `None` for control frames.
    pub(super) fn from_event(event: Event<'b>) -> Option<Self> {
        match event {
            Event::Text(text) => Some(Self::Text(text)),
            Event::Binary(binary) => Some(Self::Binary(binary)),
            _ => None,
        }
    }

    /// The text, if this is a text message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The payload, whichever kind of message this is.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(binary) => binary,
        }
    }

    /// The message, owned: a small payload is copied, a large one is handed over.
    pub fn into_message(self) -> Message {
        match self {
            Self::Text(text) => Message::Text(text.into_text()),
            Self::Binary(binary) => Message::Binary(binary.into_bytes()),
        }
    }

    /// The payload, owned: a small one is copied, a large one is handed over.
    pub fn into_bytes(self) -> Bytes {
        self.into_message().into_bytes()
    }
}

impl<'b> From<Received<'b>> for MessageRef<'b> {
    fn from(message: Received<'b>) -> Self {
        match message {
            Received::Text(text) => text.into(),
            Received::Binary(binary) => binary.into(),
        }
    }
}

impl<'a> From<&'a Received<'_>> for MessageRef<'a> {
    fn from(message: &'a Received<'_>) -> Self {
        match message {
            Received::Text(text) => text.into(),
            Received::Binary(binary) => binary.into(),
        }
    }
}

/// A handler made of closures. Begin with [`handler`].
///
/// What the closures for events return is dropped: a message that cannot be sent is for a client that
/// is going, of which `on_close` will tell.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Closures<R, O, M, C> {
    request: R,
    open: O,
    message: M,
    close: C,
}

/// A handler that does nothing yet.
///
/// ```
/// use sansws::server::handler;
///
/// let echo = handler()
///     .on_open(|client| println!("{} is here", client.id()))
///     .on_message(|client, message| client.send(message))
///     .on_close(|client, info| println!("{} is gone: {}", client.id(), info.code));
/// ```
#[allow(clippy::type_complexity)] // it is told nowhere else
pub fn handler() -> Closures<
    impl Fn(&Request<'_>) -> Decision + Send + Sync + 'static,
    impl Fn(&Client) + Send + Sync + 'static,
    impl Fn(&Client, Received<'_>) + Send + Sync + 'static,
    impl Fn(&Client, &CloseInfo<'_>) + Send + Sync + 'static,
> {
    Closures {
        request: |_: &Request<'_>| Ok(Acceptance::new()),
        open: |_: &Client| {},
        message: |_: &Client, _: Received<'_>| {},
        close: |_: &Client, _: &CloseInfo<'_>| {},
    }
}

impl<R, O, M, C> Closures<R, O, M, C> {
    /// What [`Handler::on_request`] does.
    pub fn on_request<F>(self, then: F) -> Closures<F, O, M, C>
    where
        F: Fn(&Request<'_>) -> Decision + Send + Sync + 'static,
    {
        let Self { open, message, close, .. } = self;
        Closures { request: then, open, message, close }
    }

    /// What [`Handler::on_open`] does.
    pub fn on_open<F, T>(
        self,
        then: F,
    ) -> Closures<R, impl Fn(&Client) + Send + Sync + 'static, M, C>
    where
        F: Fn(&Client) -> T + Send + Sync + 'static,
        T: 'static,
    {
        let Self { request, message, close, .. } = self;
        let open = move |client: &Client| drop(then(client));
        Closures { request, open, message, close }
    }

    /// What [`Handler::on_message`] does.
    pub fn on_message<F, T>(
        self,
        then: F,
    ) -> Closures<R, O, impl Fn(&Client, Received<'_>) + Send + Sync + 'static, C>
    where
        F: Fn(&Client, Received<'_>) -> T + Send + Sync + 'static,
        T: 'static,
    {
        let Self { request, open, close, .. } = self;
        let message = move |client: &Client, message: Received<'_>| drop(then(client, message));
        Closures { request, open, message, close }
    }

    /// What [`Handler::on_close`] does.
    pub fn on_close<F, T>(
        self,
        then: F,
    ) -> Closures<R, O, M, impl Fn(&Client, &CloseInfo<'_>) + Send + Sync + 'static>
    where
        F: Fn(&Client, &CloseInfo<'_>) -> T + Send + Sync + 'static,
        T: 'static,
    {
        let Self { request, open, message, .. } = self;
        let close = move |client: &Client, info: &CloseInfo<'_>| drop(then(client, info));
        Closures { request, open, message, close }
    }
}

impl<R, O, M, C> Handler for Closures<R, O, M, C>
where
    R: Fn(&Request<'_>) -> Decision + Send + Sync + 'static,
    O: Fn(&Client) + Send + Sync + 'static,
    M: Fn(&Client, Received<'_>) + Send + Sync + 'static,
    C: Fn(&Client, &CloseInfo<'_>) + Send + Sync + 'static,
{
    fn on_request(&self, request: &Request<'_>) -> impl Future<Output = Decision> + Send {
        ready((self.request)(request))
    }

    fn on_open(&self, client: &Client) -> impl Future<Output = ()> + Send {
        (self.open)(client);
        ready(())
    }

    fn on_message(
        &self,
        client: &Client,
        message: Received<'_>,
    ) -> impl Future<Output = ()> + Send {
        (self.message)(client, message);
        ready(())
    }

    fn on_close(&self, client: &Client, info: &CloseInfo<'_>) -> impl Future<Output = ()> + Send {
        (self.close)(client, info);
        ready(())
    }
}
