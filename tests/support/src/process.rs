//! Running other programs from tests: started, read line by line, never waited for without a
//! limit, and gone when the test is over.

use core::time::Duration;
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// How long a program may take to say its first line.
pub const START: Duration = Duration::from_secs(30);

/// How long a program may run in all. After that it is killed, which makes everything that waits
/// for it fail.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// How many of the last lines on a program's stderr are shown when a test fails.
const STDERR_SHOWN: usize = 20;

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    stderr_seen: Vec<String>,
    /// Kills the child at the end of its lifetime, unless dropped before.
    watchdog: Option<Sender<()>>,
}

impl Process {
    /// Starts `command`, killed after [`LIFETIME`].
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_for(LIFETIME, command)
    }

    /// Starts `command` with this as its standard input.
    pub fn spawn_on(stdin: impl Into<Stdio>, command: &mut Command) -> Self {
        Self::start(LIFETIME, stdin.into(), command)
    }

    /// Starts `command`, killed after `lifetime`.
    pub fn spawn_for(lifetime: Duration, command: &mut Command) -> Self {
        Self::start(lifetime, Stdio::null(), command)
    }

    fn start(lifetime: Duration, stdin: Stdio, command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        let watchdog = Some(watch(child.id(), lifetime));
        Self { name, child, stdout, stderr, stderr_seen: Vec::new(), watchdog }
    }

    /// Reads the next line on stdout; the test fails if there is none in time.
    pub fn stdout_line(&mut self, timeout: Duration) -> String {
        let Ok(line) = self.stdout.recv_timeout(timeout) else {
            panic!("no line from {} within {timeout:?}", self.name)
        };
        line
    }

    /// Reads the next line on stderr for which `pick` has an answer.
    pub fn stderr_line<T>(&mut self, timeout: Duration, pick: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + timeout;
        while let Ok(line) = self.stderr.recv_timeout(deadline - Instant::now().min(deadline)) {
            let picked = pick(&line);
            self.stderr_seen.push(line);
            if let Some(picked) = picked {
                return picked;
            }
        }
        panic!("the line waited for did not come from {} within {timeout:?}", self.name)
    }

    /// Waits for the end of the program. Returns its status and what it wrote on stdout and stderr
    /// since the last line that was asked for.
    pub fn finish(&mut self, timeout: Duration) -> Finished {
        let deadline = Instant::now() + timeout;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{} still runs after {timeout:?}", self.name);
            thread::sleep(Duration::from_millis(5));
        };
        self.watchdog = None;
        // The pipes are at their end now, unless a program that this one started holds them.
        let rest = |pipe: &Receiver<String>| {
            core::iter::from_fn(|| pipe.recv_timeout(Duration::from_secs(2)).ok()).collect()
        };
        Finished { status, stdout: rest(&self.stdout), stderr: rest(&self.stderr) }
    }

    /// Returns whether the program has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Returns the number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What Ctrl-C does.
    pub fn interrupt(&self) {
        signal("INT", self.child.id());
    }

    /// What ends a service.
    pub fn terminate(&self) {
        signal("TERM", self.child.id());
    }

    /// Stops the program where it is: it does nothing any more, and its connections stay.
    pub fn freeze(&self) {
        signal("STOP", self.child.id());
    }

    /// Lets a program that was stopped go on.
    pub fn thaw(&self) {
        signal("CONT", self.child.id());
    }

    /// Ends the program without asking it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.watchdog = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            self.stderr_seen.extend(self.stderr.try_iter());
            let last = self.stderr_seen.len().saturating_sub(STDERR_SHOWN);
            for line in &self.stderr_seen[last..] {
                eprintln!("{}: {line}", self.name);
            }
        }
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit status.
    pub status: ExitStatus,
    /// The last lines on its standard output.
    pub stdout: Vec<String>,
    /// The last lines on its standard error.
    pub stderr: Vec<String>,
}

/// One of the examples that listen.
#[derive(Debug)]
pub struct Server {
    /// The program.
    pub process: Process,
    /// `HOST:PORT`, with the port that was picked.
    pub addr: String,
}

