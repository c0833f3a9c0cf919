use alloc::vec::Vec;

use crate::buf::RecvBuffer;
use crate::handshake::head::Head;
use crate::handshake::list;

/// Reads the body of a refusal, up to a limit. For people, not for programs: what is broken about
/// it ends it, and is no error.
#[derive(Debug)]
pub(super) struct BodyReader {
    framing: Framing,
    /// The most that is taken of the body.
    limit: usize,
    /// Bytes between the chunks that may still be looked at.
    between: usize,
}

/// Framing: where the body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(u64),
    Chunked(Chunked),
    UntilEof,
    End,
}

/// Where in the chunked coding of RFC 9112 §7.1 the reader is.
#[derive(Clone, Copy, Debug)]
enum Chunked {
    /// In the size, of which this much has been read; `None` before the first digit.
    Size(Option<u64>),
    /// Between the size and the end of its line.
    Extension(u64),
    /// In the data, of which this much is left.
    Data(u64),
    /// Behind the data, before the end of that line.
    DataEnd,
}

impl BodyReader {
    pub(super) fn new(head: &Head, status: u16, limit: usize) -> Self {
        let mut lengths = head.all("content-length").map(list::parse_length);
        let framing = if matches!(status, 204 | 304) {
            Framing::End
        } else if head.has("transfer-encoding") {
            // RFC 9112 §6.3: "If a Transfer-Encoding header field is present in a response and the
            // chunked transfer coding is not the final encoding, the message body length is
            // determined by reading the connection until it is closed by the server."
            match list::elements(head.all("transfer-encoding")).last() {
                Some(last) if last.eq_ignore_ascii_case(b"chunked") => {
                    Framing::Chunked(Chunked::Size(None))
                }
                _ => Framing::UntilEof,
            }
        } else {
            match lengths.next() {
                None => Framing::UntilEof,
                Some(Some(length)) if lengths.all(|other| other == Some(length)) => {
                    Framing::Length(length)
                }
                // RFC 9112 §6.3: "the user agent MUST close the connection to the server and
                // discard the received response." Its head still says why.
                Some(_) => Framing::End,
            }
        };
        Self { framing, limit, between: limit.max(Self::MIN_BETWEEN) }
    }

    /// Moves bytes of the body from `rx` to `body`, and says whether that was all.
    pub(super) fn read(&mut self, rx: &mut RecvBuffer, body: &mut Vec<u8>) -> bool {
        loop {
            let room = self.limit.saturating_sub(body.len());
            if room == 0 || self.between == 0 {
                self.framing = Framing::End;
            }
            let there = rx.unparsed();
            // what is left of the body, or of the chunk
            let left = match self.framing {
                Framing::End | Framing::Length(0) => return true,
                Framing::UntilEof => u64::MAX,
                Framing::Length(left) | Framing::Chunked(Chunked::Data(left)) => left,
                Framing::Chunked(between) => {
                    let Some(&byte) = there.first() else { return false };
                    self.framing = between.step(byte).map_or(Framing::End, Framing::Chunked);
                    rx.skip(1);
                    self.between -= 1;
                    continue;
                }
            };
            let n = there.len().min(room).min(usize::try_from(left).unwrap_or(usize::MAX));
            if n == 0 {
                return false;
            }
            body.extend_from_slice(&there[..n]);
            rx.skip(n);
            let left = left - n as u64;
            match &mut self.framing {
                Framing::Length(length) => *length = left,
                Framing::Chunked(chunked) if left == 0 => *chunked = Chunked::DataEnd,
                Framing::Chunked(chunked) => *chunked = Chunked::Data(left),
                Framing::UntilEof | Framing::End => {}
            }
        }
    }

    /// Sizes, extensions and line ends may be as long as the body, or so long if the limit of that
    /// is small. A server that needs more for them has not much to say.
    const MIN_BETWEEN: usize = 1024;

    /// Ends the body with what there is.
    pub(super) fn end(&mut self) {
        self.framing = Framing::End;
    }
}

impl Chunked {
    /// Takes a byte that is not data; `None` at the last chunk, and where the coding is broken. The
    /// trailers are not read: nothing comes after them.
    fn step(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size(size), _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16)?;
                let size = size.unwrap_or(0).checked_mul(16)?.checked_add(digit.into())?;
                Some(Self::Size(Some(size)))
            }
            (Self::Size(None), _) => None,
            (Self::Size(Some(size)) | Self::Extension(size), b'\n') => {
                (size > 0).then_some(Self::Data(size))
            }
            (Self::Size(Some(size)), b';' | b' ' | b'\t' | b'\r') | (Self::Extension(size), _) => {
                Some(Self::Extension(size))
            }
            (Self::Size(_), _) => None,
            (Self::DataEnd, b'\r') => Some(Self::DataEnd),
            (Self::DataEnd, b'\n') => Some(Self::Size(None)),
            (Self::DataEnd | Self::Data(_), _) => None,
        }
    }
}
