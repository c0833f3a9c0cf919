use core::net::IpAddr;

/// The unit that counts as one address: an IPv4 address, and of IPv6 the 64 bits that a single
/// customer is given at the least (RFC 6177), who may use any of the 2^64 addresses behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network(u64);

impl Network {
    pub(crate) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            // only the host itself has an address in ::/64, whose ::1 is counted as 0
            IpAddr::V4(ip) => u32::from(ip).into(),
            IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64,
        })
    }
}
