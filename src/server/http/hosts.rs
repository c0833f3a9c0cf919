use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::handshake::split_authority;
use crate::server::error::ServerError;

/// The names of a server: see [`Server::allowed_hosts`](crate::server::Server::allowed_hosts).
#[derive(Debug)]
pub(crate) struct Hosts(Vec<Host>);

#[derive(Debug)]
struct Host {
    /// In lower case; what begins with a dot stands for all names that end with it.
    name: String,
    /// `None` for any.
    port: Option<u16>,
}

impl Hosts {
    pub(crate) fn parse<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Result<Self, ServerError> {
        let hosts = hosts.into_iter().map(|text| {
            let authority = text.strip_prefix('*').filter(|rest| rest.starts_with('.'));
            match split_authority(authority.unwrap_or(text)) {
                Some((name, port)) if !name.contains('*') => {
                    Ok(Host { name: name.to_ascii_lowercase(), port })
                }
                _ => Err(ServerError::Host(Box::from(text))),
            }
        });
        hosts.collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether a `host[:port]` is one of them.
    pub(crate) fn contain(&self, host: &str, secure: bool) -> bool {
        let Some((name, port)) = split_authority(host) else { return false };
        let name = without_final_dot(name).to_ascii_lowercase();
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        self.0.iter().any(|host| {
            let is_it = match host.name.strip_prefix('.') {
                Some(_) => name.len() > host.name.len() && name.ends_with(&host.name),
                None => name == host.name,
            };
            is_it && host.port.is_none_or(|it| it == port)
        })
    }
}

/// Returns whether a `host[:port]` is a name of the machine itself that no DNS server has given it
/// (RFC 6761 §6.3 for `localhost`), or one of its loopback addresses.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let Some((name, _)) = split_authority(host) else { return false };
    if let Some(literal) = name.strip_prefix('[') {
        let ip = literal.trim_end_matches(']').parse::<Ipv6Addr>();
        return ip.is_ok_and(|ip| ip.to_canonical().is_loopback());
    }
    let name = without_final_dot(name).to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

fn without_final_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let hosts = ["Example.com", "*.example.org", "h:8181", "tls:443", "[::1]"];
        let hosts = Hosts::parse(hosts).unwrap();
        for (host, expected) in [
            ("example.com", true),
            ("EXAMPLE.com:1234", true),
            ("example.com.", true),
            ("a.example.com", false),
            ("notexample.com", false),
            ("example.org", false),
            ("a.b.example.org:80", true),
            ("evil-example.org", false),
            (".example.org", false),
            ("h:8181", true),
            ("h", false),
            ("h:81", false),
            ("tls", true),
            ("[::1]:80", true),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(hosts.contain(host, true), expected, "{host}");
        }
        for host in ["", "a b", "*", "a.*", "http://h", "h/", "*h", "h:x"] {
            assert!(matches!(Hosts::parse([host]), Err(ServerError::Host(_))), "{host}");
        }
    }

    #[test]
    fn names_of_this_machine() {
        for host in
            ["localhost", "LocalHost:80", "a.localhost", "127.0.0.1:1", "127.3.2.1", "[::1]"]
        {
            assert!(is_this_machine(host), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example", "notlocalhost", "128.0.0.1", "[::2]"]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
