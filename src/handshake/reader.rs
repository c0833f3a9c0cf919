use alloc::vec;
use alloc::vec::Vec;
use core::mem::{self, MaybeUninit};
use core::ops::Range;

use super::HandshakeError;
use super::head::{Field, Head};
use super::list;
use crate::buf::RecvBuffer;
use crate::config::Config;

/// Takes the head of an HTTP message out of a receive buffer.
///
/// Every byte is looked at once when it arrives and once more when the head is complete: `scanned`
/// says how far the search for the end of the head has got, and the header parser proper runs on
/// complete heads only. Running it on every read instead is quadratic, which has taken servers
/// down (RUSTSEC-2023-0065).
#[derive(Debug)]
pub(super) struct HeadReader {
    kind: Kind,
    max_head_len: usize,
    max_headers: usize,
    max_target_len: usize,
    /// Part of the head that has arrived.
    bytes: Vec<u8>,
    /// Bytes of it that have been looked at.
    scanned: usize,
    /// The last byte looked at was a carriage return.
    after_cr: bool,
    part: Part,
    /// Where the line under way begins.
    line_start: usize,
    /// Complete header lines.
    lines: usize,
    /// Empty lines before the first one.
    empty_lines: usize,
    http_1_0: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Method,
    /// The request target, which begins here.
    Target(usize),
    /// The version in a request, which begins here.
    Version(usize),
    StatusLine,
    Headers,
}

/// The first line of a request.
#[derive(Debug)]
pub(super) struct RequestLine {
    pub(super) method: Range<usize>,
    pub(super) target: Range<usize>,
    pub(super) http_1_0: bool,
}

/// The first line of a response.
#[derive(Debug)]
pub(super) struct StatusLine {
    pub(super) status: u16,
    pub(super) reason: Range<usize>,
    pub(super) http_1_0: bool,
}

impl HeadReader {
    pub(super) fn new(kind: Kind, config: &Config) -> Self {
        Self {
            kind,
            max_head_len: config.max_head_len,
            max_headers: config.max_headers,
            max_target_len: config.max_target_len,
            bytes: Vec::new(),
            scanned: 0,
            after_cr: false,
            part: match kind {
                Kind::Request => Part::Method,
                Kind::Response => Part::StatusLine,
            },
            line_start: 0,
            lines: 0,
            empty_lines: 0,
            http_1_0: false,
        }
    }

    /// Begins anew, for the next response.
    pub(super) fn reset(&mut self) {
        self.bytes.clear();
        self.part = Part::StatusLine;
        (self.scanned, self.line_start, self.lines) = (0, 0, 0);
    }

    /// Moves bytes of the head out of `rx`, and says whether it is complete. What follows it stays.
    pub(super) fn read(&mut self, rx: &mut RecvBuffer) -> Result<bool, HandshakeError> {
        if self.kind == Kind::Request && self.bytes.is_empty() {
            self.skip_empty_lines(rx)?;
            if rx.unparsed() == b"\r" {
                // the beginning of another one, perhaps
                return Ok(false);
            }
        }
        let before = self.bytes.len();
        // One byte over the limit is enough to know that it is broken.
        let room = self.max_head_len.saturating_add(1).saturating_sub(before);
        let there = rx.unparsed();
        let new = there.len().min(room);
        self.bytes.extend_from_slice(&there[..new]);
        let end = self.scan()?;
        let len = end.unwrap_or(self.bytes.len());
        if len > self.max_head_len {
            return Err(HandshakeError::HeadTooLong { limit: self.max_head_len });
        }
        self.bytes.truncate(len);
        rx.skip(len - before);
        Ok(end.is_some())
    }

    /// RFC 9112 §2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore
    /// at least one empty line (CRLF) received prior to the request-line."
    fn skip_empty_lines(&mut self, rx: &mut RecvBuffer) -> Result<(), HandshakeError> {
        while rx.unparsed().starts_with(b"\r\n") {
            self.empty_lines += 1;
            if self.empty_lines > MAX_EMPTY_LINES {
                return Err(HandshakeError::MalformedStartLine);
            }
            rx.skip(2);
        }
        Ok(())
    }

