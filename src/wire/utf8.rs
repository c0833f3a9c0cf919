#![forbid(unsafe_code)]

use core::fmt;
#[cfg(not(feature = "std"))]
use core::str::from_utf8;

// The standard library takes ten times as long over text that is not ASCII. Choosing instructions
// at run time is what `std` is needed for here.
#[cfg(feature = "std")]
use simdutf8::compat::from_utf8;

/// Text that cannot become valid UTF-8 whatever follows (RFC 6455 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Utf8Error;

impl fmt::Display for Utf8Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not valid UTF-8")
    }
}

impl core::error::Error for Utf8Error {}

/// Checks UTF-8 that arrives in pieces, and fails at the first byte that cannot be right.
///
/// A code point may be cut anywhere between two calls of [`update`](Self::update). The validator
/// keeps at most three bytes.
///
/// ```
/// use sansws::wire::Utf8Validator;
///
/// let mut text = Utf8Validator::new();
/// text.update(b"\xce").unwrap();
/// text.update(b"\xba").unwrap();
/// text.finish().unwrap();
/// assert!(text.update(b"\xed\xa0").is_err()); // a surrogate: known before its third byte
/// ```
#[derive(Clone, Debug, Default)]
pub struct Utf8Validator {
    /// The bytes of an unfinished code point.
    partial: [u8; 3],
    partial_len: u8,
}

impl Utf8Validator {
    /// Makes a validator at the start of a text.
    pub const fn new() -> Self {
        Self { partial: [0; 3], partial_len: 0 }
    }

    /// Checks the next piece.
    ///
    /// # Errors
    ///
    /// [`Utf8Error`] when no continuation could make the text valid. The validator is then of no
    /// more use.
    #[inline]
    pub fn update(&mut self, piece: &[u8]) -> Result<(), Utf8Error> {
        let rest = if self.partial_len == 0 { piece } else { self.finish_code_point(piece)? };
        match from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(Utf8Error),
            Err(error) => {
                let tail = &rest[error.valid_up_to()..];
                let (partial, _) = self.partial.split_at_mut(tail.len());
                partial.copy_from_slice(tail);
                self.partial_len = tail.len() as u8;
                Ok(())
            }
        }
    }

    /// Ends the text and makes the validator ready for the next one.
    ///
    /// # Errors
    ///
    /// [`Utf8Error`] when the text ends inside a code point.
    #[inline]
    pub fn finish(&mut self) -> Result<(), Utf8Error> {
        match core::mem::take(&mut self.partial_len) {
            0 => Ok(()),
            _ => Err(Utf8Error),
        }
    }

    /// Completes the unfinished code point from the front of `piece`; returns what is left.
    fn finish_code_point<'p>(&mut self, mut piece: &'p [u8]) -> Result<&'p [u8], Utf8Error> {
        let mut code_point = [0; 4];
        let mut len = usize::from(self.partial_len);
        code_point[..len].copy_from_slice(&self.partial[..len]);
        while let [byte, rest @ ..] = piece {
            code_point[len] = *byte;
            len += 1;
            piece = rest;
            match from_utf8(&code_point[..len]) {
                Ok(_) => {
                    self.partial_len = 0;
                    return Ok(piece);
                }
                Err(error) if error.error_len().is_some() => return Err(Utf8Error),
                // a prefix of a code point has at most three bytes, so the next one fits
                Err(_) => {}
            }
        }
        self.partial.copy_from_slice(&code_point[..3]);
        self.partial_len = len as u8;
        Ok(piece)
    }
}

/// Up to this length a look for bytes outside ASCII costs less than getting the vector instructions
/// under way: 35 instead of 130 instructions for 16 bytes.
#[cfg(feature = "std")]
const SHORT: usize = 256;

/// Compares by hand: the method of `[u8]` takes three times as long over lengths like these.
#[cfg(feature = "std")]
#[inline]
fn is_ascii(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let words = words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word));
    let rest = rest.iter().fold(0, |all, byte| all | byte);
    (words | u64::from(rest)) & 0x8080_8080_8080_8080 == 0
}

