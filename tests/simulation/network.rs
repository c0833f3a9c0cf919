//! A network in memory, in virtual time, on one thread.
//!
//! A connection is two [`Pipe`]s. What an end writes lies in its send buffer, travels at the rate
//! of the path, and then lies in the receive buffer of the other end, which has a limited size as
//! well: whoever does not read stops whoever writes, as with TCP. A task of the network
//! ([`Net::run`]) moves bytes when their time comes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::conditions::{Cut, Manners, Path};
use crate::end::End;
use crate::rng::{Rng, mix};
use crate::turns::Turns;

/// All pipes of a scenario. Cloning it costs a reference count.
#[derive(Clone)]
pub struct Net(Arc<Mutex<State>>);

pub struct State {
    epoch: Instant,
    pipes: Vec<Pipe>,
    /// What happens when, in milliseconds: the number breaks ties, then come the pipe and the
    /// bytes.
    events: BinaryHeap<Reverse<(u64, u64, usize, Event)>>,
    last_event: u64,
    runner: Option<Waker>,
    pub rng: Rng,
    pub turns: Turns,
    /// Reads, writes, flushes, arrivals: what was done so far.
    pub steps: u64,
    /// A fingerprint of all of that, to compare two runs.
    pub trace: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(usize),
    Fin,
}

/// One direction of a connection.
pub struct Pipe {
    path: Path,
    /// From the first byte that was not read to the last that was written.
    bytes: VecDeque<u8>,
    written: u64,
    delivered: u64,
    read: u64,
    /// On the wire: they arrive together.
    travelling: u64,
    fin_written: bool,
    fin_travels: bool,
    fin_delivered: bool,
    broken: Option<ErrorKind>,
    reader_gone: bool,
    /// The writer was told to wait, and is called when there is room enough.
    blocked: bool,
    pub reader: Option<Waker>,
    pub writer: Option<Waker>,
}

