use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use std::io;

use super::server::{HostPort, Protocol, Server};
use super::socks5::Socks5;
use crate::buf::{RecvBuffer, SendBuffer};
use crate::config::Config;
use crate::error::Error;
use crate::handshake::client::{Answer, Connect, Request, basic};
use crate::way::{ProxyError, ProxyFailure};

/// What is said to a proxy until there is a way to the server.
#[derive(Debug)]
pub(crate) struct Tunnel {
    server: Arc<Server>,
    target: String,
    protocol: Conversation,
}

#[derive(Debug)]
enum Conversation {
    Http(Connect),
    Socks5(Socks5),
}

impl Tunnel {
    /// Writes the beginning to `tx`.
    pub(crate) fn start(
        server: &Arc<Server>,
        request: &Request,
        config: &Config,
        tx: &mut SendBuffer,
    ) -> Result<Self, Error> {
        let (host, port) = (request.host(), request.port());
        let target = HostPort(host, port).to_string();
        let credentials = server.credentials.clone();
        let protocol = match server.protocol {
            Protocol::Http => {
                let value = credentials.and_then(|it| basic(&it.user, &it.password));
                Conversation::Http(Connect::start(&target, value.as_deref(), config, tx))
            }
            Protocol::Socks5 => {
                let credentials = credentials.map(|it| (it.user, it.password));
                let start = Socks5::start(host, port, credentials, tx);
                Conversation::Socks5(start.map_err(|it| error(server, &target, it))?)
            }
        };
        Ok(Self { server: Arc::clone(server), target, protocol })
    }

    /// Takes what the proxy says out of `rx`, and writes what there is to say to that; `true` once
    /// the way is open. Then what is left in `rx` is the server's; before that, nothing is left.
    pub(crate) fn read(&mut self, rx: &mut RecvBuffer, tx: &mut SendBuffer) -> Result<bool, Error> {
        let result = match &mut self.protocol {
            Conversation::Socks5(socks5) => socks5.read(rx, tx),
            Conversation::Http(connect) => match connect.read(rx) {
                Ok(None) => Ok(false),
                Ok(Some(Answer::Open)) => Ok(true),
                Ok(Some(Answer::Refused(refused))) => Err(ProxyFailure::Refused(refused.into())),
                Err(error) => Err(ProxyFailure::Http(error)),
            },
        };
        result.map_err(|failure| self.error(failure))
    }

    /// The connection with the proxy has ended, or broken.
    pub(crate) fn disconnected(&mut self, reason: Option<io::Error>) -> Error {
        match self.refused() {
            Some(refused) => refused,
            None => self.error(ProxyFailure::Disconnected(reason.map(Arc::new))),
        }
    }

    /// The time is over. What the proxy has said by then counts more.
    pub(crate) fn timed_out(&mut self) -> Error {
        self.refused().unwrap_or(Error::HandshakeTimeout)
    }

    fn refused(&mut self) -> Option<Error> {
        let Conversation::Http(connect) = &mut self.protocol else { return None };
        match connect.take_refused()? {
            Answer::Refused(refused) => Some(self.error(ProxyFailure::Refused(refused.into()))),
            Answer::Open => None,
        }
    }

    fn error(&self, failure: ProxyFailure) -> Error {
        error(&self.server, &self.target, failure)
    }
}

impl Server {
    /// Says that the proxy cannot be connected to, unless it is only that the time is over.
    pub(crate) fn unreachable(&self, failure: Error) -> Error {
        match failure {
            Error::Io(reason) => error(self, "", ProxyFailure::Unreachable(reason)),
            other => other,
        }
    }
}

