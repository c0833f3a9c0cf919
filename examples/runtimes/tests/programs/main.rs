//! The programs of this crate against python `websockets`, and over QUIC against each other.
//!
//! `tests/interop/install.sh` of the crate installs the peer. What is exchanged is written down in
//! `other_end.py`, and in the `peer.py` of the crate's own tests, whose scenario it uses.
#![allow(clippy::unwrap_used)]

mod clients;
mod lines;
mod quic;
mod servers;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sansws_test::certificates::{Authority, Leaf};
use sansws_test::process::{Process, START, skip};

/// How long one run of the python end may take. It takes ten seconds, those of a time-out.
const RUN: Duration = Duration::from_secs(55);

/// What carries the WebSocket, and what the programs need to know for that.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Tcp,
    Tls,
    Unix,
}

impl Way {
    /// Its name in `other_end.py`.
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Unix => "unix",
        }
    }
}

/// A program that is to be tested.
struct Host {
    name: &'static str,
    way: Way,
    /// What it gets on the command line besides addresses and certificates.
    option: &'static [&'static str],
}

impl Host {
    const fn new(name: &'static str, way: Way, option: &'static [&'static str]) -> Self {
        Self { name, way, option }
    }

    /// The name of a test with it.
    fn test(&self, role: &str) -> String {
        [&[self.name, role][..], self.option].concat().join("-")
    }

    /// The certificates that it needs, if any; `None` if they cannot be made.
    fn certificates(&self, role: &str) -> Option<Option<(Authority, Leaf)>> {
        if self.way != Way::Tls {
            return Some(None);
        }
        let authority = Authority::new(env!("CARGO_TARGET_TMPDIR"), &self.test(role))?;
        let leaf = authority.leaf("localhost", "DNS:localhost,IP:127.0.0.1");
        Some(Some((authority, leaf)))
    }
}

/// Where cargo has put a program of this crate.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(name)
}

/// A path for a socket, short enough for one.
fn socket_path(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("sansws-{}-{test}", std::process::id()));
    let _ = std::fs::remove_file(&path); // there may be none
    path
}

/// The python end, or `None` after a word about it.
fn other_end(test: &str) -> Option<Command> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let interop = here.join("../../tests/interop");
    let pins = std::fs::read(interop.join("requirements.txt")).unwrap();
    let beside = sansws_test::target_dir!().parent().unwrap().join("interop/venv");
    let places = [beside, here.join("../../target/interop/venv")];
    let venv = places.iter().find(|venv| {
        std::fs::read(venv.join("installed.txt")).is_ok_and(|installed| installed == pins)
    });
    let Some(venv) = venv else {
        skip(test, "run `bash tests/interop/install.sh` first");
        return None;
    };
    let mut command = Command::new(venv.join("bin/python"));
    command.arg(here.join("tests/programs/other_end.py")).env("INTEROP", interop);
    Some(command)
}

/// Starts a server and returns where it listens.
fn start(command: &mut Command) -> (Process, String) {
    let mut process = Process::spawn(command);
    let line = process.stdout_line(START);
    let Some(at) = line.strip_prefix("listening on ") else { panic!("{command:?}: {line:?}") };
    let at = at.split("://").last().unwrap().to_owned();
    (process, at)
}

/// Returns whether a program can run here, and says so if not.
fn can_run(host: &Host, test: &str) -> bool {
    if host.name != "compio" {
        return true;
    }
    // where it can run, it finds that nobody listens there
    let mut command = Command::new(program("compio"));
    let ended = Process::spawn(command.args(["--client", "127.0.0.1:1"])).finish(RUN);
    let missing = ended.stderr.iter().find(|line| line.starts_with("no io_uring here"));
    if let Some(reason) = missing {
        skip(test, reason);
    }
    missing.is_none()
}
