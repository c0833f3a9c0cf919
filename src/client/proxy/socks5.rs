//! SOCKS5 (RFC 1928) with user name and password (RFC 1929), the part that a client needs to be
//! led to a server by TCP.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::buf::{RecvBuffer, SendBuffer};
use crate::way::ProxyFailure;

/// A client's state machine. It takes exactly the bytes of the proxy, as they come.
#[derive(Debug)]
pub(super) struct Socks5 {
    state: State,
    host: String,
    port: u16,
    credentials: Option<(Vec<u8>, Vec<u8>)>,
    /// The beginning of the reply under way: no longer than the longest one.
    reply: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Method,
    Authentication,
    Request,
}

impl Socks5 {
    /// Writes the greeting to `tx`. The proxy looks the host up, unless it is an address.
    pub(super) fn start(
        host: &str,
        port: u16,
        credentials: Option<(Vec<u8>, Vec<u8>)>,
        tx: &mut SendBuffer,
    ) -> Result<Self, ProxyFailure> {
        // RFC 1928 §5: "The first octet of the address field contains the number of octets of name
        // that follow".
        if host.len() > MAX_LEN {
            return Err(ProxyFailure::Socks("the name of the host is longer than 255 bytes"));
        }
        match credentials {
            None => tx.put_slice(&[VERSION, 1, NO_AUTHENTICATION]),
            Some(_) => tx.put_slice(&[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD]),
        }
        let host = host.into();
        Ok(Self { state: State::Method, host, port, credentials, reply: Vec::new() })
    }