fn error(server: &Server, target: &str, failure: ProxyFailure) -> Error {
    let has_credentials = server.credentials.is_some();
    let proxy = format!("{server}").into();
    ProxyError { proxy, target: target.into(), has_credentials, failure }.into()
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use bytes::Buf;

    use super::*;
    use crate::client::Proxy;

    fn start(proxy: &Proxy, url: &str, tx: &mut SendBuffer) -> Tunnel {
        let request = Request::new(url).unwrap().bearer_auth("secret").cookie("a", "secret");
        let server = proxy.server(&request).unwrap();
        Tunnel::start(server, &request, &Config::new(), tx).unwrap()
    }

    fn text(proxy: &Proxy, answer: &str) -> String {
        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        let mut tunnel = start(proxy, "wss://example.com/", &mut tx);
        rx.extend_from_slice(answer.as_bytes());
        let error = match tunnel.read(&mut rx, &mut tx) {
            Ok(open) => {
                assert!(!open);
                tunnel.disconnected(None)
            }
            Err(error) => error,
        };
        error.to_string()
    }

    /// C-29: what is for the server stays away from the proxy.
    #[test]
    fn what_the_proxy_gets() {
        for (proxy, expected) in [
            (
                Proxy::http("http://u:p@127.0.0.1:8888"),
                &b"CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\nProxy-Authorization: \
                   Basic dTpw\r\n\r\n"[..],
            ),
            (Proxy::socks5("socks5://u:p@127.0.0.1"), b"\x05\x02\0\x02"),
        ] {
            let mut tx = SendBuffer::new();
            start(&proxy.unwrap(), "ws://example.com/path?query", &mut tx);
            let sent: Vec<u8> = tx.copy_to_bytes(tx.remaining()).to_vec();
            assert_eq!(sent, expected);
        }
    }

    #[test]
    fn texts_of_http() {
        let proxy = Proxy::http("http://127.0.0.1:8888").unwrap();
        let known = proxy.clone().credentials("u", "p").unwrap();
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\n\
                      Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 3\r\n\r\nno!";
        assert_eq!(
            text(&proxy, answer),
            "the proxy http://127.0.0.1:8888 answered 407 Proxy Authentication Required to CONNECT \
             example.com:443, which asks who you are: give a user name and password in its URL or \
             by `Proxy::credentials` (Proxy-Authenticate: Basic realm=\"x\"): no!"
        );
        assert_eq!(
            text(&known, answer),
            "the proxy http://127.0.0.1:8888 answered 407 Proxy Authentication Required to CONNECT \
             example.com:443, which is to say that the user name or the password is wrong \
             (Proxy-Authenticate: Basic realm=\"x\"): no!"
        );
        assert_eq!(
            text(&proxy, "HTTP/1.0 502 Bad Gateway\r\n\r\nno such\x1b host"),
            "the proxy http://127.0.0.1:8888 answered 502 Bad Gateway to CONNECT example.com:443: \
             no such\\u{1b} host"
        );
        assert_eq!(
            text(&proxy, "\x05\x7f"),
            "the proxy http://127.0.0.1:8888 did not answer CONNECT example.com:443 as it should: \
             the first line is not HTTP/1.1 (RFC 9112 §3)"
        );
        for answer in ["", "HTTP/1.1 200 OK\r\n"] {
            assert_eq!(
                text(&proxy, answer),
                "the proxy http://127.0.0.1:8888 ended the connection before it led to \
                 example.com:443"
            );
        }
    }

    #[test]
    fn texts_of_socks5() {
        let proxy = Proxy::socks5("socks5://127.0.0.1").unwrap();
        let known = proxy.clone().credentials("u", "p").unwrap();
        assert_eq!(
            text(&proxy, "\x05\0\x05\x05"),
            "the proxy socks5://127.0.0.1:1080 did not connect to example.com:443: connection \
             refused (reply 5, RFC 1928 §6)"
        );
        assert_eq!(
            text(&known, "\x05\x02\x01\x01"),
            "the proxy socks5://127.0.0.1:1080 says that the user name or the password is wrong \
             (RFC 1929 §2)"
        );
        assert_eq!(
            text(&proxy, "HTTP/1.1 400"),
            "the proxy socks5://127.0.0.1:1080 cannot be used for SOCKS5 to example.com:443: its \
             answer looks like HTTP: its URL may have to begin with http://"
        );
        let mut tx = SendBuffer::new();
        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(b"\x05\xff");
        for (proxy, expected) in [
            (
                &proxy,
                "the proxy socks5://127.0.0.1:1080 asks who you are: give a user name and password \
                 in its URL or by `Proxy::credentials` (RFC 1928 §3)",
            ),
            (
                &known,
                "the proxy socks5://127.0.0.1:1080 takes no user name and password (RFC 1928 §3)",
            ),
        ] {
            let mut rx = RecvBuffer::new();
            rx.extend_from_slice(b"\x05\xff");
            let mut tunnel = start(proxy, "wss://example.com", &mut tx);
            assert_eq!(tunnel.read(&mut rx, &mut tx).unwrap_err().to_string(), expected);
        }
    }

    /// What has been said when the time is over, or the connection, counts.
    #[test]
    fn a_refusal_without_its_end() {
        let proxy = Proxy::http("http://127.0.0.1:8888").unwrap();
        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        let mut tunnel = start(&proxy, "wss://example.com/", &mut tx);
        assert!(matches!(tunnel.timed_out(), Error::HandshakeTimeout));
        rx.extend_from_slice(b"HTTP/1.1 407 x\r\nContent-Length: 10\r\n\r\nhal");
        assert!(!tunnel.read(&mut rx, &mut tx).unwrap());
        let Error::Proxy(error) = tunnel.timed_out() else { panic!("the answer is lost") };
        let ProxyFailure::Refused(refused) = error.failure() else { panic!("{error:?}") };
        assert_eq!((refused.status(), refused.body()), (407, &b"hal"[..]));
    }
}
