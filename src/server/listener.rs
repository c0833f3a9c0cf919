#![forbid(unsafe_code)]

use core::net::SocketAddr;
use core::task::{Context, Poll};
use std::io;

#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::SockFilter;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::error::ServerError;
use crate::tokio::tune_listener;

/// One of the listeners of a server.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: TcpListener,
    pub(crate) kind: Kind,
    /// Its queue is that of this server alone. One that was made elsewhere may be open in another
    /// process too, such as systemd or the one that takes this one's place.
    is_own: bool,
}

/// What a listener says of the connections that come through it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// They speak TLS.
    pub(crate) is_secure: bool,
    /// They come from this machine.
    pub(crate) on_loopback: bool,
    /// They have the options of [`tune`](crate::tokio::tune) already.
    pub(crate) is_tuned: bool,
}

/// A connection that was accepted, and is to be served.
pub(crate) struct Newcomer {
    pub(crate) stream: TcpStream,
    pub(crate) addr: SocketAddr,
    pub(crate) kind: Kind,
}

impl Listener {
    pub(crate) fn new(tcp: TcpListener, is_secure: bool) -> Self {
        let on_loopback = tcp.local_addr().is_ok_and(|addr| addr.ip().to_canonical().is_loopback());
        Self { tcp, kind: Kind { is_secure, on_loopback, is_tuned: false }, is_own: false }
    }

    /// Listens on an address that has a scheme or none, and that other listeners may share.
    pub(crate) async fn bind(address: &str, shared: bool) -> Result<Self, ServerError> {
        let (is_secure, host_and_port) = parse(address)?;
        if is_secure && !cfg!(feature = "rustls") {
            return Err(ServerError::Tls);
        }
        let mut last_error = None;
        for addr in tokio::net::lookup_host(host_and_port).await? {
            match listen(addr, shared) {
                Ok((tcp, is_tuned)) => {
                    let mut this = Self { is_own: true, ..Self::new(tcp, is_secure) };
                    this.kind.is_tuned = is_tuned;
                    return Ok(this);
                }
                Err(error) => last_error = Some(error),
            }
        }
        let no_address = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        Err(last_error.unwrap_or_else(no_address).into())
    }

    /// Takes no newcomers any more, if its queue is its own; those that the operating system has
    /// begun to talk to may still come. Returns whether they may.
    pub(crate) fn ignore_newcomers(&self) -> bool {
        if self.is_own {
            ignore_syn(&self.tcp);
        }
        self.is_own
    }

    /// Accepts a connection that waits in a queue of its own, without asking the runtime, which may
    /// not have heard of it.
    pub(crate) fn accept_queued(&self) -> io::Result<Newcomer> {
        if !self.is_own {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (socket, addr) = SockRef::from(&self.tcp).accept()?;
        socket.set_nonblocking(true)?;
        let addr = addr.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok(Newcomer { stream: TcpStream::from_std(socket.into())?, addr, kind: self.kind })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// The listeners of a server, whose connections are accepted in turn.
pub(crate) struct Listeners<'a> {
    all: &'a [Listener],
    /// The one that is asked first.
    next: usize,
}

impl<'a> Listeners<'a> {
    pub(crate) const fn new(all: &'a [Listener]) -> Self {
        Self { all, next: 0 }
    }

    /// Accepts a connection; for one task.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Newcomer>> {
        // The one behind the last that had something is first, or a storm at one of them would keep
        // the others waiting.
        let (before, first) = self.all.split_at(self.next);
        for (at, listener) in first.iter().chain(before).enumerate() {
            if let Poll::Ready(accepted) = listener.tcp.poll_accept(cx) {
                self.next = (self.next + at + 1) % self.all.len();
                let kind = listener.kind;
                return Poll::Ready(accepted.map(|(stream, addr)| Newcomer { stream, addr, kind }));
            }
        }
        Poll::Pending
    }
}

/// Returns whether an address is one for TLS, and its `HOST:PORT`.
fn parse(address: &str) -> Result<(bool, &str), ServerError> {
    let invalid = || ServerError::Address(address.into());
    let (is_secure, rest) = match address.split_once("://") {
        None => (false, address),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => (false, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("wss") => (true, rest),
        Some(_) => return Err(invalid()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = rest.rsplit_once(':').ok_or_else(invalid)?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) || !is_port {
        return Err(invalid());
    }
    Ok((is_secure, rest))
}

/// Returns a listener with a queue for all who come at once, and whether what it accepts is tuned.
fn listen(addr: SocketAddr, shared: bool) -> io::Result<(TcpListener, bool)> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // On Windows this would let another program take the same port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    if shared {
        share(&socket)?;
    }
    socket.bind(addr)?;
    let is_tuned = tune_listener(&socket).unwrap_or(false);
    Ok((socket.listen(BACKLOG)?, is_tuned))
}

#[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))))]
fn share(socket: &TcpSocket) -> io::Result<()> {
    socket.set_reuseport(true)
}

#[cfg(not(all(
    unix,
    not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
)))]
fn share(_socket: &TcpSocket) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "no port can be shared on this system"))
}

