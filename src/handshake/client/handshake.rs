use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::body::BodyReader;
use super::{Accepted, Refused, Request, Response};
use crate::buf::{RecvBuffer, SendBuffer};
use crate::config::Config;
use crate::handshake::deadline::Deadline;
#[cfg(feature = "deflate")]
use crate::handshake::deflate;
use crate::handshake::head::{Count, Head};
use crate::handshake::key::{accept_key, encode_nonce};
use crate::handshake::reader::{HeadReader, Kind, StatusLine};
use crate::handshake::{HandshakeError, UsageError, extensions, list};

/// Asks a server for a connection and reads its response.
#[derive(Debug)]
pub struct Handshake {
    config: Config,
    reader: HeadReader,
    deadline: Deadline,
    accept: [u8; 28],
    subprotocols: Vec<String>,
    requires_subprotocol: bool,
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
        #[cfg(feature = "deflate")]
        let offer = config.deflate.as_ref().map(deflate::offer);
        #[cfg(not(feature = "deflate"))]
        let offer: Option<String> = None;
        tx.put_slice(request.write(key, offer.as_deref()).as_bytes());
        Ok(Self {
            config: config.clone(),
            reader: HeadReader::new(Kind::Response, config),
            deadline: Deadline::new(config.handshake_timeout),
            accept: accept_key(key),
            subprotocols: request.subprotocols.clone(),
            requires_subprotocol: request.requires_subprotocol,
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
                    self.check(&head, &line)?;
                    return Ok(Some(Accepted::new(head, self.config.clone())));
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
                    let body = BodyReader::new(&head, status, self.config.max_refusal_body_len);
                    self.state = State::Body(Refused::new(head, line), body);
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

    /// Checks a response with status 101, in the order of RFC 6455 §4.1.
    fn check(&self, head: &Head, line: &StatusLine) -> Result<(), HandshakeError> {
        if line.http_1_0 {
            return Err(HandshakeError::ResponseHttpVersion);
        }
        // "If the response lacks an |Upgrade| header field or the |Upgrade| header field contains a
        // value that is not an ASCII case-insensitive match for the value "websocket", the client
        // MUST _Fail the WebSocket Connection_."
        match head.only("upgrade") {
            Ok(value) if value.eq_ignore_ascii_case(b"websocket") => {}
            _ => return Err(HandshakeError::ResponseNotUpgrade),
        }
        // "If the response lacks a |Connection| header field or the |Connection| header field
        // doesn't contain a token that is an ASCII case-insensitive match for the value "Upgrade",
        // the client MUST _Fail the WebSocket Connection_."
        if !list::contains(head.all("connection"), "upgrade") {
            return Err(HandshakeError::ConnectionNotUpgrade);
        }
        // "If the response lacks a |Sec-WebSocket-Accept| header field or the
        // |Sec-WebSocket-Accept| contains a value other than the base64-encoded SHA-1 of the
        // concatenation [...] but ignoring any leading and trailing whitespace, the client MUST
        // _Fail the WebSocket Connection_."
        match head.only("sec-websocket-accept") {
            Ok(value) if value == self.accept => {}
            Ok(_) => return Err(HandshakeError::WrongAccept),
            Err(Count::None) => return Err(HandshakeError::MissingAccept),
            Err(Count::Several) => return Err(HandshakeError::RepeatedAccept),
        }
        // "If the response includes a |Sec-WebSocket-Extensions| header field and this header field
        // indicates the use of an extension that was not present in the client's handshake (the
        // server has indicated an extension not requested by the client), the client MUST _Fail the
        // WebSocket Connection_."
        self.check_extensions(head)?;
        self.check_subprotocol(head)
    }

    fn check_extensions(&self, head: &Head) -> Result<(), HandshakeError> {
        let lines = head.all("sec-websocket-extensions");
        #[cfg(feature = "deflate")]
        if let Some(settings) = &self.config.deflate {
            return deflate::confirm(lines, settings).map(drop);
        }
        let mut unoffered = false;
        for extension in extensions::parse(lines) {
            extension.map_err(|_| HandshakeError::InvalidExtensions)?;
            unoffered = true;
        }
        if unoffered { Err(HandshakeError::UnofferedExtension) } else { Ok(()) }
    }

    /// "If the response includes a |Sec-WebSocket-Protocol| header field and this header field
    /// indicates the use of a subprotocol that was not present in the client's handshake (the
    /// server has indicated a subprotocol not requested by the client), the client MUST _Fail the
    /// WebSocket Connection_."
    fn check_subprotocol(&self, head: &Head) -> Result<(), HandshakeError> {
        let lines = head.all("sec-websocket-protocol");
        if list::is_hollow(lines.clone()) {
            return Err(HandshakeError::InvalidSubprotocol);
        }
        // One that is empty says that none was chosen.
        let mut lines = list::without_empty(lines);
        match (lines.next(), lines.next()) {
            (None, _) if self.requires_subprotocol => Err(HandshakeError::MissingSubprotocol),
            (None, _) => Ok(()),
            // RFC 6455 §11.3.4: "the |Sec-WebSocket-Protocol| header field MUST NOT appear more
            // than once in an HTTP response."
            (Some(_), Some(_)) => Err(HandshakeError::InvalidSubprotocol),
            (Some(value), _) if !list::is_token(value) => Err(HandshakeError::InvalidSubprotocol),
            (Some(value), _) if self.subprotocols.iter().any(|it| it.as_bytes() == value) => Ok(()),
            (Some(_), _) => Err(HandshakeError::UnofferedSubprotocol),
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
