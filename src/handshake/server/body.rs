use alloc::vec::Vec;

use super::Request;
use crate::buf::RecvBuffer;
use crate::handshake::list;

/// Reads the body of a request, up to a limit. Strict: what a proxy in front could take for another
/// request ends it (RFC 9112 §11.2).
#[derive(Debug)]
pub(crate) struct BodyReader {
    state: State,
    body: Vec<u8>,
    limit: usize,
    /// The bytes that may still stand outside of the data: of one size line and the end of the data
    /// before it, or of all trailers.
    between: usize,
}

/// Where in the body the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This much of the body is left, which has a length.
    Length(usize),
    /// In the size of a chunk; `None` before its first digit.
    Size(Option<usize>),
    /// Behind that size, in its line.
    Extension(usize),
    SizeLf(usize),
    /// In the data of a chunk, of which this much is left.
    Data(usize),
    DataCr,
    DataLf,
    /// At the beginning of a line behind the last chunk.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is longer than the limit, in bytes.
    TooLong { limit: usize },
    /// It is not in the chunked coding that was announced, or that stands where it must not.
    Malformed,
    /// It is in a coding other than chunked.
    UnknownCoding,
    /// The connection ended before it did.
    Incomplete,
    /// It took too long.
    TimedOut,
}

impl BodyReader {
    /// Makes a reader of the body that a request announces: an empty one if it announces none.
    pub(crate) fn new(request: &Request, limit: usize) -> Result<Self, BodyError> {
        let new = |state| Self { state, body: Vec::new(), limit, between: MAX_BETWEEN };
        if request.head.has("transfer-encoding") {
            // RFC 9112 §6.1: "A server or client that receives an HTTP/1.0 message containing a
            // Transfer-Encoding header field MUST treat the message as if the framing is faulty".
            if request.is_http_1_0() {
                return Err(BodyError::Malformed);
            }
            let mut codings = list::elements(request.head.all("transfer-encoding"));
            return match (codings.next(), codings.next()) {
                (Some(only), None) if only.eq_ignore_ascii_case(b"chunked") => {
                    Ok(new(State::Size(None)))
                }
                // RFC 9112 §6.1: "A sender MUST NOT apply the chunked transfer coding more than
                // once to a message body".
                (Some(first), _) if first.eq_ignore_ascii_case(b"chunked") => {
                    Err(BodyError::Malformed)
                }
                (None, _) => Err(BodyError::Malformed),
                // RFC 9112 §6.1: "A server that receives a request message with a transfer coding
                // it does not understand SHOULD respond with 501 (Not Implemented)."
                _ => Err(BodyError::UnknownCoding),
            };
        }
        // that all of them agree has been checked with the head
        let length = request.head.all("content-length").find_map(list::parse_length).unwrap_or(0);
        match usize::try_from(length) {
            Ok(length) if length <= limit => Ok(new(State::Length(length))),
            _ => Err(BodyError::TooLong { limit }),
        }
    }

    /// Returns whether nothing has to be read for it.
    pub(crate) fn is_empty(&self) -> bool {
        self.state == State::Length(0)
    }

    /// Moves bytes of the body out of `rx`, and returns whether that was all of it.
    pub(crate) fn read(&mut self, rx: &mut RecvBuffer) -> Result<bool, BodyError> {
        loop {
            let there = rx.unparsed();
            let (State::Length(left) | State::Data(left)) = self.state else {
                if self.state == State::End {
                    return Ok(true);
                }
                let Some(&byte) = there.first() else { return Ok(false) };
                self.between = self.between.checked_sub(1).ok_or(BodyError::Malformed)?;
                self.state = self.step(byte)?;
                rx.skip(1);
                continue;
            };
            let n = there.len().min(left);
            self.body.extend_from_slice(&there[..n]);
            rx.skip(n);
            let left = left - n;
            self.state = match self.state {
                State::Length(_) if left == 0 => State::End,
                State::Length(_) => State::Length(left),
                _ if left == 0 => {
                    self.between = MAX_BETWEEN;
                    State::DataCr
                }
                _ => State::Data(left),
            };
            if n == 0 && left > 0 {
                return Ok(false);
            }
        }
    }

    /// Takes a byte outside of the data (RFC 9112 §7.1).
    fn step(&self, byte: u8) -> Result<State, BodyError> {
        // what is in it is passed over, but no control character
        let is_text = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        Ok(match (self.state, byte) {
            (State::Size(size), _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default() as usize;
                let size = size.unwrap_or(0).checked_mul(16).and_then(|it| it.checked_add(digit));
                let room = self.limit - self.body.len();
                match size {
                    Some(size) if size <= room => State::Size(Some(size)),
                    _ => return Err(BodyError::TooLong { limit: self.limit }),
                }
            }
            (State::Size(Some(size)), b';' | b' ' | b'\t') => State::Extension(size),
            (State::Size(Some(size)) | State::Extension(size), b'\r') => State::SizeLf(size),
            (State::Extension(size), _) if is_text => State::Extension(size),
            (State::SizeLf(0), b'\n') => State::TrailerStart,
            (State::SizeLf(size), b'\n') => State::Data(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(None),
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerStart | State::Trailer, _) if is_text => State::Trailer,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::End,
            _ => return Err(BodyError::Malformed),
        })
    }

