use alloc::vec::Vec;

use super::Request;
use crate::buf::RecvBuffer;
use crate::config::Config;
use crate::handshake::reader::{HeadReader, Kind};
use crate::handshake::{HandshakeError, list};

impl Request {
    /// Makes a request that another HTTP stack has read and taken apart, over HTTP/1.1 (the
    /// handshake of other versions is another one). `headers` are all header lines in their order,
    /// with repeated names as often as they came.
    ///
    /// ```
    /// use sansws::Config;
    /// use sansws::handshake::server::{Accept, Request};
    ///
    /// let headers = [
    ///     ("Host", "example.com"),
    ///     ("Upgrade", "websocket"),
    ///     ("Connection", "keep-alive, Upgrade"),
    ///     ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ///     ("Sec-WebSocket-Version", "13"),
    /// ];
    /// let config = Config::new();
    /// let request = Request::from_parts("GET", "/chat?room=7", headers, &config)?;
    /// assert_eq!(request.path(), "/chat");
    /// let upgrade = request.upgrade(&Accept::default(), &config)?;
    /// assert!(upgrade.headers().any(|(name, value)| {
    ///     (name, value) == ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    /// }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The parts are put together and read as any other request, so that the rules and the limits
    /// of `config` are the same; that costs two copies of the head.
    ///
    /// # Errors
    ///
    /// The parts make no valid head. Whether they ask for a WebSocket is left to
    /// [`upgrade`](Self::upgrade).
    pub fn from_parts<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        method: &str,
        target: &str,
        headers: impl IntoIterator<Item = (N, V)>,
        config: &Config,
    ) -> Result<Self, HandshakeError> {
        // Nothing in a part may end it: it would become a header that nobody sent.
        if !list::is_token(method.as_bytes()) {
            return Err(HandshakeError::MalformedStartLine);
        }
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HandshakeError::InvalidTarget);
        }
        let mut head = Vec::new();
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
        put(&[method.as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"]);
        for (name, value) in headers {
            let (name, value) = (name.as_ref(), value.as_ref());
            if !list::is_token(name) || value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                return Err(HandshakeError::MalformedHeader);
            }
            put(&[name, b": ", value, b"\r\n"]);
        }
        put(&[b"\r\n"]);

        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(&head);
        let mut reader = HeadReader::new(Kind::Request, config);
        if !reader.read(&mut rx)? {
            return Err(HandshakeError::MalformedHeader);
        }
        let (head, line) = reader.take_request()?;
        Self::new(head, line)
    }
}
