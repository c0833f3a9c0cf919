//! An inflater that does one thing well: to refuse what it should. Bit by bit, from RFC 1951 alone.

/// Inflates message after message with a window of exactly the agreed size.
#[derive(Debug)]
pub struct Inflater {
    window: usize,
    no_context_takeover: bool,
    /// Everything so far, or since the message began.
    output: Vec<u8>,
    /// The longest distance there was.
    pub farthest: usize,
}

/// Why a message is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bits end inside a block, or not with an empty stored one.
    CutOff,
    /// There is no such type of block.
    BlockType,
    /// The length of a stored block and its complement do not fit.
    StoredLength,
    /// No symbol has this code, or the codes are none.
    Code,
    /// Farther back than the window, or than there is output.
    Distance,
}

impl Inflater {
    /// Makes an inflater that has seen no message.
    pub fn new(window_bits: u8, no_context_takeover: bool) -> Self {
        Self { window: 1 << window_bits, no_context_takeover, output: Vec::new(), farthest: 0 }
    }

    /// Inflates the next message (RFC 7692 §7.2.2).
    pub fn message(&mut self, payload: &[u8]) -> Result<Vec<u8>, Fault> {
        if self.no_context_takeover {
            self.output.clear();
        }
        let begin = self.output.len();
        let input = [payload, &[0x00, 0x00, 0xff, 0xff]].concat();
        let mut bits = Bits { input: &input, at: 0 };
        loop {
            let last = bits.take(1)? == 1;
            let kind = bits.take(2)?;
            let empty = match kind {
                0 => self.stored(&mut bits)? == 0,
                1 => self.codes(&mut bits, &fixed())?,
                2 => {
                    let tables = dynamic(&mut bits)?;
                    self.codes(&mut bits, &tables)?
                }
                _ => return Err(Fault::BlockType),
            };
            if last {
                bits.align();
            }
            if bits.at == 8 * input.len() {
                return match empty && kind == 0 {
                    true => Ok(self.output[begin..].to_vec()),
                    false => Err(Fault::CutOff),
                };
            }
        }
    }

    fn stored(&mut self, bits: &mut Bits<'_>) -> Result<usize, Fault> {
        bits.align();
        let len = bits.take(16)?;
        if len != !bits.take(16)? & 0xFFFF {
            return Err(Fault::StoredLength);
        }
        for _ in 0..len {
            self.output.push(bits.take(8)? as u8);
        }
        Ok(len)
    }

    /// Returns whether it was an empty block, which says nothing here.
    fn codes(&mut self, bits: &mut Bits<'_>, tables: &(Code, Code)) -> Result<bool, Fault> {
        const LENGTHS: [usize; 29] = [
            3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99,
            115, 131, 163, 195, 227, 258,
        ];
        loop {
            match tables.0.symbol(bits)? {
                literal @ 0..256 => self.output.push(literal as u8),
                256 => return Ok(false),
                symbol => {
                    let symbol = symbol - 257;
                    let base = *LENGTHS.get(symbol).ok_or(Fault::Code)?;
                    let extra = if (8..28).contains(&symbol) { (symbol - 4) / 4 } else { 0 };
                    let len = base + bits.take(extra)?;
                    let symbol = tables.1.symbol(bits)?;
                    if symbol > 29 {
                        return Err(Fault::Code);
                    }
                    let extra = (symbol / 2).saturating_sub(1);
                    let base = if symbol < 4 { symbol } else { (2 + symbol % 2) << extra };
                    self.copy(1 + base + bits.take(extra)?, len)?;
                }
            }
        }
    }

    fn copy(&mut self, distance: usize, len: usize) -> Result<(), Fault> {
        if distance > self.window || distance > self.output.len() {
            return Err(Fault::Distance);
        }
        self.farthest = self.farthest.max(distance);
        for _ in 0..len {
            self.output.push(self.output[self.output.len() - distance]);
        }
        Ok(())
    }
}

struct Bits<'a> {
    input: &'a [u8],
    /// In bits.
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Result<usize, Fault> {
        let (mut value, mut there) = (0, 0);
        while there < count {
            let byte = *self.input.get(self.at / 8).ok_or(Fault::CutOff)?;
            let n = (8 - self.at % 8).min(count - there);
            let bits = usize::from(byte) >> (self.at % 8) & ((1 << n) - 1);
            value |= bits << there;
            there += n;
            self.at += n;
        }
        Ok(value)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}

/// A canonical prefix code (RFC 1951 §3.2.2).
struct Code {
    /// How many codes there are of each length.
    counts: [usize; 16],
    /// In the order of their codes.
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut counts = [0; 16];
        lengths.iter().for_each(|&len| counts[len] += 1);
        counts[0] = 0;
        let symbols = (1..16).flat_map(|len| {
            lengths.iter().enumerate().filter(move |(_, it)| **it == len).map(|(symbol, _)| symbol)
        });
        Self { counts, symbols: symbols.collect() }
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Result<usize, Fault> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1)?;
            if code < first + count {
                return Ok(self.symbols[index + code - first]);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(Fault::Code)
    }
}

/// RFC 1951 §3.2.6
fn fixed() -> (Code, Code) {
    let lengths: Vec<usize> = (0..288)
        .map(|symbol| match symbol {
            0..144 => 8,
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        })
        .collect();
    (Code::new(&lengths), Code::new(&[5; 30]))
}

/// RFC 1951 §3.2.7
fn dynamic(bits: &mut Bits<'_>) -> Result<(Code, Code), Fault> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let literals = 257 + bits.take(5)?;
    let all = literals + 1 + bits.take(5)?;
    let count = 4 + bits.take(4)?;
    let mut lengths = [0; 19];
    for &symbol in &ORDER[..count] {
        lengths[symbol] = bits.take(3)?;
    }
    let code = Code::new(&lengths);
    let mut lengths: Vec<usize> = Vec::new();
    while lengths.len() < all {
        let (value, times) = match code.symbol(bits)? {
            16 => (*lengths.last().ok_or(Fault::Code)?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            len => (len, 1),
        };
        lengths.extend(core::iter::repeat_n(value, times));
    }
    if lengths.len() > all {
        return Err(Fault::Code);
    }
    Ok((Code::new(&lengths[..literals]), Code::new(&lengths[literals..])))
}
