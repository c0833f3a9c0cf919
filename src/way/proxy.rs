use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use std::io;

use crate::handshake::HandshakeError;
use crate::handshake::client::{Details, Refused, Title};

/// There is no way through a proxy, and this is why.
///
/// Its text names the proxy and says what that answered, or what to do. User names and passwords
/// are not in it.
#[derive(Clone, Debug)]
pub struct ProxyError {
    /// The URL without user name and password, or what it was to be read from.
    pub(crate) proxy: Box<str>,
    /// `host:port` of the server.
    pub(crate) target: Box<str>,
    pub(crate) has_credentials: bool,
    pub(crate) failure: ProxyFailure,
}

/// What happened at a proxy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// Its URL cannot be used, for the reason that the text says.
    Url(&'static str),
    /// It cannot be connected to.
    Unreachable(Arc<io::Error>),
    /// The connection to it broke, or ended (`None`), before it had answered.
    Disconnected(Option<Arc<io::Error>>),
    /// It answered CONNECT with this. With 407 it wants to know who asks.
    Refused(Arc<Refused>),
    /// Its answer to CONNECT is not HTTP/1.1, or over a limit.
    Http(HandshakeError),
    /// It takes none of the ways to say who asks: no user name and password were given, or it takes
    /// none (SOCKS5, RFC 1928 §3).
    NoMethod,
    /// It does not accept the user name and password (SOCKS5, RFC 1929 §2).
    Credentials,
    /// It could not connect to the server; the code is one of RFC 1928 §6 (SOCKS5).
    Reply(u8),
    /// It broke the rules of SOCKS5, as the text says.
    Socks(&'static str),
}

impl ProxyError {
    /// Makes the error of a URL that cannot be used; `variable` is where it is from.
    pub(crate) fn url(variable: &str, reason: &'static str) -> Self {
        Self {
            proxy: variable.into(),
            target: Box::default(),
            has_credentials: false,
            failure: ProxyFailure::Url(reason),
        }
    }

    /// Returns the URL of the proxy, without user name and password. For a URL that cannot be used
    /// this is the environment variable that it is from, or empty.
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// Returns what happened.
    pub fn failure(&self) -> &ProxyFailure {
        &self.failure
    }

    pub(crate) fn io_kind(&self) -> io::ErrorKind {
        match &self.failure {
            ProxyFailure::Url(_) => io::ErrorKind::InvalidInput,
            ProxyFailure::Unreachable(error) | ProxyFailure::Disconnected(Some(error)) => {
                error.kind()
            }
            ProxyFailure::Disconnected(None) => io::ErrorKind::UnexpectedEof,
            ProxyFailure::Http(_) | ProxyFailure::Socks(_) => io::ErrorKind::InvalidData,
            ProxyFailure::Refused(_)
            | ProxyFailure::NoMethod
            | ProxyFailure::Credentials
            | ProxyFailure::Reply(_) => io::ErrorKind::ConnectionRefused,
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proxy, target, has_credentials, failure } = self;
        match failure {
            ProxyFailure::Url(reason) if proxy.is_empty() => {
                write!(f, "the URL of the proxy cannot be used: {reason}")
            }
            ProxyFailure::Url(reason) => {
                write!(f, "the URL of the proxy in {proxy} cannot be used: {reason}")
            }
            ProxyFailure::Unreachable(error) => {
                write!(f, "the proxy {proxy} cannot be reached: {error}")
            }
            ProxyFailure::Disconnected(None) => {
                write!(f, "the proxy {proxy} ended the connection before it led to {target}")
            }
            ProxyFailure::Disconnected(Some(error)) => {
                write!(f, "the connection to the proxy {proxy} broke: {error}")
            }
            ProxyFailure::Refused(refused) => {
                write!(f, "the proxy {proxy} answered {} to CONNECT {target}", Title(refused))?;
                match (refused.status(), has_credentials) {
                    (407, false) => write!(f, ", which asks {GIVE}")?,
                    // tinyproxy says 401 to a password that is wrong
                    (401 | 407, true) => write!(f, ", which is to say that {WRONG}")?,
                    _ => {}
                }
                write!(f, "{}", Details(refused))
            }
            ProxyFailure::Http(error) => {
                write!(f, "the proxy {proxy} did not answer CONNECT {target} as it should: {error}")
            }
            ProxyFailure::NoMethod if *has_credentials => {
                write!(f, "the proxy {proxy} takes no user name and password (RFC 1928 §3)")
            }
            ProxyFailure::NoMethod => write!(f, "the proxy {proxy} asks {GIVE} (RFC 1928 §3)"),
            ProxyFailure::Credentials => {
                write!(f, "the proxy {proxy} says that {WRONG} (RFC 1929 §2)")
            }
            ProxyFailure::Reply(code) => write!(
                f,
                "the proxy {proxy} did not connect to {target}: {} (reply {code}, RFC 1928 §6)",
                meaning(*code)
            ),
            ProxyFailure::Socks(reason) => {
                write!(f, "the proxy {proxy} cannot be used for SOCKS5 to {target}: {reason}")
            }
        }
    }
}

/// Returns what a reply to the request means (RFC 1928 §6).
fn meaning(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "its rules do not allow this connection",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "it does not know this command",
        8 => "it does not know this kind of address",
        _ => "for a reason without a name",
    }
}

const GIVE: &str =
    "who you are: give a user name and password in its URL or by `Proxy::credentials`";
const WRONG: &str = "the user name or the password is wrong";

impl core::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        // the text has that of the wrapped error in it
        match &self.failure {
            ProxyFailure::Unreachable(error) | ProxyFailure::Disconnected(Some(error)) => {
                error.source()
            }
            _ => None,
        }
    }
}
