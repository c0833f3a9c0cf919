use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::cidr::Cidr;

/// What is connected to without a proxy, by the rules that curl has for `no_proxy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exceptions(Vec<Exception>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    host: Host,
    /// Of the server; `None` for all. curl does not know this, others do.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    /// A name, and all that end with a dot and it.
    Domain(String),
    /// Addresses that begin as this one does.
    Network(Cidr),
}

impl Exceptions {
    /// Parses a list. What is nothing in it matches nothing.
    pub(super) fn parse(list: &str) -> Self {
        let items = list.split(|c: char| c == ',' || c.is_ascii_whitespace());
        Self(items.filter_map(Exception::parse).collect())
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn contains(&self, host: &str, port: u16) -> bool {
        let name = host.strip_suffix('.').unwrap_or(host);
        let address = name.parse().ok();
        self.0.iter().any(|it| {
            it.port.is_none_or(|only| only == port)
                && match (&it.host, address) {
                    (Host::Any, _) => true,
                    (Host::Domain(domain), None) => is_within(name, domain),
                    (Host::Network(network), Some(address)) => network.contains(address),
                    // an address is in no domain, and names are not looked up for this
                    (Host::Domain(_), Some(_)) | (Host::Network(..), None) => false,
                }
        })
    }
}

impl Exception {
    fn parse(item: &str) -> Option<Self> {
        if let Some(network) = network(item) {
            return Some(Self { host: network, port: None });
        }
        let (host, port) = match item.rsplit_once(':') {
            Some((host, port)) if !item.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (item, None),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match network(bare.unwrap_or(host)) {
            Some(network) => network,
            None if host == "*" => Host::Any,
            None => {
                // curl: a dot at either end makes no difference
                let domain = host.strip_suffix('.').unwrap_or(host);
                let domain = domain.strip_prefix("*.").unwrap_or(domain);
                let domain = domain.strip_prefix('.').unwrap_or(domain);
                (!domain.is_empty()).then(|| Host::Domain(domain.to_owned()))?
            }
        };
        Some(Self { host, port })
    }
}

/// Parses an address, or a network such as `10.0.0.0/8`.
fn network(text: &str) -> Option<Host> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse().ok()?)),
        None => (text, None),
    };
    Cidr::new(address.parse().ok()?, bits).map(Host::Network)
}

fn is_within(name: &str, domain: &str) -> bool {
    let Some(at) = name.len().checked_sub(domain.len()) else { return false };
    let (before, end) = (name.get(..at).unwrap_or_default(), name.get(at..).unwrap_or_default());
    end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        for (list, inside, outside) in [
            ("", &[][..], &["h", "localhost", "127.0.0.1", "::1"][..]),
            ("*", &["h", "a.b.c", "127.0.0.1", "::1"], &[]),
            (" * ", &["h"], &[]),
            ("a, *", &["h"], &[]),
            // a name is a domain too
            (
                "example.com",
                &[
                    "example.com",
                    "EXAMPLE.com",
                    "www.example.com",
                    "a.b.example.com",
                    "example.com.",
                ],
                &["nonexample.com", "example.com.org", "com", "example.co", "xample.com"],
            ),
            (".example.com", &["example.com", "www.example.com"], &["nonexample.com"]),
            ("*.example.com", &["example.com", "www.example.com"], &["nonexample.com"]),
            ("example.com.", &["example.com", "www.example.com."], &["example.org"]),
            ("Local", &["local", "a.LOCAL"], &["localhost"]),
            ("a,b", &["a", "b"], &["c"]),
            ("a b\t c,,d, ", &["a", "b", "c", "d"], &["e"]),
            // addresses
            ("127.0.0.1", &["127.0.0.1"], &["127.0.0.2", "h", "1.127.0.0.1"]),
            ("0.0.1", &[], &["127.0.0.1"]), // is no domain of it
            ("192.168.0.0/16", &["192.168.255.1"], &["192.169.0.1", "h", "::1"]),
            ("10.1.2.3/8", &["10.200.0.1"], &["11.0.0.1"]),
            ("192.0.2.128/25", &["192.0.2.129"], &["192.0.2.127"]),
            ("1.2.3.4/32", &["1.2.3.4"], &["1.2.3.5"]),
            ("0.0.0.0/0", &["1.2.3.4"], &["::1", "h"]),
            ("1.2.3.4/33", &[], &["1.2.3.4"]),
            ("1.2.3.4/x", &[], &["1.2.3.4"]),
            ("::1", &["::1", "0:0:0:0:0:0:0:1"], &["::2", "h"]),
            ("[::1]", &["::1"], &["::2"]),
            ("fe80::/10", &["fe80::1", "febf::1"], &["fec0::1", "127.0.0.1"]),
            ("2001:db8::/33", &["2001:db8:7fff::1"], &["2001:db8:8000::1"]),
            ("::/0", &["::1"], &["127.0.0.1"]),
            ("::/129", &[], &["::1"]),
            (".", &[], &["h"]),
            ("a:b", &[], &["a", "b"]),
        ] {
            let exceptions = Exceptions::parse(list);
            for host in inside {
                assert!(exceptions.contains(host, 80), "{host} in {list:?}");
            }
            for host in outside {
                assert!(!exceptions.contains(host, 80), "{host} not in {list:?}");
            }
        }
    }

    #[test]
    fn ports() {
        for (list, host) in [
            ("h:8080", "h"),
            (".h:8080", "a.h"),
            ("127.0.0.1:8080", "127.0.0.1"),
            ("[::1]:8080", "::1"),
            ("*:8080", "any"),
        ] {
            let exceptions = Exceptions::parse(list);
            assert!(exceptions.contains(host, 8080), "{list}");
            assert!(!exceptions.contains(host, 80), "{list}");
            assert!(!exceptions.contains("2001:db8::8080", 80), "{list}");
        }
    }
}
