//! Proxies between a client and its server: which one, if any, and what is said to it.
//!
//! Both protocols are written here, without IO, because the crates that there are for them bring
//! more than they save (ten crates and more, for tokio alone) and read past their answers.

mod environment;
mod exceptions;
mod server;
mod socks5;
mod tunnel;

use alloc::sync::Arc;

use exceptions::Exceptions;
pub(crate) use server::Server;
pub(crate) use tunnel::Tunnel;

use crate::handshake::client::Request;
use crate::way::ProxyError;

/// A proxy that a client goes through: HTTP with the method CONNECT, or SOCKS5.
///
/// `ws://` and `wss://` both go through a tunnel; TLS is spoken inside it with the server, so that
/// the proxy sees no more than its name. Host names are looked up by the proxy. The proxy gets
/// nothing of what is for the server, such as `Authorization` and cookies, and the server gets
/// nothing of what is for the proxy. With [`Connector::proxy`](super::Connector::proxy) a client
/// uses it:
///
/// ```no_run
/// use sansws::client::{Connector, Proxy};
///
/// # fn run() -> Result<(), sansws::Error> {
/// let proxy = Proxy::http("http://user:password@127.0.0.1:8888")?;
/// let proxy = proxy.no_proxy("localhost, .internal");
/// let connector = Connector::new("wss://example.com/feed")?.proxy(proxy);
/// let ws = connector.connect_blocking()?; // or `connect().await`
/// # Ok(())
/// # }
/// ```
///
/// The connection with the proxy itself is TCP without TLS: user name and password cross the
/// network up to it as they are. What it costs are the round trips of its protocol: one for
/// CONNECT, two or three for SOCKS5. Nothing of it is left when the connection is open.
#[derive(Clone, Debug)]
#[must_use]
pub struct Proxy {
    /// For `ws://`.
    plain: Option<Arc<Server>>,
    /// For `wss://`.
    secure: Option<Arc<Server>>,
    exceptions: Arc<Exceptions>,
}

impl Proxy {
    /// Makes a proxy of HTTP, by its URL: `http://`, then a user name and a password if it wants
    /// them (percent-encoded, `user:password@`), the host, and the port, which is 80 if there is
    /// none.
    ///
    /// # Errors
    ///
    /// [`Url`](super::ProxyFailure::Url).
    pub fn http(url: &str) -> Result<Self, ProxyError> {
        Self::by_url(url, server::Protocol::Http)
    }

    /// Makes a SOCKS5 proxy, by its URL: as [`http`](Self::http), with `socks5://` or `socks5h://`
    /// and the port 1080. The two schemes are the same here: the proxy looks names up.
    ///
    /// # Errors
    ///
    /// [`Url`](super::ProxyFailure::Url).
    pub fn socks5(url: &str) -> Result<Self, ProxyError> {
        Self::by_url(url, server::Protocol::Socks5)
    }

    fn by_url(url: &str, protocol: server::Protocol) -> Result<Self, ProxyError> {
        let server = Server::parse(url, Some(protocol));
        let server = Arc::new(server.map_err(|reason| ProxyError::url("", reason))?);
        Ok(Self { plain: Some(server.clone()), secure: Some(server), exceptions: Arc::default() })
    }

    /// Takes what the environment of the process says, now, as curl does.
    ///
    /// For `ws://` the first of `ws_proxy`, `WS_PROXY`, `http_proxy`, `all_proxy` and `ALL_PROXY`
    /// that is set and not empty; for `wss://` that of `wss_proxy`, `WSS_PROXY`, `https_proxy`,
    /// `HTTPS_PROXY`, `all_proxy` and `ALL_PROXY`. `HTTP_PROXY` is not among them: in a CGI program
    /// the client sets it, by a header `Proxy`. A value without a scheme is one of `http://`. What
    /// is in `no_proxy`, or else `NO_PROXY`, is connected to [without one](Self::no_proxy). With
    /// nothing set, there is no proxy.
    ///
    /// Two things are not as in curl: a proxy without a port has that of its scheme, 80 or 1080,
    /// and names are looked up by the proxy with `socks5://` too.
    ///
    /// # Errors
    ///
    /// [`Url`](super::ProxyFailure::Url), with the name of the variable in the text. So are schemes
    /// that are not known here, `https://` and `socks4://`: not to use a proxy that was set would
    /// be worse.
    pub fn from_env() -> Result<Self, ProxyError> {
        environment::read(|name| std::env::var(name).ok())
    }

    /// Sets user name and password, in place of those in the URL. They need no encoding here.
    ///
    /// # Errors
    ///
    /// [`Url`](super::ProxyFailure::Url) if the proxy's protocol cannot send them: for HTTP a `:`
    /// in the user name, or a control character; for SOCKS5 more than 255 bytes, or nothing.
    pub fn credentials(mut self, user: &str, password: &str) -> Result<Self, ProxyError> {
        for server in [&mut self.plain, &mut self.secure].into_iter().flatten() {
            Arc::make_mut(server)
                .set_credentials(user.as_bytes(), password.as_bytes())
                .map_err(|reason| ProxyError::url("", reason))?;
        }
        Ok(self)
    }

    /// Adds what is connected to without the proxy: a list with commas or spaces between.
    ///
    /// `example.com`, `.example.com` and `*.example.com` all stand for that name and for every one
    /// that ends with a dot and it; `192.168.0.0/16` and `fe80::/10` for addresses that begin with
    /// so many bits, `127.0.0.1` and `::1` for one; `*` for everything. Names are not looked up for
    /// this: an address stands for URLs with an address. A port behind one, `example.com:8080` or
    /// `[::1]:8080`, makes it one for that port of the server. `localhost` is nothing special: name
    /// it if you mean it.
    pub fn no_proxy(mut self, list: &str) -> Self {
        Arc::make_mut(&mut self.exceptions).extend(Exceptions::parse(list));
        self
    }

    /// Returns the proxy for a request, if there is one.
    pub(crate) fn server(&self, request: &Request) -> Option<&Arc<Server>> {
        let server = if request.is_secure() { &self.secure } else { &self.plain };
        server.as_ref().filter(|_| !self.exceptions.contains(request.host(), request.port()))
    }
}