    /// Looks at the new bytes and returns the end of the head, if it is there.
    fn scan(&mut self) -> Result<Option<usize>, HandshakeError> {
        if self.part == Part::StatusLine && self.bytes.first().is_some_and(|it| *it != PREFIX[0]) {
            self.scanned = self.bytes.len(); // a dozen of them, no more
            return foreign(&self.bytes).map_or(Ok(None), Err);
        }
        while let Some(&byte) = self.bytes.get(self.scanned) {
            let at = self.scanned;
            self.scanned += 1;
            if self.after_cr {
                // RFC 9112 §2.2: "A recipient of such a bare CR MUST consider that element to be
                // invalid".
                if byte != b'\n' {
                    return Err(HandshakeError::BareCarriageReturn);
                }
                self.after_cr = false;
                if self.end_line(at - 1)? {
                    return Ok(Some(at + 1));
                }
                self.line_start = at + 1;
                continue;
            }
            let begins_blank = at == self.line_start && matches!(byte, b' ' | b'\t');
            if self.part == Part::Headers && !begins_blank {
                // most of a head is the inside of header lines, which the parser proper looks at
                let rest = self.bytes.get(at..).unwrap_or_default();
                let end = at + until_line_end(rest);
                if self.bytes.get(end..end + 2) == Some(b"\r\n") {
                    self.scanned = end + 2;
                    if self.end_line(end)? {
                        return Ok(Some(end + 2));
                    }
                    self.line_start = end + 2;
                    continue;
                }
                if end > at {
                    self.scanned = end;
                    continue;
                }
            }
            match byte {
                b'\r' => self.after_cr = true,
                // RFC 9112 §2.2: "a recipient MAY recognize a single LF as a line terminator". We
                // do not: where one party does and the other does not, requests get smuggled.
                b'\n' => return Err(HandshakeError::BareLineFeed),
                _ if self.part != Part::Headers => self.start_line(at, byte)?,
                _ if begins_blank => self.unfold()?,
                _ => {}
            }
        }
        Ok(None)
    }