/// Returns whether a whole text is valid.
#[inline]
pub(crate) fn is_utf8(text: &[u8]) -> bool {
    #[cfg(feature = "std")]
    return text.len() <= SHORT && is_ascii(text) || simdutf8::basic::from_utf8(text).is_ok();
    #[cfg(not(feature = "std"))]
    from_utf8(text).is_ok()
}

#[cfg(test)]
mod tests {
    use core::str;

    use super::*;

    /// Counts the bytes of `text` that are accepted before the validator fails, in pieces of
    /// `step`.
    fn check(text: &[u8], step: usize) -> Result<(), Utf8Error> {
        let mut validator = Utf8Validator::new();
        for piece in text.chunks(step) {
            validator.update(piece)?;
        }
        validator.finish()
    }

    /// A text that ends inside of a code point leaves nothing to the next one.
    #[test]
    fn the_next_text_begins_anew() {
        let mut validator = Utf8Validator::new();
        validator.update(b"\xce").unwrap();
        assert!(validator.finish().is_err());
        validator.update(b"a").unwrap();
        assert!(validator.finish().is_ok());
    }

    /// U-3, U-4, U-5, U-6
    #[test]
    fn invalid_texts() {
        let texts: &[&[u8]] = &[
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xc1\xbf",
            b"\xf8\x88\x80\x80\x80",
            b"\xed\xa0\x80",
            b"\xed\xbf\xbf",
            b"\xf4\x90\x80\x80",
            b"\xf5\x80\x80\x80",
            b"\xfe",
            b"\xff",
            b"\x80",
            b"\xc2",
            b"\xe2\x82",
            b"\xf0\x9f\x98",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64",
        ];
        for text in texts {
            for step in 1..=text.len() {
                assert_eq!(check(text, step), Err(Utf8Error), "{text:x?} by {step}");
            }
        }
    }

    /// Short texts are looked at in another way.
    #[cfg(feature = "std")]
    #[test]
    fn a_byte_outside_ascii_is_seen_wherever_it_stands() {
        for len in 0..40 {
            assert!(is_ascii(&[0x7f; 40][..len]));
            for at in 0..len {
                let mut text = [b'a'; 40];
                text[at] = 0x80;
                assert!(!is_ascii(&text[..len]), "{at} of {len}");
                assert!(!is_utf8(&text[..len]), "{at} of {len}");
                // nor does another one hide it
                for other in 0..at {
                    let mut text = text;
                    text[other] = 0x80;
                    assert!(!is_ascii(&text[..len]), "{other} and {at} of {len}");
                }
            }
        }
    }

    /// U-7
    #[test]
    fn noncharacters_nul_and_bom_are_valid() {
        let texts: &[&[u8]] = &[
            b"",
            b"\x00",
            b"\xef\xbf\xbe",
            b"\xef\xbf\xbf",
            b"\xf4\x8f\xbf\xbf",
            b"\xef\xbb\xbfA",
            "κόσμε 𐍈".as_bytes(),
        ];
        for text in texts {
            assert!(is_utf8(text), "{text:x?}");
            for step in 1..=text.len().max(1) {
                assert_eq!(check(text, step), Ok(()), "{text:x?} by {step}");
            }
        }
    }

    /// U-2: the byte at which it becomes impossible, in the middle of a text.
    #[test]
    fn fails_at_the_first_impossible_byte() {
        let text = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80";
        let mut validator = Utf8Validator::new();
        for byte in &text[..12] {
            validator.update(&[*byte]).unwrap();
        }
        assert_eq!(validator.update(&text[12..13]), Err(Utf8Error));
    }

    /// U-13: every string of up to three bytes from the boundary values, every split.
    #[test]
    fn agrees_with_core_on_boundary_bytes() {
        let edges = [
            0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0,
            0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
        ];
        for a in edges {
            for b in edges {
                for c in edges {
                    for d in edges {
                        let text = [a, b, c, d];
                        let expected = str::from_utf8(&text).is_ok();
                        for step in 1..=4 {
                            assert_eq!(check(&text, step).is_ok(), expected, "{text:x?} by {step}");
                        }
                    }
                }
            }
        }
    }
}
