//! Settings of a server that are about whom it believes and lets in.
#![forbid(unsafe_code)]

use super::http::forwarded::ProxyHeaders;
use super::http::hosts::Hosts;
use super::http::networks::Networks;
use super::http::origin::OriginPolicy;
#[cfg(doc)]
use super::http::request::Request;
#[cfg(doc)]
use super::observe::event::LogEvent;
use super::server::Server;
#[cfg(doc)]
use crate::config::Config;

impl Server {
    /// Sets the origins whose scripts may connect. By default those from the host that they connect
    /// to; all others get a 403.
    pub fn origins(mut self, policy: OriginPolicy) -> Self {
        self.settings.origins = policy;
        self
    }

    /// Lets scripts from these origins connect, such as `https://example.com`, and no others.
    pub fn allow_origins<'a>(mut self, origins: impl IntoIterator<Item = &'a str>) -> Self {
        match OriginPolicy::parse(origins) {
            Ok(policy) => self.settings.origins = policy,
            Err(error) => self.note::<()>(Err(error)),
        }
        self
    }

    /// Sets the names of the server: `example.com` with any port, `example.com:8181`, and
    /// `*.example.com` for all names under it. Requests for others are answered with status 421,
    /// those for pages too; only [`health`](Self::health) answers for any host. Behind
    /// [trusted proxies](Self::trusted_proxies) it is their `X-Forwarded-Host` that counts.
    ///
    /// By default the server takes any name. A stranger's page can have its own name point to the
    /// server's address, and then passes for the [same host](OriginPolicy::SameHost): a way in to
    /// servers that only this machine or a private network can reach.
    pub fn allowed_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        match Hosts::parse(hosts) {
            Ok(hosts) => self.settings.hosts = Some(hosts),
            Err(error) => self.note::<()>(Err(error)),
        }
        self
    }

    /// Sets how many reverse proxies in front of the server are believed about the client, in
    /// `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`: of each header, the last
    /// `proxies` elements. Default 0: anybody can send these headers.
    ///
    /// [`Request::remote_ip`], [`Request::host`], [`Request::is_secure`], their like in
    /// [`ClientInfo`](super::ClientInfo), [`OriginPolicy::SameHost`] and
    /// [`max_connections_per_ip`](Self::max_connections_per_ip) go by it. Only the proxies should
    /// be able to reach the server then, and they have to set all three headers: one that they
    /// leave alone is believed as the client sent it. A request of which they say something that is
    /// no address, no host or no scheme (`unknown`, `unix:`) is answered with status 400, the
    /// health check excepted: the client does not pass for the proxy, nor for one with the others
    /// of its kind.
    pub const fn trusted_proxies(mut self, proxies: usize) -> Self {
        self.settings.trust.proxies = proxies;
        self
    }

    /// Believes reverse proxies in these networks about the client, and no others: `10.0.0.0/8`,
    /// `2001:db8::/32`, `192.0.2.7`. Of the addresses in `X-Forwarded-For`, from the last one to
    /// the first, those in the networks are proxies too, and the first other one is the client; of
    /// the other headers, the element at the same place counted from the end is believed. Who
    /// connects from elsewhere is believed nothing.
    ///
    /// With [`trusted_proxies`](Self::trusted_proxies) as well, no more than that many elements are
    /// believed. Everything else is as described there.
    pub fn trusted_networks<'a>(mut self, networks: impl IntoIterator<Item = &'a str>) -> Self {
        match Networks::parse(networks) {
            Ok(networks) => self.settings.trust.networks = Some(networks),
            Err(error) => self.note::<()>(Err(error)),
        }
        self
    }

    /// Sets in which headers the trusted proxies tell of the client. By default in
    /// `X-Forwarded-For`, `-Host` and `-Proto`. The others are never looked at: a proxy that does
    /// not write them passes on what the client has sent.
    pub const fn proxy_headers(mut self, headers: ProxyHeaders) -> Self {
        self.settings.trust.headers = headers;
        self
    }

    /// Expects a header of the PROXY protocol, version 1 or 2, on every connection from these
    /// networks (`10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`): load balancers that pass on bytes say
    /// there who the client is (`send-proxy-v2` of haproxy, `proxy_protocol on` of nginx).
    /// [`Request::peer_addr`] and [`Request::remote_ip`] are the client's then, and
    /// [`Request::is_secure`] is what version 2 says of TLS, unless the client speaks TLS with this
    /// server, for which the header stands before it. Where the proxy speaks for itself, as
    /// in a health check, or knows no address, they stay its own.
    ///
    /// A connection without a valid header is closed ([`LogEvent::BadProxyHeader`]). The header and
    /// the request have [`Config::handshake_timeout`] together. A connection from any other network
    /// is one of a client, which may not send such a header: it is no valid request.
    pub fn proxy_protocol<'a>(mut self, networks: impl IntoIterator<Item = &'a str>) -> Self {
        match Networks::parse(networks) {
            Ok(networks) => self.settings.proxy_protocol = Some(networks),
            Err(error) => self.note::<()>(Err(error)),
        }
        self
    }
}
