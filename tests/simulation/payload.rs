use std::sync::OnceLock;

use sansws::Message;

use crate::rng::Rng;

/// A message of a scenario. What it says follows from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which of several senders of one connection sends it.
    pub sender: u8,
    pub number: u32,
    pub len: usize,
    pub text: bool,
}

impl Item {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}#{}:", char::from(b'a' + self.sender), self.number).into_bytes();
        bytes.truncate(self.len);
        let block = block(self.text, self.number.is_multiple_of(3));
        let mut at = self.number as usize * 31 % block.len();
        while bytes.len() < self.len {
            let n = (block.len() - at).min(self.len - bytes.len());
            bytes.extend_from_slice(&block[at..at + n]);
            at = 0;
        }
        bytes
    }

    pub fn message(&self) -> Message {
        let bytes = self.bytes();
        match self.text {
            true => Message::from(String::from_utf8(bytes).expect("ASCII")),
            false => Message::from(bytes),
        }
    }

    /// The last message of a side.
    pub fn bye() -> Self {
        Self { sender: 0, number: u32::MAX, len: BYE.len(), text: false }
    }

    pub fn is_bye(payload: &[u8]) -> bool {
        payload == BYE
    }

    /// Whether it can be told from all others of its sender.
    pub fn is_unique(&self) -> bool {
        self.len >= 12
    }
}

const BYE: &[u8] = b"a#4294967295:";

/// What payloads are cut from: hard to compress, or easy.
fn block(text: bool, easy: bool) -> &'static [u8] {
    static BLOCKS: [OnceLock<Vec<u8>>; 4] = [const { OnceLock::new() }; 4];
    BLOCKS[usize::from(text) * 2 + usize::from(easy)].get_or_init(|| {
        let mut rng = Rng::new(7);
        let len = 50_021;
        match (text, easy) {
            (false, false) => (0..len).map(|_| rng.next() as u8).collect(),
            (true, false) => (0..len).map(|_| b' ' + (rng.next() % 95) as u8).collect(),
            (false, true) => (0..len).map(|at| (at / 777) as u8).collect(),
            (true, true) => (0..len).map(|at| b'a' + (at / 1777 % 26) as u8).collect(),
        }
    })
}

/// The byte at that place of a stream of bytes.
pub fn stream_byte(side: usize, at: u64) -> u8 {
    let block = block(false, false);
    block[((at + side as u64 * 17) % block.len() as u64) as usize]
}
