//! Each client against a server in python: it closes, is closed, is cut off, is refused.

use std::process::Command;

use sansws_test::process::{Finished, Process, START};

use super::Way::{Tcp, Tls, Unix};
use super::{Host, RUN, can_run, other_end, program, socket_path};

fn ask(host: &Host) {
    let test = host.test("client");
    let Some(certificates) = host.certificates("client") else { return };
    let Some(mut server) = other_end(&test) else { return };
    if !can_run(host, &test) {
        return;
    }
    server.args(["server", host.way.name()]);
    if host.way == Unix {
        server.arg(socket_path(&test));
    }
    if let Some((_, leaf)) = &certificates {
        server.env("TLS_CERTIFICATE", &leaf.certificate).env("TLS_KEY", &leaf.key);
    }
    examine(server, |at| {
        let mut command = Command::new(program(host.name));
        command.arg("--client");
        match host.way {
            Unix => command.arg(at),
            Tcp | Tls => command.arg(format!("127.0.0.1:{at}")),
        };
        if let Some((authority, _)) = &certificates {
            command.arg(authority.certificate());
        }
        command.args(host.option);
        command
    });
}

/// Runs clients against the python server that a command starts.
fn examine(mut server: Command, client: impl Fn(&str) -> Command) {
    let mut server = Process::spawn(&mut server);
    let at = server.stdout_line(START);
    let run = || Process::spawn(&mut client(&at)).finish(RUN);
    assert_closed(&run(), "3 of 3 came back, closed with 1000");
    assert_closed(&run(), "0 of 3 came back, closed with 4001");
    assert_failed(&run(), "1006");
    assert_failed(&run(), "404");
    let server = server.finish(RUN);
    assert!(server.status.success(), "{}", server.stderr.join("\n"));
    assert_eq!(server.stdout, ["ok"]);
}

fn assert_closed(client: &Finished, said: &str) {
    assert!(client.status.success(), "{client:?}");
    assert_eq!(client.stdout, [said], "{client:?}");
    assert!(client.stderr.is_empty(), "{client:?}");
}

fn assert_failed(client: &Finished, about: &str) {
    assert_eq!(client.status.code(), Some(1), "{client:?}");
    assert_eq!(client.stderr.len(), 1, "one line says what went wrong: {client:?}");
    assert!(client.stderr[0].contains(about), "{client:?}");
}

#[test]
fn smol() {
    ask(&Host::new("smol", Tcp, &[]));
}

#[test]
fn smol_compat() {
    ask(&Host::new("smol_compat", Tcp, &[]));
}

#[test]
fn compio() {
    ask(&Host::new("compio", Tcp, &[]));
}

#[test]
fn two_threads() {
    ask(&Host::new("threads", Tcp, &[]));
}

#[test]
fn tls_on_tokio() {
    ask(&Host::new("tls_tokio", Tls, &[]));
}

#[test]
fn tls_on_blocking_sockets() {
    ask(&Host::new("tls_blocking", Tls, &[]));
}

#[test]
fn tls_on_blocking_sockets_in_two_threads() {
    ask(&Host::new("tls_blocking", Tls, &["split"]));
}

#[test]
fn unix_sockets_on_tokio() {
    ask(&Host::new("unix", Unix, &[]));
}

#[test]
fn unix_sockets_that_block() {
    ask(&Host::new("unix", Unix, &["blocking"]));
}

#[test]
fn a_child_with_pipes() {
    let Some(mut server) = other_end("stdio-client") else { return };
    server.args(["server", "tcp"]);
    examine(server, |port| {
        let bridge = other_end("stdio-client").expect("it was there a moment ago");
        let mut command = Command::new(program("stdio"));
        command.arg("--client").arg(bridge.get_program()).args(bridge.get_args());
        command.envs(bridge.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(["bridge", "127.0.0.1", port]);
        command
    });
}
