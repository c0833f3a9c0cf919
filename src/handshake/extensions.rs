//! `Sec-WebSocket-Extensions`: its grammar, read and written (RFC 6455 §9.1).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::list::{self, MAX_EMPTY_ELEMENTS};

/// Reads the extensions in the values of all the `Sec-WebSocket-Extensions` lines of a message.
///
/// ```
/// use sansws::handshake::extensions;
///
/// let lines = [&b"permessage-deflate; client_max_window_bits, x; y=\"1\\0\""[..]];
/// let offers: Result<Vec<_>, _> = extensions::parse(lines).collect();
/// let offers = offers?;
/// assert_eq!(offers[0].name(), "permessage-deflate");
/// assert_eq!(offers[0].params().next(), Some(("client_max_window_bits", None)));
/// assert_eq!(offers[1].to_string(), "x; y=10");
/// # Ok::<(), extensions::ExtensionsError>(())
/// ```
///
/// Names are case-sensitive tokens that mean nothing here; which of them to take is up to the
/// caller. Lines with nothing in them, which some clients send, are no extensions and no error. The
/// iterator ends after the first error. The time is linear in the length of the lines.
pub fn parse<'a, I: IntoIterator<Item = &'a [u8]>>(lines: I) -> Extensions<'a, I::IntoIter> {
    Extensions { lines: lines.into_iter(), line: None, failed: false, empty: 0 }
}

/// One extension with its parameters, as it is offered or chosen.
///
/// Its `Display` is the form for the header: everything in it is a token, so nothing needs quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    name: &'a str,
    params: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

impl<'a> Extension<'a> {
    /// Makes an extension without parameters.
    ///
    /// # Errors
    ///
    /// The name is not a token.
    pub fn new(name: &'a str) -> Result<Self, ExtensionsError> {
        if !list::is_token(name.as_bytes()) {
            return Err(ExtensionsError);
        }
        Ok(Self { name, params: Vec::new() })
    }

    /// Adds a parameter.
    ///
    /// # Errors
    ///
    /// Its name or value is not a token.
    pub fn param(mut self, name: &'a str, value: Option<&'a str>) -> Result<Self, ExtensionsError> {
        let is_token = |text: &str| list::is_token(text.as_bytes());
        if !is_token(name) || !value.is_none_or(is_token) {
            return Err(ExtensionsError);
        }
        self.params.push((name, value.map(Cow::Borrowed)));
        Ok(self)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.name
    }

    /// Returns the parameters in order, with duplicates; values without their quotes.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.params.iter().map(|(name, value)| (*name, value.as_deref()))
    }
}

impl fmt::Display for Extension<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (name, value) in self.params() {
            write!(f, "; {name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// The iterator that [`parse`] returns.
#[derive(Clone, Debug)]
pub struct Extensions<'a, I> {
    lines: I,
    line: Option<Line<'a>>,
    failed: bool,
    empty: usize,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Iterator for Extensions<'a, I> {
    type Item = Result<Extension<'a>, ExtensionsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        // RFC 6455 §9.1 has `1#extension`, one at least, for who sends it. For who receives it, RFC
        // 9110 §5.6.1.2: "A recipient MUST parse and ignore a reasonable number of empty list
        // elements"; a list of nothing else is an empty one.
        let item = self.step();
        self.failed = item.is_err();
        item.transpose()
    }
}

impl<'a, I: Iterator<Item = &'a [u8]>> Extensions<'a, I> {
    fn step(&mut self) -> Result<Option<Extension<'a>>, ExtensionsError> {
        loop {
            let Some(line) = &mut self.line else {
                let Some(line) = self.lines.next() else { return Ok(None) };
                self.line = Some(Line(line));
                continue;
            };
            line.skip_space();
            if line.0.is_empty() {
                self.line = None;
            } else if line.take(b',') {
                self.empty += 1;
                if self.empty > MAX_EMPTY_ELEMENTS {
                    return Err(ExtensionsError);
                }
            } else {
                let extension = line.extension()?;
                if !line.0.is_empty() && !line.take(b',') {
                    return Err(ExtensionsError);
                }
                return Ok(Some(extension));
            }
        }
    }
}

/// What is left of a line.
#[derive(Clone, Debug)]
struct Line<'a>(&'a [u8]);

impl<'a> Line<'a> {
    /// `extension = extension-token *( ";" extension-param )`
    fn extension(&mut self) -> Result<Extension<'a>, ExtensionsError> {
        let mut extension = Extension { name: self.token()?, params: Vec::new() };
        while self.take(b';') {
            let name = self.token()?;
            let value = if !self.take(b'=') {
                None
            } else if self.0.first() == Some(&b'"') {
                Some(self.quoted_token()?)
            } else {
                Some(Cow::Borrowed(self.token()?))
            };
            extension.params.push((name, value));
        }
        Ok(extension)
    }

    /// Returns a token and the space behind it.
    fn token(&mut self) -> Result<&'a str, ExtensionsError> {
        let len = self.0.iter().take_while(|&&byte| list::is_token_byte(byte)).count();
        let (token, rest) = self.0.split_at(len);
        self.0 = rest;
        self.skip_space();
        match str::from_utf8(token) {
            Ok(token) if !token.is_empty() => Ok(token),
            _ => Err(ExtensionsError),
        }
    }

    /// RFC 6455 §9.1: "When using the quoted-string syntax variant, the value after quoted-string
    /// unescaping MUST conform to the 'token' ABNF."
    fn quoted_token(&mut self) -> Result<Cow<'a, str>, ExtensionsError> {
        let quoted = self.0.get(1..).unwrap_or_default();
        let mut unescaped: Option<String> = None;
        let mut at = 0;
        loop {
            let plain = quoted[at..].iter().take_while(|&&byte| list::is_token_byte(byte)).count();
            let plain = &quoted[at..at + plain];
            at += plain.len();
            let text = str::from_utf8(plain).map_err(|_| ExtensionsError)?;
            let escape = match (quoted.get(at), quoted.get(at + 1)) {
                (Some(b'"'), _) => None,
                (Some(b'\\'), Some(&byte)) if list::is_token_byte(byte) => Some(char::from(byte)),
                _ => return Err(ExtensionsError),
            };
            let Some(escaped) = escape else {
                self.0 = &quoted[at + 1..];
                self.skip_space();
                let value = match unescaped {
                    None => Cow::Borrowed(text),
                    Some(value) => Cow::Owned(value + text),
                };
                return if value.is_empty() { Err(ExtensionsError) } else { Ok(value) };
            };
            let value = unescaped.get_or_insert_default();
            value.push_str(text);
            value.push(escaped);
            at += 2;
        }
    }

    /// Takes a delimiter and the space behind it.
    fn take(&mut self, delimiter: u8) -> bool {
        match self.0.split_first() {
            Some((&byte, rest)) if byte == delimiter => {
                self.0 = rest;
                self.skip_space();
                true
            }
            _ => false,
        }
    }

    /// RFC 6455 §4.3: "including the 'implied *LWS rule'".
    fn skip_space(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }
}

