//! The method CONNECT of RFC 9110 §9.3.6, by which a proxy is asked for a way to a server.

use super::Refused;
use super::body::BodyReader;
use super::handshake::Handshake;
use crate::buf::{RecvBuffer, SendBuffer};
use crate::config::Config;
use crate::handshake::HandshakeError;
use crate::handshake::reader::{HeadReader, Kind};

/// Asks a proxy for a connection and reads what it says to that.
#[derive(Debug)]
pub(crate) struct Connect {
    reader: HeadReader,
    max_body_len: usize,
    interim: usize,
    /// The answer, of which the body is not complete.
    refused: Option<(Refused, BodyReader)>,
}

/// Answer of the proxy.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Everything behind it is from the server.
    Open,
    Refused(Refused),
}

impl Connect {
    /// Writes the request to `tx`. `target` has a port in any case; `credentials` are the value of
    /// `Proxy-Authorization`. Nothing of what the server is to get is in it.
    pub(crate) fn start(
        target: &str,
        credentials: Option<&str>,
        config: &Config,
        tx: &mut SendBuffer,
    ) -> Self {
        // RFC 9112 §3.2.3: "When making a CONNECT request [...] a client MUST send only the host
        // and port of the tunnel destination as the request-target."
        for part in ["CONNECT ", target, " HTTP/1.1\r\nHost: ", target, "\r\n"] {
            tx.put_slice(part.as_bytes());
        }
        if let Some(credentials) = credentials {
            for part in ["Proxy-Authorization: ", credentials, "\r\n"] {
                tx.put_slice(part.as_bytes());
            }
        }
        tx.put_slice(b"\r\n");
        let reader = HeadReader::new(Kind::Response, config);
        Self { reader, max_body_len: config.max_refusal_body_len, interim: 0, refused: None }
    }

    /// Takes the answer out of `rx`, and leaves there what follows it. `None` if it is not
    /// complete; then nothing is left.
    pub(crate) fn read(&mut self, rx: &mut RecvBuffer) -> Result<Option<Answer>, HandshakeError> {
        while self.refused.is_none() {
            if !self.reader.read(rx)? {
                return Ok(None);
            }
            let (head, line) = self.reader.take_response()?;
            match line.status {
                // RFC 9110 §9.3.6: "Any 2xx (Successful) response indicates that the sender (and
                // all inbound proxies) will switch to tunnel mode immediately after the response
                // header section", and "A client MUST ignore any Content-Length or
                // Transfer-Encoding header fields received in a successful response to CONNECT."
                200..=299 => return Ok(Some(Answer::Open)),
                // nothing was offered that could be switched to
                101 => return Err(HandshakeError::ResponseNotUpgrade),
                100..=199 => {
                    self.interim += 1;
                    if self.interim > Handshake::MAX_INTERIM_RESPONSES {
                        return Err(HandshakeError::TooManyInterimResponses);
                    }
                    self.reader.reset();
                }
                status => {
                    let body = BodyReader::new(&head, status, self.max_body_len);
                    self.refused = Some((Refused::new(head, line, 200), body));
                }
            }
        }
        let complete =
            self.refused.as_mut().is_some_and(|(refused, body)| body.read(rx, &mut refused.body));
        Ok(if complete { self.take_refused() } else { None })
    }

    /// Takes a refusal of which no more comes, if its head is there.
    pub(crate) fn take_refused(&mut self) -> Option<Answer> {
        self.refused.take().map(|(refused, _)| Answer::Refused(refused))
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};

    use bytes::Buf;

    use super::*;

    fn start(config: &Config) -> Connect {
        Connect::start("h:443", None, config, &mut SendBuffer::new())
    }

    /// What becomes of an answer that comes in pieces of this length, and what is left behind it.
    fn ask(answer: &[u8], step: usize) -> (Result<Option<Answer>, HandshakeError>, usize) {
        let mut connect = start(&Config::new());
        let mut rx = RecvBuffer::new();
        let mut fed = 0;
        for piece in answer.chunks(step) {
            rx.extend_from_slice(piece);
            fed += piece.len();
            match connect.read(&mut rx) {
                Ok(None) => assert!(rx.unparsed().is_empty()),
                result => return (result, answer.len() - fed + rx.unparsed().len()),
            }
        }
        (Ok(connect.take_refused()), 0)
    }

