//! Tokens, and the comma-separated lists of RFC 9110 §5.6.1.

/// Returns whether `byte` may stand in a token (RFC 9110 §5.6.2). RFC 6455 means the same set, by
/// way of RFC 2616 §2.2.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Returns whether two words are the same but for the case of ASCII letters. Words here are shorter
/// than what the standard library compares so: it takes twice the time.
#[inline]
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differs = |(a, b): (&u8, &u8)| match a ^ b {
        0 => false,
        0x20 => !a.is_ascii_alphabetic(),
        _ => true,
    };
    a.len() == b.len() && !a.iter().zip(b).any(differs)
}

/// Without the optional white space of RFC 9110 §5.6.3 at both ends.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Returns the elements of a list without the empty ones, over all the lines it is spread on.
///
/// RFC 9110 §5.3: "a recipient MAY combine multiple field lines within a field section that have
/// the same field name into one field line [...] by appending each subsequent field line value to
/// the initial field line value in order, separated by a comma".
pub(super) fn elements<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = &'a [u8]> {
    lines
        .flat_map(|line| line.split(|&byte| byte == b','))
        .map(trim)
        .filter(|item| !item.is_empty())
}

/// Returns the lines that are not empty lists.
pub(super) fn without_empty<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = &'a [u8]> {
    lines.filter(|&line| elements(core::iter::once(line)).next().is_some())
}

/// Returns whether the list has more empty elements than a sender could have by mistake.
pub(super) fn is_hollow<'a>(lines: impl Iterator<Item = &'a [u8]>) -> bool {
    let empty = lines
        .flat_map(|line| line.split(|&byte| byte == b','))
        .filter(|item| trim(item).is_empty())
        .take(MAX_EMPTY_ELEMENTS + 1);
    empty.count() > MAX_EMPTY_ELEMENTS
}

/// Returns whether `token` is an element of the list, in any case.
pub(super) fn contains<'a>(lines: impl Iterator<Item = &'a [u8]> + Clone, token: &str) -> bool {
    // as a rule there is none, or one line with nothing else in it
    let mut rest = lines.clone();
    let Some(first) = rest.next() else { return false };
    if is_same(first, token.as_bytes()) && rest.next().is_none() {
        return true;
    }
    !is_hollow(lines.clone())
        && elements(lines).any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
}

/// Returns a `Content-Length`; all elements of a list must agree.
pub(super) fn parse_length(value: &[u8]) -> Option<u64> {
    let mut lengths = value.split(|&byte| byte == b',').map(|item| {
        let digits = str::from_utf8(trim(item)).ok()?;
        // `parse` alone would take a sign
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    });
    let first = lengths.next()??;
    lengths.all(|length| length == Some(first)).then_some(first)
}

/// RFC 9110 §5.6.1.2: "A recipient MUST parse and ignore a reasonable number of empty list
/// elements: enough to handle common mistakes by senders that merge values, but not so much that
/// they could be used as a denial-of-service mechanism."
pub(super) const MAX_EMPTY_ELEMENTS: usize = 32;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn has(lines: &[&str]) -> bool {
        contains(lines.iter().map(|line| line.as_bytes()), "upgrade")
    }

    /// P-12, P-13, H-6
    #[test]
    fn lists() {
        assert!(has(&["Upgrade"]));
        assert!(has(&["keep-alive, UPGRADE"]));
        assert!(has(&["keep-alive", "close,upgrade"]));
        assert!(has(&[", Upgrade,,\t "]));
        assert!(!has(&[]));
        assert!(!has(&[""]));
        assert!(!has(&["upgraded", "up", "grade", "up grade", "\"upgrade\"", "upgrade;q=1"]));
        assert_eq!(
            elements([&b" a ,,b"[..], b"", b"c"].into_iter()).collect::<Vec<_>>(),
            [b"a", b"b", b"c"]
        );
    }

    /// P-13
    #[test]
    fn a_reasonable_number_of_empty_elements() {
        let mut list = ",".repeat(MAX_EMPTY_ELEMENTS) + "upgrade";
        assert!(has(&[&list]));
        list.insert(0, ',');
        assert!(!has(&[&list]));
    }

    #[test]
    fn case() {
        for (a, b, same) in [
            ("", "", true),
            ("Upgrade", "uPGRADE", true),
            ("a-Z", "A-z", true),
            ("a", "b", false),
            ("a", "aa", false),
            // these differ as letters do
            ("-", "\r", false),
            ("^", "~", false),
            ("@", "`", false),
            ("\u{e9}", "\u{c9}", false),
        ] {
            assert_eq!(is_same(a.as_bytes(), b.as_bytes()), same, "{a:?} {b:?}");
        }
    }

    #[test]
    fn trimming() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        // P-1: other white space is part of the value
        assert_eq!(trim(b"\x0ba\x0c\x85"), b"\x0ba\x0c\x85");
    }
}