    /// Returns the body, once it is there.
    pub(crate) fn into_body(self) -> Vec<u8> {
        self.body
    }
}

/// No sender that is known has extensions or trailers of more than some dozen bytes.
const MAX_BETWEEN: usize = 1024;

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;
    use crate::buf::SendBuffer;
    use crate::config::Config;
    use crate::handshake::server::Handshake;

    /// Returns the body, and what stands behind it, by as many bytes at a time.
    fn read(
        headers: &str,
        body: &[u8],
        limit: usize,
        step: usize,
    ) -> Result<Option<(String, usize)>, BodyError> {
        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n").as_bytes());
        let mut handshake = Handshake::new(&Config::new());
        let request = handshake.read_request(&mut rx, &mut SendBuffer::new()).unwrap().unwrap();
        let mut reader = BodyReader::new(&request, limit)?;
        let mut pieces = body.chunks(step);
        while !reader.read(&mut rx)? {
            let Some(piece) = pieces.next() else { return Ok(None) };
            rx.extend_from_slice(piece);
        }
        let behind = rx.unparsed().len() + pieces.map(<[u8]>::len).sum::<usize>();
        Ok(Some((String::from_utf8(reader.into_body()).unwrap(), behind)))
    }

    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

    #[test]
    fn bodies_of_both_framings() {
        for step in [1, 2, 3, 100] {
            for (headers, body, expected, behind) in [
                ("", "GET /", "", 5),
                ("Content-Length: 0\r\n", "GET /", "", 5),
                ("Content-Length: 5\r\n", "hello", "hello", 0),
                ("Content-Length: 5, 5\r\n", "helloGET /", "hello", 5),
                (CHUNKED, "0\r\n\r\nGET /", "", 5),
                (CHUNKED, "5\r\nhello\r\n0\r\n\r\n", "hello", 0),
                (
                    CHUNKED,
                    "2;a=\"b\"\r\nhe\r\n03 \r\nllo\r\n00\r\nA: b\r\nC: d\r\n\r\nxy",
                    "hello",
                    2,
                ),
                ("Transfer-Encoding: CHUNKED\r\n", "A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0),
            ] {
                let read = read(headers, body.as_bytes(), 10, step);
                assert_eq!(read, Ok(Some((expected.into(), behind))), "{headers} {body:?} {step}");
            }
        }
    }

    #[test]
    fn bodies_that_are_not_there_yet() {
        let whole = "5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
        for len in 0..whole.len() {
            assert_eq!(read(CHUNKED, &whole.as_bytes()[..len], 10, 7), Ok(None), "{len}");
        }
        assert_eq!(read("Content-Length: 5\r\n", b"hell", 10, 7), Ok(None));
    }

    #[test]
    fn bodies_that_are_too_long() {
        let too_long = Err(BodyError::TooLong { limit: 10 });
        let header = |length: &str| format!("Content-Length: {length}\r\n");
        for length in ["11", "18446744073709551615"] {
            assert_eq!(read(&header(length), b"", 10, 1), too_long);
        }
        for body in [
            "B",
            "FFFFFFFFFFFFFFFF",
            "10000000000000000000",
            "A\r\n0123456789\r\n1",
            "5\r\nhello\r\n6",
        ] {
            assert_eq!(read(CHUNKED, body.as_bytes(), 10, 1), too_long, "{body}");
        }
    }

    /// What two readers could understand in two ways.
    #[test]
    fn bodies_that_are_malformed() {
        for body in [
            "\r\n",
            "x",
            "-1",
            "+1",
            " 5",
            "0x5",
            "5\n",
            "5\r5",
            ";\r\n",
            "5;a\n",
            "5;\0",
            "5\r\nhellox",
            "5\r\nhello\n",
            "5\r\nhello\rx",
            "0\r\n\n",
            "0\r\nA: b\n",
            "0\r\n\rx",
        ] {
            let read = read(CHUNKED, body.as_bytes(), 10, 1);
            assert_eq!(read, Err(BodyError::Malformed), "{body:?}");
        }
        for (headers, error) in [
            ("Transfer-Encoding: gzip, chunked\r\n", BodyError::UnknownCoding),
            ("Transfer-Encoding: identity\r\n", BodyError::UnknownCoding),
            ("Transfer-Encoding: chunked, chunked\r\n", BodyError::Malformed),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", BodyError::Malformed),
            ("Transfer-Encoding:\r\n", BodyError::Malformed),
        ] {
            assert_eq!(read(headers, b"0\r\n\r\n", 10, 1), Err(error), "{headers}");
        }
    }

    /// Neither extensions nor trailers go on for ever; each chunk may have some.
    #[test]
    fn what_is_not_data_is_bounded() {
        let malformed = Err(BodyError::Malformed);
        for start in ["5;", "0\r\n", "0"] {
            let body = format!("{start}{}", start[..1].repeat(MAX_BETWEEN + 1));
            assert_eq!(read(CHUNKED, body.as_bytes(), 10, 100), malformed, "{start}");
        }
        let chunk = format!("1;{}\r\nx\r\n", "e".repeat(MAX_BETWEEN / 2));
        let body = format!("{}0\r\n\r\n", chunk.repeat(10));
        assert_eq!(read(CHUNKED, body.as_bytes(), 10, 100), Ok(Some(("x".repeat(10), 0))));
    }
}
