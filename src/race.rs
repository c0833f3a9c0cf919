//! Which address of a host is tried when: RFC 8305, "Happy Eyeballs", without sockets and clocks.
#![forbid(unsafe_code)]

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

/// The attempts to connect to one of several addresses.
///
/// Times are those since the beginning.
#[derive(Debug)]
pub(crate) struct Race {
    /// In the order in which they are tried.
    addresses: Vec<SocketAddr>,
    started: usize,
    /// In the order in which they came.
    failures: Vec<(SocketAddr, io::Error)>,
    /// When the next attempt begins, unless one fails before.
    next: Duration,
}

/// Next step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Begin this attempt, and ask again.
    Start(SocketAddr),
    /// Wait for an attempt to end, until then if that is said.
    Wait(Option<Duration>),
    /// All have failed.
    Lost,
}

impl Race {
    pub(crate) fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let addresses = interleave(addresses);
        Self { addresses, started: 0, failures: Vec::new(), next: Duration::ZERO }
    }

    /// Returns the only address, for which there is no race.
    pub(crate) fn only(&self) -> Option<SocketAddr> {
        match self.addresses[..] {
            [address] => Some(address),
            _ => None,
        }
    }

    pub(crate) fn next(&mut self, now: Duration) -> Next {
        let running = self.started - self.failures.len();
        let Some(&address) = self.addresses.get(self.started) else {
            return if running == 0 { Next::Lost } else { Next::Wait(None) };
        };
        if running >= MAX_AT_ONCE {
            return Next::Wait(None);
        }
        if running > 0 && now < self.next {
            return Next::Wait(Some(self.next));
        }
        self.started += 1;
        self.next = now + ATTEMPT_DELAY;
        Next::Start(address)
    }

    /// An attempt has failed. The next one begins at once.
    pub(crate) fn failed(&mut self, address: SocketAddr, error: io::Error) {
        self.failures.push((address, error));
        self.next = Duration::ZERO;
    }

    /// Why nobody won: the last error, and the others in its text.
    pub(crate) fn into_error(mut self) -> io::Error {
        let Some((address, last)) = self.failures.pop() else {
            return io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        };
        if self.failures.is_empty() {
            return last;
        }
        let kind = last.kind();
        self.failures.push((address, last));
        let mut text = String::from("no address of the host can be connected to");
        let mut separator = ':';
        for (address, error) in &self.failures {
            let _ = write!(text, "{separator} {address}: {error}");
            separator = ';';
        }
        io::Error::new(kind, text)
    }
}

/// RFC 8305 §4: "Whichever address family is first in the list should be followed by an endpoint of
/// the other address family". The system has sorted the list (RFC 6724): IPv6 is first where it
/// works.
fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let addresses = addresses.into_iter();
    let mut families = [Vec::new(), Vec::new()];
    let mut first = None;
    for address in addresses {
        let first = *first.get_or_insert_with(|| address.is_ipv6());
        let family = &mut families[usize::from(address.is_ipv6() != first)];
        if !family.contains(&address) {
            family.push(address);
        }
    }
    let [first, second] = families;
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}

/// RFC 8305 §5: "One recommended value for a default delay is 250 milliseconds."
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Attempts at the same time: each is a socket, and a thread in the blocking adapter. Two seconds
/// of addresses that do not answer.
const MAX_AT_ONCE: usize = 8;

/// For the tests of the adapters.
#[cfg(test)]
#[cfg(feature = "tokio")]
pub(crate) mod black_hole {
    use super::*;

    /// An address that answers nothing, as behind a firewall.
    pub(crate) struct BlackHole {
        pub(crate) address: SocketAddr,
        _listener: std::net::TcpListener,
        _waiting: Vec<std::net::TcpStream>,
    }

    impl BlackHole {
        /// Its other address: all of 127.0.0.0/8 leads here, on Linux.
        pub(crate) fn address_again(&self) -> SocketAddr {
            SocketAddr::from(([127, 0, 0, 2], self.address.port()))
        }
    }

