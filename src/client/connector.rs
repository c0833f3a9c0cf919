use alloc::sync::Arc;

#[cfg(feature = "rustls-no-provider")]
use super::Tls;
use super::{Proxy, Server, redirect};
use crate::config::Config;
use crate::error::Error;
use crate::handshake::client::{Request, UrlError};

/// What a client connects to, and how: a [`Request`], a [`Config`], and what lies between.
///
/// A plain value, for both adapters: `connect` is the tokio one's, `connect_blocking` that of the
/// blocking adapter. It may be kept to connect again. A fault in what is set is an error of the
/// function that connects, before anything is sent.
///
/// ```no_run
/// use sansws::Config;
/// use sansws::client::{Connector, Proxy};
///
/// # async fn run() -> Result<(), sansws::Error> {
/// let connector = Connector::new("wss://example.com/feed")?
///     .bearer_auth("abc")
///     .subprotocol("feed.v2")
///     .proxy(Proxy::from_env()?)
///     .config(Config::new().max_message_len(1 << 20));
/// let mut ws = connector.connect().await?; // or `connect_blocking()?`
/// assert_eq!(ws.subprotocol(), Some("feed.v2"));
/// let again = connector.connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Connector {
    pub(crate) request: Request,
    pub(crate) config: Config,
    pub(crate) way: Way,
}

/// What lies between a client and its server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    #[cfg(feature = "rustls-no-provider")]
    pub(crate) tls: Option<Tls>,
    proxy: Option<Proxy>,
    max_redirects: usize,
}

impl Connector {
    /// Makes a connector for a `ws://` or `wss://` URL, with the defaults for everything else.
    ///
    /// # Errors
    ///
    /// As [`Request::new`].
    pub fn new(url: &str) -> Result<Self, UrlError> {
        Request::new(url).map(Self::from)
    }

    /// Returns the request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Adds a header, as [`Request::header`].
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(|request| request.header(name, value))
    }

    /// Sets `Origin`, as [`Request::origin`].
    pub fn origin(self, origin: &str) -> Self {
        self.with(|request| request.origin(origin))
    }

    /// Offers a subprotocol, as [`Request::subprotocol`].
    pub fn subprotocol(self, subprotocol: &str) -> Self {
        self.with(|request| request.subprotocol(subprotocol))
    }

    /// Fails if the server chooses no subprotocol, as [`Request::require_subprotocol`].
    pub fn require_subprotocol(self) -> Self {
        self.with(Request::require_subprotocol)
    }

    /// Says who asks by user name and password, as [`Request::basic_auth`].
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        self.with(|request| request.basic_auth(user, password))
    }

    /// Says who asks by a token, as [`Request::bearer_auth`].
    pub fn bearer_auth(self, token: &str) -> Self {
        self.with(|request| request.bearer_auth(token))
    }

    /// Adds a cookie, as [`Request::cookie`].
    pub fn cookie(self, name: &str, value: &str) -> Self {
        self.with(|request| request.cookie(name, value))
    }

    /// Sets time-outs, limits, keep-alive and compression, all at once.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets what is trusted for `wss://`, and the certificate to show. Default [`Tls::new`].
    #[cfg(feature = "rustls-no-provider")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.way.tls = Some(tls);
        self
    }

    /// Goes through a proxy, where the [`Proxy`] does not except the server from that.
    ///
    /// What the socket says about its peer is about the proxy then. Without this no proxy is used,
    /// whatever the environment says.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.way.proxy = Some(proxy);
        self
    }

    /// Follows redirections (status 301, 302, 303, 307 and 308), so many in a row. Default 0: such
    /// an answer is an [`Error::Refused`] that says where it leads.
    ///
    /// `http://` and `https://` in them stand for `ws://` and `wss://`. From `wss://` none is
    /// followed to where there is no TLS. `Authorization`, cookies and `Proxy-Authorization` go to
    /// no other origin, which is one with another scheme, host or port; all other headers do. The
    /// time for the handshake is one for all together.
    ///
    /// It lets the server decide whom this program connects to, other hosts of its network
    /// included: that is for servers that are trusted with it.
    pub fn follow_redirects(mut self, limit: usize) -> Self {
        self.way.max_redirects = limit;
        self
    }

    /// Returns the first fault of what was set, if there is one. Connecting asks too.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`], [`Error::Config`], [`Error::Tls`] for `wss://` without TLS.
    pub fn check(&self) -> Result<(), Error> {
        self.way.check(&self.request, &self.config)
    }

    fn with(mut self, act: impl FnOnce(Request) -> Request) -> Self {
        self.request = act(self.request);
        self
    }
}

impl From<Request> for Connector {
    fn from(request: Request) -> Self {
        Self { request, config: Config::new(), way: Way::default() }
    }
}

impl Way {
    /// Says more about what has happened in TLS.
    pub(crate) fn explain(error: Error, request: &Request) -> Error {
        #[cfg(feature = "rustls-no-provider")]
        return super::tls::explain(error, request.host());
        #[cfg(not(feature = "rustls-no-provider"))]
        {
            let _ = request;
            error
        }
    }

    /// Returns the first fault of what a connection is to be made with.
    pub(crate) fn check(&self, request: &Request, config: &Config) -> Result<(), Error> {
        config.validate()?;
        request.check()?;
        if request.is_secure() {
            #[cfg(feature = "rustls-no-provider")]
            {
                super::tls::server_name(request.host())?;
                super::tls::config(self.tls.as_ref())?;
            }
            #[cfg(not(feature = "rustls-no-provider"))]
            return Err(crate::tls::TlsFailure::FeatureOff.into());
        }
        Ok(())
    }

    /// Returns the proxy to go through.
    pub(crate) fn proxy(&self, request: &Request) -> Option<&Arc<Server>> {
        self.proxy.as_ref()?.server(request)
    }

    /// Returns the request to go on with after an error, which is then one that `followed` counts;
    /// or the error, if there is none.
    pub(crate) fn follow(
        &self,
        request: &Request,
        error: Error,
        followed: &mut usize,
    ) -> Result<Request, Error> {
        redirect::next(request, error, followed, self.max_redirects)
    }
}
