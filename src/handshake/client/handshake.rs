use core::time::Duration;

use super::body::BodyReader;
use super::expected::Expected;
use super::{Accepted, Refused, Request, Response};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::config::Config;
use crate::handshake::deadline::Deadline;
use crate::handshake::key::encode_nonce;
use crate::handshake::reader::{HeadReader, Kind};
use crate::handshake::{HandshakeError, UsageError};

/// Asks a server for a connection and reads its response.
#[derive(Debug)]
pub struct Handshake {
    reader: HeadReader,
    deadline: Deadline,
    expected: Expected,
    interim: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Head,
    Body(Refused, BodyReader),
    Done,
    Failed(HandshakeError),
}

impl Handshake {
    /// Responses with a status of 1xx that are skipped before the final one. A server sends one
    /// early hint or two.
    pub const MAX_INTERIM_RESPONSES: usize = 8;

    /// Writes the request to `tx`. Offers compression where `config` turns it on.
    ///
    /// `nonce` must come from a strong source of randomness and serve for one connection only:
    /// RFC 6455 §4.1 "The nonce MUST be selected randomly for each connection." Nothing else may be
    /// sent before the response has been read.
    ///
    /// # Errors
    ///
    /// As [`Request::check`]. Nothing was written.
    pub fn start(
        request: &Request,
        nonce: [u8; 16],
        config: &Config,
        tx: &mut SendBuffer,
    ) -> Result<Self, UsageError> {
        request.check()?;
        let key = encode_nonce(nonce);
        tx.put_slice(request.write(key, config).as_bytes());
        Ok(Self {
            reader: HeadReader::new(Kind::Response, config),
            deadline: Deadline::new(config.handshake_timeout),
            expected: Expected::new(request, Some(key), config),
            interim: 0,
            state: State::Head,
        })
    }

    /// Takes a response out of `rx`; `None` if it is not complete.
    ///
    /// Bytes behind the head of a 101 stay in `rx`. Once the response has been returned, this
    /// returns `None`.
    ///
    /// # Errors
    ///
    /// The input is not HTTP/1.1 or over a limit, or a 101 that does not belong to the request.
    /// Every later call returns the same error.
    pub fn read_response(
        &mut self,
        rx: &mut RecvBuffer,
    ) -> Result<Option<Response>, HandshakeError> {
        loop {
            match &mut self.state {
                State::Done => return Ok(None),
                State::Failed(error) => return Err(error.clone()),
                State::Body(refused, body) => {
                    let complete = body.read(rx, &mut refused.body);
                    return Ok(if complete { self.take_refused() } else { None });
                }
                State::Head => match self.read_head(rx) {
                    Err(error) => return Err(self.fail(error)),
                    Ok(None) if matches!(self.state, State::Head) => return Ok(None),
                    Ok(None) => {}
                    Ok(Some(accepted)) => {
                        self.state = State::Done;
                        return Ok(Some(Response::Accepted(accepted)));
                    }
                },
            }
        }
    }

    /// Reads heads up to that of the final response.
    fn read_head(&mut self, rx: &mut RecvBuffer) -> Result<Option<Accepted>, HandshakeError> {
        while self.reader.read(rx)? {
            let (head, line) = self.reader.take_response()?;
            match line.status {
                101 => {
                    self.expected.check(&head, &line)?;
                    return Ok(Some(Accepted::new(head, self.expected.config.clone())));
                }
                // RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses
                // received prior to a final response, even if the client does not expect one."
                100..=199 => {
                    self.interim += 1;
                    if self.interim > Self::MAX_INTERIM_RESPONSES {
                        return Err(HandshakeError::TooManyInterimResponses);
                    }
                    self.reader.reset();
                }
                status => {
                    let limit = self.expected.config.max_refusal_body_len;
                    let body = BodyReader::new(&head, status, limit);
                    self.state = State::Body(Refused::new(head, line, 101), body);
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// Notes that the server has closed its side: nothing follows what is in `rx`, which
    /// [`read_response`](Self::read_response) has seen.
    ///
    /// Returns a refusal whose body ends here, be it that it was to end here or that it was cut
    /// off; and `None` if the response has been returned already.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Incomplete`] if there was no complete head; or the error that ended the
    /// handshake before.
    pub fn receive_eof(&mut self) -> Result<Option<Response>, HandshakeError> {
        match &self.state {
            State::Head => Err(self.fail(HandshakeError::Incomplete)),
            State::Body(..) => Ok(self.take_refused()),
            State::Done => Ok(None),
            State::Failed(error) => Err(error.clone()),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), on the caller's monotonic clock.
    ///
    /// Zero, which is to say now, before its first call: that is when the time starts to count.
    /// `None` once the response is there.
    pub fn poll_timeout(&self) -> Option<Duration> {
        matches!(self.state, State::Head | State::Body(..)).then(|| self.deadline.poll())
    }

    /// Looks at the clock. The first call sets the deadline,
    /// [`Config::handshake_timeout`](crate::Config::handshake_timeout) from `now`.
    ///
    /// When only the rest of a refusal's body is missing at the deadline, the refusal is complete
    /// without it: it says more than a time-out would. So call
    /// [`read_response`](Self::read_response) next.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::TimedOut`] at the deadline; or the error that ended the handshake before.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), HandshakeError> {
        match &mut self.state {
            State::Done => Ok(()),
            State::Failed(error) => Err(error.clone()),
            State::Head | State::Body(..) if !self.deadline.is_over(now) => Ok(()),
            State::Head => Err(self.fail(HandshakeError::TimedOut)),
            State::Body(_, body) => {
                body.end();
                Ok(())
            }
        }
    }

    fn fail(&mut self, error: HandshakeError) -> HandshakeError {
        self.state = State::Failed(error.clone());
        error
    }

    fn take_refused(&mut self) -> Option<Response> {
        match core::mem::replace(&mut self.state, State::Done) {
            State::Body(refused, _) => Some(Response::Refused(refused)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-25: exactly the head is taken.
    #[test]
    fn frames_stay_in_the_buffer() {
        for frames in [&b""[..], b"\x81\x05Hello", b"\r\n"] {
            let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
            let request = Request::new("ws://h").unwrap();
            let nonce = *b"the sample nonce";
            let mut handshake = Handshake::start(&request, nonce, &Config::new(), &mut tx).unwrap();
            rx.extend_from_slice(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            );
            rx.extend_from_slice(frames);
            let response = handshake.read_response(&mut rx);
            assert!(matches!(response, Ok(Some(Response::Accepted(_)))));
            assert_eq!(rx.unparsed(), frames);
        }
    }
}