    /// Takes replies out of `rx` and writes what there is to say to them; `true` once the way is
    /// open. Then what is left in `rx` is the server's; before that, nothing is left.
    pub(super) fn read(
        &mut self,
        rx: &mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Result<bool, ProxyFailure> {
        while let Some(&byte) = rx.unparsed().first() {
            rx.skip(1);
            self.reply.push(byte);
            self.check()?;
            if self.reply.len() < self.reply_len() {
                continue;
            }
            let reply = core::mem::take(&mut self.reply);
            match (self.state, reply.get(1)) {
                (State::Request, _) => return Ok(true),
                (State::Method, Some(&USER_AND_PASSWORD)) => self.authenticate(tx),
                (State::Method | State::Authentication, _) => self.request(tx),
            }
        }
        Ok(false)
    }

    /// Returns how long the reply is that has begun, as far as that is known.
    fn reply_len(&self) -> usize {
        match (self.state, &self.reply[..]) {
            (State::Method | State::Authentication, _) => 2,
            // version, reply, reserved, kind of address, address, port
            (State::Request, [_, _, _, IPV4, ..]) => 4 + 4 + 2,
            (State::Request, [_, _, _, IPV6, ..]) => 4 + 16 + 2,
            (State::Request, [_, _, _, _, len, ..]) => 4 + 1 + usize::from(*len) + 2,
            (State::Request, _) => 5,
        }
    }

    /// Judges the byte that has come last.
    fn check(&self) -> Result<(), ProxyFailure> {
        match (self.state, &self.reply[..]) {
            (State::Method | State::Request, [VERSION]) | (State::Authentication, [1]) => Ok(()),
            (State::Method, [b'H']) => Err(ProxyFailure::Socks(
                "its answer looks like HTTP: its URL may have to begin with http://",
            )),
            (_, [_]) => Err(ProxyFailure::Socks("its answer is of another version")),
            (State::Method, [_, NO_AUTHENTICATION]) => Ok(()),
            (State::Method, [_, USER_AND_PASSWORD]) if self.credentials.is_some() => Ok(()),
            // RFC 1928 §3: "If the selected METHOD is X'FF', none of the methods listed by the
            // client are acceptable, and the client MUST close the connection."
            (State::Method, [_, 0xff]) => Err(ProxyFailure::NoMethod),
            (State::Method, [_, _]) => {
                Err(ProxyFailure::Socks("it chose a method that was not on offer"))
            }
            // RFC 1929 §2: "If the server returns a `failure' (STATUS value other than X'00')
            // status, it MUST close the connection."
            (State::Authentication, [_, 0]) => Ok(()),
            (State::Authentication, _) => Err(ProxyFailure::Credentials),
            (State::Request, [_, 0]) => Ok(()),
            (State::Request, [_, code]) => Err(ProxyFailure::Reply(*code)),
            // RFC 1928 §6: "Fields marked RESERVED (RSV) must be set to X'00'."
            (State::Request, [_, _, reserved]) if *reserved != 0 => {
                Err(ProxyFailure::Socks("a reserved byte of its answer is not zero"))
            }
            (State::Request, [_, _, _, kind]) if ![IPV4, IPV6, NAME].contains(kind) => {
                Err(ProxyFailure::Socks("its answer has an address of a kind that there is not"))
            }
            _ => Ok(()),
        }
    }

    fn authenticate(&mut self, tx: &mut SendBuffer) {
        self.state = State::Authentication;
        tx.put_slice(&[1]);
        let (user, password) = self.credentials.take().unwrap_or_default();
        for text in [user, password] {
            tx.put_slice(&[text.len() as u8]); // `Server` has looked at their lengths
            tx.put_slice(&text);
        }
    }

    fn request(&mut self, tx: &mut SendBuffer) {
        self.state = State::Request;
        tx.put_slice(&[VERSION, CONNECT, 0]);
        match self.host.parse() {
            Ok(IpAddr::V4(address)) => {
                tx.put_slice(&[IPV4]);
                tx.put_slice(&address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                tx.put_slice(&[IPV6]);
                tx.put_slice(&address.octets());
            }
            Err(_) => {
                tx.put_slice(&[NAME, self.host.len() as u8]);
                tx.put_slice(self.host.as_bytes());
            }
        }
        tx.put_slice(&self.port.to_be_bytes());
    }
}

/// Lengths are sent as a byte: of names, users and passwords.
pub(super) const MAX_LEN: usize = 255;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    type Result<T> = core::result::Result<T, ProxyFailure>;

    fn sent(tx: &mut SendBuffer) -> Vec<u8> {
        tx.copy_to_bytes(tx.remaining()).to_vec()
    }

    fn user() -> Option<(Vec<u8>, Vec<u8>)> {
        Some((b"u".to_vec(), b"pw".to_vec()))
    }

    /// Feeds replies in pieces of this length. Returns whether the way is open, all that was sent,
    /// and what is left.
    fn run(
        host: &str,
        credentials: Option<(Vec<u8>, Vec<u8>)>,
        replies: &[u8],
        step: usize,
    ) -> Result<(bool, Vec<u8>, Vec<u8>)> {
        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        let mut socks = Socks5::start(host, 443, credentials, &mut tx)?;
        let mut all = sent(&mut tx);
        let mut open = false;
        for piece in replies.chunks(step) {
            rx.extend_from_slice(piece);
            if !open {
                open = socks.read(&mut rx, &mut tx)?;
                all.extend(sent(&mut tx));
                assert!(open || rx.unparsed().is_empty());
            }
        }
        Ok((open, all, rx.unparsed().to_vec()))
    }

    fn failure(credentials: Option<(Vec<u8>, Vec<u8>)>, replies: &[u8]) -> ProxyFailure {
        for step in 1..replies.len() {
            let whole = run("h", credentials.clone(), replies, replies.len()).unwrap_err();
            let cut = run("h", credentials.clone(), replies, step).unwrap_err();
            assert_eq!(alloc::format!("{whole:?}"), alloc::format!("{cut:?}"));
        }
        run("h", credentials, replies, replies.len()).unwrap_err()
    }

    /// C-29: the bytes of RFC 1928 and 1929, and what follows them is untouched.
    #[test]
    fn conversations() {
        let v4 = &b"\x05\0\0\x01\x7f\0\0\x01\x1f\x90"[..];
        let v6 = &b"\x05\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50"[..];
        let name = &b"\x05\0\0\x03\x04here\0\x50"[..];
        let no_name = &b"\x05\0\0\x03\0\0\0"[..];
        for reply in [v4, v6, name, no_name] {
            for behind in [&b""[..], b"HTTP/1.1 101", b"\x05\0"] {
                let replies = [b"\x05\0", reply, behind].concat();
                let secret = [b"\x05\x02\x01\0", reply, behind].concat();
                for step in 1..=secret.len() {
                    let (open, all, left) = run("ab.c", None, &replies, step).unwrap();
                    assert_eq!(all, b"\x05\x01\0\x05\x01\0\x03\x04ab.c\x01\xbb");
                    assert_eq!((open, &left[..]), (true, behind));

                    let (open, all, left) = run("ab.c", user(), &secret, step).unwrap();
                    let expected = b"\x05\x02\0\x02\x01\x01u\x02pw\x05\x01\0\x03\x04ab.c\x01\xbb";
                    assert_eq!(all, expected);
                    assert_eq!((open, &left[..]), (true, behind));
                }
            }
        }
        // one that could have known who asks, and does not care
        let replies = [b"\x05\0", v4].concat();
        let (open, all, _) = run("127.0.0.1", user(), &replies, 3).unwrap();
        assert_eq!(all, b"\x05\x02\0\x02\x05\x01\0\x01\x7f\0\0\x01\x01\xbb");
        assert!(open);
        let (_, all, _) = run("::1", None, &replies, 3).unwrap();
        assert_eq!(all[3..], *b"\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb");
        // not over yet
        for cut in 0..replies.len() {
            let (open, _, left) = run("h", None, &replies[..cut], 100).unwrap();
            assert!(!open && left.is_empty());
        }
    }

    #[test]
    fn refusals() {
        assert!(matches!(failure(None, b"\x05\xff"), ProxyFailure::NoMethod));
        assert!(matches!(failure(user(), b"\x05\xff"), ProxyFailure::NoMethod));
        assert!(matches!(failure(user(), b"\x05\x02\x01\x01"), ProxyFailure::Credentials));
        assert!(matches!(failure(user(), b"\x05\x02\x01\xff"), ProxyFailure::Credentials));
        for code in [1, 4, 8, 9, 255] {
            let error = failure(None, &[5, 0, 5, code]);
            assert!(matches!(error, ProxyFailure::Reply(it) if it == code), "{error:?}");
        }
    }

    #[test]
    fn hostile_replies() {
        for (credentials, replies) in [
            (None, &b"\x04\x5a\0\0\0\0\0\0"[..]),
            (None, b"HTTP/1.1 400 Bad Request\r\n"),
            (None, b"\x05\x02"), // not on offer
            (None, b"\x05\x01"), // GSSAPI
            (user(), b"\x05\x80"),
            (user(), b"\x05\x02\x05\0"), // not the version of RFC 1929
            (None, b"\x05\0\x04\0\0\x01"),
            (None, b"\x05\0\x05\0\x01"),
            (None, b"\x05\0\x05\0\0\x02"),
            (None, b"\x05\0\x05\0\0\0"),
        ] {
            let error = failure(credentials, replies);
            assert!(matches!(error, ProxyFailure::Socks(_)), "{replies:?}: {error:?}");
        }
        let error = run(&"h".repeat(256), None, b"", 1).unwrap_err();
        assert!(matches!(error, ProxyFailure::Socks(_)));
    }
}
