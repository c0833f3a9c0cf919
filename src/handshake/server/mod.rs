//! The server's end of the opening handshake.
//!
//! ```
//! use sansws::buf::{RecvBuffer, SendBuffer};
//! use sansws::handshake::server::{Accept, Handshake, Reject};
//! use sansws::Config;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
//! # rx.extend_from_slice(b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
//!
//! let config = Config::new();
//! let mut handshake = Handshake::new(&config);
//! // after every read, until there is a request; on an error send what is in `tx`, then close
//! if let Some(request) = handshake.read_request(&mut rx, &mut tx)? {
//!     match request.path() {
//!         "/chat" => {
//!             let connection = request.accept(&Accept::default(), &config, &mut tx)?;
//!         }
//!         "/page" => {
//!             let headers = &[("Content-Type", "text/html")];
//!             let page = Reject::new(200).headers(headers).body(b"<h1>Hello</h1>");
//!             request.reject(&page, &mut tx)?; // send what is in `tx`, then close
//!         }
//!         _ => request.reject(&Reject::new(404), &mut tx)?,
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Where another HTTP stack reads the request and writes the response, [`Request::from_parts`] and
//! [`Request::upgrade`] do the same from data to data: see
//! [there](super#inside-another-http-stack).
//!
//! After an error and after [`Request::reject`] the peer should be able to read the answer: send
//! what is in the send buffer, shut down writing, and read on for a moment (throwing away what
//! comes) before closing. A socket closed with unread bytes in it is reset, and the answer is lost
//! with it.

mod accept;
#[cfg(feature = "server")]
mod body;
mod check;
mod parts;
mod reject;
mod request;

use core::time::Duration;

pub use accept::{Accept, AcceptError, Upgrade};
#[cfg(feature = "server")]
pub(crate) use body::{BodyError, BodyReader};
pub use reject::Reject;
pub use request::Request;
#[cfg(feature = "http")]
pub(super) use request::Version;

use super::deadline::Deadline;
use super::reader::{HeadReader, Kind};
use super::{HandshakeError, UsageError};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::config::Config;

/// Reads a client's request.
///
/// It is done with the one request; what to answer is then up to [`Request`].
#[derive(Debug)]
pub struct Handshake {
    reader: HeadReader,
    deadline: Deadline,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading,
    Done,
    Failed(HandshakeError),
}

impl Handshake {
    /// Of `config`, the limits on the head and the time for it are used.
    pub fn new(config: &Config) -> Self {
        Self {
            reader: HeadReader::new(Kind::Request, config),
            deadline: Deadline::new(config.handshake_timeout),
            state: State::Reading,
        }
    }

    /// Takes the head of a request out of `rx`; `None` if it is not complete.
    ///
    /// Any request of HTTP/1.1 is returned, be it for an upgrade or for a page:
    /// [`Request::is_upgrade`] tells which. So is one of HTTP/1.0, which load balancers send to
    /// find out whether a server is well; it can be answered with a page, and is never accepted.
    /// Bytes behind its head stay in `rx`. Once the request has been returned, this returns
    /// `None`.
    ///
    /// # Errors
    ///
    /// The input is not HTTP/1.1 or 1.0, or over a limit. The HTTP answer is in `tx` already.
    /// Every later call returns the same error and writes nothing.
    pub fn read_request(
        &mut self,
        rx: &mut RecvBuffer,
        tx: &mut SendBuffer,
    ) -> Result<Option<Request>, HandshakeError> {
        match &self.state {
            State::Reading => {}
            State::Done => return Ok(None),
            State::Failed(error) => return Err(error.clone()),
        }
        match self.next_request(rx) {
            Ok(None) => Ok(None),
            Ok(Some(request)) => {
                self.state = State::Done;
                Ok(Some(request))
            }
            Err(error) => {
                reject::write_error(tx, &error, false);
                Err(self.fail(error))
            }
        }
    }

    fn next_request(&mut self, rx: &mut RecvBuffer) -> Result<Option<Request>, HandshakeError> {
        if !self.reader.read(rx)? {
            return Ok(None);
        }
        let (head, line) = self.reader.take_request()?;
        Request::new(head, line).map(Some)
    }

    /// Answers whatever the client may send: writes the response to `tx`, and reads no request any
    /// more. Send it, then close.
    ///
    /// For a server that takes no connections for the moment (503), and for one whose
    /// [`Accept`] turned out not to be valid (500). Does nothing if the handshake has failed: that
    /// has been answered. The usual way is [`Request::reject`].
    ///
    /// # Errors
    ///
    /// `reject` has something that cannot be sent. Nothing was written.
    pub fn reject(&mut self, reject: &Reject<'_>, tx: &mut SendBuffer) -> Result<(), UsageError> {
        reject.check()?;
        if !matches!(self.state, State::Failed(_)) {
            reject.write(tx, false);
            self.state = State::Done;
        }
        Ok(())
    }

    /// Notes that the peer has closed its side: there will be no request. Returns the error that is
    /// left to report. Nothing is written, as there is no request to answer.
    pub fn receive_eof(&mut self) -> HandshakeError {
        match &self.state {
            State::Failed(error) => error.clone(),
            State::Reading | State::Done => self.fail(HandshakeError::Incomplete),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), on the caller's monotonic clock.
    ///
    /// Zero, which is to say now, before its first call: that is when the time starts to count.
    /// `None` once the request is there.
    pub fn poll_timeout(&self) -> Option<Duration> {
        matches!(self.state, State::Reading).then(|| self.deadline.poll())
    }

    /// Looks at the clock. The first call sets the deadline,
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout) from `now`.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::TimedOut`] at the deadline, with the answer 408 in `tx`; or the error that
    /// ended the handshake before.
    pub fn handle_timeout(
        &mut self,
        now: Duration,
        tx: &mut SendBuffer,
    ) -> Result<(), HandshakeError> {
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Reading if self.deadline.is_over(now) => {
                reject::write_error(tx, &HandshakeError::TimedOut, false);
                Err(self.fail(HandshakeError::TimedOut))
            }
            State::Reading | State::Done => Ok(()),
        }
    }

    fn fail(&mut self, error: HandshakeError) -> HandshakeError {
        self.state = State::Failed(error.clone());
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H-35: exactly the head is taken.
    #[test]
    fn frames_stay_in_the_buffer() {
        let head = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        for frames in [&b""[..], b"\x81", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", b"\r\n"]
        {
            let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
            rx.extend_from_slice(head.as_bytes());
            rx.extend_from_slice(frames);
            let mut handshake = Handshake::new(&Config::new());
            assert!(handshake.read_request(&mut rx, &mut tx).unwrap().is_some());
            assert_eq!(rx.unparsed(), frames);
        }
    }

    /// H-35, P-15: also behind a head of the greatest length.
    #[test]
    fn frames_behind_the_longest_head() {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: h\r\nX: ".to_vec();
        bytes.resize(Config::new().max_head_len - 4, b'a');
        bytes.extend_from_slice(b"\r\n\r\nframes");
        let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
        rx.extend_from_slice(&bytes);
        let mut handshake = Handshake::new(&Config::new());
        assert!(handshake.read_request(&mut rx, &mut tx).unwrap().is_some());
        assert_eq!(rx.unparsed(), b"frames");
    }
}