impl Net {
    pub fn new(rng: Rng) -> Self {
        Self(Arc::new(Mutex::new(State {
            epoch: Instant::now(),
            pipes: Vec::new(),
            events: BinaryHeap::new(),
            last_event: 0,
            runner: None,
            rng,
            turns: Turns::default(),
            steps: 0,
            trace: 0,
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Two ends of a new connection: how bytes get from the first to the second and back, and how
    /// the two transports behave towards their users.
    pub fn connect(&self, paths: [Path; 2], manners: [Manners; 2]) -> (End, End) {
        let mut state = self.lock();
        let there = state.pipes.len();
        state.pipes.extend(paths.map(Pipe::new));
        drop(state);
        let [first, second] = manners;
        (
            End::new(self.clone(), there, there + 1, first),
            End::new(self.clone(), there + 1, there, second),
        )
    }

    /// Moves bytes, for ever.
    pub async fn run(self) {
        let mut alarm: Option<Pin<Box<Sleep>>> = None;
        std::future::poll_fn(move |cx| {
            loop {
                let due = {
                    let mut state = self.lock();
                    let due = state.move_bytes();
                    state.runner = Some(cx.waker().clone());
                    due
                };
                let Some(due) = due else { return Poll::<()>::Pending };
                let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
                if alarm.deadline() != due {
                    alarm.as_mut().reset(due);
                }
                if alarm.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

impl State {
    fn now(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64
    }

    pub fn pipe(&mut self, pipe: usize) -> &mut Pipe {
        &mut self.pipes[pipe]
    }

    /// Counts a step, and takes it into the fingerprint.
    pub fn step(&mut self, what: u64) {
        self.steps += 1;
        self.trace = mix(self.trace ^ mix(what) ^ self.now().wrapping_mul(31));
        // a task that turns in circles without any time passing would never come to an end
        assert!(self.steps < MAX_STEPS, "LIVELOCK: {MAX_STEPS} steps in one scenario");
    }

    /// Everything that is due; when the next is.
    fn move_bytes(&mut self) -> Option<Instant> {
        while let Some(&Reverse((at, _, number, event))) = self.events.peek() {
            if at > self.now() {
                return Some(self.epoch + Duration::from_millis(at));
            }
            self.events.pop();
            self.step(number as u64 + 7);
            match event {
                Event::Arrive(n) => self.arrive(number, n),
                Event::Fin => {
                    let pipe = &mut self.pipes[number];
                    pipe.fin_delivered = true;
                    wake(&mut pipe.reader);
                }
            }
            if self.rng.chance(2) {
                // for no reason
                let pipe = &mut self.pipes[number];
                wake(&mut pipe.writer);
                wake(&mut pipe.reader);
            }
        }
        None
    }

    fn arrive(&mut self, number: usize, n: usize) {
        let pipe = &mut self.pipes[number];
        if pipe.broken.is_some() {
            return;
        }
        pipe.travelling -= n as u64;
        if pipe.reader_gone {
            // nobody wants it: TCP answers with a reset
            return self.reset(number);
        }
        pipe.delivered += n as u64;
        wake(&mut pipe.reader);
        pipe.call_writer();
        if let Some((at, Cut::Reset)) = pipe.path.cut
            && pipe.delivered >= at
        {
            return self.reset(number);
        }
        self.launch(number);
    }

    /// Sends on its way what can go.
    pub fn launch(&mut self, number: usize) {
        let now = self.now();
        let pipe = &mut self.pipes[number];
        while pipe.travelling == 0 && pipe.broken.is_none() {
            let mut n = pipe.written - pipe.delivered;
            if let Some((at, cut)) = pipe.path.cut {
                n = n.min(at.saturating_sub(pipe.delivered));
                if n == 0 && pipe.delivered >= at {
                    match cut {
                        Cut::Silence => return,
                        Cut::Eof => pipe.fin_written = true,
                        Cut::Reset => return self.reset(number),
                    }
                }
            }
            let room = pipe.path.recv_buffer as u64 - (pipe.delivered - pipe.read);
            let n = n.min(room).min(pipe.path.chunk());
            if n == 0 {
                let all_gone = pipe.written == pipe.delivered || pipe.is_cut_off();
                if pipe.fin_written && all_gone && !pipe.fin_travels {
                    pipe.fin_travels = true;
                    let at = now + pipe.path.latency;
                    self.schedule(at, number, Event::Fin);
                }
                return;
            }
            let delay = pipe.path.delay(n);
            if delay > 0 {
                pipe.travelling = n;
                self.schedule(now + delay, number, Event::Arrive(n as usize));
                return;
            }
            pipe.delivered += n;
            wake(&mut pipe.reader);
            pipe.call_writer();
            if pipe.reader_gone {
                return self.reset(number);
            }
        }
    }

    fn schedule(&mut self, at: u64, pipe: usize, event: Event) {
        self.last_event += 1;
        self.events.push(Reverse((at, self.last_event, pipe, event)));
        wake(&mut self.runner);
    }

    /// Breaks the connection to which the pipe belongs: what is on its way is lost.
    pub fn reset(&mut self, number: usize) {
        for number in [number, number ^ 1] {
            let pipe = &mut self.pipes[number];
            pipe.broken = Some(ErrorKind::ConnectionReset);
            let arrived = (pipe.delivered - pipe.read) as usize;
            pipe.bytes.truncate(arrived);
            wake(&mut pipe.reader);
            wake(&mut pipe.writer);
        }
    }

    /// Something happens to the connection of this pipe now.
    pub fn cut_now(&mut self, number: usize, cut: Cut) {
        if cut == Cut::Reset {
            return self.reset(number);
        }
        for number in [number, number ^ 1] {
            let pipe = &mut self.pipes[number];
            pipe.path.cut = Some((pipe.delivered + pipe.travelling, cut));
            self.launch(number);
        }
    }

    /// The reader's end was closed.
    pub fn reader_left(&mut self, number: usize) {
        let pipe = &mut self.pipes[number];
        pipe.reader_gone = true;
        if pipe.delivered > pipe.read {
            self.reset(number);
        }
    }
}

impl Pipe {
    fn new(path: Path) -> Self {
        Self {
            path,
            bytes: VecDeque::new(),
            written: 0,
            delivered: 0,
            read: 0,
            travelling: 0,
            fin_written: false,
            fin_travels: false,
            fin_delivered: false,
            broken: None,
            reader_gone: false,
            blocked: false,
            reader: None,
            writer: None,
        }
    }

    fn is_cut_off(&self) -> bool {
        matches!(self.path.cut, Some((at, Cut::Eof)) if self.delivered >= at)
    }

    fn free(&self) -> usize {
        self.path.send_buffer.saturating_sub((self.written - self.delivered) as usize)
    }

    fn call_writer(&mut self) {
        if self.blocked && self.free() >= self.path.room_to_call() {
            self.blocked = false;
            wake(&mut self.writer);
        }
    }

    /// Takes bytes from the writer; `None` for "wait".
    pub fn write(&mut self, bytes: &[u8]) -> Option<Result<usize, ErrorKind>> {
        if let Some(kind) = self.broken {
            return Some(Err(kind));
        }
        if self.fin_written {
            return Some(Err(ErrorKind::BrokenPipe));
        }
        let n = self.free().min(bytes.len());
        if n == 0 || self.blocked {
            self.blocked = true;
            return None;
        }
        self.bytes.extend(&bytes[..n]);
        self.written += n as u64;
        Some(Ok(n))
    }

    /// Gives bytes to the reader; none is the end of file, `None` stands for "wait".
    pub fn read(&mut self, buf: &mut [u8]) -> Option<Result<usize, ErrorKind>> {
        let n = ((self.delivered - self.read) as usize).min(buf.len());
        if n == 0 {
            return match self.broken {
                Some(kind) => Some(Err(kind)),
                None => self.fin_delivered.then_some(Ok(0)),
            };
        }
        let (front, back) = self.bytes.as_slices();
        let first = n.min(front.len());
        buf[..first].copy_from_slice(&front[..first]);
        buf[first..n].copy_from_slice(&back[..n - first]);
        self.bytes.drain(..n);
        self.read += n as u64;
        Some(Ok(n))
    }

    pub fn finish(&mut self) {
        self.fin_written = true;
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.path)
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Far above what the longest scenario takes.
const MAX_STEPS: u64 = 3_000_000;
