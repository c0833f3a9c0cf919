//! Messages that say who sent them, as which of its messages, and what is in them.

use std::sync::OnceLock;

use sansws::Message;
use sansws::proto::MessageRef;

/// Bytes of `CONNECTION NUMBER LENGTH `, in hexadecimal.
const HEADER: usize = 31;

/// The longest message.
pub const LARGEST: usize = 1024 * 1024;

/// Where in the text a message may begin.
const OFFSETS: usize = 4096;

/// ASCII that compresses about as JSON does, and from which each message has a part.
fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut random = Random::new(1);
        let mut text = String::new();
        while text.len() < LARGEST + OFFSETS {
            let (word, number) = (random.below(500), random.below(100_000));
            text.push_str(&format!("{{\"name{word}\":{number}}},"));
        }
        text
    })
}

fn body(connection: u64, number: u64, len: usize) -> &'static str {
    let offset = (connection.wrapping_mul(7) + number.wrapping_mul(13)) as usize % OFFSETS;
    &text()[offset..][..len]
}

/// Writes a message of `len` bytes.
pub fn write(connection: u64, number: u64, len: usize, message: &mut String) {
    message.clear();
    message.push_str(&format!("{connection:012x} {number:08x} {len:08x} "));
    message.push_str(body(connection, number, len - HEADER));
}

/// Reads the connection and the number of a message, if every byte is as it was written.
pub fn read(message: &[u8]) -> Option<(u64, u64)> {
    let (header, rest) = message.split_at_checked(HEADER)?;
    let mut fields = std::str::from_utf8(header).ok()?.split_ascii_whitespace();
    let mut field = || u64::from_str_radix(fields.next()?, 16).ok();
    let (connection, number, len) = (field()?, field()?, field()?);
    let is_whole = len == message.len() as u64;
    (is_whole && rest == body(connection, number, rest.len()).as_bytes())
        .then_some((connection, number))
}

/// Texts and binary messages in turn.
pub fn message(number: u64, payload: &str) -> MessageRef<'_> {
    if is_text(number) { MessageRef::text(payload) } else { MessageRef::binary(payload.as_bytes()) }
}

/// Reads a message as [`read`] does, if it is of the kind of its number.
pub fn read_message(message: &Message) -> Option<(u64, u64)> {
    let is_this_text = message.as_text().is_some();
    read(message.as_bytes()).filter(|(_, number)| is_text(*number) == is_this_text)
}

pub const fn is_text(number: u64) -> bool {
    number % 2 == 1
}

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    pub const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From 0 to 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
