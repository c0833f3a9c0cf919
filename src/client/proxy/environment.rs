use alloc::string::String;
use alloc::sync::Arc;

use super::Proxy;
use super::exceptions::Exceptions;
use super::server::Server;
use crate::way::ProxyError;

/// The first that is set counts: the rules of curl for these schemes.
const PLAIN: [&str; 5] = ["ws_proxy", "WS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"];
const SECURE: [&str; 6] =
    ["wss_proxy", "WSS_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// Reads the environment, which `variable` looks into.
pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Proxy, ProxyError> {
    let first = |names: &[&'static str]| {
        let set = |name| Some((name, variable(name).filter(|value| !value.is_empty())?));
        names.iter().copied().find_map(set)
    };
    let server = |names: &[&'static str]| match first(names) {
        None => Ok(None),
        Some((name, url)) => match Server::parse(&url, None) {
            Ok(server) => Ok(Some(Arc::new(server))),
            Err(reason) => Err(ProxyError::url(name, reason)),
        },
    };
    let (plain, secure) = (server(&PLAIN)?, server(&SECURE)?);
    let list = first(&["no_proxy", "NO_PROXY"]).map(|(_, list)| list);
    let exceptions = Arc::new(Exceptions::parse(&list.unwrap_or_default()));
    Ok(Proxy { plain, secure, exceptions })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::handshake::client::Request;

    fn environment(set: &[(&str, &str)]) -> Result<Proxy, ProxyError> {
        read(|name| set.iter().find(|(it, _)| *it == name).map(|(_, value)| value.to_string()))
    }

    fn proxy(set: &[(&str, &str)], url: &str) -> Option<String> {
        let proxy = environment(set).unwrap();
        proxy.server(&Request::new(url).unwrap()).map(|server| server.to_string())
    }

    #[test]
    fn variables() {
        for (set, plain, secure) in [
            (&[][..], None, None),
            (&[("http_proxy", "http://a:1")][..], Some("http://a:1"), None),
            (&[("HTTP_PROXY", "http://a:1")], None, None),
            (&[("https_proxy", "http://a:1")], None, Some("http://a:1")),
            (&[("HTTPS_PROXY", "http://a:1")], None, Some("http://a:1")),
            (
                &[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "socks5h://b:2")],
                None,
                Some("socks5://b:2"),
            ),
            (&[("ALL_PROXY", "a:1")], Some("http://a:1"), Some("http://a:1")),
            (
                &[("ALL_PROXY", "a:1"), ("all_proxy", "SOCKS5://b"), ("wss_proxy", "c/")],
                Some("socks5://b:1080"),
                Some("http://c:80"),
            ),
            (&[("ws_proxy", "b:2"), ("http_proxy", "a:1")], Some("http://b:2"), None),
            (&[("http_proxy", ""), ("ALL_PROXY", "a:1")], Some("http://a:1"), Some("http://a:1")),
            (&[("http_proxy", "a:1"), ("no_proxy", "x,h")], None, None),
            (&[("http_proxy", "a:1"), ("NO_PROXY", "h")], None, None),
            (
                &[("http_proxy", "a:1"), ("NO_PROXY", "h"), ("no_proxy", "x")],
                Some("http://a:1"),
                None,
            ),
            (&[("all_proxy", "a:1"), ("NO_PROXY", "h:443")], Some("http://a:1"), None),
        ] {
            assert_eq!(proxy(set, "ws://h/").as_deref(), plain, "{set:?}");
            assert_eq!(proxy(set, "wss://h/").as_deref(), secure, "{set:?}");
        }
        let [there, here] = [Proxy::from_env(), read(|name| std::env::var(name).ok())];
        assert_eq!(alloc::format!("{there:?}"), alloc::format!("{here:?}"));
    }

    /// A proxy that was set and cannot be used is not passed by.
    #[test]
    fn faults_name_the_variable_and_no_secret() {
        let error = environment(&[("HTTPS_PROXY", "https://user:secret@a")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the URL of the proxy in HTTPS_PROXY cannot be used: a proxy that speaks TLS itself is \
             not supported; take http:// or socks5://"
        );
        assert_eq!(error.proxy(), "HTTPS_PROXY");
    }
}
