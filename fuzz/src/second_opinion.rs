//! HTTP and the answer to a key once more, written from the RFCs as plainly as can be and with
//! nothing of the crate, so that one mistake would have to be made twice.

/// A head whose lines all end in CR LF.
#[derive(Debug)]
pub(super) struct PlainHead<'a> {
    pub(super) start_line: &'a [u8],
    /// Names in lower case; values without the white space around them.
    pub(super) fields: Vec<(String, Vec<u8>)>,
    /// What follows the head.
    pub(super) rest: &'a [u8],
}

impl<'a> PlainHead<'a> {
    /// `None` if the head is not complete, or has a line that is no header.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
        let (mut lines, rest) = (&bytes[..end + 2], &bytes[end + 4..]);
        let mut take_line = || {
            let at = lines.windows(2).position(|it| it == b"\r\n")?;
            let line = &lines[..at];
            lines = &lines[at + 2..];
            Some(line)
        };
        let start_line = take_line()?;
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        while let Some(line) = take_line() {
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                // folded: it goes on with the line before
                let value = &mut fields.last_mut()?.1;
                value.push(b' ');
                value.extend_from_slice(line);
                continue;
            }
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = str::from_utf8(&line[..colon]).ok()?.to_ascii_lowercase();
            fields.push((name, line[colon + 1..].to_vec()));
        }
        for (_, value) in &mut fields {
            *value = trim(value).to_vec();
        }
        Some(Self { start_line, fields, rest })
    }

    /// Fails if the lines are not what RFC 9112 §5 allows: names are tokens, and what stands in a
    /// value ends neither it nor a text somewhere else.
    pub(super) fn check_fields(&self) {
        for (name, value) in &self.fields {
            assert!(is_token(name.as_bytes()), "{name:?} is no token");
            let is_inside = |byte: u8| byte == b'\t' || byte >= b' ' && byte != 0x7F;
            assert!(value.iter().copied().all(is_inside), "{name}: {value:?}");
        }
    }

    /// Whether nobody could refuse the lines: those of `needed` are there once with these values,
    /// in any case of ASCII; all others say nothing about a handshake or a body. Those of
    /// extensions are left to the caller.
    pub(super) fn is_plainly(&self, needed: &[(&str, &str)]) -> bool {
        let is_needed = |&(name, value): &(&str, &str)| {
            let lines = self.all(name);
            lines.len() == 1 && lines[0].eq_ignore_ascii_case(value.as_bytes())
        };
        let is_other = |name: &str| {
            let matter = ["host", "upgrade", "connection", "content-length", "transfer-encoding"];
            let is_handshake = name.starts_with("sec-websocket-") || name == "expect";
            name == "sec-websocket-extensions" || !matter.contains(&name) && !is_handshake
        };
        needed.iter().all(is_needed)
            && self.fields.iter().all(|(name, value)| {
                let is_known = needed.iter().any(|it| it.0 == name);
                is_token(name.as_bytes())
                    && value.iter().all(|byte| (b' '..=b'~').contains(byte))
                    && (is_known || is_other(name))
            })
    }

    pub(super) fn all(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|(it, _)| it == name).map(|(_, value)| &value[..]).collect()
    }

    /// Whether the lists in all the lines of this name have the element, in any case.
    pub(super) fn lists(&self, name: &str, element: &str) -> bool {
        self.elements(name).iter().any(|it| it.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// The elements of the lists in all the lines of this name, without the empty ones.
    pub(super) fn elements(&self, name: &str) -> Vec<&[u8]> {
        let items = self.all(name).into_iter().flat_map(|line| line.split(|&byte| byte == b','));
        items.map(trim).filter(|item| !item.is_empty()).collect()
    }
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while bytes.first().is_some_and(|it| b" \t".contains(it)) {
        bytes = &bytes[1..];
    }
    while bytes.last().is_some_and(|it| b" \t".contains(it)) {
        bytes = &bytes[..bytes.len() - 1];
    }
    bytes
}

/// Whether a complete head, or any other bytes that end in an empty line, is there.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|it| it == b"\r\n\r\n")
}

/// Whether each line ends in CR LF and none goes on with the one before.
pub(super) fn has_plain_lines(head: &[u8]) -> bool {
    let ends = |it: &&[u8]| it == b"\r\n";
    let is_folded = |it: &[u8]| it == b"\r\n " || it == b"\r\n\t";
    let count = head.windows(2).filter(|it| ends(it)).count();
    let is_single = |byte: u8| head.iter().filter(|it| **it == byte).count() == count;
    is_single(b'\r') && is_single(b'\n') && !head.windows(3).any(is_folded)
}

/// RFC 4648 §4: whether this is the base64 form of 16 bytes, but for the four bits of its last
/// digit that say nothing. RFC 6455 §4.1 has an example in which one of them is set.
pub(super) fn is_key(key: &[u8]) -> bool {
    let is_digit = |it: &u8| it.is_ascii_alphanumeric() || b"+/".contains(it);
    key.len() == 24 && key[..22].iter().all(is_digit) && key.ends_with(b"==")
}

/// RFC 9110 §5.6.2
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let is_inside = |it: &u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(it);
    !bytes.is_empty() && bytes.iter().all(is_inside)
}

/// The host and the port of `host[:port]`; `None` if something else is behind brackets.
pub(super) fn split_authority(text: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = match text.find(']') {
        Some(bracket) => text.split_at(bracket + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    Some((host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) }))
}

/// A name or an address as people write them. Not all that RFC 3986 §3.2.2 allows.
pub(super) fn is_plain_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_inside)
    };
    let is_group = |group: &str| {
        (1..=4).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let Some(address) = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) else {
        return host.split('.').all(is_label);
    };
    // RFC 4291 §2.2: all eight groups, or one or two of them around a gap
    match address.split_once("::") {
        Some((first, last)) => is_group(last) && (first.is_empty() || is_group(first)),
        None => address.split(':').count() == 8 && address.split(':').all(is_group),
    }
}

/// The base64 form of the SHA-1 of the key and the GUID (RFC 6455 §4.2.2).
pub(super) fn accept(key: &[u8]) -> String {
    base64(&sha1(&[key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat()))
}

/// RFC 3174 §6.1.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0_u32];
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(8 * message.len() as u64).to_be_bytes());
    for block in padded.chunks(64) {
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks(4)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        for t in 16..80 {
            words[t] = (words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (t, word) in words.into_iter().enumerate() {
            let (f, k) = match t / 20 {
                0 => (b & c | !b & d, 0x5A82_7999),
                1 => (b ^ c ^ d, 0x6ED9_EBA1),
                2 => (b & c | b & d | c & d, 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
            };
            let sum = a.rotate_left(5).wrapping_add(f).wrapping_add(e);
            let next = sum.wrapping_add(word).wrapping_add(k);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        for (word, add) in state.iter_mut().zip([a, b, c, d, e]) {
            *word = word.wrapping_add(add);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

/// RFC 4648 §4.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(*group.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize % 64];
            text.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 §1.3.
    #[test]
    fn the_answer_to_a_key() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
