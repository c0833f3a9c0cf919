#![forbid(unsafe_code)]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::server::http::request::{Request, find_cookie};
use crate::server::http::route::{Params, Pattern};

/// The request that a connection began with. Kept in one piece of memory of about the length of the
/// request's head, of whose headers not more than
/// [`Server::max_kept_headers`](crate::server::Server::max_kept_headers) is kept.
pub struct ClientInfo {
    peer_addr: SocketAddr,
    remote_ip: IpAddr,
    secure: bool,
    opened: Instant,
    /// Path, `?` and query if there is one, host, then `name: value` and a line feed for each
    /// header.
    text: Box<str>,
    path_end: u32,
    query_end: u32,
    host_end: u32,
    subprotocol: Option<Box<str>>,
    pattern: Arc<Pattern>,
    params: Params,
}

impl ClientInfo {
    pub(crate) fn new(
        request: &Request<'_>,
        subprotocol: Option<&str>,
        pattern: Arc<Pattern>,
        params: Params,
        max_kept_headers: usize,
    ) -> Self {
        let (path, query, host) = (request.path(), request.query(), request.host());
        let len = path.len() + query.map_or(0, |query| query.len() + 1) + host.len();
        let mut room = max_kept_headers;
        let headers = request.http.headers().filter(|(name, _)| !is_of_the_handshake(name));
        // of a header, what is between its parts too
        let len_of = |name: &str, value: &[u8]| name.len() + value.len() + 3;
        // counted before: to give what is too much back costs more than to look at them twice
        let most = headers.clone().map(|(name, value)| len_of(name, value)).sum::<usize>();
        let mut text = String::with_capacity(len + most.min(room));
        let end = |text: &String| u32::try_from(text.len()).unwrap_or(u32::MAX);
        text.push_str(path);
        let path_end = end(&text);
        if let Some(query) = query {
            text.push('?');
            text.push_str(query);
        }
        let query_end = end(&text);
        text.push_str(host);
        let host_end = end(&text);
        for (name, value) in headers {
            let len = len_of(name, value);
            if len <= room
                && let Ok(value) = core::str::from_utf8(value)
            {
                [name, ": ", value, "\n"].into_iter().for_each(|part| text.push_str(part));
                room -= len;
            }
        }
        Self {
            peer_addr: request.peer_addr(),
            remote_ip: request.remote_ip(),
            secure: request.is_secure(),
            opened: Instant::now(),
            text: text.into(),
            path_end,
            query_end,
            host_end,
            subprotocol: subprotocol.map(Box::from),
            pattern,
            params,
        }
    }

    /// Returns the address of the other end of the TCP connection: of a proxy, if there is one.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer_addr
    }

    /// Returns the address of the client: see
    /// [`Request::remote_ip`](crate::server::Request::remote_ip).
    pub fn remote_ip(&self) -> IpAddr {
        self.remote_ip
    }

    /// Returns whether the client speaks TLS, as the trusted proxies say, or else the
    /// [`ExternalStream`](crate::server::ExternalStream).
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns when the connection was opened.
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Returns the path, not decoded.
    pub fn path(&self) -> &str {
        self.part(0, self.path_end)
    }

    /// Returns the query, which follows the `?`, not decoded.
    pub fn query(&self) -> Option<&str> {
        self.part(self.path_end, self.query_end).strip_prefix('?')
    }

    /// Returns the route that was taken, as it was given to
    /// [`Server::route`](crate::server::Server::route).
    pub fn route(&self) -> &str {
        self.pattern.text()
    }

    /// Returns the value of a parameter of the route, percent-decoded: of `room` for the route
    /// `/chat/{room}`. The client chose it.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(self.pattern.position(name)?).map(|value| &**value)
    }

    /// Returns the host and, if there is one, the port that the client addressed, as far as the
    /// trusted proxies or the `Host` header tell.
    pub fn host(&self) -> &str {
        self.part(self.query_end, self.host_end)
    }

    /// Returns the site whose script opened the connection. Only browsers send it.
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// Returns the value of the first header with this name, in any case; `None` if there is none
    /// or its value is not UTF-8. Those that only the handshake needs are not kept.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|it| it.1)
    }

    /// Returns the headers, in order, but for those that only the handshake needs: `Upgrade`,
    /// `Connection` and `Sec-WebSocket-…`; and as many as
    /// [`Server::max_kept_headers`](crate::server::Server::max_kept_headers) allows: one that does
    /// not fit is left out, and shorter ones behind it may be there.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.text.get(self.host_end as usize..).unwrap_or_default().lines();
        lines.filter_map(|line| line.split_once(": "))
    }

    /// Returns the value of the first cookie with this name, as it was sent.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let values = self.headers().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        find_cookie(values.map(|it| it.1), name)
    }

    /// Returns the subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    fn part(&self, from: u32, to: u32) -> &str {
        self.text.get(from as usize..to as usize).unwrap_or_default()
    }
}

/// Returns whether a header is of use for the handshake only.
fn is_of_the_handshake(name: &str) -> bool {
    const PREFIX: &str = "sec-websocket-";
    let is = |other| name.eq_ignore_ascii_case(other);
    match name.len() {
        4 => is("host"),
        7 => is("upgrade"),
        10 => is("connection"),
        _ => name.get(..PREFIX.len()).is_some_and(|it| it.eq_ignore_ascii_case(PREFIX)),
    }
}

/// Leaves out the headers, which may hold what logs should not.
impl fmt::Debug for ClientInfo {
    /// Without the query and the headers, which may have a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientInfo")
            .field("peer_addr", &self.peer_addr)
            .field("remote_ip", &self.remote_ip)
            .field("path", &self.path())
            .field("host", &self.host())
            .field("subprotocol", &self.subprotocol)
            .finish_non_exhaustive()
    }
}
