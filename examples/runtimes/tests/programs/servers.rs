//! Each server against a client in python, and that nothing is left afterwards.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sansws_test::process::Process;

use super::Way::{Tcp, Tls, Unix};
use super::{Host, RUN, can_run, other_end, program, socket_path, start};

/// How long what served a connection may be there after its end: longer than any linger.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a process holds while it serves: sockets and children, and threads if it has one or more
/// for a connection.
#[derive(Debug, PartialEq)]
struct Held {
    sockets: usize,
    children: usize,
    threads: Option<usize>,
}

impl Held {
    fn by(process: &Process, count_threads: bool) -> Self {
        let proc = format!("/proc/{}", process.id());
        let sockets = fs::read_dir(format!("{proc}/fd")).unwrap().flatten();
        let sockets = sockets.filter_map(|entry| fs::read_link(entry.path()).ok());
        let sockets = sockets.filter(|to| to.to_string_lossy().starts_with("socket:")).count();
        let threads = fs::read_dir(format!("{proc}/task")).unwrap().flatten();
        let threads: Vec<_> = threads.map(|entry| entry.path()).collect();
        let children = threads.iter().filter_map(|it| fs::read_to_string(it.join("children")).ok());
        let children = children.map(|list| list.split_whitespace().count()).sum();
        Self { sockets, children, threads: count_threads.then_some(threads.len()) }
    }
}

fn serve(host: &Host, count_threads: bool) {
    let test = host.test("server");
    let Some(certificates) = host.certificates("server") else { return };
    if !can_run(host, &test) {
        return;
    }
    let mut command = Command::new(program(host.name));
    if host.way == Unix {
        command.arg(socket_path(&test));
    } else {
        command.arg("127.0.0.1:0");
    }
    if let Some((_, leaf)) = &certificates {
        command.args(leaf.files());
    }
    command.args(host.option);
    let authority = certificates.map(|(authority, _)| authority.certificate());
    examine(&test, host.way, &mut command, authority.as_ref(), count_threads);
}

/// Runs the python client against a server that a command starts.
fn examine(
    test: &str,
    way: super::Way,
    command: &mut Command,
    authority: Option<&std::path::PathBuf>,
    count_threads: bool,
) {
    let Some(mut client) = other_end(test) else { return };
    let (mut server, at) = start(command);
    let before = Held::by(&server, count_threads);
    client.args(["client", way.name(), &at]).args(authority);
    let client = Process::spawn(&mut client).finish(RUN);
    assert!(client.status.success(), "{test}:\n{}", client.stderr.join("\n"));
    assert_eq!(client.stdout, ["ok"]);
    assert!(server.is_running(), "{test}: the server went away with its client");
    let end = Instant::now() + PATIENCE;
    while Held::by(&server, count_threads) != before {
        let left = Held::by(&server, count_threads);
        assert!(Instant::now() < end, "{test}: there is {left:?}, before it was {before:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn smol() {
    serve(&Host::new("smol", Tcp, &[]), false);
}

#[test]
fn smol_compat() {
    serve(&Host::new("smol_compat", Tcp, &[]), false);
}

#[test]
fn compio() {
    serve(&Host::new("compio", Tcp, &[]), false);
}

#[test]
fn two_threads() {
    serve(&Host::new("threads", Tcp, &[]), true);
}

#[test]
fn tls_on_tokio() {
    serve(&Host::new("tls_tokio", Tls, &[]), false);
}

#[test]
fn tls_before_the_event_server() {
    serve(&Host::new("tls_tokio", Tls, &["events"]), false);
}

#[test]
fn tls_on_blocking_sockets() {
    serve(&Host::new("tls_blocking", Tls, &[]), true);
}

#[test]
fn tls_on_blocking_sockets_in_two_threads() {
    serve(&Host::new("tls_blocking", Tls, &["split"]), true);
}

#[test]
fn unix_sockets_on_tokio() {
    serve(&Host::new("unix", Unix, &[]), false);
}

#[test]
fn unix_sockets_that_block() {
    serve(&Host::new("unix", Unix, &["blocking"]), true);
}

#[test]
fn standard_input_and_output() {
    for parent in ["inetd", "ssh"] {
        let test = format!("stdio-{parent}");
        let Some(mut command) = other_end(&test) else { return };
        examine(&test, Tcp, command.arg(parent).arg(program("stdio")), None, true);
    }
}
