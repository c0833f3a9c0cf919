use sansws::Config;
use sansws::buf::{RecvBuffer, SendBuffer};
use sansws::bytes::Buf;
use sansws::handshake::server::{Accept, AcceptError, Handshake, Request};
use sansws::handshake::{HandshakeError, client};

/// The example of RFC 6455 §1.3.
pub(crate) const GOLDEN_REQUEST: &str = "GET /chat HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Version: 13\r\n\
    \r\n";

pub(crate) const GOLDEN_RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Protocol: chat\r\n\
    \r\n";

/// The nonce whose key is the one in the example.
pub(crate) const GOLDEN_NONCE: [u8; 16] = *b"the sample nonce";

/// The header lines every handshake needs, as they are sent.
pub(crate) const NEEDED: [&str; 5] = [
    "Host: h",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// A valid request with these lines as well.
pub(crate) fn request_with(lines: &[&str]) -> String {
    request_of(&[&NEEDED, lines].concat())
}

/// A valid request without the header `name`, but with these lines.
pub(crate) fn request_without(name: &str, lines: &[&str]) -> String {
    let mut all: Vec<_> = NEEDED.into_iter().filter(|line| !line.starts_with(name)).collect();
    assert_eq!(all.len(), NEEDED.len() - 1);
    all.extend(lines);
    request_of(&all)
}

pub(crate) fn request_of(lines: &[&str]) -> String {
    format!("GET / HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"))
}

/// What a server reads from `head`, and what it writes meanwhile.
pub(crate) fn read(
    head: impl AsRef<[u8]>,
) -> (Result<Option<Request>, HandshakeError>, SendBuffer) {
    read_with(&Config::new(), head)
}

pub(crate) fn read_with(
    config: &Config,
    head: impl AsRef<[u8]>,
) -> (Result<Option<Request>, HandshakeError>, SendBuffer) {
    let (mut rx, mut tx) = (RecvBuffer::new(), SendBuffer::new());
    rx.extend_from_slice(head.as_ref());
    let request = Handshake::new(config).read_request(&mut rx, &mut tx);
    (request, tx)
}

/// The request in `head`, which must be complete and in order.
pub(crate) fn request(head: impl AsRef<[u8]>) -> Request {
    let (request, tx) = read(head);
    assert!(tx.is_empty());
    request.unwrap().expect("the head is complete")
}

/// What a server that accepts every request answers to `head`.
pub(crate) fn answer(head: impl AsRef<[u8]>) -> (Result<(), HandshakeError>, Answer) {
    answer_with(&Config::new(), head)
}

pub(crate) fn answer_with(
    config: &Config,
    head: impl AsRef<[u8]>,
) -> (Result<(), HandshakeError>, Answer) {
    let (request, mut tx) = read_with(config, head);
    let result = match request {
        Ok(request) => request
            .expect("the head is complete")
            .accept(&Accept::default(), config, &mut tx)
            .map(drop)
            .map_err(|error| match error {
                AcceptError::Peer(error) => error,
                error => panic!("{error}"),
            }),
        Err(error) => Err(error),
    };
    let answer = Answer::parse(&sent(&mut tx));
    if let Err(error) = &result {
        assert_eq!(error.status(), Some(answer.status), "{error}");
    }
    (result, answer)
}

/// The status that answers `head`.
pub(crate) fn status(head: impl AsRef<[u8]>) -> u16 {
    answer(head).1.status
}

/// All that `tx` holds, which must be in one piece.
pub(crate) fn sent(tx: &mut SendBuffer) -> String {
    assert_eq!(tx.chunk().len(), tx.len(), "more than one write");
    String::from_utf8(tx.copy_to_bytes(tx.remaining()).to_vec()).unwrap()
}

/// A response, taken apart without our own parser.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a complete head");
        let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let answer = Self { status, head: head.to_owned(), body: body.to_owned() };
        if status != 101 {
            // H-39
            assert!(answer.header("connection").unwrap().starts_with("close"), "{text}");
            if let Some(length) = answer.header("content-length") {
                assert_eq!(length, body.len().to_string(), "{text}");
            }
        }
        if status == 426 {
            // H-7, H-14
            assert_eq!(answer.header("upgrade"), Some("websocket"));
            assert_eq!(answer.header("connection"), Some("close, Upgrade"));
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        }
        answer
    }

    /// The value of a header that must not be there twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value);
        let value = values.next();
        assert!(values.next().is_none(), "{name} twice in {}", self.head);
        value
    }
}

/// A client that has sent its request.
pub(crate) fn client(request: &client::Request) -> (client::Handshake, String) {
    let mut tx = SendBuffer::new();
    let handshake =
        client::Handshake::start(request, GOLDEN_NONCE, &Config::new(), &mut tx).unwrap();
    (handshake, sent(&mut tx))
}

/// What a client that offers `chat` makes of a response.
pub(crate) fn respond(head: impl AsRef<[u8]>) -> Result<Option<client::Response>, HandshakeError> {
    let request = client::Request::new("ws://server.example.com/chat").unwrap();
    let (mut handshake, _) = client(&request.subprotocol("chat"));
    let mut rx = RecvBuffer::new();
    rx.extend_from_slice(head.as_ref());
    handshake.read_response(&mut rx)
}

/// The accepted response in `head`.
pub(crate) fn accepted(head: impl AsRef<[u8]>) -> client::Accepted {
    match respond(head).unwrap() {
        Some(client::Response::Accepted(accepted)) => accepted,
        other => panic!("{other:?}"),
    }
}
