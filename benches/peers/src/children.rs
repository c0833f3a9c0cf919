//! The processes that the runner starts; they end with it, however it ends.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::attackers::Attack;
use crate::servers::{Interpreter, Program, Server};
use crate::sys;

/// An echo server.
pub struct Running {
    pub server: &'static Server,
    pub addr: SocketAddr,
    child: Child,
}

impl Running {
    /// With these arguments besides its own, which only the programs outside this one read.
    pub fn start(server: &'static Server, more: &[&str], cpus: &[usize]) -> io::Result<Self> {
        let mut command = match server.program {
            Program::Own(_) | Program::Foreign(_) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["serve", server.name]);
                command
            }
            Program::Example(name, args) => {
                let mut command = Command::new(sibling(name)?);
                command.arg("127.0.0.1:0").args(args).args(more);
                command
            }
            Program::Script(interpreter, script, args) => {
                let tools = tools();
                let mut command = match interpreter {
                    Interpreter::Node => Command::new("node"),
                    Interpreter::Python => Command::new(tools.join("venv/bin/python")),
                };
                command.arg(script).args(args).args(more).env("INTEROP_MODULES", tools);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        sys::bind_child(&mut command, cpus);
        let child = command.spawn()?;
        let mut running = Self { server, addr: ([0; 4], 0).into(), child };
        let mut line = String::new();
        if let Some(stdout) = running.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let addr = line.trim().strip_prefix("listening on ws://").and_then(|it| it.parse().ok());
        running.addr = addr.ok_or_else(|| io::Error::other("the server did not start"))?;
        Ok(running)
    }

    pub fn cpu_time(&self) -> io::Result<Duration> {
        sys::cpu_time(self.child.id())
    }

    pub fn resident(&self) -> Option<f64> {
        sys::resident(self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The attackers of a server, until this is dropped.
pub struct Attackers {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Attackers {
    /// Returns when all are connected.
    pub fn start(attack: Attack, addr: SocketAddr, count: usize, cpu: usize) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["attack", attack.name(), &addr.to_string(), &count.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        sys::bind_child(&mut command, &[cpu]);
        sys::yield_to_others(&mut command);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut this = Self { child, lines: BufReader::new(stdout) };
        let mut line = String::new();
        this.lines.read_line(&mut line)?;
        if line == "ok\n" { Ok(this) } else { Err(io::Error::other("the attackers gave up")) }
    }

    /// How many of them the server has got rid of.
    pub fn stop(mut self) -> usize {
        end(&mut self.child);
        self.lines.by_ref().lines().count()
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The load generator.
pub struct Generator {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Generator {
    pub fn start(cpu: usize) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("load").stdin(Stdio::piped()).stdout(Stdio::piped());
        sys::bind_child(&mut command, &[cpu]);
        let mut child = command.spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (commands, answers) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { child, commands, answers: BufReader::new(answers) })
    }

    /// Sends a command; the numbers of the answer, or its error. Bounded, as the generator is.
    pub fn ask(&mut self, command: &str) -> io::Result<Vec<u64>> {
        writeln!(self.commands, "{command}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        match answer.trim_end().split_once(' ') {
            Some(("ok", numbers)) => {
                Ok(numbers.split(' ').filter_map(|number| number.parse().ok()).collect())
            }
            Some((_, error)) => Err(io::Error::other(error.to_string())),
            None if answer.trim_end() == "ok" => Ok(Vec::new()),
            None => Err(io::Error::other("the load generator is gone")),
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Another program of this package.
fn sibling(name: &str) -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// The folder that holds the `node_modules` with `ws` and the python with `websockets`, as
/// `tests/interop/install.sh` leaves it.
fn tools() -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/interop");
    std::env::var_os("INTEROP_MODULES").map_or_else(|| root.into(), PathBuf::from)
}

/// Has cargo build the examples, with the profile that this program was built with.
pub fn build_examples() -> io::Result<()> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--manifest-path", manifest]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    if let Some(target) = std::env::current_exe()?.ancestors().nth(2) {
        command.arg("--target-dir").arg(target);
    }
    for name in ["echo", "echo_events", "echo_mio", "echo_blocking"] {
        command.args(["--bin", name]);
    }
    if command.status()?.success() {
        return Ok(());
    }
    Err(io::Error::other("cargo could not build the examples"))
}
