use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// The head of an HTTP message: its bytes, and where in them the header lines are.
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    pub(super) fields: Vec<Field>,
}

/// Where a header line's name and value are. The name is a token, the value has no white space at
/// its ends.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

impl Head {
    /// Returns a part of the head that is known to be ASCII.
    pub(super) fn text(&self, range: &Range<usize>) -> &str {
        self.bytes.get(range.clone()).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or("")
    }

    pub(super) fn headers(&self) -> Headers<'_> {
        Headers { head: self, fields: self.fields.iter() }
    }

    /// Returns the values of a header, in order.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> + Clone {
        let part = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.fields
            .iter()
            .filter(move |field| part(&field.name).eq_ignore_ascii_case(name.as_bytes()))
            .map(move |field| part(&field.value))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Returns the value of the first header of this name, if it is UTF-8.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next().and_then(|value| str::from_utf8(value).ok())
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

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |name: &str, value| match SECRET.iter().any(|it| name.eq_ignore_ascii_case(it))
        {
            true => String::from("<hidden>"),
            false => String::from_utf8_lossy(value).into_owned(),
        };
        f.debug_map().entries(self.headers().map(|(name, it)| (name, value(name, it)))).finish()
    }
}

/// Logs are read by people who should not be able to log in as somebody else.
const SECRET: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

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
        let value = self.head.bytes.get(field.value.clone()).unwrap_or(&[]);
        Some((self.head.text(&field.name), value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for Headers<'_> {}