    /// Checks one byte of the first line, so that what is no HTTP at all is answered at once and
    /// not when the time is over.
    fn start_line(&mut self, at: usize, byte: u8) -> Result<(), HandshakeError> {
        if at == 0 && TLS_RECORDS.contains(&byte) {
            return Err(HandshakeError::TlsBytes);
        }
        match self.part {
            Part::Method if byte == b' ' && at > 0 => self.part = Part::Target(at + 1),
            Part::Method if !list::is_token_byte(byte) => {
                return Err(HandshakeError::MalformedStartLine);
            }
            Part::Method if at >= MAX_METHOD_LEN => return Err(HandshakeError::MethodTooLong),
            Part::Target(start) if byte == b' ' && at > start => self.part = Part::Version(at + 1),
            Part::Target(_) if byte == b' ' => return Err(HandshakeError::MalformedStartLine),
            // RFC 9112 §3.2: "Recipients of an invalid request-line SHOULD respond with either a
            // 400 (Bad Request) error or a 301 (Moved Permanently) redirect". A fragment is never
            // part of a target.
            Part::Target(_) if !byte.is_ascii_graphic() || byte == b'#' => {
                return Err(HandshakeError::InvalidTarget);
            }
            Part::Target(start) if at - start >= self.max_target_len => {
                return Err(HandshakeError::TargetTooLong { limit: self.max_target_len });
            }
            Part::Version(start) if at - start >= VERSION_LEN => {
                return Err(HandshakeError::MalformedStartLine);
            }
            Part::StatusLine if PREFIX.get(at).is_some_and(|&expected| expected != byte) => {
                return Err(HandshakeError::MalformedStartLine);
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the line whose carriage return is at `end`, and says whether it was the last.
    fn end_line(&mut self, end: usize) -> Result<bool, HandshakeError> {
        match self.part {
            Part::Headers if end == self.line_start => return Ok(true),
            Part::Headers => {
                self.lines += 1;
                // RFC 9110 §5.4: "A server that receives a request header field line, field value,
                // or set of fields larger than it wishes to process MUST respond with an
                // appropriate 4xx (Client Error) status code."
                if self.lines > self.max_headers {
                    return Err(HandshakeError::TooManyHeaders { limit: self.max_headers });
                }
            }
            Part::Version(start) => {
                self.end_version(start, end)?;
                self.part = Part::Headers;
            }
            // its first byte is there, or this was no answer of HTTP
            Part::StatusLine => self.part = Part::Headers,
            _ => return Err(HandshakeError::MalformedStartLine),
        }
        Ok(false)
    }

    /// Checks the version in a request and turns the later ones into 1.1, which is what the parser
    /// knows.
    fn end_version(&mut self, start: usize, end: usize) -> Result<(), HandshakeError> {
        let version = self.bytes.get_mut(start..end).unwrap_or_default();
        match version {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'] => self.http_1_0 = true,
            // RFC 6455 §4.2.1: "An HTTP/1.1 or higher GET request". RFC 9110 §2.5: a recipient of a
            // higher minor version "SHOULD process the message as if it was in the highest minor
            // version within that major version to which the recipient is conformant."
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'1'..=b'9'] => *minor = b'1',
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(HandshakeError::UnsupportedHttpVersion);
            }
            _ => return Err(HandshakeError::MalformedStartLine),
        }
        Ok(())
    }

    /// Deals with a line that begins with white space.
    fn unfold(&mut self) -> Result<(), HandshakeError> {
        // RFC 9112 §5.2: "A server that receives an obs-fold in a request message [...] MUST either
        // reject the message [...] or replace each received obs-fold with one or more SP octets".
        // RFC 9112 §2.2 has the same choice for white space before the first header.
        if self.kind == Kind::Request || self.lines == 0 {
            return Err(HandshakeError::FoldedHeader);
        }
        // RFC 9112 §5.2: "A user agent that receives an obs-fold in a response message [...] MUST
        // replace each received obs-fold with one or more SP octets prior to interpreting the field
        // value".
        if let Some(line_end) = self.bytes.get_mut(self.line_start - 2..self.line_start) {
            line_end.fill(b' ');
        }
        self.lines -= 1;
        Ok(())
    }

    /// Returns the complete head of a request.
    pub(super) fn take_request(&mut self) -> Result<(Head, RequestLine), HandshakeError> {
        let bytes = mem::take(&mut self.bytes);
        let mut few = [const { MaybeUninit::uninit() }; FEW];
        let mut many = Vec::new();
        let headers = match few.get_mut(..self.lines) {
            Some(few) => few,
            None => {
                many.resize_with(self.lines, MaybeUninit::uninit);
                &mut many[..]
            }
        };
        let mut parsed = httparse::Request::new(&mut []);
        check(parsed.parse_with_uninit_headers(&bytes, headers), bytes.len())?;
        let line = RequestLine {
            method: range_in(&bytes, parsed.method.unwrap_or("").as_bytes()),
            target: range_in(&bytes, parsed.path.unwrap_or("").as_bytes()),
            http_1_0: self.http_1_0,
        };
        let fields = fields(&bytes, parsed.headers);
        Ok((Head::new(bytes, fields), line))
    }

    /// Returns the complete head of a response.
    pub(super) fn take_response(&mut self) -> Result<(Head, StatusLine), HandshakeError> {
        let bytes = mem::take(&mut self.bytes);
        let mut headers = vec![httparse::EMPTY_HEADER; self.lines];
        let mut parsed = httparse::Response::new(&mut headers);
        check(parsed.parse(&bytes), bytes.len())?;
        let line = StatusLine {
            status: parsed.code.unwrap_or(0),
            reason: range_in(&bytes, list::trim(parsed.reason.unwrap_or("").as_bytes())),
            http_1_0: parsed.version != Some(1),
        };
        if line.status < 100 {
            return Err(HandshakeError::MalformedStartLine);
        }
        let fields = fields(&bytes, parsed.headers);
        Ok((Head::new(bytes, fields), line))
    }

    /// Returns the bytes looked at so far.
    #[cfg(test)]
    pub(super) fn work(&self) -> usize {
        self.scanned
    }
}

/// Returns what an answer is that is not HTTP, by its first bytes; `None` if more are needed. The
/// result is the same for every way in which they are cut into reads.
fn foreign(bytes: &[u8]) -> Option<HandshakeError> {
    if bytes.first().is_some_and(|byte| TLS_RECORDS.contains(byte)) {
        return Some(HandshakeError::TlsAnswer);
    }
    for head in [PROXY_V1, PROXY_V2] {
        if bytes.starts_with(head) {
            return Some(HandshakeError::ProxyProtocolAnswer);
        }
        if head.starts_with(bytes) {
            return None;
        }
    }
    // RFC 9113 §4.1: three bytes of length, one of type, one of flags, four of the stream. §3.4:
    // "The server connection preface consists of a potentially empty SETTINGS frame (Section 6.5)
    // that MUST be the first frame the server sends in the HTTP/2 connection." §6.5: it is of
    // stream 0, without the flag ACK here, and "A SETTINGS frame with a length other than a
    // multiple of 6 octets MUST be treated as a connection error".
    let is_settings = bytes.iter().take(FRAME_HEADER_LEN).enumerate().all(|(at, &byte)| match at {
        1 | 2 => true,
        3 => byte == 4,
        _ => byte == 0,
    });
    let len = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    match bytes {
        _ if !is_settings => Some(HandshakeError::MalformedStartLine),
        [_, high, low, ..] if len(*high, *low) % 6 > 0 => Some(HandshakeError::MalformedStartLine),
        _ => (bytes.len() >= FRAME_HEADER_LEN).then_some(HandshakeError::Http2Answer),
    }
}

/// Returns the number of bytes before the first carriage return or line feed. Eight bytes at a
/// time: lines are too short for more.
fn until_line_end(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // the lowest bit that is set is that of the first such byte
    let find = |word: u64, byte: u8| {
        let zero_where_equal = word ^ (ONES * u64::from(byte));
        zero_where_equal.wrapping_sub(ONES) & !zero_where_equal & (ONES << 7)
    };
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = find(word, b'\r') | find(word, b'\n');
        if found != 0 {
            return 8 * at + found.trailing_zeros() as usize / 8;
        }
    }
    let is_inside = |byte: &&u8| !matches!(**byte, b'\r' | b'\n');
    8 * words.len() + rest.iter().take_while(is_inside).count()
}

