//! An inflater that does one thing well: to refuse what it should.

#[path = "../../../fuzz/src/inflate.rs"]
mod blocks; // RFC 1951, which the fuzzers have as well

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
    /// There is no such block, or no such code in it.
    Invalid,
    /// Farther back than the window.
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
        let (progress, fault) = blocks::inflate(&input, &mut self.output);
        self.farthest = self.farthest.max(progress.farthest);
        match fault {
            Some(blocks::Fault::Cut) => Err(Fault::CutOff),
            Some(blocks::Fault::Wrong) => Err(Fault::Invalid),
            None if progress.farthest > self.window => Err(Fault::Distance),
            None if progress.at_border && progress.behind_empty_block => {
                Ok(self.output[begin..].to_vec())
            }
            None => Err(Fault::CutOff),
        }
    }
}
