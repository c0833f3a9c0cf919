//! Both roles against python `websockets`, and against each other.
//!
//! `bash tests/interop/install.sh` in the root of the repository installs the peer. Without it the
//! tests say that they have not run, and fail where `CI=true` is set.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sansws-embedded");

/// A process that ends with the test.
struct Running {
    child: Child,
    first_line: String,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut first_line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first_line).unwrap();
        Self { child, first_line: first_line.trim().to_owned() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server() -> (Running, String) {
    let server = Running::start(Command::new(PROGRAM).arg("127.0.0.1:0"));
    let addr = server.first_line.rsplit('/').next().unwrap().to_owned();
    (server, addr)
}

fn assert_output(command: &mut Command, expected: &str) {
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.trim() == expected, "{command:?}: {output:?}");
}

/// The script of the interoperability tests, or nothing if python has no `websockets`.
fn python() -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let python = target.join("interop/venv/bin/python");
    if !python.exists() {
        let reason = format!("there is no {}", python.display());
        assert!(std::env::var_os("CI").is_none(), "{reason}: run tests/interop/install.sh");
        println!("SKIP: {reason}");
        return None;
    }
    let mut command = Command::new(python);
    command.arg(root.join("tests/interop/peer.py"));
    Some(command)
}

#[test]
fn both_roles() {
    let (_server, addr) = server();
    for _ in 0..2 {
        assert_output(Command::new(PROGRAM).args(["--client", &addr]), "3 of 3 came back");
    }
}

#[test]
fn a_client_in_python() {
    let Some(mut python) = python() else { return };
    let (_server, addr) = server();
    assert_output(python.arg("client").arg(format!("ws://{addr}/")), "ok");
}
