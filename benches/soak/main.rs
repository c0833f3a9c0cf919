//! Ten thousand clients and an event server for a quarter of an hour: whether memory, descriptors
//! and messages stay what they are while clients come, go, break, stall and crowd, and servers are
//! replaced.
//!
//! `cargo bench --bench soak [-- --minutes 15] [--connections 10000] [--reconnects 100000]
//! [--restarts 4] [--out target/soak]`, on Linux. Writes `soak.csv` and `soak.svg`.
//!
//! This process is the load, another one the server. In the first four tenths of the time the
//! server is replaced: a new process listens on the same port, and the old one tells its clients to
//! come back. The last one stays, and is what flat memory is asked of.
//!
//! Every message has a number and is looked at by both ends, byte for byte. It is answered, once
//! and in its turn, or its connection ended in a way that the client knows: by a reset of its own,
//! by a server that aborted as it was asked to, by a server that was replaced (1012). Behind any
//! other Close nothing may be missing. Exits with 1 if anything is not as it has to be; no time is
//! asserted, but that nothing may take two minutes.
#![allow(clippy::unwrap_used, missing_docs)]

mod clients;
mod payload;
mod plot;
mod samples;
mod server;
mod tally;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

use clients::{End, Kind, Load};
use samples::Samples;
use sansws_test::system;
use tokio::task::{LocalSet, spawn_blocking, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

struct Options {
    minutes: f64,
    connections: usize,
    reconnects: usize,
    restarts: usize,
    out: PathBuf,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [serve, addr] = &args[..]
        && serve == "--serve"
    {
        server::main(addr);
        return ExitCode::SUCCESS;
    }
    system::raise_file_limit();
    let options = Options::parse(&args);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let faults = LocalSet::new().block_on(&runtime, run(&options));
    if faults == 0 {
        return ExitCode::SUCCESS;
    }
    println!("FAILED: {faults} faults");
    ExitCode::FAILURE
}

impl Options {
    fn parse(args: &[String]) -> Self {
        let value = |name: &str| {
            let at = args.iter().position(|arg| arg == name)?;
            Some(args.get(at + 1).unwrap_or_else(|| panic!("{name} needs a value")))
        };
        let number = |name: &str| {
            value(name).map(|it| it.parse::<f64>().unwrap_or_else(|_| panic!("{name}: {it}")))
        };
        let minutes = number("--minutes").unwrap_or(15.0);
        let connections = number("--connections").map_or(10_000, |it| it as usize);
        Self {
            minutes,
            connections,
            reconnects: number("--reconnects").map_or(connections * 10, |it| it as usize),
            restarts: number("--restarts")
                .map_or(if minutes < 5.0 { 2 } else { 4 }, |it| it as usize),
            out: value("--out").map_or_else(|| "target/soak".into(), PathBuf::from),
        }
    }
}

/// Runs the whole, and returns how many things are not as they have to be.
async fn run(options: &Options) -> u64 {
    let time = Duration::from_secs_f64(options.minutes * 60.0);
    let mut server = Process::start("127.0.0.1:0").await;
    let own = std::process::id();
    let before = (system::descriptors(server.pid()), system::descriptors(own));

    let start = Instant::now();
    // what restarts do not bring about, ends of connections do
    let others = options.reconnects.saturating_sub(options.restarts * options.connections).max(1);
    let life = time.mul_f64(options.connections as f64 / others as f64);
    let load = Rc::new(Load::new(
        server.addr,
        options.connections,
        start + time,
        life,
        (time / 60).clamp(Duration::from_millis(500), Duration::from_secs(5)),
    ));
    let ramp = time / 20;
    let clients: Vec<_> = (0..options.connections)
        .map(|index| {
            let start = start + ramp.mul_f64(index as f64 / options.connections as f64);
            spawn_local(Rc::clone(&load).client(index, start))
        })
        .collect();
    let samples = Rc::new(Samples::new(start.into_std(), server.pid()));
    let every = (time / 60).min(Duration::from_secs(3));
    let sampling = spawn_local(Rc::clone(&samples).take_each(every, Rc::clone(&load)));

    let mut gave_way = 0;
    let mut slow = 0;
    for restart in 1..=options.restarts {
        sleep_until(start + time.mul_f64(0.4 * restart as f64 / options.restarts as f64)).await;
        let next = Process::start(&server.addr.to_string()).await;
        samples.restarted(next.pid());
        let report = std::mem::replace(&mut server, next).stop().await;
        println!("{:4.0} s  {report}", start.elapsed().as_secs_f64());
        gave_way += field(&report, "gave_way");
        slow += field(&report, "slow");
        load.tally.judge(&report, restart == 0);
    }
    samples.last_one_stays();

    for client in clients {
        client.await.unwrap();
    }
    samples.clients_are_gone();
    // the server has a moment to see that too
    let tally = &load.tally;
    let mut report = server.report().await;
    let mut after = (system::descriptors(server.pid()), system::descriptors(own));
    for _ in 0..600 {
        if field(&report, "open") == 0 && after == before {
            break;
        }
        sleep(Duration::from_millis(100)).await;
        report = server.report().await;
        after = (system::descriptors(server.pid()), system::descriptors(own));
    }
    for name in ["open", "pending", "rooms"] {
        if field(&report, name) != 0 {
            tally.fault(format!("stuck: {report}"));
        }
    }
    if after != before {
        tally.fault(format!("descriptors of server and load: {before:?} before, {after:?} after"));
    }
    let last = server.stop().await;
    println!("{:4.0} s  {last}", start.elapsed().as_secs_f64());
    tally.judge(&last, true);
    gave_way += field(&last, "gave_way");
    slow += field(&last, "slow");
    sampling.abort();

    let sent = tally.sent.get();
    let known = tally.answered.get() + tally.cut.get();
    if sent != known && tally.faults.get() == 0 {
        tally.fault(format!("{sent} messages sent, of {known} it is known what became"));
    }
    for (kind, count) in Kind::ALL.iter().zip(*tally.by_kind.borrow()) {
        if count == 0 {
            tally.fault(format!("no connection was {:?}", kind.0));
        }
    }
    for problem in samples.growth() {
        tally.fault(problem);
    }
    println!("{}", summary(&load, before, gave_way, slow));
    println!("{}", samples.summary());
    std::fs::create_dir_all(&options.out).unwrap();
    std::fs::write(options.out.join("soak.csv"), samples.csv()).unwrap();
    std::fs::write(options.out.join("soak.svg"), plot::plot(&samples)).unwrap();
    tally.faults.get()
}

fn summary(load: &Load, descriptors: (usize, usize), gave_way: u64, slow: u64) -> String {
    let tally = &load.tally;
    let ends: Vec<_> = End::ALL.iter().zip(*tally.ends.borrow()).collect();
    let kinds: Vec<_> = Kind::ALL.iter().map(|it| it.0).zip(*tally.by_kind.borrow()).collect();
    format!(
        "connections: {} at a time, {} made\nends: {ends:?}\nkinds: {kinds:?}\n\
         messages: {} sent, {} answered, {} cut by an end that is known; {} of others in rooms, {} \
         of floods\nthe longest close: {:?}\ndescriptors of server and load, before and after: \
         {descriptors:?}\nclients that were too slow, by the servers: {slow}; handshakes that gave \
         way: {gave_way}\nfaults: {}",
        load.connections,
        tally.connected.get(),
        tally.sent.get(),
        tally.answered.get(),
        tally.cut.get(),
        tally.overheard.get(),
        tally.flooded.get(),
        tally.longest_close.get(),
        tally.faults.get(),
    )
}

/// Reads `NAME=NUMBER` of a line of a server.
fn field(report: &str, name: &str) -> u64 {
    let fields = report.split_whitespace().filter_map(|field| field.split_once('='));
    let value = fields.filter(|(it, _)| *it == name).find_map(|(_, value)| value.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {report:?}"))
}

impl tally::Tally {
    /// Looks at what a server said at its end.
    fn judge(&self, report: &str, had_no_clients: bool) {
        for name in ["open", "pending", "rooms", "panics", "bad_messages", "bad_answers"] {
            if field(report, name) != 0 {
                self.fault(format!("{name}: {report}"));
            }
        }
        // the pipes, the listener and the runtime are there before and after
        if field(report, "descriptors") > field(report, "descriptors_before") {
            self.fault(format!("descriptors: {report}"));
        }
        let farewell = server::FAREWELL.as_millis() as u64;
        if !had_no_clients && field(report, "after") >= farewell {
            self.fault(format!("a close was stuck until the deadline: {report}"));
        }
    }
}

/// A process with a server. It ends with this one, whose pipe it reads.
struct Process {
    child: Child,
    commands: ChildStdin,
    /// Away while a line is waited for.
    lines: Option<BufReader<ChildStdout>>,
    addr: SocketAddr,
}

impl Process {
    async fn start(addr: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--serve", addr])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let lines = Some(BufReader::new(child.stdout.take().unwrap()));
        let mut process = Self { child, commands, lines, addr: "0.0.0.0:0".parse().unwrap() };
        let line = process.line().await;
        process.addr = line.strip_prefix("listening on ").unwrap().parse().unwrap();
        process
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line in another thread: the load goes on.
    async fn line(&mut self) -> String {
        let mut lines = self.lines.take().unwrap();
        let (line, lines) = spawn_blocking(move || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            (line, lines)
        })
        .await
        .unwrap();
        self.lines = Some(lines);
        assert!(!line.is_empty(), "the server has ended");
        line.trim().to_string()
    }

    async fn report(&mut self) -> String {
        writeln!(self.commands, "report").unwrap();
        self.line().await
    }

    /// Has the server tell its clients to come back; returns what it says at the end.
    async fn stop(mut self) -> String {
        writeln!(self.commands, "stop").unwrap();
        let report = self.line().await;
        drop(self.commands);
        let mut child = self.child;
        let status = spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert!(status.success(), "the server ended with {status}");
        report
    }
}
