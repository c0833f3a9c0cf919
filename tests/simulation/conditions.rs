use crate::rng::Rng;

/// One direction between two ends.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    pub send_buffer: usize,
    pub recv_buffer: usize,
    /// In bytes a second; `None` for as fast as they come.
    pub rate: Option<u64>,
    /// How many bytes arrive together, where there is a rate.
    pub chunk: u64,
    /// In milliseconds.
    pub latency: u64,
    /// As Linux does: whoever was told to wait is called when a third of the send buffer is free.
    pub late_calls: bool,
    /// Something happens behind that many bytes.
    pub cut: Option<(u64, Cut)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The connection breaks.
    Reset,
    /// The direction ends, as if the writer had shut it down.
    Eof,
    /// Nothing gets through any more, and nobody is told.
    Silence,
}

/// How a transport behaves towards its user.
#[derive(Clone, Debug)]
pub struct Manners {
    /// At most so many bytes in one call.
    pub max_read: usize,
    pub max_write: usize,
    /// How often, in per cent, a call is told to wait although it need not, and called back at
    /// once.
    pub hiccups: u64,
    /// Takes part in the cooperative budget of tokio, as its own sockets do.
    pub cooperative: bool,
    pub vectored: bool,
    /// The transport has a buffer of its own, of that size, which only a flush is sure to empty
    /// (TLS).
    pub staging: Option<usize>,
}

impl Path {
    /// As fast as memory.
    pub fn perfect() -> Self {
        Self {
            send_buffer: 256 * 1024,
            recv_buffer: 256 * 1024,
            rate: None,
            chunk: 1,
            latency: 0,
            late_calls: true,
            cut: None,
        }
    }

    /// A path over which `bytes` bytes get in a bounded number of steps.
    pub fn any(rng: &mut Rng, bytes: u64) -> Self {
        let send_buffer = rng.magnitude(1, 4 << 20).max(bytes / 500) as usize;
        let recv_buffer = rng.magnitude(1, 4 << 20).max(bytes / 500) as usize;
        let rate = match rng.below(4) {
            0 | 1 => None,
            2 => Some(rng.magnitude(10_000, 100_000_000)),
            _ => Some(rng.magnitude(1, 100_000)),
        };
        // four times a second, or byte by byte, but not for ever
        let chunk = rate.map_or(1, |rate| (rate / 4).max(bytes / 500).max(1));
        let latency = if rng.chance(50) { 0 } else { rng.magnitude(1, 2000) };
        Self {
            send_buffer,
            recv_buffer,
            rate,
            chunk,
            latency,
            late_calls: rng.chance(60),
            cut: None,
        }
    }

    /// How long it takes until all that the buffers hold has passed, in milliseconds.
    pub fn drain_time(&self) -> u64 {
        let held = (self.send_buffer + self.recv_buffer) as u64;
        self.latency + self.time_for(held)
    }

    /// How long so many bytes travel one after the other, in milliseconds.
    pub fn time_for(&self, bytes: u64) -> u64 {
        // the latency again for each window of tiny buffers
        let window = self.recv_buffer.min(self.send_buffer).min(self.chunk() as usize) as u64;
        let windows = bytes.div_ceil(window.max(1));
        let waits = windows * self.latency.max(u64::from(self.rate.is_some()));
        self.rate.map_or(0, |rate| bytes * 1000 / rate) + waits
    }

    /// How many bytes arrive together.
    pub fn chunk(&self) -> u64 {
        if self.rate.is_some() { self.chunk } else { u64::MAX }
    }

    /// How long `n` bytes take, in milliseconds.
    pub fn delay(&self, n: u64) -> u64 {
        self.latency + self.rate.map_or(0, |rate| (n * 1000).div_ceil(rate))
    }

    /// How much has to be free for a writer that waits to be called.
    pub fn room_to_call(&self) -> usize {
        if self.late_calls { self.send_buffer.div_ceil(3) } else { 1 }
    }
}

impl Manners {
    pub fn perfect() -> Self {
        Self {
            max_read: usize::MAX,
            max_write: usize::MAX,
            hiccups: 0,
            cooperative: true,
            vectored: true,
            staging: None,
        }
    }

    /// A transport through which `bytes` bytes get in a bounded number of calls.
    pub fn any(rng: &mut Rng, bytes: u64) -> Self {
        let step = |rng: &mut Rng| match rng.below(3) {
            0 => rng.magnitude(1, 100_000).max(bytes / 1000) as usize,
            _ => usize::MAX,
        };
        Self {
            max_read: step(rng),
            max_write: step(rng),
            hiccups: if rng.chance(50) { 0 } else { rng.range(1, 12) },
            cooperative: rng.chance(50),
            vectored: rng.chance(50),
            staging: rng.chance(30).then(|| rng.magnitude(1, 16 * 1024).max(bytes / 1000) as usize),
        }
    }
}
