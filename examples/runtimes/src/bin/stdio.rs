//! A WebSocket on standard input and output: a program as inetd, ssh or another parent starts it,
//! and that parent.
//!
//! `stdio` serves whoever started it; `stdio --client PROGRAM [ARGUMENT…]` starts a program and
//! asks it. Standard input and output are two pipes, as a rule, or twice the same socket. Neither
//! knows time-outs by itself: `poll` gives them.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use runtimes::{Arguments, Failure, on_blocking};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sansws::blocking::Transport;

/// Two descriptors as one stream.
struct Pair {
    input: File,
    /// `None` once it was closed: that is how a pipe ends.
    output: Option<File>,
    read_timeout: Cell<Option<Duration>>,
    write_timeout: Cell<Option<Duration>>,
}

impl Pair {
    fn new(input: OwnedFd, output: OwnedFd) -> Self {
        let (input, output) = (input.into(), Some(output.into()));
        Self { input, output, read_timeout: Cell::default(), write_timeout: Cell::default() }
    }
}

/// Waits until a descriptor is ready. `WouldBlock` when the time is over.
fn wait(file: &File, flags: PollFlags, timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(&mut [PollFd::new(file, flags)], timeout.as_ref())? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

impl Read for Pair {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        wait(&self.input, PollFlags::IN, self.read_timeout.get())?;
        self.input.read(buf)
    }
}

impl Write for Pair {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Some(output) = &mut self.output else { return Err(io::ErrorKind::BrokenPipe.into()) };
        wait(output, PollFlags::OUT, self.write_timeout.get())?;
        // a pipe that is ready takes so many bytes at once, and may make more of them wait
        output.write(&buf[..buf.len().min(ATOMIC)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Pair {
    fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.read_timeout.get())
    }

    fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.write_timeout.get())
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.read_timeout.set(timeout);
        Ok(())
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.write_timeout.set(timeout);
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let Some(output) = self.output.take() else { return Ok(()) };
        // of a socket there is another descriptor, the input
        match rustix::net::shutdown(&output, rustix::net::Shutdown::Write) {
            Err(rustix::io::Errno::NOTSOCK) => Ok(()),
            result => Ok(result?),
        }
    }
}

/// `PIPE_BUF` of Linux. POSIX has 512 at least.
const ATOMIC: usize = 4096;

fn serve() -> Result<(), Failure> {
    let input = stdin().as_fd().try_clone_to_owned()?;
    let output = stdout().as_fd().try_clone_to_owned()?;
    Ok(on_blocking::serve(Pair::new(input, output))?)
}

fn ask(program: &str, arguments: &[String]) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let (Some(input), Some(output)) = (child.stdout.take(), child.stdin.take()) else {
        return Err("no pipes".into());
    };
    let asked = on_blocking::ask(Pair::new(input.into(), output.into()), "ws://localhost/");
    child.wait()?; // it ends with its input
    asked
}

fn main() -> ExitCode {
    runtimes::run(
        |Arguments { is_client, addr, more }| {
            if is_client { ask(&addr, &more) } else { serve() }
        },
    )
}
