use core::net::{IpAddr, SocketAddr};

use super::forwarded::{Forwarded, Trust};
use super::response::Response;
use super::route::{Params, Pattern};
use crate::handshake::server;
use crate::server::client::guard::Passed;

/// A request that a handler or a fallback may look at before it is answered.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub(crate) http: &'a server::Request,
    pub(crate) peer: Peer,
    forwarded: Forwarded<'a>,
    pub(crate) route: Option<(&'a Pattern, &'a Params)>,
    passed: Option<&'a Passed<'a>>,
}

/// The other end of the transport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    /// TLS was ended by whoever handed us the stream.
    pub(crate) secure: bool,
    /// TLS was ended by the server itself.
    pub(crate) own_tls: bool,
    /// It came to a listener that only this machine can reach, and of which it was not said which
    /// hosts it is.
    pub(crate) local: bool,
}

impl<'a> Request<'a> {
    /// Makes one. The error is the answer to a request of which the proxies say what makes no
    /// sense.
    pub(crate) fn new(
        http: &'a server::Request,
        peer: Peer,
        trust: &Trust,
        route: Option<(&'a Pattern, &'a Params)>,
    ) -> Result<Self, Response> {
        let forwarded = Forwarded::read(http, trust, peer.addr.ip())?;
        Ok(Self::with(http, peer, forwarded, route))
    }

    /// Makes one of its parts.
    pub(crate) const fn with(
        http: &'a server::Request,
        peer: Peer,
        forwarded: Forwarded<'a>,
        route: Option<(&'a Pattern, &'a Params)>,
    ) -> Self {
        Self { http, peer, forwarded, route, passed: None }
    }

    /// Returns the same, of which a guard has just decided.
    pub(crate) fn behind<'b>(&self, passed: &'b Passed<'b>) -> Request<'b>
    where
        'a: 'b,
    {
        Request { passed: Some(passed), ..*self }
    }

    /// Returns what guards have accepted with so far.
    pub(crate) const fn passed(&self) -> Option<&'a Passed<'a>> {
        self.passed
    }

    /// Returns what the trusted proxies say.
    pub(crate) const fn forwarded(&self) -> Forwarded<'a> {
        self.forwarded
    }

    /// Returns the address of the other end of the TCP connection: of a proxy, if there is one.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer.addr
    }

    /// Returns the address of the client: what the
    /// [trusted proxies](crate::server::Server::trusted_proxies) say. That of the peer if none is
    /// trusted or, as in the health check of a load balancer, nothing is said at all; where
    /// something is said that is no address, the request is answered with status 400.
    pub fn remote_ip(&self) -> IpAddr {
        self.forwarded.ip.unwrap_or_else(|| self.peer.addr.ip().to_canonical())
    }

    /// Returns whether the client speaks TLS: with the server itself, or else as the trusted
    /// proxies say, or else the [`ExternalStream`](crate::server::ExternalStream).
    pub fn is_secure(&self) -> bool {
        self.peer.own_tls || self.forwarded.secure.unwrap_or(self.peer.secure)
    }

    /// Returns the path, not decoded.
    pub fn path(&self) -> &'a str {
        self.http.path()
    }

    /// Returns the query, which follows the `?`, not decoded.
    pub fn query(&self) -> Option<&'a str> {
        self.http.query()
    }

    /// Returns the value of a parameter of the route, percent-decoded: of `room` for the route
    /// `/chat/{room}`. The client chose it.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        let (pattern, params) = self.route?;
        params.get(pattern.position(name)?).map(|value| &**value)
    }

    /// Returns the host and, if there is one, the port that the client addressed, as far as the
    /// trusted proxies or the `Host` header tell.
    pub fn host(&self) -> &'a str {
        self.forwarded.host.unwrap_or_else(|| self.http.host())
    }

    /// Returns the site whose script opened the connection. Only browsers send it.
    pub fn origin(&self) -> Option<&'a str> {
        self.http.origin()
    }

    /// Returns the value of the first header with this name, in any case; `None` if there is none
    /// or its value is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.http.header(name)
    }

    /// Returns the value of the first cookie with this name, as it was sent.
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        let values = self.http.values("cookie");
        find_cookie(values.filter_map(|value| core::str::from_utf8(value).ok()), name)
    }

    /// Returns the subprotocols that the client offers, its favourite first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> {
        self.http.subprotocols()
    }

    /// Returns a value of this type that a [`guard`](crate::server::guard()) has accepted with
    /// ([`Accept::client_state`](crate::server::Accept::client_state)): of several the last one.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&'a T> {
        self.passed?.get()
    }

    /// Returns the whole request.
    pub fn http(&self) -> &'a server::Request {
        self.http
    }
}

/// Looks a cookie up in the values of `Cookie` headers (RFC 6265 §4.2.1).
pub(crate) fn find_cookie<'a>(
    values: impl Iterator<Item = &'a str>,
    name: &str,
) -> Option<&'a str> {
    let pairs = values.flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|pair| pair.0 == name).map(|it| it.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies() {
        let find = |name| find_cookie(["a=1; b=x=y", "c=; a=2;d"].into_iter(), name);
        assert_eq!(find("a"), Some("1"));
        assert_eq!(find("b"), Some("x=y"));
        assert_eq!(find("c"), Some(""));
        assert_eq!(find("d"), None);
        assert_eq!(find("A"), None);
    }
}
