//! Streams of frames: mostly valid, some that break one rule, some cut off or damaged. The same for
//! the same seed, everywhere.

use sansws::proto::Role;
use sansws::wire::apply_mask;

/// Makes a stream as an endpoint of role `from` would send it.
pub fn stream(from: Role, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut maker = Maker { masked: from == Role::Client, bytes: Vec::new() };
    for _ in 0..1 + random.below(6) {
        maker.valid(&mut random);
    }
    if random.one_in(2) {
        maker.violation(&mut random);
        if random.one_in(2) {
            maker.valid(&mut random);
        }
    } else if random.one_in(2) {
        maker.close(&mut random);
        maker.valid(&mut random);
    }
    let mut bytes = maker.bytes;
    if random.one_in(5) {
        bytes.truncate(random.below(bytes.len() + 1));
    }
    if random.one_in(8) && !bytes.is_empty() {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    }
    bytes
}

struct Maker {
    masked: bool,
    bytes: Vec<u8>,
}

impl Maker {
    /// A message, whole or in fragments, or a control frame.
    fn valid(&mut self, random: &mut Random) {
        match random.below(6) {
            0 => self.control(random),
            1 => self.long(random),
            2 | 3 => self.fragments(random),
            kind => {
                let payload = if kind == 4 { random.text() } else { random.bytes(140) };
                self.frame(if kind == 4 { 0x81 } else { 0x82 }, &payload, random);
            }
        }
    }

    fn control(&mut self, random: &mut Random) {
        let payload = random.bytes(126);
        let first = if random.one_in(3) { 0x8A } else { 0x89 };
        self.frame(first, &payload, random);
    }

    /// A payload whose length needs two bytes, or a message about as long as the limit.
    fn long(&mut self, random: &mut Random) {
        let len = [124, 125, 126, 127, 999, 1000][random.below(6)];
        let first = if random.one_in(2) { 0x81 } else { 0x82 };
        self.frame(first, &vec![b'x'; len], random);
    }

    fn fragments(&mut self, random: &mut Random) {
        let text = random.one_in(2);
        let payload = if text { random.text() } else { random.bytes(100) };
        let mut left = &payload[..];
        let mut first = if text { 0x01 } else { 0x02 };
        while !random.one_in(4) {
            // anywhere, also inside a code point
            let (part, rest) = left.split_at(random.below(left.len() + 1));
            left = rest;
            self.frame(first, part, random);
            first = 0;
            if random.one_in(3) {
                self.control(random);
            }
        }
        self.frame(0x80 | first, left, random);
    }

    fn close(&mut self, random: &mut Random) {
        const CODES: [u16; 24] = [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
            4000, 4999, 0, 999, 1004, 1005, 1006, 1015, 2999, 5000,
        ];
        let mut payload = Vec::new();
        if !random.one_in(5) {
            payload.extend(CODES[random.below(CODES.len())].to_be_bytes());
            let mut reason = random.text();
            // cuts code points in half
            reason.truncate([0, 0, 0, 5, 123][random.below(5)]);
            payload.extend(reason);
        }
        self.frame(0x88, &payload, random);
    }

    /// Breaks a rule, most of the time.
    fn violation(&mut self, random: &mut Random) {
        match random.below(12) {
            0 => self.frame(0x81 | 0x10 << random.below(3), b"reserved bit", random),
            1 => self.frame([0x83, 0x87, 0x8B, 0x8F, 0x03][random.below(5)], b"opcode", random),
            2 => self.frame([0x08, 0x09, 0x0A][random.below(3)], b"cut", random),
            3 => self.frame(0x89, &[b'x'; 126], random),
            4 => self.frame(if random.one_in(2) { 0x80 } else { 0x00 }, b"nothing before", random),
            5 => {
                self.frame(0x01, b"one", random);
                self.frame(0x81, b"other", random);
            }
            6 => {
                let bad = BAD_TEXT[random.below(BAD_TEXT.len())];
                let text = [&random.text()[..], bad, b"more"].concat();
                if random.one_in(2) {
                    let (one, other) = text.split_at(random.below(text.len() + 1));
                    self.frame(0x01, one, random);
                    self.frame(0x80, other, random);
                } else {
                    self.frame(0x81, &text, random);
                }
            }
            7 => {
                self.masked = !self.masked;
                self.frame(0x81, b"mask", random);
                self.masked = !self.masked;
            }
            8 => self.frame(0x88, b"\x03", random),
            9 => {
                // too long, and sometimes wrong in another way as well
                let first = if random.one_in(4) { 0xC2 } else { 0x82 };
                self.frame(first, &vec![b'x'; super::MAX_MESSAGE_LEN + 1], random);
            }
            10 => {
                // lengths that are not in the shortest form, or too long for anybody
                let len = [5, 125, 126, 300, 65_535, 1 << 62, 1 << 63, u64::MAX][random.below(8)];
                let payload = vec![b'x'; if len <= 300 { len as usize } else { 0 }];
                if len < 126 && random.one_in(2) {
                    self.raw(0x82, 126, &(len as u16).to_be_bytes(), &payload, random);
                } else {
                    self.raw(0x82, 127, &len.to_be_bytes(), &payload, random);
                }
            }
            _ => self.close(random),
        }
    }

    /// A frame with its length in the shortest form.
    fn frame(&mut self, first: u8, payload: &[u8], random: &mut Random) {
        match payload.len() {
            len @ ..126 => self.raw(first, len as u8, b"", payload, random),
            len => self.raw(first, 126, &(len as u16).to_be_bytes(), payload, random),
        }
    }

    fn raw(&mut self, first: u8, len: u8, more_len: &[u8], payload: &[u8], random: &mut Random) {
        self.bytes.extend([first, if self.masked { 0x80 | len } else { len }]);
        self.bytes.extend(more_len);
        let at = self.bytes.len();
        if self.masked {
            let key = (random.next() as u32).to_be_bytes();
            self.bytes.extend(key);
            self.bytes.extend(payload);
            apply_mask(&mut self.bytes[at + 4..], key, 0);
        } else {
            self.bytes.extend(payload);
        }
    }
}

/// Each becomes impossible somewhere, or ends in the middle.
const BAD_TEXT: [&[u8]; 12] = [
    b"\x80",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xc2",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
];

/// xorshift64*
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn bytes(&mut self, bound: usize) -> Vec<u8> {
        let len = self.below(bound);
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn text(&mut self) -> Vec<u8> {
        const CHARS: [char; 9] = [
            'a',
            ' ',
            '\0',
            '\u{e9}',
            '\u{7ff}',
            '\u{20ac}',
            '\u{feff}',
            '\u{1f600}',
            '\u{10ffff}',
        ];
        let len = self.below(40);
        (0..len).map(|_| CHARS[self.below(CHARS.len())]).collect::<String>().into_bytes()
    }
}
