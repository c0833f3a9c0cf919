//! Times, counted.

use std::time::Duration;

/// Counts of times in nanoseconds: 64 for each power of two, so that each is exact to 1.6 %.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

/// Bits of a time that are kept behind its first one.
const BITS: u32 = 6;

impl Histogram {
    pub fn new() -> Self {
        Self { counts: vec![0; place(u64::MAX) + 1], total: 0, max: Duration::ZERO }
    }

    pub fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counts[place(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(time);
    }

    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(here, there)| *here += there);
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn max(&self) -> Duration {
        self.max
    }

    /// Returns the time that so many of a thousand did not exceed.
    pub fn permille(&self, permille: u64) -> Duration {
        let rank = (u128::from(self.total) * u128::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return Duration::from_nanos(highest(place)).min(self.max);
            }
        }
        self.max
    }
}

/// Where a time is counted.
fn place(nanos: u64) -> usize {
    let octave = nanos.max(1).ilog2().saturating_sub(BITS);
    // below that all is exact
    ((octave as usize) << BITS) + (nanos >> octave) as usize
}

/// The longest time that is counted there.
fn highest(place: usize) -> u64 {
    let octave = (place >> BITS).saturating_sub(1);
    let low = (place - (octave << BITS)) as u64;
    (low << octave) + ((1 << octave) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_has_a_place() {
        let mut before = 0;
        for nanos in (0..200_000).chain((18..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit])) {
            let place = place(nanos);
            assert!(place == before || place == before + 1 || nanos > 200_000, "{nanos}");
            let highest = highest(place);
            assert!(highest >= nanos && highest - nanos <= nanos / 64, "{nanos}: {highest}");
            before = place;
        }
        assert_eq!(highest(place(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles() {
        let (mut all, mut odd) = (Histogram::new(), Histogram::new());
        for ms in 1..=1000 {
            let part = if ms % 2 == 0 { &mut all } else { &mut odd };
            part.record(Duration::from_millis(ms));
        }
        all.merge(&odd);
        assert_eq!((all.total(), all.max()), (1000, Duration::from_secs(1)));
        for permille in [1, 500, 900, 990, 999, 1000] {
            let time = all.permille(permille);
            let exact = Duration::from_millis(permille);
            assert!(time >= exact && time <= exact.mul_f64(1.016), "{permille}: {time:?}");
        }
    }
}