/// `Sec-WebSocket-Extensions` does not follow its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtensionsError;

impl fmt::Display for ExtensionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sec-WebSocket-Extensions is malformed (RFC 6455 §9.1)")
    }
}

impl core::error::Error for ExtensionsError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// Returns the extensions in their written form, separated by `, `.
    fn read(lines: &[&str]) -> Result<String, ExtensionsError> {
        let list: Result<Vec<_>, _> = parse(lines.iter().map(|line| line.as_bytes())).collect();
        Ok(list?.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn valid() {
        for (lines, expected) in [
            (&[][..], ""),
            (&["permessage-deflate"], "permessage-deflate"),
            (&["foo, bar; baz=2"], "foo, bar; baz=2"),
            (&["foo", "bar;baz"], "foo, bar; baz"),
            (&[" a ; b = c ;\td\t,, e ,"], "a; b=c; d, e"),
            (&["", "a"], "a"),
            (&[""], ""),
            (&["", " \t", ",", " , ,"], ""),
            (&["x; y=\"1\\0\""], "x; y=10"),
            (&["x; y=\"10\"; z=\"\\a\\b\", w"], "x; y=10; z=ab, w"),
            (
                &["__proto__; constructor=1; constructor=2"],
                "__proto__; constructor=1; constructor=2",
            ),
        ] {
            assert_eq!(read(lines).as_deref(), Ok(expected), "{lines:?}");
        }
    }

    /// H-26, H-27, C-19
    #[test]
    fn invalid() {
        for line in [
            ";",
            ",;",
            "=",
            "a;",
            "a;;",
            "a; b=",
            "a; =1",
            "a=b",
            "a=\"b",
            "a; b=\"c",
            "a b",
            "a; b c",
            "a; b=c d",
            "a; b=\"c d\"",
            "a; b=\"\"",
            "a; b=\"c\"d",
            "a; b=\"c\\",
            "a; b=\"\\\"\"",
            "a; b=\"c\x7f\"",
            "\"a\"",
            "a; \"b\"",
            "a; b=\u{e9}",
            "a; b=\"\u{e9}\"",
            "a; b=c, ;",
            "a/b",
            "a; b=c=d",
            "a\x0b",
            "permessage-deflate;;",
            "a; b=\"c,d\"",
        ] {
            assert_eq!(read(&[line]), Err(ExtensionsError), "{line}");
        }
        // a quoted string does not go over two lines
        assert_eq!(read(&["a; b=\"c", "d\""]), Err(ExtensionsError));
        assert_eq!(read(&[&(",".repeat(MAX_EMPTY_ELEMENTS) + "a")]).as_deref(), Ok("a"));
        assert_eq!(read(&[&(",".repeat(MAX_EMPTY_ELEMENTS + 1) + "a")]), Err(ExtensionsError));
    }

    #[test]
    fn ends_after_an_error() {
        let mut list = parse([&b"a, ;, b"[..]]);
        assert!(list.next().unwrap().is_ok());
        assert!(list.next().unwrap().is_err());
        assert!(list.next().is_none());
    }

    /// H-31, with more input than a head can hold.
    #[test]
    fn hostile_values_take_linear_time() {
        let escapes = "x; y=\"".to_string() + &"\\a".repeat(1_000_000);
        assert_eq!(read(&[&escapes]), Err(ExtensionsError));
        assert_eq!(read(&[&(escapes + "\"")]).unwrap().len(), 5 + 1_000_000);
        let params = "a".to_string() + &";b".repeat(1_000_000) + "=";
        assert_eq!(read(&[&params]), Err(ExtensionsError));
        let spaces = "a".to_string() + &" ".repeat(1_000_000) + "b";
        assert_eq!(read(&[&spaces]), Err(ExtensionsError));
    }

    #[test]
    fn writing() {
        let extension = Extension::new("permessage-deflate")
            .and_then(|it| it.param("server_no_context_takeover", None))
            .and_then(|it| it.param("server_max_window_bits", Some("10")))
            .unwrap();
        assert_eq!(
            extension.to_string(),
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10"
        );
        assert_eq!(Extension::new("a b"), Err(ExtensionsError));
        assert_eq!(Extension::new("a").unwrap().param("b", Some("c\r\n")), Err(ExtensionsError));
        assert_eq!(Extension::new("a").unwrap().param("", None), Err(ExtensionsError));
    }
}
