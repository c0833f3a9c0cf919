//! Single HTTP/1.1 requests: what a browser asks besides WebSockets, and handshakes whose refusal
//! is of interest, which no script gets to see.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A response, read to the end of the connection.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of the header `name`, given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(candidate, _)| candidate == name)?;
        Some(value)
    }
}

/// GETs `path` and checks that the response is one that HTTP allows.
pub(crate) fn get(addr: &str, path: &str) -> Response {
    request(addr, path, "Connection: close\r\n")
}

/// The refusal of a handshake.
pub(crate) fn refusal(addr: &str, path: &str) -> Response {
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    request(addr, path, handshake)
}

fn request(addr: &str, path: &str, headers: &str) -> Response {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n").unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();

    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("GET {path}: no complete head in {received:?}"));
    let body = received[end + 4..].to_vec();
    let head = core::str::from_utf8(&received[..end]).unwrap();

    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap();
    let code = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let code = code.unwrap_or_else(|| panic!("GET {path}: not a status line: {status}"));
    let headers = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();

    let response = Response { status: code.parse().unwrap(), headers, body };
    if let Some(length) = response.header("content-length") {
        assert_eq!(length, response.body.len().to_string(), "GET {path}: {head}");
    }
    response
}
