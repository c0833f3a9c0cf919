//! The examples against the WebSocket implementations most used in Python and Node.
//!
//! `tests/interop/install.sh` installs those into the target directory; without them these tests
//! say that they have not run, and fail where `CI=true` is set. What is exchanged is written down
//! in `tests/interop/peer.py` and `peer.mjs`.

use core::time::Duration;
use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use sansws_test::process::{Finished, Process, START, Server, example, skip};

/// How long one run of the scenario may take. It takes about a second.
const RUN: Duration = Duration::from_secs(50);

/// A WebSocket implementation that is not ours.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Python,
    Node,
}

use Peer::{Node, Python};

impl Peer {
    /// The command that runs the peer's script, or why there is none.
    fn command(self) -> Result<Command, String> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
        let (pins, installed) = match self {
            Python => ("requirements.txt", "venv/installed.txt"),
            Node => ("package.json", "node_modules/installed.json"),
        };
        let wanted = fs::read(scripts.join(pins)).unwrap();
        if fs::read(tools().join(installed)).ok() != Some(wanted) {
            return Err(format!(
                "what tests/interop/{pins} names is not in {}; run `bash tests/interop/install.sh` \
                 (with the same CARGO_TARGET_DIR, if that is set)",
                tools().display()
            ));
        }
        Ok(match self {
            Python => {
                let mut command = Command::new(tools().join("venv/bin/python"));
                command.arg(scripts.join("peer.py"));
                command
            }
            Node => {
                let mut command = Command::new("node");
                command.arg(scripts.join("peer.mjs")).env("INTEROP_MODULES", tools());
                command
            }
        })
    }

    /// Runs `client URL` or `limit URL LEN` against a server of ours.
    fn run_against(self, server: &str, server_arguments: &[&str], mode: &str, length: &[&str]) {
        let mut command = match self.command() {
            Ok(command) => command,
            Err(reason) => return skip(&format!("{self:?} client against {server}"), &reason),
        };
        let mut server = Server::start(server, server_arguments);
        let url = server.url("/any/path?and=query");
        let finished = Process::spawn(command.arg(mode).arg(url).args(length)).finish(RUN);
        assert_ok(&finished);
        assert!(server.process.is_running(), "the server went away with its client");
    }

    /// Runs `server` with our client, twice: the first connection ends with 1000, the second
    /// with 4001.
    fn serve(self, client_arguments: &[&str]) {
        self.serve_with(&[], client_arguments);
    }

    fn serve_with(self, server_arguments: &[&str], client_arguments: &[&str]) {
        let mut command = match self.command() {
            Ok(command) => command,
            Err(reason) => return skip(&format!("echo_client against {self:?} server"), &reason),
        };
        let mut server = Process::spawn(command.arg("server").args(server_arguments));
        let url = format!("ws://127.0.0.1:{}/any/path?and=query", server.stdout_line(START));
        for _ in 0..2 {
            let finished = echo_client(&url, client_arguments).finish(RUN);
            assert!(finished.status.success(), "{finished:?}");
            assert!(finished.stderr.is_empty(), "{finished:?}");
        }
        assert_ok(&server.finish(RUN));
    }
}

fn assert_ok(peer: &Finished) {
    assert!(peer.status.success(), "{}", peer.stderr.join("\n"));
    assert_eq!(peer.stdout, ["ok"], "{}", peer.stderr.join("\n"));
}

fn tools() -> PathBuf {
    sansws_test::target_dir!().join("interop")
}

fn echo_client(url: &str, arguments: &[&str]) -> Process {
    Process::spawn(Command::new(example("echo_client")).arg(url).args(arguments))
}

#[test]
fn python_client_with_tokio_server() {
    Python.run_against("echo", &[], "client", &[]);
}

#[test]
fn python_client_with_tokio_server_on_two_threads() {
    Python.run_against("echo", &["--threads", "2"], "client", &[]);
}

#[test]
fn python_client_with_blocking_server() {
    Python.run_against("echo_blocking", &[], "client", &[]);
}

#[test]
fn python_client_with_mio_server() {
    Python.run_against("echo_mio", &[], "client", &[]);
}

#[test]
fn node_client_with_tokio_server() {
    Node.run_against("echo", &[], "client", &[]);
}

#[test]
fn node_client_with_blocking_server() {
    Node.run_against("echo_blocking", &[], "client", &[]);
}

#[test]
fn node_client_with_mio_server() {
    Node.run_against("echo_mio", &[], "client", &[]);
}

// 1009 has to arrive although the rest of the message is still on its way to us.
#[test]
fn python_client_hears_of_the_limit() {
    for server in ["echo", "echo_blocking", "echo_mio"] {
        for length in ["125", "100000"] {
            Python.run_against(server, &["--max-message-len", length], "limit", &[length]);
        }
    }
}

#[test]
fn node_client_hears_of_the_limit() {
    for server in ["echo", "echo_blocking", "echo_mio"] {
        for length in ["125", "100000"] {
            Node.run_against(server, &["--max-message-len", length], "limit", &[length]);
        }
    }
}

#[test]
fn python_server_with_tokio_client() {
    Python.serve(&[]);
}

#[test]
fn python_server_with_blocking_client() {
    Python.serve(&["--blocking"]);
}

#[test]
fn node_server_with_tokio_client() {
    Node.serve(&[]);
}

#[test]
fn node_server_with_blocking_client() {
    Node.serve(&["--blocking"]);
}

/// Both directions of permessage-deflate, with windows from 2^9 to 2^15 bytes, with and without
/// context takeover; what the peer asks for wins, whatever the server does by itself.
#[cfg(feature = "deflate")]
#[test]
fn clients_that_compress() {
    for peer in [Python, Node] {
        for server in ["echo", "echo_blocking", "echo_mio"] {
            peer.run_against(server, &["--deflate"], "deflate", &[]);
        }
        let arguments = ["--deflate", "--no-context-takeover", "--window-bits", "12"];
        peer.run_against("echo", &arguments, "deflate", &[]);
    }
}

#[cfg(feature = "deflate")]
#[test]
fn servers_that_compress() {
    for peer in [Python, Node] {
        for bits in ["9", "12", "15"] {
            for takeover in ["takeover", "no-takeover"] {
                for adapter in [&[][..], &["--blocking"]] {
                    let arguments = [&["--deflate", "--window-bits", bits][..], adapter].concat();
                    peer.serve_with(&[bits, takeover], &arguments);
                }
            }
        }
        peer.serve_with(&["15", "takeover"], &["--deflate", "--no-context-takeover"]);
    }
}

// The tests above take the client's exit status for an answer, so it must not always be 0.
#[test]
fn client_fails_where_nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for arguments in [&[][..], &["--blocking"]] {
        assert_failed(&echo_client(&format!("ws://{free}/"), arguments).finish(RUN));
    }
}

#[test]
fn client_fails_when_the_server_hangs_up() {
    for arguments in [&[][..], &["--blocking"]] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            read_head(&mut stream);
        });
        assert_failed(&echo_client(&url, arguments).finish(RUN));
    }
}

fn assert_failed(client: &Finished) {
    assert_eq!(client.status.code(), Some(1), "{client:?}");
    assert_eq!(client.stderr.len(), 1, "one line tells what went wrong: {client:?}");
}

fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
}
