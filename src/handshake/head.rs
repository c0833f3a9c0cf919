use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::list;

/// The head of an HTTP message: its bytes, and where in them the header lines are.
pub(super) struct Head {
    bytes: Bytes,
    pub(super) fields: Vec<Field>,
}

/// The bytes of a head. Those that are UTF-8, as they nearly always are, are checked once and not
/// again for each part that is asked for.
enum Bytes {
    Utf8(String),
    Other(Vec<u8>),
}

/// Where a header line's name and value are. The name is a token, the value has no white space at
/// its ends.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

impl Head {
    pub(super) fn new(bytes: Vec<u8>, fields: Vec<Field>) -> Self {
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => Bytes::Utf8(text),
            Err(error) => Bytes::Other(error.into_bytes()),
        };
        Self { bytes, fields }
    }

    /// Returns a part of the head that is known to be ASCII.
    pub(super) fn text(&self, range: &Range<usize>) -> &str {
        self.utf8(range).unwrap_or_default()
    }

    /// Returns a part of the head, if it is UTF-8.
    fn utf8(&self, range: &Range<usize>) -> Option<&str> {
        match &self.bytes {
            Bytes::Utf8(text) => text.get(range.clone()),
            Bytes::Other(_) => str::from_utf8(self.part(range)).ok(),
        }
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        let bytes = match &self.bytes {
            Bytes::Utf8(text) => text.as_bytes(),
            Bytes::Other(bytes) => bytes,
        };
        bytes.get(range.clone()).unwrap_or_default()
    }

    pub(super) fn headers(&self) -> Headers<'_> {
        Headers { head: self, fields: self.fields.iter() }
    }

    /// Returns the values of a header, in order.
    pub(super) fn all(&self, name: &str) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        self.named(name).map(|field| self.part(&field.value))
    }

    /// Returns the lines of a header, in order.
    pub(super) fn named(&self, name: &str) -> impl DoubleEndedIterator<Item = &Field> + Clone {
        self.fields.iter().filter(move |field| {
            field.name.len() == name.len() && list::is_same(self.part(&field.name), name.as_bytes())
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Returns the value of the first header of this name, if it is UTF-8.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.named(name).next().and_then(|field| self.utf8(&field.value))
    }

    /// Returns the value of a header that must stand there once.
    pub(super) fn only(&self, name: &str) -> Result<&[u8], Count> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (None, _) => Err(Count::None),
            (Some(value), None) => Ok(value),
            (Some(_), Some(_)) => Err(Count::Several),
        }
    }
}

pub(super) enum Count {
    None,
    Several,
}

/// Logs are read by people who should not be able to log in as somebody else.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |name: &str, value| match SHOWN.iter().any(|it| name.eq_ignore_ascii_case(it)) {
            true => String::from_utf8_lossy(value).into_owned(),
            false => String::from(HIDDEN),
        };
        f.debug_map().entries(self.headers().map(|(name, it)| (name, value(name, it)))).finish()
    }
}

/// The headers whose values nobody takes for a secret. Any other may have one: there are as many
/// names for tokens as there are services, and browsers send theirs as a subprotocol.
const SHOWN: [&str; 14] = [
    "host",
    "upgrade",
    "connection",
    "origin",
    "sec-websocket-version",
    "sec-websocket-key",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "content-length",
    "content-type",
    "transfer-encoding",
    "user-agent",
    "server",
    "date",
];

const HIDDEN: &str = "<hidden>";

/// A request target for `Debug`: without its query, which often has a token.
pub(super) struct WithoutQuery<'a>(pub(super) &'a str);

impl fmt::Debug for WithoutQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once('?') {
            Some((path, _)) => write!(f, "{path:?} ?{HIDDEN}"),
            None => fmt::Debug::fmt(self.0, f),
        }
    }
}

/// The header lines of a request or response, in order and with duplicates: name as sent, value
/// without the white space around it.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    head: &'a Head,
    fields: core::slice::Iter<'a, Field>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.fields.next()?;
        Some((self.head.text(&field.name), self.head.part(&field.value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for Headers<'_> {}