impl Server {
    /// Starts the example `name` on a free port of the loopback interface.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", name, arguments)
    }

    /// Starts the example `name` at an address.
    pub fn start_at(addr: &str, name: &str, arguments: &[&str]) -> Self {
        Self::listening(name, Process::spawn(Command::new(example(name)).arg(addr).args(arguments)))
    }

    /// Waits until `process`, which is the example `name`, says where it listens.
    pub fn listening(name: &str, mut process: Process) -> Self {
        let line = process.stdout_line(START);
        let Some(addr) = line.strip_prefix("listening on ws://") else {
            panic!("the first line of {name} is {line:?}, not `listening on ws://HOST:PORT`")
        };
        Self { process, addr: addr.trim_end_matches('/').to_owned() }
    }

    /// Returns the address of `path` in the scheme of WebSockets.
    pub fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.addr)
    }
}

/// Where `cargo test` has put the example `name`.
pub fn example(name: &str) -> PathBuf {
    // …/deps/TEST-HASH beside …/examples/NAME
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let example = profile.join("examples").join(name).with_extension(env::consts::EXE_EXTENSION);
    assert!(
        example.exists(),
        "{} is not built: `cargo test` builds the examples, `cargo test --test NAME` does not; \
         run `cargo build --examples` first",
        example.display()
    );
    if let Some(newer) = newer_source(&example) {
        panic!(
            "{} is older than {}: run `cargo build --examples` first, or what is tested is the \
             code of another day",
            example.display(),
            newer.display()
        );
    }
    example
}

/// Returns a source that a program was made of and that has changed since, as cargo's list of them
/// beside the program tells.
fn newer_source(program: &Path) -> Option<PathBuf> {
    let built = program.metadata().and_then(|it| it.modified()).ok()?;
    let list = std::fs::read_to_string(program.with_extension("d")).ok()?;
    let (_, sources) = list.split_once(": ")?;
    let sources = sources.replace("\\ ", "\0"); // a blank in a name
    sources.split_whitespace().map(|source| PathBuf::from(source.replace('\0', " "))).find(
        |source| {
            source.metadata().and_then(|it| it.modified()).is_ok_and(|modified| modified > built)
        },
    )
}

/// Cargo's target directory. A macro, because cargo tells it to the test that is compiled.
#[macro_export]
macro_rules! target_dir {
    () => {
        ::std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
    };
}

/// Says that a test has not run, and why: nothing it needs may be missing where `CI` is set.
///
/// # Panics
///
/// If the environment has `CI=true`.
pub fn skip(test: &str, reason: &str) {
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} cannot run: {reason}");
    // Not `eprintln!`: what that prints is hidden when a test passes.
    let _ = writeln!(io::stderr(), "SKIP: {test} has not run: {reason}");
}

/// Runs a test in a process of its own, where nothing happens besides: this test program again,
/// with nothing but the test `name`, one such process after the other.
pub fn alone(name: &str, test: impl FnOnce()) {
    const ALONE: &str = "SANSWS_TEST_ALONE";
    const LIMIT: Duration = Duration::from_secs(600);
    static TURN: Mutex<()> = Mutex::new(());
    if env::var_os(ALONE).is_some_and(|alone| alone == name) {
        return test();
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(ALONE, name);
    let finished = Process::spawn_for(LIMIT, &mut command).finish(LIMIT);
    println!("{}", finished.stdout.join("\n"));
    assert!(finished.status.success(), "{name}:\n{}", finished.stderr.join("\n"));
    assert!(finished.stdout.iter().any(|line| line.contains("1 passed")), "no test {name}");
}

/// Sends a signal to a process of ours that has not been waited for.
fn signal(name: &str, pid: u32) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
    assert!(sent.is_ok_and(|status| status.success()), "SIG{name} could not be sent to {pid}");
}

/// Kills `pid` after `lifetime` unless what is returned is dropped before.
fn watch(pid: u32, lifetime: Duration) -> Sender<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    thread::spawn(move || {
        if receiver.recv_timeout(lifetime) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = writeln!(io::stderr(), "killing {pid}: still running after {lifetime:?}");
            signal("KILL", pid);
        }
    });
    sender
}

/// Returns the lines of a pipe, read by a thread of their own so that the other end never blocks.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
