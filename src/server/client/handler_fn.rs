#![forbid(unsafe_code)]

use alloc::sync::Arc;
use core::fmt;
use core::future::{Future, ready};

use super::client::Client;
use super::handler::{Handler, Internal, Received};
use crate::error::Error;
use crate::proto::CloseInfo;
use crate::server::accept::accept::Accept;
use crate::server::http::request::Request;
use crate::server::http::response::Response;

/// A handler made of closures. Begin with [`handler_fn`].
///
/// The closures for events may return anything, which is dropped: a message that cannot be sent is
/// for a client that is going, of which `on_close` will tell. As closures do not wait, a burst of
/// messages costs less than with an `async fn`. A method may be called once for each
/// event; its type cannot be named, but for `impl Handler`.
#[derive(Clone)]
#[must_use]
pub struct HandlerFn<R, O, M, C> {
    request: R,
    open: O,
    message: M,
    close: C,
    rare: Rare,
}

/// The closures that most handlers leave out. They have no type parameters: there would be eight.
#[derive(Clone, Default)]
struct Rare {
    ping: Option<Arc<OnPayload>>,
    pong: Option<Arc<OnPayload>>,
    drain: Option<Arc<OnDrain>>,
    error: Option<Arc<OnError>>,
}

type OnPayload = dyn Fn(&Client, &[u8]) + Send + Sync;
type OnDrain = dyn Fn(&Client) + Send + Sync;
type OnError = dyn Fn(&Client, &Error) + Send + Sync;

/// Returns a handler that does nothing yet, to be given closures.
///
/// ```
/// use sansws::server::handler_fn;
///
/// let echo = handler_fn()
///     .on_open(|client| println!("{} is here", client.id()))
///     .on_message(|client, message| client.send(message))
///     .on_close(|client, info| println!("{} is gone: {}", client.id(), info.code));
/// ```
#[allow(clippy::type_complexity)] // it is told nowhere else
pub fn handler_fn() -> HandlerFn<
    impl Fn(&Request<'_>) -> Result<Accept, Response> + Send + Sync + 'static,
    impl Fn(&Client) + Send + Sync + 'static,
    impl Fn(&Client, Received<'_>) + Send + Sync + 'static,
    impl Fn(&Client, &CloseInfo<'_>) + Send + Sync + 'static,
> {
    HandlerFn {
        request: |_: &Request<'_>| Ok(Accept::new()),
        open: |_: &Client| {},
        message: |_: &Client, _: Received<'_>| {},
        close: |_: &Client, _: &CloseInfo<'_>| {},
        rare: Rare::default(),
    }
}

impl<R, O, M, C> HandlerFn<R, O, M, C> {
    /// Sets the closure for [`Handler::on_request`].
    pub fn on_request<F>(self, then: F) -> HandlerFn<F, O, M, C>
    where
        F: Fn(&Request<'_>) -> Result<Accept, Response> + Send + Sync + 'static,
    {
        let Self { open, message, close, rare, .. } = self;
        HandlerFn { request: then, open, message, close, rare }
    }

    /// Sets the closure for [`Handler::on_open`].
    pub fn on_open<F, T>(
        self,
        then: F,
    ) -> HandlerFn<R, impl Fn(&Client) + Send + Sync + 'static, M, C>
    where
        F: Fn(&Client) -> T + Send + Sync + 'static,
        T: 'static,
    {
        let Self { request, message, close, rare, .. } = self;
        let open = move |client: &Client| drop(then(client));
        HandlerFn { request, open, message, close, rare }
    }

    /// Sets the closure for [`Handler::on_message`].
    pub fn on_message<F, T>(
        self,
        then: F,
    ) -> HandlerFn<R, O, impl Fn(&Client, Received<'_>) + Send + Sync + 'static, C>
    where
        F: Fn(&Client, Received<'_>) -> T + Send + Sync + 'static,
        T: 'static,
    {
        let Self { request, open, close, rare, .. } = self;
        let message = move |client: &Client, message: Received<'_>| drop(then(client, message));
        HandlerFn { request, open, message, close, rare }
    }

    /// Sets the closure for [`Handler::on_close`].
    pub fn on_close<F, T>(
        self,
        then: F,
    ) -> HandlerFn<R, O, M, impl Fn(&Client, &CloseInfo<'_>) + Send + Sync + 'static>
    where
        F: Fn(&Client, &CloseInfo<'_>) -> T + Send + Sync + 'static,
        T: 'static,
    {
        let Self { request, open, message, rare, .. } = self;
        let close = move |client: &Client, info: &CloseInfo<'_>| drop(then(client, info));
        HandlerFn { request, open, message, close, rare }
    }

    /// Sets the closure for [`Handler::on_ping`].
    pub fn on_ping<T>(
        mut self,
        then: impl Fn(&Client, &[u8]) -> T + Send + Sync + 'static,
    ) -> Self {
        self.rare.ping = Some(Arc::new(move |client, payload| drop(then(client, payload))));
        self
    }

    /// Sets the closure for [`Handler::on_pong`].
    pub fn on_pong<T>(
        mut self,
        then: impl Fn(&Client, &[u8]) -> T + Send + Sync + 'static,
    ) -> Self {
        self.rare.pong = Some(Arc::new(move |client, payload| drop(then(client, payload))));
        self
    }

    /// Sets the closure for [`Handler::on_drain`].
    pub fn on_drain<T>(mut self, then: impl Fn(&Client) -> T + Send + Sync + 'static) -> Self {
        self.rare.drain = Some(Arc::new(move |client| drop(then(client))));
        self
    }

    /// Sets the closure for [`Handler::on_error`].
    pub fn on_error<T>(
        mut self,
        then: impl Fn(&Client, &Error) -> T + Send + Sync + 'static,
    ) -> Self {
        self.rare.error = Some(Arc::new(move |client, error| drop(then(client, error))));
        self
    }
}

impl<R, O, M, C> Handler for HandlerFn<R, O, M, C>
where
    R: Fn(&Request<'_>) -> Result<Accept, Response> + Send + Sync + 'static,
    O: Fn(&Client) + Send + Sync + 'static,
    M: Fn(&Client, Received<'_>) + Send + Sync + 'static,
    C: Fn(&Client, &CloseInfo<'_>) + Send + Sync + 'static,
{
    fn on_request(
        &self,
        request: &Request<'_>,
    ) -> impl Future<Output = Result<Accept, Response>> + Send {
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

    fn on_ping(&self, client: &Client, payload: &[u8]) -> impl Future<Output = ()> + Send {
        if let Some(then) = &self.rare.ping {
            then(client, payload);
        }
        ready(())
    }

    fn on_pong(&self, client: &Client, payload: &[u8]) -> impl Future<Output = ()> + Send {
        if let Some(then) = &self.rare.pong {
            then(client, payload);
        }
        ready(())
    }

    fn on_drain(&self, client: &Client) -> impl Future<Output = ()> + Send {
        if let Some(then) = &self.rare.drain {
            then(client);
        }
        ready(())
    }

    fn on_error(&self, client: &Client, error: &Error) -> impl Future<Output = ()> + Send {
        if let Some(then) = &self.rare.error {
            then(client, error);
        }
        ready(())
    }

    fn on_close(&self, client: &Client, info: &CloseInfo<'_>) -> impl Future<Output = ()> + Send {
        (self.close)(client, info);
        ready(())
    }

    fn is_prompt(&self, _: Internal) -> bool {
        true
    }
}

impl<R, O, M, C> fmt::Debug for HandlerFn<R, O, M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerFn").finish_non_exhaustive()
    }
}
