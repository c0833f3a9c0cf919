//! `sansws bench`.

use std::io::{self, IsTerminal, Write};
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sansws::client::Connector;
use sansws::tokio::{ClientStream, WebSocket};
use sansws::{CloseCode, Error};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::Exit;
use crate::args::Bench;
use crate::escape;
use crate::histogram::Histogram;

/// Handshakes of a thread at the same time, well below what a listener lets wait.
const CONNECTING: usize = 32;

/// What the connections have in common.
struct Run {
    connector: Connector,
    size: usize,
    /// Connections that are there, or will not be.
    settled: AtomicU64,
    messages: AtomicU64,
    /// When to stop, once it has begun.
    end: watch::Sender<Option<Instant>>,
}

/// What the connections have measured.
struct Totals {
    times: Histogram,
    connected: usize,
    failed: usize,
    /// Of the first one that failed.
    error: Option<Failure>,
}

/// The way a connection has failed.
enum Failure {
    Connecting(Error),
    Connected(String),
}

pub fn run(options: &Bench) -> Exit {
    let connector = match connector(options) {
        Ok(connector) => connector,
        Err(problem) => {
            eprintln!("sansws: {}", escape::for_terminal(&problem));
            return Exit::Usage;
        }
    };
    let run = Arc::new(Run {
        connector,
        size: options.size,
        settled: AtomicU64::new(0),
        messages: AtomicU64::new(0),
        end: watch::Sender::new(None),
    });
    let threads = thread::available_parallelism().map_or(1, usize::from).min(options.connections);
    let workers: Vec<_> = (0..threads)
        .map(|n| {
            let share =
                options.connections / threads + usize::from(n < options.connections % threads);
            let run = Arc::clone(&run);
            thread::spawn(move || work(&run, share))
        })
        .collect();
    let took = watch_over(&run, options);
    let mut totals = Totals { times: Histogram::new(), connected: 0, failed: 0, error: None };
    for worker in workers {
        match worker.join() {
            Ok(Ok(part)) => totals.add(part),
            Ok(Err(error)) => totals.note(Failure::Connected(error.to_string())),
            Err(_) => totals.note(Failure::Connected("a thread has panicked".into())),
        }
    }
    totals.report(options, took)
}

fn connector(options: &Bench) -> Result<Connector, String> {
    let connector = Connector::new(&options.url).map_err(|error| error.to_string())?;
    connector.check().map_err(|error| error.to_string())?;
    let (host, port) = (connector.request().host(), connector.request().port());
    let is_here = || {
        let mut addresses = (host, port).to_socket_addrs().ok()?.peekable();
        addresses.peek()?;
        Some(addresses.all(|address| address.ip().to_canonical().is_loopback()))
    };
    match options.force || is_here() == Some(true) {
        true => Ok(connector),
        false => Err(format!(
            "{host} is not this machine: a benchmark of somebody else's server is an attack; \
             --force if it is yours"
        )),
    }
}

/// Waits for the connections, lets them go, and shows how far they are. Returns how long they had.
fn watch_over(run: &Arc<Run>, options: &Bench) -> Duration {
    let shows = io::stderr().is_terminal() && !options.json;
    let show = |text: String| {
        if shows {
            eprint!("\r\u{1b}[K{text}");
            let _ = io::stderr().flush();
        }
    };
    // each handshake has a time-out
    loop {
        let settled = run.settled.load(Ordering::Relaxed);
        if settled >= options.connections as u64 {
            break;
        }
        show(format!("connecting: {settled} of {}", options.connections));
        thread::sleep(Duration::from_millis(20));
    }
    let begin = Instant::now();
    let end = begin + options.duration;
    run.end.send_replace(Some(end));
    // as long as a thread has a connection
    while Instant::now() < end && Arc::strong_count(run) > 1 {
        let left = end.saturating_duration_since(Instant::now());
        thread::sleep(left.min(Duration::from_millis(250)));
        let took = begin.elapsed();
        let messages = run.messages.load(Ordering::Relaxed) as f64;
        let bar = (20.0 * took.as_secs_f64() / options.duration.as_secs_f64()).min(20.0) as usize;
        let bar = format!("{}{}", "#".repeat(bar), ".".repeat(20 - bar));
        show(format!("[{bar}] {:.0} messages/s", messages / took.as_secs_f64()));
    }
    show(String::new());
    begin.elapsed()
}

