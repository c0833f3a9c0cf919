//! RFC 1951 once more, as plainly as can be: bit by bit.

/// Why a message is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends inside a block.
    Cut,
    /// No deflate stream begins like this.
    Wrong,
}

/// How far it came with a message.
#[derive(Debug, Default)]
pub struct Progress {
    /// Blocks with BFINAL set.
    pub final_blocks: u64,
    /// The message could end here: all of it is used up, behind a block, at the border of a byte.
    pub at_border: bool,
    /// The last block was one with BFINAL set.
    pub behind_final_block: bool,
    /// The last block was one without compression and without anything in it.
    pub behind_empty_block: bool,
    /// The longest distance there was.
    pub farthest: usize,
}

/// Appends to `all`, which has what came before in the window, what comes of blocks.
pub fn inflate(bytes: &[u8], all: &mut Vec<u8>) -> (Progress, Option<Fault>) {
    let mut bits = Bits { bytes, at: 0 };
    let mut progress = Progress::default();
    while bits.at < 8 * bytes.len() {
        progress.at_border = false;
        if let Err(fault) = block(&mut bits, all, &mut progress) {
            return (progress, Some(fault));
        }
        progress.at_border = bits.at == 8 * bytes.len();
    }
    (progress, None)
}

/// §3.2.3
fn block(bits: &mut Bits<'_>, all: &mut Vec<u8>, progress: &mut Progress) -> Result<(), Fault> {
    let is_final = bits.number(1)? == 1;
    (progress.behind_final_block, progress.behind_empty_block) = (false, false);
    match bits.number(2)? {
        0 => {
            bits.skip_to_byte();
            let (len, complement) = (bits.number(16)?, bits.number(16)?);
            if len != !complement & 0xFFFF {
                return Err(Fault::Wrong);
            }
            for _ in 0..len {
                all.push(bits.number(8)? as u8);
            }
            progress.behind_empty_block = len == 0;
        }
        1 => {
            // §3.2.6
            let mut lengths = [8; 288];
            lengths[144..256].fill(9);
            lengths[256..280].fill(7);
            symbols(bits, all, progress, &Code::new(&lengths), &Code::new(&[5; 30]))?;
        }
        2 => {
            let (literals, distances) = codes(bits)?;
            symbols(bits, all, progress, &literals, &distances)?;
        }
        _ => return Err(Fault::Wrong),
    }
    if is_final {
        // RFC 7692 §7.2.3.4: what follows begins with a byte
        bits.skip_to_byte();
        progress.final_blocks += 1;
        progress.behind_final_block = true;
    }
    Ok(())
}

/// §3.2.7
fn codes(bits: &mut Bits<'_>) -> Result<(Code, Code), Fault> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let literals = bits.number(5)? + 257;
    let distances = bits.number(5)? + 1;
    let count = bits.number(4)? + 4;
    if literals > 286 || distances > 30 {
        return Err(Fault::Wrong);
    }
    let mut lengths = [0; 19];
    for at in &ORDER[..count] {
        lengths[*at] = bits.number(3)?;
    }
    let code = Code::new(&lengths);
    if !code.is_complete() {
        return Err(Fault::Wrong);
    }
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (length, times) = match code.read(bits)? {
            16 => (*lengths.last().ok_or(Fault::Wrong)?, 3 + bits.number(2)?),
            17 => (0, 3 + bits.number(3)?),
            18 => (0, 11 + bits.number(7)?),
            length => (length, 1),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    if lengths.len() > literals + distances || lengths[256] == 0 {
        return Err(Fault::Wrong);
    }
    let (literals, distances) = lengths.split_at(literals);
    let (literals, distances) = (Code::new(literals), Code::new(distances));
    if !literals.is_usable() || !distances.is_usable() {
        return Err(Fault::Wrong);
    }
    Ok((literals, distances))
}

/// §3.2.5
fn symbols(
    bits: &mut Bits<'_>,
    all: &mut Vec<u8>,
    progress: &mut Progress,
    literals: &Code,
    distances: &Code,
) -> Result<(), Fault> {
    loop {
        let symbol = literals.read(bits)?;
        match symbol {
            0..=255 => all.push(symbol as u8),
            256 => return Ok(()),
            286.. => return Err(Fault::Wrong),
            _ => {
                let length = match symbol - 257 {
                    28 => 258,
                    code => 3 + bits.value(code, 4)?,
                };
                let code = distances.read(bits)?;
                if code > 29 {
                    return Err(Fault::Wrong);
                }
                let distance = 1 + bits.value(code, 2)?;
                progress.farthest = progress.farthest.max(distance);
                for _ in 0..length {
                    let at = all.len().checked_sub(distance).ok_or(Fault::Wrong)?;
                    all.push(all[at]);
                }
            }
        }
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl Bits<'_> {
    /// §3.1.1: the lowest bit first.
    fn number(&mut self, bits: usize) -> Result<usize, Fault> {
        let mut number = 0;
        for i in 0..bits {
            let byte = self.bytes.get(self.at / 8).ok_or(Fault::Cut)?;
            number |= usize::from(byte >> (self.at % 8) & 1) << i;
            self.at += 1;
        }
        Ok(number)
    }

    fn skip_to_byte(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    /// The tables of §3.2.5: from `each` codes to the next as many there is one more bit.
    fn value(&mut self, code: usize, each: usize) -> Result<usize, Fault> {
        if code < 2 * each {
            return Ok(code);
        }
        let extra = code / each - 1;
        Ok(((each + code % each) << extra) + self.number(extra)?)
    }
}

/// A canonical code (§3.2.2).
struct Code {
    /// How many words there are of each length.
    counts: [usize; 16],
    /// What the words stand for, in their order.
    symbols: Vec<usize>,
    /// Words of 15 bits that begin with one of the code.
    taken: usize,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut counts = [0; 16];
        lengths.iter().filter(|it| **it > 0).for_each(|length| counts[*length] += 1);
        let of_length = |length| {
            lengths.iter().enumerate().filter(move |it| *it.1 == length).map(|(symbol, _)| symbol)
        };
        let symbols = (1..=15).flat_map(of_length).collect();
        let taken = (1..=15).zip(&counts[1..]).map(|(length, count)| count << (15 - length)).sum();
        Self { counts, symbols, taken }
    }

    fn is_complete(&self) -> bool {
        self.taken == 1 << 15
    }

    /// One word, or none, need not be complete.
    fn is_usable(&self) -> bool {
        self.is_complete() || self.taken == 0 || (self.counts[1], self.symbols.len()) == (1, 1)
    }

    fn read(&self, bits: &mut Bits<'_>) -> Result<usize, Fault> {
        let (mut word, mut first, mut at) = (0, 0, 0);
        for (length, count) in (1..=15).zip(&self.counts[1..]) {
            word = word << 1 | bits.number(1)?;
            if word << (15 - length) >= self.taken {
                break; // no word begins like this
            }
            if word < first + count {
                return Ok(self.symbols[at + word - first]);
            }
            at += count;
            first = (first + count) << 1;
        }
        Err(Fault::Wrong)
    }
}
