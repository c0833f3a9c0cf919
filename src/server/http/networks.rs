use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::cidr::Cidr;
use crate::server::error::ServerError;

/// A list of networks: `10.0.0.0/8`, `2001:db8::/32`, and single addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks(Vec<Cidr>);

impl Networks {
    pub(crate) fn parse<'a>(
        networks: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ServerError> {
        let networks = networks
            .into_iter()
            .map(|text| parse(text).ok_or_else(|| ServerError::Network(Box::from(text))));
        networks.collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether an address is in one of them. An IPv4 address is the same in its IPv6 form.
    pub(crate) fn contain(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(ip))
    }
}

/// Bits behind the prefix have to be zero: something else was meant otherwise.
fn parse(text: &str) -> Option<Cidr> {
    let (ip, bits) = match text.split_once('/') {
        Some((ip, bits)) => (ip, Some(bits)),
        None => (text, None),
    };
    let bits = match bits {
        // `parse` alone would take a sign
        Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => Some(bits.parse().ok()?),
        Some(_) => return None,
        None => None,
    };
    Cidr::new(ip.parse().ok()?, bits).filter(|network| network.is_network())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_networks() {
        let networks = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1", "198.51.100.128/25"];
        let networks = Networks::parse(networks).unwrap();
        for (ip, expected) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("192.0.2.6", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::1", true),
            ("::2", false),
            ("198.51.100.127", false),
            ("198.51.100.255", true),
            ("::a00:1", false),
        ] {
            assert_eq!(networks.contain(ip.parse().unwrap()), expected, "{ip}");
        }
        let all = Networks::parse(["0.0.0.0/0"]).unwrap();
        assert!(all.contain([6, 6, 6, 6].into()) && !all.contain("::1".parse().unwrap()));
        let all = Networks::parse(["::/0"]).unwrap();
        assert!(all.contain("::1".parse().unwrap()) && !all.contain([6, 6, 6, 6].into()));
        assert!(!Networks::default().contain([127, 0, 0, 1].into()));
    }

    #[test]
    fn what_is_no_network() {
        for text in [
            "",
            "/",
            "10/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "::1/64",
            "10.0.0.0/8/8",
            "localhost",
            "10.0.0.0/255.0.0.0",
            " 10.0.0.0/8",
        ] {
            assert!(matches!(Networks::parse([text]), Err(ServerError::Network(_))), "{text}");
        }
    }
}