/// Runs a share of the connections on this thread.
fn work(run: &Arc<Run>, share: usize) -> io::Result<Totals> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.inspect_err(|_| {
        run.settled.fetch_add(share as u64, Ordering::Relaxed);
    })?;
    Ok(runtime.block_on(async {
        let connecting = Arc::new(Semaphore::new(CONNECTING));
        let mut tasks = JoinSet::new();
        for _ in 0..share {
            tasks.spawn(one(Arc::clone(run), Arc::clone(&connecting)));
        }
        let mut totals = Totals { times: Histogram::new(), connected: 0, failed: 0, error: None };
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok((times, failure)) => {
                    totals.connected += usize::from(times.is_some());
                    times.iter().for_each(|times| totals.times.merge(times));
                    failure.into_iter().for_each(|failure| totals.note(failure));
                }
                Err(error) => totals.note(Failure::Connected(error.to_string())),
            }
        }
        totals
    }))
}

/// Runs one connection: what it has measured, if there was one, and how it failed.
async fn one(run: Arc<Run>, connecting: Arc<Semaphore>) -> (Option<Histogram>, Option<Failure>) {
    let connected = {
        let _turn = connecting.acquire().await;
        run.connector.connect().await
    };
    run.settled.fetch_add(1, Ordering::Relaxed);
    let mut ws = match connected {
        Ok(ws) => ws,
        Err(error) => return (None, Some(Failure::Connecting(error))),
    };
    let mut times = Histogram::new();
    let failure = exchange(&run, &mut ws, &mut times).await.err().map(Failure::Connected);
    (Some(times), failure)
}

/// Sends a message each time the one before has come back.
async fn exchange(
    run: &Run,
    ws: &mut WebSocket<ClientStream>,
    times: &mut Histogram,
) -> Result<(), String> {
    let text = |error: Error| error.to_string();
    let mut end = run.end.subscribe();
    let end = *end.wait_for(Option::is_some).await.map_err(|error| error.to_string())?;
    let payload = vec![0x5a; run.size];
    while let Some(end) = end
        && Instant::now() < end
    {
        let begin = Instant::now();
        ws.feed(&payload).map_err(text)?;
        match ws.recv().await.map_err(text)? {
            Some(message) if message.as_bytes() == payload => {}
            Some(_) => return Err("the server sent something else back: it is no echo".into()),
            None => return Err("the server closed the connection".into()),
        }
        times.record(begin.elapsed());
        run.messages.fetch_add(1, Ordering::Relaxed);
    }
    ws.close(CloseCode::NORMAL, "").await.map_err(text)
}

impl Totals {
    fn add(&mut self, part: Self) {
        self.times.merge(&part.times);
        self.connected += part.connected;
        self.failed += part.failed;
        self.error = self.error.take().or(part.error);
    }

    fn note(&mut self, failure: Failure) {
        self.failed += 1;
        self.error.get_or_insert(failure);
    }

    /// Prints what was measured.
    fn report(&self, options: &Bench, took: Duration) -> Exit {
        let Bench { size, .. } = *options;
        let (connected, failed) = (self.connected, self.failed);
        let (messages, seconds) = (self.times.total(), took.as_secs_f64());
        let rate = messages as f64 / seconds;
        let mega = rate * size as f64 / 1e6;
        let times = [("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999)]
            .map(|(name, permille)| (name, self.times.permille(permille)));
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let max = micros(self.times.max());
        let mut out = String::new();
        if options.json {
            let times = times.map(|(name, time)| format!(r#""{name}":{:.1}"#, micros(time)));
            out.push_str(&format!(
                r#"{{"connections":{connected},"failed":{failed},"seconds":{seconds:.3},"#
            ));
            out.push_str(&format!(r#""bytes":{size},"messages":{messages},"#));
            out.push_str(&format!(
                r#""messages_per_second":{rate:.1},"megabytes_per_second":{mega:.3},"#
            ));
            out.push_str(&format!(r#""round_trip_us":{{{},"max":{max:.1}}}}}"#, times.join(",")));
        } else {
            out.push_str(&format!("connections  {connected}, {failed} failed\n"));
            out.push_str(&format!("messages     {messages} of {size} bytes in {seconds:.1} s\n"));
            out.push_str(&format!("rate         {rate:.0} messages/s, {mega:.2} MB/s each way\n"));
            out.push_str("round trip   ");
            times.iter().for_each(|(name, _)| out.push_str(&format!("{name:>10}")));
            out.push_str("       max\n          µs ");
            times.iter().for_each(|(_, time)| out.push_str(&format!("{:>10.1}", micros(*time))));
            out.push_str(&format!("{max:>10.1}"));
        }
        if writeln!(io::stdout(), "{out}").is_err() {
            return Exit::Local;
        }
        let (exit, text) = match &self.error {
            None => return Exit::Ok,
            Some(Failure::Connecting(error)) => (Exit::NotConnected, error.to_string()),
            Some(Failure::Connected(text)) => (Exit::Broken, text.clone()),
        };
        eprintln!("sansws: {}", escape::for_terminal(&text));
        exit
    }
}