/// Makes a listener deaf to new connections, where that can be done: a SYN that nobody answers is
/// sent again a second later (RFC 6298 §2), and then comes to another listener on the same port.
///
/// Closing alone would not do: Linux resets those that are in the queue, and those whose SYN it has
/// answered.
fn ignore_syn(listener: &TcpListener) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // a program for the packet filter, which sees the TCP header: no segment with the flag SYN
        let filter = [
            SockFilter::new(0x30, 0, 0, 13), // load the byte with the flags (RFC 9293 §3.1)
            SockFilter::new(0x45, 0, 1, 0x02), // is SYN among them?
            SockFilter::new(0x06, 0, 0, 0),  // drop it
            SockFilter::new(0x06, 0, 0, u32::MAX), // take it
        ];
        // where this is not allowed the rest has to do
        let _ = SockRef::from(listener).attach_filter(&filter);
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = listener;
}

/// The length of the queue of the operating system: all clients of a busy server come at once when
/// it comes back.
pub(crate) const BACKLOG: u32 = 4096;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::future::poll_fn;

    use super::*;

    /// Those that are accepted have the options of `tune` from the listener, the first one too.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_an_own_listener_accepts_is_tuned() {
        let listener = Listener::bind("127.0.0.1:0", false).await.unwrap();
        assert!(listener.kind.is_tuned);
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.tcp.accept().await.unwrap();
        assert!(stream.nodelay().unwrap());
        crate::tokio::tune(&client).unwrap();
        let lowat = |stream| SockRef::from(stream).tcp_notsent_lowat().unwrap();
        assert_eq!(lowat(&stream), lowat(&client));
    }

    /// Clients may wait in the queue of one that was made elsewhere, and have nothing from it.
    #[tokio::test]
    async fn what_another_listener_accepts_is_to_be_tuned() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(!Listener::new(listener, false).kind.is_tuned);
    }

    /// A storm at one of them keeps nobody at another waiting.
    #[tokio::test]
    async fn listeners_take_turns() {
        let mut all = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..3 {
            let listener = Listener::bind("127.0.0.1:0", false).await.unwrap();
            for _ in 0..4 {
                clients.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            }
            all.push(listener);
        }
        // so that the runtime learns of all of them
        tokio::time::sleep(core::time::Duration::from_millis(20)).await;
        let mut listeners = Listeners::new(&all);
        for round in 0..4 {
            for listener in &all {
                let accepted = poll_fn(|cx| listeners.poll_accept(cx)).await.unwrap();
                let to = accepted.stream.local_addr().unwrap();
                assert_eq!(to, listener.local_addr().unwrap(), "round {round}");
            }
        }
        assert!(poll_fn(|cx| Poll::Ready(listeners.poll_accept(cx))).await.is_pending());
    }

    #[test]
    fn addresses() {
        assert_eq!(parse("ws://127.0.0.1:8181").unwrap(), (false, "127.0.0.1:8181"));
        assert_eq!(parse("WS://[::1]:0/").unwrap(), (false, "[::1]:0"));
        assert_eq!(parse("localhost:80").unwrap(), (false, "localhost:80"));
        assert_eq!(parse("wss://h:1").unwrap(), (true, "h:1"));
        assert_eq!(parse("WSS://[::]:443/").unwrap(), (true, "[::]:443"));
        for address in [
            "",
            "h",
            "ws://h",
            "http://h:1",
            "ws://h:1/path",
            "h:+1",
            "h:70000",
            ":1",
            "ws://u@h:1",
            "wss://h",
        ] {
            let error = parse(address).unwrap_err();
            assert!(matches!(error, ServerError::Address(_)), "{address}");
        }
    }
}
