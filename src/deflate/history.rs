use alloc::vec::Vec;

/// The last output of a decompressor, as much as a window holds.
///
/// It is what the engine's own window holds as well, but the engine does not give that back, and
/// forgets it when it begins a new stream: see [`Decompressor`](super::Decompressor).
#[derive(Debug)]
pub(super) struct History {
    /// Grows to `window` bytes, then is a ring in which the oldest byte is at `oldest`.
    bytes: Vec<u8>,
    oldest: usize,
    window: usize,
}

impl History {
    pub(super) const fn new(window: usize) -> Self {
        Self { bytes: Vec::new(), oldest: 0, window }
    }

    /// Forgets everything, and changes how much is kept from now on. Keeps its memory.
    pub(super) fn clear(&mut self, window: usize) {
        self.bytes.clear();
        self.oldest = 0;
        self.window = window;
    }

    pub(super) fn push(&mut self, output: &[u8]) {
        let mut output = &output[output.len().saturating_sub(self.window)..];
        let growth = output.len().min(self.window - self.bytes.len());
        self.bytes.extend_from_slice(&output[..growth]);
        output = &output[growth..];
        while !output.is_empty() {
            let n = output.len().min(self.bytes.len() - self.oldest);
            self.bytes[self.oldest..self.oldest + n].copy_from_slice(&output[..n]);
            self.oldest = (self.oldest + n) % self.bytes.len();
            output = &output[n..];
        }
    }

    /// Returns what is kept, the older part first.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        let (newer, older) = self.bytes.split_at(self.oldest);
        [older, newer]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_bytes_in_order() {
        for window in [1, 2, 7, 256] {
            for step in [1, 2, 3, 5, 64, 255, 256, 257, 1000] {
                let mut history = History::new(window);
                let mut all = Vec::new();
                for i in 0..20_usize {
                    let output: Vec<u8> = (0..step).map(|j| (i * 31 + j * 7) as u8).collect();
                    history.push(&output);
                    all.extend_from_slice(&output);
                    let kept = history.parts().concat();
                    assert_eq!(kept, all[all.len().saturating_sub(window)..], "{window} {step}");
                }
                history.clear(3);
                history.push(b"abcd");
                assert_eq!(history.parts().concat(), b"bcd");
            }
        }
    }
}
