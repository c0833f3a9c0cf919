#![forbid(unsafe_code)]

use core::net::IpAddr;

/// An address and the number of its first bits that count (RFC 4632 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    ip: IpAddr,
    bits: u32,
}

impl Cidr {
    /// Makes one of so many bits, or of the whole address. `None` if it has not as many.
    pub(crate) fn new(ip: IpAddr, bits: Option<u32>) -> Option<Self> {
        let bits = bits.unwrap_or_else(|| width(ip));
        (bits <= width(ip)).then_some(Self { ip, bits })
    }

    /// Returns whether the bits that do not count are zero, as those of a network are.
    #[cfg(feature = "server")]
    pub(crate) fn is_network(self) -> bool {
        mask(self.ip, self.bits) == number(self.ip)
    }

    /// Returns whether an address of the same kind has the same first bits.
    pub(crate) fn contains(self, ip: IpAddr) -> bool {
        self.ip.is_ipv4() == ip.is_ipv4() && mask(ip, self.bits) == mask(self.ip, self.bits)
    }
}

/// Returns the number of bits of an address.
fn width(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// Returns the first bits of an address, and zeros in place of the others.
fn mask(ip: IpAddr, bits: u32) -> u128 {
    let rest = width(ip).saturating_sub(bits);
    number(ip).checked_shr(rest).unwrap_or(0).checked_shl(rest).unwrap_or(0)
}