    #[test]
    fn requests() {
        let head = |target, credentials| {
            let mut tx = SendBuffer::new();
            Connect::start(target, credentials, &Config::new(), &mut tx);
            String::from_utf8(tx.copy_to_bytes(tx.remaining()).to_vec()).unwrap()
        };
        assert_eq!(head("[::1]:80", None), "CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
        assert_eq!(
            head("h:443", Some("Basic dTpw")),
            "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
        );
    }

    /// C-29: any 2xx opens, whatever else it says, and what follows it is untouched.
    #[test]
    fn open() {
        for answer in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 Connection established\r\nProxy-agent: any\r\n\r\n",
            "HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 299\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            for behind in ["", "HTTP/1.1 101 ", "\r\n", "\x16\x03"] {
                let all = format!("{answer}{behind}");
                for step in 1..=all.len() {
                    let (result, left) = ask(all.as_bytes(), step);
                    assert!(matches!(result, Ok(Some(Answer::Open))), "{all:?}: {result:?}");
                    assert_eq!(left, behind.len(), "{all:?} by {step}");
                }
            }
        }
    }

    /// C-29
    #[test]
    fn refused() {
        let head = "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=\"x\"\r\n";
        for (body, expected) in [
            ("Content-Length: 3\r\n\r\nno!", "no!"),
            ("Transfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n0\r\n\r\n", "no!"),
            ("\r\nuntil the end", "until the end"),
            ("Content-Length: 9\r\n\r\ncut", "cut"),
            ("Content-Length: 0\r\n\r\n", ""),
        ] {
            let all = format!("{head}{body}");
            for step in 1..=all.len() {
                let (result, _) = ask(all.as_bytes(), step);
                let Ok(Some(Answer::Refused(refused))) = result else { panic!("{result:?}") };
                assert_eq!((refused.status(), refused.reason()), (407, "Who are you"));
                assert_eq!(refused.header("proxy-authenticate"), Some("Basic realm=\"x\""));
                assert_eq!(refused.body(), expected.as_bytes());
            }
        }
    }

    /// What is no answer, or too much of one.
    #[test]
    fn hostile_answers() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(9);
        let long = "HTTP/1.1 200 OK\r\nX: ".to_string() + &"x".repeat(20_000);
        let many = "HTTP/1.1 200 OK\r\n".to_string() + &"X: y\r\n".repeat(101);
        for (answer, error) in [
            ("SSH-2.0-x\r\n", HandshakeError::MalformedStartLine),
            ("\x05\u{7f}", HandshakeError::MalformedStartLine),
            ("\x15\x03\x03", HandshakeError::TlsAnswer),
            ("HTTP/1.1 200 OK\nX: y\n\n", HandshakeError::BareLineFeed),
            ("HTTP/1.1 101 Yes\r\n\r\n", HandshakeError::ResponseNotUpgrade),
            ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", HandshakeError::MalformedHeader),
            (&interim, HandshakeError::TooManyInterimResponses),
            (&long, HandshakeError::HeadTooLong { limit: 16 * 1024 }),
            (&many, HandshakeError::TooManyHeaders { limit: 100 }),
        ] {
            for step in [1, 7, answer.len()] {
                let (result, _) = ask(answer.as_bytes(), step);
                assert_eq!(result.unwrap_err(), error, "{step}");
            }
        }
        // one fewer is a reasonable number
        let (result, _) =
            ask(&(interim[25..].to_string() + "HTTP/1.1 200 OK\r\n\r\n").into_bytes(), 7);
        assert!(matches!(result, Ok(Some(Answer::Open))), "{result:?}");
        let config = Config::new().max_refusal_body_len(10);
        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(b"HTTP/1.1 502 Bad Gateway\r\n\r\na page that is long");
        let answer = start(&config).read(&mut rx);
        let Ok(Some(Answer::Refused(refused))) = answer else { panic!("{answer:?}") };
        assert_eq!(refused.body(), b"a page tha");
    }
}