    /// Returns a listener that accepts nobody, its queue full.
    pub(crate) fn black_hole() -> BlackHole {
        let runtime = ::tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _entered = runtime.enter();
        let socket = ::tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
        let listener = socket.listen(1).unwrap().into_std().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        let mut waiting = Vec::new();
        while let Ok(stream) =
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300))
        {
            waiting.push(stream);
            assert!(waiting.len() < 100, "a queue of one does not fill");
        }
        BlackHole { address, _listener: listener, _waiting: waiting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 80))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, last], 80))
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn refused() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    #[test]
    fn families_take_turns() {
        let cases = [
            (&[v6(1), v6(2), v6(3), v4(1), v4(2)][..], &[v6(1), v4(1), v6(2), v4(2), v6(3)][..]),
            (&[v4(1), v6(1), v6(2), v6(1)], &[v4(1), v6(1), v6(2)]),
            (&[v4(2), v4(1)], &[v4(2), v4(1)]),
            (&[], &[]),
        ];
        for (given, expected) in cases {
            assert_eq!(interleave(given.iter().copied()), expected);
        }
    }

    #[test]
    fn the_next_begins_after_a_while() {
        let mut race = Race::new([v6(1), v4(1)]);
        assert_eq!(race.only(), None);
        assert_eq!(race.next(ms(0)), Next::Start(v6(1)));
        assert_eq!(race.next(ms(0)), Next::Wait(Some(ms(250))));
        assert_eq!(race.next(ms(249)), Next::Wait(Some(ms(250))));
        assert_eq!(race.next(ms(250)), Next::Start(v4(1)));
        assert_eq!(race.next(ms(10_000)), Next::Wait(None));
    }

    #[test]
    fn the_next_begins_as_soon_as_one_has_failed() {
        let mut race = Race::new([v6(1), v4(1), v4(2)]);
        assert_eq!(race.next(ms(0)), Next::Start(v6(1)));
        race.failed(v6(1), refused());
        assert_eq!(race.next(ms(1)), Next::Start(v4(1)));
        assert_eq!(race.next(ms(1)), Next::Wait(Some(ms(251))));
        assert_eq!(race.next(ms(251)), Next::Start(v4(2)));
        race.failed(v4(2), refused());
        assert_eq!(race.next(ms(252)), Next::Wait(None));
        race.failed(v4(1), io::ErrorKind::TimedOut.into());
        assert_eq!(race.next(ms(253)), Next::Lost);
        let error = race.into_error();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let text = error.to_string();
        assert!(text.contains("[::1]:80: connection refused; 127.0.0.2:80"), "{text}");
    }

    #[test]
    fn attempts_at_once_are_bounded() {
        let mut race = Race::new((0..20).map(v4));
        for at in 0..8 {
            assert_eq!(race.next(ms(at * 250)), Next::Start(v4(at as u8)));
        }
        assert_eq!(race.next(ms(60_000)), Next::Wait(None));
        race.failed(v4(3), refused());
        assert_eq!(race.next(ms(60_000)), Next::Start(v4(8)));
        assert_eq!(race.next(ms(60_000)), Next::Wait(None));
    }

    #[test]
    fn one_address_keeps_its_error() {
        let mut race = Race::new([v4(1)]);
        assert_eq!(race.only(), Some(v4(1)));
        assert_eq!(race.next(ms(0)), Next::Start(v4(1)));
        race.failed(v4(1), io::Error::from_raw_os_error(111));
        assert_eq!(race.next(ms(0)), Next::Lost);
        assert_eq!(race.into_error().raw_os_error(), Some(111));
        let mut none = Race::new([]);
        assert_eq!(none.next(ms(0)), Next::Lost);
        assert_eq!(none.into_error().kind(), io::ErrorKind::NotFound);
    }
}