/// Judges what the parser says to a complete head.
fn check(result: httparse::Result<usize>, len: usize) -> Result<(), HandshakeError> {
    match result {
        Ok(httparse::Status::Complete(parsed)) if parsed == len => Ok(()),
        Err(httparse::Error::Token | httparse::Error::Version | httparse::Error::Status) => {
            Err(HandshakeError::MalformedStartLine)
        }
        _ => Err(HandshakeError::MalformedHeader),
    }
}

fn fields(bytes: &[u8], headers: &[httparse::Header<'_>]) -> Vec<Field> {
    let field = |header: &httparse::Header<'_>| Field {
        name: range_in(bytes, header.name.as_bytes()),
        value: range_in(bytes, list::trim(header.value)),
    };
    headers.iter().map(field).collect()
}

/// Where in `bytes` the slice `part` of it is.
fn range_in(bytes: &[u8], part: &[u8]) -> Range<usize> {
    if part.is_empty() {
        // the parser has empty strings of its own
        return 0..0;
    }
    let start = (part.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
    start..start.wrapping_add(part.len())
}

/// Lines of a header for which the parser needs no memory: browsers send fewer.
const FEW: usize = 24;

/// Twice as long as any registered method, `UPDATEREDIRECTREF`, nearly.
const MAX_METHOD_LEN: usize = 32;

/// `HTTP/1.1`.
const VERSION_LEN: usize = 8;

const PREFIX: &[u8] = b"HTTP/1.";

/// Types of TLS records that begin a connection or end it: alert and handshake (RFC 8446 §5.1).
const TLS_RECORDS: [u8; 2] = [0x15, 0x16];

/// How the PROXY protocol begins.
const PROXY_V1: &[u8] = b"PROXY ";
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Of HTTP/2 (RFC 9113 §4.1).
const FRAME_HEADER_LEN: usize = 9;

/// RFC 9112 §2.2 asks for one at least.
const MAX_EMPTY_LINES: usize = 4;

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn read(kind: Kind, head: &[u8]) -> Result<(bool, HeadReader), HandshakeError> {
        let mut reader = HeadReader::new(kind, &Config::new());
        let mut rx = RecvBuffer::new();
        rx.extend_from_slice(head);
        reader.read(&mut rx).map(|complete| (complete, reader))
    }

    /// P-24: each byte is looked at once, in whatever pieces it comes, and the header parser runs
    /// when the head is complete.
    #[test]
    fn work_is_linear() {
        let mut head = b"GET / HTTP/1.1\r\nHost: h\r\nX: ".to_vec();
        head.resize(Config::new().max_head_len - 4, b'a');
        head.extend_from_slice(b"\r\n\r\n");
        for step in [1, 2, 3, 7, 1000, head.len()] {
            let mut reader = HeadReader::new(Kind::Request, &Config::new());
            let mut rx = RecvBuffer::new();
            let mut complete = false;
            let mut fed = 0;
            for piece in head.chunks(step) {
                rx.extend_from_slice(piece);
                fed += piece.len();
                complete = reader.read(&mut rx).unwrap();
                assert_eq!(reader.work(), fed);
            }
            assert!(complete && rx.is_idle());
            assert!(reader.take_request().is_ok());
        }
    }

    /// P-8: the fold becomes spaces; the value is in one piece.
    #[test]
    fn folds_in_responses() {
        let head = b"HTTP/1.1 101 \r\nServer: x\r\n y\r\n\t\r\n  z\r\nA: b\r\n\r\n";
        let (complete, mut reader) = read(Kind::Response, head).unwrap();
        assert!(complete);
        let (head, _) = reader.take_response().unwrap();
        let server: String = head.first("server").unwrap().split_whitespace().collect();
        assert_eq!(server, "xyz");
        assert_eq!(head.first("a"), Some("b"));
        assert_eq!(
            read(Kind::Response, b"HTTP/1.1 101 \r\n A: b\r\n\r\n").unwrap_err(),
            HandshakeError::FoldedHeader
        );
    }

    /// P-18: what is no HTTP is known by its first bytes.
    #[test]
    fn early_errors() {
        for (start, error) in [
            (&b"\x16\x03\x01"[..], HandshakeError::TlsBytes),
            (b"\x00", HandshakeError::MalformedStartLine),
            (b" ", HandshakeError::MalformedStartLine),
            (b"GE\xff", HandshakeError::MalformedStartLine),
            (b"GET  ", HandshakeError::MalformedStartLine),
            (b"GET /\x80", HandshakeError::InvalidTarget),
            (b"GET /#", HandshakeError::InvalidTarget),
            (b"GET / HTTP/1.1x", HandshakeError::MalformedStartLine),
            (b"PRI * HTTP/2.0\r\n", HandshakeError::UnsupportedHttpVersion),
        ] {
            assert_eq!(read(Kind::Request, start).unwrap_err(), error, "{start:?}");
        }
        for start in [&b"SSH"[..], b"ICY", b"HTTP/2", b"http", b"\r\nH", b"PRO\0", b"PROXY:"] {
            let error = read(Kind::Response, start).unwrap_err();
            assert_eq!(error, HandshakeError::MalformedStartLine, "{start:?}");
        }
    }

    /// P-18: what answers in another protocol is named, wherever the bytes are cut.
    #[test]
    fn answers_in_other_protocols() {
        let (h2, proxy) = (HandshakeError::Http2Answer, HandshakeError::ProxyProtocolAnswer);
        let bad = HandshakeError::MalformedStartLine;
        for (answer, error) in [
            (&b"\x15\x03\x01\0\x02\x02\x46"[..], HandshakeError::TlsAnswer),
            (b"\x16\x03\x03", HandshakeError::TlsAnswer),
            (b"\0\0\0\x04\0\0\0\0\0", h2.clone()),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0d", h2.clone()),
            (b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\xff\xff\0\0\0\x07", h2),
            (b"\0\0\x05\x04\0\0\0\0\0", bad.clone()), // not a multiple of 6
            (b"\0\0\x06\x04\x01\0\0\0\0", bad.clone()), // an ACK
            (b"\0\0\x06\x07\0\0\0\0\0", bad.clone()), // GOAWAY
            (b"\0\0\x06\x04\0\0\0\0\x01", bad.clone()), // of a stream
            (b"\x01\0\x06\x04\0\0\0\0\0", bad.clone()), // very long
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", proxy.clone()),
            (b"PROXY UNKNOWN\r\n", proxy.clone()),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", proxy),
            (b"\r\n\r\n\0\r\nQUIT\r", bad),
        ] {
            for step in 1..=answer.len() {
                let mut reader = HeadReader::new(Kind::Response, &Config::new());
                let mut rx = RecvBuffer::new();
                let result = answer.chunks(step).find_map(|piece| {
                    rx.extend_from_slice(piece);
                    match reader.read(&mut rx) {
                        Ok(complete) => complete.then(|| panic!("{answer:?} is complete")),
                        Err(error) => Some(error),
                    }
                });
                assert_eq!(result.as_ref(), Some(&error), "{answer:?} by {step}");
            }
        }
    }
}
